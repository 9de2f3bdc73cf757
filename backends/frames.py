"""The stored form of encrypted bytes, as arithmetic: a salt, then frames of equal size, each with its tag.

    salt (16 bytes) · frame 0 · frame 1 · ... · last frame          frame: up to FRAME bytes, encrypted, and a tag

Stores keep these bytes without looking into them; `gateway.encryption` makes and reads them. An object of several
parts is that sequence once per part. Empty bytes are one empty frame. Sizes and offsets are bytes.
"""

from collections.abc import Sequence
from typing import NamedTuple

from backends.base import Span

SALT = 16
FRAME = 64 * 1024
TAG = 16


def stored_size(size: int) -> int:
    """The stored form's length of `size` bytes."""
    return SALT + size + TAG * frames_of(size)


def frames_of(size: int) -> int:
    """The number of frames of `size` bytes."""
    return max(1, -(-size // FRAME))


class Cover(NamedTuple):
    """What of one part is needed for a span: its salt, and the stored bytes `offset`, `length` (whole frames).

    `first` is the number of the first frame, `last` whether the part's last frame is among them. Of the decrypted bytes,
    `take` bytes after `skip` belong to the span.
    """

    part: int
    offset: int
    length: int
    first: int
    last: bool
    skip: int
    take: int


def cover(span: Span, sizes: Sequence[int]) -> list[Cover]:
    """The stored bytes that hold a span of an object whose parts (one for a plain object) have `sizes` bytes.

    The body of an open object is, for each of them, the salt (`SALT` bytes at 0 of the part) and the frames.
    """
    covers = []
    start, end = span.offset, span.offset + span.length
    for part, size in enumerate(sizes):
        if start < size and end > 0 and size:
            covers.append(_cover(part, size, max(start, 0), min(end, size)))
        start -= size
        end -= size
    return covers


def _cover(part: int, size: int, start: int, end: int) -> Cover:
    first, stop = start // FRAME, -(-end // FRAME)
    frames = frames_of(size)
    offset = SALT + first * (FRAME + TAG)
    length = min(stop * FRAME, size) - first * FRAME + TAG * (stop - first)
    return Cover(part, offset, length, first, stop == frames, start - first * FRAME, end - start)
