"""`?notification`: which events of a bucket are told to whom.

A destination is named by an ARN, and the last part of the ARN is the name of a target that the operator configured:
clients never name an address. What AWS's model knows as an event may be asked for; `OCCURRING` lists those that
happen here (nothing is restored from an archive, replicated or moved between tiers).

Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-event-types-and-destinations.html,
https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-filtering.html
"""

import functools
import itertools
import re
import secrets
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass

from gateway import xml
from gateway.context import Context
from gateway.errors import InvalidArgument, MalformedXML, S3Error

OCCURRING = (
    "s3:ObjectCreated:Put",
    "s3:ObjectCreated:Post",
    "s3:ObjectCreated:Copy",
    "s3:ObjectCreated:CompleteMultipartUpload",
    "s3:ObjectRemoved:Delete",
    "s3:ObjectRemoved:DeleteMarkerCreated",
    "s3:LifecycleExpiration:Delete",
    "s3:LifecycleExpiration:DeleteMarkerCreated",
    "s3:ObjectTagging:Put",
    "s3:ObjectTagging:Delete",
    "s3:ObjectAcl:Put",
)
"""The events that happen here."""
_ACCEPTED = (
    *OCCURRING,
    "s3:ReducedRedundancyLostObject",
    "s3:ObjectRestore:Post",
    "s3:ObjectRestore:Completed",
    "s3:ObjectRestore:Delete",
    "s3:Replication:OperationFailedReplication",
    "s3:Replication:OperationNotTracked",
    "s3:Replication:OperationMissedThreshold",
    "s3:Replication:OperationReplicatedAfterThreshold",
    "s3:LifecycleTransition",
    "s3:IntelligentTiering",
    "s3:ObjectAnnotation:Put",
    "s3:ObjectAnnotation:Delete",
    "s3:ObjectRetention:Put",
)
_FAMILIES = (
    "s3:ObjectCreated:*",
    "s3:ObjectRemoved:*",
    "s3:ObjectRestore:*",
    "s3:Replication:*",
    "s3:LifecycleExpiration:*",
    "s3:ObjectTagging:*",
    "s3:ObjectAnnotation:*",
)
EVENTS = {name: frozenset({name}) for name in _ACCEPTED} | {
    family: frozenset(name for name in _ACCEPTED if name.startswith(family[:-1])) for family in _FAMILIES
}
"""Every name that a configuration may use, and the events that it stands for."""

MAX_RULES = 100
"""Rules of a bucket. Source: https://docs.aws.amazon.com/general/latest/gr/s3.html"""
_MAX_FILTER_BYTES = 1024
_MAX_ID = 255
_ROOT, _BRIDGE = "NotificationConfiguration", "EventBridgeConfiguration"
ABSENT = xml.document(_ROOT)
"""What GET answers of a bucket that tells nobody."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of destination: the element that names the ARN, the service in that, the word in errors."""

    element: str
    service: str
    word: str


_KINDS = {
    "TopicConfiguration": _Kind("Topic", "sns", "topic"),
    "QueueConfiguration": _Kind("Queue", "sqs", "queue"),
    "CloudFunctionConfiguration": _Kind("CloudFunction", "lambda", "function"),
}
_ARN = re.compile(r"arn:[a-z0-9-]+:(sns|sqs|lambda):[a-z0-9-]*:[^:]*(?::function)?:([A-Za-z0-9_-]{1,64})")


@dataclass(frozen=True, slots=True)
class Rule:
    """One configuration: `target` is to learn of `events` on keys with this prefix and suffix. `names` as they were put."""

    kind: str
    id: str
    arn: str
    target: str
    names: tuple[str, ...]
    events: frozenset[str]
    prefix: str = ""
    suffix: str = ""

    @property
    def tested(self) -> bool:
        """Whether it is sent a test event: topics and queues, as on AWS."""
        return self.kind != "CloudFunctionConfiguration"

    def applies(self, event: str, key: str) -> bool:
        """Whether the target is to learn of an event (`s3:ObjectCreated:Put`) on a key."""
        return event in self.events and key.startswith(self.prefix) and key.endswith(self.suffix)


@dataclass(frozen=True, slots=True)
class Notification:
    """The configuration of a bucket."""

    rules: tuple[Rule, ...] = ()
    eventbridge: bool = False


def read(data: bytes, context: Context) -> str | None:
    """The document to keep, None for an empty one. Raises MalformedXML, InvalidArgument."""
    found = _parsed(data)
    events = context.services.events
    _check(found, events.targets if events else (), eventbridge=bool(events and events.eventbridge))
    return show(found) if found.rules or found.eventbridge else None


@functools.lru_cache(maxsize=256)
def load(text: str) -> Notification:
    """A kept configuration."""
    return _parsed(text.encode())


def show(notification: Notification) -> str:
    """The document that is kept, and that GET answers."""
    bridge = xml.element(_BRIDGE) if notification.eventbridge else None
    rules = (_shown(rule) for kind in _KINDS for rule in notification.rules if rule.kind == kind)
    return xml.document(_ROOT, *rules, bridge).decode()


def _shown(rule: Rule) -> xml.Markup:
    # In lower case, as S3's model has them; mc finds a rule again only so. (AWS itself answers them with a capital.)
    filters = [
        xml.element("FilterRule", xml.element("Name", name), xml.element("Value", value))
        for name, value in (("prefix", rule.prefix), ("suffix", rule.suffix))
        if value
    ]
    return xml.element(
        rule.kind,
        xml.element("Id", rule.id),
        xml.element(_KINDS[rule.kind].element, rule.arn),
        *(xml.element("Event", name) for name in rule.names),
        xml.element("Filter", xml.element("S3Key", *filters)) if filters else None,
    )


def _parsed(data: bytes) -> Notification:
    top = xml.parse(data, _ROOT)
    bridges = xml.children(top, _BRIDGE)
    elements = [child for child in top.children if child.name != _BRIDGE]
    if len(bridges) > 1 or any(child.name not in _KINDS for child in elements):
        raise MalformedXML()
    if len(elements) > MAX_RULES:
        raise InvalidArgument(f"A bucket cannot have more than {MAX_RULES} notification configurations.")
    return Notification(tuple(map(_rule, elements)), bool(bridges))


def _rule(element: xml.Element) -> Rule:
    kind = _KINDS[element.name]
    if {child.name for child in element.children} - {"Id", kind.element, "Event", "Filter", "InvocationRole"}:
        raise MalformedXML()
    arn, names = xml.text(element, kind.element), [child.text for child in xml.children(element, "Event")]
    if not arn or not names:
        raise MalformedXML()
    identifier = xml.text(element, "Id") or secrets.token_urlsafe(24)
    if len(identifier) > _MAX_ID:
        raise InvalidArgument(f"The ID length should not exceed {_MAX_ID} characters", ArgumentName="Id")
    prefix, suffix = _filter(element)
    target = _target(arn, kind)
    return Rule(element.name, identifier, arn, target, tuple(names), _events(names), prefix, suffix)


def _target(arn: str, kind: _Kind) -> str:
    match = _ARN.fullmatch(arn)
    if match is None or match[1] != kind.service:
        raise InvalidArgument(
            "The ARN could not be parsed", ArgumentName=kind.element, ArgumentValue=arn[:256]
        )
    return match[2]


def _events(names: Sequence[str]) -> frozenset[str]:
    for name in names:
        if name not in EVENTS:
            raise InvalidArgument(
                "A specified event is not supported for notifications.",
                ArgumentName="Event",
                ArgumentValue=name[:256],
            )
    return frozenset().union(*(EVENTS[name] for name in names))


def _filter(element: xml.Element) -> tuple[str, str]:
    """The prefix and suffix of keys; empty for any."""
    found: dict[str, str] = {}
    for rule in _filter_rules(element):
        pair = xml.fields(rule)
        if pair.keys() != {"Name", "Value"}:
            raise MalformedXML()
        name, value = pair["Name"].lower(), pair["Value"]
        if name not in ("prefix", "suffix"):
            raise _bad_filter("filter rule name must be either prefix or suffix", pair["Name"])
        if name in found:
            raise _bad_filter(f"Cannot specify more than one {name} rule in a filter.", value)
        if len(value.encode()) > _MAX_FILTER_BYTES:
            raise _bad_filter("Size of filter rule value cannot exceed 1024 bytes in UTF-8", value)
        found[name] = value
    return found.get("prefix", ""), found.get("suffix", "")


def _filter_rules(element: xml.Element) -> Iterator[xml.Element]:
    parent = element
    for name in ("Filter", "S3Key"):
        below = xml.children(parent, name)
        if len(below) > 1 or (parent is not element and len(parent.children) != len(below)):
            raise MalformedXML()
        if not below:
            return
        parent = below[0]
    for rule in parent.children:
        if rule.name != "FilterRule":
            raise MalformedXML()
        yield rule


def _bad_filter(message: str, value: str) -> S3Error:
    return InvalidArgument(message, ArgumentName="FilterRule.Value", ArgumentValue=value[:256])


def _check(notification: Notification, targets: Container[str], *, eventbridge: bool) -> None:
    """Every destination is one of ours, ids are unique, and no event would be told twice."""
    for rule in notification.rules:
        if rule.target not in targets:
            raise _no_destination(rule.arn, f"The destination {_KINDS[rule.kind].word} does not exist")
    if notification.eventbridge and not eventbridge:
        raise _no_destination(_BRIDGE, "The destination event bus does not exist")
    if len({rule.id for rule in notification.rules}) != len(notification.rules):
        raise InvalidArgument("Same ID used for multiple configurations. IDs must be unique")
    for one, other in itertools.combinations(notification.rules, 2):
        if one.events & other.events and _overlap(one, other):
            raise _overlapping(one, other)


def _no_destination(name: str, reason: str) -> S3Error:
    return InvalidArgument(
        "Unable to validate the following destination configurations",
        ArgumentName=name[:256],
        ArgumentValue=reason,
    )


def _overlap(one: Rule, other: Rule) -> bool:
    """Whether a key may pass both filters."""
    prefixes = one.prefix.startswith(other.prefix) or other.prefix.startswith(one.prefix)
    suffixes = one.suffix.endswith(other.suffix) or other.suffix.endswith(one.suffix)
    return prefixes and suffixes


def _overlapping(one: Rule, other: Rule) -> S3Error:
    names = ", ".join((*one.names, *other.names))[:256]
    if any((one.prefix, one.suffix, other.prefix, other.suffix)):
        message = (
            "Configuration is ambiguously defined. Cannot have overlapping suffixes in two rules if the prefixes "
            "are overlapping for the same event type."
        )
    else:
        message = (
            "Configurations overlap. Configurations on the same bucket cannot share a common event type."
        )
    return InvalidArgument(message, ArgumentName="Event", ArgumentValue=names)
