"""The S3 application: plain ASGI. `_answer` is the way of every request, in order.

    1 parse      scope → Request                              no I/O
    2 resolve    the operations table → Operation             no I/O
    3 verify     signature → Verified                         nothing received yet
    4 authorise  identity, operation, resource                nothing received yet
    5 handle     handler(context) → Reply
    6 reply      headers, body; errors are rendered here only

Nothing of a body is received before step 5, so that an unknown caller costs nothing and gets no 100 Continue.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping

from auth.access import PUBLIC_READS, may
from auth.identity import OWNER_ID
from auth.store import CredentialStore
from auth.verify import verify
from backends.base import Doc, Multipart, Ref
from backends.local import LocalBackend
from gateway.body import ClientDisconnected
from gateway.context import Context, Level, Services
from gateway.errors import (
    AccessDenied,
    InternalError,
    NoSuchKey,
    S3Error,
)
from gateway.operations import resolve
from gateway.options import AppOptions
from gateway.reply import Reply, new_request_id, render_error, send_reply
from gateway.request import Receive, Request, Scope, Send
from gateway.spool import Spool

logger = logging.getLogger("gateway.app")

Route = Callable[[Request], Awaitable[Reply]]


class App:
    """One worker's application. `open` and `close` are the two ends of its life (ASGI lifespan)."""

    def __init__(self, services: Services, credentials: CredentialStore, refresh_seconds: float = 30) -> None:
        self.services = services
        self.credentials = credentials
        self._refresh_seconds = refresh_seconds
        self._watcher: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = new_request_id()
        try:
            reply = await self._answer(scope, receive)
        except S3Error as error:
            logger.debug("%s %s %s: %s", request_id, scope["method"], scope["raw_path"], error)
            reply = render_error(error, scope["raw_path"].decode("latin-1"), request_id)
        except ClientDisconnected:
            return
        except Exception:
            logger.exception("%s %s %s failed", request_id, scope["method"], scope["raw_path"])
            reply = render_error(InternalError(), scope["raw_path"].decode("latin-1"), request_id)
        with contextlib.suppress(ConnectionError):  # the client left; there is nobody to tell
            await send_reply(reply, request_id, scope, send, self.services.chunk_bytes)

    async def _answer(self, scope: Scope, receive: Receive) -> Reply:
        services = self.services
        request = Request(scope, receive, services.domains)
        internal = _INTERNAL.get(request.raw_path)
        if internal is not None and request.method in _SAFE and not _is_signed(request):
            return await internal(request)
        operation = resolve(request)
        verified = verify(
            request,
            self.credentials.lookup,
            region=services.region,
            now=time.time(),
            clock_skew=services.clock_skew,
        )
        if verified.presigned and verified.scheme == "v4":
            request.adopt_parameters()
        context = Context(request, operation, verified, services)
        await _authorise(context)
        if verified.body.deferred is not None and not operation.streams:
            await context.prefetch()
        return await operation.handler(context)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        self._watcher = asyncio.create_task(self.credentials.watch(self._refresh_seconds))
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.aclose()
        await send({"type": "lifespan.shutdown.complete"})

    async def aclose(self) -> None:
        """Finish what is acknowledged, free everything."""
        if self._watcher is not None:
            self._watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watcher
        await self.services.backend.aclose()
        self.services.spool.close()


async def _authorise(context: Context) -> None:
    """Let the caller through, or AccessDenied. Only for an unsigned read is the resource looked at."""
    request, services = context.request, context.services
    owner = request.headers.get("x-amz-expected-bucket-owner")
    if owner is not None and owner != OWNER_ID:
        raise AccessDenied()
    identity, action = context.verified.identity, context.operation.action
    asks = identity.anonymous and services.anonymous == "public-read" and action in PUBLIC_READS
    may(identity, action, anonymous=services.anonymous, public=asks and await _is_public(context))


async def _is_public(context: Context) -> bool:
    """Whether an unsigned read may pass: by the object's ACL, or the bucket's for what is about the bucket.

    Whether a key is missing is told only to those who may list, as on S3.
    """
    ref = context.ref
    if context.operation.level is Level.SERVICE:
        return False
    try:
        return await context.backend.get_doc(ref, Doc.ACL) == "public-read"
    except S3Error as error:
        if error.kind is not NoSuchKey:
            raise
        return await context.backend.get_doc(Ref(ref.bucket, ""), Doc.ACL) == "public-read"


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
        spool=Spool(options.memory_threshold, options.max_memory, options.temp_dir),
        region=options.region,
        anonymous=options.anonymous,
        clock_skew=options.clock_skew,
        chunk_bytes=options.chunk_bytes,
        domains=options.domains,
        public_url=options.public_url,
    )
    return App(services, credentials, options.refresh_seconds)
