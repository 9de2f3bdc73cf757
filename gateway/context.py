"""What a handler gets: the operation, the request, the verified caller, the backend, and the ways to read the body."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from auth.access import ENFORCED, Anonymous
from auth.accounts import Accounts, OneAccount
from auth.identity import OWNER_ID, Identity, Verified
from backends.base import MAX_PUT_BYTES, Backend, BucketInfo, Doc, Multipart, ObjectInfo, Ref, Versioned
from gateway.body import Body, Encryptor
from gateway.checksums import ExpectedChecksum, content_md5, expected_checksum
from gateway.errors import MissingContentLength, MissingRequestBodyError, NotImplemented_
from gateway.reply import Reply
from gateway.request import Request
from gateway.spool import Spool
from gateway.unserved import reason

if TYPE_CHECKING:
    from gateway.encryption.keyring import KeyRing
    from gateway.events import Events
    from gateway.serverlog import ServerLog

MAX_DOCUMENT_BYTES = 3 * 1024 * 1024
"""Largest XML body: a full CompleteMultipartUpload or DeleteObjects stays below it."""


@dataclass(frozen=True, slots=True)
class Services:
    """What all requests of a worker share; plain values of the configuration."""

    backend: Backend
    multipart: Multipart | None
    spool: Spool
    region: str = "us-east-1"
    versioned: Versioned | None = None
    accounts: Accounts = field(default_factory=OneAccount)
    object_ownership: str = ENFORCED
    """Of a new bucket that does not say."""
    trusted_proxies: tuple[str, ...] = ()
    """Networks whose X-Forwarded-For is believed."""
    website_domains: tuple[str, ...] = ()
    keys: "KeyRing | None" = None
    encrypt_all: bool = False
    """Objects of buckets without a default encryption are encrypted too (SSE-S3)."""
    sse_c_over_http: bool = False
    """Customers' keys are taken over plain HTTP from other machines."""
    lifecycle_day: int = 86_400_000
    """How long a day of a lifecycle rule lasts, in ms."""
    events: "Events | None" = None
    server_log: "ServerLog | None" = None
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
    why = reason(context.operation.selector)
    raise NotImplemented_(f"{context.operation.name} is not implemented{f': {why}' if why else ''}.")


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
    versioned_action: str = ""
    """The action where `versionId` names a version; empty: there are no versions to name."""
    per_item: bool = False
    """The body names the objects: the handler asks for each of them."""
    form: bool = False
    """The body says who calls and for what: the handler verifies and authorises."""


NO_BUCKET = BucketInfo("", 0)
"""The bucket of requests that concern none, or one that is to be made."""


@dataclass(slots=True)
class Context:
    """One authorised request. `bucket` is the bucket that it is about, with its documents."""

    request: Request
    operation: Operation
    verified: Verified
    services: Services
    bucket: BucketInfo = NO_BUCKET
    prefetched: bytes | None = None
    judged: ObjectInfo | None = None
    """The object on which the decision hung that the request may go on."""
    audit: dict[str, str] = field(default_factory=dict)
    """What the server access log tells beyond request and reply: `key` (of a form), `acl` (`Yes`: only an ACL let it pass)."""

    @property
    def identity(self) -> Identity:
        """The caller."""
        return self.verified.identity

    @property
    def bucket_owner(self) -> str:
        """The canonical id of the bucket's owner."""
        return self.bucket.owner or OWNER_ID

    def document_of_bucket(self, doc: Doc) -> str | None:
        """A document of the bucket; None if it has none. No I/O."""
        return self.bucket.docs.get(doc)

    @property
    def notifies(self) -> bool:
        """Whether anybody may want to know of changes in the bucket."""
        return Doc.NOTIFICATION in self.bucket.docs and self.services.events is not None

    async def emit(
        self,
        event: str,
        key: str,
        *,
        size: int | None = None,
        etag: str | None = None,
        version: str | None = None,
    ) -> None:
        """Tell those who want to know of `event` (`s3:ObjectCreated:Put`), a committed change of an object of the bucket.

        Returns when the event is queued for good; raises if it cannot be, so that the client repeats the change.
        """
        if not self.notifies:
            return
        assert self.services.events is not None
        from gateway.events import Change, origin_of

        change = Change(event, key, size, etag, version)
        await self.services.events.publish(self.bucket, [change], origin_of(self))

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
    def versioned(self) -> Versioned:
        """The same store, if it keeps versions; NotImplemented otherwise."""
        if self.services.versioned is None:
            raise NotImplemented_()
        return self.services.versioned

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

    def body(
        self,
        checksum: ExpectedChecksum | None = None,
        encryptor: Encryptor | None = None,
        kept: str | None = None,
    ) -> Body:
        """The object in the request's body, verified (and encrypted) while it is read.

        Raises MissingContentLength, InvalidDigest, InvalidRequest (checksum headers), EntityTooLarge.
        """
        request = self.request
        if request.content_length is None and "transfer-encoding" not in request.headers:
            raise MissingContentLength()
        return self._body(checksum or expected_checksum(request.headers), MAX_PUT_BYTES, encryptor, kept)

    async def document(self, *, checksum: bool = True) -> bytes:
        """A small body (XML), whole and verified. Raises MaxMessageLengthExceeded.

        `checksum` False: the checksum headers are not about this body (CompleteMultipartUpload).
        """
        if self.prefetched is not None:
            return self.prefetched
        expected = expected_checksum(self.request.headers, default=None) if checksum else None
        async with self._body(expected, MAX_PUT_BYTES) as body:
            return await body.read_all(MAX_DOCUMENT_BYTES)

    async def required_document(self) -> bytes:
        """The same, of an operation that is nothing without it. Raises MissingRequestBodyError."""
        data = await self.document()
        if not data:
            raise MissingRequestBodyError()
        return data

    async def prefetch(self) -> None:
        """Receive and verify the whole body before the handler runs.

        The signature covers a hash that the request does not name: until the body is hashed nobody is known,
        also where the operation has no use for a body.
        """
        self.prefetched = await self.document(checksum=False)

    def _body(
        self,
        checksum: ExpectedChecksum | None,
        limit: int,
        encryptor: Encryptor | None = None,
        kept: str | None = None,
    ) -> Body:
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
            encryptor=encryptor,
            kept=kept,
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
