"""Check a store: index against bodies in both directions, and on demand every byte against its ETag.

It runs beside a live gateway: it reads in short steps, looks again before it reports, and leaves young files alone.
What needs a store at rest (reference counts, forgotten rows) is checked when nobody else uses it.
"""

import contextlib
import fcntl
import hashlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from backends.base import Doc
from backends.checksums import read_chunks
from backends.frames import stored_size
from backends.local import recovery, schema, sqlite
from backends.local.bodies import RANDOM_BITS, Bodies
from backends.local.index import Layout, documents, segments
from backends.local.rows import decode_write
from backends.versions import name_of

Progress = Callable[[int, int], None]

YOUNG_MS = 3600 * 1000
"""A file without a row that is younger may belong to a write that is under way."""
STEP = 1000
"""Rows read at a time: a long read would keep the write-ahead log from being reused."""

_OBJECT = (
    "SELECT k.name, o.bucket, o.key, o.seq, o.version, o.size, o.etag, o.docs, o.body,"
    " b.file, b.segments, b.data IS NOT NULL"
    " FROM %s o JOIN buckets k ON k.id = o.bucket LEFT JOIN bodies b ON b.id = o.body"
)
_STEP_OBJECTS = f"{_OBJECT % 'objects'} WHERE (o.bucket, o.key) > (?, ?) ORDER BY o.bucket, o.key LIMIT ?"
_STEP_VERSIONS = (
    f"{_OBJECT % 'versions'} WHERE o.body IS NOT NULL AND (o.bucket, o.key, -o.seq) > (?, ?, ?)"
    " ORDER BY o.bucket, o.key, o.seq DESC LIMIT ?"
)
_STEP_PARTS = (
    "SELECT p.upload, p.number, p.size, p.etag, p.file, u.write"
    " FROM parts p LEFT JOIN uploads u ON u.upload = p.upload"
    " WHERE (p.upload, p.number) > (?, ?) ORDER BY p.upload, p.number LIMIT ?"
)


@dataclass(frozen=True, slots=True)
class Report:
    """What was found. Objects are named `bucket/key`, versions `bucket/key?versionId=id`, litter by its path."""

    objects: int
    """With all their versions, but without delete markers."""
    bodies: int
    """Files that belong to objects and uploads."""
    missing: tuple[str, ...]
    """Objects and parts with a body that is not there."""
    damaged: tuple[str, ...]
    """`name: what is wrong`."""
    litter: tuple[str, ...]
    """Files that nothing refers to."""
    repaired: int
    """How many findings were put right: litter removed, counts corrected. Lost bytes cannot be."""
    alone: bool
    """Whether the store was at rest, and everything could be checked."""

    @property
    def ok(self) -> bool:
        """Nothing is wrong that is left wrong."""
        return not self.missing and not self.damaged and self.repaired >= len(self.litter)


def check(
    path: str | os.PathLike[str],
    *,
    repair: bool = False,
    progress: Progress | None = None,
    verify: bool = False,
) -> Report:
    """Check the store at `path`; blocks. `verify` reads every byte; `progress(done, total)` counts rows and files.

    The bytes of an encrypted body tell nothing without its key: of these only the length is checked.

    Raises FileNotFoundError if there is no store, UnknownSchema for one of another version.
    """
    layout = Layout(os.path.abspath(os.fspath(path)))
    if not Path(layout.index).exists():
        raise FileNotFoundError(f"There is no store at {layout.root}.")
    with contextlib.ExitStack() as stack:
        lock = os.open(layout.use_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        stack.callback(os.close, lock)
        alone = _alone(lock)
        with sqlite.locked(layout.write_lock):
            schema.prepare(layout.index, alone=alone)
        index = stack.enter_context(contextlib.closing(sqlite.connect(layout.index)))
        bodies = stack.enter_context(contextlib.closing(Bodies(layout.bodies, layout.spool, durable=False)))
        return _Check(layout, index, bodies, alone, repair, verify, progress).run()


def _alone(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class _Row(NamedTuple):
    """A version of an object, as `_OBJECT` selects it."""

    name: str
    bucket: int
    key: str
    seq: int
    version: str | None
    size: int
    etag: str
    docs: str | None
    body: int
    file: int | None
    segments: str | None
    inline: bool


class _Body(NamedTuple):
    """Where a body lies, and what it must be."""

    name: str
    sizes: tuple[int, ...]
    """Of each part, before encryption."""
    etag: str
    encrypted: bool
    files: tuple[int, ...] = ()
    multipart: bool = False
    inline: int | None = None
    """The row of an inline body."""

    @property
    def stored(self) -> int:
        """How many bytes there must be."""
        return sum(map(stored_size, self.sizes) if self.encrypted else self.sizes)


@dataclass(slots=True)
class _Check:
    layout: Layout
    index: sqlite3.Connection
    bodies: Bodies
    alone: bool
    repair: bool
    verify: bool
    progress: Progress | None
    missing: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    litter: list[str] = field(default_factory=list)
    objects: int = 0
    repaired: int = 0
    done: int = 0
    total: int = 0

    def run(self) -> Report:
        self.index.execute("PRAGMA temp_store = FILE")
        self.index.execute("CREATE TEMP TABLE seen (body INTEGER PRIMARY KEY, refs INTEGER NOT NULL)")
        self.index.execute("CREATE TEMP TABLE held (file INTEGER PRIMARY KEY)")
        self.damaged += [
            f"index: {text}" for (text,) in self.index.execute("PRAGMA integrity_check") if text != "ok"
        ]
        tables = ("objects", "versions", "parts", "files")
        counts = "SELECT " + " + ".join(f"(SELECT count(*) FROM {table})" for table in tables)  # noqa: S608
        (self.total,) = self.index.execute(counts).fetchone()
        self._all_bodies()
        self._all_files()
        if self.alone:
            self._rows_at_rest()
        (files,) = self.index.execute("SELECT count(*) FROM files").fetchone()
        return Report(
            self.objects,
            files,
            tuple(self.missing),
            tuple(self.damaged),
            tuple(self.litter),
            self.repaired,
            self.alone,
        )

    def _step(self, count: int = 1) -> None:
        self.done += count
        if self.progress is not None:
            self.progress(min(self.done, self.total), self.total)

    def _all_bodies(self) -> None:
        for body in self._objects():
            self.objects += 1
            self._body(body)
        for body in self._parts():
            self._body(body)

    def _objects(self) -> Iterator[_Body]:
        rows = _steps(self.index, _STEP_OBJECTS, (0, ""), lambda row: row[1:3])
        for row in map(_Row._make, rows):
            yield from self._object(f"{row.name}/{row.key}", row)
        rows = _steps(self.index, _STEP_VERSIONS, (0, "", 0), lambda row: (row[1], row[2], -row[3]))
        for row in map(_Row._make, rows):
            yield from self._object(f"{row.name}/{row.key}?versionId={name_of(row.version)}", row)

    def _object(self, label: str, row: _Row) -> Iterator[_Body]:
        self.index.execute(
            "INSERT INTO seen VALUES (?, 1) ON CONFLICT DO UPDATE SET refs = refs + 1", (row.body,)
        )
        encrypted = row.docs is not None and Doc.SSE in documents(row.docs)
        found = _Body(label, (row.size,), row.etag, encrypted)
        if row.segments is not None:
            files, parts = segments(row.segments)
            yield found._replace(sizes=tuple(part.size for part in parts), files=files, multipart=True)
        elif row.file is not None:
            yield found._replace(files=(row.file,))
        elif row.inline:
            yield found._replace(inline=row.body)
        else:
            self.missing.append(label)

    def _parts(self) -> Iterator[_Body]:
        rows = _steps(self.index, _STEP_PARTS, ("", 0), lambda row: (row[0], row[1]))
        for upload, number, size, etag, file, write in rows:
            encrypted = write is not None and Doc.SSE in decode_write(write).docs
            yield _Body(f"upload {upload} part {number}", (size,), etag, encrypted, (file,))

    def _body(self, body: _Body) -> None:
        self._step()
        self.index.executemany("INSERT OR IGNORE INTO held VALUES (?)", [(file,) for file in body.files])
        try:
            wrong = self._wrong(body)
        except FileNotFoundError:
            if self._still_held(body):
                self.missing.append(body.name)
            return
        if wrong:
            self.damaged.append(f"{body.name}: {wrong}")

    def _wrong(self, body: _Body) -> str:
        """What is wrong with a body; empty if nothing. Raises FileNotFoundError."""
        if body.inline is not None:
            return self._wrong_inline(body, body.inline)
        size = sum(Path(self.bodies.path(file)).stat().st_size for file in body.files)
        if size != body.stored:
            return f"{size} bytes instead of {body.stored}"
        if self.verify and not body.encrypted and self._etag(body) != body.etag:
            return "the bytes do not match the ETag"
        return ""

    def _wrong_inline(self, body: _Body, row: int) -> str:
        found = self.index.execute(
            f"SELECT length(data), {'data' if self.verify else 'NULL'} FROM bodies WHERE id = ?",  # noqa: S608
            (row,),
        ).fetchone()
        if found is None:  # replaced meanwhile
            return ""
        size, data = found
        if size != body.stored:
            return f"{size} bytes instead of {body.stored}"
        if data is not None and not body.encrypted and hashlib.md5(data).hexdigest() != body.etag:
            return "the bytes do not match the ETag"
        return ""

    def _etag(self, body: _Body) -> str:
        digests = [self._md5(file) for file in body.files]
        if not body.multipart:
            return digests[0].hex()
        return f"{hashlib.md5(b''.join(digests)).hexdigest()}-{len(digests)}"

    def _md5(self, file: int) -> bytes:
        fd = self.bodies.open(file)
        try:
            state = hashlib.md5()
            for chunk in read_chunks(fd, os.fstat(fd).st_size):
                state.update(chunk)
            return state.digest()
        finally:
            os.close(fd)

    def _still_held(self, body: _Body) -> bool:
        """Whether the missing files still belong to something, or were deleted while we looked."""
        return any(self._has_row(file) for file in body.files) or self.alone

    def _has_row(self, file: int) -> bool:
        return self.index.execute("SELECT 1 FROM files WHERE id = ?", (file,)).fetchone() is not None

    def _all_files(self) -> None:
        limit = (time.time_ns() // 1_000_000 - YOUNG_MS) << RANDOM_BITS
        for slot in self.bodies.slots():
            for file in self.bodies.files(slot):
                self._step()
                if (self.alone or file < limit) and not recovery.is_known(self.index, file):
                    self._litter(self.bodies.path(file))
        if self.alone:
            for path in Path(self.layout.spool).iterdir():
                self._litter(str(path))
            waiting = self.index.execute("SELECT file FROM garbage").fetchall()
            for (file,) in waiting:
                if Path(self.bodies.path(file)).exists():
                    self._litter(self.bodies.path(file))

    def _litter(self, path: str) -> None:
        self.litter.append(path)
        if self.repair:
            Path(path).unlink(missing_ok=True)
            self.repaired += 1

    def _rows_at_rest(self) -> None:
        """Rows that disagree with each other; only counted right while nobody writes."""
        self._put_right(
            "SELECT id FROM bodies WHERE id NOT IN (SELECT body FROM seen)",
            "DELETE FROM bodies WHERE id = ?",
            "a body that no object has",
        )
        self._put_right(
            "SELECT id FROM bodies JOIN seen ON seen.body = id WHERE bodies.refs != seen.refs",
            "UPDATE bodies SET refs = (SELECT refs FROM seen WHERE body = id) WHERE id = ?",
            "a wrong count of references",
        )
        self._put_right(
            "SELECT id FROM files WHERE id NOT IN (SELECT file FROM held)",
            "DELETE FROM files WHERE id = ?",
            "a file that no body has",
            self.bodies.remove,
        )
        self._put_right(
            "SELECT file FROM held WHERE file NOT IN (SELECT id FROM files)",
            "INSERT INTO files VALUES (?, 0)",
            "a file without a row",
        )
        self._unreachable()
        if self.repair:
            self.index.execute("DELETE FROM garbage")

    def _unreachable(self) -> None:
        """Keys whose newest version is neither the current object nor a delete marker: see `schema`."""
        rows = self.index.execute(
            "SELECT k.name, v.key, v.bucket, max(v.seq), v.body IS NULL FROM versions v"
            " JOIN buckets k ON k.id = v.bucket GROUP BY v.bucket, v.key"
        )
        for name, key, bucket, seq, marker in rows:
            newest = self.index.execute(
                "SELECT seq FROM objects WHERE bucket = ? AND key = ?", (bucket, key)
            ).fetchone()
            if (newest is None and not marker) or (newest is not None and newest[0] <= seq):
                self.damaged.append(f"index: no version of {name}/{key} is the current one")

    def _put_right(
        self, find: str, change: str, what: str, also: Callable[[int], None] | None = None
    ) -> None:
        rows = self.index.execute(find).fetchall()
        for (number,) in rows:
            if not self.repair:
                self.damaged.append(f"index: {what} ({number:x})")
                continue
            with sqlite.locked(self.layout.write_lock):
                self.index.execute(change, (number,))
            if also is not None:
                also(number)
            self.repaired += 1


Key = tuple[Any, ...]
Row = tuple[Any, ...]


def _steps(
    index: sqlite3.Connection, query: str, start: Key, position: Callable[[Row], Key]
) -> Iterator[Row]:
    """All rows of an ordered query, a step at a time."""
    while rows := index.execute(query, (*start, STEP)).fetchall():
        yield from rows
        start = position(rows[-1])
