"""May this request do what it asks for? Gathers what the decision needs, and leaves deciding to `auth.access.may`.

What is loaded is what the decision can depend on: nothing for the owner of everything without policies (the usual
case), the object's ACL where ACLs count, its tags where a policy asks for them.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from auth import acl, policy
from auth.access import ENFORCED, Question, decides, is_unrestricted, may
from auth.accounts import number_of
from auth.identity import OWNER_ID
from backends.base import BucketInfo, Doc, ObjectInfo, Ref, UploadInfo
from backends.clock import now
from backends.locks import read_retention
from gateway import acls, xml
from gateway.configurations import object_lock, public_access, tagging
from gateway.context import Context, Level
from gateway.errors import (
    AccessDenied,
    InvalidArgument,
    MethodNotAllowed,
    NoSuchKey,
    NoSuchVersion,
    S3Error,
)
from gateway.policy_keys import (
    Keys,
    creation_keys,
    request_keys,
    resource_keys,
    retention_keys,
    tag_keys,
)

_MISSING = (NoSuchKey, NoSuchVersion, MethodNotAllowed)
"""What the backend says of an object that is not there, or is a delete marker."""
_LIST = "s3:ListBucket"

# What a header of a request asks for beyond its operation.
_OBJECT_HEADERS = {
    "x-amz-acl": "s3:PutObjectAcl",
    "x-amz-grant-full-control": "s3:PutObjectAcl",
    "x-amz-grant-read": "s3:PutObjectAcl",
    "x-amz-grant-read-acp": "s3:PutObjectAcl",
    "x-amz-grant-write-acp": "s3:PutObjectAcl",
    "x-amz-object-lock-legal-hold": "s3:PutObjectLegalHold",
    "x-amz-object-lock-mode": "s3:PutObjectRetention",
    "x-amz-object-lock-retain-until-date": "s3:PutObjectRetention",
    "x-amz-tagging": "s3:PutObjectTagging",
}
_BUCKET_HEADERS = {
    "x-amz-acl": "s3:PutBucketAcl",
    "x-amz-bucket-object-lock-enabled": "s3:PutBucketObjectLockConfiguration",
    "x-amz-grant-full-control": "s3:PutBucketAcl",
    "x-amz-grant-read": "s3:PutBucketAcl",
    "x-amz-grant-read-acp": "s3:PutBucketAcl",
    "x-amz-grant-write": "s3:PutBucketAcl",
    "x-amz-grant-write-acp": "s3:PutBucketAcl",
    "x-amz-object-ownership": "s3:PutBucketOwnershipControls",
}
FURTHER_ACTIONS: Mapping[tuple[str, bool], tuple[str, ...]] = {
    ("GetObjectAttributes", False): ("s3:GetObject",),
    ("GetObjectAttributes", True): ("s3:GetObjectVersion",),
    ("RenameObject", False): ("s3:PutObject",),
}
"""By operation, and whether it names a version: what it needs beyond its action. What is needed of the source of a copy or a
rename the handler asks for."""
EXTRA_ACTIONS: Mapping[str, Mapping[str, str]] = {
    "CopyObject": _OBJECT_HEADERS,
    "CreateBucket": _BUCKET_HEADERS,
    "CreateMultipartUpload": _OBJECT_HEADERS,
    "PostObject": _OBJECT_HEADERS,
    "PutObject": _OBJECT_HEADERS,
}
"""By operation: the further actions that headers need."""


async def authorise(context: Context) -> None:
    """Let the request pass, or raise AccessDenied. Nothing about bucket or object was told before."""
    _check_expected_owner(context)
    if is_unrestricted(context.verified.identity, context.bucket.docs.get(Doc.POLICY)):
        return
    operation = context.operation
    if operation.per_item:
        await _require_any(context)
        return
    if operation.name in IN_BODY and context.prefetched is None and policies(context, context.bucket):
        context.prefetched = await context.document()
    ref = _target(context)
    further = FURTHER_ACTIONS.get((operation.name, bool(context.param("versionId"))), ())
    for action in (_action(context), *further):
        context.judged = await require(context, action, ref)
    extras = EXTRA_ACTIONS.get(operation.name)
    if extras:
        wanted = {extras[name] for name in extras.keys() & context.request.headers.keys()}
        if _writes_by_acl(context):  # who may write by ACL owns what he writes, and so its ACL
            wanted.discard("s3:PutObjectAcl")
        for action in sorted(wanted):
            await require(context, action, ref)


async def require(
    context: Context, action: str, ref: Ref, bucket: BucketInfo | None = None
) -> ObjectInfo | None:
    """Raise AccessDenied unless the caller may do `action` with `ref`, an object of `bucket` (None: the request's).

    Answers the object, if the decision could depend on it. For reads raises what says that there is none.
    """
    bucket = bucket or context.bucket
    if is_unrestricted(context.verified.identity, bucket.docs.get(Doc.POLICY)):
        return None
    found, missing = await _load(context, ref, bucket)
    if missing is not None and action.startswith("s3:Get"):
        # Whether a key exists is told only to those who may list; and who only may do that reads nothing that comes meanwhile.
        may(_question(context, _LIST, Ref(ref.bucket, ""), bucket, None))
        raise missing
    question = _question(context, action, ref, bucket, found)
    may(question)
    if Doc.LOGGING in bucket.docs and not decides(replace(question, ownership=ENFORCED)):
        context.audit["acl"] = "Yes"
    return found


def confirm(context: Context, opened: ObjectInfo) -> None:
    """Raise AccessDenied if the object was replaced since `authorise` looked at it, and the caller may not read the new one."""
    if context.judged is not None and context.judged != opened:
        may(_question(context, _action(context), context.ref, context.bucket, opened))


def check_initiator(context: Context, upload: UploadInfo) -> None:
    """Raise AccessDenied for an upload of somebody else, where nothing but the bucket's ACL lets the caller write."""
    docs, began = context.bucket.docs, upload.write.initiator or upload.write.owner
    if docs.get(Doc.OWNERSHIP) == ENFORCED or is_unrestricted(context.identity, docs.get(Doc.POLICY)):
        return
    if began != acls.writer(context):
        question = _question(context, _action(context), context.ref, context.bucket, None)
        may(replace(question, ownership=ENFORCED))


async def allowed(context: Context, action: str, ref: Ref) -> bool:
    """Whether `require` would pass."""
    try:
        await require(context, action, ref)
    except S3Error as error:
        if error.kind is not AccessDenied:
            raise
        return False
    return True


async def may_bypass_governance(context: Context, ref: Ref) -> bool:
    """Whether the request asks to bypass governance retention, and may."""
    if context.header("x-amz-bypass-governance-retention").lower() != "true":
        return False
    return await allowed(context, "s3:BypassGovernanceRetention", ref)


async def told(context: Context, error: S3Error) -> S3Error:
    """The error to tell: who may read, or rename, and not list, does not learn that a key is missing."""
    operation = context.operation
    reads = operation.action.startswith("s3:Get") or operation.name == "RenameObject"
    if error.kind not in (NoSuchKey, NoSuchVersion) or operation.level is not Level.OBJECT or not reads:
        return error
    return error if await allowed(context, _LIST, Ref(context.bucket.name, "")) else AccessDenied()


def _action(context: Context) -> str:
    operation = context.operation
    if operation.versioned_action and context.param("versionId"):
        return operation.versioned_action
    return operation.action


async def _require_any(context: Context) -> None:
    """An operation on many objects asks for each of them. Here: might the caller be allowed any?"""
    if context.identity.anonymous and context.services.anonymous == "none":
        raise AccessDenied()
    if not policies(context, context.bucket):
        may(_question(context, context.operation.action, Ref(context.bucket.name, ""), context.bucket, None))


def policies(context: Context, bucket: BucketInfo) -> list[str]:
    """The policies that bear on what the caller does with a bucket: the bucket's, the key's, the session's."""
    identity = context.identity
    texts = (bucket.docs.get(Doc.POLICY), identity.policy, identity.session_policy)
    return [text for text in texts if text is not None]


def _target(context: Context) -> Ref:
    """What the request is about: a version only where the operation knows versions."""
    version = context.param("versionId") if context.operation.versioned_action else ""
    return replace(context.ref, version=version or None)


def _writes_by_acl(context: Context) -> bool:
    """Whether the bucket's ACL lets the caller write, with no policy that might see it otherwise."""
    bucket = context.bucket
    if policies(context, bucket) or Doc.ACL not in bucket.docs:
        return False
    return decides(_question(context, "s3:PutObject", context.ref, bucket, None))


def _check_expected_owner(context: Context) -> None:
    expected = context.request.headers.get("x-amz-expected-bucket-owner")
    if expected is not None and not is_owner(context, expected, context.bucket):
        raise AccessDenied()


def is_owner(context: Context, account: str, bucket: BucketInfo) -> bool:
    """Whether `account` (by number, canonical id, name or access key) owns the bucket."""
    owner = bucket.owner or OWNER_ID
    return owner in (account, context.services.accounts.account_of(account))


async def _load(context: Context, ref: Ref, bucket: BucketInfo) -> tuple[ObjectInfo | None, S3Error | None]:
    """The object if the decision depends on it; and, if it was looked for and is missing, what says so."""
    if not ref.key or not _depends_on_object(context, bucket):
        return None, None
    try:
        return (await context.backend.head_object(ref)).info, None
    except S3Error as error:
        if error.kind in _MISSING:
            return None, error
        if error.kind is InvalidArgument:  # no version id: the handler says so to whom may know
            return None, None
        raise


def _depends_on_object(context: Context, bucket: BucketInfo) -> bool:
    if bucket.docs.get(Doc.OWNERSHIP) != ENFORCED:
        return True
    return any(_asks_for_tags(text) for text in policies(context, bucket))


def _asks_for_tags(text: str) -> bool:
    try:
        return policy.uses_object_tags(policy.parse(text))
    except policy.PolicyError:  # it denies, whatever the object is
        return False


def _question(
    context: Context, action: str, ref: Ref, bucket: BucketInfo, found: ObjectInfo | None
) -> Question:
    docs, identity = bucket.docs, context.identity
    # A bucket that is not there yet, and the list of one's buckets, are the caller's own affair.
    owner = (bucket.owner or OWNER_ID) if bucket.name else identity.account
    object_owner = (found.owner or owner) if found else ""

    def conditions() -> Mapping[str, tuple[str, ...]]:
        request = context.request
        keys = request_keys(request, context.verified, context.services.trusted_proxies)
        existing = tagging.load(found.docs.get(Doc.TAGGING)) if found else None
        keys |= tag_keys(existing, _requested_tags(context))
        keys |= resource_keys(number_of(context.services.accounts, owner), context.services.region)
        if context.operation.name == "PostObject" and not identity.anonymous:
            keys["s3:authtype"] = ("POST",)
        if action == "s3:PutObject":
            keys |= creation_keys(context.operation.name)
        read = IN_BODY.get(context.operation.name) if context.prefetched else None
        return keys if read is None else keys | read(context.prefetched or b"")

    return Question(
        identity=identity,
        action=action,
        bucket=ref.bucket,
        key=ref.key,
        bucket_owner=owner,
        object_owner=object_owner,
        policy=docs.get(Doc.POLICY),
        ownership=docs.get(Doc.OWNERSHIP, ""),
        block=public_access.load(docs.get(Doc.PUBLIC_ACCESS_BLOCK)),
        bucket_acl=acl.load(docs.get(Doc.ACL), owner),
        object_acl=acl.load(found.docs.get(Doc.ACL), object_owner) if found else None,
        anonymous=context.services.anonymous,
        conditions=conditions,
    )


def _requested_tags(context: Context) -> Mapping[str, str] | None:
    value = context.request.headers.get("x-amz-tagging")
    return tagging.load(tagging.read_header(value)) if value is not None else None


def _tags_in(data: bytes) -> Keys:
    return tag_keys(None, tagging.load(tagging.read_object(data)))


def _retention_in(data: bytes) -> Keys:
    found = object_lock.read_retention_document(data, now())
    if found is None:
        return {}
    retention = read_retention(found)
    assert retention is not None
    return retention_keys(retention.mode, retention.until)


def _hold_in(data: bytes) -> Keys:
    return {"s3:object-lock-legal-hold": (object_lock.read_hold_document(data),)}


def _location_in(data: bytes) -> Keys:
    location, _ = xml.read_create_bucket(data)
    return {} if location is None else {"s3:locationconstraint": (location,)}


IN_BODY: Mapping[str, Callable[[bytes], Keys]] = {
    "CreateBucket": _location_in,
    "PutObjectLegalHold": _hold_in,
    "PutObjectRetention": _retention_in,
    "PutObjectTagging": _tags_in,
}
"""By operation: the condition keys that its body tells. It is received first where there are policies, which may ask for them."""
