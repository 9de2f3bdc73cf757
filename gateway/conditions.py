"""What a request's headers say about ranges, conditions and times. Pure; deciding on them is the backend's part.

Header names are lower-case. Sources: RFC 9110 sections 5.6.7 (dates), 13 (conditions), 14 (ranges), and
https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-requests.html
"""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import NamedTuple

from backends.base import UNCONDITIONAL, ByteRange, Conditions
from gateway.errors import InvalidArgument, NotImplemented_

_RANGE = re.compile(r"\s*bytes\s*=([0-9]{0,64})-([0-9]{0,64})\s*", re.IGNORECASE)
_ETAG = re.compile(r'(?:W/)?"([^"]*)"|([^\s,"]+)')
_SIZE = re.compile(r"[0-9]{1,19}")
_LARGEST = 2**63 - 1


def parse_range(value: str) -> ByteRange | None:
    """One range of bytes: `bytes=a-b`, `bytes=a-`, `bytes=-n`.

    None for anything else (several ranges, another unit, the last before the first), which S3 answers with the
    whole object. Numbers are cut at 2^63 - 1.
    """
    match = _RANGE.fullmatch(value)
    if match is None:
        return None
    first, last = (min(int(digits), _LARGEST) if digits else None for digits in match.groups())
    if first is None and last is None:
        return None
    if first is not None and last is not None and last < first:
        return None
    return ByteRange(first, last)


def parse_if_range(value: str) -> Conditions:
    """`If-Range`: the ETag, or the very time of modification, with which a range counts. A weak ETag matches nothing."""
    moment = parse_time(value)
    if moment is not None:
        return Conditions(if_modified_time=moment)
    return Conditions(if_match=(value.strip().strip('"'),))


class _Names(NamedTuple):
    """The headers of one family of conditions."""

    match: str
    none_match: str
    modified_since: str
    unmodified_since: str


def _family(prefix: str) -> _Names:
    return _Names(*(prefix + tail for tail in ("match", "none-match", "modified-since", "unmodified-since")))


_READ = _family("if-")
_COPY_SOURCE = _family("x-amz-copy-source-if-")
_RENAME_SOURCE = _family("x-amz-rename-source-if-")
_DELETE_TIME = "x-amz-if-match-last-modified-time"
_DELETE_SIZE = "x-amz-if-match-size"


def read_conditions(headers: Mapping[str, str]) -> Conditions:
    """The conditions of a GET or HEAD."""
    return _conditions(headers, _READ)


def copy_source_conditions(headers: Mapping[str, str]) -> Conditions:
    """The conditions on the source of CopyObject and UploadPartCopy."""
    return _conditions(headers, _COPY_SOURCE)


def rename_source_conditions(headers: Mapping[str, str]) -> Conditions:
    """The conditions on the source of RenameObject."""
    return _conditions(headers, _RENAME_SOURCE)


def write_conditions(headers: Mapping[str, str]) -> Conditions:
    """`If-Match: etag` or `If-None-Match: *` of a write; NotImplemented for any other condition, and for both at once."""
    match, none_match, *times = (headers.get(name) for name in _READ)
    if match is None and none_match is None and times == [None, None]:
        return UNCONDITIONAL
    if times != [None, None]:
        raise NotImplemented_(Header="If-Modified-Since" if times[0] is not None else "If-Unmodified-Since")
    if match is not None and none_match is not None:
        raise NotImplemented_(
            "A combination of conflicting conditional headers that is not implemented.",
            Header="If-Match, If-None-Match",
        )
    if none_match is None:
        return Conditions(if_match=parse_etags(match))
    if none_match.strip() != "*":
        raise NotImplemented_(Header="If-None-Match")
    return Conditions(if_none_match=("*",))


def delete_conditions(headers: Mapping[str, str]) -> Conditions:
    """The conditions of DeleteObject. InvalidArgument for an unreadable one: it must not become a delete without condition."""
    match, time, size = headers.get("if-match"), headers.get(_DELETE_TIME), headers.get(_DELETE_SIZE)
    if match is None and time is None and size is None:
        return UNCONDITIONAL
    return Conditions(
        if_match=parse_etags(match),
        if_modified_time=_required(time, parse_time(time), _DELETE_TIME),
        if_size=_required(size, parse_size(size), _DELETE_SIZE),
    )


def _conditions(headers: Mapping[str, str], names: _Names) -> Conditions:
    match, none_match, modified, unmodified = names
    if (
        match not in headers
        and none_match not in headers
        and modified not in headers
        and unmodified not in headers
    ):
        return UNCONDITIONAL
    return Conditions(
        if_match=parse_etags(headers.get(match)),
        if_none_match=parse_etags(headers.get(none_match)),
        if_modified_since=parse_time(headers.get(modified)),
        if_unmodified_since=parse_time(headers.get(unmodified)),
    )


def _required(sent: str | None, parsed: int | None, header: str) -> int | None:
    if sent is not None and parsed is None:
        raise InvalidArgument(f"Invalid value for {header}.", ArgumentName=header, ArgumentValue=sent)
    return parsed


def parse_etags(value: str | None) -> tuple[str, ...]:
    """The ETags of a list, without quotes and without `W/`; empty only if there is no header.

    A header that holds no ETag gives one that no object has: a condition never vanishes by being malformed.
    """
    if value is None:
        return ()
    return tuple(quoted or bare for quoted, bare in _ETAG.findall(value)) or ("",)


def parse_size(value: str | None) -> int | None:
    """A number of bytes, None if it is none."""
    return int(value) if value is not None and _SIZE.fullmatch(value.strip()) else None


def parse_time(value: str | None) -> int | None:
    """Unix seconds of a date in one of RFC 9110's three formats or ISO 8601; None if it is none, or not a date."""
    if value is None or len(value) > 64:
        return None
    for parse in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            moment = parse(value.strip())
            return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
        except (ValueError, TypeError, OverflowError, IndexError):
            continue
    return None


_DAY_MINUTES = 1440
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_MINUTES = [f"{minute // 60:02}:{minute % 60:02}:" for minute in range(_DAY_MINUTES)]
_ISO_SECONDS = [f"{second:02}.000Z" for second in range(60)]
_HTTP_SECONDS = [f"{second:02} GMT" for second in range(60)]
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


# A listing formats a thousand times at once: only the day is worth calculating, the rest comes from tables.
@lru_cache(maxsize=4096)
def _iso_day(days: int) -> str:
    return date.fromordinal(_EPOCH_DAY + days).isoformat() + "T"


@lru_cache(maxsize=4096)
def _http_day(days: int) -> str:
    day = date.fromordinal(_EPOCH_DAY + days)
    return f"{_WEEKDAYS[day.weekday()]}, {day.day:02} {_MONTHS[day.month - 1]} {day.year:04} "


def iso_date(milliseconds: int) -> str:
    """`2026-11-21T06:27:31.000Z`, in whole seconds as in S3's listings."""
    second = milliseconds // 1000
    minute = second // 60
    day = minute // _DAY_MINUTES
    return _iso_day(day) + _MINUTES[minute - day * _DAY_MINUTES] + _ISO_SECONDS[second - minute * 60]


def http_date(milliseconds: int) -> str:
    """`Sat, 21 Nov 2026 06:27:31 GMT` (RFC 9110 IMF-fixdate)."""
    second = milliseconds // 1000
    minute = second // 60
    day = minute // _DAY_MINUTES
    return _http_day(day) + _MINUTES[minute - day * _DAY_MINUTES] + _HTTP_SECONDS[second - minute * 60]
