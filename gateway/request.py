"""A request as S3 sees it: parsed once, from the raw bytes of the request line, without I/O.

Bucket and key come from the raw path only, decoded exactly once, so that signature, policy and storage
speak of the same key. The server's own decoded `path` is never used: it merges `%2F` and `/`.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote_to_bytes

from backends.base import MAX_KEY_BYTES
from gateway.errors import (
    BadRequest,
    InvalidArgument,
    InvalidBucketName,
    InvalidURI,
    KeyTooLongError,
    NotImplemented_,
)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_SIGNATURE_PARAMETERS = frozenset(
    {
        "x-amz-algorithm",
        "x-amz-content-sha256",
        "x-amz-credential",
        "x-amz-date",
        "x-amz-expires",
        "x-amz-security-token",
        "x-amz-signature",
        "x-amz-signedheaders",
    }
)
TOKEN = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+")
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
BAD_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")
"""What a header's name is (in lower case), what no header's value holds, what no percent-encoded text holds."""

REQUEST_ID = "s3gw.request_id"
"""Where a scope carries the id of the request."""
TLS = "s3gw.tls"
"""The extension of a scope that tells of TLS: cipher suite, version, bits of the key."""
NO_PARAMS: Mapping[str, str] = MappingProxyType({})


class Request:
    """One request. All fields are plain values; none changes after parsing, but by `adopt_parameters`.

    `headers`: lower-case names, duplicates joined with a comma, values as latin-1 (bytes survive unchanged).
    `params`: the decoded query; of a repeated name the first value.
    `bucket` and `key` are empty where the request names none. `host_style`: the bucket came from the Host header.
    """

    __slots__ = (
        "bucket",
        "client",
        "headers",
        "host_style",
        "key",
        "method",
        "params",
        "raw_path",
        "raw_query",
        "receive",
        "scheme",
        "scope",
    )

    def __init__(self, scope: Scope, receive: Receive, domains: Sequence[str] = ()) -> None:
        self.scope = scope
        self.receive = receive
        self.method: str = scope["method"]
        self.scheme: str = scope["scheme"]
        self.client: str = scope["client"][0] if scope["client"] else ""
        self.raw_path: str = scope["raw_path"].decode("latin-1")
        self.raw_query: str = scope["query_string"].decode("latin-1")
        self.headers = parse_headers(scope["headers"])
        self.params = parse_query(self.raw_query) if self.raw_query else NO_PARAMS
        host = self.headers.get("host")
        if host is None and scope["http_version"] != "1.0":
            raise BadRequest("Missing Host header")
        bucket = host_bucket(host, domains) if domains and host else ""
        self.host_style = bool(bucket)
        if bucket:
            self.bucket, self.key = bucket, decode_key(_after_slash(self.raw_path))
        else:
            self.bucket, self.key = split_path(self.raw_path)

    @property
    def content_length(self) -> int | None:
        """The wire length of the body in bytes, None if it is chunked by HTTP or absent. Raises BadRequest."""
        value = self.headers.get("content-length")
        if value is None:
            return None
        if not (value.isascii() and value.isdigit()) or len(value) > 18:
            raise BadRequest("Invalid Content-Length")
        return int(value)

    def adopt_parameters(self) -> None:
        """Take the `x-amz-*` parameters of a URL presigned by version 4 for the headers that they stand for.

        Software kits move headers there (an ACL, metadata, checksums), where the signature covers them; what was
        promised must not be dropped. A header wins over its parameter. Raises InvalidArgument for what no header can
        hold, NotImplemented for a copy source, without which the operation was chosen.
        """
        for name, value in self.params.items():
            header = name.lower()
            if header[:6] != "x-amz-" or header in _SIGNATURE_PARAMETERS:
                continue
            if header == "x-amz-copy-source":
                raise NotImplemented_()
            if not TOKEN.fullmatch(header) or CONTROL.search(value):
                raise InvalidArgument(ArgumentName=name, ArgumentValue=value)
            self.headers.setdefault(header, value.encode().decode("latin-1"))


def parse_headers(raw: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    """Header pairs → one dictionary by lower-case name."""
    headers: dict[str, str] = {}
    for name, value in raw:
        key, text = (
            name.decode("latin-1"),
            value.strip(b" \t").decode("latin-1"),
        )  # httptools leaves blanks at the end
        headers[key] = f"{headers[key]},{text}" if key in headers else text
    return headers


def parse_query(raw: str) -> dict[str, str]:
    """The raw query → decoded names and values (`+` is a blank); the first value of a name wins."""
    params: dict[str, str] = {}
    for pair in raw.split("&"):
        if pair:
            name, _, value = pair.partition("=")
            params.setdefault(_decode(name, plus=True), _decode(value, plus=True))
    return params


def split_path(raw_path: str) -> tuple[str, str]:
    """`/bucket/key...` → bucket and key, decoded. Raises InvalidURI, KeyTooLongError, InvalidBucketName."""
    path = _after_slash(raw_path)
    if path.startswith("/"):
        raise InvalidBucketName(BucketName="")
    return decode_path(path)


def decode_path(path: str) -> tuple[str, str]:
    """`bucket/key...` as encoded → bucket and key. Raises InvalidURI, KeyTooLongError."""
    bucket, _, key = path.partition("/")
    return _decode(bucket), decode_key(key)


def decode_source(raw: str) -> tuple[str, str]:
    """The path of `x-amz-copy-source` → bucket and key. It is encoded as a whole: slashes may be, and `+` is a blank.

    Raises InvalidURI, KeyTooLongError.
    """
    bucket, _, key = _decode(raw, plus=True).removeprefix("/").partition("/")
    return bucket, _checked_key(key)


def decode_key(raw: str) -> str:
    """An encoded key → the key. Raises InvalidURI (bad UTF-8, NUL), KeyTooLongError (over 1,024 bytes)."""
    return _checked_key(_decode(raw))


def _checked_key(key: str) -> str:
    size = len(key) if key.isascii() else len(key.encode())
    if size > MAX_KEY_BYTES:
        raise KeyTooLongError(Size=size, MaxSizeAllowed=MAX_KEY_BYTES)
    return key


def host_bucket(host: str, domains: Sequence[str]) -> str:
    """The bucket in front of one of our domains in a Host header, or nothing (path style)."""
    name = host.rsplit(":", 1)[0].lower() if not host.endswith("]") else host
    for domain in domains:
        if name.endswith("." + domain):
            return name[: -len(domain) - 1]
    return ""


def _after_slash(raw_path: str) -> str:
    if not raw_path.startswith("/"):
        raise InvalidURI(URI=raw_path[:256])
    return raw_path[1:]


def _decode(raw: str, *, plus: bool = False) -> str:
    """Undo percent-encoding, once. Raises InvalidURI for what is no UTF-8, and for NUL."""
    if plus and "+" in raw:
        raw = raw.replace("+", " ")
    if "%" not in raw and raw.isascii():
        text = raw
    else:
        try:
            text = unquote_to_bytes(raw.encode("latin-1")).decode()
        except UnicodeError:
            raise InvalidURI(URI=raw[:256]) from None
    if "\0" in text:
        raise InvalidURI(URI=raw[:256])
    return text
