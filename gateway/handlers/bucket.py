"""Buckets: list, create, head, delete, location."""

import re
from collections.abc import Mapping

from auth.identity import OWNER_ID, OWNER_NAME
from backends.base import BucketQuery, Doc
from gateway import xml
from gateway.conditions import iso_date
from gateway.context import Context
from gateway.errors import (
    IllegalLocationConstraintException,
    InvalidArgument,
    InvalidBucketAclWithObjectOwnership,
    InvalidBucketName,
    InvalidLocationConstraint,
    NotImplemented_,
)
from gateway.handlers.parameters import integer
from gateway.metadata import canned_acl, refuse_unsupported
from gateway.reply import Reply, document

_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+")
_RESERVED_STARTS = ("xn--", "sthree-", "amzn-s3-demo-")
_RESERVED_ENDS = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")
_OWNERSHIPS = ("BucketOwnerEnforced", "BucketOwnerPreferred", "ObjectWriter")
RESERVED_NAMES = frozenset({"healthz", "health", "backends", "metrics", "api", "console", "system"})
"""Paths of the gateway itself, and the bucket of its own state."""

OWNER = xml.element("Owner", xml.element("ID", OWNER_ID), xml.element("DisplayName", OWNER_NAME))


async def list_buckets(context: Context) -> Reply:
    """Answer the buckets by name, in pages if `max-buckets` says so."""
    prefix, token = context.param("prefix"), context.param("continuation-token")
    query = BucketQuery(prefix, token, integer(context, "max-buckets", 10_000, low=1, high=10_000))
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
            OWNER,
            xml.element("Buckets", *buckets),
            xml.element("Prefix", prefix) if prefix else None,
            xml.element("ContinuationToken", page.next) if page.next else None,
        )
    )


async def create_bucket(context: Context) -> Reply:
    """Make a bucket in this region."""
    name = context.request.bucket
    check_name(name)
    refuse_unsupported(context.request.headers)
    refuse_object_lock(context)
    acl = canned_acl(context.request.headers)
    _check_ownership(context.request.headers.get("x-amz-object-ownership"), acl)
    data = await context.document()
    _check_location(xml.read_location(data) if data else None, context.services.region)
    await context.backend.create_bucket(name, acl)
    return Reply(200, {"location": f"/{name}", "x-amz-bucket-arn": f"arn:aws:s3:::{name}"})


async def head_bucket(context: Context) -> Reply:
    """Answer whether the bucket is there, and its region."""
    await context.backend.head_bucket(context.request.bucket)
    return Reply(200, {"x-amz-bucket-region": context.services.region, "content-type": "application/xml"})


async def delete_bucket(context: Context) -> Reply:
    """Remove an empty bucket."""
    await context.backend.delete_bucket(context.request.bucket)
    return Reply(204)


async def get_bucket_location(context: Context) -> Reply:
    """Answer the configured region; us-east-1 is an empty element, as on S3."""
    await context.backend.head_bucket(context.request.bucket)
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


def refuse_object_lock(context: Context) -> None:
    """Raise NotImplemented for a bucket that is to have object lock."""
    if context.header("x-amz-bucket-object-lock-enabled").lower() == "true":
        raise NotImplemented_(Header="x-amz-bucket-object-lock-enabled")


def _check_ownership(ownership: str | None, acl: Mapping[Doc, str]) -> None:
    if ownership is not None and ownership not in _OWNERSHIPS:
        raise InvalidArgument(
            f"Invalid x-amz-object-ownership header: {ownership}", ArgumentName="x-amz-object-ownership"
        )
    if ownership == "BucketOwnerEnforced" and acl:
        raise InvalidBucketAclWithObjectOwnership()


def _check_location(constraint: str | None, region: str) -> None:
    if not constraint or constraint == region:
        return
    if not re.fullmatch(r"[a-zA-Z0-9-]{1,64}", constraint):
        raise InvalidLocationConstraint(LocationConstraint=constraint[:64])
    raise IllegalLocationConstraintException(
        f"The {constraint} location constraint is incompatible for the region specific endpoint this request was sent to."
    )
