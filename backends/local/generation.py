"""A number, common to all processes of a store, that changes whenever a bucket's row does.

Every request needs its bucket's documents (policy, ACL, CORS, ...). Reading the row costs 5 microseconds, looking at
this number a twentieth of one: it lies in a file that is mapped into memory, and while it stays the same, so do the
rows that were read since.

It is written before the commit (a file that cannot be written refuses the change) and after it, before the answer: a row
read between the two is not kept beyond the second. A crash between them leaves rows that were read in that moment; so
nothing is kept for longer than `MAX_AGE_SECONDS`.
"""

import contextlib
import itertools
import mmap
import os

MAX_AGE_SECONDS = 1.0
_BYTES = 8


class Generation:
    """The number in the file at `path`, made if it is not there."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if os.fstat(self._fd).st_size < _BYTES:
            # Written, not extended: a page of a sparse file may find no room when it is needed.
            os.pwrite(self._fd, bytes(_BYTES), 0)
        self._map: mmap.mmap | None = None
        with contextlib.suppress(OSError):
            self._map = mmap.mmap(self._fd, _BYTES, access=mmap.ACCESS_READ)
        self._never = itertools.count(-1, -1)

    def current(self) -> bytes | int:
        """The number as it is now, to be compared; where it cannot be mapped, never the same twice."""
        return next(self._never) if self._map is None else self._map[:_BYTES]

    def bump(self) -> None:
        """Change it, for every process; the caller holds the write lock. Raises OSError."""
        number = int.from_bytes(os.pread(self._fd, _BYTES, 0), "little") + 1
        os.pwrite(self._fd, (number % 2 ** (8 * _BYTES)).to_bytes(_BYTES, "little"), 0)

    def close(self) -> None:
        """Free the file."""
        if self._map is not None:
            self._map.close()
        os.close(self._fd)
