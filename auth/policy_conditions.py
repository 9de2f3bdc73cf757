"""The `Condition` of a policy statement: operators, quantifiers, keys.

    {"StringLike": {"s3:prefix": ["home/", "home/${aws:username}/*"]}, "IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}

All conditions must hold. Within one, the values are alternatives; of a negated operator (`StringNotEquals`) none may match.
A key that the request lacks fails what asks for a match and satisfies what asks for none; with `...IfExists` it satisfies
both. Of a key with several values, a plain operator is content with one match, and a negated one with none.

`ForAnyValue:` holds if one value of the request does; never without a value. `ForAllValues:` holds if every value does, hence
also where there is no value at all: that is AWS's rule, and AWS's advice is to add a `Null` condition to an Allow that uses
it. A quantified negation asks of each value that it matches none of the policy's; it is not the negation of the quantified
match.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html,
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html
"""

import operator
import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, TypeVar

from auth.policy_text import (
    Keys,
    PolicyError,
    Resolved,
    Template,
    Wildcard,
    literal,
    matches,
    template,
)

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address
Value = TypeVar("Value")

_INVALID_KEY = "Policy has an invalid condition key"
_AWS_KEYS = frozenset(
    """
    aws:calledvia aws:calledviafirst aws:calledvialast aws:currenttime aws:ec2instancesourceprivateipv4
    aws:ec2instancesourcevpc aws:epochtime aws:federatedprovider aws:multifactorauthage aws:multifactorauthpresent
    aws:principalaccount aws:principalarn aws:principalisawsservice aws:principalorgid aws:principalorgpaths
    aws:principalservicename aws:principalservicenameslist aws:principaltype aws:referer aws:requestedregion
    aws:resourceaccount aws:resourceorgid aws:resourceorgpaths aws:securetransport aws:sourceaccount aws:sourcearn
    aws:sourceidentity aws:sourceip aws:sourceorgid aws:sourceorgpaths aws:sourceowner aws:sourcevpc aws:sourcevpcarn
    aws:sourcevpce aws:tagkeys aws:tokenissuetime aws:useragent aws:userid aws:username aws:viaawsservice
    aws:vpceaccount aws:vpceorgid aws:vpceorgpaths aws:vpcsourceip
    """.split()
)
_S3_KEYS = frozenset(
    """
    s3:accessgrantsinstancearn s3:accesspointnetworkorigin s3:authtype s3:dataaccesspointaccount s3:dataaccesspointarn
    s3:delimiter s3:if-match s3:if-none-match s3:inventoryaccessibleoptionalfields s3:locationconstraint s3:max-keys
    s3:object-lock-legal-hold s3:object-lock-mode s3:object-lock-remaining-retention-days
    s3:object-lock-retain-until-date s3:objectcreationoperation s3:prefix s3:requestobjecttagkeys s3:resourceaccount
    s3:signatureage s3:signatureversion s3:tlsversion s3:versionid s3:x-amz-acl s3:x-amz-content-sha256
    s3:x-amz-copy-source s3:x-amz-grant-full-control s3:x-amz-grant-read s3:x-amz-grant-read-acp s3:x-amz-grant-write
    s3:x-amz-grant-write-acp s3:x-amz-metadata-directive s3:x-amz-object-ownership s3:x-amz-server-side-encryption
    s3:x-amz-server-side-encryption-aws-kms-key-id s3:x-amz-server-side-encryption-customer-algorithm
    s3:x-amz-storage-class s3:x-amz-website-redirect-location
    """.split()
)
_NAMED_KEYS = (
    "aws:principaltag/",
    "aws:requesttag/",
    "aws:resourcetag/",
    "s3:buckettag/",
    "s3:existingobjecttag/",
    "s3:requestobjecttag/",
)
"""Keys that end with the name of a tag."""


@dataclass(frozen=True, slots=True)
class Operator:
    """A row of `OPERATORS`. `test` compares a value of the request with one of the policy.

    `check` raises ValueError for a value of the policy that could never match.
    """

    test: Callable[[str, Resolved], bool]
    negated: bool = False
    check: Callable[[str], object] = str


class Quantifier(StrEnum):
    """How many values of a key must hold."""

    PLAIN = ""
    ANY = "ForAnyValue"
    ALL = "ForAllValues"


@dataclass(frozen=True, slots=True)
class Condition:
    """One operator with one key; `key` in lower case."""

    operator: Operator
    quantifier: Quantifier
    if_exists: bool
    key: str
    wanted: tuple[Template, ...]

    def holds(self, keys: Keys) -> bool | None:
        """Whether the condition holds; None if a negation hangs on a variable that has no value."""
        actual = keys.get(self.key, ())
        if self.operator is NULL:
            return _holds_null(self, bool(actual))
        if not actual:
            return self._holds_absent()
        wanted = [text.resolve(keys) for text in self.wanted]
        known = [text for text in wanted if text is not None]
        matched = (any(self.operator.test(value, text) for text in known) for value in actual)
        if not self.operator.negated:
            return _over(self.quantifier is Quantifier.ALL, matched)
        held = _over(self.quantifier is not Quantifier.ANY, (not found for found in matched))
        return held if len(known) == len(wanted) or not held else None

    @property
    def variables(self) -> Iterator[str]:
        """The condition keys that the values ask for."""
        return (key for text in self.wanted for key in text.variables)

    def _holds_absent(self) -> bool:
        if self.if_exists or self.quantifier is Quantifier.ALL:
            return True
        return self.operator.negated and self.quantifier is Quantifier.PLAIN


def read_conditions(block: object, *, variables: bool) -> tuple[Condition, ...]:
    """Read a Condition element. `variables`: the policy's version has them. Raises PolicyError."""
    if not isinstance(block, dict):
        raise PolicyError("Invalid policy syntax.")
    return tuple(
        _condition(name, key, wanted, variables)
        for name, keys in block.items()
        for key, wanted in _items(keys)
    )


def is_known_key(key: str) -> bool:
    """Whether a condition key, in lower case, is one that policies of S3 may name."""
    return (
        key in _AWS_KEYS
        or key in _S3_KEYS
        or any(key.startswith(prefix) and len(key) > len(prefix) for prefix in _NAMED_KEYS)
    )


def _items(keys: object) -> Iterator[tuple[str, object]]:
    if not isinstance(keys, dict):
        raise PolicyError("Invalid policy syntax.")
    yield from keys.items()


def _condition(name: str, key: str, wanted: object, variables: bool) -> Condition:
    kind, quantifier, if_exists = _operator(name)
    if not is_known_key(key.lower()):
        raise PolicyError(_INVALID_KEY)
    texts = [_text(value) for value in (wanted if isinstance(wanted, list) else [wanted])]
    templates = tuple(template(text, variables=variables) for text in texts)
    for text in templates:
        if text.constant is not None:
            _check(kind, literal(text.constant))
    return Condition(kind, quantifier, if_exists, key.lower(), templates)


def _operator(name: str) -> tuple[Operator, Quantifier, bool]:
    """`ForAllValues:StringLikeIfExists` taken apart."""
    prefix, colon, rest = name.rpartition(":")
    base = rest.removesuffix("IfExists")
    kind = OPERATORS.get(base)
    decorated = bool(colon) or base != rest
    if kind is None or (kind is NULL and decorated) or (colon and prefix not in _QUANTIFIERS):
        raise PolicyError(f"Invalid Condition type : {name[:128]}")
    return kind, Quantifier(prefix), base != rest


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value)
    raise PolicyError("Invalid policy syntax.")


def _check(kind: Operator, text: str) -> None:
    try:
        kind.check(text)
    except ValueError as error:
        raise PolicyError(f"Invalid value in a condition: {text[:128]}") from error


def _over(all_of_them: bool, values: Iterator[bool]) -> bool:
    return all(values) if all_of_them else any(values)


def _holds_null(condition: Condition, present: bool) -> bool:
    """`Null: {"key": "true"}` holds where the key is absent. A variable there has nothing to say."""
    wanted = {literal(text.constant).lower() for text in condition.wanted if text.constant is not None}
    return ("false" if present else "true") in wanted


# Values. A parser raises ValueError; in a comparison that means that nothing matches.

_NUMBER = re.compile(r"[+-]?[0-9]{1,40}(\.[0-9]{0,40})?([eE][+-]?[0-9]{1,3})?")
_ARN_FIELDS = 6


def _number(text: str) -> Decimal:
    if not _NUMBER.fullmatch(text):
        raise ValueError("not a number")
    return Decimal(text)


def _date(text: str) -> float:
    """Seconds since 1970 of an ISO 8601 date, or of such a number."""
    if _NUMBER.fullmatch(text):
        return float(_number(text))
    moment = datetime.fromisoformat(text)
    try:
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except OverflowError as error:
        raise ValueError("not a date") from error


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError("not a boolean")
    return text.lower() == "true"


def _binary(text: str) -> bytes:
    try:
        return b64decode(text.encode("ascii"), validate=True)
    except Base64Error as error:
        raise ValueError("not base64") from error


@lru_cache(maxsize=1024)
def network(text: str) -> Network:
    """The network of a CIDR or an address; one of IPv4 also where it is written as mapped to IPv6. Raises ValueError."""
    found = ip_network(text, strict=False)
    if isinstance(found, IPv6Network) and found.prefixlen >= 96:
        mapped = found.network_address.ipv4_mapped
        if mapped is not None:
            return IPv4Network((mapped, found.prefixlen - 96))
    return found


def _address(text: str) -> Address:
    found = ip_address(text)
    return (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found


def _arn(text: str) -> str:
    if text != "*" and text.count(":") < _ARN_FIELDS - 1:
        raise ValueError("not an ARN")
    return text


# Tests.


def _equals(actual: str, wanted: Resolved) -> bool:
    return actual == literal(wanted)


def _equals_ignoring_case(actual: str, wanted: Resolved) -> bool:
    return actual.casefold() == literal(wanted).casefold()


def _like(actual: str, wanted: Resolved) -> bool:
    return matches(wanted, actual)


def _is_in_network(actual: str, wanted: Resolved) -> bool:
    try:
        return _address(actual) in network(literal(wanted))
    except ValueError:
        return False


def _arn_like(actual: str, wanted: Resolved) -> bool:
    """Field by field: a wildcard does not reach past a colon, but for the last field."""
    if wanted == (Wildcard.ANY,):
        return True
    fields, wanted_fields = actual.split(":", _ARN_FIELDS - 1), _arn_fields(wanted)
    return len(fields) == len(wanted_fields) == _ARN_FIELDS and all(map(matches, wanted_fields, fields))


def _arn_fields(text: Resolved) -> list[Resolved]:
    fields: list[list[str | Wildcard]] = [[]]
    for piece in text:
        if isinstance(piece, Wildcard):
            fields[-1].append(piece)
            continue
        head, *rest = piece.split(":", _ARN_FIELDS - len(fields))
        fields[-1].append(head)
        fields.extend([part] for part in rest)
    return [tuple(part for part in field if part) for field in fields]


def _compared(
    read: Callable[[str], Value], compare: Callable[[Value, Value], bool]
) -> Callable[[str, Resolved], bool]:
    """The test that compares two values as `read` understands them; what it does not understand matches nothing."""

    def test(actual: str, wanted: Resolved) -> bool:
        try:
            return compare(read(actual), read(literal(wanted)))
        except ValueError:
            return False

    return test


def _ordered(read: Callable[[str], Value], family: str) -> Iterator[tuple[str, Operator]]:
    """The six operators of numbers or dates."""
    for name, compare in _COMPARISONS.items():
        yield family + name, Operator(_compared(read, compare), check=read)
    yield family + "NotEquals", Operator(_compared(read, operator.eq), negated=True, check=read)


_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "Equals": operator.eq,
    "LessThan": operator.lt,
    "LessThanEquals": operator.le,
    "GreaterThan": operator.gt,
    "GreaterThanEquals": operator.ge,
}
_QUANTIFIERS = (Quantifier.ANY, Quantifier.ALL)
NULL = Operator(_equals, check=_boolean)

OPERATORS: Mapping[str, Operator] = {
    "StringEquals": Operator(_equals),
    "StringNotEquals": Operator(_equals, negated=True),
    "StringEqualsIgnoreCase": Operator(_equals_ignoring_case),
    "StringNotEqualsIgnoreCase": Operator(_equals_ignoring_case, negated=True),
    "StringLike": Operator(_like),
    "StringNotLike": Operator(_like, negated=True),
    **dict(_ordered(_number, "Numeric")),
    **dict(_ordered(_date, "Date")),
    "Bool": Operator(_compared(_boolean, operator.eq), check=_boolean),
    "BinaryEquals": Operator(_compared(_binary, operator.eq), check=_binary),
    "IpAddress": Operator(_is_in_network, check=network),
    "NotIpAddress": Operator(_is_in_network, negated=True, check=network),
    "ArnEquals": Operator(_arn_like, check=_arn),
    "ArnLike": Operator(_arn_like, check=_arn),
    "ArnNotEquals": Operator(_arn_like, negated=True, check=_arn),
    "ArnNotLike": Operator(_arn_like, negated=True, check=_arn),
    "Null": NULL,
}
"""THE table of condition operators; `ForAnyValue:`, `ForAllValues:` and `IfExists` come on top of all but `Null`."""
