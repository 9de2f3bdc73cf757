"""One worker: an event loop (uvloop), the connections of one process, its certificate, and the end of it all.

A worker gets its connections either from a listening socket of its own (a single worker) or from the launcher
(`gateway.serve`), which accepts and deals them over a Unix socket.
"""

import asyncio
import contextlib
import logging
import mmap
import os
import pickle
import resource
import signal
import socket
import ssl
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import uvloop
from uvicorn.config import Config

from gateway.lifespan import Lifespan, StartFailed
from gateway.protocol import Limits, S3Protocol, WorkerState

log = logging.getLogger("gateway.serve")

App = Callable[..., Any]
Factory = Callable[[], App]

CONNECTION = b"C"
"""A message of the launcher: a connection, its socket in the ancillary data."""
DRAIN = b"D"
RELOAD = b"H"
READY = b"R"
"""A message of a worker: it serves."""
FAILED = b"F"
"""A message of a worker: it cannot start; the reason follows."""

_BACKLOG = 2048
_ACCEPTS_PER_EVENT = 64
_SETTLE_SECONDS = 0.05
_LIFESPAN_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """How to serve. Times are seconds, sizes bytes; `max_connections` is per worker; `workers` 0 = one per CPU.

    `on_ready` is called in the calling process with the port, once all workers serve.
    `idle_timeout` is longer than that of nginx and HAProxy, so that they never reuse a connection that is closing.
    """

    host: str = "0.0.0.0"
    port: int = 9900
    workers: int = 0
    tls_certificate: str = ""
    tls_key: str = ""
    shutdown_timeout: float = 30.0
    idle_timeout: float = 120.0
    header_timeout: float = 30.0
    body_timeout: float = 60.0
    max_connections: int = 4096
    max_header_bytes: int = 32768
    max_header_count: int = 200
    on_ready: Callable[[int], None] | None = None

    @property
    def scheme(self) -> str:
        """`https` with a certificate."""
        return "https" if self.tls_certificate else "http"

    @property
    def worker_count(self) -> int:
        """Processes to run."""
        return self.workers or len(os.sched_getaffinity(0))

    @property
    def limits(self) -> Limits:
        """What a connection may do."""
        return Limits(
            idle_timeout=self.idle_timeout,
            header_timeout=self.header_timeout,
            body_timeout=self.body_timeout,
            max_connections=self.max_connections,
            max_header_bytes=self.max_header_bytes,
            max_header_count=self.max_header_count,
        )


class Certificate:
    """The TLS context of new connections, made again when the files change; `context` None = plain HTTP."""

    def __init__(self, options: ServeOptions) -> None:
        self._certificate, self._key = options.tls_certificate, options.tls_key
        self.context: ssl.SSLContext | None = None
        self._loaded = self._seen = self._stamp()
        if self._certificate:
            self.context = self._load()

    def _stamp(self) -> tuple[int, ...]:
        paths = filter(None, (self._certificate, self._key))
        try:
            return tuple(os.stat(path).st_mtime_ns for path in paths)
        except FileNotFoundError:  # a rotation in progress
            return ()

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self._certificate, self._key or None)
        return context

    def poll(self) -> None:
        """Reload when the files changed and have not changed since the last look (both are written)."""
        if self.context is None:
            return
        before, self._seen = self._seen, self._stamp()
        if self._seen not in (self._loaded, ()) and self._seen == before:
            self.reload()

    def reload(self) -> None:
        """Load the files again; a broken pair is logged, and the old one stays."""
        if self.context is None:
            return
        self._loaded = self._stamp()
        try:
            self.context = self._load()
        except (OSError, ValueError) as error:
            log.error("TLS certificate %s not loaded, the old one stays: %s", self._certificate, error)
        else:
            log.info("TLS certificate %s loaded again", self._certificate)


class Worker:
    """Serves connections until it is told to drain. `slot` counts closed connections for the launcher to see."""

    def __init__(
        self, app: App, options: ServeOptions, source: socket.socket, slot: "memoryview | None" = None
    ) -> None:
        self._options = options
        self._source = source
        self._slot = slot
        self._certificate = Certificate(options)
        self._lifespan = Lifespan(app)
        self._state = WorkerState(options.limits, self._count_closed)
        self._config = _configuration(app)
        self._stop: asyncio.Future[bool]
        self._handshakes: set[asyncio.Task[None]] = set()

    async def run(self, ready: Callable[[], None], *, dealt: bool) -> int:
        """Serve; 0 after everything finished, 1 if something had to be cut. Raises StartFailed."""
        self._loop = asyncio.get_running_loop()
        self._stop = self._loop.create_future()
        await self._lifespan.startup()
        self._source.setblocking(False)
        self._loop.add_reader(self._source.fileno(), self._on_channel if dealt else self._on_listener)
        if not dealt:
            self._handle_signals()
        sweeper = self._loop.create_task(self._sweep())
        ready()
        graceful = await self._stop
        finished = await self._drain(graceful, dealt=dealt)
        sweeper.cancel()
        await self._lifespan.shutdown(_LIFESPAN_SECONDS)
        return 0 if finished else 1

    def stop(self, graceful: bool = True) -> None:
        """Begin to drain; a second time, or not `graceful`: end at once."""
        if not self._stop.done():
            self._stop.set_result(graceful)
        elif self._state.draining:
            self._state.cut()

    def _handle_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self.stop)
        self._loop.add_signal_handler(signal.SIGHUP, self._certificate.reload)

    def _on_listener(self) -> None:
        for _ in range(_ACCEPTS_PER_EVENT):
            try:
                connection, _address = self._source.accept()
            except OSError:  # nothing left, a client that is gone already, or no descriptor free
                return
            self._adopt(connection)

    def _on_channel(self) -> None:
        for _ in range(_ACCEPTS_PER_EVENT):
            try:
                message, found, _flags, _address = socket.recv_fds(
                    self._source, 1, 1, socket.MSG_CMSG_CLOEXEC
                )
            except BlockingIOError:
                return
            if message == CONNECTION and found:
                self._adopt(socket.socket(fileno=found[0]))
            elif message == RELOAD:
                self._certificate.reload()
            else:  # the launcher drains; or is gone: nobody would ever stop this process
                self._loop.remove_reader(self._source.fileno())
                self.stop(graceful=message == DRAIN)
                return

    def _adopt(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        task = self._loop.create_task(self._connect(connection))
        self._handshakes.add(task)
        task.add_done_callback(self._handshakes.discard)

    async def _connect(self, connection: socket.socket) -> None:
        context = self._certificate.context
        limits: dict[str, float] = {}
        if context is not None:
            limits = {
                "ssl_handshake_timeout": self._options.header_timeout,
                "ssl_shutdown_timeout": self._options.body_timeout,
            }
        try:
            await self._loop.connect_accepted_socket(self._protocol, connection, ssl=context, **limits)
        except (OSError, asyncio.CancelledError) as error:
            log.debug("connection refused: %s", error)
            connection.close()
            self._count_closed()

    def _protocol(self) -> S3Protocol:
        return S3Protocol(self._config, self._state, self._lifespan.state, self._loop)

    def _count_closed(self) -> None:
        if self._slot is not None:
            self._slot[0] += 1

    async def _sweep(self) -> None:
        interval = self._options.limits.sweep_seconds
        while True:
            await asyncio.sleep(interval)
            self._state.sweep()
            self._certificate.poll()

    async def _drain(self, graceful: bool, *, dealt: bool) -> bool:
        """Whether everything finished by itself within `shutdown_timeout`."""
        self._state.draining = True
        if not dealt:
            self._loop.remove_reader(self._source.fileno())
            self._on_listener()  # who is in the queue already was not refused
            self._source.close()  # a channel stays open: its end tells the launcher that this process ended
        try:
            async with asyncio.timeout(self._options.shutdown_timeout if graceful else 0):
                await asyncio.sleep(_SETTLE_SECONDS)  # requests that have arrived already are read first
                self._state.shutdown()
                while self._state.busy or self._handshakes:  # noqa: ASYNC110 - seldom, and short
                    await asyncio.sleep(_SETTLE_SECONDS)
        except TimeoutError:
            count = len(self._state.connections)
            log.warning("the time to finish is over: %d connections are cut", count)
            await self._cut()
        return not self._state.was_cut

    async def _cut(self) -> None:
        tasks = [*self._state.tasks, *self._handshakes]
        self._state.cut()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_LIFESPAN_SECONDS)


def _configuration(app: App) -> Config:
    config = Config(
        app,
        interface="asgi3",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
    )
    config.load()
    return config


def raise_file_limit() -> None:
    """Let the process open as many files as the system allows it to (`ulimit -n`)."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def serve_alone(
    make_app: Factory, options: ServeOptions, listener: socket.socket, ready: Callable[[], None]
) -> int:
    """Serve in this process. Raises StartFailed."""
    raise_file_limit()
    return _run(make_app, options, listener, ready, dealt=False)


def _run(
    make_app: Factory,
    options: ServeOptions,
    source: socket.socket,
    ready: Callable[[], None],
    *,
    dealt: bool,
    slot: "memoryview | None" = None,
) -> int:
    try:
        worker = Worker(make_app(), options, source, slot)
    except Exception as error:
        log.debug("the application cannot be made", exc_info=True)
        raise StartFailed(f"{type(error).__name__}: {error}") from error
    return uvloop.run(worker.run(ready, dealt=dealt))


def main() -> None:
    """The entry of a worker process: arguments are the channel's descriptor, that of the counters, and the slot."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the launcher gets them too, and says what to do
    channel_fd, counters_fd, slot = map(int, sys.argv[1:])
    channel = socket.socket(fileno=channel_fd)
    counters = mmap.mmap(counters_fd, 0)
    os.close(counters_fd)
    make_app, options = pickle.loads(channel.recv(1 << 20))  # noqa: S301 - our own launcher wrote it
    cell = memoryview(counters).cast("Q")[slot : slot + 1]
    try:
        code = _run(make_app, options, channel, lambda: _tell(channel, READY), dealt=True, slot=cell)
    except StartFailed as error:
        _tell(channel, FAILED + str(error).encode()[:60000])
        code = 1
    sys.exit(code)


def _tell(channel: socket.socket, message: bytes) -> None:
    with contextlib.suppress(OSError):  # the launcher is gone; the end of its channel says so
        channel.send(message)
