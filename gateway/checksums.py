"""The digests that a client may send along with a body, and what a request says about them.

Digests travel as base64 of their big-endian bytes.
Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
"""

import hashlib
from base64 import b64encode
from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Mapping
from dataclasses import dataclass

from backends.checksums import ALGORITHMS, Algorithm, Buffer, Hasher
from gateway.errors import InvalidDigest, InvalidRequest, S3Error

__all__ = [
    "ALGORITHMS",
    "BY_HEADER",
    "Buffer",
    "Digests",
    "ExpectedChecksum",
    "content_md5",
    "decode_digest",
    "expected_checksum",
    "is_digest",
    "several_checksums",
    "unknown_algorithm",
]

BY_HEADER: Mapping[str, Algorithm] = {row.header: row for row in ALGORITHMS.values()}

_PREFIX = "x-amz-checksum-"
_NOT_DIGESTS = frozenset({"x-amz-checksum-algorithm", "x-amz-checksum-mode", "x-amz-checksum-type"})
_SEVERAL = "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
_UNKNOWN = (
    "Checksum algorithm provided is unsupported. Please try again with any of the valid types: "
    f"[{', '.join(sorted(ALGORITHMS))}]"
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


def unknown_algorithm() -> S3Error:
    """What S3 answers to an algorithm that is not in the table."""
    return InvalidRequest(_UNKNOWN)


def several_checksums() -> S3Error:
    """What S3 answers to more than one additional checksum."""
    return InvalidRequest(_SEVERAL)


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
        raise several_checksums()
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
        raise unknown_algorithm()
    value = headers[header]
    if not is_digest(algorithm.name, value):
        raise InvalidRequest(f"Value for {header} header is invalid.")
    return ExpectedChecksum(algorithm.name, value)


def _agree(expected: ExpectedChecksum, sdk: str | None) -> None:
    if sdk is None or sdk.upper() == expected.algorithm:
        return
    if sdk.upper() not in ALGORITHMS:
        raise unknown_algorithm()
    raise InvalidRequest("Value for x-amz-sdk-checksum-algorithm header is invalid.")


class Digests:
    """All digests of a body, computed in one pass: MD5 always, SHA-256 if asked for, one additional checksum.

    `kept` is a second additional checksum, for a store that keeps another one than the client sends.
    """

    __slots__ = ("_algorithm", "_checksum", "_kept", "_md5", "_sha256", "_shared", "size")

    def __init__(self, *, sha256: bool, algorithm: str | None, kept: str | None = None) -> None:
        self.size = 0
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sha256 = hashlib.sha256() if sha256 else None
        self._algorithm = algorithm
        self._kept = ALGORITHMS[kept].hasher() if kept is not None else None
        self._checksum: Hasher | None = None
        self._shared = False
        if algorithm is not None:
            shared = {"SHA256": self._sha256, "MD5": self._md5}.get(algorithm)
            self._shared = shared is not None
            self._checksum = shared or ALGORITHMS[algorithm].hasher()

    def update(self, piece: Buffer) -> None:
        """Take in the next bytes."""
        self.size += len(piece)
        self._md5.update(piece)
        if self._sha256 is not None:
            self._sha256.update(piece)
        if self._checksum is not None and not self._shared:
            self._checksum.update(piece)
        if self._kept is not None:
            self._kept.update(piece)

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

    @property
    def kept(self) -> str | None:
        """The second one."""
        return b64encode(self._kept.digest()).decode() if self._kept is not None else None
