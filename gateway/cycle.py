"""One request and its answer: the ASGI callables `receive` and `send`."""

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from gateway.errors import InternalError
from gateway.reply import HOST_ID, new_request_id, render_error
from gateway.request import Message, Scope

if TYPE_CHECKING:
    from gateway.protocol import S3Protocol

log = logging.getLogger("gateway.serve")

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_BODYLESS = frozenset({204, 304})
_JOIN_BYTES = 65536


class Cycle:
    """Runs the application on one request.

    The attributes without underscore in the first group are what uvicorn's protocol uses. The answer's head leaves
    with the first piece of its body, in one segment; until then an error can still become a clean 500.
    """

    __slots__ = (
        "_chunked",
        "_chunks",
        "_head",
        "_left",
        "_protocol",
        "disconnected",
        "head_sent",
        "held",
        "keep_alive",
        "message_event",
        "more_body",
        "receiving",
        "response_complete",
        "response_started",
        "scope",
        "waiting_for_100_continue",
    )

    def __init__(self, protocol: "S3Protocol", scope: Scope, keep_alive: bool, expect: bool) -> None:
        self.scope = scope
        self.disconnected = False
        self.keep_alive = keep_alive
        self.response_complete = False
        self.message_event = asyncio.Event()
        self.more_body = True
        """The client has not sent all of the request's body."""
        self.waiting_for_100_continue = expect
        self.response_started = False
        self.head_sent = False
        self.receiving = False
        """The application waits for a piece of the body."""
        self.held = 0
        """Bytes received that the application has not taken."""
        self._protocol = protocol
        self._chunks: list[bytes] = []
        self._head = b""
        self._chunked = False
        self._left = 0

    # What arrives

    def feed(self, body: bytes) -> None:
        """A piece of the body has arrived."""
        self._chunks.append(body)
        self.held += len(body)
        self.message_event.set()

    def end_body(self) -> None:
        """All of the body has arrived."""
        self.more_body = False
        self.message_event.set()

    def disconnect(self) -> None:
        """The application has nobody to talk to any more."""
        self.disconnected = True
        self.message_event.set()

    async def receive(self) -> Message:
        """ASGI: the next piece of the body, or the end of the connection. The first call sends 100 Continue."""
        protocol = self._protocol
        if self.waiting_for_100_continue and not protocol.transport.is_closing():
            protocol.transport.write(_CONTINUE)
            self.waiting_for_100_continue = False
        if not self.disconnected and not self.response_complete:
            if not self.message_event.is_set():
                await self._arrival()
            self.message_event.clear()
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": self._take(), "more_body": self.more_body}

    async def _arrival(self) -> None:
        protocol = self._protocol
        protocol.flow.resume_reading()
        protocol.since = protocol.state.now
        self.receiving = self.more_body
        try:
            await self.message_event.wait()
        finally:
            self.receiving = False

    def _take(self) -> bytes:
        chunks = self._chunks
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        self._chunks = []
        self.held = 0
        return body

    # What leaves

    async def send(self, message: Message) -> None:
        """ASGI: the next piece of the answer. Raises ConnectionResetError once the client is gone."""
        flow = self._protocol.flow
        if flow.write_paused and not self.disconnected:
            await flow.drain()
        if self.disconnected:
            raise ConnectionResetError("the client is gone")
        if not self.response_started:
            self._start(message)
        elif self.response_complete:
            raise RuntimeError(f"{message['type']} after the end of the answer")
        elif message["type"] == "http.response.body":
            self._write(message.get("body", b""), message.get("more_body", False))
        elif message["type"] == "http.response.zerocopysend":
            await self._send_file(message)
        else:
            raise RuntimeError(f"{message['type']} instead of a piece of the answer's body")

    def _start(self, message: Message) -> None:
        if message["type"] != "http.response.start":
            raise RuntimeError(f"{message['type']} before the start of the answer")
        status: int = message["status"]
        self.response_started = True
        self.waiting_for_100_continue = False
        if self.more_body or self._protocol.state.draining:  # nobody will read the rest of the body
            self.keep_alive = False
        parts = [STATUS_LINE[status], self._protocol.state.date_line]
        length = None
        for name, value in message.get("headers", ()):
            if name == b"content-length":
                length = int(value)
            elif name == b"connection" and b"close" in value.lower():
                self.keep_alive = False
                continue
            elif name == b"transfer-encoding":
                continue  # ours to choose
            parts += (name, b": ", value, b"\r\n")
        self._frame(status, length, parts)

    def _frame(self, status: int, length: int | None, parts: list[bytes]) -> None:
        """Choose the framing of the body, and end the head."""
        lines = 3 + (len(parts) - 2) // 4
        bodyless = status in _BODYLESS or self.scope["method"] == "HEAD"
        if length is None and not bodyless:
            if self.scope["http_version"] == "1.1":
                self._chunked = True
                lines += 1
                parts.append(b"transfer-encoding: chunked\r\n")
            else:
                self.keep_alive = False
                length = -1  # up to the end of the connection
        self._left = 0 if bodyless else length or 0
        if not self.keep_alive:
            lines += 1
            parts.append(b"connection: close\r\n")
        parts.append(b"\r\n")
        self._head = _checked(b"".join(parts), lines)

    def _write(self, body: bytes, more: bool) -> None:
        if self.scope["method"] == "HEAD":
            body = b""
        elif self._chunked:
            body = _chunk(body, more)
        else:
            self._account(len(body))
        self._put(body)
        if not more:
            self._complete()

    def _account(self, count: int) -> None:
        """Hold the answer to its Content-Length."""
        if self._left < 0:
            return
        if count > self._left:
            raise RuntimeError("the answer is longer than its Content-Length")
        self._left -= count

    def _put(self, data: bytes) -> None:
        head, self._head = self._head, b""
        write = self._protocol.transport.write
        self.head_sent = True
        if len(data) <= _JOIN_BYTES:
            if head or data:
                write(head + data if head else data)
            return
        if head:
            write(head)
        write(data)

    async def _send_file(self, message: Message) -> None:
        file, offset, count = message["file"], message.get("offset", 0), message["count"]
        if self._chunked:
            raise RuntimeError("a file needs a Content-Length")
        if self.scope["method"] != "HEAD":
            self._account(count)
            head, self._head = self._head, b""
            self.head_sent = True
            await self._past_the_transport(
                head, file if isinstance(file, int) else file.fileno(), offset, count
            )
        if not message.get("more_body", False):
            if self._head:
                self._put(b"")
            self._complete()

    async def _past_the_transport(self, head: bytes, fd: int, offset: int, count: int) -> None:
        protocol = self._protocol
        if protocol.transport.get_write_buffer_size():
            await self._emptied()
        try:
            await protocol.direct_socket().send_file(head, fd, offset, count)
        except ConnectionError:
            self.disconnect()
            protocol.transport.abort()
            raise

    async def _emptied(self) -> None:
        """Wait until the transport has nothing left to write."""
        transport, flow = self._protocol.transport, self._protocol.flow
        transport.set_write_buffer_limits(0)
        try:
            if transport.get_write_buffer_size():
                flow.pause_writing()
            await flow.drain()
        finally:
            transport.set_write_buffer_limits()
        if self.disconnected:
            raise ConnectionResetError("the client is gone")

    def _complete(self) -> None:
        if self._left > 0:
            raise RuntimeError("the answer is shorter than its Content-Length")
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self._protocol.finish(self)
        self._protocol.on_response_complete()

    # The application

    async def run_asgi(self, app: Callable[..., Any]) -> None:
        """Run it; whatever it does, the client gets an answer or a closed connection."""
        try:
            await app(self.scope, self.receive, self.send)
        except asyncio.CancelledError:
            self._protocol.transport.abort()
        except ConnectionError as error:
            if not self.disconnected:
                self._failed(error)
        except Exception as error:  # whatever an application may raise
            self._failed(error)
        else:
            if not self.response_complete and not self.disconnected:
                self._failed(RuntimeError("the application did not finish its answer"))

    def _failed(self, error: Exception) -> None:
        log.error("%s %s failed", self.scope["method"], self.scope["raw_path"], exc_info=error)
        if self.disconnected or self.response_complete:
            return
        if self.head_sent:  # nothing can be added to an answer; a cut is the only honest end
            self.disconnect()
            self._protocol.transport.abort()
            return
        request_id = new_request_id()
        reply = render_error(InternalError(), self.scope["raw_path"].decode("latin-1"), request_id)
        body = reply.body if isinstance(reply.body, bytes) else b""
        headers = [
            (b"content-type", b"application/xml"),
            (b"content-length", b"%d" % len(body)),
            (b"x-amz-request-id", request_id.encode()),
            (b"x-amz-id-2", HOST_ID.encode()),
            (b"connection", b"close"),
        ]
        self._chunked = False
        self._start({"type": "http.response.start", "status": 500, "headers": headers})
        self._write(body, more=False)


def _chunk(body: bytes, more: bool) -> bytes:
    data = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
    return data if more else data + b"0\r\n\r\n"


def _checked(head: bytes, lines: int) -> bytes:
    """The head, if no value smuggles a line break or a NUL into it (a few scans are cheaper than one per header)."""
    if not head.count(b"\r\n") == head.count(b"\n") == head.count(b"\r") == lines or b"\0" in head:
        raise RuntimeError("a header of the answer has a line break in it")
    return head
