"""The policy of a POST form: until when, into which bucket, and which fields an upload may carry. Pure.

A policy is signed by who allows the upload and sent by who makes it. So every field that has an effect must be covered by
a condition, and the bucket that counts is the one in the URL.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTConstructPolicy.html
"""

import json
import re
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gateway.errors import AccessDenied, InvalidPolicyDocument, S3Error

_UNCOVERED = frozenset({"awsaccesskeyid", "file", "policy", "signature", "x-amz-signature"})
_IGNORED = "x-ignore-"
"""Fields that need no condition: the signature's own, and those that a client wants ignored."""
_EXPIRATION = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d{1,9})?Z", re.ASCII)
_LENGTH = "content-length-range"
_MOST_BYTES = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Condition:
    """What one field must be. `matcher` is `eq` or `starts-with`, `name` is lower-case, `spelled` as in the policy."""

    matcher: str
    name: str
    value: str
    spelled: str

    def holds(self, fields: Mapping[str, str]) -> bool:
        """Whether the field is there and fulfils it."""
        value = fields.get(self.name)
        return value is not None and _MATCHERS[self.matcher](self, value)

    def __str__(self) -> str:
        return json.dumps([self.matcher, f"${self.spelled}", self.value], ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class LengthRange:
    """How many bytes the file may have, both ends included."""

    least: int = 0
    most: int = _MOST_BYTES


@dataclass(frozen=True, slots=True)
class PostPolicy:
    """A policy as it was read. `expires` is in Unix seconds."""

    expires: float
    conditions: Sequence[Condition]
    length: LengthRange

    def check(self, fields: Mapping[str, str], *, now: float) -> None:
        """Raise AccessDenied unless a form with these fields (lower-case names, `bucket` from the URL) is allowed now."""
        if now >= self.expires:
            raise _denied("Policy expired.")
        for condition in self.conditions:
            if not condition.holds(fields):
                raise _denied(f"Policy Condition failed: {condition}")
        covered = _UNCOVERED.union(condition.name for condition in self.conditions)
        extra = [name for name in fields if name not in covered and not name.startswith(_IGNORED)]
        if extra:
            raise _denied(f"Extra input fields: {', '.join(extra)[:256]}")


def _denied(reason: str) -> S3Error:
    return AccessDenied(f"Invalid according to Policy: {reason}")


def _equals(condition: Condition, value: str) -> bool:
    return value == condition.value


def _starts_with(condition: Condition, value: str) -> bool:
    """Of a list of content types each must match, else the second one would smuggle in what the first may not be."""
    values = [one.strip() for one in value.split(",")] if condition.name == "content-type" else [value]
    return all(one.startswith(condition.value) for one in values)


_MATCHERS: Mapping[str, Callable[[Condition, str], bool]] = {"eq": _equals, "starts-with": _starts_with}


def parse_post_policy(text: str) -> PostPolicy:
    """Read the base64 of a `policy` field. Raises InvalidPolicyDocument."""
    policy = _decode(text)
    unexpected = policy.keys() - {"expiration", "conditions"}
    if unexpected:
        raise _invalid(f"Unexpected: '{min(unexpected)[:64]}'")
    conditions = policy.get("conditions")
    if not isinstance(conditions, list):
        raise _invalid("Policy missing conditions.")
    lengths = [_length_range(one) for one in conditions if _is_length(one)]
    return PostPolicy(
        _expiration(policy.get("expiration")),
        [_condition(one) for one in conditions if not _is_length(one)],
        LengthRange(
            max((length.least for length in lengths), default=0),
            min((length.most for length in lengths), default=_MOST_BYTES),
        ),
    )


def _decode(text: str) -> dict[str, Any]:
    try:
        policy = json.loads(b64decode("".join(text.split()), validate=True).decode())
    except (ValueError, RecursionError):
        raise _invalid("Invalid JSON.") from None
    if not isinstance(policy, dict):
        raise _invalid("Invalid JSON.")
    return policy


def _expiration(value: object) -> float:
    if value is None:
        raise _invalid("Policy missing expiration.")
    match = _EXPIRATION.fullmatch(value) if isinstance(value, str) else None
    try:
        when = datetime.fromisoformat(match[1]) if match else None
    except ValueError:
        when = None
    if when is None:
        raise _invalid(f"Invalid 'expiration' value: '{str(value)[:64]}'")
    return when.replace(tzinfo=UTC).timestamp()


def _is_length(condition: object) -> bool:
    return isinstance(condition, list) and bool(condition) and str(condition[0]).lower() == _LENGTH


def _length_range(condition: list[object]) -> LengthRange:
    if len(condition) != 3:
        raise _invalid(f"Invalid {_LENGTH}: it needs two numbers.")
    least, most = (_number(one) for one in condition[1:])
    return LengthRange(least, most)


def _number(value: object) -> int:
    """A number of bytes; as a string too, which S3 takes."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_BYTES:
        return value
    raise _invalid(f"Invalid {_LENGTH}: '{str(value)[:64]}'")


def _condition(condition: object) -> Condition:
    if isinstance(condition, dict):
        return _simple(condition)
    if not isinstance(condition, list) or len(condition) != 3:
        raise _invalid("Invalid condition: it must be an object, or a list of three.")
    matcher, name, value = condition
    if not (isinstance(matcher, str) and isinstance(name, str) and isinstance(value, str)):
        raise _invalid("Invalid condition: its members must be strings.")
    if matcher.lower() not in _MATCHERS:
        raise _invalid(f"Invalid condition: '{matcher[:64]}' is unknown.")
    if len(name) < 2 or name[0] != "$":
        raise _invalid("Invalid condition: the name of a field begins with '$'.")
    return Condition(matcher.lower(), name[1:].lower(), value, name[1:])


def _simple(condition: dict[str, object]) -> Condition:
    if len(condition) != 1:
        raise _invalid(
            "Invalid Simple-Condition: Simple-Conditions must have exactly one property specified."
        )
    ((name, value),) = condition.items()
    if not isinstance(value, str):
        raise _invalid("Invalid Simple-Condition: value must be a string.")
    return Condition("eq", name.lower(), value, name)


def _invalid(reason: str) -> S3Error:
    return InvalidPolicyDocument(f"Invalid Policy: {reason}")
