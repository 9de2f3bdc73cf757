"""Access control lists: who was granted what on a bucket or an object. Pure.

Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/acl-overview.html
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from auth.identity import Identity

ALL_USERS = "http://acs.amazonaws.com/groups/global/AllUsers"
AUTHENTICATED_USERS = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"
LOG_DELIVERY = "http://acs.amazonaws.com/groups/s3/LogDelivery"

PUBLIC_GROUPS = frozenset({ALL_USERS, AUTHENTICATED_USERS})
"""The groups that make an ACL public: anybody can have a key somewhere."""
GROUPS = PUBLIC_GROUPS | {LOG_DELIVERY}
MAX_GRANTS = 100
"""Source: S3 user guide, ACL overview: an ACL can have up to 100 grants."""


class Permission(StrEnum):
    """What can be granted."""

    READ = "READ"
    WRITE = "WRITE"
    READ_ACP = "READ_ACP"
    WRITE_ACP = "WRITE_ACP"
    FULL_CONTROL = "FULL_CONTROL"


class Grant(NamedTuple):
    """One grant. `grantee` is a canonical user id or the URI of a group."""

    grantee: str
    permission: Permission


@dataclass(frozen=True, slots=True)
class Acl:
    """The grants of a bucket or an object, and its owner's canonical user id."""

    owner: str
    grants: tuple[Grant, ...]


_OWNERS_OWN = frozenset({Permission.READ_ACP, Permission.WRITE_ACP})


def _with(*more: tuple[str, Permission]) -> Callable[[str, str], tuple[tuple[str, Permission], ...]]:
    """The grants of a canned ACL that gives the groups the same, whoever owns what."""
    return lambda owner, bucket_owner: more


_CANNED: Mapping[str, Callable[[str, str], tuple[tuple[str, Permission], ...]]] = {
    "private": _with(),
    "public-read": _with((ALL_USERS, Permission.READ)),
    "public-read-write": _with((ALL_USERS, Permission.READ), (ALL_USERS, Permission.WRITE)),
    "authenticated-read": _with((AUTHENTICATED_USERS, Permission.READ)),
    "aws-exec-read": _with(),
    "bucket-owner-read": lambda owner, bucket_owner: ((bucket_owner, Permission.READ),),
    "bucket-owner-full-control": lambda owner, bucket_owner: ((bucket_owner, Permission.FULL_CONTROL),),
    "log-delivery-write": _with((LOG_DELIVERY, Permission.WRITE), (LOG_DELIVERY, Permission.READ_ACP)),
}
CANNED = tuple(_CANNED)
"""The names of the canned ACLs.

`aws-exec-read` lets Amazon EC2 read images. There is no such reader here, so it grants what `private` grants.
"""


def canned(name: str, owner: str, bucket_owner: str) -> Acl:
    """The grants of a canned ACL for what `owner` owns in a bucket of `bucket_owner`. Raises KeyError (no such name)."""
    full = Grant(owner, Permission.FULL_CONTROL)
    more = (Grant(*grant) for grant in _CANNED[name](owner, bucket_owner))
    return Acl(owner, (full, *(grant for grant in more if grant.grantee != owner)))


def dump(acl: Acl) -> str:
    """The text to keep: the grants. Whose they are is kept with the bucket or the object itself."""
    return json.dumps(acl.grants, separators=(",", ":"))


@lru_cache(maxsize=1024)
def load(text: str | None, owner: str) -> Acl:
    """The ACL of a text that was kept: of `dump`, a canned name (as earlier versions kept), or None, which is private.

    An unreadable text grants nobody but the owner anything.
    """
    if text is None or text in _CANNED:
        return canned(text or "private", owner, owner)
    try:
        return Acl(owner, tuple(_grant(grant) for grant in json.loads(text)))
    except (ValueError, TypeError, RecursionError):
        return canned("private", owner, owner)


def allows(acl: Acl, identity: Identity, permission: Permission) -> bool:
    """Whether a caller has a permission. The owner always has the ACL itself, so that nobody locks himself out."""
    if permission in _OWNERS_OWN and not identity.anonymous and identity.account == acl.owner:
        return True
    return any(
        given in (permission, Permission.FULL_CONTROL) and _is_grantee(identity, grantee)
        for grantee, given in acl.grants
    )


def public(acl: Acl) -> bool:
    """Whether the ACL grants the public anything."""
    return any(grant.grantee in PUBLIC_GROUPS for grant in acl.grants)


def is_private(acl: Acl) -> bool:
    """Whether the ACL grants nobody but the owner anything."""
    return all(grant.grantee == acl.owner for grant in acl.grants)


def without_public(acl: Acl) -> Acl:
    """The ACL without what it grants the public (`IgnorePublicAcls`)."""
    return Acl(acl.owner, tuple(grant for grant in acl.grants if grant.grantee not in PUBLIC_GROUPS))


def _is_grantee(identity: Identity, grantee: str) -> bool:
    if grantee == ALL_USERS:
        return True
    return not identity.anonymous and grantee in (AUTHENTICATED_USERS, identity.account)


def _grant(item: object) -> Grant:
    if not isinstance(item, list) or len(item) != 2 or not (isinstance(item[0], str) and item[0]):
        raise ValueError("not a grant")
    return Grant(item[0], Permission(item[1]))
