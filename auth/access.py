"""May this caller do that? One function, asked for every action of a request.

It is asked after the signature was verified and before anything about the bucket or the object is told: a caller without
the right gets AccessDenied before any condition is evaluated, any ETag is shown, or "no such key" is distinguished from
"not yours".

A decision is a walk through `STEPS`, in the order in which AWS weighs them; what no step decides is denied.

Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-policy-language-overview.html,
https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-policies.html (not for the objects of other accounts),
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property
from typing import Literal

from auth.acl import Acl, Permission, allows, without_public
from auth.actions import resource
from auth.identity import OWNER_ID, Identity
from auth.policy import Effect, PolicyError, Request, evaluate, parse
from auth.policy_text import Keys
from auth.public_access import NO_BLOCK, PublicAccessBlock, is_public_policy
from gateway.errors import AccessDenied

__all__ = [
    "Anonymous",
    "PublicAccessBlock",
    "Question",
    "decides",
    "is_public_policy",
    "is_unrestricted",
    "may",
    "may_list",
]

Anonymous = Literal["none", "public-read", "full"]
"""What callers without credentials may do.

`none`: nothing, whatever policies and ACLs say. `public-read`: what a bucket policy or an ACL grants everybody, as on S3:
usually reading, but also writing where a bucket says so (`public-read-write`). `full`: everything, except for what a bucket
policy denies them.
"""

SERVICES = ("s3:", "s3express:", "s3-object-lambda:", "sts:")
"""What the names of policy actions begin with."""

ENFORCED = "BucketOwnerEnforced"
"""The object ownership under which ACLs count nothing and the bucket's owner owns every object."""


class Whose(Enum):
    """Whose ACL decides about an action."""

    BUCKET = "bucket"
    OBJECT = "object"


ACL_RULES: Mapping[str, tuple[Whose, Permission]] = {
    "s3:ListBucket": (Whose.BUCKET, Permission.READ),
    "s3:ListBucketMultipartUploads": (Whose.BUCKET, Permission.READ),
    "s3:ListBucketVersions": (Whose.BUCKET, Permission.READ),
    "s3:AbortMultipartUpload": (Whose.BUCKET, Permission.WRITE),
    "s3:DeleteObject": (Whose.BUCKET, Permission.WRITE),
    "s3:ListMultipartUploadParts": (Whose.BUCKET, Permission.WRITE),
    "s3:PutObject": (Whose.BUCKET, Permission.WRITE),
    "s3:GetBucketAcl": (Whose.BUCKET, Permission.READ_ACP),
    "s3:PutBucketAcl": (Whose.BUCKET, Permission.WRITE_ACP),
    "s3:GetObject": (Whose.OBJECT, Permission.READ),
    "s3:GetObjectAttributes": (Whose.OBJECT, Permission.READ),
    "s3:GetObjectTorrent": (Whose.OBJECT, Permission.READ),
    "s3:GetObjectVersion": (Whose.OBJECT, Permission.READ),
    "s3:GetObjectVersionAttributes": (Whose.OBJECT, Permission.READ),
    "s3:GetObjectVersionTorrent": (Whose.OBJECT, Permission.READ),
    "s3:GetObjectAcl": (Whose.OBJECT, Permission.READ_ACP),
    "s3:GetObjectVersionAcl": (Whose.OBJECT, Permission.READ_ACP),
    "s3:PutObjectAcl": (Whose.OBJECT, Permission.WRITE_ACP),
    "s3:PutObjectVersionAcl": (Whose.OBJECT, Permission.WRITE_ACP),
}
"""What a permission of an ACL lets do. Deleting a version is nobody's by ACL.

The actions that an object's ACL rules are those on the object itself: under ownership by its writer they are not the bucket
owner's to do or to give away.

Source: S3 user guide, ACL overview, mapping of ACL permissions and access policy permissions
"""

_ACCOUNT_ACTIONS = frozenset({"s3:ListAllMyBuckets", "s3:CreateBucket"})
"""What every account may do by itself, with no bucket of anybody."""

_POLICY_ACTIONS = frozenset({"s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy"})
"""What the bucket owner's root cannot lock himself out of."""

_NO_GRANTS = Acl("", ())


def _no_conditions() -> Keys:
    return {}


@dataclass(frozen=True, slots=True)
class Question:
    """Who wants to do what, and all that bears on it.

    `bucket_owner` is a canonical user id, empty where no bucket is concerned. `object_owner` is empty where it is not known,
    or nothing is there yet; `object_acl` is None then. `ownership` empty counts as `ObjectWriter`. `policy` is the text of the
    bucket's policy. `conditions` gives the condition keys of the request, and is called only if a policy has a use for them.
    """

    identity: Identity
    action: str
    bucket: str = ""
    key: str = ""
    bucket_owner: str = ""
    object_owner: str = ""
    policy: str | None = None
    ownership: str = ""
    block: PublicAccessBlock = NO_BLOCK
    bucket_acl: Acl = _NO_GRANTS
    object_acl: Acl | None = None
    anonymous: Anonymous = "none"
    conditions: Callable[[], Keys] = _no_conditions


def may(question: Question) -> None:
    """Raise AccessDenied unless the caller may do what he asks for."""
    if not decides(question):
        raise AccessDenied()


def may_list(question: Question) -> bool:
    """Whether the caller may list the bucket, and so learn that a key is missing.

    To be asked when an object is not there: who may not list gets AccessDenied instead of NoSuchKey, as on S3. Who was refused
    the object only because there is none to have an ACL, and may list, gets NoSuchKey.
    """
    return decides(replace(question, action="s3:ListBucket", key="", object_owner="", object_acl=None))


def is_unrestricted(identity: Identity, policy: str | None) -> bool:
    """Whether the caller is the owner of everything and nothing could deny him: the usual case, for which no question
    needs to be put together. `policy` is the bucket's."""
    return (
        identity.account == OWNER_ID
        and identity.access_key != ""
        and policy is None
        and identity.policy is None
        and identity.session_policy is None
    )


def decides(question: Question) -> bool:
    """Whether the caller may do what he asks for."""
    if not _is_action(question.action):
        return False
    if is_unrestricted(question.identity, question.policy):
        return True
    case = _Case(question)
    for step in STEPS:
        answer = step(case)
        if answer is not None:
            return answer
    return False


def _is_action(action: str) -> bool:
    service, colon, name = action.partition(":")
    return service + colon in SERVICES and name.isalpha()


class _Case:
    """A question with what follows from it, worked out when a step wants to know."""

    def __init__(self, question: Question) -> None:
        self.question = question
        self.identity = question.identity

    @cached_property
    def request(self) -> Request:
        """What the policies are asked."""
        question = self.question
        arn = resource(question.action, question.bucket, question.key)
        return Request(question.identity, question.action, arn, question.conditions)

    @cached_property
    def bucket_effect(self) -> Effect | None:
        """What the bucket's policy says."""
        return self._said(self.question.policy)

    @cached_property
    def identity_effect(self) -> Effect | None:
        """What the credential's policy says."""
        return self._said(self.identity.policy)

    @cached_property
    def session_effect(self) -> Effect | None:
        """What the session's policy says."""
        return self._said(self.identity.session_policy)

    @property
    def is_bucket_owner(self) -> bool:
        """Whether the caller's account owns the bucket."""
        return not self.identity.anonymous and self.identity.account == self.question.bucket_owner

    @property
    def owns_everything(self) -> bool:
        """Whether the caller's key has no account of its own."""
        return not self.identity.anonymous and self.identity.owns_everything

    @property
    def is_root(self) -> bool:
        """Whether the caller is the whole account: a key that nothing narrows."""
        identity = self.identity
        return not (identity.anonymous or identity.policy or identity.session_policy or identity.session)

    @property
    def is_foreign(self) -> bool:
        """Whether the action is on an object that is not the bucket owner's, so that only the object's ACL can grant it."""
        question = self.question
        rule = ACL_RULES.get(question.action)
        return (
            question.ownership != ENFORCED
            and question.object_owner not in ("", question.bucket_owner)
            and rule is not None
            and rule[0] is Whose.OBJECT
        )

    @property
    def is_granted_directly(self) -> bool:
        """Whether the bucket's policy allows this very key, or everybody, and not only the key's account."""
        asked = self.request
        direct = Request(asked.identity, asked.action, asked.resource, lambda: asked.keys, direct=True)
        return self._said(self.question.policy, direct) is Effect.ALLOW

    def _said(self, text: str | None, request: Request | None = None) -> Effect | None:
        """What a policy says; one that cannot be read denies."""
        if text is None:
            return None
        try:
            return evaluate(parse(text), request or self.request)
        except PolicyError:
            return Effect.DENY


# The steps: True allows, False denies, None passes the question on.


def _explicit_deny(case: _Case) -> bool | None:
    """A Deny anywhere. The bucket policy's own does not keep the owner from mending that policy."""
    if Effect.DENY in (case.identity_effect, case.session_effect):
        return False
    if case.bucket_effect is not Effect.DENY:
        return None
    owner = case.is_root and (case.is_bucket_owner or case.owns_everything)
    return None if owner and case.question.action in _POLICY_ACTIONS else False


def _session_policy(case: _Case) -> bool | None:
    """A session does at most what its policy allows."""
    if case.identity.session_policy is None:
        return None
    return None if case.session_effect is Effect.ALLOW else False


def _identity_policy(case: _Case) -> bool | None:
    """A narrowed key does what its policy allows; or, in a bucket of its own account, what the bucket grants that key."""
    if case.identity.policy is None or case.identity_effect is Effect.ALLOW:
        return None
    return case.is_bucket_owner and not case.is_foreign and case.is_granted_directly


def _nobody(case: _Case) -> bool | None:
    """Callers without credentials: as `Anonymous` says."""
    if not case.identity.anonymous:
        return None
    return _ANONYMOUS.get(case.question.anonymous, False)


def _owner_of_everything(case: _Case) -> bool | None:
    return True if case.owns_everything else None


def _own_account(case: _Case) -> bool | None:
    """What concerns nobody but the caller."""
    action = case.question.action
    own = action in _ACCOUNT_ACTIONS or action.startswith("sts:")
    return True if own and not case.identity.anonymous else None


def _bucket_owner(case: _Case) -> bool | None:
    """The bucket's owner does everything, except for the objects of others."""
    return True if case.is_bucket_owner and not case.is_foreign else None


def _bucket_policy(case: _Case) -> bool | None:
    """What the bucket's owner allows others, with objects that are his. A restricted public policy allows them nothing."""
    question = case.question
    if case.bucket_effect is not Effect.ALLOW or case.is_foreign:
        return None
    if question.block.restrict_public_buckets and is_public_policy(parse(question.policy or "")):
        return None
    return True


def _acl(case: _Case) -> bool | None:
    """What the ACL of the bucket or the object grants, where ACLs count."""
    question = case.question
    rule = ACL_RULES.get(question.action)
    if rule is None or question.ownership == ENFORCED:
        return None
    whose, permission = rule
    acl = question.bucket_acl if whose is Whose.BUCKET else question.object_acl
    if acl is None:
        return None
    acl = without_public(acl) if question.block.ignore_public_acls else acl
    return True if allows(acl, case.identity, permission) else None


_ANONYMOUS: Mapping[str, bool | None] = {"none": False, "public-read": None, "full": True}

STEPS: tuple[Callable[[_Case], bool | None], ...] = (
    _explicit_deny,
    _session_policy,
    _identity_policy,
    _nobody,
    _owner_of_everything,
    _own_account,
    _bucket_owner,
    _bucket_policy,
    _acl,
)
"""The steps of a decision: the first that says yes or no decides."""
