"""GetObjectTagging, PutObjectTagging, DeleteObjectTagging; of a bucket see `subresources`."""

from backends.base import Doc
from gateway.configurations import tagging
from gateway.context import Context
from gateway.handlers.parameters import object_ref, subject
from gateway.metadata import version_headers
from gateway.reply import Reply, document


async def get_object_tagging(context: Context) -> Reply:
    """Answer the tags of an object or a version."""
    info = await subject(context)
    return document(tagging.show(info.docs.get(Doc.TAGGING)), headers=version_headers(context, info))


async def put_object_tagging(context: Context) -> Reply:
    """Replace all tags of an object or a version."""
    data = await context.required_document()
    tags = tagging.read_object(data)
    info = await subject(context)
    await context.backend.put_doc(object_ref(context), Doc.TAGGING, tags)
    await context.emit("s3:ObjectTagging:Put", info.key, etag=info.etag, version=info.version)
    return Reply(200, version_headers(context, info))


async def delete_object_tagging(context: Context) -> Reply:
    """Remove all tags of an object or a version."""
    info = await subject(context)
    await context.backend.put_doc(object_ref(context), Doc.TAGGING, None)
    await context.emit("s3:ObjectTagging:Delete", info.key, etag=info.etag, version=info.version)
    return Reply(204, version_headers(context, info))
