"""`?lifecycle`: the rules by which objects, versions and uploads go away. `gateway.lifecycle` carries them out.

There is one kind of storage here, so a rule with a `Transition` could never be kept: it is refused with
NotImplemented, as a whole, because a configuration of which half works would be worse than none.

A kept configuration is the default minimum size of transitions (which only has to be told again) on a line of its
own, and the document, its elements in S3's order and every rule with an ID.

Sources: https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketLifecycleConfiguration.html,
https://docs.aws.amazon.com/AmazonS3/latest/userguide/intro-lifecycle-rules.html,
https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
"""

import functools
import re
import uuid
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

from backends.base import MAX_KEY_BYTES
from backends.clock import DAY_MS
from gateway import xml
from gateway.context import Context
from gateway.errors import InvalidArgument, InvalidRequest, InvalidTag, MalformedXML, NotImplemented_

MAX_RULES = 1000
_MAX_ID = 255
_MAX_INT = 2**31 - 1
_MAX_SIZE = 1000 * 1024**4
"""Bytes; the largest size that a filter may name."""
_MAX_NEWER = 100
_MAX_TAG_KEY, _MAX_TAG_VALUE = 128, 256

MINIMUM_SIZE = "x-amz-transition-default-minimum-object-size"
_MINIMUM_SIZES = ("all_storage_classes_128K", "varies_by_storage_class")

_NUMBER = re.compile(r"[+-]?\d{1,19}", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)?)?", re.ASCII)
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}

_PREDICATES = ("Prefix", "Tag", "ObjectSizeGreaterThan", "ObjectSizeLessThan")
_TRANSITIONS = ("Transition", "NoncurrentVersionTransition")
_TIERS = ("STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE")
_ACTIONS = ("Expiration", "NoncurrentVersionExpiration", "AbortIncompleteMultipartUpload")
_SCHEMA: Mapping[str, Sequence[str]] = {
    "LifecycleConfiguration": ("Rule",),
    "Rule": ("ID", "Prefix", "Filter", "Status", *_TRANSITIONS, *_ACTIONS),
    "Filter": (*_PREDICATES, "And"),
    "And": _PREDICATES,
    "Tag": ("Key", "Value"),
    "Expiration": ("Days", "Date", "ExpiredObjectDeleteMarker"),
    "NoncurrentVersionExpiration": ("NoncurrentDays", "NewerNoncurrentVersions"),
    "AbortIncompleteMultipartUpload": ("DaysAfterInitiation",),
    "Transition": ("Date", "Days", "StorageClass"),
    "NoncurrentVersionTransition": ("NoncurrentDays", "NewerNoncurrentVersions", "StorageClass"),
}
"""What an element may hold, in the order in which S3 shows it; elements that do not stand here hold text."""
_REPEATABLE = frozenset(
    {("LifecycleConfiguration", "Rule"), ("And", "Tag"), *(("Rule", name) for name in _TRANSITIONS)}
)


@dataclass(frozen=True, slots=True)
class Filter:
    """What a rule is about: keys with `prefix`, all of `tags`, and `larger_than` < size < `smaller_than` (bytes)."""

    prefix: str = ""
    tags: tuple[tuple[str, str], ...] = ()
    larger_than: int | None = None
    smaller_than: int | None = None

    def covers(self, key: str, size: int) -> bool:
        """Whether an object falls under it, as far as its key and size tell."""
        return (
            key.startswith(self.prefix)
            and (self.larger_than is None or size > self.larger_than)
            and (self.smaller_than is None or size < self.smaller_than)
        )

    def tagged(self, tags: Mapping[str, str]) -> bool:
        """Whether an object with these tags has those that are asked for."""
        return all(tags.get(name) == value for name, value in self.tags)


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. A field that is None (or False) is an action that it does not have.

    `date` is in ms. `newer_noncurrent` is how many noncurrent versions stay however old they are.
    """

    id: str
    enabled: bool
    filter: Filter
    days: int | None = None
    date: int | None = None
    expired_marker: bool = False
    noncurrent_days: int | None = None
    newer_noncurrent: int = 0
    abort_days: int | None = None


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """The rules of a bucket, in order. Those in `active` are enabled."""

    rules: tuple[Rule, ...]
    active: tuple[Rule, ...]


def read(data: bytes, context: Context) -> str:
    """The configuration to keep.

    Raises MalformedXML, InvalidRequest, InvalidArgument, InvalidTag; NotImplemented for rules with transitions.
    """
    top = xml.parse(data, "LifecycleConfiguration")
    _check_shape(top)
    rules = top.children
    if not rules:
        raise InvalidRequest("At least one lifecycle rule must be specified.")
    if len(rules) > MAX_RULES:
        raise InvalidRequest("The number of lifecycle rules must not exceed the allowed limit of 1000 rules.")
    for rule in rules:
        _name(rule)
    _check_forms(rules)
    _check_ids([_rule(rule).id for rule in rules])
    if any(child.name in _TRANSITIONS for rule in rules for child in rule.children):
        raise NotImplemented_("Transitions are not implemented: there is one storage tier.")
    return f"{_minimum_size(context)}\n{_document(top)}"


@functools.lru_cache(maxsize=256)
def load(text: str) -> Lifecycle:
    """The rules of a kept configuration."""
    top = xml.parse(text.partition("\n")[2].encode(), "LifecycleConfiguration")
    rules = tuple(_rule(rule) for rule in top.children)
    return Lifecycle(rules, tuple(rule for rule in rules if rule.enabled))


def show(text: str) -> bytes:
    """The document that GET answers."""
    return text.partition("\n")[2].encode()


def headers(text: str) -> dict[str, str]:
    """The headers that PUT and GET answer."""
    return {MINIMUM_SIZE: text.partition("\n")[0]}


def _check_shape(element: xml.Element) -> None:
    """MalformedXML for an element where none of its name may stand, for a second one, and for a leaf with children."""
    allowed = _SCHEMA.get(element.name, ())
    seen: set[str] = set()
    for child in element.children:
        if child.name not in allowed:
            raise MalformedXML()
        if child.name in seen and (element.name, child.name) not in _REPEATABLE:
            raise MalformedXML()
        seen.add(child.name)
        _check_shape(child)


def _document(top: xml.Element) -> str:
    return xml.document(top.name, *(_markup(child) for child in top.children)).decode()


def _markup(element: xml.Element) -> xml.Markup:
    order = _SCHEMA.get(element.name)
    if order is None:
        return xml.element(element.name, element.text)
    ordered = sorted(element.children, key=lambda child: order.index(child.name))
    return xml.element(element.name, *(_markup(child) for child in ordered))


def _name(rule: xml.Element) -> None:
    """Give a rule without an ID one of S3's form: the base64 text of a random UUID."""
    if xml.text(rule, "ID"):
        return
    rule.children = [child for child in rule.children if child.name != "ID"]
    made = xml.Element("ID")
    made.text = b64encode(str(uuid.uuid4()).encode()).decode()
    rule.children.append(made)


def _check_ids(ids: Sequence[str]) -> None:
    if any(len(name) > _MAX_ID for name in ids):
        raise InvalidArgument("ID length should not exceed allowed limit of 255")
    if len(set(ids)) != len(ids):
        raise InvalidArgument("Rule ID must be unique. Found same ID for more than one rule")


def _check_forms(rules: Sequence[xml.Element]) -> None:
    """A rule has a Filter or, in the old form, a Prefix; the two forms do not mix."""
    modern = [bool(xml.children(rule, "Filter")) for rule in rules]
    legacy = [bool(xml.children(rule, "Prefix")) for rule in rules]
    if any(new == old for new, old in zip(modern, legacy, strict=True)):
        raise MalformedXML()
    for before, after in pairwise(modern):
        if before and not after:
            raise InvalidRequest(
                "Base level prefix cannot be used in Lifecycle V2, prefixes are only supported in the Filter."
            )
        if after and not before:
            raise InvalidRequest("Filter element can only be used in Lifecycle V2.")


def _minimum_size(context: Context) -> str:
    value = context.header(MINIMUM_SIZE, _MINIMUM_SIZES[0])
    if value not in _MINIMUM_SIZES:
        raise InvalidRequest(f"Invalid TransitionDefaultMinimumObjectSize found: {value}")
    return value


def _rule(element: xml.Element) -> Rule:
    status = xml.text(element, "Status")
    if status not in ("Enabled", "Disabled"):
        raise MalformedXML()
    parts = {child.name: child for child in element.children}
    if parts.keys().isdisjoint((*_ACTIONS, *_TRANSITIONS)):
        raise InvalidRequest("At least one action needs to be specified in a rule")
    for child in element.children:
        if child.name in _TRANSITIONS:
            _check_transition(child)
    found = _filter(parts["Filter"]) if "Filter" in parts else Filter(_prefix(element))
    days, date, expired_marker = _expiration(parts.get("Expiration"), found)
    noncurrent_days, newer = _noncurrent(parts.get("NoncurrentVersionExpiration"), "Filter" in parts)
    return Rule(
        xml.text(element, "ID") or "",
        status == "Enabled",
        found,
        days,
        date,
        expired_marker,
        noncurrent_days,
        newer,
        _abort(parts.get("AbortIncompleteMultipartUpload"), found),
    )


def _filter(element: xml.Element) -> Filter:
    """At most one predicate, or at least two of them in an And."""
    if len(element.children) > 1:
        raise MalformedXML()
    joined = xml.children(element, "And")
    if joined and len(joined[0].children) < 2:
        raise MalformedXML()
    return _predicates(joined[0] if joined else element)


def _predicates(element: xml.Element) -> Filter:
    larger = _size(element, "ObjectSizeGreaterThan", 0)
    smaller = _size(element, "ObjectSizeLessThan", 1)
    if larger is not None and smaller is not None and smaller <= larger:
        raise InvalidRequest("'ObjectSizeLessThan' has to be a value greater than 'ObjectSizeGreaterThan'.")
    tags = tuple(_tag(xml.fields(tag)) for tag in xml.children(element, "Tag"))
    if len(dict(tags)) != len(tags):
        raise InvalidRequest("Duplicate Tag Keys are not allowed.")
    return Filter(_prefix(element), tags, larger, smaller)


def _prefix(element: xml.Element) -> str:
    prefix = xml.text(element, "Prefix") or ""
    if len(prefix.encode()) > MAX_KEY_BYTES:
        raise InvalidRequest("The maximum size of a prefix is 1024.")
    return prefix


def _size(element: xml.Element, name: str, least: int) -> int | None:
    size = _number(element, name)
    if size is not None and not least <= size <= _MAX_SIZE:
        raise InvalidRequest(f"'{name}' should be between {least} and {_MAX_SIZE}.")
    return size


def _tag(fields: Mapping[str, str]) -> tuple[str, str]:
    name, value = fields.get("Key", ""), fields.get("Value", "")
    if not 1 <= len(name) <= _MAX_TAG_KEY:
        raise InvalidTag("The TagKey you have provided is invalid", TagKey=name[:256])
    if len(value) > _MAX_TAG_VALUE:
        raise InvalidTag("The TagValue you have provided is invalid", TagKey=name, TagValue=value[:256])
    return name, value


def _expiration(element: xml.Element | None, found: Filter) -> tuple[int | None, int | None, bool]:
    """Days, date (ms) and ExpiredObjectDeleteMarker, of which there is exactly one."""
    if element is None:
        return None, None, False
    if len(element.children) != 1:
        raise MalformedXML()
    marker = xml.text(element, "ExpiredObjectDeleteMarker")
    if marker is not None:
        _refuse_filter("ExpiredObjectDeleteMarker", found)
        if marker.strip() not in _BOOLEANS:
            raise MalformedXML()
    days = _number(element, "Days")
    _check_positive(days, "Days", "Expiration")
    return days, _date(xml.text(element, "Date")), _BOOLEANS[(marker or "false").strip()]


def _date(text: str | None) -> int | None:
    """Milliseconds of a midnight UTC."""
    if text is None:
        return None
    if not _DATE.fullmatch(text.strip()):
        raise MalformedXML()
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise MalformedXML() from None
    milliseconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000
    if milliseconds % DAY_MS:
        raise InvalidArgument("'Date' must be at midnight GMT")
    return int(milliseconds)


def _noncurrent(element: xml.Element | None, modern: bool) -> tuple[int | None, int]:
    """After how many days noncurrent versions go, and how many of them stay all the same."""
    if element is None:
        return None, 0
    action = "NoncurrentVersionExpiration"
    days, newer = _number(element, "NoncurrentDays"), _number(element, "NewerNoncurrentVersions")
    if days is None:
        raise MalformedXML()
    _check_positive(days, "NoncurrentDays", action)
    if newer is None:
        return days, 0
    if not modern:
        raise InvalidRequest("NewerNoncurrentVersions element can only be used in Lifecycle V2.")
    _check_positive(newer, "NewerNoncurrentVersions", action)
    if newer > _MAX_NEWER:
        raise InvalidArgument(
            f"'NewerNoncurrentVersions' for {action} action must be an integer between 1 and {_MAX_NEWER}"
        )
    return days, newer


def _check_transition(element: xml.Element) -> None:
    """Raise what is wrong with a transition, so that only a right one is told to be not implemented."""
    if xml.text(element, "StorageClass") not in _TIERS:
        raise MalformedXML()
    name = "Days" if element.name == "Transition" else "NoncurrentDays"
    days, date = _number(element, name), _date(xml.text(element, "Date"))
    if (days is None) == (date is None):
        raise MalformedXML()
    if days is not None and days < 0:
        raise InvalidArgument(
            f"'{name}' for {element.name} action must be nonnegative", ArgumentName=name, ArgumentValue=days
        )


def _abort(element: xml.Element | None, found: Filter) -> int | None:
    if element is None:
        return None
    action = "AbortIncompleteMultipartUpload"
    _refuse_filter(action, found)
    days = _number(element, "DaysAfterInitiation")
    if days is None:
        raise MalformedXML()
    _check_positive(days, "DaysAfterInitiation", action)
    return days


def _refuse_filter(action: str, found: Filter) -> None:
    """What has neither tags nor a size of its own cannot be chosen by them."""
    if found.tags:
        raise InvalidRequest(f"{action} cannot be specified with Tags.")
    if found.larger_than is not None or found.smaller_than is not None:
        raise InvalidRequest(f"{action} cannot be specified with Object Size.")


def _check_positive(number: int | None, name: str, action: str) -> None:
    if number is not None and number <= 0:
        raise InvalidArgument(
            f"'{name}' for {action} action must be a positive integer",
            ArgumentName=name,
            ArgumentValue=number,
        )
    if number is not None and number > _MAX_INT:
        raise MalformedXML()


def _number(element: xml.Element, name: str) -> int | None:
    text = xml.text(element, name)
    if text is None:
        return None
    if not _NUMBER.fullmatch(text.strip()):
        raise MalformedXML()
    return int(text)
