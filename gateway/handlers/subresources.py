"""The configurations of a bucket: `?cors`, `?policy`, `?versioning`, ... One mechanism, one row each.

A row names the document, the function that reads and checks what is put (its outcome is kept), how GET shows what is
kept, and what S3 answers where there is nothing. A configuration takes effect where it is loaded, never here.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from auth.access import is_public_policy
from auth.identity import OWNER_ID
from auth.policy import parse as parse_policy
from auth.policy import validate_bucket_policy
from backends.base import Doc, Ref
from gateway import errors, xml
from gateway.configurations import (
    cors,
    lifecycle,
    logging,
    notification,
    object_lock,
    ownership,
    public_access,
    request_payment,
    tagging,
    versioning,
    website,
)
from gateway.context import Context
from gateway.encryption import document as encryption
from gateway.errors import AccessDenied, Kind
from gateway.reply import XML_TYPE, Reply, document

Read = Callable[[bytes, Context], str | None]
"""The body of a PUT → what to keep, None: nothing. Raises MalformedXML and whatever else is wrong with it."""


def _no_headers(_: str) -> Mapping[str, str]:
    return {}


def _anybody(_: Context) -> None:
    pass


def _own_account(context: Context) -> None:
    """Raise MethodNotAllowed for other accounts than the bucket's, whatever they were granted: so it is with policies.

    Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketPolicy.html
    """
    everybody = context.identity.anonymous and context.services.anonymous == "full"
    if not everybody and context.identity.account not in (context.bucket_owner, OWNER_ID):
        raise errors.MethodNotAllowed(Method=context.request.method, ResourceType="BUCKETPOLICY")


@dataclass(frozen=True, slots=True)
class Subresource:
    """A row. `absent` is the error, or the XML, that tells that there is none; `show` turns what is kept into XML.

    `headers`: those that PUT and GET answer, from what is kept. `check`: who of those allowed may get, put and delete it.
    """

    doc: Doc
    read: Read
    absent: Kind | bytes
    show: Callable[[str], bytes] = str.encode
    put_status: int = 200
    content_type: str = XML_TYPE
    headers: Callable[[str], Mapping[str, str]] = _no_headers
    check: Callable[[Context], None] = _anybody


def _policy(data: bytes, context: Context) -> str:
    text = validate_bucket_policy(data, context.bucket.name, context.services.accounts.known_account)
    block = public_access.load(context.document_of_bucket(Doc.PUBLIC_ACCESS_BLOCK))
    if block.block_public_policy and is_public_policy(parse_policy(text)):
        raise AccessDenied("Access Denied: public policies are prevented by the BlockPublicPolicy setting.")
    return text


SUBRESOURCES: Mapping[str, Subresource] = {
    "encryption": Subresource(
        Doc.ENCRYPTION,
        encryption.read_encryption,
        errors.ServerSideEncryptionConfigurationNotFoundError,
    ),
    "cors": Subresource(Doc.CORS, cors.read, errors.NoSuchCORSConfiguration),
    "lifecycle": Subresource(
        Doc.LIFECYCLE,
        lifecycle.read,
        errors.NoSuchLifecycleConfiguration,
        lifecycle.show,
        headers=lifecycle.headers,
    ),
    "logging": Subresource(Doc.LOGGING, logging.read, logging.ABSENT),
    "notification": Subresource(Doc.NOTIFICATION, notification.read, notification.ABSENT),
    "object-lock": Subresource(
        Doc.OBJECT_LOCK, object_lock.read, errors.ObjectLockConfigurationNotFoundError
    ),
    "ownershipControls": Subresource(
        Doc.OWNERSHIP, ownership.read, errors.OwnershipControlsNotFoundError, ownership.show
    ),
    "policy": Subresource(
        Doc.POLICY,
        _policy,
        errors.NoSuchBucketPolicy,
        put_status=204,
        content_type="application/json",
        check=_own_account,
    ),
    "publicAccessBlock": Subresource(
        Doc.PUBLIC_ACCESS_BLOCK, public_access.read, errors.NoSuchPublicAccessBlockConfiguration
    ),
    "requestPayment": Subresource(Doc.REQUEST_PAYMENT, request_payment.read, request_payment.ABSENT),
    "tagging": Subresource(
        Doc.TAGGING, tagging.read_bucket, errors.NoSuchTagSet, tagging.show, put_status=204
    ),
    "versioning": Subresource(
        Doc.VERSIONING, versioning.read, xml.document("VersioningConfiguration"), versioning.show
    ),
    "website": Subresource(Doc.WEBSITE, website.read, errors.NoSuchWebsiteConfiguration),
}
"""By the selector of the operations table."""


async def get(context: Context) -> Reply:
    """Answer a configuration, or the error that tells that there is none."""
    row = SUBRESOURCES[context.operation.selector]
    row.check(context)
    kept = context.document_of_bucket(row.doc)
    if kept is not None:
        return Reply(200, {"content-type": row.content_type, **row.headers(kept)}, row.show(kept))
    if isinstance(row.absent, bytes):
        return document(row.absent)
    raise row.absent(BucketName=context.bucket.name)


async def put(context: Context) -> Reply:
    """Replace a configuration with the body, once it was found right."""
    row = SUBRESOURCES[context.operation.selector]
    row.check(context)
    data = await context.required_document()
    kept = row.read(data, context)
    await context.backend.put_doc(Ref(context.bucket.name, ""), row.doc, kept)
    return Reply(row.put_status, dict(row.headers(kept)) if kept is not None else {})


async def delete(context: Context) -> Reply:
    """Remove a configuration; that there is none is no error."""
    row = SUBRESOURCES[context.operation.selector]
    row.check(context)
    await context.backend.put_doc(Ref(context.bucket.name, ""), row.doc, None)
    return Reply(204)


async def policy_status(context: Context) -> Reply:
    """Answer whether the bucket's policy makes it public."""
    text = context.document_of_bucket(Doc.POLICY)
    if text is None:
        raise errors.NoSuchBucketPolicy(BucketName=context.bucket.name)
    return document(
        xml.document("PolicyStatus", xml.element("IsPublic", is_public_policy(parse_policy(text))))
    )


_NEVER_SET: Mapping[str, bytes | Kind] = {
    "accelerate": xml.document("AccelerateConfiguration"),
    "replication": errors.ReplicationConfigurationNotFoundError,
}


async def never_set(context: Context) -> Reply:
    """Answer truthfully that there is none of a configuration which cannot be set, because nothing would act on it."""
    answer = _NEVER_SET[context.operation.selector]
    if isinstance(answer, bytes):
        return document(answer)
    raise answer(BucketName=context.bucket.name)
