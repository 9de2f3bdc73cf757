"""An open object as the body of a new one: a copy that passes through the gateway."""

from collections.abc import AsyncIterator

from auth.identity import PLAIN
from backends.base import Content, FileSpan
from gateway.body import Body, Encryptor
from gateway.checksums import ExpectedChecksum
from gateway.reply import read_span
from gateway.request import Message, Receive
from gateway.spool import Spool

_CHUNK_BYTES = 1024 * 1024


async def chunks(content: Content) -> AsyncIterator[bytes]:
    """The bytes of an open object, about 1 MiB at a time."""
    body = content.body
    if isinstance(body, bytes):
        yield body
    elif isinstance(body, AsyncIterator):
        async for chunk in body:
            yield chunk
    else:
        for span in body:
            end = span.offset + span.length
            for offset in range(span.offset, end, _CHUNK_BYTES):
                yield await read_span(FileSpan(span.fd, offset, min(_CHUNK_BYTES, end - offset)))


def payload_of(
    content: Content, checksum: ExpectedChecksum, spool: Spool, encryptor: Encryptor | None = None
) -> Body:
    """A payload that reads from an open object, with the digests that a client's upload would have."""
    length = content.span.length
    return Body(
        _receive_from(chunks(content)),
        mode=PLAIN,
        content_length=length,
        decoded_length=None,
        md5=None,
        checksum=checksum,
        spool=spool,
        limit=length,
        encryptor=encryptor,
    )


def _receive_from(source: AsyncIterator[bytes]) -> Receive:
    async def receive() -> Message:
        chunk = await anext(source, None)
        return {"type": "http.request", "body": chunk or b"", "more_body": chunk is not None}

    return receive
