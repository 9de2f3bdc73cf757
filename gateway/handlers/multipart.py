"""Multipart uploads: create, upload a part, list, complete, abort."""

import re
from dataclasses import replace

from auth.access import ENFORCED
from backends.base import (
    UNCONDITIONAL,
    Checksum,
    ChecksumType,
    Completion,
    Doc,
    ObjectInfo,
    PartInfo,
    UploadInfo,
    UploadQuery,
)
from backends.multipart import algorithm_of
from gateway import acls, xml
from gateway.authorise import check_initiator
from gateway.checksums import (
    ALGORITHMS,
    BY_HEADER,
    ExpectedChecksum,
    expected_checksum,
    is_digest,
    several_checksums,
    unknown_algorithm,
)
from gateway.conditions import iso_date, parse_size, parse_time, write_conditions
from gateway.context import Context
from gateway.encryption.service import check_completion, encryptor_of, sealing_of, sealing_of_part, told
from gateway.errors import InvalidRequest, NoSuchUpload, PreconditionFailed, S3Error
from gateway.handlers.listing import common_prefixes
from gateway.handlers.parameters import Encoding, integer, object_url, part_number
from gateway.metadata import abort_headers, expiration_headers, refuse_version, version_headers, write_of
from gateway.reply import Reply, document

_INITIATED = "x-amz-if-match-initiated-time"
_COUNT = re.compile("[0-9]{1,5}")


async def create_multipart_upload(context: Context) -> Reply:
    """Begin an upload and answer its id."""
    algorithm, kind = _announced(context)
    write = write_of(
        context,
        UNCONDITIONAL,
        checksum_algorithm=algorithm,
        checksum_type=kind,
    )
    sealing = sealing_of(context)
    if sealing is not None:
        write = sealing.kept(write)
    write = replace(write, initiator=acls.writer(context))
    upload = await context.multipart.create_upload(context.ref, write)
    headers = (
        {"x-amz-checksum-algorithm": algorithm, "x-amz-checksum-type": kind.value}
        if algorithm and kind
        else {}
    )
    if sealing is not None:
        headers |= sealing.headers
    headers |= abort_headers(context, upload)
    body = xml.document(
        "InitiateMultipartUploadResult",
        xml.element("Bucket", context.request.bucket),
        xml.element("Key", context.request.key),
        xml.element("UploadId", upload.upload),
    )
    return document(body, headers=headers)


async def upload_part(context: Context) -> Reply:
    """Store one part of an upload."""
    number = part_number(context)
    upload = await context.multipart.head_upload(context.ref, context.param("uploadId"))
    check_initiator(context, upload)
    sealing = sealing_of_part(context, upload)
    # A store computes the upload's checksum itself where a part came with another one, but not of encrypted bytes.
    kept = algorithm_of(upload.write) if sealing is not None else None
    async with context.body(part_checksum(context, upload), encryptor_of(sealing), kept) as body:
        part = await context.multipart.put_part(context.ref, upload.upload, number, body)
    headers = {"etag": f'"{part.etag}"'}
    if body.checksum and (upload.write.checksum_algorithm or _sent_checksum(context)):
        headers[ALGORITHMS[body.checksum.algorithm].header] = body.checksum.value
    if sealing is not None:
        headers |= sealing.headers
    return Reply(200, headers)


async def list_parts(context: Context) -> Reply:
    """Answer a page of the parts received."""
    encoding = Encoding(context)
    after = integer(context, "part-number-marker", 0)
    limit = min(integer(context, "max-parts", 1000), 1000)
    page = await context.multipart.list_parts(context.ref, context.param("uploadId"), after, limit)
    upload = page.upload
    check_initiator(context, upload)
    body = xml.document(
        "ListPartsResult",
        xml.element("Bucket", context.request.bucket),
        xml.element("Key", xml.Markup(encoding(context.request.key))),
        xml.element("UploadId", upload.upload),
        *_people(context, upload),
        xml.element("StorageClass", upload.write.storage_class),
        xml.element("PartNumberMarker", after),
        xml.element("NextPartNumberMarker", page.next or (page.parts[-1].number if page.parts else 0)),
        xml.element("MaxParts", limit),
        xml.element("IsTruncated", bool(page.next)),
        xml.element("EncodingType", "url") if encoding.url else None,
        *_checksum_kind(upload),
        *(_part(part, upload) for part in page.parts),
    )
    return document(body, headers=abort_headers(context, upload))


async def complete_multipart_upload(context: Context) -> Reply:
    """Put the parts together."""
    refuse_version(context.request)
    data = await context.document(checksum=False)
    how = Completion(
        xml.read_complete(data),
        write_conditions(context.request.headers),
        _whole_checksum(context),
        _object_size(context),
        _checksum_type(context),
    )
    await check_completion(context)
    await _check_initiator(context)
    info = await context.multipart.complete_upload(context.ref, context.param("uploadId"), how)
    event = "s3:ObjectCreated:CompleteMultipartUpload"
    await context.emit(event, info.key, size=info.size, etag=info.etag, version=info.version)
    body = xml.document(
        "CompleteMultipartUploadResult",
        xml.element("Location", object_url(context)),
        xml.element("Bucket", context.request.bucket),
        xml.element("Key", context.request.key),
        xml.element("ETag", f'"{info.etag}"'),
        *checksum_elements(info),
    )
    headers = version_headers(context, info) | expiration_headers(context, info) | told(info.docs)
    return document(body, headers=headers)


async def abort_multipart_upload(context: Context) -> Reply:
    """Drop an upload and its parts. An id never changes its time, so that it may be compared before."""
    initiated = context.header(_INITIATED)
    if initiated:
        upload = await context.multipart.head_upload(context.ref, context.param("uploadId"))
        if upload.initiated // 1000 != parse_time(initiated):
            raise PreconditionFailed(Condition=_INITIATED)
    await _check_initiator(context)
    await context.multipart.abort_upload(context.ref, context.param("uploadId"))
    return Reply(204)


async def list_multipart_uploads(context: Context) -> Reply:
    """Answer a page of the uploads in flight."""
    encoding = Encoding(context)
    limit = min(integer(context, "max-uploads", 1000), 1000)
    query = UploadQuery(
        context.param("prefix"),
        context.param("delimiter"),
        context.param("key-marker"),
        context.param("upload-id-marker") if context.param("key-marker") else "",
        limit,
    )
    page = await context.multipart.list_uploads(context.request.bucket, query)
    encoding.adapt(
        [query.prefix, query.after, page.next, *page.prefixes, *(upload.key for upload in page.uploads)]
    )

    def text(name: str, value: str) -> xml.Markup:
        return xml.element(name, xml.Markup(encoding(value)))

    body = xml.document(
        "ListMultipartUploadsResult",
        xml.element("Bucket", context.request.bucket),
        text("KeyMarker", query.after),
        xml.element("UploadIdMarker", query.after_upload),
        text("NextKeyMarker", page.next),
        xml.element("NextUploadIdMarker", page.next_upload),
        text("Prefix", query.prefix),
        text("Delimiter", query.delimiter) if query.delimiter else None,
        xml.element("EncodingType", "url") if encoding.url else None,
        xml.element("MaxUploads", limit),
        xml.element("IsTruncated", bool(page.next)),
        *(_upload(context, upload, encoding) for upload in page.uploads),
        xml.Markup("".join(common_prefixes(page.prefixes, encoding))),
    )
    return document(body)


async def _check_initiator(context: Context) -> None:
    """See `check_initiator`. An upload that is gone is the store's to judge: perhaps it is completed."""
    if context.document_of_bucket(Doc.OWNERSHIP) == ENFORCED:
        return
    try:
        upload = await context.multipart.head_upload(context.ref, context.param("uploadId"))
    except S3Error as error:
        if error.kind is NoSuchUpload:
            return
        raise
    check_initiator(context, upload)


def part_checksum(context: Context, upload: UploadInfo) -> ExpectedChecksum | None:
    """The checksum of a part: by the upload's algorithm, which a part may not change. Raises InvalidRequest."""
    write = upload.write
    algorithm = write.checksum_algorithm
    if algorithm is None:
        return expected_checksum(context.request.headers)
    default = None if write.checksum_type is ChecksumType.COMPOSITE else algorithm
    expected = expected_checksum(context.request.headers, default=default)
    sent = expected.algorithm if expected else "null"
    if sent != algorithm:
        raise InvalidRequest(
            f"Checksum Type mismatch occurred, expected checksum Type: {algorithm.lower()}, "
            f"actual checksum Type: {sent.lower()}"
        )
    return expected


def checksum_elements(info: ObjectInfo) -> list[xml.Markup]:
    """The checksum of an object as elements of an answer."""
    if info.checksum is None:
        return []
    return [
        xml.element(ALGORITHMS[info.checksum.algorithm].element, info.checksum.value),
        xml.element("ChecksumType", info.checksum.type.value),
    ]


def _announced(context: Context) -> tuple[str | None, ChecksumType | None]:
    """Algorithm and type that CreateMultipartUpload announces. Raises InvalidRequest where they do not go together."""
    algorithm = context.header("x-amz-checksum-algorithm").upper() or None
    kind = _checksum_type(context)
    if algorithm is None:
        if kind is not None:
            raise InvalidRequest(
                "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header."
            )
        return None, None
    if algorithm not in ALGORITHMS:
        raise unknown_algorithm()
    types = ALGORITHMS[algorithm].types
    if kind is None:
        return algorithm, types[0]
    if kind not in types:
        raise InvalidRequest(
            f"The {kind} checksum type cannot be used with the {algorithm.lower()} checksum algorithm."
        )
    return algorithm, kind


def _checksum_type(context: Context) -> ChecksumType | None:
    kind = context.header("x-amz-checksum-type").upper()
    if kind and kind not in ChecksumType.__members__:
        raise InvalidRequest("Value for x-amz-checksum-type header is invalid.")
    return ChecksumType(kind) if kind else None


def _object_size(context: Context) -> int | None:
    """`x-amz-mp-object-size` in bytes. Raises InvalidRequest."""
    value = context.header("x-amz-mp-object-size")
    if not value:
        return None
    if re.fullmatch("-[0-9]{1,19}", value):
        raise InvalidRequest(f"Value for x-amz-mp-object-size header is less than zero: '{value}'")
    size = parse_size(value)
    if size is None:
        raise InvalidRequest(f"Value for x-amz-mp-object-size header is invalid: '{value[:256]}'")
    return size


def _sent_checksum(context: Context) -> bool:
    return expected_checksum(context.request.headers, default=None) is not None


def _whole_checksum(context: Context) -> Checksum | None:
    """The checksum that CompleteMultipartUpload expects of the object; `-N` at the end makes it composite."""
    found = [name for name in BY_HEADER if name in context.request.headers]
    if not found:
        return None
    if len(found) > 1:
        raise several_checksums()
    value = context.header(found[0])
    digest, dash, count = value.partition("-")
    algorithm = BY_HEADER[found[0]].name
    if not is_digest(algorithm, digest) or (dash and not _COUNT.fullmatch(count)):
        raise InvalidRequest(f"Value for {found[0]} header is invalid.")
    composite = bool(dash) or _checksum_type(context) is ChecksumType.COMPOSITE
    return Checksum(algorithm, value, ChecksumType.COMPOSITE if composite else ChecksumType.FULL_OBJECT)


def _checksum_kind(upload: UploadInfo) -> list[xml.Markup]:
    write = upload.write
    if write.checksum_algorithm is None or write.checksum_type is None:
        return []
    return [
        xml.element("ChecksumAlgorithm", write.checksum_algorithm),
        xml.element("ChecksumType", write.checksum_type.value),
    ]


def _part(part: PartInfo, upload: UploadInfo) -> xml.Markup:
    algorithm = upload.write.checksum_algorithm
    return xml.element(
        "Part",
        xml.element("PartNumber", part.number),
        xml.element("LastModified", iso_date(part.modified)),
        xml.element("ETag", f'"{part.etag}"'),
        xml.element("Size", part.size),
        xml.element(ALGORITHMS[algorithm].element, part.checksum) if algorithm and part.checksum else None,
    )


def _upload(context: Context, upload: UploadInfo, encoding: Encoding) -> xml.Markup:
    return xml.element(
        "Upload",
        xml.element("Key", xml.Markup(encoding(upload.key))),
        xml.element("UploadId", upload.upload),
        *_people(context, upload),
        xml.element("StorageClass", upload.write.storage_class),
        xml.element("Initiated", iso_date(upload.initiated)),
        *_checksum_kind(upload),
    )


def _people(context: Context, upload: UploadInfo) -> tuple[xml.Markup, xml.Markup]:
    write = upload.write
    initiator = write.initiator or write.owner
    return acls.owner_element(context, initiator, "Initiator"), acls.owner_element(context, write.owner)
