"""What all signature schemes share: the request they look at, the rules they apply, and how they refuse."""

import logging
from calendar import timegm
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_tz
from functools import lru_cache
from typing import NamedTuple, Protocol

from auth.credential import Caller, Lookup, caller
from auth.sessions import open_token
from gateway.errors import AccessDenied, InvalidAccessKeyId, RequestTimeTooSkewed, S3Error

TOKEN = "x-amz-security-token"  # noqa: S105 - a header's name


class SignedRequest(Protocol):
    """A request as far as signatures are concerned. Nothing of its body is needed."""

    @property
    def method(self) -> str:
        """The HTTP method."""

    @property
    def raw_path(self) -> str:
        """The path with its percent-encoding exactly as on the wire."""

    @property
    def raw_query(self) -> str:
        """The query exactly as on the wire, without `?`."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Values by lower-case name, duplicates joined with a comma, bytes as latin-1."""

    @property
    def params(self) -> Mapping[str, str]:
        """The decoded query; of a repeated name the first value."""

    @property
    def bucket(self) -> str:
        """The bucket, decoded; empty if there is none."""

    @property
    def host_style(self) -> bool:
        """Whether the bucket came from the Host header, so that the raw path lacks it."""


class Rules(NamedTuple):
    """What a signature is held against: the keys, the region, the time (Unix seconds), its tolerance (s), the service."""

    lookup: Lookup
    region: str
    now: float
    clock_skew: float = 900
    service: str = "s3"


class Moment(NamedTuple):
    """A request's time: `basic` as in `20130524T000000Z`, `seconds` since the epoch."""

    basic: str
    seconds: int


@lru_cache(maxsize=1024)
def moment(text: str) -> Moment | None:
    """A time as clients send it: ISO 8601 basic, or one of RFC 7231's HTTP dates. None for anything else."""
    text = text.strip()
    try:
        seconds = _iso_basic(text) if text[8:9] == "T" else _http_date(text)
        return Moment(datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%dT%H%M%SZ"), seconds)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _iso_basic(text: str) -> int:
    digits = text[:8] + text[9:15]
    if len(text) != 16 or text[15] != "Z" or not (digits.isascii() and digits.isdigit()):
        raise ValueError(text)
    return timegm(datetime.strptime(text, "%Y%m%dT%H%M%SZ").timetuple())


def _http_date(text: str) -> int:
    parts = parsedate_tz(text)
    if parts is None:
        raise ValueError(text)
    return timegm(datetime(*parts[:6]).timetuple()) - (parts[9] or 0)


def request_time(headers: Mapping[str, str]) -> Moment:
    """The time of a header-signed request, from `x-amz-date` or `Date`. Raises AccessDenied without a valid one."""
    text = headers.get("x-amz-date")
    if text is None:
        text = headers.get("date", "")
    found = moment(text) if len(text) <= 64 else None
    if found is None:
        raise AccessDenied("AWS authentication requires a valid Date or x-amz-date header")
    return found


def check_skew(when: Moment, rules: Rules) -> None:
    """Raise RequestTimeTooSkewed if the request is too old or too young."""
    if abs(rules.now - when.seconds) > rules.clock_skew:
        raise RequestTimeTooSkewed(
            RequestTime=when.basic,
            ServerTime=iso(rules.now),
            MaxAllowedSkewMilliseconds=int(rules.clock_skew * 1000),
        )


def known(rules: Rules, access_key: str, token: str | None) -> Caller:
    """The caller behind an access key, and behind the session token that came with it.

    Raises InvalidAccessKeyId without a token: unknown, disabled and temporary keys look the same. Raises ExpiredToken, and
    InvalidToken for a token that is not this key's, and so for every token beside a permanent key.
    """
    if token is not None:
        return open_token(token, access_key, rules.lookup, rules.now)
    credential = rules.lookup(access_key)
    if credential is None or not credential.enabled:
        raise InvalidAccessKeyId(AWSAccessKeyId=shown(access_key))
    return caller(credential)


def query_token(request: SignedRequest) -> str | None:
    """The session token of a presigned URL: a parameter, in whatever spelling, or else a header."""
    found = (value for name, value in request.params.items() if name.lower() == TOKEN)
    return next(found, request.headers.get(TOKEN))


def iso(seconds: float) -> str:
    """Unix seconds as ISO 8601, e.g. `2013-05-24T00:00:00Z`."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def shown(text: str) -> str:
    """Text of a client as it may stand in an answer: short, and without control characters."""
    return "".join(c if c.isprintable() else "?" for c in text[:256])


def log_refusal(log: logging.Logger, request: SignedRequest, error: S3Error) -> None:
    """Say at debug level why a request was refused.

    Only the code, the message and the key's name: fields such as CanonicalRequest may hold a customer's encryption key.
    """
    if log.isEnabledFor(logging.DEBUG):
        log.debug(
            "refused %s %r: %s %r, access key %r",
            request.method,
            request.raw_path,
            error.code,
            error.message,
            error.fields.get("AWSAccessKeyId", ""),
        )
