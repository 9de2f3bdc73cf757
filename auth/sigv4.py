"""Signature version 4 as pure functions: canonical forms, keys, signatures, and signing for requests of our own.

Sources: https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html,
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
"""

import hmac
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from urllib.parse import quote, unquote_to_bytes, urlsplit

from auth.credential import Credential
from auth.mac import Mac

ALGORITHM = "AWS4-HMAC-SHA256"
TERMINATOR = "aws4_request"
SERVICE = "s3"
SIGNATURE_PARAM = "X-Amz-Signature"
UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
EMPTY_SHA256 = sha256(b"").hexdigest()
MAX_EXPIRES_SECONDS = 604_800
"""Seven days: the longest life of a presigned URL."""

_BLANKS = re.compile(r"[ \t]+")


@lru_cache(maxsize=4096)
def signing_key(secret_key: str, date: str, region: str, service: str = SERVICE) -> Mac:
    """The key that signs one day's requests to one region; `date` as in `20130524`."""
    key = f"AWS4{secret_key}".encode()
    for part in (date, region, service, TERMINATOR):
        key = hmac.digest(key, part.encode(), "sha256")
    return Mac(key, "sha256")


def sign(key: Mac, text: str) -> str:
    """The hexadecimal signature of a string to sign."""
    return key.digest(text.encode("latin-1")).hex()


def same(expected: str, provided: str) -> bool:
    """Compare two signatures in constant time."""
    return provided.isascii() and hmac.compare_digest(expected, provided)


def string_to_sign(timestamp: str, scope: str, canonical: str) -> str:
    """The string to sign; `timestamp` as in `20130524T000000Z`, `scope` as in `20130524/us-east-1/s3/aws4_request`."""
    return f"{ALGORITHM}\n{timestamp}\n{scope}\n{sha256(canonical.encode('latin-1')).hexdigest()}"


def canonical_headers(headers: Mapping[str, str], names: Sequence[str]) -> str:
    """`name:value` lines of the signed headers, trimmed, inner blanks collapsed; a missing header is empty."""
    try:
        lines = "\n".join([f"{name}:{headers[name]}" for name in names])
    except KeyError:
        return _trimmed(headers, names)
    if (" " in lines or "\t" in lines) and _needs_trimming(lines):
        return _trimmed(headers, names)
    return lines


def _needs_trimming(lines: str) -> bool:
    return "  " in lines or ": " in lines or " \n" in lines or "\t" in lines or lines.endswith(" ")


def _trimmed(headers: Mapping[str, str], names: Sequence[str]) -> str:
    return "\n".join([f"{name}:{_trim(headers.get(name, ''))}" for name in names])


def _trim(value: str) -> str:
    """Only blanks and tabs: `str.split` would also take bytes out of the middle of UTF-8 sequences."""
    return _BLANKS.sub(" ", value).strip(" ")


def canonical_query(raw: str, leave_out: str = "") -> str:
    """The pairs of a raw query in order of name and value, their encoding as it was sent."""
    if not raw:
        return ""
    pairs = sorted([pair.partition("=") for pair in raw.split("&") if pair])
    return "&".join([f"{name}={value}" for name, _, value in pairs if name != leave_out])


def encoded_query(raw: str, leave_out: str = "") -> str:
    """As `canonical_query`, each name and value decoded and encoded anew by AWS's rules."""
    pairs = [pair.partition("=") for pair in raw.split("&") if pair]
    encoded = sorted((_recode(name), _recode(value)) for name, _, value in pairs)
    return "&".join(f"{name}={value}" for name, value in encoded if name != leave_out)


def encoded_path(raw: str) -> str:
    """A raw path decoded once and encoded anew by AWS's rules, slashes kept."""
    return quote(unquote_to_bytes(raw), safe="/-_.~")


def _recode(raw: str) -> str:
    return quote(unquote_to_bytes(raw.replace("+", " ")), safe="-_.~")


def canonical_targets(raw_path: str, raw_query: str, leave_out: str = "") -> Iterator[tuple[str, str]]:
    """The canonical path and query as different clients understand them, the usual first.

    Some encode what they sign but send looser bytes (`+`, `%2f`, `(`); curl 7.88 signs the query unsorted as it
    sends it. All name the same object and parameters, so whichever of them was signed proves the same.
    """
    query = canonical_query(raw_query, leave_out)
    yield raw_path, query
    queries = [query, encoded_query(raw_query, leave_out)]
    if not leave_out:
        queries.append(raw_query)
    seen = {(raw_path, query)}
    for path in (raw_path, encoded_path(raw_path)):
        for form in queries:
            if (path, form) not in seen:
                seen.add((path, form))
                yield path, form


def canonical_request(method: str, target: tuple[str, str], lines: str, names: str, payload: str) -> str:
    """The canonical request.

    `target` is the canonical path and query, `lines` come from `canonical_headers`, `names` are the SignedHeaders,
    `payload` is the last line.
    """
    return f"{method}\n{target[0]}\n{target[1]}\n{lines}\n\n{names}\n{payload}"


def sign_headers(
    method: str,
    url: str,
    headers: Mapping[str, str],
    credential: Credential,
    *,
    region: str,
    now: float,
    payload: str = UNSIGNED_PAYLOAD,
) -> dict[str, str]:
    """Sign a request in its headers: gives all headers to send, lower-case, `host` and `authorization` among them.

    `url` is absolute and encoded by AWS's rules; `now` in Unix seconds; `payload` the body's hexadecimal SHA-256, or
    one of S3's words for a payload that is not hashed.
    """
    parts = urlsplit(url)
    signing = _Signing(credential, region, _stamp(now))
    signed = {name.lower(): value for name, value in headers.items()}
    signed |= {"host": parts.netloc, "x-amz-date": signing.stamp, "x-amz-content-sha256": payload}
    names = ";".join(sorted(signed))
    signature = signing.signature(method, (parts.path or "/", parts.query), signed, payload)
    signed["authorization"] = (
        f"{ALGORITHM} Credential={signing.credential}, SignedHeaders={names}, Signature={signature}"
    )
    return signed


def presign(
    method: str,
    url: str,
    credential: Credential,
    *,
    region: str,
    now: float,
    expires: int = 3600,
    headers: Mapping[str, str] | None = None,
) -> str:
    """Sign a request in its query: gives the URL. `headers` are those that whoever uses it must send besides.

    `url` is absolute and encoded by AWS's rules; `now` in Unix seconds; `expires` in seconds, 1 to 604,800, else ValueError.
    """
    if not 1 <= expires <= MAX_EXPIRES_SECONDS:
        raise ValueError(f"A presigned URL lives 1 to {MAX_EXPIRES_SECONDS} seconds, not {expires}.")
    parts = urlsplit(url)
    signing = _Signing(credential, region, _stamp(now))
    signed = {name.lower(): value for name, value in (headers or {}).items()} | {"host": parts.netloc}
    fields = {
        "X-Amz-Algorithm": ALGORITHM,
        "X-Amz-Credential": signing.credential,
        "X-Amz-Date": signing.stamp,
        "X-Amz-Expires": str(expires),
        "X-Amz-SignedHeaders": ";".join(sorted(signed)),
    }
    query = "&".join(f"{name}={quote(value, safe='-_.~')}" for name, value in fields.items())
    if parts.query:
        query = f"{parts.query}&{query}"
    path = parts.path or "/"
    signature = signing.signature(method, (path, query), signed, UNSIGNED_PAYLOAD)
    return f"{parts.scheme}://{parts.netloc}{path}?{query}&{SIGNATURE_PARAM}={signature}"


class _Signing:
    """One signature of our own in the making."""

    def __init__(self, credential: Credential, region: str, stamp: str) -> None:
        self.stamp = stamp
        self._scope = f"{stamp[:8]}/{region}/{SERVICE}/{TERMINATOR}"
        self._key = signing_key(credential.secret_key, stamp[:8], region)
        self.credential = f"{credential.access_key}/{self._scope}"

    def signature(
        self, method: str, target: tuple[str, str], headers: Mapping[str, str], payload: str
    ) -> str:
        path, raw_query = target
        names = sorted(headers)
        lines = canonical_headers(headers, names)
        canonical = canonical_request(
            method, (path, canonical_query(raw_query)), lines, ";".join(names), payload
        )
        return sign(self._key, string_to_sign(self.stamp, self._scope, canonical))


def _stamp(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
