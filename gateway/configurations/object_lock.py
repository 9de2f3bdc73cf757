"""Object lock: a bucket's `?object-lock`, an object's `?retention` and `?legal-hold`, and the headers of a write.

Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock.html
"""

import functools
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from backends import versions
from backends.base import Doc
from backends.clock import DAY_MS, LAST_SECOND
from backends.locks import Mode, Retention, read_retention
from gateway import xml
from gateway.context import Context
from gateway.errors import InvalidArgument, InvalidBucketState, InvalidRequest, MalformedXML

_MOST_DAYS = 36_500
_MOST_YEARS = 100
ENABLED = xml.document("ObjectLockConfiguration", xml.element("ObjectLockEnabled", "Enabled")).decode()
"""The document of a bucket that was made with object lock and has no default retention."""
MODE, UNTIL, HOLD = HEADERS = (
    "x-amz-object-lock-mode",
    "x-amz-object-lock-retain-until-date",
    "x-amz-object-lock-legal-hold",
)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)?")


class Default(NamedTuple):
    """A bucket's default retention: that many ms from the creation of an object."""

    mode: Mode
    duration: int


def read(data: bytes, context: Context) -> str:
    """The ObjectLockConfiguration to keep. Raises MalformedXML, InvalidBucketState (no versioning), InvalidArgument."""
    top = xml.parse(data, "ObjectLockConfiguration")
    if xml.text(top, "ObjectLockEnabled") != "Enabled" or {child.name for child in top.children} - {
        "ObjectLockEnabled",
        "Rule",
    }:
        raise MalformedXML()
    rules = xml.children(top, "Rule")
    period = _read_rule(rules) if rules else None
    if context.document_of_bucket(Doc.VERSIONING) != versions.ENABLED:
        raise InvalidBucketState(
            "Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration"
        )
    if period is None:
        return ENABLED
    mode, unit, number = period
    default = xml.element("DefaultRetention", xml.element("Mode", mode), xml.element(unit, number))
    return xml.document(
        "ObjectLockConfiguration", xml.element("ObjectLockEnabled", "Enabled"), xml.element("Rule", default)
    ).decode()


def _read_rule(rules: list[xml.Element]) -> tuple[str, str, int]:
    defaults = xml.children(rules[0], "DefaultRetention")
    if len(rules) != 1 or len(defaults) != 1:
        raise MalformedXML()
    found = xml.fields(defaults[0])
    units = found.keys() - {"Mode"}
    if found.get("Mode") not in Mode.__members__ or len(units) != 1 or not units <= {"Days", "Years"}:
        raise MalformedXML()
    unit = units.pop()
    if not re.fullmatch(r"-?\d{1,10}", found[unit]):
        raise MalformedXML()
    number, most = int(found[unit]), _MOST_DAYS if unit == "Days" else _MOST_YEARS
    if number <= 0:
        raise InvalidArgument("Default retention period must be a positive integer value.", ArgumentName=unit)
    if number > most:
        raise InvalidArgument("Default retention period too large.", ArgumentName=unit)
    return found["Mode"], unit, number


@functools.lru_cache(maxsize=256)
def load(text: str) -> Default | None:
    """The default retention of a kept configuration."""
    for rule in xml.children(xml.parse(text.encode(), "ObjectLockConfiguration"), "Rule"):
        found = xml.fields(xml.children(rule, "DefaultRetention")[0])
        days = int(found.get("Days", 0)) + 365 * int(found.get("Years", 0))
        return Default(Mode(found["Mode"]), days * DAY_MS)
    return None


def lock_documents(headers: Mapping[str, str], bucket: Mapping[Doc, str], now: int) -> dict[Doc, str]:
    """The lock that a write is given: by its headers, else by the bucket's default (`now` in ms).

    Raises InvalidRequest (the bucket has no object lock), InvalidArgument.
    """
    configuration = bucket.get(Doc.OBJECT_LOCK)
    if configuration is None and not any(name in headers for name in HEADERS):
        return {}
    docs = _asked(headers, now)
    if configuration is None:
        if docs != {Doc.LEGAL_HOLD: "OFF"}:
            raise InvalidRequest("Bucket is missing ObjectLockConfiguration")
        return {}
    default = load(configuration)
    if default is not None and Doc.RETENTION not in docs:
        docs[Doc.RETENTION] = str(Retention(default.mode, now + default.duration))
    return docs


def _asked(headers: Mapping[str, str], now: int) -> dict[Doc, str]:
    """The lock that the headers ask for."""
    docs: dict[Doc, str] = {}
    if HOLD in headers:
        docs[Doc.LEGAL_HOLD] = _hold(headers[HOLD])
    if MODE in headers or UNTIL in headers:
        docs[Doc.RETENTION] = str(_from_headers(headers, now))
    return docs


def _hold(value: str) -> str:
    if value not in ("ON", "OFF"):
        raise InvalidArgument(
            "Legal Hold must be either of 'ON' or 'OFF'", ArgumentName=HOLD, ArgumentValue=value
        )
    return value


def _from_headers(headers: Mapping[str, str], now: int) -> Retention:
    mode, until = headers.get(MODE), headers.get(UNTIL)
    if mode is None or until is None:
        raise InvalidArgument(
            "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied",
            ArgumentName=UNTIL if until is None else MODE,
        )
    if mode not in Mode.__members__:
        raise InvalidArgument("Unknown wormMode directive.", ArgumentName=MODE, ArgumentValue=mode)
    when = moment(until)
    if when is None:
        raise InvalidArgument(
            "The retain until date must be provided in ISO 8601 format",
            ArgumentName=UNTIL,
            ArgumentValue=until,
        )
    return Retention(Mode(mode), _future(when, now))


def moment(text: str) -> int | None:
    """Milliseconds of an ISO 8601 time; None of what is none."""
    if not _TIME.fullmatch(text):
        return None
    try:
        parsed = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))
        return int((parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None


def _future(when: int, now: int) -> int:
    if when <= now:
        raise InvalidArgument("The retain until date must be in the future!", ArgumentName=UNTIL)
    return when


def require(context: Context) -> None:
    """Raise InvalidRequest unless the bucket has object lock."""
    if context.document_of_bucket(Doc.OBJECT_LOCK) is None:
        raise InvalidRequest("Bucket is missing Object Lock Configuration")


def read_retention_document(data: bytes, now: int) -> str | None:
    """The `Doc.RETENTION` of a Retention document; None for an empty one, which removes it.

    Raises MalformedXML, InvalidArgument.
    """
    found = xml.fields(xml.parse(data, "Retention"))
    if not found:
        return None
    if found.keys() != {"Mode", "RetainUntilDate"} or found["Mode"] not in Mode.__members__:
        raise MalformedXML()
    when = moment(found["RetainUntilDate"])
    if when is None:
        raise MalformedXML()
    return str(Retention(Mode(found["Mode"]), _future(when, now)))


def show_retention(text: str) -> bytes:
    """The document that GetObjectRetention answers."""
    mode, until = _shown(text)
    return xml.document("Retention", xml.element("Mode", mode), xml.element("RetainUntilDate", until))


def read_hold_document(data: bytes) -> str:
    """The `Doc.LEGAL_HOLD` of a LegalHold document. Raises MalformedXML."""
    status = xml.text(xml.parse(data, "LegalHold"), "Status")
    if status not in ("ON", "OFF"):
        raise MalformedXML()
    return status


def show_hold(text: str) -> bytes:
    """The document that GetObjectLegalHold answers."""
    return xml.document("LegalHold", xml.element("Status", text))


def lock_headers(docs: Mapping[Doc, str]) -> dict[str, str]:
    """The headers that tell an object's lock."""
    headers = {}
    if Doc.RETENTION in docs:
        headers[MODE], headers[UNTIL] = _shown(docs[Doc.RETENTION])
    if Doc.LEGAL_HOLD in docs:
        headers[HOLD] = docs[Doc.LEGAL_HOLD]
    return headers


def _shown(text: str) -> tuple[str, str]:
    retention = read_retention(text)
    assert retention is not None
    seconds = min(retention.until // 1000, LAST_SECOND)
    until = datetime.fromtimestamp(seconds, UTC).replace(microsecond=retention.until % 1000 * 1000)
    return retention.mode, until.isoformat(timespec="milliseconds").replace("+00:00", "Z")
