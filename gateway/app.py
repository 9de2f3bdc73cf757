"""The S3 application: plain ASGI. `_answer` is the way of every request, in order.

    1 parse      scope → Request                              no I/O
    2 resolve    the operations table → Operation             no I/O
    3 verify     signature → Verified                         nothing received yet
    4 authorise  caller, operation, bucket and its documents  nothing received yet
    5 handle     handler(context) → Reply
    6 reply      headers, body; errors are rendered here only

Nothing of a body is received before step 5, so that an unknown caller costs nothing and gets no 100 Continue; but where only
the body proves who calls (`Context.prefetch`), or policies may ask for what it says (`authorise.IN_BODY`).
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from auth.identity import Verified
from auth.store import CredentialStore
from auth.verify import verify
from backends.base import Doc, Multipart, Versioned
from backends.local import LocalBackend
from gateway import cors, payment, sts
from gateway.authorise import authorise, told
from gateway.background import Task
from gateway.body import ClientDisconnected
from gateway.context import NO_BUCKET, Context, Level, Operation, Services
from gateway.encryption.keyring import KeyRing
from gateway.errors import InternalError, S3Error
from gateway.handlers.bucket import missing
from gateway.lifecycle import task as lifecycle
from gateway.operations import resolve
from gateway.options import AppOptions
from gateway.reply import Reply, new_request_id, render_error, send_reply
from gateway.request import REQUEST_ID, Receive, Request, Scope, Send
from gateway.serverlog import NOBODY, PREFLIGHT, Ending, ServerLog
from gateway.spool import Spool
from gateway.website import Websites

if TYPE_CHECKING:
    from gateway.events import Events

logger = logging.getLogger("gateway.app")

Route = Callable[[Request], Awaitable[Reply]]


class App:
    """One worker's application. `open` and `close` are the two ends of its life (ASGI lifespan)."""

    def __init__(
        self,
        services: Services,
        credentials: CredentialStore,
        refresh_seconds: float = 30,
        tasks: Sequence[Task] = (),
    ) -> None:
        self.services = services
        self.credentials = credentials
        self._refresh_seconds = refresh_seconds
        self._tasks = tasks
        self._watcher: asyncio.Task[None] | None = None
        self._websites = Websites(services) if services.website_domains else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = scope[REQUEST_ID] = new_request_id()
        code = ""
        try:
            if self._websites is not None and self._websites.serves(scope):
                reply = await self._websites.answer(scope, receive, request_id)
            else:
                reply = await self._answer(scope, receive, request_id)
        except S3Error as error:
            logger.debug("%s %s %s: %s", request_id, scope["method"], scope["raw_path"], error)
            code = error.code
            reply = render_error(error, scope["raw_path"].decode("latin-1"), request_id)
        except ClientDisconnected:
            return
        except Exception:
            logger.exception("%s %s %s failed", request_id, scope["method"], scope["raw_path"])
            code = InternalError.code
            reply = render_error(InternalError(), scope["raw_path"].decode("latin-1"), request_id)
        log = self.services.server_log
        noted = log is not None and log.concerns(scope)
        answered = time.time_ns() if noted else 0
        try:
            await send_reply(reply, request_id, scope, send, self.services.chunk_bytes)
        except ConnectionError as error:  # the client left; there is nobody to tell
            logger.debug("%s was not answered: %s", request_id, error)
        if log is not None and noted:
            await log.note(scope, Ending(request_id, code, reply, answered, time.time_ns()))

    def _answer(self, scope: Scope, receive: Receive, request_id: str) -> Awaitable[Reply]:
        request = Request(scope, receive, self.services.domains)
        if sts.is_asked(request):
            return sts.answer(request, self.services, request_id)
        if request.method == "OPTIONS":
            if self.services.server_log is not None and request.bucket:
                self.services.server_log.begin(Context(request, PREFLIGHT, NOBODY, self.services))
            return cors.preflight(request, self.services.backend)
        return self._cross_origin(request) if "origin" in request.headers else self._handle(request)

    async def _cross_origin(self, request: Request) -> Reply:
        """Answer a script of another origin; errors carry the headers too, without which no script may read them."""
        allowed = await cors.answer_headers(request, self.services.backend)
        try:
            reply = await self._handle(request)
        except S3Error as error:
            error.headers |= allowed
            raise
        reply.headers |= allowed
        return reply

    async def _handle(self, request: Request) -> Reply:
        services = self.services
        internal = _INTERNAL.get(request.raw_path)
        if internal is not None and request.method in _SAFE and not _is_signed(request):
            return await internal(request)
        operation = resolve(request)
        verified = self._verified(request, operation)
        if verified.presigned and verified.scheme == "v4":
            request.adopt_parameters()
        bucket = NO_BUCKET
        if operation.level is not Level.SERVICE and operation.name != "CreateBucket":
            try:
                bucket = await services.backend.head_bucket(request.bucket)
            except S3Error as error:
                raise missing(error, request.bucket) from None
        context = Context(request, operation, verified, services, bucket)
        if Doc.LOGGING in bucket.docs and services.server_log is not None:
            services.server_log.begin(context)
        if verified.body.deferred is not None and not operation.streams:
            await context.prefetch()  # before that nobody is known, and nothing is told of anybody's rights
        if not operation.form:
            await authorise(context)
        payable = Doc.REQUEST_PAYMENT in bucket.docs and not operation.form
        if payable:
            payment.check(context)
        try:
            reply = await operation.handler(context)
        except S3Error as error:
            raise await told(context, error) from None
        if payable:
            reply.headers |= payment.headers(context)
        return reply

    def _verified(self, request: Request, operation: Operation) -> Verified:
        services = self.services
        try:
            return verify(
                request,
                self.credentials.lookup,
                region=services.region,
                now=time.time(),
                clock_skew=services.clock_skew,
            )
        except S3Error:
            if services.server_log is not None and request.bucket:
                services.server_log.begin(Context(request, operation, NOBODY, services))
            raise

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        self._watcher = asyncio.create_task(self.credentials.watch(self._refresh_seconds))
        for task in self._tasks:
            task.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.aclose()
        await send({"type": "lifespan.shutdown.complete"})

    async def aclose(self) -> None:
        """Finish what is acknowledged, free everything."""
        for task in self._tasks:
            await task.stop()
        if self._watcher is not None:
            self._watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watcher
        await self.services.backend.aclose()
        self.services.spool.close()


async def _healthz(request: Request) -> Reply:
    return Reply(200, {"content-type": "text/plain"}, b"ok\n")


_SAFE = frozenset({"GET", "HEAD"})
_INTERNAL: Mapping[str, Route] = {"/healthz": _healthz}
"""Paths of the gateway itself. They answer only unsigned requests: a signed one is always S3."""


def _is_signed(request: Request) -> bool:
    return "authorization" in request.headers or bool(request.params)


def create_app(options: AppOptions) -> App:
    """The application of one worker process: opens the store, loads the credentials."""
    backend = LocalBackend.open(options.store, durability=options.durability)
    credentials = CredentialStore(options.credentials)
    credentials.load()
    services = Services(
        backend=backend,
        multipart=backend if isinstance(backend, Multipart) else None,
        versioned=backend if isinstance(backend, Versioned) else None,
        accounts=credentials,
        object_ownership=options.object_ownership,
        trusted_proxies=options.trusted_proxies,
        keys=KeyRing(options.key_file),
        encrypt_all=options.encrypt_all,
        sse_c_over_http=options.sse_c_over_http,
        website_domains=options.website_domains,
        lifecycle_day=round(options.lifecycle_day * 1000),
        events=open_events(options, credentials),
        server_log=ServerLog(options.log_flush_seconds),
        spool=Spool(options.memory_threshold, options.max_memory, options.temp_dir),
        region=options.region,
        anonymous=options.anonymous,
        clock_skew=options.clock_skew,
        chunk_bytes=options.chunk_bytes,
        domains=options.domains,
        public_url=options.public_url,
    )
    return App(services, credentials, options.refresh_seconds, tuple(_tasks(options, services)))


def _tasks(options: AppOptions, services: Services) -> Iterator[Task]:
    """What a worker does beside requests."""
    store = lifecycle.as_store(services.backend)
    if store is not None and options.lifecycle_interval:
        yield lifecycle.periodic(
            store, options.lifecycle_interval, services.lifecycle_day, options.store, services.events
        )
    if services.server_log is not None:
        yield services.server_log
    if services.events is not None:  # ends last: what ends before it may have something to tell
        yield services.events


def open_events(options: AppOptions, accounts: CredentialStore) -> "Events | None":
    """The notifications, if there is anybody to notify: their libraries are loaded only then."""
    if not options.notifications.targets:
        return None
    from gateway.events import Events

    durable = options.durability == "full"
    return Events(options.notifications, options.store, options.region, accounts, durable=durable)
