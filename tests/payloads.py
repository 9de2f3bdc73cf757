"""Payloads for tests of backends: bytes that seal themselves in memory or into a file, or that fail."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator

from backends.base import Checksum, Sealed
from backends.checksums import digest
from backends.local.bodies import Temporary

CHUNK = 64 * 1024


class BytesPayload:
    """A payload of `data`, kept in memory up to `threshold` bytes and in a file above."""

    def __init__(
        self,
        data: bytes,
        *,
        algorithm: str | None = "CRC64NVME",
        threshold: int = 1024 * 1024,
        directory: str = "",
        error: Exception | None = None,
        gate: asyncio.Event | None = None,
    ) -> None:
        self.data = data
        self.algorithm = algorithm
        self.threshold = threshold
        self.directory = directory
        self.error = error
        self.gate = gate
        self.sealed = 0
        self.begun = asyncio.Event()
        self.file: Temporary | None = None

    @property
    def length(self) -> int | None:
        return len(self.data)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for offset in range(0, len(self.data), CHUNK):
            if self.error is not None and offset + CHUNK >= len(self.data):
                raise self.error
            yield self.data[offset : offset + CHUNK]

    async def seal(self, directory: str) -> Sealed:
        self.sealed += 1
        self.begun.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        checksum = self.algorithm and Checksum(self.algorithm, digest(self.algorithm, self.data))
        md5 = hashlib.md5(self.data).hexdigest()
        if len(self.data) <= self.threshold:
            return Sealed(len(self.data), md5, checksum, data=self.data)
        self.file = Temporary(self.directory or directory)
        view = memoryview(self.data)
        while view:
            view = view[os.write(self.file.fd, view) :]
        return Sealed(len(self.data), md5, checksum, file=self.file)

    def close(self) -> None:
        if self.file is not None:
            self.file.close()
            self.file = None


async def put(backend, ref, data: bytes, how=None, **options):
    """Put bytes, and free the payload as its owner does."""
    payload = BytesPayload(data, **options)
    try:
        return await (
            backend.put_object(ref, payload) if how is None else backend.put_object(ref, payload, how)
        )
    finally:
        payload.close()


async def put_part(backend, ref, upload: str, number: int, data: bytes, **options):
    payload = BytesPayload(data, **options)
    try:
        return await backend.put_part(ref, upload, number, payload)
    finally:
        payload.close()


async def read(content) -> bytes:
    """All bytes of an open object, whatever form they have."""
    body = content.body
    if isinstance(body, bytes):
        return body
    if hasattr(body, "__aiter__"):
        return b"".join([chunk async for chunk in body])
    return b"".join(os.pread(fd, length, offset) for fd, offset, length in body)


async def get(backend, ref, how=None) -> bytes:
    async with await (backend.open_object(ref) if how is None else backend.open_object(ref, how)) as content:
        data = await read(content)
        assert len(data) == content.span.length
        return data
