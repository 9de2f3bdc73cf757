"""Buckets: list, create, head, delete, location."""

import re

from auth import acl
from auth.identity import OWNER_ID
from backends.base import BucketQuery, Doc, NewBucket
from gateway import acls, xml
from gateway.authorise import require
from gateway.conditions import iso_date
from gateway.configurations import object_lock, tagging
from gateway.configurations.ownership import ENFORCED, OWNERSHIPS
from gateway.context import Context
from gateway.errors import (
    IllegalLocationConstraintException,
    InvalidArgument,
    InvalidBucketAclWithObjectOwnership,
    InvalidBucketName,
    InvalidLocationConstraint,
)
from gateway.handlers.parameters import integer
from gateway.metadata import refuse_unsupported
from gateway.reply import Reply, document

_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+")
_RESERVED_STARTS = ("xn--", "sthree-", "amzn-s3-demo-")
_RESERVED_ENDS = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")
RESERVED_NAMES = frozenset({"healthz", "health", "backends", "metrics", "api", "console", "system"})
"""Paths of the gateway itself, and the bucket of its own state."""


async def list_buckets(context: Context) -> Reply:
    """Answer the caller's buckets by name, in pages if `max-buckets` says so; the owner of everything sees all."""
    prefix, token = context.param("prefix"), context.param("continuation-token")
    limit = integer(context, "max-buckets", 10_000, low=1, high=10_000)
    account = context.identity.account or OWNER_ID
    query = BucketQuery(prefix, token, limit, None if account == OWNER_ID else account)
    page = await context.backend.list_buckets(query)
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
            xml.element("ContinuationToken", page.next) if page.next else None,
        )
    )


async def create_bucket(context: Context) -> Reply:
    """Make a bucket in this region, owned by the caller's account."""
    name = context.request.bucket
    check_name(name)
    refuse_unsupported(context.request.headers)
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
    if context.header("x-amz-bucket-object-lock-enabled").lower() == "true":
        docs |= {Doc.VERSIONING: "Enabled", Doc.OBJECT_LOCK: object_lock.ENABLED}
    return docs


async def head_bucket(context: Context) -> Reply:
    """Answer whether the bucket is there, and its region."""
    return Reply(200, {"x-amz-bucket-region": context.services.region, "content-type": "application/xml"})


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
        or ".." in name
        or _ADDRESS.fullmatch(name)
        or name.startswith(_RESERVED_STARTS)
        or name.endswith(_RESERVED_ENDS)
    )


def _check_location(constraint: str | None, region: str) -> None:
    if not constraint or constraint == region:
        return
    if not re.fullmatch(r"[a-zA-Z0-9-]{1,64}", constraint):
        raise InvalidLocationConstraint(LocationConstraint=constraint[:64])
    raise IllegalLocationConstraintException(
        f"The {constraint} location constraint is incompatible for the region specific endpoint this request was sent to."
    )
