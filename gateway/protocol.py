"""HTTP/1.1 for S3 on uvicorn's httptools protocol: limits, refusals, time-outs, drain, and files sent as files.

Uvicorn parses and pipelines; what it lacks for a public S3 endpoint is overridden here. The surface that this relies
on is listed in `tests/faults/test_protocol.py`, which fails by name when uvicorn changes it.

The life of a connection: idle → head (from the first byte to the empty line) → busy (a `Cycle` runs) → idle or
lingering (answered before the client finished: what still comes is discarded for a moment, so that the client reads
the answer and not a reset) → closed. `sweep`, called about once a second by the worker, is the only clock.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any, cast
from urllib.parse import unquote

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from gateway.cycle import Cycle
from gateway.direct import DirectSocket
from gateway.errors import BadRequest, RequestHeaderSectionTooLarge, RequestTimeout, S3Error, SlowDown
from gateway.reply import HOST_ID, new_request_id, render_error
from gateway.request import TLS, Scope

LINGER_BYTES = 1024 * 1024
"""How much of an unwanted body is read and thrown away before the connection is closed."""
LINGER_SECONDS = 1.0
HIGH_WATER_BYTES = 256 * 1024
"""Reading pauses when so much of a body waits for the application."""
ZEROCOPY = "http.response.zerocopysend"
_MAX_URL_BYTES = 16384
_UPGRADE_HEADERS = frozenset({b"connection", b"upgrade", b"http2-settings"})

App = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a connection may do. Times are seconds; `max_connections` is per worker.

    `idle_timeout`: silence between requests. `header_timeout`: from the first byte of a head (or from the connection)
    to its end. `body_timeout`: no byte of a body that is waited for, or none of an answer taken.
    """

    idle_timeout: float = 120.0
    header_timeout: float = 30.0
    body_timeout: float = 60.0
    max_connections: int = 4096
    max_header_bytes: int = 32768
    max_header_count: int = 200

    @property
    def sweep_seconds(self) -> float:
        """How often to look: time-outs are late by no more than a quarter, or a second."""
        return min(1.0, self.idle_timeout / 4, self.header_timeout / 4, self.body_timeout / 4)


class WorkerState(ServerState):
    """What the connections of one worker share. `closed` is called for every connection that ended."""

    def __init__(self, limits: Limits, closed: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self.limits = limits
        self.closed = closed
        self.draining = False
        self.was_cut = False
        self._tick()

    def _tick(self) -> None:
        self.now = time.monotonic()
        self.date_line = b"date: %s\r\n" % formatdate(usegmt=True).encode()

    @property
    def busy(self) -> bool:
        """Whether connections or requests are left."""
        return bool(self.connections or self.tasks)

    def sweep(self) -> None:
        """Look after every connection's time-outs."""
        self._tick()
        for connection in self._all():
            connection.sweep(self.now)

    def shutdown(self) -> None:
        """Close idle connections, the others after their answer."""
        self.draining = True
        for connection in self._all():
            connection.shutdown()

    def cut(self) -> None:
        """Drop every connection at once."""
        self.was_cut = True
        for connection in self._all():
            connection.transport.abort()

    def _all(self) -> "list[S3Protocol]":
        return cast("list[S3Protocol]", list(self.connections))


class S3Protocol(HttpToolsProtocol):
    """One connection."""

    cycle: Cycle  # type: ignore[assignment]

    def __init__(
        self, config: Config, state: WorkerState, app_state: dict[str, Any], loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__(config, state, app_state, loop)
        self.state = state
        self.limits = state.limits
        self.since = state.now
        """When something last moved: a byte came or went, an answer ended."""
        self.direct: DirectSocket | None = None
        self._running: Cycle | None = None
        self._head_since: float | None = None
        self._head_bytes = self._fed_bytes = 0
        self._served = False
        self._refusal: S3Error | None = None
        self._lingering = False
        self._discarded = 0
        self._unsent = 0
        self._patience = state.limits.body_timeout
        self._extensions: dict[str, Any] = {}

    # The transport's side

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, or answer 503 at once when there are too many."""
        super().connection_made(transport)
        if self.scheme == "http":
            self._extensions[ZEROCOPY] = {}
        else:
            self._extensions[TLS] = transport.get_extra_info("cipher")
        if len(self.connections) > self.limits.max_connections:
            self._refuse(SlowDown())

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the application, free the descriptor."""
        super().connection_lost(exc)
        if self._running is not None and not self._running.response_complete:
            self._running.disconnect()  # uvicorn tells the newest request only
        if self.direct is not None:
            self.direct.close()
        self.pipeline.clear()
        self.state.closed()

    def eof_received(self) -> bool:  # type: ignore[override]
        """A client that sent all and closed its half still gets its answer."""
        if not self._busy or self.cycle.more_body or self.scheme != "http":
            return False
        self.cycle.keep_alive = False
        return True

    def data_received(self, data: bytes) -> None:
        """Parse; an error of the parser or of our own checks becomes a refusal."""
        if self._lingering:
            self._discard(len(data))
            return
        if self._refusal is not None:
            return
        self.since = self.state.now
        begun = self._head_since
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            self._parse_again(data[offer.args[0] :])
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._refuse(cause if isinstance(cause, S3Error) else BadRequest())
        else:
            if begun is not None and begun is self._head_since:
                self._count_head(len(data))

    def _count_head(self, count: int) -> None:
        """Bound a single header that never ends: the parser keeps it to itself until then."""
        self._fed_bytes += count
        if self._fed_bytes > 2 * (self.limits.max_header_bytes + _MAX_URL_BYTES):
            self._refuse(self._header_too_large())

    def _parse_again(self, rest: bytes) -> None:
        """Parse the request without its offer to upgrade, which a server may ignore (RFC 9110 7.8).

        The parser takes an offer for the end of HTTP, and would lose the body: Java's client offers h2c on uploads.
        """
        version = self.parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)]
        lines += [b"%b: %b" % header for header in self.headers if header[0] not in _UPGRADE_HEADERS]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.data_received(b"\r\n".join([*lines, b"", rest]))

    # The parser's side

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        self._head_since = time.monotonic()
        self._head_bytes = self._fed_bytes = 0
        self.scope["asgi"]["spec_version"] = "2.4"
        self.scope["extensions"] = self._extensions

    def on_url(self, url: bytes) -> None:
        """A piece of the request target."""
        self.url += url
        if len(self.url) > _MAX_URL_BYTES:
            raise BadRequest("The request target is too long.")

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; the limits hold while they arrive. The request target has its own."""
        super().on_header(name, value)
        self._head_bytes += len(name) + len(value) + 4
        if (
            self._head_bytes > self.limits.max_header_bytes
            or len(self.headers) > self.limits.max_header_count
        ):
            raise self._header_too_large()

    def _header_too_large(self) -> S3Error:
        return RequestHeaderSectionTooLarge(MaxSizeAllowed=self.limits.max_header_bytes)

    def on_headers_complete(self) -> None:
        """Check the head, and start (or queue) the application on it."""
        self._head_since = None
        version = self.parser.get_http_version()
        scope = cast("Scope", self.scope)
        path, query = self._check_head(version)
        if self.parser.should_upgrade():
            return
        scope["method"] = self.parser.get_method().decode("ascii")
        scope["http_version"] = version
        scope["raw_path"] = path
        text = path.decode("ascii")
        scope["path"] = unquote(text) if "%" in text else text
        scope["query_string"] = query
        before = self.cycle
        keep_alive = version == "1.1" and self.parser.should_keep_alive() and not self.state.draining
        self.cycle = Cycle(self, scope, keep_alive, self.expect_100_continue and version == "1.1")
        if before is None or before.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))  # type: ignore[arg-type]

    def _check_head(self, version: str) -> tuple[bytes, bytes]:
        """The raw path and query. Raises BadRequest for what RFC 9112 or S3 forbids and the parser lets pass."""
        hosts = 0
        length = coding = False
        for name, _value in self.headers:
            hosts += name == b"host"
            length |= name == b"content-length"
            coding |= name == b"transfer-encoding"
        if version not in {"1.0", "1.1"} or self.parser.get_method() == b"CONNECT":
            raise BadRequest("This version or method of HTTP is not supported.")
        if hosts != 1 and (hosts or version == "1.1"):
            raise BadRequest("A request must have one Host header.")
        if coding and (length or version == "1.0"):
            raise BadRequest("Transfer-Encoding cannot stand here.")
        path, query = _split_target(self.url)
        if not path.startswith(b"/") or b"%00" in path:
            raise BadRequest("The request target is not a path.")
        return path, query

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        cycle = self.cycle
        if not cycle.response_complete:
            cycle.feed(body)
            if cycle.held > HIGH_WATER_BYTES:
                self.flow.pause_reading()

    def on_message_complete(self) -> None:
        """The body is whole."""
        if self.parser.should_upgrade():
            return
        self.cycle.end_body()

    # The application's side

    def _start_asgi_task(self, cycle: Cycle, app: App) -> None:  # type: ignore[override]
        self._running = cycle
        task = self.loop.create_task(cycle.run_asgi(app))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def on_response_complete(self) -> None:
        """The answer of the oldest request is written: go on with the next one."""
        self.server_state.total_requests += 1
        self.since = self.state.now
        self._served = True
        if self._lingering or self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cast("Cycle", cycle), app)
        elif self._refusal is not None:
            self._answer(self._refusal)
        elif self.state.draining:
            self._close_idle()

    def finish(self, cycle: Cycle) -> None:
        """The last answer of this connection is written: close, with patience if the client is still sending."""
        if cycle.more_body and not cycle.disconnected:
            self._linger()
        else:
            self.transport.close()

    def direct_socket(self) -> DirectSocket:
        """The connection's socket, to be used past the transport."""
        if self.direct is None:
            self.direct = DirectSocket(self.transport, self.loop, self._moved)
        return self.direct

    def _moved(self) -> None:
        self.since = self.state.now

    def shutdown(self) -> None:
        """Drain: an idle connection closes now, a busy one after its answer."""
        if self._busy:
            self.cycle.keep_alive = False
        elif self._head_since is None and not self._lingering:
            self._close_idle()

    def _close_idle(self) -> None:
        """Close a connection that owes nothing; under TLS the client's own goodbye is waited for, briefly."""
        self.since = self.state.now
        self._patience = LINGER_SECONDS
        self.transport.close()

    @property
    def _busy(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    # Refusing

    def _refuse(self, error: S3Error) -> None:
        """Answer an error of the protocol when its turn has come; nothing is parsed any more."""
        self._refusal = error
        if self._busy and self.cycle.more_body:  # the error lies in this request's body
            if self.pipeline and self.pipeline[0][0] is cast("Any", self.cycle):
                self.pipeline.popleft()
            else:
                self._abandon(error)
            return
        if self._busy:
            self.flow.pause_reading()
        else:
            self._answer(error)

    def _abandon(self, error: S3Error) -> None:
        """The running application sees a disconnect; the client gets the error, unless an answer is on its way."""
        cycle = self.cycle
        cycle.disconnect()
        if cycle.head_sent:
            self.transport.abort()
        else:
            self._answer(error)

    def _answer(self, error: S3Error) -> None:
        request_id = new_request_id()
        reply = render_error(error, self._resource(), request_id)
        body = cast("bytes", reply.body)
        head = (
            b"content-type: application/xml\r\nx-amz-request-id: %s\r\nx-amz-id-2: %s\r\ncontent-length: %d\r\n"
            b"connection: close\r\n\r\n" % (request_id.encode(), HOST_ID.encode(), len(body))
        )
        self.transport.write(STATUS_LINE[error.status] + self.state.date_line + head + body)
        self._linger()

    def _resource(self) -> str:
        url: bytes = getattr(self, "url", b"")
        return url[:1024].partition(b"?")[0].decode("latin-1")

    def _linger(self) -> None:
        self._lingering = True
        self.since = self.state.now
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def _discard(self, count: int) -> None:
        self._discarded += count
        if self._discarded > LINGER_BYTES:
            self.transport.close()

    # The clock

    def sweep(self, now: float) -> None:
        """End what has taken too long."""
        unsent = self.transport.get_write_buffer_size()
        if unsent != self._unsent:  # something was written, or taken
            self._unsent = unsent
            self.since = now
        waited = now - self.since
        if self._lingering:
            self._sweep_lingering(waited)
        elif self.transport.is_closing() or unsent or (self.direct is not None and self.direct.sending):
            if waited > self._patience:  # the client does not read
                self.transport.abort()
        elif self._busy:
            if self.cycle.receiving and waited > self.limits.body_timeout:
                self._refuse(RequestTimeout())
        elif self._head_since is not None:
            if now - self._head_since > self.limits.header_timeout:
                self._refuse(RequestTimeout())
        elif waited > (self.limits.idle_timeout if self._served else self.limits.header_timeout):
            self._close_idle()

    def _sweep_lingering(self, waited: float) -> None:
        if self.transport.is_closing() or waited > self.limits.body_timeout:
            self.transport.abort()
        elif waited >= LINGER_SECONDS and not self._unsent:
            self.transport.close()


def _split_target(url: bytes) -> tuple[bytes, bytes]:
    """Path and query of a request target; of the absolute form, too (RFC 9112 3.2.2)."""
    if not url.startswith(b"/"):
        parsed = httptools.parse_url(url)
        return parsed.path or b"", parsed.query or b""
    if b"#" in url:
        raise BadRequest("The request target has a fragment.")
    path, _, query = url.partition(b"?")
    return path, query
