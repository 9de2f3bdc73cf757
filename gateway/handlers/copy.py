"""CopyObject, UploadPartCopy, RenameObject.

A copy within a backend is the backend's own affair and moves no bytes through the gateway. Bytes are read and
written again only where something of them must be computed: a part, or another checksum algorithm.
"""

import re

from auth.identity import OWNER_ID
from backends.base import (
    MAX_PUT_BYTES,
    ByteRange,
    Conditions,
    Content,
    Copy,
    ObjectInfo,
    Read,
    Ref,
    Write,
)
from backends.conditions import check_copy_source
from gateway import xml
from gateway.body import Body
from gateway.checksums import ALGORITHMS, ExpectedChecksum, unknown_algorithm
from gateway.conditions import copy_source_conditions, iso_date, rename_source_conditions, write_conditions
from gateway.context import Context
from gateway.errors import AccessDenied, InvalidArgument, InvalidRequest, InvalidURI, NotImplemented_, S3Error
from gateway.handlers.bucket import is_legal
from gateway.handlers.multipart import checksum_elements
from gateway.handlers.parameters import part_number
from gateway.metadata import refuse_unsupported, write_of
from gateway.reply import Reply, document
from gateway.request import decode_key, decode_path
from gateway.stream import payload_of

_COPY_RANGE = re.compile(r"bytes=(\d{1,18})-(\d{1,18})")
_BAD_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")
_DIRECTIVES = ("COPY", "REPLACE")
_RENAME_CONDITIONS = frozenset({"if-modified-since", "if-unmodified-since"})


async def copy_object(context: Context) -> Reply:
    """Copy an object; metadata is copied or replaced as the directive says, an ACL is never copied."""
    headers = context.request.headers
    source, target = copy_source(context), context.ref
    replace = _directive(context, "x-amz-metadata-directive") == "REPLACE"
    _directive(context, "x-amz-tagging-directive")
    algorithm = _wanted_algorithm(context)
    if source == target and not replace and "x-amz-storage-class" not in headers:
        raise InvalidRequest(
            "This copy request is illegal because it is trying to copy an object to itself without changing the "
            "object's metadata, storage class, website redirect location or encryption attributes."
        )
    how = Copy(write_of(context.request, write_conditions(headers)), copy_source_conditions(headers), replace)
    if algorithm and not await _has_checksum(context, source, algorithm):
        info = await _rewrite(context, source, how, algorithm)
    else:
        info = await context.backend.copy_object(source, target, how)
    return document(_result("CopyObjectResult", info))


async def upload_part_copy(context: Context) -> Reply:
    """Store a part that is (a range of) another object."""
    await context.backend.head_bucket(context.request.bucket)
    number, source = part_number(context), copy_source(context)
    upload = await context.multipart.head_upload(context.ref, context.param("uploadId"))
    algorithm = upload.write.checksum_algorithm or "CRC64NVME"
    content = await _open_source(context, source, _copy_range(context))
    async with content, _payload(context, content, algorithm) as body:
        part = await context.multipart.put_part(context.ref, upload.upload, number, body)
    body_xml = xml.document(
        "CopyPartResult",
        xml.element("LastModified", iso_date(part.modified)),
        xml.element("ETag", f'"{part.etag}"'),
        xml.element(ALGORITHMS[algorithm].element, part.checksum)
        if part.checksum and upload.write.checksum_algorithm
        else None,
    )
    return document(body_xml)


async def rename_object(context: Context) -> Reply:
    """Move an object within its bucket, atomically."""
    headers = context.request.headers
    refuse_unsupported(headers)
    unsupported = _RENAME_CONDITIONS.intersection(headers)
    if unsupported:  # ignoring a condition would move what was not to be moved
        raise NotImplemented_(Header=min(unsupported))
    source = _rename_source(context)
    write = Write(conditions=write_conditions(headers))
    await context.backend.rename_object(source, context.ref, Copy(write, rename_source_conditions(headers)))
    return Reply(200)


def copy_source(context: Context) -> Ref:
    """`x-amz-copy-source`, decoded once and by the same rules as a request's path. Raises InvalidArgument.

    An encoded `?` belongs to the key; only a literal `?versionId=` names a version.
    """
    value = context.header("x-amz-copy-source")
    path, mark, version = value.rpartition("?versionId=")
    if not mark:
        path, version = value, ""
    if version not in ("", "null"):
        raise InvalidArgument("Invalid version id specified", ArgumentName="versionId", ArgumentValue=version)
    bucket, key = _decoded_source(path.removeprefix("/"), value)
    if not bucket or not key:
        raise _bad_source("Copy Source must mention the source bucket and key: sourcebucket/sourcekey", value)
    if not is_legal(bucket):
        raise _bad_source("Invalid copy source bucket name", value)
    if context.header("x-amz-source-expected-bucket-owner", OWNER_ID) != OWNER_ID:
        raise AccessDenied()
    return Ref(bucket, key)


def _decoded_source(path: str, value: str) -> tuple[str, str]:
    if _BAD_ESCAPE.search(path):
        raise _bad_source("Invalid copy source encoding", value)
    try:
        return decode_path(path)
    except S3Error as error:
        if error.kind is InvalidURI:
            raise _bad_source("Invalid copy source encoding", value) from None
        raise


def _bad_source(message: str, value: str) -> S3Error:
    return InvalidArgument(message, ArgumentName="x-amz-copy-source", ArgumentValue=value[:256])


def _rename_source(context: Context) -> Ref:
    """`x-amz-rename-source`: the key, or `/bucket/key` of the same bucket."""
    bucket = context.request.bucket
    value = context.header("x-amz-rename-source")
    key = decode_key(value.removeprefix(f"/{bucket}/"))
    if not key:
        raise InvalidArgument(ArgumentName="x-amz-rename-source", ArgumentValue=value[:256])
    return Ref(bucket, key)


def _directive(context: Context, name: str) -> str:
    value = context.header(name, "COPY")
    if value not in _DIRECTIVES:
        raise InvalidArgument(
            f"Unknown {name.removeprefix('x-amz-').replace('-', ' ')}.",
            ArgumentName=name,
            ArgumentValue=value,
        )
    return value


def _wanted_algorithm(context: Context) -> str | None:
    algorithm = context.header("x-amz-checksum-algorithm").upper()
    if algorithm and algorithm not in ALGORITHMS:
        raise unknown_algorithm()
    return algorithm or None


async def _has_checksum(context: Context, source: Ref, algorithm: str) -> bool:
    checksum = (await context.backend.head_object(source)).info.checksum
    return checksum is not None and checksum.algorithm == algorithm


async def _open_source(context: Context, source: Ref, chosen: ByteRange | None) -> Content:
    """Open what is copied: the version that the conditions were checked on. Raises InvalidArgument for the range."""
    info = (await context.backend.head_object(source)).info
    check_copy_source(copy_source_conditions(context.request.headers), info)
    if chosen and chosen.last is not None and chosen.last >= info.size:
        raise InvalidArgument(
            f"Range specified is not valid for source object of size: {info.size}",
            ArgumentName="x-amz-copy-source-range",
            ArgumentValue=context.header("x-amz-copy-source-range"),
        )
    return await context.backend.open_object(
        source, Read(chosen, conditions=Conditions(if_match=(info.etag,)))
    )


def _copy_range(context: Context) -> ByteRange | None:
    value = context.header("x-amz-copy-source-range")
    if not value:
        return None
    match = _COPY_RANGE.fullmatch(value)
    if not match or int(match[1]) > int(match[2]):
        raise InvalidArgument(
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the "
            "zero-based offsets of the first and last bytes to copy",
            ArgumentName="x-amz-copy-source-range",
            ArgumentValue=value[:256],
        )
    return ByteRange(int(match[1]), int(match[2]))


async def _rewrite(context: Context, source: Ref, how: Copy, algorithm: str) -> ObjectInfo:
    """Copy by reading and writing, so that another checksum is computed on the way."""
    async with (
        await _open_source(context, source, None) as content,
        _payload(context, content, algorithm) as body,
    ):
        kept = how.write
        if not how.replace_metadata:
            info = content.info
            kept = Write(info.headers, info.user, kept.docs, kept.storage_class, kept.conditions)
        return await context.backend.put_object(context.ref, body, kept)


def _payload(context: Context, content: Content, algorithm: str) -> Body:
    if content.span.length > MAX_PUT_BYTES:
        raise InvalidRequest(
            "The specified copy source is larger than the maximum allowable size for a copy source: 5368709120"
        )
    return payload_of(content, ExpectedChecksum(algorithm), context.services.spool)


def _result(root: str, info: ObjectInfo) -> bytes:
    return xml.document(
        root,
        xml.element("LastModified", iso_date(info.modified)),
        xml.element("ETag", f'"{info.etag}"'),
        *checksum_elements(info),
    )
