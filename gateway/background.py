"""Work that recurs, done by one process at a time, however many there are.

The file of a task holds the time when it last began, and whoever works holds a lock on it. So a restart does not begin
anew, and a process that dies leaves its turn to the others.
"""

import asyncio
import contextlib
import fcntl
import logging
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Protocol

log = logging.getLogger("gateway.background")

_FIRST_SECONDS = 60.0
"""A process that has just started has better things to do."""


@contextlib.contextmanager
def turn(path: Path, interval: float = 0) -> Iterator[bool]:
    """Take the turn, for the time of a `with`: False if another process has it, or had it less than `interval` s ago."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        ours = _lock(fd) and _remaining(fd, interval) == 0
        if ours:
            os.pwrite(fd, f"{time.time():017.6f}\n".encode(), 0)
        yield ours
    finally:
        os.close(fd)


def remaining(path: Path, interval: float) -> float:
    """Seconds until the task is due: `interval` after it last began, at once if it never did."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0
    try:
        return _remaining(fd, interval)
    finally:
        os.close(fd)


class Task(Protocol):
    """What a worker does beside requests."""

    def start(self) -> None:
        """Begin; on the loop."""

    async def stop(self) -> None:
        """Finish what must be, and end."""


class Periodic:
    """Does `work` every `interval` seconds, in turn with other processes that have the same file. A failure is logged."""

    def __init__(self, name: str, work: Callable[[], Awaitable[object]], interval: float, path: Path) -> None:
        self._name = name
        self._work = work
        self._interval = interval
        self._path = path
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; on the loop."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """End at once, also amidst the work; may be called twice."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _run(self) -> None:
        await asyncio.sleep(min(self._interval, _FIRST_SECONDS))
        while True:
            try:
                with turn(self._path, self._interval) as ours:
                    if ours:
                        await self._work()
                pause = remaining(self._path, self._interval)
            except Exception:
                log.exception("%s failed; the next attempt is in %g s", self._name, self._interval)
                pause = self._interval
            await asyncio.sleep(pause or self._interval)


def _lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _remaining(fd: int, interval: float) -> float:
    try:
        ago = time.time() - float(os.pread(fd, 64, 0))
    except ValueError:
        return 0
    return max(0.0, interval - ago) if ago >= 0 else 0  # a clock that was set back does not stop the work
