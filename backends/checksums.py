"""The `x-amz-checksum-*` algorithms over bytes that a store already holds.

Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
"""

import hashlib
import os
import zlib
from base64 import b64encode
from collections.abc import Callable, Iterable

from awscrt import checksums as crt

from backends.base import Checksum, Sealed
from gateway.errors import InvalidRequest

CHUNK_BYTES = 1024 * 1024

Crc = Callable[[bytes, int], int]

_CRCS: dict[str, tuple[Crc, int]] = {
    "CRC32": (zlib.crc32, 4),  # zlib's is faster than awscrt's
    "CRC32C": (crt.crc32c, 4),
    "CRC64NVME": (crt.crc64nvme, 8),
}
_HASHES = {"SHA1": hashlib.sha1, "SHA256": hashlib.sha256}


def digest_of(algorithm: str, chunks: Iterable[bytes]) -> str:
    """The base64 checksum of a stream of bytes. Raises InvalidRequest for an unknown algorithm."""
    if algorithm in _CRCS:
        function, width = _CRCS[algorithm]
        value = 0
        for chunk in chunks:
            value = function(chunk, value)
        return b64encode(value.to_bytes(width, "big")).decode()
    if algorithm not in _HASHES:
        raise InvalidRequest(f"The checksum algorithm {algorithm} is not known.")
    state = _HASHES[algorithm]()
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
    """The base64 checksum of a sealed body: its own if it is of this algorithm, else computed (blocking)."""
    known: Checksum | None = sealed.checksum
    if known is not None and known.algorithm == algorithm:
        return known.value
    if sealed.data is not None:
        return digest(algorithm, sealed.data)
    assert sealed.file is not None
    return digest_of(algorithm, read_chunks(sealed.file.fd, sealed.size))
