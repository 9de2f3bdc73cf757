"""The `If-*` headers and ranges, decided by pure functions on what is stored.

Whoever changes an object calls these where the decision is atomic with the change: inside the index's transaction.

Sources: RFC 9110 section 13 (preconditions) and 14 (ranges);
https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html;
https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-requests.html
"""

from email.utils import formatdate
from typing import Protocol

from backends.base import UNCONDITIONAL, ByteRange, Conditions, ObjectInfo, PartInfo, Read, Span
from gateway.errors import (
    InvalidPartNumber,
    InvalidRange,
    NoSuchKey,
    NotModified,
    PreconditionFailed,
    S3Error,
)


class Validators(Protocol):
    """What conditions look at: ETag without quotes, modification time in ms, size in bytes."""

    @property
    def etag(self) -> str:
        """The ETag, without quotes."""

    @property
    def modified(self) -> int:
        """Milliseconds since the epoch."""

    @property
    def size(self) -> int:
        """Bytes."""


def check_read(conditions: Conditions, info: Validators) -> None:
    """Decide a GET or HEAD. Raises PreconditionFailed, or NotModified with the headers of the 304.

    Order of RFC 9110 section 13.2.2: If-Match, else If-Unmodified-Since; then If-None-Match, else If-Modified-Since.
    """
    if conditions is UNCONDITIONAL:
        return
    _check_unchanged(conditions, info, "")
    if conditions.if_none_match:
        if _matches(conditions.if_none_match, info.etag):
            raise not_modified(info)
    elif conditions.if_modified_since is not None and info.modified // 1000 <= conditions.if_modified_since:
        raise not_modified(info)


def check_copy_source(conditions: Conditions, info: Validators) -> None:
    """Decide `x-amz-copy-source-if-*`: as a read, but every failure is PreconditionFailed (there is no 304)."""
    if conditions is UNCONDITIONAL:
        return
    _check_unchanged(conditions, info, "x-amz-copy-source-")
    if conditions.if_none_match:
        if _matches(conditions.if_none_match, info.etag):
            raise PreconditionFailed(Condition="x-amz-copy-source-If-None-Match")
    elif conditions.if_modified_since is not None and info.modified // 1000 <= conditions.if_modified_since:
        raise PreconditionFailed(Condition="x-amz-copy-source-If-Modified-Since")


def check_write(conditions: Conditions, info: Validators | None, key: str = "") -> None:
    """Decide a write onto `info`, None if there is no object `key`. Raises PreconditionFailed, NoSuchKey.

    S3 knows `If-None-Match: *` only; an ETag there is accepted too and refuses to replace that content.
    """
    if conditions is UNCONDITIONAL:
        return
    if conditions.if_match:
        if info is None:
            raise NoSuchKey(Key=key)
        if not _matches(conditions.if_match, info.etag):
            raise PreconditionFailed(Condition="If-Match")
    if conditions.if_none_match and info is not None and _matches(conditions.if_none_match, info.etag):
        raise PreconditionFailed(Condition="If-None-Match")


def check_delete(conditions: Conditions, info: Validators | None, key: str = "") -> None:
    """Decide a deletion of `info`, None if there is no object `key`. Raises PreconditionFailed, NoSuchKey.

    On a missing object If-Match (an ETag or `*`) is NoSuchKey; the conditions on size and time hold. Sources:
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-deletes.html, and API_DeleteObject.html.
    """
    if conditions is UNCONDITIONAL:
        return
    if info is None:
        if conditions.if_match:
            raise NoSuchKey(Key=key)
        return
    if conditions.if_match and not _matches(conditions.if_match, info.etag):
        raise PreconditionFailed(Condition="If-Match")
    if conditions.if_modified_time is not None and info.modified // 1000 != conditions.if_modified_time:
        raise PreconditionFailed(Condition="x-amz-if-match-last-modified-time")
    if conditions.if_size is not None and info.size != conditions.if_size:
        raise PreconditionFailed(Condition="x-amz-if-match-size")


def not_modified(info: Validators) -> S3Error:
    """The 304, with the validators that RFC 9110 section 15.4.5 wants in it."""
    error = NotModified()
    error.headers["etag"] = f'"{info.etag}"'
    error.headers["last-modified"] = formatdate(info.modified // 1000, usegmt=True)
    return error


def resolve(how: Read, info: ObjectInfo) -> Span:
    """The bytes that `how` asks for. Raises InvalidRange, InvalidPartNumber."""
    if how.range is not None and _counts(how.range.only_if, info):
        return _range(how.range, info.size)
    if how.part is not None:
        return _part(how.part, info.size, info.parts)
    return Span(0, info.size)


def _counts(only_if: Conditions, info: Validators) -> bool:
    """Whether `If-Range` lets a range count (RFC 9110 section 13.1.5)."""
    if only_if.if_match:
        return info.etag in only_if.if_match
    return only_if.if_modified_time in (None, info.modified // 1000)


def _matches(wanted: tuple[str, ...], etag: str) -> bool:
    return "*" in wanted or etag in wanted


def _check_unchanged(conditions: Conditions, info: Validators, header: str) -> None:
    if conditions.if_match:
        if not _matches(conditions.if_match, info.etag):
            raise PreconditionFailed(Condition=f"{header}If-Match")
        return
    limit = conditions.if_unmodified_since
    if limit is not None and info.modified // 1000 > limit:
        raise PreconditionFailed(Condition=f"{header}If-Unmodified-Since")


def _range(wanted: ByteRange, size: int) -> Span:
    if wanted.first is None:
        if wanted.last and not size:  # RFC 9110 section 14.1.2: a suffix longer than the whole is the whole
            return Span(0, 0)
        length = min(wanted.last or 0, size)
        first = size - length
    else:
        first = wanted.first
        last = size - 1 if wanted.last is None else min(wanted.last, size - 1)
        length = last - first + 1
    if length <= 0:
        raise _unsatisfiable(wanted, size)
    return Span(first, length, partial=True)


def _unsatisfiable(wanted: ByteRange, size: int) -> S3Error:
    first = "" if wanted.first is None else wanted.first
    last = "" if wanted.last is None else wanted.last
    error = InvalidRange(RangeRequested=f"bytes={first}-{last}", ActualObjectSize=size)
    error.headers["content-range"] = f"bytes */{size}"
    return error


def _part(number: int, size: int, parts: tuple[PartInfo, ...]) -> Span:
    """A plain object is its own part 1. An empty part has no Content-Range, so its answer is not a 206."""
    if not parts:
        if number != 1:
            raise InvalidPartNumber(PartNumberRequested=number, ActualPartCount=1)
        return Span(0, size, partial=size > 0)
    offset = 0
    for part in parts:
        if part.number == number:
            return Span(offset, part.size, partial=part.size > 0)
        offset += part.size
    raise InvalidPartNumber(PartNumberRequested=number, ActualPartCount=len(parts))
