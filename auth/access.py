"""May this caller do that? One function, asked once per request.

It is asked after the signature was verified and before anything about the bucket or the object is told: an anonymous
caller gets AccessDenied before any condition is evaluated, any ETag is shown, or "no such key" is distinguished from
"not yours". The application keeps that order; a handler never asks.
"""

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

from auth.identity import Identity
from gateway.errors import AccessDenied

Anonymous = Literal["none", "public-read", "full"]
"""What callers without credentials may do: nothing; read what is public; everything."""

SERVICES = ("s3:", "s3express:", "s3-object-lambda:")
"""What the names of policy actions begin with."""

PUBLIC_READS = frozenset({"s3:GetObject", "s3:ListBucket"})
"""What anybody may do with an object or bucket that is public (HeadObject is GetObject, HeadBucket is ListBucket)."""


class Question(NamedTuple):
    """Who wants to do what. `public`: the object or bucket grants reading to everybody."""

    identity: Identity
    action: str
    anonymous: str
    public: bool


_ANONYMOUS: Mapping[str, Callable[[Question], bool]] = {
    "none": lambda _: False,
    "public-read": lambda question: question.public and question.action in PUBLIC_READS,
    "full": lambda _: True,
}


def _unknown_action(question: Question) -> bool | None:
    service, colon, name = question.action.partition(":")
    return None if service + colon in SERVICES and name.isalpha() else False


def _account(question: Question) -> bool | None:
    """There is one account, and it owns everything."""
    return None if question.identity.anonymous else True


def _nobody(question: Question) -> bool | None:
    rule = _ANONYMOUS.get(question.anonymous)
    return rule is not None and rule(question)


STEPS: tuple[Callable[[Question], bool | None], ...] = (_unknown_action, _account, _nobody)
"""The steps of a decision: the first that says yes or no decides, None passes the question on.

A policy is one more step, between the check of the action and the account.
"""


def may(identity: Identity, action: str, *, anonymous: Anonymous, public: bool) -> None:
    """Raise AccessDenied unless `identity` may do `action` (a policy action such as `s3:GetObject`).

    Whatever no step decides is denied.
    """
    question = Question(identity, action, anonymous, public)
    for step in STEPS:
        answer = step(question)
        if answer is not None:
            break
    if not answer:
        raise AccessDenied()
