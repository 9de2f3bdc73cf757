"""Requests written by hand: raw sockets and an independent signer, for what no client library would send."""

import base64
import hashlib
import hmac
import http.client
import socket
import ssl
import urllib.parse
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree import ElementTree as ET

EMPTY = hashlib.sha256(b"").hexdigest()
UNSIGNED = "UNSIGNED-PAYLOAD"
SIGNED_CHUNKS = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
SIGNED_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
XML_NAMESPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"


def sha256(data: bytes) -> str:
    """Hexadecimal SHA-256."""
    return hashlib.sha256(data).hexdigest()


def _mac(key: bytes, message: str) -> bytes:
    return hmac.new(key, message.encode(), hashlib.sha256).digest()


def _encode(text: str) -> str:
    return urllib.parse.quote(text, safe="-_.~")


def _canonical_query(query: str) -> str:
    pairs = urllib.parse.parse_qsl(query, keep_blank_values=True)
    return "&".join(f"{name}={value}" for name, value in sorted((_encode(n), _encode(v)) for n, v in pairs))


@dataclass(frozen=True)
class Signer:
    """Signature V4, from AWS's description, over the path exactly as it is sent.

    `skew` shifts the clock; `region` and `service` go into the scope.
    """

    key: str
    secret: str
    region: str = "us-east-1"
    service: str = "s3"
    skew: timedelta = timedelta()

    def now(self) -> str:
        """The time of a request, as in `x-amz-date`."""
        return (datetime.now(UTC) + self.skew).strftime("%Y%m%dT%H%M%SZ")

    def scope(self, when: str) -> str:
        """The credential scope."""
        return f"{when[:8]}/{self.region}/{self.service}/aws4_request"

    def signing_key(self, when: str) -> bytes:
        """The key of the day."""
        day = _mac(f"AWS4{self.secret}".encode(), when[:8])
        return _mac(_mac(_mac(day, self.region), self.service), "aws4_request")

    def signature(self, when: str, canonical: str) -> str:
        """Signature of a canonical request."""
        text = f"AWS4-HMAC-SHA256\n{when}\n{self.scope(when)}\n{sha256(canonical.encode())}"
        return _mac(self.signing_key(when), text).hex()

    def _canonical(
        self, method: str, target: str, query: str, headers: Mapping[str, str], payload: str
    ) -> str:
        path = target.partition("?")[0]
        lines = "".join(f"{name}:{' '.join(headers[name].split())}\n" for name in sorted(headers))
        return f"{method}\n{path}\n{_canonical_query(query)}\n{lines}\n{';'.join(sorted(headers))}\n{payload}"

    def headers(
        self,
        method: str,
        target: str,
        host: str,
        payload: str = UNSIGNED,
        extra: Mapping[str, str] | None = None,
    ) -> dict[str, str]:
        """All headers of a signed request; `extra` ones are signed too."""
        when = self.now()
        signed = {"host": host, "x-amz-date": when, "x-amz-content-sha256": payload}
        signed |= {name.lower(): value for name, value in (extra or {}).items()}
        query = target.partition("?")[2]
        signature = self.signature(when, self._canonical(method, target, query, signed, payload))
        authorization = (
            f"AWS4-HMAC-SHA256 Credential={self.key}/{self.scope(when)}, "
            f"SignedHeaders={';'.join(sorted(signed))}, Signature={signature}"
        )
        return signed | {"authorization": authorization}

    def presign(self, method: str, target: str, host: str, expires: int | str = 300) -> str:
        """The target with a signature in its query."""
        when = self.now()
        path, _, query = target.partition("?")
        added = {
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Credential": f"{self.key}/{self.scope(when)}",
            "X-Amz-Date": when,
            "X-Amz-Expires": str(expires),
            "X-Amz-SignedHeaders": "host",
        }
        query = "&".join(filter(None, [query, urllib.parse.urlencode(added)]))
        canonical = self._canonical(method, path, query, {"host": host}, UNSIGNED)
        return f"{path}?{query}&X-Amz-Signature={self.signature(when, canonical)}"

    def chunks(self, headers: Mapping[str, str], pieces: Iterable[bytes], trailer: str = "") -> bytes:
        """An aws-chunked body whose chunks are signed in a chain that begins with the request's own signature."""
        when, previous = headers["x-amz-date"], headers["authorization"].rpartition("=")[2]
        key, frames = self.signing_key(when), []
        for piece in (*pieces, b""):
            text = (
                f"AWS4-HMAC-SHA256-PAYLOAD\n{when}\n{self.scope(when)}\n{previous}\n{EMPTY}\n{sha256(piece)}"
            )
            previous = _mac(key, text).hex()
            frames.append(
                f"{len(piece):x};chunk-signature={previous}\r\n".encode() + piece + b"\r\n" * bool(piece)
            )
        if trailer:
            digest = sha256(f"{trailer}\n".encode())
            text = f"AWS4-HMAC-SHA256-TRAILER\n{when}\n{self.scope(when)}\n{previous}\n{digest}"
            frames.append(f"{trailer}\r\nx-amz-trailer-signature:{_mac(key, text).hex()}\r\n".encode())
        return b"".join(frames) + b"\r\n"

    def v2(
        self, method: str, target: str, when: str = "", headers: Mapping[str, str] | None = None
    ) -> dict[str, str]:
        """Headers of a request signed by V2 (no subresources)."""
        date = when or datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
        given = {name.lower(): value for name, value in (headers or {}).items()}
        amz = "".join(f"{name}:{given[name]}\n" for name in sorted(given) if name.startswith("x-amz-"))
        kind, md5 = given.get("content-type", ""), given.get("content-md5", "")
        text = f"{method}\n{md5}\n{kind}\n{date}\n{amz}{target.partition('?')[0]}"
        return given | {"date": date, "authorization": f"AWS {self.key}:{v2_signature(self.secret, text)}"}


def v2_signature(secret: str, text: str) -> str:
    """Base64 of the HMAC-SHA1 of V2."""
    return base64.b64encode(hmac.new(secret.encode(), text.encode(), hashlib.sha1).digest()).decode()


@dataclass
class Answer:
    """What came back: `status` 0 means that the connection was closed without an answer."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    raw: bytes = b""

    @property
    def code(self) -> str:
        """The `<Code>` of an error document, empty without one."""
        with suppress(ET.ParseError):
            return ET.fromstring(self.body).findtext("Code") or ""
        return ""

    def refused(self) -> bool:
        """Whether this is a clear client error."""
        return 400 <= self.status < 500


def connect(port: int, timeout: float = 20.0) -> socket.socket:
    """A connection to the gateway."""
    return socket.create_connection(("127.0.0.1", port), timeout)


def read_answer(connection: socket.socket | ssl.SSLSocket, method: str = "GET") -> Answer:
    """The next final answer of a connection (interim ones are skipped)."""
    reply = http.client.HTTPResponse(connection, method=method)  # type: ignore[arg-type]
    try:
        reply.begin()
        body = reply.read()
    except (http.client.HTTPException, ConnectionError):
        return Answer(0)
    finally:
        reply.close()
    return Answer(reply.status, {name.lower(): value for name, value in reply.getheaders()}, body)


class Pipelined:
    """A connection whose answers are read one after the other, `read_answer(Pipelined(connection))`, losing nothing."""

    def __init__(self, connection: socket.socket) -> None:
        self._file = connection.makefile("rb")

    def makefile(self, *_: Any) -> "Pipelined":
        """What http.client asks a socket for."""
        return self

    def close(self) -> None:
        """Leave the file open: the next answer is in its buffer."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def read_all(connection: socket.socket) -> bytes:
    """Everything until the other side closes (or resets)."""
    received = bytearray()
    with suppress(ConnectionError):
        while piece := connection.recv(65536):
            received += piece
    return bytes(received)


def request_bytes(method: str, target: str, headers: Mapping[str, str], body: bytes = b"") -> bytes:
    """A request as it goes over the wire; nothing is added or corrected."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + body


def exchange(port: int, data: bytes, method: str = "GET", timeout: float = 20.0) -> Answer:
    """Send bytes on a new connection and read one answer."""
    with connect(port, timeout) as connection:
        with suppress(ConnectionError):
            connection.sendall(data)
        return read_answer(connection, method)


def send(
    port: int,
    method: str,
    target: str,
    *,
    signer: Signer | None = None,
    body: bytes = b"",
    payload: str | None = None,
    signed: Mapping[str, str] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Answer:
    """One request, signed with `signer` (nothing = anonymous); `signed` headers are signed, `extra` ones are not."""
    host = f"127.0.0.1:{port}"
    headers = {"host": host}
    if signer:
        digest = sha256(body) if payload is None else payload
        headers = signer.headers(method, target, host, digest, signed)
    if (body or method in {"PUT", "POST"}) and "content-length" not in headers:
        headers["content-length"] = str(len(body))
    return exchange(port, request_bytes(method, target, headers | dict(extra or {}), body), method)
