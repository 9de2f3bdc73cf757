"""Group commit: one thread per process takes all changes that wait, and commits and syncs them together.

Why a thread: on the event loop itself a commit costs 5 % less CPU, but a sync or a busy lock would hold up every
request. A put of 4 KiB takes 22 microseconds of the loop's thread, and 35 to 60 of this one, SQLite and the kernel
included. Why one transaction for all: a sync costs as much for 64 changes as for one; 64 clients write 1.6 times as
much a second as 16, and "full" costs a tenth to a fifth over "relaxed" on a disk that syncs in 0.2 ms.

"relaxed" leaves out our own syncs only. SQLite still syncs around a checkpoint, so after power loss the index is
older, but sound; a body that it names may be missing, which fsck reports.

Among processes a file lock is taken before BEGIN: SQLite's own busy handler polls with growing sleeps. Checkpoints
run inside a commit or when idle, always under this lock, so that no two connections write or reset the log at once.

Durability "full". SQLite runs with `synchronous = NORMAL`, which in WAL mode does not sync a commit, and the writer
calls fdatasync on the `-wal` file itself, after COMMIT and after releasing the lock, before it answers. This is as
safe as `synchronous = FULL`, and lets processes overlap their syncs:

- A commit is frames appended to the log. fdatasync covers the whole file, hence these frames and all before them,
  of whichever process; after power loss SQLite keeps the longest valid run of frames, which contains them.
- The descriptor stays right: the log is only removed by the last connection to close, and this writer's is open;
  it is restarted in place (same file) and only after a checkpoint, which under NORMAL syncs the log before it copies
  pages and the database after, so a frame that was overwritten is in the database for good. Frames that another
  process has checkpointed before our fdatasync are durable already.
- Another reader may see a change between COMMIT and sync. It was not answered yet; a change that depends on it comes
  later in the log, and its sync covers both.

The bodies that a change refers to are synced, and their directory, before the change is queued (`bodies.place`).
Files that a change sets free are removed only after its sync, so a change that is lost never lost a body.
"""

import asyncio
import contextlib
import fcntl
import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any, Literal, TypeVar

from backends.local import sqlite
from backends.local.changes import SqliteChanges
from backends.local.failures import is_storage, log, refusal
from backends.local.generation import Generation
from backends.local.index import Changes, Garbage, Layout
from gateway.errors import InternalError, S3Error

T = TypeVar("T")

Durability = Literal["full", "relaxed"]
Apply = Callable[[Changes], Any]

MAX_BATCH = 512
IDLE_SECONDS = 1.0
"""After this much quiet the log is checkpointed, and garbage that was still being read is tried again."""
PENDING = object()


class _Job:
    """A change, and who waits for it. `undo` removes what was prepared for it, if it is not applied."""

    __slots__ = ("apply", "error", "future", "loop", "result", "undo")

    def __init__(
        self, apply: Apply, undo: Callable[[], None] | None, loop: asyncio.AbstractEventLoop | None
    ) -> None:
        self.apply = apply
        self.undo = undo
        self.loop = loop
        self.future: asyncio.Future[Any] | None = loop.create_future() if loop else None
        self.result: Any = PENDING
        self.error: S3Error | None = None

    def run(self, changes: SqliteChanges) -> None:
        """Apply it. A refusal is its outcome; any other error is the transaction's."""
        try:
            self.result = self.apply(changes)
        except S3Error as error:
            self.error = error

    @property
    def abandoned(self) -> bool:
        return self.future is not None and self.future.cancelled()

    def withdraw(self) -> None:
        """Remove what was prepared for a change that did not happen."""
        if self.undo is not None:
            with contextlib.suppress(OSError):
                self.undo()

    def resolve(self) -> None:
        """Tell who waits; on the loop."""
        assert self.future is not None
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


class Writer:
    """The writing connection of this process and its thread.

    `collect` is called, on the thread, with the files that a durable commit has set free.
    """

    def __init__(
        self,
        layout: Layout,
        durability: Durability,
        generation: Generation,
        collect: Callable[[Sequence[Garbage]], None],
    ) -> None:
        self._layout = layout
        self._generation = generation
        self._durable = durability == "full"
        self._collect = collect
        self._lock = os.open(layout.write_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with self._exclusive():
            self._connection = sqlite.connect(layout.index)
            self._connection.execute("SELECT version FROM schema").fetchone()  # opens the log
        self._wal = os.open(f"{layout.index}-wal", os.O_RDWR | os.O_CLOEXEC)
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._dirty = False
        self._thread = threading.Thread(target=self._run, name="s3gw-writer", daemon=True)
        self._thread.start()

    async def change(self, apply: Callable[[Changes], T], undo: Callable[[], None] | None = None) -> T:
        """Apply within a transaction, and return its result when it is committed and as durable as promised.

        `undo` is called, on the writer's thread, if it was not applied: refused, failed or cancelled.
        """
        job = _Job(apply, undo, asyncio.get_running_loop())
        self._queue.put(job)
        assert job.future is not None
        result: T = await job.future
        return result

    def post(self, apply: Callable[[SqliteChanges], None]) -> None:
        """Queue a change that nobody waits for; from any thread."""
        self._queue.put(_Job(apply, None, None))  # type: ignore[arg-type]

    def stop(self) -> None:
        """Commit what is queued, and end the thread. Blocks."""
        self._queue.put(None)
        self._thread.join()

    def close(self) -> None:
        """Commit what was queued since `stop`, and free everything. Blocks."""
        while not self._queue.empty():
            self._work([job for job in self._take() if job is not None])
        with self._exclusive():  # the last connection to close checkpoints the log
            self._connection.close()
        os.close(self._wal)
        os.close(self._lock)

    def _run(self) -> None:
        stopped = False
        while not stopped:
            batch = self._take()
            stopped = None in batch
            jobs = [job for job in batch if job is not None]
            try:
                self._work(jobs)
            except Exception:  # the thread must outlive anything
                log.exception("the writer failed")
                self._answer(jobs)

    def _work(self, jobs: list[_Job]) -> None:
        if jobs:
            self._commit(jobs)
        elif self._dirty:
            self._idle()

    def _take(self) -> list[_Job | None]:
        """All that waits; nothing after a quiet while."""
        try:
            batch = [self._queue.get(timeout=IDLE_SECONDS if self._dirty else None)]
        except queue.Empty:
            return []
        with contextlib.suppress(queue.Empty):
            while len(batch) < MAX_BATCH and batch[-1] is not None:
                batch.append(self._queue.get_nowait())
        return batch

    def _commit(self, jobs: list[_Job]) -> None:
        """One transaction for all. If one of them breaks it, each gets its own."""
        wanted = [job for job in jobs if not job.abandoned]
        try:
            garbage = self._transact(wanted)
        except Exception as error:
            if len(wanted) > 1 and not is_storage(error):
                for job in jobs:
                    self._commit([job])
                return
            for job in wanted:
                job.result, job.error = PENDING, refusal(error)
            garbage = []
        else:
            self._sync(wanted)
        self._answer(jobs)
        self._dirty = True
        if garbage:
            self._collect(garbage)

    def _transact(self, jobs: Sequence[_Job]) -> list[Garbage]:
        changes = SqliteChanges(self._connection)
        with self._exclusive():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                for job in jobs:
                    job.run(changes)
                if changes.buckets:
                    self._generation.bump()
                self._connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")  # SQLite may have done so itself
                raise
            if changes.buckets:
                with contextlib.suppress(OSError):  # it is committed: then rows of before last for a second
                    self._generation.bump()
        return changes.garbage

    def _sync(self, jobs: Sequence[_Job]) -> None:
        """Make the commit durable. If that fails the changes are visible but not certain: an error, nothing undone."""
        if not self._durable:
            return
        try:
            os.fdatasync(self._wal)
        except OSError as error:
            for job in jobs:
                job.undo = None
                job.error = job.error or refusal(error)

    def _answer(self, jobs: Sequence[_Job]) -> None:
        for job in jobs:
            if job.result is PENDING:
                job.error = job.error or InternalError()
                job.withdraw()
        for loop, answered in groupby(jobs, key=lambda job: job.loop):
            if loop is not None:
                with contextlib.suppress(RuntimeError):  # the loop is gone, and with it who waited
                    loop.call_soon_threadsafe(_resolve, list(answered))

    def _idle(self) -> None:
        """Checkpoint, and hand over garbage that could not be removed before."""
        with self._exclusive():
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        rows = self._connection.execute("SELECT file, guard FROM garbage LIMIT 1000").fetchall()
        self._dirty = bool(rows)
        if rows:
            os.fdatasync(self._wal)  # they may be another process's, not synced yet
            self._collect(list(map(Garbage._make, rows)))

    @contextlib.contextmanager
    def _exclusive(self) -> Iterator[None]:
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)


def _resolve(jobs: Sequence[_Job]) -> None:
    for job in jobs:
        job.resolve()
