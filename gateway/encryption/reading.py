"""An encrypted open object as the plain bytes of its span."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

from backends.base import Content
from backends.frames import cover
from gateway.encryption.frames import Opener
from gateway.stream import chunks

_INLINE_BYTES = 128 * 1024
"""Up to here decrypting is cheaper than a change of threads."""


async def decrypted(content: Content, data_key: bytes) -> Content:
    """The same span in plain bytes; memory stays at a few MiB whatever its length.

    The first MiB is decrypted at once, so that damage there is an error before any byte is sent. Later damage raises
    while the body is read. Raises Damaged.
    """
    info, span = content.info, content.span
    if not span.length:
        return content
    opener = Opener(data_key, cover(span, [part.size for part in info.parts] or [info.size]))
    body = content.body
    if isinstance(body, bytes) and len(body) <= _INLINE_BYTES:
        data = opener.feed(body)
        opener.finish()
        return replace(content, body=data)
    plain = _opened(opener, chunks(content))
    first = await anext(plain)
    if len(first) == span.length:
        async for _ in plain:  # nothing more comes, or it is damaged
            pass
        return replace(content, body=first)
    return replace(content, body=_after(first, plain))


async def _opened(opener: Opener, stored: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for chunk in stored:
        plain = (
            opener.feed(chunk) if len(chunk) <= _INLINE_BYTES else await asyncio.to_thread(opener.feed, chunk)
        )
        if plain:
            yield plain
    opener.finish()


async def _after(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in rest:
        yield chunk
