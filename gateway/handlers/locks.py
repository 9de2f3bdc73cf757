"""GetObjectRetention, PutObjectRetention, GetObjectLegalHold, PutObjectLegalHold."""

from backends.base import Doc
from backends.clock import now
from gateway.authorise import may_bypass_governance
from gateway.configurations import object_lock
from gateway.context import Context
from gateway.errors import NoSuchObjectLockConfiguration
from gateway.handlers.parameters import object_ref, subject
from gateway.reply import Reply, document


async def get_retention(context: Context) -> Reply:
    """Answer until when a version is retained, and how firmly."""
    return document(object_lock.show_retention(await _kept(context, Doc.RETENTION)))


async def put_retention(context: Context) -> Reply:
    """Retain a version, or change that as far as it may be changed."""
    object_lock.require(context)
    ref = object_ref(context)
    retention = object_lock.read_retention_document(await context.required_document(), now())
    await subject(context)
    bypass = await may_bypass_governance(context, ref)
    await context.backend.put_doc(ref, Doc.RETENTION, retention, bypass_governance=bypass)
    return Reply(200)


async def get_legal_hold(context: Context) -> Reply:
    """Answer whether a version is under legal hold."""
    return document(object_lock.show_hold(await _kept(context, Doc.LEGAL_HOLD)))


async def put_legal_hold(context: Context) -> Reply:
    """Put a version under legal hold, or lift it."""
    object_lock.require(context)
    hold = object_lock.read_hold_document(await context.required_document())
    await subject(context)
    await context.backend.put_doc(object_ref(context), Doc.LEGAL_HOLD, hold)
    return Reply(200)


async def _kept(context: Context, doc: Doc) -> str:
    object_lock.require(context)
    kept = (await subject(context)).docs.get(doc)
    if kept is None:
        raise NoSuchObjectLockConfiguration(Key=context.request.key)
    return kept
