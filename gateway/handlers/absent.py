"""Reading configurations that cannot be set yet: the truth is that there is none, told as S3 tells it."""

from gateway import errors, xml
from gateway.context import Context
from gateway.reply import Reply, document

_NONE: dict[str, errors.Kind] = {
    "cors": errors.NoSuchCORSConfiguration,
    "encryption": errors.ServerSideEncryptionConfigurationNotFoundError,
    "lifecycle": errors.NoSuchLifecycleConfiguration,
    "object-lock": errors.ObjectLockConfigurationNotFoundError,
    "ownershipControls": errors.OwnershipControlsNotFoundError,
    "policy": errors.NoSuchBucketPolicy,
    "policyStatus": errors.NoSuchBucketPolicy,
    "publicAccessBlock": errors.NoSuchPublicAccessBlockConfiguration,
    "replication": errors.ReplicationConfigurationNotFoundError,
    "tagging": errors.NoSuchTagSet,
    "website": errors.NoSuchWebsiteConfiguration,
}


async def configuration(context: Context) -> Reply:
    """Answer the error that S3 gives for a bucket without this configuration."""
    bucket = context.request.bucket
    await context.backend.head_bucket(bucket)
    raise _NONE[context.operation.selector](BucketName=bucket)


async def _empty(context: Context, root: str, *children: xml.Markup) -> Reply:
    await context.backend.head_bucket(context.request.bucket)
    return document(xml.document(root, *children))


async def accelerate(context: Context) -> Reply:
    """Answer that transfer acceleration was never configured."""
    return await _empty(context, "AccelerateConfiguration")


async def logging(context: Context) -> Reply:
    """Answer that the bucket is not logged."""
    return await _empty(context, "BucketLoggingStatus")


async def notification(context: Context) -> Reply:
    """Answer that nobody is notified."""
    return await _empty(context, "NotificationConfiguration")


async def request_payment(context: Context) -> Reply:
    """Answer that the owner pays, which is S3's default."""
    return await _empty(context, "RequestPaymentConfiguration", xml.element("Payer", "BucketOwner"))


async def versioning(context: Context) -> Reply:
    """Answer that versioning was never enabled."""
    return await _empty(context, "VersioningConfiguration")


async def object_tagging(context: Context) -> Reply:
    """Answer the empty tag set of an object."""
    await context.backend.head_object(context.ref)
    return document(xml.document("Tagging", xml.element("TagSet")))
