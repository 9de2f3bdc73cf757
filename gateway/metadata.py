"""Object metadata between headers and values: what a write keeps, and what a read shows.

Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html
"""

import time
from collections.abc import Mapping

from backends.base import ChecksumType, Conditions, Content, Doc, ObjectInfo, UploadInfo, Write
from gateway import acls
from gateway.checksums import ALGORITHMS
from gateway.conditions import http_date
from gateway.configurations import lifecycle, object_lock, tagging
from gateway.context import Context
from gateway.errors import (
    InvalidArgument,
    InvalidRedirectLocation,
    InvalidStorageClass,
    MetadataTooLarge,
    NotImplemented_,
)
from gateway.lifecycle import evaluation
from gateway.request import Request

USER_PREFIX = "x-amz-meta-"
MAX_USER_BYTES = 2048
DEFAULT_TYPE = "binary/octet-stream"

SYSTEM_HEADERS = (
    "content-type",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "expires",
)

REDIRECT_LOCATION = "x-amz-website-redirect-location"
"""Kept as a header; `gateway.website` follows it, S3 shows it."""
_MAX_REDIRECT = 2048
_REDIRECTS = ("/", "http://", "https://")

_STORAGE_CLASSES = frozenset(
    "STANDARD STANDARD_IA ONEZONE_IA INTELLIGENT_TIERING REDUCED_REDUNDANCY GLACIER_IR".split()
)
"""Labels that change nothing for a reader. Archive classes need a restore, which there is not."""

# What would have to be enforced: refused rather than ignored.
_REFUSED = frozenset({"x-amz-write-offset-bytes"})

_OVERRIDES = {f"response-{name}": name for name in SYSTEM_HEADERS}


def refuse_unsupported(headers: Mapping[str, str]) -> None:
    """Raise NotImplemented for a header whose promise nobody would keep."""
    refused = _REFUSED.intersection(headers)
    if refused:
        raise NotImplemented_(Header=min(refused))


def write_of(
    context: Context,
    conditions: Conditions,
    *,
    checksum_algorithm: str | None = None,
    checksum_type: ChecksumType | None = None,
) -> Write:
    """What a PUT, copy or multipart upload keeps beside its bytes. Raises for what is wrong, too large or unsupported."""
    headers = context.request.headers
    refuse_unsupported(headers)
    storage_class = headers.get("x-amz-storage-class", "STANDARD")
    if storage_class not in _STORAGE_CLASSES:
        raise InvalidStorageClass(StorageClassRequested=storage_class)
    owner = acls.object_owner(context)
    return Write(
        headers=system_metadata(headers),
        user=user_metadata(headers),
        docs=_documents(context, owner),
        storage_class=storage_class,
        owner=owner,
        conditions=conditions,
        checksum_algorithm=checksum_algorithm,
        checksum_type=checksum_type,
    )


def _documents(context: Context, owner: str) -> dict[Doc, str]:
    """The documents that a new object begins with: ACL, tags, lock."""
    headers, docs = context.request.headers, {}
    acl = acls.for_object(context, owner)
    if acl is not None:
        docs[Doc.ACL] = acl
    if "x-amz-tagging" in headers:
        tags = tagging.read_header(headers["x-amz-tagging"])
        if tags is not None:
            docs[Doc.TAGGING] = tags
    return docs | object_lock.lock_documents(headers, context.bucket.docs, time.time_ns() // 1_000_000)


def system_metadata(headers: Mapping[str, str]) -> dict[str, str]:
    """The system metadata to keep. `aws-chunked` is a framing of the transfer, never part of the object.

    Raises InvalidRedirectLocation.
    """
    kept = {name: headers[name] for name in SYSTEM_HEADERS if name in headers}
    if "content-encoding" in kept:
        codings = [coding.strip() for coding in kept.pop("content-encoding").split(",")]
        rest = ",".join(coding for coding in codings if coding and coding.lower() != "aws-chunked")
        if rest:
            kept["content-encoding"] = rest
    if REDIRECT_LOCATION in headers:
        kept[REDIRECT_LOCATION] = _redirect_location(headers[REDIRECT_LOCATION])
    return kept


def _redirect_location(value: str) -> str:
    if not value.startswith(_REDIRECTS):
        raise InvalidRedirectLocation()
    if len(value) > _MAX_REDIRECT:
        raise InvalidRedirectLocation(
            "The length of website redirect location cannot exceed 2,048 characters."
        )
    return value


def user_metadata(headers: Mapping[str, str]) -> dict[str, str]:
    """`x-amz-meta-*` without the prefix. Raises MetadataTooLarge above 2 KiB of names and values."""
    start = len(USER_PREFIX)
    user = {name[start:]: value for name, value in headers.items() if name.startswith(USER_PREFIX)}
    size = sum(len(name) + len(value) for name, value in user.items())
    if size > MAX_USER_BYTES:
        raise MetadataTooLarge(Size=size, MaxSizeAllowed=MAX_USER_BYTES)
    return user


def version_headers(context: Context, info: ObjectInfo) -> dict[str, str]:
    """`x-amz-version-id`, where versioning is or was enabled."""
    if info.version is not None:
        return {"x-amz-version-id": info.version}
    return {"x-amz-version-id": "null"} if Doc.VERSIONING in context.bucket.docs else {}


def expiration_headers(context: Context, info: ObjectInfo) -> dict[str, str]:
    """`x-amz-expiration`: when a lifecycle rule lets the current object go. Of a version that is named S3 tells nothing."""
    text = context.bucket.docs.get(Doc.LIFECYCLE)
    if text is None or "versionId" in context.request.params:
        return {}
    rules, tags = lifecycle.load(text), tagging.load(info.docs.get(Doc.TAGGING))
    value = evaluation.expiration_header(
        rules, info.key, info.size, tags, info.modified, day=context.services.lifecycle_day
    )
    return {} if value is None else {"x-amz-expiration": value}


def abort_headers(context: Context, upload: UploadInfo) -> dict[str, str]:
    """`x-amz-abort-date` and `x-amz-abort-rule-id`: when a lifecycle rule aborts the upload."""
    text = context.bucket.docs.get(Doc.LIFECYCLE)
    if text is None:
        return {}
    rules, day = lifecycle.load(text), context.services.lifecycle_day
    return evaluation.abort_headers(rules, upload.key, upload.initiated, day=day)


def document_headers(docs: Mapping[Doc, str]) -> dict[str, str]:
    """What an object's documents add to its headers: the number of tags, the lock."""
    headers = object_lock.lock_headers(docs)
    if Doc.TAGGING in docs:
        headers["x-amz-tagging-count"] = str(len(tagging.load(docs[Doc.TAGGING])))
    return headers


def object_headers(content: Content, context: Context) -> dict[str, str]:
    """The headers of a GET or HEAD: metadata, ETag, range, and the checksum if it was asked for."""
    info, span, request = content.info, content.span, context.request
    headers = {
        "content-type": DEFAULT_TYPE,
        **info.headers,
        "etag": f'"{info.etag}"',
        "last-modified": http_date(info.modified),
        "accept-ranges": "bytes",
    }
    for name, value in info.user.items():
        headers[USER_PREFIX + name] = value
    if info.version is not None or context.bucket.docs:
        headers |= version_headers(context, info)
        headers |= expiration_headers(context, info)
    if info.docs:
        headers |= document_headers(info.docs)
    if info.storage_class != "STANDARD":
        headers["x-amz-storage-class"] = info.storage_class
    if span.partial:
        headers["content-range"] = f"bytes {span.offset}-{span.offset + span.length - 1}/{info.size}"
    if info.parts and "partNumber" in request.params:
        headers["x-amz-mp-parts-count"] = str(len(info.parts))
    if info.checksum and not _is_portion(info, request) and _wants_checksum(request):
        headers |= checksum_headers(info)
    return headers


def checksum_headers(info: ObjectInfo) -> dict[str, str]:
    """`x-amz-checksum-*` and its type, if the object has one."""
    if info.checksum is None:
        return {}
    return {
        ALGORITHMS[info.checksum.algorithm].header: info.checksum.value,
        "x-amz-checksum-type": info.checksum.type.value,
    }


def overrides(request: Request) -> dict[str, str]:
    """`response-*` parameters as headers. Raises InvalidArgument for a line break in one."""
    found = {}
    for parameter, name in _OVERRIDES.items():
        value = request.params.get(parameter)
        if value is not None:
            if any(ord(char) < 32 or ord(char) == 127 for char in value):
                raise InvalidArgument(ArgumentName=parameter)
            found[name] = value.encode().decode("latin-1")
    return found


def _wants_checksum(request: Request) -> bool:
    mode = request.headers.get("x-amz-checksum-mode") or request.params.get("X-Amz-Checksum-Mode", "")
    return mode.upper() == "ENABLED"


def _is_portion(info: ObjectInfo, request: Request) -> bool:
    """Not the whole object, whose checksum would fail the client's check. Part 1 of a plain object is all of it."""
    return "range" in request.headers or ("partNumber" in request.params and bool(info.parts))
