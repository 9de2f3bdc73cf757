"""Bodies in files: their names, how they come into the store whole, and how they are read and removed.

A file's id is its birth: milliseconds since the epoch, then 21 random bits. Ids order by time, and a directory (a
slot) holds 2**20 ms, about 17 minutes, of them; so recovery after a crash looks into one or two directories, not into
all of the store, and files that come together share the sync of their directory.
"""

import contextlib
import errno
import fcntl
import os
import re
import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from backends.base import FileSpan, Sealed, SpoolFile
from backends.local.index import Garbage
from gateway.errors import ServiceUnavailable

RANDOM_BITS = 21
SLOT_BITS = RANDOM_BITS + 20
_SLOT = re.compile("[0-9a-f]{6,}")
KEPT_FREE_BYTES = 64 * 1024 * 1024
"""Uploads leave so much of the disk free (a sixteenth of a small one): the index needs room to delete, too."""


def new_id() -> int:
    """An id for a file that is placed now."""
    return (time.time_ns() // 1_000_000) << RANDOM_BITS | secrets.randbits(RANDOM_BITS)


def slot_of(file: int) -> int:
    """The slot (a directory's number) of an id."""
    return file >> SLOT_BITS


def current_slot() -> int:
    """The slot of files placed now."""
    return (time.time_ns() // 1_000_000) >> (SLOT_BITS - RANDOM_BITS)


class Temporary:
    """A temporary file of the store: nameless where the file system can, else with a name that recovery removes."""

    def __init__(self, directory: str) -> None:
        self.path: str | None = None
        try:
            self.fd = os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT):
                raise
            self.path = f"{directory}/{secrets.token_hex(16)}"
            self.fd = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)

    def close(self) -> None:
        """See `SpoolFile.close`."""
        os.close(self.fd)
        if self.path is not None:
            os.unlink(self.path)


class Bodies:
    """The files of a store: `root` holds the slots, `spool` (same file system) what is not finished."""

    def __init__(self, root: str, spool: str, *, durable: bool) -> None:
        self._root = root
        self._spool = spool
        self._durable = durable
        self._device = os.stat(root).st_dev
        self._root_fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._slots: set[int] = set()

    def close(self) -> None:
        """Free the directory."""
        os.close(self._root_fd)

    def require_room(self, count: int) -> None:
        """Raise ServiceUnavailable unless `count` bytes fit and some space stays: a full disk could not even delete."""
        disk = os.fstatvfs(self._root_fd)
        kept = min(KEPT_FREE_BYTES, disk.f_blocks * disk.f_frsize // 16)
        if disk.f_blocks and disk.f_bavail * disk.f_frsize < count + kept:
            raise ServiceUnavailable("The store has no space left.")

    def path(self, file: int) -> str:
        """Where a file lies."""
        return f"{self._root}/{slot_of(file):06x}/{file:016x}"

    def place(self, sealed: Sealed) -> int:
        """Give the sealed bytes a name in the store, and return its id. Blocks.

        "full": the bytes and the name survive power loss when this returns.
        """
        with self._at_home(sealed) as source:
            if self._durable:
                os.fdatasync(source.fd)
            return self._link(source)

    def open(self, file: int) -> int:
        """Open for reading. Raises FileNotFoundError."""
        return os.open(self.path(file), os.O_RDONLY | os.O_CLOEXEC)

    def remove(self, file: int) -> None:
        """Remove a file, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path(file))

    def discard(self, garbage: Sequence[Garbage]) -> list[int]:
        """Remove what nobody reads, and return the ids that are gone. Blocks."""
        free = {guard: self._unread(guard) for guard in {item.guard for item in garbage}}
        gone = [item.file for item in garbage if free[item.guard]]
        for file in gone:
            self.remove(file)
        self._remove_slots({slot_of(file) for file in gone})
        return gone

    def files(self, slot: int) -> Iterator[int]:
        """The ids in a slot."""
        with contextlib.suppress(FileNotFoundError), os.scandir(f"{self._root}/{slot:06x}") as entries:
            for entry in entries:
                with contextlib.suppress(ValueError):
                    yield int(entry.name, 16)

    def slots(self) -> list[int]:
        """All slots, in order."""
        return sorted(int(name, 16) for name in os.listdir(self._root) if _SLOT.fullmatch(name))

    def _unread(self, guard: int | None) -> bool:
        """Whether no reader holds the guard of a multipart object (readers of single files need none)."""
        if guard is None:
            return True
        try:
            fd = self.open(guard)
        except FileNotFoundError:
            return True
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        else:
            # Removed while locked: who opens it from now on either fails, or sees that it has no name.
            self.remove(guard)
            return True
        finally:
            os.close(fd)

    @contextlib.contextmanager
    def _at_home(self, sealed: Sealed) -> Iterator[SpoolFile]:
        """The bytes as a file on the store's own file system."""
        if sealed.file is not None and os.fstat(sealed.file.fd).st_dev == self._device:
            yield sealed.file
            return
        copy = Temporary(self._spool)
        try:
            if sealed.file is not None:
                _copy(sealed.file.fd, copy.fd, sealed.length)
            else:
                _write(copy.fd, sealed.data or b"")
            yield copy
        finally:
            copy.close()

    def _link(self, source: SpoolFile) -> int:
        for _ in range(8):
            file = new_id()
            slot = self._enter(slot_of(file))
            try:
                self._link_into(slot, source, f"{file:016x}")
            except (FileExistsError, FileNotFoundError):
                continue  # an id taken in the same millisecond; a slot removed just now
            finally:
                os.close(slot)
            return file
        raise FileNotFoundError(errno.ENOENT, "the file cannot be linked", self._root)

    def _link_into(self, slot: int, source: SpoolFile, name: str) -> None:
        # With a directory fd Python calls linkat, which can follow the link that /proc has for a nameless file.
        origin = source.path or f"/proc/self/fd/{source.fd}"
        os.link(origin, name, src_dir_fd=self._root_fd, dst_dir_fd=slot, follow_symlinks=True)
        if self._durable:
            try:
                os.fsync(slot)
            except OSError:
                os.unlink(name, dir_fd=slot)
                raise

    def _enter(self, slot: int) -> int:
        """Open a slot's directory, made and durable. Blocks."""
        name = f"{slot:06x}"
        for _ in range(8):
            if slot not in self._slots:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(name, 0o700, dir_fd=self._root_fd)
                if self._durable:
                    os.fsync(self._root_fd)
                self._slots.add(slot)
            try:
                return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._root_fd)
            except FileNotFoundError:
                self._slots.discard(slot)
        raise FileNotFoundError(errno.ENOENT, "the directory of bodies vanishes", self._root)

    def _remove_slots(self, slots: Iterable[int]) -> None:
        """Remove old directories that became empty."""
        limit = current_slot() - 1
        for slot in slots:
            if slot < limit:
                with contextlib.suppress(OSError):
                    os.rmdir(f"{slot:06x}", dir_fd=self._root_fd)


class Piece(NamedTuple):
    """`length` bytes from `offset` of a file."""

    file: int
    offset: int
    length: int


class FilesBody:
    """A `FileBody` over pieces of files. The first is opened at once, so that its bytes cannot go away any more.

    The files of a multipart object are opened one after the other; meanwhile a shared lock on `guard` keeps all of
    them. Raises FileNotFoundError if the body was removed after its row was read: the caller looks again.
    """

    __slots__ = ("_bodies", "_fd", "_guard", "_pieces")

    def __init__(self, bodies: Bodies, pieces: Sequence[Piece], guard: int | None = None) -> None:
        self._bodies = bodies
        self._pieces = pieces
        self._guard = -1 if guard is None else _hold(bodies, guard)
        try:
            self._fd = bodies.open(pieces[0].file) if pieces else -1
        except FileNotFoundError:
            self.close_guard()
            raise

    def __iter__(self) -> Iterator[FileSpan]:
        opened = self._pieces[0].file if self._pieces else None
        for piece in self._pieces:
            if piece.file != opened:
                os.close(self._fd)
                self._fd = -1
                self._fd = self._bodies.open(piece.file)
                opened = piece.file
            yield FileSpan(self._fd, piece.offset, piece.length)

    def close(self) -> None:
        """See `FileBody.close`."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self.close_guard()

    def close_guard(self) -> None:
        """Let the files go."""
        if self._guard >= 0:
            os.close(self._guard)
            self._guard = -1


def _hold(bodies: Bodies, guard: int) -> int:
    """Take the shared lock of a multipart object, or FileNotFoundError if it is being removed."""
    fd = bodies.open(guard)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        if os.fstat(fd).st_nlink == 0:
            raise FileNotFoundError(errno.ENOENT, "removed", bodies.path(guard))
    except BlockingIOError:
        os.close(fd)
        raise FileNotFoundError(errno.ENOENT, "being removed", bodies.path(guard)) from None
    except FileNotFoundError:
        os.close(fd)
        raise
    return fd


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _copy(source: int, target: int, size: int) -> None:
    """Copy inside the kernel, also between file systems."""
    offset = 0
    while offset < size:
        count = os.sendfile(target, source, offset, size - offset)
        if not count:
            raise OSError(errno.EIO, "the spooled file is shorter than it was")
        offset += count
