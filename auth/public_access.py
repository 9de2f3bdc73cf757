"""What is public, and what keeps it from being so.

Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-control-block-public-access.html
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network

from auth.policy import Effect, Policy, Statement
from auth.policy_conditions import OPERATORS, Condition, Quantifier, network
from auth.policy_text import Resolved, has_wildcard, literal
from auth.principals import ANONYMOUS_USERID, EVERYBODY


@dataclass(frozen=True, slots=True)
class PublicAccessBlock:
    """The four settings of `?publicAccessBlock`.

    The `block_...` settings refuse new public ACLs and policies, and are for the handlers that put them; `ignore_public_acls`
    and `restrict_public_buckets` take the effect of those that are there, and are for `auth.access`.
    """

    block_public_acls: bool = False
    ignore_public_acls: bool = False
    block_public_policy: bool = False
    restrict_public_buckets: bool = False


NO_BLOCK = PublicAccessBlock()

# A range of addresses wider than this is the public.
_WIDEST_V4 = 8
_WIDEST_V6 = 32


@lru_cache(maxsize=256)
def is_public_policy(policy: Policy) -> bool:
    """Whether a bucket policy is public in AWS's sense: it allows somebody something without naming who or where from.

    A statement is not public if it names its principals, or if a condition pins the caller to fixed values, without
    wildcards and variables: a narrow range of addresses, an ARN, an account, ... Denials make nothing less public.
    """
    return any(_is_public(statement) for statement in policy.statements)


def _is_public(statement: Statement) -> bool:
    if statement.effect is not Effect.ALLOW or statement.principals is None:
        return False
    named = all(principal.name != EVERYBODY for principal in statement.principals)
    if named and not statement.not_principals:
        return False
    return not any(_pins(condition) for condition in statement.conditions)


def _pins(condition: Condition) -> bool:
    """Whether a condition holds for known callers only. A negation, or one that holds without the key, is no pin."""
    if condition.if_exists or condition.quantifier is Quantifier.ALL:
        return False
    is_fixed = _PINS.get(condition.key)
    wanted = [text.constant for text in condition.wanted]
    return (
        is_fixed is not None
        and condition.operator in (_RANGES if condition.key == _SOURCE_IP else _MATCHES)
        and bool(wanted)
        and all(text is not None and is_fixed(text) for text in wanted)
    )


def _is_fixed(text: Resolved) -> bool:
    return bool(text) and not has_wildcard(text)


def _is_narrow(text: Resolved) -> bool:
    found = network(literal(text))
    return found.prefixlen >= (_WIDEST_V4 if isinstance(found, IPv4Network) else _WIDEST_V6)


def _is_fixed_user(text: Resolved) -> bool:
    """A user id, and not that of callers without credentials."""
    return _is_fixed(text) and literal(text).casefold() != ANONYMOUS_USERID


def _is_fixed_access_point(text: Resolved) -> bool:
    """An access point's ARN: the name may have wildcards, the account not."""
    fields = literal(text).split(":", 5)
    return len(fields) == 6 and bool(fields[4]) and not set(fields[4]) & set("*?")


_SOURCE_IP = "aws:sourceip"
_RANGES = (OPERATORS["IpAddress"],)
_MATCHES = tuple(
    OPERATORS[name]
    for name in ("StringEquals", "StringEqualsIgnoreCase", "StringLike", "ArnEquals", "ArnLike")
)
_PINS: Mapping[str, Callable[[Resolved], bool]] = {
    "aws:principalaccount": _is_fixed,
    "aws:principalarn": _is_fixed,
    "aws:principalorgid": _is_fixed,
    "aws:sourceaccount": _is_fixed,
    "aws:sourcearn": _is_fixed,
    _SOURCE_IP: _is_narrow,
    "aws:sourceowner": _is_fixed,
    "aws:sourcevpc": _is_fixed,
    "aws:sourcevpce": _is_fixed,
    "aws:userid": _is_fixed_user,
    "aws:username": _is_fixed,
    "s3:dataaccesspointaccount": _is_fixed,
    "s3:dataaccesspointarn": _is_fixed_access_point,
    "s3:x-amz-server-side-encryption-aws-kms-key-id": _is_fixed,
}
