"""ACLs between headers, XML and `auth.acl`: what a request asks for, whether the bucket takes ACLs, who owns what is written.

Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/acl-overview.html,
https://docs.aws.amazon.com/AmazonS3/latest/userguide/about-object-ownership.html
"""

import re
from collections.abc import Iterator, Mapping

from auth import acl
from auth.access import ENFORCED
from auth.acl import Acl, Grant, Permission
from auth.identity import OWNER_ID, OWNER_NAME
from backends.base import Doc
from gateway import xml
from gateway.configurations import public_access
from gateway.configurations.ownership import PREFERRED
from gateway.context import Context
from gateway.errors import (
    AccessControlListNotSupported,
    AccessDenied,
    InvalidArgument,
    InvalidRequest,
    MalformedACLError,
    S3Error,
    UnresolvableGrantByEmailAddress,
)
from gateway.reply import Reply
from gateway.reply import document as reply_document

ANONYMOUS_ID = "65a011a29cdf8ec533ec3d1ccaae921c"
"""Owns what callers without credentials write into a bucket that lets writers own their objects; the same as on AWS."""

_FULL_CONTROL = "bucket-owner-full-control"
_XSI = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'

_GRANT_HEADERS = {
    "x-amz-grant-full-control": Permission.FULL_CONTROL,
    "x-amz-grant-read": Permission.READ,
    "x-amz-grant-read-acp": Permission.READ_ACP,
    "x-amz-grant-write": Permission.WRITE,
    "x-amz-grant-write-acp": Permission.WRITE_ACP,
}
HEADERS = ("x-amz-acl", *_GRANT_HEADERS)
"""The headers that ask for an ACL."""
_GRANTEE = re.compile(r'\s*(id|uri|emailAddress)\s*=\s*"?([^",]*)"?\s*', re.IGNORECASE)


def asked_by_headers(headers: Mapping[str, str]) -> bool:
    """Whether a request's headers ask for an ACL."""
    return any(name in headers for name in HEADERS)


def writer(context: Context) -> str:
    """The canonical id of whoever writes."""
    return ANONYMOUS_ID if context.identity.anonymous else context.identity.account


def object_owner(context: Context) -> str:
    """The owner that an object written by this caller gets; empty: the bucket's."""
    ownership = context.document_of_bucket(Doc.OWNERSHIP)
    if ownership == ENFORCED:
        return ""
    owner = writer(context)
    if owner == context.bucket_owner:
        return ""
    if ownership == PREFERRED and context.header("x-amz-acl") == _FULL_CONTROL:
        return ""
    return owner


def of_headers(context: Context, owner: str, bucket_owner: str) -> Acl | None:
    """The ACL that the headers ask for; None if they ask for none.

    Raises InvalidArgument, InvalidRequest, UnresolvableGrantByEmailAddress.
    """
    headers = context.request.headers
    if not asked_by_headers(headers):
        return None
    name = headers.get("x-amz-acl")
    if name is None:
        grants = tuple(_header_grants(context))
        if len(grants) > acl.MAX_GRANTS:
            raise InvalidArgument(f"An ACL can have up to {acl.MAX_GRANTS} grants.")
        return Acl(owner, grants)
    if any(header in headers for header in _GRANT_HEADERS):
        raise InvalidRequest("Specifying both Canned ACLs and Header Grants is not allowed")
    if name not in acl.CANNED:
        raise InvalidArgument(ArgumentName="x-amz-acl", ArgumentValue=name)
    return acl.canned(name, owner, bucket_owner)


def for_object(context: Context, owner: str) -> str | None:
    """The `Doc.ACL` of an object that is written; None: private, or owned by the bucket's owner in any case.

    Raises AccessControlListNotSupported, AccessDenied (public, and blocked), and as `of_headers`.
    """
    wanted = of_headers(context, owner or context.bucket_owner, context.bucket_owner)
    if wanted is None:
        return None
    if context.document_of_bucket(Doc.OWNERSHIP) == ENFORCED:
        if wanted != acl.canned(_FULL_CONTROL, context.bucket_owner, context.bucket_owner):
            raise AccessControlListNotSupported()
        return None
    check_public(context, wanted)
    return None if acl.is_private(wanted) else acl.dump(wanted)


def check_public(context: Context, wanted: Acl) -> None:
    """Raise AccessDenied for a public ACL where the bucket blocks these."""
    block = public_access.load(context.document_of_bucket(Doc.PUBLIC_ACCESS_BLOCK))
    if block.block_public_acls and acl.public(wanted):
        raise AccessDenied("Access Denied: public ACLs are prevented by the BlockPublicAcls setting.")


def of_document(context: Context, data: bytes, owner: str) -> Acl:
    """The ACL of an AccessControlPolicy document, whose owner must be `owner`.

    Raises MalformedACLError, AccessDenied (an ACL cannot change the owner), InvalidArgument.
    """
    try:
        root = xml.parse(data, "AccessControlPolicy")
        owners = [xml.text(element, "ID") for element in xml.children(root, "Owner")]
        lists = xml.children(root, "AccessControlList")
    except S3Error:
        raise MalformedACLError() from None
    if len(owners) != 1 or not owners[0] or len(lists) != 1:
        raise MalformedACLError()
    grants = tuple(_document_grant(context, grant) for grant in xml.children(lists[0], "Grant"))
    if owners[0] != owner:
        raise AccessDenied()
    if len(grants) > acl.MAX_GRANTS:
        raise MalformedACLError()
    return Acl(owner, grants)


def answer(context: Context, shown: Acl) -> Reply:
    """The AccessControlPolicy document."""
    grants = (
        xml.element(
            "Grant", _grantee(context, grant.grantee), xml.element("Permission", grant.permission.value)
        )
        for grant in shown.grants
    )
    owner = owner_element(context, shown.owner)
    return reply_document(
        xml.document("AccessControlPolicy", owner, xml.element("AccessControlList", *grants))
    )


def owner_element(context: Context, canonical_id: str, name: str = "Owner") -> xml.Markup:
    """`<Owner>` with id and name; an empty id is the bucket's owner."""
    canonical_id = canonical_id or context.bucket_owner
    return xml.element(name, *_person(context, canonical_id))


def _person(context: Context, canonical_id: str) -> tuple[xml.Markup, xml.Markup]:
    known = OWNER_NAME if canonical_id == OWNER_ID else context.services.accounts.account_name(canonical_id)
    return xml.element("ID", canonical_id), xml.element("DisplayName", known or "")


def grantee_element(grantee: str, *more: xml.Markup) -> xml.Markup:
    """`<Grantee>` of a group's URI, or of a canonical id with `more` behind it."""
    kind, name = ("Group", "URI") if grantee in acl.GROUPS else ("CanonicalUser", "ID")
    inner = "".join([xml.element(name, grantee), *more])
    return xml.Markup(f'<Grantee {_XSI} xsi:type="{kind}">{inner}</Grantee>')


def _grantee(context: Context, grantee: str) -> xml.Markup:
    return grantee_element(grantee, *(() if grantee in acl.GROUPS else _person(context, grantee)[1:]))


def _header_grants(context: Context) -> Iterator[Grant]:
    for header, permission in _GRANT_HEADERS.items():
        value = context.request.headers.get(header)
        for part in value.split(",") if value is not None else ():
            match = _GRANTEE.fullmatch(part)
            if match is None:
                raise InvalidArgument(
                    "Argument format not recognized", ArgumentName=header, ArgumentValue=part[:256]
                )
            yield Grant(_resolved(context, match[1].lower(), match[2], "id"), permission)


def _document_grant(context: Context, grant: xml.Element) -> Grant:
    try:
        permission = xml.text(grant, "Permission")
        grantees = [xml.fields(grantee) for grantee in xml.children(grant, "Grantee")]
    except S3Error:
        raise MalformedACLError() from None
    if permission is None or len(grantees) != 1 or permission not in Permission.__members__:
        raise MalformedACLError()
    for kind, name in (("id", "ID"), ("uri", "URI"), ("emailaddress", "EmailAddress")):
        if name in grantees[0]:
            return Grant(_resolved(context, kind, grantees[0][name].strip()), Permission(permission))
    raise MalformedACLError()


def _resolved(context: Context, kind: str, value: str, id_name: str = "CanonicalUser/ID") -> str:
    """The grantee that an id (called `id_name` in errors), a group's URI or an e-mail address names."""
    accounts = context.services.accounts
    if kind == "uri":
        if value not in acl.GROUPS:
            raise InvalidArgument("Invalid group uri", ArgumentName="uri", ArgumentValue=value[:256])
        return value
    if kind == "emailaddress":
        found = accounts.account_id(value)
        if found is None:
            raise UnresolvableGrantByEmailAddress(EmailAddress=value[:256])
        return found
    if value in (OWNER_ID, context.bucket_owner, ANONYMOUS_ID):
        return value
    found = accounts.account_of(value)
    if found is None:
        raise InvalidArgument("Invalid id", ArgumentName=id_name, ArgumentValue=value[:256])
    return found
