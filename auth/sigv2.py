"""Signature version 2 as pure functions: canonical forms and signatures.

Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/RESTAuthentication.html
"""

from base64 import b64encode
from collections.abc import Mapping
from urllib.parse import quote_from_bytes, unquote_to_bytes

from auth.mac import sha1_mac

ALWAYS_SIGNED = frozenset(
    {
        "accelerate",
        "acl",
        "analytics",
        "cors",
        "defaultObjectAcl",
        "delete",
        "inventory",
        "lifecycle",
        "location",
        "logging",
        "metrics",
        "notification",
        "object-lock",
        "partNumber",
        "policy",
        "replication",
        "requestPayment",
        "response-cache-control",
        "response-content-disposition",
        "response-content-encoding",
        "response-content-language",
        "response-content-type",
        "response-expires",
        "restore",
        "select",
        "select-type",
        "storageClass",
        "tagging",
        "torrent",
        "uploadId",
        "uploads",
        "versionId",
        "versioning",
        "versions",
        "website",
    }
)
"""The subresources and overrides that every client signs."""

SUBRESOURCES = ALWAYS_SIGNED | {
    "abac",
    "annotation",
    "attributes",
    "encryption",
    "intelligent-tiering",
    "legal-hold",
    "metadataConfiguration",
    "metadataInventoryTable",
    "metadataJournalTable",
    "metadataTable",
    "metadataAnnotationTable",
    "ownershipControls",
    "policyStatus",
    "publicAccessBlock",
    "renameObject",
    "retention",
    "session",
}
"""Everything that changes which operation a request is.

Version 2 does not cover the rest of the query: a word that is missing here could be put behind somebody's
presigned URL and turn it into another operation.
"""


def sign(secret_key: str, text: str) -> str:
    """The base64 signature of a string to sign."""
    return b64encode(sha1_mac(secret_key).digest(text.encode("latin-1"))).decode()


def string_to_sign(method: str, headers: Mapping[str, str], date: str, resource: str) -> str:
    """The string to sign; `date` is the Date line: empty beside `x-amz-date`, the expiry of a presigned URL."""
    md5, kind = headers.get("content-md5", "").strip(), headers.get("content-type", "").strip()
    return f"{method}\n{md5}\n{kind}\n{date}\n{amz_headers(headers)}{resource}"


def amz_headers(headers: Mapping[str, str]) -> str:
    """All `x-amz-*` headers, sorted, a `name:value` line each."""
    names = sorted([name for name in headers if name[:6] == "x-amz-"])
    return "".join([f"{name}:{headers[name].strip()}\n" for name in names])


def canonical_resource(
    path: str, raw_query: str, subresources: frozenset[str] = SUBRESOURCES, *, plus: bool = False
) -> str:
    """The path (with the bucket, encoded as on the wire) and the signed part of the query, values decoded.

    Names are compared after decoding, as whoever acts on them does. `plus`: a `+` in a value is a blank.
    """
    if not raw_query:
        return path
    pairs = [pair.partition("=") for pair in raw_query.split("&")]
    kept = [(name, equals, value) for raw, equals, value in pairs if (name := _decode(raw)) in subresources]
    kept.sort(key=lambda pair: pair[0])
    query = "&".join([f"{name}{equals}{_decode(value, plus=plus)}" for name, equals, value in kept])
    return f"{path}?{query}" if kept else path


def bucket_path(bucket: str) -> str:
    """What stands in front of the raw path when the bucket came from the Host header."""
    return "/" + quote_from_bytes(bucket.encode(), safe="-_.~")


def _decode(raw: str, *, plus: bool = False) -> str:
    """Undo percent-encoding; UTF-8 stays bytes, as latin-1, like everything else that is signed."""
    if plus:
        raw = raw.replace("+", " ")
    return unquote_to_bytes(raw.encode("latin-1")).decode("latin-1") if "%" in raw else raw
