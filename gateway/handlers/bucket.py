"""Buckets: list, create, head, delete, location."""

import re

from auth import acl
from auth.access import ENFORCED
from auth.identity import OWNER_ID
from backends.base import BucketPage, BucketQuery, Doc, NewBucket
from backends.versions import ENABLED
from gateway import acls, xml
from gateway.authorise import require
from gateway.conditions import iso_date
from gateway.configurations import object_lock, tagging
from gateway.configurations.ownership import OWNERSHIPS
from gateway.context import Context
from gateway.errors import (
    IllegalLocationConstraintException,
    InvalidArgument,
    InvalidBucketAclWithObjectOwnership,
    InvalidBucketName,
    InvalidLocationConstraint,
    NoSuchBucket,
    NotImplemented_,
    S3Error,
)
from gateway.handlers.listing import make_token, read_token
from gateway.handlers.parameters import integer
from gateway.metadata import refuse_unsupported
from gateway.reply import Reply, document

_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+")
_NOT_IN_HOSTS = ("..", ".-", "-.")
"""What no host name holds: a label of it begins and ends with a letter or digit."""
_ONCE_LEGAL = re.compile(r"[A-Za-z0-9._-]{3,255}")
"""Names that buckets of us-east-1 could have before 2018."""
_REGION = re.compile(r"[a-z]{2,4}(-[a-z]+)+-\d{1,2}|EU")
_NAMESPACE = "x-amz-bucket-namespace"
_LOCKED = "x-amz-bucket-object-lock-enabled"
_RESERVED_STARTS = ("xn--", "sthree-", "amzn-s3-demo-")
_RESERVED_ENDS = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")
RESERVED_NAMES = frozenset({"healthz", "health", "backends", "metrics", "api", "console", "system"})
"""Paths of the gateway itself, and the bucket of its own state."""


async def list_buckets(context: Context) -> Reply:
    """Answer the caller's buckets by name, in pages if `max-buckets` says so; the owner of everything sees all.

    All are in one region: `bucket-region` means all of them or none.
    """
    prefix, token = context.param("prefix"), context.param("continuation-token")
    limit = integer(context, "max-buckets", 10_000, low=1, high=10_000)
    account = context.identity.account or OWNER_ID
    after = read_token(token) if token else ""
    query = BucketQuery(prefix, after, limit, None if account == OWNER_ID else account)
    here = context.param("bucket-region") in ("", context.services.region)
    page = await context.backend.list_buckets(query) if here else BucketPage([])
    region = xml.element("BucketRegion", context.services.region)
    buckets = [
        xml.element(
            "Bucket",
            xml.element("Name", bucket.name),
            xml.element("CreationDate", iso_date(bucket.created)),
            region,
        )
        for bucket in page.buckets
    ]
    return document(
        xml.document(
            "ListAllMyBucketsResult",
            acls.owner_element(context, account),
            xml.element("Buckets", *buckets),
            xml.element("Prefix", prefix) if prefix else None,
            xml.element("ContinuationToken", make_token(page.next)) if page.next else None,
        )
    )


async def create_bucket(context: Context) -> Reply:
    """Make a bucket in this region, owned by the caller's account."""
    name = context.request.bucket
    check_name(name)
    refuse_unsupported(context.request.headers)
    _check_namespace(context)
    docs = _first_documents(context)
    location, tags = xml.read_create_bucket(await context.document())
    _check_location(location, context.services.region)
    tag_set = tagging.read_new_bucket(tags)
    if tag_set is not None:
        await require(context, "s3:PutBucketTagging", context.ref)
        docs[Doc.TAGGING] = tag_set
    await context.backend.create_bucket(name, NewBucket(_owner(context), docs))
    return Reply(200, {"location": f"/{name}", "x-amz-bucket-arn": f"arn:aws:s3:::{name}"})


def _owner(context: Context) -> str:
    account = context.identity.account
    return "" if account == OWNER_ID else account


def _first_documents(context: Context) -> dict[Doc, str]:
    """The documents that a bucket begins with: ownership, ACL, object lock (and hence versioning)."""
    headers, owner = context.request.headers, context.identity.account or OWNER_ID
    ownership = headers.get("x-amz-object-ownership", context.services.object_ownership)
    if ownership not in OWNERSHIPS:
        raise InvalidArgument(
            f"Invalid x-amz-object-ownership header: {ownership}", ArgumentName="x-amz-object-ownership"
        )
    docs = {Doc.OWNERSHIP: ownership}
    wanted = acls.of_headers(context, owner, owner)
    if wanted is not None and not acl.is_private(wanted):
        if ownership == ENFORCED:
            raise InvalidBucketAclWithObjectOwnership()
        docs[Doc.ACL] = acl.dump(wanted)
    locked = context.header(_LOCKED, "false").lower()
    if locked not in ("true", "false"):
        raise InvalidArgument(ArgumentName=_LOCKED, ArgumentValue=locked[:256])
    if locked == "true":
        docs |= {Doc.VERSIONING: ENABLED, Doc.OBJECT_LOCK: object_lock.ENABLED}
    return docs


async def head_bucket(context: Context) -> Reply:
    """Answer whether the bucket is there, and its region."""
    return Reply(
        200,
        {
            "x-amz-bucket-region": context.services.region,
            "x-amz-access-point-alias": "false",
            "content-type": "application/xml",
        },
    )


async def delete_bucket(context: Context) -> Reply:
    """Remove an empty bucket."""
    await context.backend.delete_bucket(context.request.bucket)
    return Reply(204)


async def get_bucket_location(context: Context) -> Reply:
    """Answer the configured region; us-east-1 is an empty element, as on S3."""
    region = context.services.region
    return document(xml.document("LocationConstraint", "" if region == "us-east-1" else region))


def check_name(name: str) -> None:
    """Raise InvalidBucketName unless S3 allows the name and the gateway does not use it itself.

    Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
    """
    if not is_legal(name) or name in RESERVED_NAMES:
        raise InvalidBucketName(BucketName=name)


def is_legal(name: str) -> bool:
    """Whether S3 allows a bucket of this name."""
    return not (
        not _NAME.fullmatch(name)
        or any(pair in name for pair in _NOT_IN_HOSTS)
        or _ADDRESS.fullmatch(name)
        or name.startswith(_RESERVED_STARTS)
        or name.endswith(_RESERVED_ENDS)
    )


def missing(error: S3Error, name: str) -> S3Error:
    """What to tell of a bucket that could not be found: no bucket was ever called so, if that is the reason."""
    if error.kind is not NoSuchBucket or _ONCE_LEGAL.fullmatch(name):
        return error
    return InvalidBucketName(BucketName=name)


def _check_namespace(context: Context) -> None:
    """Names are common to all accounts: a namespace of the account's own would promise more."""
    if context.header(_NAMESPACE, "global") != "global":
        raise NotImplemented_(Header=_NAMESPACE)


def _check_location(constraint: str | None, region: str) -> None:
    """us-east-1 may be named too, though AWS would have it left out."""
    if constraint is None or constraint == region:
        return
    if not _REGION.fullmatch(constraint):
        raise InvalidLocationConstraint(LocationConstraint=constraint[:64])
    raise IllegalLocationConstraintException(
        f"The {constraint} location constraint is incompatible for the region specific endpoint this request was sent to."
    )
