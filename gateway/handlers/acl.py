"""GetBucketAcl, PutBucketAcl, GetObjectAcl, PutObjectAcl."""

from auth import acl
from auth.access import ENFORCED
from auth.acl import Acl
from backends.base import Doc, ObjectInfo
from gateway import acls
from gateway.context import Context
from gateway.errors import AccessControlListNotSupported, MissingSecurityHeader, UnexpectedContent
from gateway.handlers.parameters import object_ref, subject
from gateway.metadata import version_headers
from gateway.reply import Reply


async def get_bucket_acl(context: Context) -> Reply:
    """Answer the grants of a bucket."""
    return acls.answer(context, _bucket_acl(context))


async def put_bucket_acl(context: Context) -> Reply:
    """Replace the ACL of a bucket; where ACLs count nothing, not even by what changes nothing."""
    wanted = await _wanted(context, context.bucket_owner)
    await context.backend.put_doc(object_ref(context), Doc.ACL, acl.dump(wanted))
    return Reply(200)


async def get_object_acl(context: Context) -> Reply:
    """Answer the grants of an object."""
    info = await _info(context)
    owner = info.owner or context.bucket_owner
    if _enforced(context):
        shown = acl.canned("private", context.bucket_owner, context.bucket_owner)
    else:
        shown = acl.load(info.docs.get(Doc.ACL), owner)
    reply = acls.answer(context, shown)
    reply.headers |= version_headers(context, info)
    return reply


async def put_object_acl(context: Context) -> Reply:
    """Replace the ACL of an object or a version."""
    info = await subject(context)
    wanted = await _wanted(context, info.owner or context.bucket_owner)
    await context.backend.put_doc(object_ref(context), Doc.ACL, acl.dump(wanted))
    await context.emit("s3:ObjectAcl:Put", info.key, etag=info.etag, version=info.version)
    return Reply(200, version_headers(context, info))


def _enforced(context: Context) -> bool:
    return context.document_of_bucket(Doc.OWNERSHIP) == ENFORCED


def _bucket_acl(context: Context) -> Acl:
    text = None if _enforced(context) else context.document_of_bucket(Doc.ACL)
    return acl.load(text, context.bucket_owner)


async def _info(context: Context) -> ObjectInfo:
    return (await context.backend.head_object(object_ref(context))).info


async def _wanted(context: Context, owner: str) -> Acl:
    """The ACL in headers or body. One of them, and only where the bucket takes ACLs."""
    data = await context.document()
    by_headers = acls.asked_by_headers(context.request.headers)
    if data and by_headers:
        raise UnexpectedContent()
    if not (data or by_headers):
        raise MissingSecurityHeader(
            "Your request was missing a required header", MissingHeaderName="x-amz-acl"
        )
    wanted = acls.of_headers(context, owner, context.bucket_owner) or acls.of_document(context, data, owner)
    owners_own = acl.canned("private", context.bucket_owner, context.bucket_owner)
    if _enforced(context) and (not context.request.key or wanted != owners_own):
        raise AccessControlListNotSupported()
    acls.check_public(context, wanted)
    return wanted
