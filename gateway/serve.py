"""The launcher: one port, several worker processes, none of them inheriting a thread or a lock.

The launcher accepts connections and deals each to the worker with the fewest open ones, by SCM_RIGHTS over a Unix
socket. Accepting from a shared socket or with SO_REUSEPORT leaves one worker idle while another is busy, because S3
clients keep few connections for long. A single worker is served in the calling process, without a hand-over.

A worker that dies is started again; one that cannot start at the beginning ends the service with its reason. Workers
end when the launcher does, because their channel ends.
"""

import contextlib
import errno
import logging
import mmap
import os
import pickle
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from types import FrameType

from gateway.lifespan import StartFailed
from gateway.worker import (
    CONNECTION,
    DRAIN,
    FAILED,
    READY,
    RELOAD,
    Factory,
    ServeOptions,
    raise_file_limit,
    serve_alone,
)

__all__ = ["ServeOptions", "StartFailed", "serve"]

log = logging.getLogger("gateway.serve")

_BACKLOG = 2048
_ACCEPTS_PER_TURN = 128
_WORKER = "from gateway.worker import main; main()"
_BACKOFF_SECONDS = (0.1, 0.5, 2.0, 5.0, 10.0)
_SOUND_SECONDS = 30.0
"""A worker that lived so long starts its backoff anew."""
_GRACE_SECONDS = 15.0
"""What workers get beyond `shutdown_timeout` to end their application before they are killed."""


def serve(make_app: Factory, options: ServeOptions) -> int:
    """Serve until SIGTERM or SIGINT; call it from the main thread.

    `make_app` makes the ASGI application of a worker and can be pickled. SIGHUP reloads the certificate; a second
    SIGTERM or SIGINT ends at once. Returns 0 when every request was finished, 1 if some had to be cut.
    Raises StartFailed when the port is taken or the application cannot start.
    """
    with _listen(options) as listener:
        port: int = listener.getsockname()[1]

        def ready() -> None:
            log.info("s3gw listening on %s", _where(options, port))
            if options.on_ready is not None:
                options.on_ready(port)

        if options.worker_count == 1:
            return serve_alone(make_app, options, listener, ready)
        return Launcher(make_app, options, listener).run(ready)


def _where(options: ServeOptions, port: int) -> str:
    host = f"[{options.host}]" if ":" in options.host else options.host or "0.0.0.0"
    count = options.worker_count
    return f"{options.scheme}://{host}:{port} with {count} worker{'s' * (count > 1)}"


def _listen(options: ServeOptions) -> socket.socket:
    host, port = options.host, options.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        shown = f"[{host}]" if ":" in host else host
        if error.errno == errno.EADDRINUSE:
            reason = f"port {port} is in use: choose another, e.g. --listen {shown}:{port + 1}"
        else:
            reason = f"cannot listen on {shown}:{port}: {os.strerror(error.errno) if error.errno else error}"
        raise StartFailed(reason) from error


@dataclass(eq=False, slots=True)
class _Worker:
    """A place for a worker process; `dealt` minus the worker's own counter are its open connections."""

    slot: int
    counter: "memoryview"
    process: "subprocess.Popen[bytes] | None" = None
    channel: socket.socket | None = None
    ready: bool = False
    dealt: int = 0
    failures: int = 0
    started: float = 0.0
    restart_at: float | None = None

    @property
    def open(self) -> int:
        """Connections it has."""
        return self.dealt - int(self.counter[0])


@dataclass(eq=False, slots=True)
class Launcher:
    """Runs the workers. All of it is one loop of `select`, one thread, and no application code."""

    make_app: Factory
    options: ServeOptions
    listener: socket.socket
    _selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    _signals: list[int] = field(default_factory=list)
    _workers: list[_Worker] = field(default_factory=list)
    _counters: mmap.mmap | None = None
    _counters_fd: int = -1
    _serving: bool = False
    _deadline: float | None = None
    _clean: bool = True
    _accepting: bool = False
    _turn: int = 0

    def run(self, ready: Callable[[], None]) -> int:
        """Serve; see `serve`."""
        raise_file_limit()
        with self._handled_signals():
            try:
                self._start_all()
                while any(worker.process for worker in self._workers) or self._deadline is None:
                    self._step()
                    if not self._serving and self._all_ready() and self._deadline is None:
                        self._serving = True
                        self._accept(True)
                        ready()
            finally:
                self._end()
        return 0 if self._clean else 1

    def _all_ready(self) -> bool:
        return all(worker.ready for worker in self._workers)

    @contextlib.contextmanager
    def _handled_signals(self) -> Iterator[None]:
        """Collect signals in a list, and wake the selector by a socket."""
        wake, woken = socket.socketpair()
        for end in (wake, woken):
            end.setblocking(False)
        self._selector.register(wake, selectors.EVENT_READ, None)

        def note(number: int, _frame: FrameType | None) -> None:
            self._signals.append(number)

        numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        before = {number: signal.signal(number, note) for number in numbers}
        old = signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(old)
            for number, handler in before.items():
                signal.signal(number, handler)
            self._selector.close()
            wake.close()
            woken.close()

    # Processes

    def _start_all(self) -> None:
        count = self.options.worker_count
        self._counters_fd = os.memfd_create("s3gw-connections")
        os.ftruncate(self._counters_fd, 8 * count)
        self._counters = mmap.mmap(self._counters_fd, 8 * count)
        cells = memoryview(self._counters).cast("Q")
        for slot in range(count):
            self._workers.append(_Worker(slot, cells[slot : slot + 1]))
        for worker in self._workers:
            self._start(worker)

    def _start(self, worker: _Worker) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        worker.counter[0] = worker.dealt = 0
        fds = (theirs.fileno(), self._counters_fd)
        command = [sys.executable, "-c", _WORKER, *map(str, fds), str(worker.slot)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        with theirs:
            worker.process = subprocess.Popen(  # noqa: S603 - ourselves
                command, pass_fds=fds, stdin=subprocess.DEVNULL, env=environment, close_fds=True
            )
        ours.send(pickle.dumps((self.make_app, replace(self.options, on_ready=None))))
        ours.setblocking(False)
        worker.channel, worker.ready, worker.restart_at = ours, False, None
        worker.started = time.monotonic()
        self._selector.register(ours, selectors.EVENT_READ, worker)

    def _hear(self, worker: _Worker) -> None:
        """Take a worker's message, or notice its end."""
        assert worker.channel is not None
        try:
            message = worker.channel.recv(65536)
        except BlockingIOError:
            return
        except ConnectionError:
            message = b""
        if message == READY:
            worker.ready = True
            self._accept(self._serving and self._deadline is None)
        elif message.startswith(FAILED):
            self._failed(worker, message[len(FAILED) :].decode(errors="replace"))
        else:
            self._ended(worker)

    def _failed(self, worker: _Worker, reason: str) -> None:
        if not self._serving and self._deadline is None:
            raise StartFailed(reason)
        log.error("worker %d cannot start: %s", worker.slot + 1, reason)

    def _ended(self, worker: _Worker) -> None:
        """The process is gone (its end of the channel is closed): start another one, later each time."""
        code = self._forget(worker)
        if self._deadline is not None:
            self._clean &= code == 0
            return
        if not self._serving:
            raise StartFailed(f"a worker process ended {_how(code)} before it was ready")
        lived = time.monotonic() - worker.started
        worker.failures = 0 if lived > _SOUND_SECONDS else worker.failures + 1
        pause = _BACKOFF_SECONDS[min(worker.failures, len(_BACKOFF_SECONDS) - 1)]
        worker.restart_at = time.monotonic() + pause
        log.warning("worker %d ended %s: starting another in %g s", worker.slot + 1, _how(code), pause)

    def _forget(self, worker: _Worker) -> int:
        assert worker.channel is not None
        assert worker.process is not None
        self._selector.unregister(worker.channel)
        worker.channel.close()
        try:
            code = worker.process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            worker.process.kill()
            code = worker.process.wait()
        worker.process = worker.channel = None
        worker.ready = False
        return code

    # One turn of the loop

    def _step(self) -> None:
        for key, _events in self._selector.select(self._pause()):
            if isinstance(key.data, _Worker):
                if key.data.channel is not None:
                    self._hear(key.data)
            elif key.fileobj is self.listener:
                self._deal_all()
            else:
                with contextlib.suppress(BlockingIOError):
                    key.fileobj.recv(4096)  # type: ignore[union-attr]
        while self._signals:
            self._obey(self._signals.pop(0))
        self._keep_time()

    def _pause(self) -> float | None:
        """How long to wait for something to happen, in seconds."""
        times = [worker.restart_at for worker in self._workers if worker.restart_at is not None]
        if self._deadline is not None:
            times.append(self._deadline)
        if not times:
            return None
        return max(0.0, min(times) - time.monotonic())

    def _keep_time(self) -> None:
        now = time.monotonic()
        if self._deadline is not None:
            if now >= self._deadline:
                self._kill("did not end in time")
            return
        for worker in self._workers:
            if worker.restart_at is not None and now >= worker.restart_at:
                self._start(worker)

    def _obey(self, number: int) -> None:
        if number == signal.SIGHUP:
            self._tell_all(RELOAD)
        elif self._deadline is None:
            self._drain()
        else:
            self._kill("ended by a second signal")

    def _drain(self) -> None:
        log.info("stopping: requests in flight have %g s to finish", self.options.shutdown_timeout)
        if self._accepting:
            self._deal_all()  # who is in the queue already was not refused
        self._accept(False)
        self.listener.close()
        self._deadline = time.monotonic() + self.options.shutdown_timeout + _GRACE_SECONDS
        for worker in self._workers:
            worker.restart_at = None
        self._tell_all(DRAIN)

    def _tell_all(self, message: bytes) -> None:
        for worker in self._workers:
            if worker.channel is not None:
                worker.channel.setblocking(True)
                with contextlib.suppress(OSError):  # it has just died: its end is noticed next
                    worker.channel.send(message)
                worker.channel.setblocking(False)

    def _kill(self, why: str) -> None:
        for worker in self._workers:
            if worker.process is not None:
                log.warning("worker %d %s", worker.slot + 1, why)
                self._clean = False
                worker.process.kill()
        self._deadline = time.monotonic() + _GRACE_SECONDS

    def _end(self) -> None:
        """Leave no process behind."""
        for worker in self._workers:
            if worker.process is not None:
                worker.process.kill()
                self._forget(worker)
            worker.counter.release()
        os.close(self._counters_fd)

    # Connections

    def _accept(self, wanted: bool) -> None:
        """Watch the listening socket, as long as a worker is there to take what comes."""
        wanted = wanted and any(worker.ready for worker in self._workers)
        if wanted and not self._accepting:
            self.listener.setblocking(False)
            self._selector.register(self.listener, selectors.EVENT_READ, None)
        elif not wanted and self._accepting:
            self._selector.unregister(self.listener)
        self._accepting = wanted

    def _deal_all(self) -> None:
        for _ in range(_ACCEPTS_PER_TURN):
            if not any(worker.ready for worker in self._workers):
                self._accept(False)
                return
            try:
                connection, _address = self.listener.accept()
            except OSError:  # nothing left, a client that is gone already, or no descriptor free
                return
            with connection:
                self._deal(connection)

    def _deal(self, connection: socket.socket) -> None:
        """Hand a connection to the worker with the fewest, or to the next one if its queue is full."""
        self._turn += 1
        count = len(self._workers)
        ready = [worker for worker in self._workers if worker.ready]
        for worker in sorted(ready, key=lambda worker: (worker.open, (worker.slot + self._turn) % count)):
            assert worker.channel is not None
            try:
                socket.send_fds(worker.channel, [CONNECTION], [connection.fileno()])
            except BlockingIOError:
                continue
            except OSError:  # it has just died
                worker.ready = False
                continue
            worker.dealt += 1
            return


def _how(code: int) -> str:
    """How a process ended, in words."""
    return f"with exit code {code}" if code >= 0 else f"by {signal.Signals(-code).name}"
