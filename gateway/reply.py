"""Answers: the value a handler returns, the only place that renders an error, and the only place that sends.

A file is sent as a file where the server can (`http.response.zerocopysend`), inline when it is small and in the
page cache, and through a thread otherwise. After the first byte an error cuts the connection; it never adds XML.
"""

import asyncio
import itertools
import os
import secrets
from base64 import b64encode
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from backends.base import Body, Content, FileBody, FileSpan
from gateway import xml
from gateway.errors import S3Error
from gateway.request import Scope, Send

XML_TYPE = "application/xml"
_INLINE_BYTES = 128 * 1024
_ZEROCOPY = "http.response.zerocopysend"

_PROCESS = secrets.token_hex(4).upper()
_COUNTER = itertools.count(1)
HOST_ID = b64encode(secrets.token_bytes(24)).decode()
"""`x-amz-id-2`: names the process that answered."""


def new_request_id() -> str:
    """A request id: unique, 16 characters as on AWS."""
    return f"{_PROCESS}{next(_COUNTER) & 0xFFFFFFFF:08X}"


@dataclass(slots=True)
class Reply:
    """Status, headers (lower-case names, latin-1 values), body. `content` is closed after the body was sent."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: Body = b""
    length: int | None = None
    """Length of a body that is not bytes; the Content-Length of a HEAD."""
    content: Content | None = None


def document(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Reply:
    """An XML document."""
    return Reply(status, {"content-type": XML_TYPE, **(headers or {})}, body)


def render_error(error: S3Error, resource: str, request_id: str) -> Reply:
    """The `<Error>` document. 304 has none."""
    if error.status == 304:
        return Reply(304, error.headers)
    fields = {
        "Code": error.code,
        "Message": error.message,
        **error.fields,
        "Resource": resource,
        "RequestId": request_id,
        "HostId": HOST_ID,
    }
    inner = "".join(f"<{name}>{xml.escape(value)}</{name}>" for name, value in fields.items())
    return document(f"{xml.XML_DECLARATION}<Error>{inner}</Error>".encode(), error.status, error.headers)


async def send_reply(
    reply: Reply, request_id: str, scope: Scope, send: Send, chunk: int = 1024 * 1024
) -> None:
    """Send it, and free what it holds, whatever happens. Files are read `chunk` bytes at a time where read."""
    try:
        await _send(reply, request_id, scope, send, chunk)
    finally:
        if reply.content is not None:
            reply.content.close()


async def _send(reply: Reply, request_id: str, scope: Scope, send: Send, chunk: int) -> None:
    body = reply.body
    head = scope["method"] == "HEAD"
    length = len(body) if isinstance(body, bytes) and reply.length is None else reply.length
    headers = [(name.encode(), value.encode("latin-1")) for name, value in reply.headers.items()]
    headers.append((b"x-amz-request-id", request_id.encode()))
    headers.append((b"x-amz-id-2", HOST_ID.encode()))
    if length is not None and reply.status not in (204, 304):
        headers.append((b"content-length", b"%d" % length))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    if isinstance(body, bytes) or head:
        await send({"type": "http.response.body", "body": b"" if head else body, "more_body": False})
    elif isinstance(body, AsyncIterator):
        await _send_stream(body, send)
    elif _ZEROCOPY in scope.get("extensions", ()):
        await _send_files(body, reply.length or 0, send)
    else:
        await _send_read(body, send, chunk)


async def _send_stream(body: AsyncIterator[bytes], send: Send) -> None:
    async for chunk in body:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _send_files(body: FileBody, length: int, send: Send) -> None:
    """Hand each file span to the server, which sends it from the file."""
    left = length
    for span in body:
        left -= span.length
        await send(
            {
                "type": _ZEROCOPY,
                "file": span.fd,
                "offset": span.offset,
                "count": span.length,
                "more_body": left > 0,
            }
        )


async def _send_read(body: FileBody, send: Send, chunk: int) -> None:
    """The fallback on any ASGI server, and under TLS: read and send in chunks."""
    for span in body:
        end = span.offset + span.length
        for offset in range(span.offset, end, chunk):
            data = await read_span(FileSpan(span.fd, offset, min(chunk, end - offset)))
            await send({"type": "http.response.body", "body": data, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def read_span(span: FileSpan) -> bytes:
    """Read a span: at once if it is small and in the page cache, else in a thread. A short file is an OSError."""
    if span.length <= _INLINE_BYTES:
        data = _read_cached(span)
        if len(data) == span.length:
            return data
    data = await asyncio.get_running_loop().run_in_executor(None, os.pread, *span_args(span))
    if len(data) != span.length:
        raise OSError(f"a body ends {span.length - len(data)} bytes early")
    return data


def span_args(span: FileSpan) -> tuple[int, int, int]:
    """A span as the arguments of `os.pread`."""
    return span.fd, span.length, span.offset


def _read_cached(span: FileSpan) -> bytes:
    """What the page cache has of a span, without ever waiting for the disk."""
    buffer = bytearray(span.length)
    try:
        count = os.preadv(span.fd, [buffer], span.offset, os.RWF_NOWAIT)
    except OSError:  # nothing cached, or a file system without RWF_NOWAIT
        return b""
    return bytes(buffer[:count])
