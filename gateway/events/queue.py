"""The durable queue of events: an SQLite file in the store, shared by all workers.

A message is queued when its transaction is committed (and synced, where durability is full). One thread per process
writes what waits in one transaction, as the store's own writer does: a thousand deletions cost one sync. Processes take
turns by a file lock, because SQLite's busy handler polls.

A message leaves the queue when its target took it (`done`), or when `trim` gives it up: too old, or more than
`max_queued` of a target wait, of which the oldest go. Refusing new ones instead would fail requests whose change has
happened already; the oldest are what a target that was away for long misses least.

Times are milliseconds since 1970.
"""

import asyncio
import contextlib
import fcntl
import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS events (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    target TEXT NOT NULL,
    created INTEGER NOT NULL,
    due INTEGER NOT NULL,
    tries INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS events_of_target ON events (target, number);
CREATE TABLE IF NOT EXISTS pauses (target TEXT PRIMARY KEY, until INTEGER NOT NULL, tries INTEGER NOT NULL) STRICT;
"""
_BUSY_SECONDS = 30
_MAX_BATCH = 512
_TARGETS = "SELECT DISTINCT target FROM events"


class Message(NamedTuple):
    """A message to deliver. `number` names it, for the target too: a repeated delivery has the same."""

    number: int
    body: str
    tries: int


class _Job:
    """A change, and who waits for it."""

    __slots__ = ("apply", "future", "loop", "result")

    def __init__(self, apply: Callable[[sqlite3.Connection], Any]) -> None:
        self.apply = apply
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self.loop.create_future()
        self.result: Any = None

    def resolve(self, error: Exception | None) -> None:
        """Tell who waits; on the loop."""
        if self.future.done():
            return
        if error is None:
            self.future.set_result(self.result)
        else:
            self.future.set_exception(error)


class Queue:
    """The queue as one process sees it. `durable`: what is queued survives power loss, not only a crash of the process."""

    def __init__(self, directory: Path, *, durable: bool) -> None:
        path = directory / "events.sqlite"
        self._lock = os.open(directory / "events.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with self._exclusive():
            self._connection = _connect(path)
            self._connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._connection.executescript(_SCHEMA)
            self._reader = _connect(path)
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="s3gw-events", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Commit what is queued, and free everything. Blocks."""
        self._jobs.put(None)
        self._thread.join()
        self._reader.close()
        with self._exclusive():
            self._connection.close()
        os.close(self._lock)

    async def put(self, messages: Sequence[tuple[str, str]], now: int) -> None:
        """Queue messages, pairs of target and body; they are safe when this returns. Raises sqlite3.Error."""
        rows = [(target, now, now, body) for target, body in messages]

        def insert(connection: sqlite3.Connection) -> None:
            connection.executemany(
                "INSERT INTO events (target, created, due, tries, body) VALUES (?, ?, ?, 0, ?)", rows
            )

        await self._change(insert)

    async def done(self, target: str, message: Message) -> None:
        """The target took it."""

        def remove(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM events WHERE number = ?", (message.number,))
            connection.execute("DELETE FROM pauses WHERE target = ?", (target,))

        await self._change(remove)

    async def refused(self, message: Message, due: int) -> None:
        """The target works, but did not want this one: those behind it go first, it is tried again at `due`."""
        await self._change(
            lambda connection: connection.execute(
                "UPDATE events SET due = ?, tries = tries + 1 WHERE number = ?", (due, message.number)
            )
        )

    async def pause(self, target: str, until: int) -> None:
        """The target does not work: all its messages wait, in order."""
        await self._change(
            lambda connection: connection.execute(
                "INSERT INTO pauses VALUES (?, ?, 1)"
                " ON CONFLICT DO UPDATE SET until = excluded.until, tries = tries + 1",
                (target, until),
            )
        )

    async def trim(self, oldest: int, max_queued: int) -> dict[str, int]:
        """Give up messages created before `oldest`, and all but `max_queued` of a target. How many, by target."""

        def remove(connection: sqlite3.Connection) -> dict[str, int]:
            removed = {}
            for (target,) in connection.execute(_TARGETS).fetchall():
                removed[target] = connection.execute(
                    "DELETE FROM events WHERE target = ?1 AND (created < ?2 OR number <= ("
                    "SELECT number FROM events WHERE target = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?3))",
                    (target, oldest, max_queued),
                ).rowcount
            return {target: count for target, count in removed.items() if count}

        return await self._change(remove)

    def first(self, target: str, now: int) -> Message | None:
        """The message that is to be sent now; None if there is none, or if the target is to be left alone."""
        until, _ = self.paused(target)
        if until > now:
            return None
        row = self._reader.execute(
            "SELECT number, body, tries FROM events WHERE target = ? AND due <= ? ORDER BY number LIMIT 1",
            (target, now),
        ).fetchone()
        return Message(*row) if row else None

    def paused(self, target: str) -> tuple[int, int]:
        """Until when a target is left alone, and how often in a row it did not work."""
        row = self._reader.execute("SELECT until, tries FROM pauses WHERE target = ?", (target,)).fetchone()
        return row or (0, 0)

    def count(self, target: str) -> int:
        """How many messages wait for a target."""
        row = self._reader.execute("SELECT count(*) FROM events WHERE target = ?", (target,)).fetchone()
        number: int = row[0]
        return number

    async def _change(self, apply: Callable[[sqlite3.Connection], T]) -> T:
        job = _Job(apply)
        self._jobs.put(job)
        result: T = await job.future
        return result

    def _run(self) -> None:
        while True:
            jobs = self._take()
            self._work([job for job in jobs if job is not None])
            if None in jobs:
                return

    def _take(self) -> list[_Job | None]:
        """What waits, at least one."""
        jobs = [self._jobs.get()]
        with contextlib.suppress(queue.Empty):
            while len(jobs) < _MAX_BATCH:
                jobs.append(self._jobs.get_nowait())
        return jobs

    def _work(self, jobs: list[_Job]) -> None:
        """Apply and commit together; an error is everybody's."""
        failure: Exception | None = None
        try:
            with self._exclusive(), _transaction(self._connection):
                for job in jobs:
                    job.result = job.apply(self._connection)
        except (sqlite3.Error, OSError) as error:
            failure = error
        for job in jobs:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                job.loop.call_soon_threadsafe(job.resolve, failure)

    @contextlib.contextmanager
    def _exclusive(self) -> Iterator[None]:
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    return connection


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
