"""The format of server access logs: a request as a line of 26 fields. Pure.

Two things differ from AWS, for safety. Values of a query that are signatures, tokens or keys are replaced by `REDACTED`;
and quotes, control characters and bytes that are not ASCII are percent-encoded, so that no client can end a field, or
begin a line.

Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/LogFormat.html
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, unquote

_NONE = "-"

_RESOURCES: Mapping[str, str] = {
    "ListBuckets": "SERVICE",
    "ListObjects": "BUCKET",
    "ListObjectsV2": "BUCKET",
    "ListObjectVersions": "BUCKETVERSIONS",
    "DeleteObjects": "MULTI_OBJECT_DELETE",
    "UploadPart": "PART",
    "UploadPartCopy": "PART",
    "ListParts": "UPLOAD",
    "CompleteMultipartUpload": "UPLOAD",
    "AbortMultipartUpload": "UPLOAD",
    "PutObjectTagging": "OBJECT_TAGGING",
    "GetObjectTagging": "OBJECT_TAGGING",
    "DeleteObjectTagging": "OBJECT_TAGGING",
    "PostObject": "OBJECT",
}
"""Operations whose resource does not follow from their selector."""
_SELECTORS: Mapping[str, str] = {
    "abac": "ABAC",
    "accelerate": "ACCELERATE",
    "acl": "ACL",
    "analytics": "ANALYTICS",
    "annotation": "ANNOTATION",
    "attributes": "OBJECT_ATTRIBUTES",
    "copy": "OBJECT",
    "cors": "CORS",
    "encryption": "ENCRYPTION",
    "intelligent-tiering": "INTELLIGENT_TIERING",
    "inventory": "INVENTORY",
    "legal-hold": "OBJECT_LOCK_LEGALHOLD",
    "lifecycle": "LIFECYCLE",
    "location": "LOCATION",
    "logging": "LOGGING_STATUS",
    "metadataAnnotationTable": "METADATA_ANNOTATION_TABLE",
    "metadataConfiguration": "METADATA_CONFIGURATION",
    "metadataInventoryTable": "METADATA_INVENTORY_TABLE",
    "metadataJournalTable": "METADATA_JOURNAL_TABLE",
    "metadataTable": "METADATA_TABLE",
    "metrics": "METRICS",
    "notification": "NOTIFICATION",
    "object-lock": "OBJECT_LOCK_CONFIGURATION",
    "ownershipControls": "OWNERSHIP_CONTROLS",
    "policy": "BUCKETPOLICY",
    "policyStatus": "BUCKETPOLICYSTATUS",
    "publicAccessBlock": "PUBLIC_ACCESS_BLOCK",
    "renameObject": "RENAME",
    "replication": "REPLICATION",
    "requestPayment": "REQUEST_PAYMENT",
    "restore": "RESTORE",
    "retention": "OBJECT_LOCK_RETENTION",
    "route": "OBJECT_LAMBDA_RESPONSE",
    "select": "SELECT",
    "session": "SESSION",
    "tagging": "TAGGING",
    "torrent": "TORRENT",
    "uploads": "UPLOADS",
    "versioning": "VERSIONING",
    "website": "WEBSITE",
}
_COPIES = frozenset({"CopyObject", "UploadPartCopy"})
_SECRETS = frozenset(
    {
        "signature",
        "x-amz-copy-source-server-side-encryption-customer-key",
        "x-amz-security-token",
        "x-amz-server-side-encryption-customer-key",
        "x-amz-signature",
    }
)
_UNSAFE = re.compile(r"[^\x20\x21\x23-\x7e]")


def operation_name(name: str, method: str, level: str, selector: str) -> str:
    """What the log calls an operation of the table: `REST.PUT.OBJECT`. Raises KeyError for a new selector."""
    resource = _RESOURCES.get(name) or _SELECTORS.get(selector.partition(" ")[0], "")
    if not resource and not selector:
        resource = level.upper()
    if not resource:
        raise KeyError(selector)
    return f"REST.{'COPY' if name in _COPIES else method}.{resource}"


@dataclass(frozen=True, slots=True)
class Record:
    """One request as the log tells it. Times are nanoseconds (`time` since 1970); None and empty are unknown."""

    bucket_owner: str
    bucket: str
    time: int
    remote_ip: str
    requester: str
    request_id: str
    operation: str
    key: str
    request_uri: str
    status: int
    error_code: str
    bytes_sent: int | None
    object_size: str
    total_time: int
    turn_around_time: int | None
    referer: str
    user_agent: str
    version_id: str
    host_id: str
    signature_version: str
    cipher_suite: str
    auth_type: str
    host_header: str
    tls_version: str
    acl_required: bool


def line(record: Record) -> str:
    """The 26 fields, without the end of the line."""
    return " ".join(
        (
            record.bucket_owner,
            record.bucket,
            datetime.fromtimestamp(record.time // 1_000_000_000, UTC).strftime("[%d/%b/%Y:%H:%M:%S +0000]"),
            _plain(record.remote_ip),
            _plain(record.requester),
            record.request_id,
            record.operation or _NONE,
            _key(record.key),
            _quoted(record.request_uri),
            str(record.status),
            record.error_code or _NONE,
            str(record.bytes_sent or _NONE),
            _plain(record.object_size),
            str(record.total_time // 1_000_000),
            _NONE if record.turn_around_time is None else str(record.turn_around_time // 1_000_000),
            _quoted(record.referer),
            _quoted(record.user_agent),
            _plain(record.version_id),
            record.host_id,
            record.signature_version or _NONE,
            record.cipher_suite or _NONE,
            record.auth_type or _NONE,
            _plain(record.host_header),
            record.tls_version or _NONE,
            _NONE,  # access points
            "Yes" if record.acl_required else _NONE,
        )
    )


def redacted(target: str) -> str:
    """A URL or the target of a request, without the values of its query that are secret, however they are spelled."""
    path, mark, query = target.partition("?")
    if not mark:
        return target
    return path + mark + "&".join(map(_without_secret, query.split("&")))


def _without_secret(pair: str) -> str:
    name, equals, _ = pair.partition("=")
    return f"{name}{equals}REDACTED" if equals and unquote(name).lower() in _SECRETS else pair


def _key(key: str) -> str:
    """A key as one field; one that is called `-` differs from none."""
    if not key:
        return _NONE
    return "%2D" if key == _NONE else quote(key, safe="/")


def _quoted(text: str) -> str:
    return f'"{_UNSAFE.sub(_percent, text) or _NONE}"'


def _plain(text: str) -> str:
    return _UNSAFE.sub(_percent, text).replace(" ", "%20") or _NONE


def _percent(match: re.Match[str]) -> str:
    return quote(match[0], safe="", encoding="latin-1", errors="replace")
