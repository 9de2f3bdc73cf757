"""PutBucketLogging and PutBucketNotificationConfiguration: what else must be looked at, or done, when one is put."""

from backends.base import Doc, Ref
from gateway.authorise import require
from gateway.configurations import logging, notification
from gateway.context import Context
from gateway.errors import InvalidTargetBucketForLogging, NoSuchBucket, S3Error
from gateway.reply import Reply


async def put_bucket_logging(context: Context) -> Reply:
    """Keep where the bucket's requests are logged, if a log can be written there; an empty document ends it."""
    text = logging.read(await context.required_document(), context)
    if text is not None:
        await _check_target(context, logging.load(text))
    await context.backend.put_doc(Ref(context.bucket.name, ""), Doc.LOGGING, text)
    return Reply(200)


async def put_bucket_notification(context: Context) -> Reply:
    """Keep who is told of what, and send a test event to each topic and queue; an empty document ends it."""
    text = notification.read(await context.required_document(), context)
    await context.backend.put_doc(Ref(context.bucket.name, ""), Doc.NOTIFICATION, text)
    if text is not None and context.header("x-amz-skip-destination-validation").lower() != "true":
        await _test(context, text)
    return Reply(200)


async def _check_target(context: Context, settings: logging.Logging) -> None:
    try:
        target = await context.backend.head_bucket(settings.bucket)
    except S3Error as error:
        if error.kind is NoSuchBucket:
            raise InvalidTargetBucketForLogging(
                "The target bucket for logging does not exist", TargetBucket=settings.bucket
            ) from None
        raise
    logging.check_target(settings, context.bucket, target)
    # Who may not write there has no log written there either.
    await require(context, "s3:PutObject", Ref(target.name, settings.prefix), target)


async def _test(context: Context, text: str) -> None:
    from gateway.events import origin_of

    events = context.services.events
    assert events is not None, "a configuration names a target only where there are some"
    await events.test(context.bucket, text, origin_of(context))
