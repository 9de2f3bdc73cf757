"""Where bodies wait until they are verified: in memory while they are small and memory is left, else in a file.

A `Spool` belongs to a worker process; it keeps the account of memory and the threads that hash and write.
"""

import errno
import os
import secrets
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import ParamSpec, TypeVar

from gateway.checksums import Buffer
from gateway.errors import ServiceUnavailable

TEMPORARY_PREFIX = ".s3gw-spool-"
"""Names of temporary files begin so, where the file system knows no nameless ones: after a crash they are litter."""

_NO_TMPFILE = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOSYS})
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""The errors of a disk that is full."""
_MOST_BUFFERS = 512  # below IOV_MAX
_LEAST_SHARE = 16 * 1024

P = ParamSpec("P")
T = TypeVar("T")


class Spool:
    """Memory, files and threads for the bodies of one worker process.

    Bodies of up to `threshold` bytes stay in memory while all bodies there hold at most `max_memory` bytes.
    The others go to files in `directory`, or if that is empty in the directory that the backend names.
    """

    def __init__(self, threshold: int, max_memory: int, directory: str = "", threads: int = 0) -> None:
        self.threshold = threshold
        self.directory = directory
        self._max_memory = max_memory
        self._held = 0
        self._bodies = 0
        self._lock = threading.Lock()
        threads = threads or max(2, min(4, os.cpu_count() or 2))
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="body")

    @property
    def held(self) -> int:
        """Bytes that bodies hold in memory now."""
        return self._held

    def share(self, most: int) -> int:
        """What one body may gather before it is stored: its share of half the memory, from 16 KiB to `most` bytes."""
        return min(most, max(_LEAST_SHARE, self._max_memory // (2 * self._bodies or 1)))

    def reserve(self, count: int) -> bool:
        """Take `count` bytes of memory, if that many are left."""
        with self._lock:
            if self._held + count > self._max_memory:
                return False
            self._held += count
            return True

    def release(self, count: int) -> None:
        """Give them back."""
        with self._lock:
            self._held -= count

    def submit(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """Run the work in one of the threads."""
        return self._threads.submit(work, *args, **kwargs)

    def writer(self, directory: str, length: int | None = None) -> "Writer":
        """A place for one body, of `length` bytes if that is known."""
        with self._lock:
            self._bodies += 1
        return Writer(self, self.directory or directory, length)

    def forget(self) -> None:
        """A writer was closed."""
        with self._lock:
            self._bodies -= 1

    def close(self) -> None:
        """End the threads, after what they are doing."""
        self._threads.shutdown()


class TemporaryFile:
    """An open temporary file: nameless, or at `path`. A `SpoolFile` of backends.base."""

    __slots__ = ("fd", "path")

    def __init__(self, fd: int, path: str | None) -> None:
        self.fd = fd
        self.path = path

    def close(self) -> None:
        """Close it, and remove its name if it still has one; may be called twice."""
        if self.fd < 0:
            return
        os.close(self.fd)
        self.fd = -1
        if self.path is not None:
            with suppress(FileNotFoundError):
                os.unlink(self.path)


def open_temporary(directory: str) -> TemporaryFile:
    """A new file of mode 0600, nameless where the file system can. Makes the directory (0700) if it is missing."""
    try:
        return _open_temporary(directory)
    except FileNotFoundError:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        return _open_temporary(directory)


def _open_temporary(directory: str) -> TemporaryFile:
    flags = os.O_RDWR | os.O_CLOEXEC
    try:
        return TemporaryFile(os.open(directory, flags | os.O_TMPFILE, 0o600), None)
    except OSError as error:
        if error.errno not in _NO_TMPFILE:
            raise
    path = os.path.join(directory, TEMPORARY_PREFIX + secrets.token_hex(16))
    return TemporaryFile(os.open(path, flags | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), path)


class Writer:
    """One body on its way in: pieces in memory, or a file. Used by one thread at a time.

    `write` and `finish` raise ServiceUnavailable when the disk is full. `close` frees everything, whatever happened.
    """

    __slots__ = ("_closed", "_directory", "_file", "_pieces", "_reserved", "_small", "_spool", "size")

    def __init__(self, spool: Spool, directory: str, length: int | None) -> None:
        self.size = 0
        self._spool = spool
        self._directory = directory
        self._pieces: list[Buffer] = []
        self._reserved = 0
        self._closed = False
        self._file: TemporaryFile | None = None
        self._small = length is None or length <= spool.threshold

    def write(self, pieces: Sequence[Buffer], count: int) -> None:
        """Append the pieces, `count` bytes together."""
        self.size += count
        if self._file is None and self._stays(count):
            self._pieces += pieces
            return
        self._spill()
        self._write(pieces)

    def _stays(self, count: int) -> bool:
        self._small = self._small and self.size <= self._spool.threshold
        if not self._small or not self._spool.reserve(count):
            return False
        self._reserved += count
        return True

    def _spill(self) -> None:
        """Move what is in memory to the file."""
        if self._file is None:
            self._open()
        if self._pieces:
            self._write(self._pieces)
            self._forget()

    def _open(self) -> None:
        with _FullDisk():
            self._file = open_temporary(self._directory)

    def _write(self, pieces: Sequence[Buffer]) -> None:
        assert self._file is not None
        with _FullDisk():
            for start in range(0, len(pieces), _MOST_BUFFERS):
                write_all(self._file.fd, pieces[start : start + _MOST_BUFFERS])

    def _forget(self) -> None:
        self._pieces = []
        self._spool.release(self._reserved)
        self._reserved = 0

    def finish(self) -> tuple[bytes | None, TemporaryFile | None]:
        """The data or the file, whichever holds the body. The writer keeps owning it until `close`."""
        if self._file is not None:
            return None, self._file
        if len(self._pieces) != 1 or not isinstance(self._pieces[0], bytes):
            self._pieces = [b"".join(self._pieces)]
        return bytes(self._pieces[0]), None

    def close(self) -> None:
        """Free the memory, close and remove the file; may be called twice."""
        self._forget()
        if not self._closed:
            self._closed = True
            self._spool.forget()
        if self._file is not None:
            self._file.close()


def write_all(fd: int, pieces: Sequence[Buffer]) -> None:
    """Write all pieces in as few calls as possible; at most 1,024 pieces (IOV_MAX)."""
    rest = list(pieces)
    written = os.writev(fd, rest)
    while True:
        while rest and written >= len(rest[0]):
            written -= len(rest.pop(0))
        if not rest:
            return
        rest[0] = memoryview(rest[0])[written:]
        written = os.writev(fd, rest)


class _FullDisk:
    """Turns the errors of a full disk into S3's; others pass."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError) and error.errno in FULL:
            raise ServiceUnavailable("There is no space left to store the request.") from error
