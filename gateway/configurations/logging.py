"""`?logging`: into which bucket, and under which keys, the server access log of a bucket is written.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketLogging.html,
https://docs.aws.amazon.com/AmazonS3/latest/userguide/enable-server-access-logging.html
"""

import functools
from dataclasses import dataclass

from auth import acl
from auth.access import ENFORCED
from auth.acl import Acl, Grant, Permission
from backends.base import BucketInfo, Doc
from gateway import acls, xml
from gateway.configurations import object_lock, public_access, request_payment
from gateway.context import Context
from gateway.encryption.document import load as load_encryption
from gateway.encryption.record import Mode
from gateway.errors import (
    AccessControlListNotSupported,
    AccessDenied,
    InvalidArgument,
    InvalidTargetBucketForLogging,
    MalformedACLError,
    MalformedXML,
    S3Error,
)

MAX_PREFIX_BYTES = 800
"""What is appended to a prefix always fits into a key."""
_ROOT = "BucketLoggingStatus"
ABSENT = xml.document(_ROOT)
"""What GET answers of a bucket that is not logged."""
SIMPLE, EVENT_TIME, DELIVERY_TIME = "SimplePrefix", "EventTime", "DeliveryTime"
_FIELDS = frozenset({"TargetBucket", "TargetPrefix", "TargetGrants", "TargetObjectKeyFormat"})


@dataclass(frozen=True, slots=True)
class Logging:
    """The configuration of a bucket that is logged.

    `grants` are given on log objects besides the owner's. `format` is that of keys: `EventTime` and `DeliveryTime` are
    the time by which they are partitioned, `SimplePrefix` and None (nothing was said) are not.
    """

    bucket: str
    prefix: str
    grants: tuple[Grant, ...] = ()
    format: str | None = None


def read(data: bytes, context: Context) -> str | None:
    """The document to keep, None for an empty one. Raises MalformedXML, InvalidArgument, UnresolvableGrantByEmailAddress."""
    enabled = _enabled(data)
    if enabled is None:
        return None
    return show(_parsed(enabled, _resolved(enabled, context)))


@functools.lru_cache(maxsize=256)
def load(text: str) -> Logging:
    """A kept configuration."""
    enabled = _enabled(text.encode())
    assert enabled is not None
    return _parsed(enabled, tuple(map(_kept_grant, _grants(enabled))))


def check_target(logging: Logging, source: BucketInfo, target: BucketInfo) -> None:
    """Raise what S3 answers if this log cannot be written to the target bucket.

    InvalidTargetBucketForLogging, AccessControlListNotSupported, AccessDenied (public grants are blocked).
    """
    for fails, reason in (
        (
            source.owner != target.owner,
            "The owner for the bucket to be logged and the target bucket must be the same.",
        ),
        (_locks(target), "The target bucket must not have a default Object Lock retention."),
        (_charges(target), "The target bucket must not have Requester Pays enabled."),
        (_encrypts_by_kms(target), "The default encryption of the target bucket must be SSE-S3."),
    ):
        if fails:
            raise InvalidTargetBucketForLogging(reason, TargetBucket=target.name)
    if not logging.grants:
        return
    if target.docs.get(Doc.OWNERSHIP) == ENFORCED:
        raise AccessControlListNotSupported("Target grants not allowed for bucket owner enforced buckets")
    block = public_access.load(target.docs.get(Doc.PUBLIC_ACCESS_BLOCK))
    if block.block_public_acls and acl.public(Acl("", logging.grants)):
        raise AccessDenied("Access Denied: public ACLs are prevented by the BlockPublicAcls setting.")


def _locks(target: BucketInfo) -> bool:
    text = target.docs.get(Doc.OBJECT_LOCK)
    return text is not None and object_lock.load(text) is not None


def _charges(target: BucketInfo) -> bool:
    text = target.docs.get(Doc.REQUEST_PAYMENT)
    return text is not None and request_payment.load(text).requester


def _encrypts_by_kms(target: BucketInfo) -> bool:
    default = load_encryption(target.docs.get(Doc.ENCRYPTION)).default
    return default is not None and default.mode is Mode.KMS


def show(logging: Logging) -> str:
    """The document that is kept, and that GET answers."""
    grants = [
        xml.element(
            "Grant", acls.grantee_element(grant.grantee), xml.element("Permission", grant.permission.value)
        )
        for grant in logging.grants
    ]
    return xml.document(
        _ROOT,
        xml.element(
            "LoggingEnabled",
            xml.element("TargetBucket", logging.bucket),
            xml.element("TargetPrefix", logging.prefix),
            xml.element("TargetGrants", *grants) if grants else None,
            xml.element("TargetObjectKeyFormat", _shown_format(logging.format)) if logging.format else None,
        ),
    ).decode()


def _shown_format(name: str) -> xml.Markup:
    if name == SIMPLE:
        return xml.element(SIMPLE)
    return xml.element("PartitionedPrefix", xml.element("PartitionDateSource", name))


def _enabled(data: bytes) -> xml.Element | None:
    top = xml.parse(data, _ROOT)
    if not top.children:
        return None
    enabled = top.children[0]
    if len(top.children) > 1 or enabled.name != "LoggingEnabled":
        raise MalformedXML()
    names = [child.name for child in enabled.children]
    if len(set(names)) != len(names) or not _FIELDS.issuperset(names):
        raise MalformedXML()
    return enabled


def _parsed(enabled: xml.Element, grants: tuple[Grant, ...]) -> Logging:
    bucket, prefix = xml.text(enabled, "TargetBucket"), xml.text(enabled, "TargetPrefix")
    if not bucket or prefix is None:
        raise MalformedXML()
    if len(prefix.encode()) > MAX_PREFIX_BYTES:
        raise InvalidArgument(
            f"The prefix must not be longer than {MAX_PREFIX_BYTES} bytes", ArgumentName="TargetPrefix"
        )
    return Logging(bucket, prefix, grants, _format(enabled))


def _format(enabled: xml.Element) -> str | None:
    formats = xml.children(enabled, "TargetObjectKeyFormat")
    if not formats:
        return None
    if len(formats[0].children) != 1:
        raise MalformedXML()
    chosen = formats[0].children[0]
    found = xml.fields(chosen)
    if chosen.name == SIMPLE and not found:
        return SIMPLE
    source = found.pop("PartitionDateSource", DELIVERY_TIME)
    if chosen.name != "PartitionedPrefix" or found or source not in (EVENT_TIME, DELIVERY_TIME):
        raise MalformedXML()
    return source


def _grants(enabled: xml.Element) -> list[xml.Element]:
    return [grant for grants in xml.children(enabled, "TargetGrants") for grant in grants.children]


def _resolved(enabled: xml.Element, context: Context) -> tuple[Grant, ...]:
    """The grants, read as those of an ACL are."""
    owner = context.bucket_owner
    grants = map(_markup, _grants(enabled))
    document = xml.document(
        "AccessControlPolicy",
        xml.element("Owner", xml.element("ID", owner)),
        xml.element("AccessControlList", *grants),
    )
    try:
        return acls.of_document(context, document, owner).grants
    except S3Error as error:
        if error.kind is MalformedACLError:
            raise MalformedXML() from None
        raise


def _markup(element: xml.Element) -> xml.Markup:
    if element.children:
        return xml.element(element.name, *map(_markup, element.children))
    return xml.element(element.name, element.text)


def _kept_grant(grant: xml.Element) -> Grant:
    (grantee,) = xml.children(grant, "Grantee")
    return Grant(next(iter(xml.fields(grantee).values())), Permission(xml.text(grant, "Permission") or ""))
