"""ACLs: the canned ones `private` and `public-read`, as headers or as the grants they stand for."""

from auth.identity import OWNER_ID, OWNER_NAME
from backends.base import Doc
from gateway import xml
from gateway.context import Context
from gateway.errors import (
    InvalidRequest,
    MalformedACLError,
    MissingSecurityHeader,
    NotImplemented_,
    UnexpectedContent,
)
from gateway.handlers.parameters import object_ref
from gateway.metadata import canned_acl, refuse_unsupported
from gateway.reply import Reply, document

ALL_USERS = "http://acs.amazonaws.com/groups/global/AllUsers"
_XSI = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
_OWNER_GRANT = xml.Markup(
    f'<Grant><Grantee {_XSI} xsi:type="CanonicalUser"><ID>{OWNER_ID}</ID><DisplayName>{OWNER_NAME}</DisplayName>'
    "</Grantee><Permission>FULL_CONTROL</Permission></Grant>"
)
_PUBLIC_GRANT = xml.Markup(
    f'<Grant><Grantee {_XSI} xsi:type="Group"><URI>{ALL_USERS}</URI></Grantee><Permission>READ</Permission></Grant>'
)
_OWNER = xml.element("Owner", xml.element("ID", OWNER_ID), xml.element("DisplayName", OWNER_NAME))

_PERMISSIONS = ("FULL_CONTROL", "READ", "READ_ACP", "WRITE", "WRITE_ACP")
# The grants that a canned ACL stands for, each as (grantee, permission).
_FULL = (OWNER_ID, "FULL_CONTROL")
_CANNED_GRANTS = {
    frozenset({_FULL}): None,
    frozenset({_FULL, (ALL_USERS, "READ")}): "public-read",
    frozenset[tuple[str, str]](): None,
}


async def get_acl(context: Context) -> Reply:
    """Answer the grants of a bucket or an object."""
    acl = await context.backend.get_doc(object_ref(context), Doc.ACL)
    grants = [_OWNER_GRANT, _PUBLIC_GRANT] if acl == "public-read" else [_OWNER_GRANT]
    return document(xml.document("AccessControlPolicy", _OWNER, xml.element("AccessControlList", *grants)))


async def put_acl(context: Context) -> Reply:
    """Replace the ACL of a bucket or an object."""
    headers = context.request.headers
    await context.backend.head_bucket(context.request.bucket)
    canned, grants = "x-amz-acl" in headers, any(name.startswith("x-amz-grant-") for name in headers)
    if canned and grants:
        raise InvalidRequest("Specifying both Canned ACLs and Header Grants is not allowed.")
    data = await context.document()
    if data and (canned or grants):
        raise UnexpectedContent()
    if not (data or canned or grants):
        raise MissingSecurityHeader()
    refuse_unsupported(headers)
    acl = canned_acl(headers).get(Doc.ACL) if canned else _canned_of(data)
    await context.backend.put_doc(object_ref(context), Doc.ACL, acl)
    return Reply(200)


def _canned_of(data: bytes) -> str | None:
    """The canned ACL that an AccessControlPolicy document spells out. Raises MalformedACLError, NotImplemented."""
    root = xml.parse(data, "AccessControlPolicy")
    if not any(xml.text(owner, "ID") for owner in xml.children(root, "Owner")):
        raise MalformedACLError()
    grants = frozenset(
        _grant(grant)
        for part in xml.children(root, "AccessControlList")
        for grant in xml.children(part, "Grant")
    )
    if grants not in _CANNED_GRANTS:
        raise NotImplemented_("Only the grants of the canned ACLs private and public-read are implemented.")
    return _CANNED_GRANTS[grants]


def _grant(grant: xml.Element) -> tuple[str, str]:
    permission = xml.text(grant, "Permission") or ""
    if permission not in _PERMISSIONS:
        raise MalformedACLError()
    for grantee in xml.children(grant, "Grantee"):
        return xml.text(grantee, "ID") or xml.text(grantee, "URI") or "", permission
    raise MalformedACLError()
