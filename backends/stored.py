"""The bytes that a store keeps of an object, and which of them an answer holds. Pure; the same for every backend.

Those of an encrypted object (`Doc.SSE` in its documents) have the form of `backends.frames`, part by part.
Sizes and offsets are bytes.
"""

from collections.abc import Sequence
from typing import NamedTuple

from backends.base import Doc, ObjectInfo, Span
from backends.frames import SALT, cover, stored_size


class Stretch(NamedTuple):
    """`length` stored bytes from `offset` of one part (0 for a plain object)."""

    part: int
    offset: int
    length: int


def stretches(info: ObjectInfo, span: Span) -> list[Stretch]:
    """The stored bytes that make the body of an open object, in order."""
    if info.docs and Doc.SSE in info.docs:
        return _encrypted(span, sizes(info))
    return _plain(span, sizes(info)) if info.parts else [Stretch(0, span.offset, span.length)]


def sizes(info: ObjectInfo) -> list[int]:
    """The size of each part; a plain object is one."""
    return [part.size for part in info.parts] if info.parts else [info.size]


def stored_sizes(info: ObjectInfo) -> list[int]:
    """The length of each part as it is stored."""
    return list(map(stored_size, sizes(info))) if Doc.SSE in info.docs else sizes(info)


def _encrypted(span: Span, sizes: Sequence[int]) -> list[Stretch]:
    """Of each part its salt, then the frames."""
    return [
        stretch
        for part, offset, length, *_ in cover(span, sizes)
        for stretch in (Stretch(part, 0, SALT), Stretch(part, offset, length))
    ]


def _plain(span: Span, sizes: Sequence[int]) -> list[Stretch]:
    found = []
    start, end = span.offset, span.offset + span.length
    for part, size in enumerate(sizes):
        if start < size and end > 0 and size:
            first = max(start, 0)
            found.append(Stretch(part, first, min(end, size) - first))
        start -= size
        end -= size
    return found
