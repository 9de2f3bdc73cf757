"""Object metadata between headers and values: what a write keeps, and what a read shows.

Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html
"""

from collections.abc import Mapping

from backends.base import NO_DOCS, ChecksumType, Conditions, Content, Doc, ObjectInfo, Write
from gateway.checksums import ALGORITHMS
from gateway.conditions import http_date
from gateway.errors import InvalidArgument, InvalidStorageClass, MetadataTooLarge, NotImplemented_
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

_CANNED = {
    "private": None,
    "public-read": "public-read",
    # With one account the owner of bucket, object and every key is the same: these grant nobody else anything.
    "bucket-owner-read": None,
    "bucket-owner-full-control": None,
}

_STORAGE_CLASSES = frozenset(
    "STANDARD STANDARD_IA ONEZONE_IA INTELLIGENT_TIERING REDUCED_REDUNDANCY GLACIER_IR".split()
)
"""Labels that change nothing for a reader. Archive classes need a restore, which there is not."""

# What would have to be enforced: refused rather than ignored.
_REFUSED = frozenset(
    (
        "x-amz-server-side-encryption x-amz-server-side-encryption-aws-kms-key-id "
        "x-amz-server-side-encryption-context x-amz-server-side-encryption-bucket-key-enabled "
        "x-amz-server-side-encryption-customer-algorithm x-amz-server-side-encryption-customer-key "
        "x-amz-server-side-encryption-customer-key-md5 "
        "x-amz-copy-source-server-side-encryption-customer-algorithm x-amz-tagging "
        "x-amz-website-redirect-location x-amz-object-lock-mode x-amz-object-lock-retain-until-date "
        "x-amz-object-lock-legal-hold x-amz-grant-full-control x-amz-grant-read x-amz-grant-read-acp "
        "x-amz-grant-write x-amz-grant-write-acp x-amz-write-offset-bytes"
    ).split()
)

_OVERRIDES = {f"response-{name}": name for name in SYSTEM_HEADERS}


def refuse_unsupported(headers: Mapping[str, str]) -> None:
    """Raise NotImplemented for a header whose promise nobody would keep."""
    refused = _REFUSED.intersection(headers)
    if headers.get("x-amz-object-lock-legal-hold") == "OFF":
        refused -= {"x-amz-object-lock-legal-hold"}
    if refused:
        raise NotImplemented_(Header=min(refused))


def canned_acl(headers: Mapping[str, str]) -> Mapping[Doc, str]:
    """`x-amz-acl` as the document to keep. Raises InvalidArgument, NotImplemented."""
    name = headers.get("x-amz-acl")
    if name is None:
        return NO_DOCS
    if name not in _CANNED:
        known = name in ("public-read-write", "authenticated-read", "aws-exec-read", "log-delivery-write")
        if known:
            raise NotImplemented_(f"The canned ACL {name} is not implemented.", Header="x-amz-acl")
        raise InvalidArgument(ArgumentName="x-amz-acl", ArgumentValue=name)
    acl = _CANNED[name]
    return {Doc.ACL: acl} if acl else NO_DOCS


def write_of(
    request: Request,
    conditions: Conditions,
    *,
    checksum_algorithm: str | None = None,
    checksum_type: ChecksumType | None = None,
) -> Write:
    """What a PUT, copy or multipart upload keeps beside its bytes. Raises for what is too large or unsupported."""
    headers = request.headers
    refuse_unsupported(headers)
    storage_class = headers.get("x-amz-storage-class", "STANDARD")
    if storage_class not in _STORAGE_CLASSES:
        raise InvalidStorageClass(StorageClassRequested=storage_class)
    return Write(
        headers=system_metadata(headers),
        user=user_metadata(headers),
        docs=canned_acl(headers),
        storage_class=storage_class,
        conditions=conditions,
        checksum_algorithm=checksum_algorithm,
        checksum_type=checksum_type,
    )


def system_metadata(headers: Mapping[str, str]) -> dict[str, str]:
    """The system metadata to keep. `aws-chunked` is a framing of the transfer, never part of the object."""
    kept = {name: headers[name] for name in SYSTEM_HEADERS if name in headers}
    if "content-encoding" in kept:
        codings = [coding.strip() for coding in kept.pop("content-encoding").split(",")]
        rest = ",".join(coding for coding in codings if coding and coding.lower() != "aws-chunked")
        if rest:
            kept["content-encoding"] = rest
    return kept


def user_metadata(headers: Mapping[str, str]) -> dict[str, str]:
    """`x-amz-meta-*` without the prefix. Raises MetadataTooLarge above 2 KiB of names and values."""
    start = len(USER_PREFIX)
    user = {name[start:]: value for name, value in headers.items() if name.startswith(USER_PREFIX)}
    size = sum(len(name) + len(value) for name, value in user.items())
    if size > MAX_USER_BYTES:
        raise MetadataTooLarge(Size=size, MaxSizeAllowed=MAX_USER_BYTES)
    return user


def object_headers(content: Content, request: Request) -> dict[str, str]:
    """The headers of a GET or HEAD: metadata, ETag, range, and the checksum if it was asked for."""
    info, span = content.info, content.span
    headers = {
        "content-type": DEFAULT_TYPE,
        **info.headers,
        "etag": f'"{info.etag}"',
        "last-modified": http_date(info.modified),
        "accept-ranges": "bytes",
    }
    for name, value in info.user.items():
        headers[USER_PREFIX + name] = value
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
