"""GetObject, HeadObject, PutObject, DeleteObject, DeleteObjects, GetObjectAttributes."""

from asyncio import gather, sleep
from collections.abc import Sequence
from dataclasses import replace

from backends.base import UNCONDITIONAL, WHOLE, Content, Delete, Deleted, Doomed, ObjectInfo, Read, Ref
from gateway import xml
from gateway.authorise import allowed, confirm, may_bypass_governance, policies
from gateway.checksums import ALGORITHMS
from gateway.conditions import (
    delete_conditions,
    http_date,
    parse_if_range,
    parse_range,
    read_conditions,
    write_conditions,
)
from gateway.context import Context
from gateway.encryption.service import encryptor_of, opening_of, sealing_of
from gateway.errors import (
    AccessDenied,
    InternalError,
    InvalidArgument,
    InvalidObjectState,
    InvalidRequest,
    S3Error,
)
from gateway.handlers.parameters import integer, object_ref, part_number
from gateway.metadata import (
    checksum_headers,
    expiration_headers,
    object_headers,
    overrides,
    version_headers,
    write_of,
)
from gateway.reply import Reply, document

_CREATED = {"PutObject": "s3:ObjectCreated:Put", "PostObject": "s3:ObjectCreated:Post"}
_ATTRIBUTES = frozenset({"ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"})


async def get_object(context: Context) -> Reply:
    """Answer the object, a range (206), or a part of it."""
    how = _read(context)
    changed = _overrides(context)
    content = await context.backend.open_object(object_ref(context), how)
    try:
        confirm(context, content.info)
        headers = object_headers(content, context)
        opening = opening_of(context, content.info)
        if opening is not None:
            headers.update(opening.headers)
            content = await opening.decrypted(content)
    except BaseException:
        content.close()
        raise
    headers.update(changed)
    return Reply(_status(content), headers, content.body, content.span.length, content)


async def head_object(context: Context) -> Reply:
    """Answer what GetObject would, without the bytes."""
    changed = _overrides(context)
    content = await context.backend.head_object(object_ref(context), _read(context))
    confirm(context, content.info)
    headers = object_headers(content, context)
    opening = opening_of(context, content.info)
    if opening is not None:
        headers.update(opening.headers)
    headers.update(changed)
    return Reply(_status(content), headers, length=content.span.length)


async def put_object(context: Context) -> Reply:
    """Store the body under the key, after all of it was received and verified."""
    write = write_of(context, write_conditions(context.request.headers))
    sealing = sealing_of(context)
    if sealing is not None:
        write = sealing.kept(write)
    async with context.body(encryptor=encryptor_of(sealing)) as body:
        info = await context.backend.put_object(context.ref, body, write)
    event = _CREATED[context.operation.name]
    if context.notifies:
        await context.emit(event, info.key, size=info.size, etag=info.etag, version=info.version)
    headers = {"etag": f'"{info.etag}"', **checksum_headers(info), **version_headers(context, info)}
    headers |= expiration_headers(context, info)
    if info.checksum:  # AWS documents it for appends alone; kits that show it, and suites, expect it always
        headers["x-amz-object-size"] = str(info.size)
    if sealing is not None:
        headers |= sealing.headers
    return Reply(200, headers)


async def delete_object(context: Context) -> Reply:
    """Remove the object or a version of it; a missing one is no error."""
    ref = object_ref(context)
    how = Delete(delete_conditions(context.request.headers), await may_bypass_governance(context, ref))
    deleted = await context.backend.delete_object(ref, how)
    await _emit_deleted(context, deleted)
    headers = {}
    if deleted.marker is not None:
        headers = {"x-amz-delete-marker": "true", "x-amz-version-id": deleted.marker}
    elif ref.version is not None:
        headers = {"x-amz-version-id": ref.version}
    return Reply(204, headers)


async def delete_objects(context: Context) -> Reply:
    """Remove up to 1,000 objects or versions; the answer tells each outcome truly."""
    data = await context.required_document()
    doomed, quiet = xml.read_delete(data)
    outcomes = await _delete_all(context, doomed)
    if context.notifies:
        await gather(*(_emit_deleted(context, outcome) for outcome in outcomes if outcome.error is None))
    lines = [_outcome(outcome) for outcome in outcomes if outcome.error or not quiet]
    return document(xml.document("DeleteResult", *lines))


async def _emit_deleted(context: Context, deleted: Deleted) -> None:
    if deleted.version is None and deleted.marker is not None:
        await context.emit("s3:ObjectRemoved:DeleteMarkerCreated", deleted.key, version=deleted.marker)
    else:
        await context.emit("s3:ObjectRemoved:Delete", deleted.key, version=deleted.version)


async def _delete_all(context: Context, doomed: Sequence[Doomed]) -> list[Deleted]:
    """The outcome of each, in order; of those that the caller may not remove AccessDenied."""
    bucket, permitted, outcomes = context.request.bucket, [], {}
    # Decisions on a policy that was made to be slow must not keep everybody else waiting.
    weighed = policies(context, context.bucket)
    for number, item in enumerate(doomed):
        ref = Ref(bucket, item.key, item.version)
        action = "s3:DeleteObjectVersion" if item.version else "s3:DeleteObject"
        if weighed:
            await sleep(0)
        if await allowed(context, action, ref):
            bypass = await may_bypass_governance(context, ref)
            permitted.append((number, replace(item, how=replace(item.how, bypass_governance=bypass))))
        else:
            outcomes[number] = Deleted(item.key, item.version, error=AccessDenied())
    done = await context.backend.delete_objects(bucket, [item for _, item in permitted])
    outcomes |= {number: outcome for (number, _), outcome in zip(permitted, done, strict=True)}
    return [outcomes[number] for number in range(len(doomed))]


async def restore_object(context: Context) -> Reply:
    """Refuse: no storage class here archives anything, so nothing needs to be restored."""
    info = (await context.backend.head_object(object_ref(context))).info
    raise InvalidObjectState(
        "Restore is not allowed for the object's current storage class", StorageClass=info.storage_class
    )


async def get_object_attributes(context: Context) -> Reply:
    """Answer the chosen attributes of an object as XML."""
    wanted = _chosen_attributes(context)
    content = await context.backend.head_object(
        object_ref(context), Read(conditions=read_conditions(context.request.headers))
    )
    info = content.info
    confirm(context, info)
    opening_of(context, info)
    marker = _page_number(context, "x-amz-part-number-marker", 0)
    limit = min(_page_number(context, "x-amz-max-parts", 1000), 1000)
    elements = {
        "ETag": xml.element("ETag", info.etag),
        "Checksum": _checksum_element(content),
        "ObjectParts": _parts_element(info, marker, limit),
        "StorageClass": xml.element("StorageClass", info.storage_class),
        "ObjectSize": xml.element("ObjectSize", info.size),
    }
    body = xml.document(
        "GetObjectAttributesResponse", *(elements[name] for name in elements if name in wanted)
    )
    return document(
        body, headers={"last-modified": http_date(info.modified), **version_headers(context, info)}
    )


def _read(context: Context) -> Read:
    """Range, part number and conditions of a GET or HEAD."""
    headers, params = context.request.headers, context.request.params
    part = None
    chosen = parse_range(headers["range"]) if "range" in headers else None
    if chosen is not None and "if-range" in headers:
        chosen = replace(chosen, only_if=parse_if_range(headers["if-range"]))
    if "partNumber" in params:
        if "range" in headers:
            raise InvalidRequest("Cannot specify both Range header and partNumber query parameter")
        part = part_number(context)
    conditions = read_conditions(headers)
    if chosen is None and part is None and conditions is UNCONDITIONAL:
        return WHOLE
    return Read(chosen, part, conditions)


def _status(content: Content) -> int:
    return 206 if content.span.partial else 200


def _overrides(context: Context) -> dict[str, str]:
    """The `response-*` parameters, which only a signed request may carry."""
    if not context.request.params:
        return {}
    changed = overrides(context.request)
    if changed and context.verified.identity.anonymous:
        raise InvalidRequest("Request specific response headers cannot be used for anonymous GET requests.")
    return changed


def _outcome(outcome: Deleted) -> xml.Markup:
    error = outcome.error
    named = (xml.element("Key", outcome.key), xml.optional("VersionId", outcome.version))
    if error is None:
        marker = (xml.element("DeleteMarker", True), xml.element("DeleteMarkerVersionId", outcome.marker))
        return xml.element("Deleted", *named, *(marker if outcome.marker is not None else ()))
    if not isinstance(error, S3Error):
        error = InternalError()
    return xml.element(
        "Error", *named, xml.element("Code", error.code), xml.element("Message", error.message)
    )


def _page_number(context: Context, header: str, default: int) -> int:
    """A number of GetObjectAttributes, which takes what is none for nothing said, as AWS does."""
    try:
        return integer(context, header, default, header=True)
    except S3Error:
        return default


def _chosen_attributes(context: Context) -> set[str]:
    wanted = {name.strip() for name in context.header("x-amz-object-attributes").split(",")} - {""}
    if not wanted:
        raise InvalidRequest(
            "The x-amz-object-attributes header specifying the attributes to be retrieved is either missing or empty"
        )
    if not wanted <= _ATTRIBUTES:
        raise InvalidArgument("Invalid attribute name specified.", ArgumentName="x-amz-object-attributes")
    return wanted


def _checksum_element(content: Content) -> xml.Child:
    checksum = content.info.checksum
    if checksum is None:
        return None
    return xml.element(
        "Checksum",
        xml.element(ALGORITHMS[checksum.algorithm].element, checksum.value.partition("-")[0]),
        xml.element("ChecksumType", checksum.type.value),
    )


def _parts_element(info: ObjectInfo, marker: int, limit: int) -> xml.Child:
    """A page of the parts, each of which is listed only if it has a checksum, as on S3; the count is always there."""
    if not info.parts:
        return None
    algorithm = info.checksum.algorithm if info.checksum else None
    later = [part for part in info.parts if part.number > marker]
    parts = later[:limit]
    return xml.element(
        "ObjectParts",
        xml.element("PartsCount", len(info.parts)),
        xml.element("PartNumberMarker", marker),
        xml.element("NextPartNumberMarker", parts[-1].number if parts else 0),
        xml.element("MaxParts", limit),
        xml.element("IsTruncated", len(later) > limit),
        *(
            xml.element(
                "Part",
                xml.element("PartNumber", part.number),
                xml.element("Size", part.size),
                xml.element(ALGORITHMS[algorithm].element, part.checksum),
            )
            for part in parts
            if algorithm and part.checksum
        ),
    )
