"""Object metadata between headers and values: what a write keeps, and what a read shows.

Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html
"""

from collections.abc import Mapping
from dataclasses import replace

from backends.base import ChecksumType, Conditions, Content, Doc, ObjectInfo, UploadInfo, Write
from backends.clock import now
from backends.versions import told_version
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
_EVENT_HOLD = "x-amz-object-lock-event-hold"
_REFUSED = frozenset(
    {
        "x-amz-write-offset-bytes",
        _EVENT_HOLD,
        f"{_EVENT_HOLD}-duration-days",
        f"{_EVENT_HOLD}-duration-years",
    }
)

_OVERRIDES = {f"response-{name}": name for name in SYSTEM_HEADERS}


def refuse_unsupported(headers: Mapping[str, str]) -> None:
    """Raise NotImplemented for a header whose promise nobody would keep."""
    if not _REFUSED.isdisjoint(headers):
        raise NotImplemented_(Header=min(_REFUSED.intersection(headers)))


def refuse_version(request: Request) -> None:
    """Raise InvalidArgument where a write names a version: it always makes its own."""
    if "versionId" in request.params:
        raise InvalidArgument(
            "This operation does not accept a version-id.",
            ArgumentName="versionId",
            ArgumentValue=request.params["versionId"][:256],
        )


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
    refuse_version(context.request)
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


_DOCUMENTS = frozenset({"x-amz-tagging", *acls.HEADERS, *object_lock.HEADERS})
"""The headers that ask for a document."""


def _documents(context: Context, owner: str) -> dict[Doc, str]:
    """The documents that a new object begins with: ACL, tags, lock."""
    headers = context.request.headers
    docs: dict[Doc, str] = {}
    if _DOCUMENTS.isdisjoint(headers) and Doc.OBJECT_LOCK not in context.bucket.docs:  # the usual case
        return docs
    acl = acls.for_object(context, owner)
    if acl is not None:
        docs[Doc.ACL] = acl
    if "x-amz-tagging" in headers:
        tags = tagging.read_header(headers["x-amz-tagging"])
        if tags is not None:
            docs[Doc.TAGGING] = tags
    return docs | object_lock.lock_documents(headers, context.bucket.docs, now())


def system_metadata(headers: Mapping[str, str]) -> dict[str, str]:
    """The system metadata to keep; an empty header says nothing. Raises InvalidRedirectLocation."""
    kept = {name: value for name in SYSTEM_HEADERS if (value := headers.get(name))}
    if "aws-chunked" in kept.get("content-encoding", "").lower():
        rest = _without_framing(kept.pop("content-encoding"))
        kept |= {"content-encoding": rest} if rest else {}
    if REDIRECT_LOCATION in headers:
        kept[REDIRECT_LOCATION] = _redirect_location(headers[REDIRECT_LOCATION])
    return kept


def _without_framing(encoding: str) -> str:
    """A Content-Encoding without `aws-chunked`, which is a framing of the transfer and never part of the object."""
    codings = [coding.strip() for coding in encoding.split(",")]
    return ",".join(coding for coding in codings if coding and coding.lower() != "aws-chunked")


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
    version = told_version(info.version, context.bucket.docs)
    return {} if version is None else {"x-amz-version-id": version}


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
    docs = context.bucket.docs
    if info.version is not None or Doc.VERSIONING in docs:
        headers |= version_headers(context, info)
    if Doc.LIFECYCLE in docs:
        headers |= expiration_headers(context, info)
    if info.docs:
        headers |= document_headers(info.docs)
    if info.storage_class != "STANDARD":
        headers["x-amz-storage-class"] = info.storage_class
    if span.partial:
        headers["content-range"] = f"bytes {span.offset}-{span.offset + span.length - 1}/{info.size}"
    if info.parts and "partNumber" in request.params:
        headers["x-amz-mp-parts-count"] = str(len(info.parts))
    if info.checksum and _wants_checksum(request):
        headers |= _checksum_of_portion(info, request)
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
    """`response-*` parameters as headers. Raises InvalidArgument for an unknown one, and for a line break in one."""
    found = {}
    for parameter, value in request.params.items():
        if not parameter.startswith("response-"):
            continue
        if parameter not in _OVERRIDES:
            raise InvalidArgument(
                f"{parameter} is not in the set of overridable response headers. "
                "Please refer to the S3 API documentation for a complete list of overridable response headers.",
                ArgumentName=parameter,
                ArgumentValue=value[:256],
            )
        if any(ord(char) < 32 or ord(char) == 127 for char in value):
            raise InvalidArgument(ArgumentName=parameter)
        found[_OVERRIDES[parameter]] = value.encode().decode("latin-1")
    return found


def _wants_checksum(request: Request) -> bool:
    mode = request.headers.get("x-amz-checksum-mode") or request.params.get("X-Amz-Checksum-Mode", "")
    return mode.upper() == "ENABLED"


def _checksum_of_portion(info: ObjectInfo, request: Request) -> dict[str, str]:
    """The checksum of what a GET answers: of the object, of the part that is asked for, or none.

    A checksum of other bytes would fail the client's check. Part 1 of a plain object is all of it.
    """
    if "range" in request.headers:
        return {}
    if "partNumber" not in request.params or not info.parts or info.checksum is None:
        return checksum_headers(info)
    if info.checksum.type is ChecksumType.FULL_OBJECT:
        return checksum_headers(info) if len(info.parts) == 1 else {}
    part = info.parts[int(request.params["partNumber"]) - 1]
    if part.checksum is None:
        return {}
    return checksum_headers(replace(info, checksum=replace(info.checksum, value=part.checksum)))
