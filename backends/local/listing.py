"""Walk an ordered scan of keys and fold what lies under a delimiter, at the cost of what is returned.

Rows are tuples that begin with the key. Positions are bytes: UTF-8 keys compare as their bytes do, and the
successor of a prefix (its last byte plus one) need not be UTF-8 itself. A UTF-8 byte is never 0xFF, so it exists.
"""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, NamedTuple

Row = tuple[Any, ...]
Seek = Callable[[bytes], Iterator[Row]]
"""Rows in order, from the first key that is not less than the position."""

END = b"\xff"
"""After every key."""
STEPS = 8
"""Rows under a common prefix that are stepped over before a new seek, as long as that helps: a seek costs eight steps."""


class Found(NamedTuple):
    """An item of a listing: a row, or (row None) a common prefix."""

    name: str
    row: Row | None


def successor(prefix: str) -> bytes:
    """The first position after everything that begins with `prefix`."""
    raw = prefix.encode()
    return raw[:-1] + bytes((raw[-1] + 1,)) if raw else END


def just_after(key: str) -> bytes:
    """The first position after `key` itself: no key holds NUL."""
    return key.encode() + b"\0"


def common_prefix(key: str, prefix: str, delimiter: str) -> str:
    """The part of `key` up to the first delimiter after `prefix`; empty if there is none."""
    cut = key.find(delimiter, len(prefix)) if delimiter else -1
    return key[: cut + len(delimiter)] if cut >= 0 else ""


def start(prefix: str, delimiter: str, after: str) -> bytes:
    """Where a page begins: after `after`, and after all it stands for if it is a common prefix."""
    if after < prefix:
        return prefix.encode()
    if after.startswith(prefix) and common_prefix(after, prefix, delimiter) == after != "":
        return successor(after)
    return just_after(after) if after else b""


def is_inside(prefix: str, delimiter: str, after: str) -> bool:
    """Whether `after` names a key of the listing, of which more than one row may follow: no common prefix."""
    return after.startswith(prefix) and common_prefix(after, prefix, delimiter) != after


def walk(rows: Iterator[Row], seek: Seek, prefix: str, delimiter: str) -> Iterator[Found]:
    """Rows and common prefixes in order; `rows` is the scan from the start."""
    row, steps = next(rows, None), STEPS
    while row is not None:
        common = common_prefix(row[0], prefix, delimiter)
        if not common:
            yield Found(row[0], row)
            row = next(rows, None)
            continue
        yield Found(common, None)
        row = next((row for row in islice(rows, steps) if not row[0].startswith(common)), None)
        steps = STEPS if row is not None else 1
        if row is None:
            rows = seek(successor(common))
            row = next(rows, None)


def take(found: Iterator[Found], limit: int) -> tuple[list[Found], bool]:
    """The first `limit` items, and whether there are more."""
    items = list(islice(found, limit + 1)) if limit > 0 else []
    return items[:limit], len(items) > limit
