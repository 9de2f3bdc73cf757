"""What a handler gets: the operation, the request, the verified caller, the backend, and the ways to read the body."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum

from auth.access import Anonymous
from auth.identity import Verified
from backends.base import MAX_PUT_BYTES, Backend, Multipart, Ref
from gateway.body import Body
from gateway.checksums import ExpectedChecksum, content_md5, expected_checksum
from gateway.errors import MissingContentLength, NotImplemented_
from gateway.reply import Reply
from gateway.request import Request
from gateway.spool import Spool

MAX_DOCUMENT_BYTES = 3 * 1024 * 1024
"""Largest XML body: a full CompleteMultipartUpload or DeleteObjects stays below it."""


@dataclass(frozen=True, slots=True)
class Services:
    """What all requests of a worker share; plain values of the configuration."""

    backend: Backend
    multipart: Multipart | None
    spool: Spool
    region: str
    anonymous: Anonymous = "public-read"
    clock_skew: float = 900
    chunk_bytes: int = 1024 * 1024
    domains: tuple[str, ...] = ()
    public_url: str = ""


class Level(StrEnum):
    """What a path addresses."""

    SERVICE = "service"
    BUCKET = "bucket"
    OBJECT = "object"


async def not_implemented(context: "Context") -> Reply:
    """Answer for an operation that nobody has built: a clear 501 instead of an effect that was not asked for."""
    raise NotImplemented_(f"{context.operation.name} is not implemented.")


@dataclass(frozen=True, slots=True)
class Operation:
    """A row of the operations table.

    `action` is the policy action that a caller needs; `aliases` are older names of the same request.
    """

    name: str
    method: str
    level: Level
    selector: str
    action: str
    handler: "Callable[[Context], Awaitable[Reply]]" = not_implemented
    aliases: tuple[str, ...] = ()
    streams: bool = False
    """The body is the object's: it is verified while it is stored."""


@dataclass(slots=True)
class Context:
    """One authorised request."""

    request: Request
    operation: Operation
    verified: Verified
    services: Services
    prefetched: bytes | None = None

    @property
    def backend(self) -> Backend:
        """The store of this request's bucket."""
        return self.services.backend

    @property
    def multipart(self) -> Multipart:
        """The same store, if it has multipart uploads; NotImplemented otherwise."""
        if self.services.multipart is None:
            raise NotImplemented_()
        return self.services.multipart

    @property
    def ref(self) -> Ref:
        """The object (or, with an empty key, the bucket) the request is about."""
        return Ref(self.request.bucket, self.request.key)

    def header(self, name: str, default: str = "") -> str:
        """A header of the request."""
        return self.request.headers.get(name, default)

    def param(self, name: str, default: str = "") -> str:
        """A query parameter."""
        return self.request.params.get(name, default)

    def body(self, checksum: ExpectedChecksum | None = None) -> Body:
        """The object in the request's body, verified while it is read.

        Raises MissingContentLength, InvalidDigest, InvalidRequest (checksum headers), EntityTooLarge.
        """
        request = self.request
        if request.content_length is None and "transfer-encoding" not in request.headers:
            raise MissingContentLength()
        return self._body(checksum or expected_checksum(request.headers), MAX_PUT_BYTES)

    async def document(self, *, checksum: bool = True) -> bytes:
        """A small body (XML), whole and verified. Raises MaxMessageLengthExceeded.

        `checksum` False: the checksum headers are not about this body (CompleteMultipartUpload).
        """
        if self.prefetched is not None:
            return self.prefetched
        expected = expected_checksum(self.request.headers, default=None) if checksum else None
        async with self._body(expected, MAX_PUT_BYTES) as body:
            return await body.read_all(MAX_DOCUMENT_BYTES)

    async def prefetch(self) -> None:
        """Receive and verify the whole body before the handler runs.

        The signature covers a hash that the request does not name: until the body is hashed nobody is known,
        also where the operation has no use for a body.
        """
        self.prefetched = await self.document(checksum=False)

    def _body(self, checksum: ExpectedChecksum | None, limit: int) -> Body:
        request = self.request
        mode = self.verified.body
        return Body(
            request.receive,
            mode=mode,
            content_length=_wire_length(request),
            decoded_length=_decoded_length(request) if mode.chunked else None,
            md5=content_md5(request.headers),
            checksum=checksum,
            spool=self.services.spool,
            limit=limit,
        )


def _wire_length(request: Request) -> int | None:
    """Content-Length; a request with neither length nor Transfer-Encoding has no body."""
    if "transfer-encoding" in request.headers:
        return None
    return request.content_length or 0


def _decoded_length(request: Request) -> int:
    value = request.headers.get("x-amz-decoded-content-length")
    if value is None or not (value.isascii() and value.isdigit()) or len(value) > 18:
        raise MissingContentLength()
    return int(value)
