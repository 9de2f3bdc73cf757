"""The body of a request: one wrapper per concern, and nothing released that is not verified.

    receive → aws-chunked framing and its signatures → length → digests → encryption → memory, a file, or the caller

Small bodies are handled where they arrive. Larger ones are received in batches; while a thread decodes, hashes and
writes one batch, the next is received, and no more than that: back-pressure reaches the client's socket.
"""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from auth.identity import BodyMode
from backends.base import Checksum, Sealed
from gateway.checksums import Buffer, Digests, ExpectedChecksum, is_digest
from gateway.chunked import ChunkDecoder
from gateway.errors import (
    BadDigest,
    EntityTooLarge,
    IncompleteBody,
    InvalidRequest,
    MalformedTrailerError,
    MaxMessageLengthExceeded,
    MissingContentLength,
    S3Error,
    XAmzContentSHA256Mismatch,
)
from gateway.spool import Spool, Writer

BATCH_BYTES = 1024 * 1024
"""What is handed to a thread at once; a body holds about twice that while it comes in."""
INLINE_BYTES = 64 * 1024
"""Up to here hashing is cheaper than a change of threads."""
_MOST_PIECES = 64

Receive = Callable[[], Awaitable[Mapping[str, Any]]]
T = TypeVar("T")


class ClientDisconnected(Exception):
    """The client left in the middle of its body. There is nobody to answer."""


class Source(Protocol):
    """Where the bytes of a body come from."""

    more: bool
    """False once everything was handed out."""

    async def next_chunk(self) -> bytes:
        """The next bytes, in the size in which they came; may be empty. Raises ClientDisconnected."""


class Encryptor(Protocol):
    """Turns the bytes of one object into those that are stored."""

    def stored_size(self, size: int) -> int:
        """What `size` bytes will take."""

    def update(self, pieces: Sequence[Buffer]) -> Sequence[Buffer]:
        """The stored bytes that are complete once these have come."""

    def finish(self) -> Sequence[Buffer]:
        """The rest of them."""


class AsgiSource:
    """The messages of an ASGI server."""

    __slots__ = ("_receive", "more")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.more = True

    async def next_chunk(self) -> bytes:
        """The body of the next `http.request`, or ClientDisconnected."""
        message = await self._receive()
        if message["type"] != "http.request":
            raise ClientDisconnected()
        self.more = message.get("more_body", False)
        data: bytes = message.get("body", b"")
        return data


class Body:
    """The body of one request, a `Payload` of backends.base. Use as `async with`, and read it once.

    `content_length` is that of the wire, `decoded_length` the value of `x-amz-decoded-content-length`, both in bytes;
    `md5` the decoded Content-MD5. Raises EntityTooLarge for more than `limit` bytes, at once if the length is known,
    and MissingContentLength for a framed body of unknown length. With an `encryptor` what is sealed or iterated over is
    encrypted, so that plain bytes never reach a file; lengths and digests are those of the plain bytes. `kept` is the
    algorithm whose checksum the store wants of it, if that is not the one which the client sends.
    """

    def __init__(
        self,
        receive: Receive,
        *,
        mode: BodyMode,
        content_length: int | None,
        decoded_length: int | None,
        md5: bytes | None,
        checksum: ExpectedChecksum | None,
        spool: Spool,
        limit: int,
        encryptor: Encryptor | None = None,
        kept: str | None = None,
    ) -> None:
        self.length = decoded_length if mode.chunked else content_length
        self._source: Source = AsgiSource(receive)
        self._mode = mode
        self._md5 = md5
        self._expected = checksum
        self._spool = spool
        self._limit = limit
        self._encryptor = encryptor
        self._decoder = self._make_decoder()
        self._digests = Digests(
            sha256=mode.sha256 is not None or mode.deferred is not None,
            algorithm=checksum.algorithm if checksum is not None else None,
            kept=kept,
        )
        self._kept = kept
        self.checksum: Checksum | None = None
        """The additional checksum, once everything is verified."""
        self._writer: Writer | None = None
        self._job: Future[Any] | None = None
        if self.length is not None and self.length > limit:
            raise EntityTooLarge(ProposedSize=self.length, MaxSizeAllowed=limit)

    def _make_decoder(self) -> ChunkDecoder | None:
        trailer = self._expected.header if self._expected is not None and self._expected.trailer else None
        if trailer is not None and not self._mode.trailer:
            raise MalformedTrailerError()
        if not self._mode.chunked:
            return None
        if self.length is None:
            raise MissingContentLength()
        return ChunkDecoder(
            length=self.length, verifier=self._mode.chunks, trailer=self._mode.trailer, announced=trailer
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        job = self._job
        if job is None or job.cancel() or job.done():
            self._free()
        else:  # a thread is at work on the file, for a few milliseconds: it frees when done
            job.add_done_callback(lambda _: self._free())

    def _free(self) -> None:
        if self._writer is not None:
            self._writer.close()

    async def seal(self, directory: str) -> Sealed:
        """Receive and verify everything; IncompleteBody, BadDigest, SignatureDoesNotMatch, ... where it is not as promised."""
        self._writer = self._spool.writer(directory, self._stored_length())
        return await self._store(self._writer)

    def _stored_length(self) -> int | None:
        if self.length is None or self._encryptor is None:
            return self.length
        return self._encryptor.stored_size(self.length)

    async def read_all(self, limit: int) -> bytes:
        """The whole body, verified, in memory: for documents. MaxMessageLengthExceeded for more than `limit` bytes."""
        self._limit = limit
        too_large = MaxMessageLengthExceeded(MaxMessageLengthBytes=limit)
        if self.length is not None and self.length > limit:
            raise too_large
        try:
            pieces = [piece async for piece in self]
        except S3Error as error:
            raise too_large if error.kind is EntityTooLarge else error from None
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        held = b""
        async for pieces in self._decoded():
            for piece in pieces:
                if held:
                    yield held
                held = piece
        self._verify()
        if held:
            yield held
        if self._encryptor is not None:
            yield b"".join(self._encryptor.finish())

    async def _decoded(self) -> AsyncIterator[list[bytes]]:
        def decode(batch: list[bytes]) -> list[bytes]:
            return [piece if isinstance(piece, bytes) else bytes(piece) for piece in self._take(batch)]

        batch = await self._next_batch()
        while self._source.more:
            decoded = self._start(decode, batch)
            batch = await self._next_batch()
            yield await decoded
        yield await self._run(decode, batch)

    async def _store(self, writer: Writer) -> Sealed:
        def store(batch: list[bytes]) -> None:
            _append(writer, self._take(batch))

        def store_last(batch: list[bytes]) -> Sealed:
            store(batch)
            return self._sealed(writer)

        batch = await self._next_batch()
        while self._source.more:
            stored = self._start(store, batch)
            batch = await self._next_batch()
            await stored
        return await self._run(store_last, batch)

    async def _next_batch(self) -> list[bytes]:
        """About BATCH_BYTES of the wire; less at the end, and where many bodies share the memory."""
        source, share, size = self._source, self._spool.share, 0
        batch: list[bytes] = []
        rest = bytearray()  # a client that sends byte by byte costs bytes, not an object for each
        while source.more and size < share(BATCH_BYTES):
            data = await source.next_chunk()
            size += len(data)
            if len(batch) >= _MOST_PIECES:
                rest += data
            elif data:
                batch.append(data)
        if rest:
            batch.append(bytes(rest))
        return batch

    async def _run(self, work: Callable[[list[bytes]], T], batch: list[bytes]) -> T:
        """Work on the batch, here if it is small, else in a thread."""
        if sum(map(len, batch)) <= INLINE_BYTES:
            return work(batch)
        return await self._start(work, batch)

    def _start(self, work: Callable[[list[bytes]], T], batch: list[bytes]) -> "asyncio.Future[T]":
        self._job = job = self._spool.submit(work, batch)
        future = asyncio.wrap_future(job)
        future.add_done_callback(_look_at)  # nobody awaits it if the client leaves meanwhile
        return future

    def _take(self, batch: list[bytes]) -> Sequence[Buffer]:
        """The object's bytes in a batch of the wire, digested, as they are to be stored."""
        pieces = self._decode(batch)
        digests = self._digests
        for piece in pieces:
            digests.update(piece)
        if digests.size > self._limit:
            raise EntityTooLarge(ProposedSize=digests.size, MaxSizeAllowed=self._limit)
        return pieces if self._encryptor is None else self._encryptor.update(pieces)

    def _decode(self, batch: list[bytes]) -> Sequence[Buffer]:
        if self._decoder is None:
            return batch
        pieces = [piece for data in batch for piece in self._decoder.feed(data)]
        # A client may send chunks of one byte: nothing below should pay for each of them.
        return pieces if len(pieces) <= _MOST_PIECES else [b"".join(pieces)]

    def _sealed(self, writer: Writer) -> Sealed:
        self.checksum = self._verify()
        stored = None
        if self._encryptor is not None:
            _append(writer, self._encryptor.finish())
            stored = writer.size
        data, file = writer.finish()
        checksum = self._checksum_to_keep()
        return Sealed(self._digests.size, self._digests.md5.hex(), checksum, data, file, stored)

    def _checksum_to_keep(self) -> Checksum | None:
        value = self._digests.kept
        return self.checksum if self._kept is None or value is None else Checksum(self._kept, value)

    def _verify(self) -> Checksum | None:
        """Compare everything that was promised with everything that came."""
        trailer = self._decoder.finish() if self._decoder is not None else None
        self._verify_length()
        self._verify_sha256()
        self._verify_md5()
        return self._verify_checksum(trailer)

    def _verify_length(self) -> None:
        size = self._digests.size
        if self.length is not None and self.length != size:
            raise IncompleteBody(NumberBytesExpected=self.length, NumberBytesProvided=size)

    def _verify_sha256(self) -> None:
        mode = self._mode
        if mode.sha256 is not None and mode.sha256.lower() != self._digests.sha256:
            raise XAmzContentSHA256Mismatch(
                ClientComputedContentSHA256=mode.sha256, S3ComputedContentSHA256=self._digests.sha256
            )
        if mode.deferred is not None:
            mode.deferred(self._digests.sha256)

    def _verify_md5(self) -> None:
        if self._md5 is None or self._md5 == self._digests.md5:
            return
        # One in hexadecimal, one in Base64: so AWS tells them.
        found = b64encode(self._digests.md5).decode()
        raise BadDigest(ExpectedDigest=self._md5.hex(), CalculatedDigest=found)

    def _verify_checksum(self, trailer: str | None) -> Checksum | None:
        expected, found = self._expected, self._digests.checksum
        if expected is None or found is None:
            return None
        if trailer is not None and not is_digest(expected.algorithm, trailer):
            raise InvalidRequest(f"Value for {expected.header} trailing header is invalid.")
        promised = trailer if expected.trailer else expected.value
        if promised is not None and promised != found:
            raise BadDigest(f"The {expected.algorithm} you specified did not match the calculated checksum.")
        return Checksum(expected.algorithm, found)


def _append(writer: Writer, pieces: Sequence[Buffer]) -> None:
    writer.write(pieces, sum(map(len, pieces)))


def _look_at(future: "asyncio.Future[Any]") -> None:
    """Keep asyncio from reporting an error that nobody waits for."""
    if not future.cancelled():
        future.exception()
