"""The digests that a client may send along with a body, and what a request says about them.

Digests travel as base64 of their big-endian bytes.
Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
"""

import hashlib
import zlib
from base64 import b64encode
from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from awscrt import checksums as crt

from gateway.errors import InvalidDigest, InvalidRequest

Buffer = bytes | bytearray | memoryview


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


@dataclass(frozen=True, slots=True)
class Algorithm:
    """A row of the table: S3's name, the digest's length in bytes, and a maker of hashers."""

    name: str
    size: int
    hasher: Callable[[], Hasher]

    @property
    def header(self) -> str:
        """The header or trailer that carries the digest, in lower case."""
        return "x-amz-checksum-" + self.name.lower()

    @property
    def element(self) -> str:
        """The XML element that carries the digest."""
        return "Checksum" + self.name


# zlib's CRC-32 is the fastest at hand; the other two exist in awscrt only.
ALGORITHMS: Mapping[str, Algorithm] = {
    row.name: row
    for row in (
        Algorithm("CRC32", 4, partial(Crc, zlib.crc32, 4)),
        Algorithm("CRC32C", 4, partial(Crc, crt.crc32c, 4)),
        Algorithm("CRC64NVME", 8, partial(Crc, crt.crc64nvme, 8)),
        Algorithm("SHA1", 20, partial(hashlib.sha1, usedforsecurity=False)),
        Algorithm("SHA256", 32, hashlib.sha256),
    )
}
BY_HEADER: Mapping[str, Algorithm] = {row.header: row for row in ALGORITHMS.values()}

_PREFIX = "x-amz-checksum-"
_NOT_DIGESTS = frozenset({"x-amz-checksum-algorithm", "x-amz-checksum-mode", "x-amz-checksum-type"})
_SEVERAL = "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
_UNKNOWN = (
    "Checksum algorithm provided is unsupported. Please try again with any of the valid types: "
    f"[{', '.join(ALGORITHMS)}]"
)
_SDK_ALONE = (
    "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer "
    "headers were found."
)


@dataclass(frozen=True, slots=True)
class ExpectedChecksum:
    """What a body's additional checksum is to be.

    `value` is base64; None means: compute it and keep it, and with `trailer` compare it with the trailing header.
    """

    algorithm: str
    value: str | None = None
    trailer: bool = False

    @property
    def header(self) -> str:
        """The header or trailer that carries it."""
        return ALGORITHMS[self.algorithm].header


def decode_digest(value: str | bytes, size: int) -> bytes | None:
    """The bytes of a base64 digest of `size` bytes; None unless it is canonical base64 of that length (RFC 4648)."""
    try:
        digest = a2b_base64(value, strict_mode=True)
    except (Base64Error, ValueError):
        return None
    text = value if isinstance(value, bytes) else value.encode()
    return digest if len(digest) == size and b64encode(digest) == text else None


def is_digest(algorithm: str, value: str | bytes) -> bool:
    """Whether the value can be a digest of this algorithm."""
    return decode_digest(value, ALGORITHMS[algorithm].size) is not None


def content_md5(headers: Mapping[str, str]) -> bytes | None:
    """The 16 bytes of `content-md5`, None if there is none, or InvalidDigest."""
    value = headers.get("content-md5")
    if value is None:
        return None
    digest = decode_digest(value, 16)
    if digest is None:
        raise InvalidDigest(**{"Content-MD5": value})
    return digest


def expected_checksum(
    headers: Mapping[str, str], default: str | None = "CRC64NVME"
) -> ExpectedChecksum | None:
    """What the request says about its additional checksum, by lower-case header name.

    With nothing said it is `default`, to be computed and kept, as AWS does; None if there is no default.
    Raises InvalidRequest for several, unknown, contradictory or unreadable ones.
    """
    sent = [name for name in headers if name.startswith(_PREFIX) and name not in _NOT_DIGESTS]
    trailer = headers.get("x-amz-trailer")
    sdk = headers.get("x-amz-sdk-checksum-algorithm")
    if not sent and trailer is None and sdk is None:
        return None if default is None else _computed(default)
    if len(sent) + (trailer is not None) > 1:
        raise InvalidRequest(_SEVERAL)
    expected = _announced(trailer) if trailer is not None else _sent(headers, sent)
    _agree(expected, sdk)
    return expected


def _computed(name: str) -> ExpectedChecksum:
    return _DEFAULTS[name]


_DEFAULTS = {name: ExpectedChecksum(name) for name in ALGORITHMS}


def _announced(trailer: str) -> ExpectedChecksum:
    algorithm = BY_HEADER.get(trailer.strip().lower())
    if algorithm is None:
        raise InvalidRequest("The value specified in the x-amz-trailer header is not supported")
    return ExpectedChecksum(algorithm.name, trailer=True)


def _sent(headers: Mapping[str, str], names: list[str]) -> ExpectedChecksum:
    if not names:
        raise InvalidRequest(_SDK_ALONE)
    header = names[0]
    algorithm = BY_HEADER.get(header)
    if algorithm is None:
        raise InvalidRequest(_UNKNOWN)
    value = headers[header]
    if not is_digest(algorithm.name, value):
        raise InvalidRequest(f"Value for {header} header is invalid.")
    return ExpectedChecksum(algorithm.name, value)


def _agree(expected: ExpectedChecksum, sdk: str | None) -> None:
    if sdk is None or sdk.upper() == expected.algorithm:
        return
    if sdk.upper() not in ALGORITHMS:
        raise InvalidRequest(_UNKNOWN)
    raise InvalidRequest("Value for x-amz-sdk-checksum-algorithm header is invalid.")


class Digests:
    """All digests of a body, computed in one pass: MD5 always, SHA-256 if asked for, one additional checksum."""

    __slots__ = ("_algorithm", "_checksum", "_md5", "_sha256", "size")

    def __init__(self, *, sha256: bool, algorithm: str | None) -> None:
        self.size = 0
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sha256 = hashlib.sha256() if sha256 else None
        self._algorithm = algorithm
        self._checksum: Hasher | None = None
        if algorithm is not None:
            shared = self._sha256 if algorithm == "SHA256" else None
            self._checksum = shared or ALGORITHMS[algorithm].hasher()

    def update(self, piece: Buffer) -> None:
        """Take in the next bytes."""
        self.size += len(piece)
        self._md5.update(piece)
        if self._sha256 is not None:
            self._sha256.update(piece)
        if self._checksum is not None and self._checksum is not self._sha256:
            self._checksum.update(piece)

    @property
    def md5(self) -> bytes:
        """16 bytes."""
        return self._md5.digest()

    @property
    def sha256(self) -> str:
        """Hexadecimal; only if it was asked for."""
        assert self._sha256 is not None
        return self._sha256.hexdigest()

    @property
    def checksum(self) -> str | None:
        """The additional checksum in base64."""
        return b64encode(self._checksum.digest()).decode() if self._checksum is not None else None
