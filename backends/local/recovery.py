"""What a store needs before it serves: its directories, its tables, and nothing left over from a crash.

Every process that serves holds a shared lock on `use.lock`; who gets it exclusively knows that nobody else is there,
and that whatever a writer has not signed off is a crash's litter.
"""

import contextlib
import fcntl
import os
import sqlite3
from pathlib import Path

from backends.local import schema, sqlite
from backends.local.bodies import Bodies
from backends.local.index import Garbage, Layout


def enter(layout: Layout) -> int:
    """Make the store ready, and return the descriptor that holds the shared lock. Raises UnknownSchema."""
    for directory in (layout.root, layout.bodies, layout.spool):
        Path(directory).mkdir(mode=0o700, parents=True, exist_ok=True)
    fd = os.open(layout.use_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        alone = _try_alone(fd)
        with sqlite.locked(layout.write_lock):
            schema.prepare(layout.index, alone=alone)
            if alone:
                recover(layout)
        fcntl.flock(fd, fcntl.LOCK_SH)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _try_alone(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        fcntl.flock(fd, fcntl.LOCK_SH)
        return False
    return True


def recover(layout: Layout) -> None:
    """Remove what crashed writers left: spooled files, bodies without a row, bodies without an object.

    The caller holds both locks: nobody else uses the store.
    """
    for path in Path(layout.spool).iterdir():
        path.unlink(missing_ok=True)
    with (
        contextlib.closing(sqlite.connect(layout.index)) as index,
        contextlib.closing(Bodies(layout.bodies, layout.spool, durable=False)) as bodies,
    ):
        # Before anything is removed, all that was committed becomes durable.
        index.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        _remove_unfinished(index, bodies)
        bodies.discard([Garbage(file) for (file,) in index.execute("SELECT file FROM garbage")])
        index.execute("DELETE FROM garbage")
        index.execute("DELETE FROM writers")


def _remove_unfinished(index: sqlite3.Connection, bodies: Bodies) -> None:
    """Look into the slots where dead writers last placed files (and their neighbours, for the turn of a slot)."""
    rows = index.execute("SELECT slot FROM writers").fetchall()
    for slot in sorted({slot + near for (slot,) in rows for near in (-1, 0, 1)}):
        for file in bodies.files(slot):
            if not is_known(index, file):
                bodies.remove(file)


def is_known(index: sqlite3.Connection, file: int) -> bool:
    """Whether the index has a row for a file."""
    query = "SELECT 1 FROM files WHERE id = ? UNION ALL SELECT 1 FROM garbage WHERE file = ?"
    return index.execute(query, (file, file)).fetchone() is not None
