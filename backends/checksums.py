"""THE table of the `x-amz-checksum-*` algorithms, and checksums over bytes that a store already holds.

Digests travel as base64 of their big-endian bytes.
Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
"""

import hashlib
import os
import zlib
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from awscrt import checksums as crt

from backends.base import Checksum, ChecksumType, Sealed
from gateway.errors import InvalidRequest

CHUNK_BYTES = 1024 * 1024

Buffer = bytes | bytearray | memoryview
Combine = Callable[[int, int, int], int]
"""crc(a + b) from crc(a), crc(b) and the length of b."""


class Hasher(Protocol):
    """As in hashlib."""

    def update(self, data: Buffer, /) -> None:
        """Take in the next bytes."""

    def digest(self) -> bytes:
        """The digest of all bytes so far."""


class Crc:
    """A cyclic redundancy check with the interface of hashlib. `step(data, previous)` is zlib.crc32 or alike."""

    __slots__ = ("_size", "_step", "_value")

    def __init__(self, step: Callable[[Buffer, int], int], size: int) -> None:
        self._step = step
        self._size = size
        self._value = 0

    def update(self, data: Buffer, /) -> None:
        """Take in the next bytes."""
        self._value = self._step(data, self._value)

    def digest(self) -> bytes:
        """Big-endian bytes."""
        return self._value.to_bytes(self._size, "big")


class XxHash:
    """An awscrt hash with the interface of hashlib."""

    __slots__ = ("_state",)

    def __init__(self, new: Callable[[], crt.XXHash]) -> None:
        self._state = new()

    def update(self, data: Buffer, /) -> None:
        """Take in the next bytes."""
        self._state.update(data if isinstance(data, bytes) else bytes(data))  # it takes nothing else

    def digest(self) -> bytes:
        """Big-endian bytes."""
        digest: bytes = self._state.finalize()  # the state stays open for more
        return digest


COMPOSITE, FULL_OBJECT = ChecksumType.COMPOSITE, ChecksumType.FULL_OBJECT


@dataclass(frozen=True, slots=True)
class Algorithm:
    """A row of the table: S3's name, the digest's length in bytes, and a maker of hashers.

    `types` are those that a multipart upload may announce, its default first; FULL_OBJECT needs `combine`.
    """

    name: str
    size: int
    hasher: Callable[[], Hasher]
    types: tuple[ChecksumType, ...] = (COMPOSITE,)
    combine: Combine | None = None

    @property
    def header(self) -> str:
        """The header or trailer that carries the digest, in lower case."""
        return "x-amz-checksum-" + self.name.lower()

    @property
    def element(self) -> str:
        """The XML element that carries the digest."""
        return "Checksum" + self.name


_BOTH = (COMPOSITE, FULL_OBJECT)
# zlib's CRC-32 is the fastest at hand; the other CRCs and XXHash exist in awscrt only.
ALGORITHMS: Mapping[str, Algorithm] = {
    row.name: row
    for row in (
        Algorithm("CRC32", 4, partial(Crc, zlib.crc32, 4), _BOTH, crt.combine_crc32),
        Algorithm("CRC32C", 4, partial(Crc, crt.crc32c, 4), _BOTH, crt.combine_crc32c),
        Algorithm("CRC64NVME", 8, partial(Crc, crt.crc64nvme, 8), (FULL_OBJECT,), crt.combine_crc64nvme),
        Algorithm("MD5", 16, partial(hashlib.md5, usedforsecurity=False)),
        Algorithm("SHA1", 20, partial(hashlib.sha1, usedforsecurity=False)),
        Algorithm("SHA256", 32, hashlib.sha256),
        Algorithm("SHA512", 64, hashlib.sha512),
        Algorithm("XXHASH128", 16, partial(XxHash, crt.XXHash.new_xxhash3_128)),
        Algorithm("XXHASH3", 8, partial(XxHash, crt.XXHash.new_xxhash3_64)),
        Algorithm("XXHASH64", 8, partial(XxHash, crt.XXHash.new_xxhash64)),
    )
}


def digest_of(algorithm: str, chunks: Iterable[bytes]) -> str:
    """The base64 checksum of a stream of bytes. Raises InvalidRequest for an unknown algorithm."""
    row = ALGORITHMS.get(algorithm)
    if row is None:
        raise InvalidRequest(f"The checksum algorithm {algorithm} is not known.")
    state = row.hasher()
    for chunk in chunks:
        state.update(chunk)
    return b64encode(state.digest()).decode()


def digest(algorithm: str, data: bytes) -> str:
    """The base64 checksum of bytes."""
    return digest_of(algorithm, (data,))


def read_chunks(fd: int, size: int) -> Iterable[bytes]:
    """The first `size` bytes of a file, without moving its position."""
    offset = 0
    while offset < size and (chunk := os.pread(fd, min(CHUNK_BYTES, size - offset), offset)):
        yield chunk
        offset += len(chunk)


def checksum_of(sealed: Sealed, algorithm: str) -> str:
    """The base64 checksum of a sealed body: its own if it is of this algorithm, else computed (blocking).

    An encrypted body has to bring it: its bytes here are others.
    """
    known: Checksum | None = sealed.checksum
    if known is not None and known.algorithm == algorithm:
        return known.value
    if sealed.stored is not None:
        raise ValueError(f"an encrypted body came without its {algorithm}")
    if sealed.data is not None:
        return digest(algorithm, sealed.data)
    assert sealed.file is not None
    return digest_of(algorithm, read_chunks(sealed.file.fd, sealed.size))
