"""Principals: by which names a policy may call a caller, and the condition keys that tell who is calling.

A key is a user of its account. A caller answers to the names of the account (its name, twelve-digit number, canonical user
id, `arn:aws:iam::ACCOUNT:root`) and to names of its own (the access key, `arn:aws:iam::ACCOUNT:user/KEY`, or the ARN of its
session). In an ARN, ACCOUNT is the number or the name, and may be left out where a user is named.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from types import MappingProxyType

from auth.identity import OWNER_NAME, Identity, account_number

EVERYBODY = "*"
ANONYMOUS_USERID = "anonymous"
ROLE = "s3gw"
"""The role of every session: sessions narrow a key, they take on nobody else's role."""

_ARN = re.compile(r"arn:aws:(iam|sts)::([^:*?/]*):(?:root|(user|role|assumed-role)/([^:*?]+))")


def principal_arn(identity: Identity) -> str:
    """The ARN of a signed caller."""
    number = account_number(identity.name)
    if identity.session:
        return f"arn:aws:sts::{number}:assumed-role/{ROLE}/{identity.session}"
    return f"arn:aws:iam::{number}:user/{identity.user}"


@lru_cache(maxsize=4096)
def own_names(identity: Identity) -> frozenset[str]:
    """The names of this very key; none for the anonymous.

    A session's ARN is not one of them: its caller chose the session's name, and may not choose whose grants he gets.
    """
    if identity.anonymous:
        return frozenset()
    accounts = _accounts(identity)
    names = {identity.access_key, identity.user}
    # Also of a session: otherwise a key would leave behind, by making one, what a policy denies it.
    names |= {f"arn:aws:iam::{account}:user/{identity.user}" for account in (*accounts, "")}
    return frozenset(names)


@lru_cache(maxsize=4096)
def all_names(identity: Identity) -> frozenset[str]:
    """All names of a caller: of the key or session, and of its account; none for the anonymous."""
    if identity.anonymous:
        return frozenset()
    accounts = _accounts(identity)
    names = {identity.account, *accounts}
    names |= {f"arn:aws:iam::{account}:root" for account in accounts}
    names |= {f"arn:aws:iam::{account}:user/{name}" for account in (*accounts, "") for name in accounts[1:]}
    if identity.session:
        names |= {f"arn:aws:iam::{account}:role/{ROLE}" for account in accounts}
        names |= {f"arn:aws:sts::{account}:assumed-role/{ROLE}/{identity.session}" for account in accounts}
    if identity.owns_everything:
        names.add("arn:aws:iam:::root")
    return own_names(identity) | names


def is_valid(name: str, known_account: Callable[[str], bool]) -> bool:
    """Whether a policy may name an `AWS` principal so: everybody, or one that there is. No wildcards within a name."""
    if name == EVERYBODY:
        return True
    found = _ARN.fullmatch(name)
    if found is None:
        return not name.startswith("arn:") and known_account(name)
    service, account, kind, who = found.groups()
    if kind == "assumed-role":
        return service == "sts" and _is_session(who) and known_account(account)
    if service != "iam" or (account and not known_account(account)):
        return False
    return {None: True, "role": bool(account), "user": known_account(who or "")}[kind]


@lru_cache(maxsize=4096)
def identity_keys(identity: Identity) -> Mapping[str, tuple[str, ...]]:
    """The condition keys that tell who is calling. They come from the verified caller and from nowhere else.

    Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html#principaltable
    """
    if identity.anonymous:
        return _ANONYMOUS_KEYS
    keys = {
        "aws:principalaccount": (account_number(identity.name),),
        "aws:principalarn": (principal_arn(identity),),
        "aws:principalisawsservice": ("false",),
    }
    if identity.parent:
        issued = datetime.fromtimestamp(identity.issued, UTC)
        keys["aws:tokenissuetime"] = (issued.strftime("%Y-%m-%dT%H:%M:%SZ"),)
        keys["aws:multifactorauthpresent"] = ("false",)
    if identity.session:
        keys["aws:principaltype"] = ("AssumedRole",)
        keys["aws:userid"] = (f"{identity.access_key}:{identity.session}",)
    else:
        keys["aws:principaltype"] = ("User",)
        keys["aws:userid"] = (identity.user,)
        keys["aws:username"] = (identity.user,)
    return MappingProxyType(keys)


def tells_identity(key: str) -> bool:
    """Whether a condition key (in lower case) tells who is calling, so that only `identity_keys` may give it."""
    return key in _OF_SESSIONS or (key.startswith(("aws:principal", "aws:user")) and key != "aws:useragent")


_OF_SESSIONS = frozenset({"aws:multifactorauthpresent", "aws:tokenissuetime"})
_ANONYMOUS_KEYS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "aws:principalisawsservice": ("false",),
        "aws:principaltype": ("Anonymous",),
        "aws:userid": (ANONYMOUS_USERID,),
    }
)


def _accounts(identity: Identity) -> tuple[str, ...]:
    """How ARNs name the caller's account: by number and by name."""
    name = OWNER_NAME if identity.owns_everything else identity.name
    return (account_number(identity.name), name) if name else (account_number(identity.name),)


def _is_session(who: str | None) -> bool:
    role, slash, session = (who or "").partition("/")
    return bool(role and slash and session)
