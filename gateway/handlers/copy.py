"""CopyObject, UploadPartCopy, RenameObject.

A copy within a backend is the backend's own affair and moves no bytes through the gateway. Bytes are read and
written again only where something of them must be computed: a part, or another checksum algorithm.
"""

import re
from dataclasses import replace

from backends.base import (
    MAX_PUT_BYTES,
    ByteRange,
    Conditions,
    Content,
    Copy,
    Doc,
    ObjectInfo,
    Read,
    Ref,
    Write,
)
from backends.conditions import check_copy_source
from backends.versions import source_is_marker, told_version
from gateway import payment, xml
from gateway.authorise import check_initiator, is_owner, require
from gateway.body import Body
from gateway.checksums import ALGORITHMS, ExpectedChecksum, unknown_algorithm
from gateway.conditions import copy_source_conditions, iso_date, rename_source_conditions, write_conditions
from gateway.context import Context
from gateway.encryption.headers import refuse_modes
from gateway.encryption.service import (
    Sealing,
    encryptor_of,
    fits,
    opening_of,
    seal,
    sealing_of_part,
    told,
    wanted_of_copy,
)
from gateway.errors import (
    AccessDenied,
    InvalidArgument,
    InvalidRequest,
    InvalidURI,
    MethodNotAllowed,
    NoSuchKey,
    NotImplemented_,
    S3Error,
)
from gateway.handlers.bucket import is_legal
from gateway.handlers.multipart import checksum_elements
from gateway.handlers.parameters import part_number
from gateway.metadata import (
    REDIRECT_LOCATION,
    expiration_headers,
    refuse_unsupported,
    version_headers,
    write_of,
)
from gateway.reply import Reply, document
from gateway.request import BAD_ESCAPE, decode_key, decode_source
from gateway.stream import payload_of

_COPY_RANGE = re.compile(r"bytes=(\d{1,18})-(\d{1,18})")
_DIRECTIVES = ("COPY", "REPLACE")
_CHANGES = frozenset(
    {
        "x-amz-storage-class",
        "x-amz-website-redirect-location",
        "x-amz-server-side-encryption",
        "x-amz-server-side-encryption-customer-algorithm",
    }
)
"""Headers that make a copy of an object onto itself worth something."""
_RENAME_CONDITIONS = frozenset({"if-modified-since", "if-unmodified-since"})


async def copy_object(context: Context) -> Reply:
    """Copy an object; metadata and tags are copied or replaced as the directives say, an ACL is never copied."""
    headers = context.request.headers
    replace_metadata = _directive(context, "x-amz-metadata-directive") == "REPLACE"
    copy_tags = _directive(context, "x-amz-tagging-directive") == "COPY"
    algorithm = _wanted_algorithm(context)
    _check_change(context, replace_metadata)
    source, info = await _source(context)
    write = write_of(context, write_conditions(headers))
    if copy_tags:
        await _require_tags(context, source, info)
        write = replace(write, docs={doc: text for doc, text in write.docs.items() if doc is not Doc.TAGGING})
    how = _redirected(Copy(write, copy_source_conditions(headers), replace_metadata, copy_tags), info)
    opening_of(context, info, source=True)
    wish = wanted_of_copy(context, info)
    kept_checksum = info.checksum.algorithm if info.checksum else None
    made = None
    if algorithm in (None, kept_checksum) and fits(context, info, wish):
        made = await context.backend.copy_object(source, context.ref, how)
        headers = told(made.docs, with_context=True)
    if made is None or not fits(context, made, wish):  # the source may have been replaced meanwhile
        sealing = None if wish is None else seal(context, wish)
        made = await _rewrite(context, source, how, algorithm or kept_checksum or "CRC64NVME", sealing)
        headers = sealing.headers if sealing is not None else {}
    await context.emit(
        "s3:ObjectCreated:Copy", made.key, size=made.size, etag=made.etag, version=made.version
    )
    return document(
        _result("CopyObjectResult", made),
        headers=_source_version(source)
        | version_headers(context, made)
        | expiration_headers(context, made)
        | headers,
    )


async def upload_part_copy(context: Context) -> Reply:
    """Store a part that is (a range of) another object."""
    number = part_number(context)
    source, _ = await _source(context)
    upload = await context.multipart.head_upload(context.ref, context.param("uploadId"))
    check_initiator(context, upload)
    algorithm = upload.write.checksum_algorithm or "CRC64NVME"
    sealing = sealing_of_part(context, upload)
    content = await _open_source(context, source, _copy_range(context))
    async with content, _payload(context, content, algorithm, sealing) as body:
        part = await context.multipart.put_part(context.ref, upload.upload, number, body)
    body_xml = xml.document(
        "CopyPartResult",
        xml.element("LastModified", iso_date(part.modified)),
        xml.element("ETag", f'"{part.etag}"'),
        xml.element(ALGORITHMS[algorithm].element, part.checksum)
        if part.checksum and upload.write.checksum_algorithm
        else None,
    )
    headers = sealing.headers if sealing is not None else {}
    return document(body_xml, headers=_source_version(source) | headers)


async def rename_object(context: Context) -> Reply:
    """Move an object within its bucket, atomically."""
    headers = context.request.headers
    refuse_unsupported(headers)
    refuse_modes(headers)
    unsupported = _RENAME_CONDITIONS.intersection(headers)
    if unsupported:  # ignoring a condition would move what was not to be moved
        raise NotImplemented_(Header=min(unsupported))
    source = _rename_source(context)
    for action in ("s3:GetObject", "s3:DeleteObject"):
        await require(context, action, source)
    write = Write(conditions=write_conditions(headers))
    await context.backend.rename_object(source, context.ref, Copy(write, rename_source_conditions(headers)))
    await context.emit("s3:ObjectCreated:Copy", context.ref.key)
    await context.emit("s3:ObjectRemoved:Delete", source.key)
    return Reply(200)


def copy_source(context: Context) -> Ref:
    """`x-amz-copy-source`, decoded once. Raises InvalidArgument.

    An encoded `?` belongs to the key; only a literal `?versionId=` names a version.
    """
    value = context.header("x-amz-copy-source")
    path, mark, version = value.rpartition("?versionId=")
    if not mark:
        path, version = value, ""
    bucket, key = _decoded_source(path, value)
    if not is_legal(bucket):
        raise _bad_source("Invalid copy source bucket name", value)
    if not key:
        raise _bad_source("Invalid copy source object key", value)
    return Ref(bucket, key, version or None)


async def _source(context: Context) -> tuple[Ref, ObjectInfo]:
    """What is copied, once the caller was found to be allowed to read it: the very version that will be read."""
    asked = copy_source(context)
    bucket = await context.backend.head_bucket(asked.bucket)
    expected = context.request.headers.get("x-amz-source-expected-bucket-owner")
    if expected is not None and not is_owner(context, expected, bucket):
        raise AccessDenied()
    action = "s3:GetObjectVersion" if asked.version else "s3:GetObject"
    try:
        judged = await require(context, action, asked, bucket)
        payment.check(context, bucket)
        info = judged or (await context.backend.head_object(asked)).info
    except S3Error as error:
        if error.kind is NoSuchKey:  # told only to those who may list
            await require(context, "s3:ListBucket", Ref(asked.bucket, ""), bucket)
        if error.kind is MethodNotAllowed:
            raise source_is_marker() from None
        raise
    return replace(asked, version=asked.version or told_version(info.version, bucket.docs)), info


def _source_version(source: Ref) -> dict[str, str]:
    return {"x-amz-copy-source-version-id": source.version} if source.version is not None else {}


async def _require_tags(context: Context, source: Ref, info: ObjectInfo) -> None:
    """Tags that go along are read and written."""
    if Doc.TAGGING not in info.docs:
        return
    bucket = await context.backend.head_bucket(source.bucket)
    await require(context, "s3:GetObjectTagging", source, bucket)
    await require(context, "s3:PutObjectTagging", context.ref)


def _check_change(context: Context, replace_metadata: bool) -> None:
    """Raise InvalidRequest for a copy of an object onto itself that would change nothing."""
    if copy_source(context) != context.ref or replace_metadata:
        return
    if not _CHANGES & context.request.headers.keys():
        raise InvalidRequest(
            "This copy request is illegal because it is trying to copy an object to itself without changing the "
            "object's metadata, storage class, website redirect location or encryption attributes."
        )


def _decoded_source(path: str, value: str) -> tuple[str, str]:
    if BAD_ESCAPE.search(path):
        raise _bad_source("Invalid copy source encoding", value)
    try:
        return decode_source(path)
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


def _redirected(how: Copy, source: ObjectInfo) -> Copy:
    """A redirect location is never copied: the copy has the request's, or none."""
    asked = how.write.headers
    if how.replace_metadata or REDIRECT_LOCATION not in {*source.headers, *asked}:
        return how
    check_copy_source(how.conditions, source)
    headers = {name: value for name, value in source.headers.items() if name != REDIRECT_LOCATION}
    headers |= {name: value for name, value in asked.items() if name == REDIRECT_LOCATION}
    write = replace(how.write, headers=headers, user=source.user)
    return replace(how, write=write, conditions=Conditions(if_match=(source.etag,)), replace_metadata=True)


def _wanted_algorithm(context: Context) -> str | None:
    algorithm = context.header("x-amz-checksum-algorithm").upper()
    if algorithm and algorithm not in ALGORITHMS:
        raise unknown_algorithm()
    return algorithm or None


async def _open_source(context: Context, source: Ref, chosen: ByteRange | None) -> Content:
    """Open what is copied, in plain bytes: the version that the conditions were checked on.

    Raises InvalidArgument for the range.
    """
    info = (await context.backend.head_object(source)).info
    check_copy_source(copy_source_conditions(context.request.headers), info)
    if chosen and chosen.last is not None and chosen.last >= info.size:
        raise InvalidArgument(
            f"Range specified is not valid for source object of size: {info.size}",
            ArgumentName="x-amz-copy-source-range",
            ArgumentValue=context.header("x-amz-copy-source-range"),
        )
    content = await context.backend.open_object(
        source, Read(chosen, conditions=Conditions(if_match=(info.etag,)))
    )
    try:
        opening = opening_of(context, content.info, source=True)
        return content if opening is None else await opening.decrypted(content)
    except BaseException:
        content.close()
        raise


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


async def _rewrite(
    context: Context, source: Ref, how: Copy, algorithm: str, sealing: Sealing | None
) -> ObjectInfo:
    """Copy by reading and writing: another checksum is computed on the way, another key encrypts."""
    async with (
        await _open_source(context, source, None) as content,
        _payload(context, content, algorithm, sealing) as body,
    ):
        kept, info = how.write, content.info
        if not how.replace_metadata:
            kept = replace(kept, headers=info.headers, user=info.user)
        if how.copy_tags and Doc.TAGGING in info.docs:
            kept = replace(kept, docs={**kept.docs, Doc.TAGGING: info.docs[Doc.TAGGING]})
        if sealing is not None:
            kept = sealing.kept(kept)
        return await context.backend.put_object(context.ref, body, kept)


def _payload(context: Context, content: Content, algorithm: str, sealing: Sealing | None) -> Body:
    if content.span.length > MAX_PUT_BYTES:
        raise InvalidRequest(
            "The specified copy source is larger than the maximum allowable size for a copy source: 5368709120"
        )
    return payload_of(content, ExpectedChecksum(algorithm), context.services.spool, encryptor_of(sealing))


def _result(root: str, info: ObjectInfo) -> bytes:
    return xml.document(
        root,
        xml.element("LastModified", iso_date(info.modified)),
        xml.element("ETag", f'"{info.etag}"'),
        *checksum_elements(info),
    )
