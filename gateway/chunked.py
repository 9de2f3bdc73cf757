"""The framing `aws-chunked`: data in chunks, each perhaps signed, perhaps with trailing headers. No I/O.

    3e8;chunk-signature=<64 hex>\\r\\n <1000 bytes> \\r\\n        a chunk (without signature in the unsigned mode)
    0;chunk-signature=<64 hex>\\r\\n                              the last one, always empty
    x-amz-checksum-crc32:<base64>\\r\\n                           in the modes with a trailer
    x-amz-trailer-signature:<64 hex>\\r\\n                        if signed
    \\r\\n

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html and sigv4-streaming-trailers.html
"""

import hashlib
import re
from collections.abc import Callable

from auth.identity import ChunkVerifier
from gateway.checksums import Buffer
from gateway.errors import (
    IncompleteBody,
    InvalidChunkSizeError,
    MalformedTrailerError,
)

MAX_HEADER_BYTES = 256
MAX_TRAILER_BYTES = 4096
MIN_CHUNK_BYTES = 8192

_SIGNED = re.compile(rb"([0-9a-fA-F]{1,16});chunk-signature=([0-9a-f]{64})\r\n")
_UNSIGNED = re.compile(rb"([0-9a-fA-F]{1,16})\r\n")
# minio-go ends a checksum's line with \n\r\n, as one of AWS's examples does.
_TRAILER = re.compile(rb"((?:[a-zA-Z0-9-]+:[^\r\n]*(?:\r\n|\n\r\n))*)\r\n")
_LINE = re.compile(rb"([a-zA-Z0-9-]+):([^\r\n]*)")
_TRAILER_SIGNATURE = "x-amz-trailer-signature"
_SIGNED_END = re.compile(rb"(?:\A|\n)(?i:x-amz-trailer-signature):[ \t]*[0-9a-f]{64}[ \t]*\r\n\r\n\Z")
_BROKEN = "The request body terminated unexpectedly"
"""What S3 says of framing that it cannot follow to its end, be it cut off or not well-formed."""


class ChunkDecoder:
    """Takes the framing off, and checks the chain of signatures.

    `length` is the number of bytes that the chunks must hold together. `announced` is the only trailing header
    allowed, which then must be there; `trailer` says whether the framing ends with trailing headers at all.
    A chunk of any size passes in pieces: its signature is known only at its end, so nothing is to be kept
    before `finish` has returned.
    """

    def __init__(
        self,
        *,
        length: int,
        verifier: ChunkVerifier | None = None,
        trailer: bool = False,
        announced: str | None = None,
    ) -> None:
        self._length = length
        self._verifier = verifier
        self._trailer = trailer
        self._announced = announced
        self._header = _SIGNED if verifier is not None else _UNSIGNED
        self._small_is_error = verifier is not None and not trailer
        self._step: Callable[[bytes, int, list[Buffer]], int] = self._read_header
        self._line = bytearray()
        self._chunk = MIN_CHUNK_BYTES
        self._left = 0
        self._total = 0
        self._signature = ""
        self._sha256 = hashlib.sha256()

    def feed(self, data: bytes) -> list[Buffer]:
        """The pieces of the object in the next bytes of the stream.

        Raises IncompleteBody for malformed framing and for more data than announced, SignatureDoesNotMatch,
        InvalidChunkSizeError, MalformedTrailerError.
        """
        pieces: list[Buffer] = []
        at, end = 0, len(data)
        while at < end:
            at = self._step(data, at, pieces)
        return pieces

    def finish(self) -> str | None:
        """The stream is over: the value of the announced trailer.

        Raises IncompleteBody if the framing or the data is not complete, MalformedTrailerError, SignatureDoesNotMatch.
        """
        if self._step != self._read_end or not self._ended():
            raise IncompleteBody(_BROKEN)
        if self._total != self._length:
            raise IncompleteBody()
        trailers = self._trailers()
        if self._announced is not None and self._announced not in trailers:
            raise MalformedTrailerError()
        return trailers.get(self._announced) if self._announced else None

    def _read_header(self, data: bytes, at: int, pieces: list[Buffer]) -> int:
        newline = data.find(b"\n", at, at + MAX_HEADER_BYTES)
        end = newline + 1 if newline >= 0 else len(data)
        if len(self._line) + end - at > MAX_HEADER_BYTES:
            raise IncompleteBody(_BROKEN)
        self._line += data[at:end]
        if newline >= 0:
            self._begin(bytes(self._line))
            self._line.clear()
        return end

    def _begin(self, line: bytes) -> None:
        """A chunk's header is complete."""
        match = self._header.fullmatch(line)
        if match is None:
            raise IncompleteBody(_BROKEN)
        size = int(match[1], 16)
        self._signature = match[2].decode() if self._verifier is not None else ""
        if size == 0:
            self._end_chunk()
            self._step = self._read_end
            return
        self._check_size(size)
        self._chunk = self._left = size
        self._total += size
        self._step = self._read_data

    def _check_size(self, size: int) -> None:
        if self._small_is_error and self._chunk < MIN_CHUNK_BYTES:
            raise InvalidChunkSizeError(BadChunkSize=self._chunk)
        if self._total + size > self._length:
            raise IncompleteBody()

    def _read_data(self, data: bytes, at: int, pieces: list[Buffer]) -> int:
        end = min(len(data), at + self._left)
        piece = data if end - at == len(data) else memoryview(data)[at:end]
        if self._verifier is not None:
            self._sha256.update(piece)
        pieces.append(piece)
        self._left -= end - at
        if not self._left:
            self._end_chunk()
            self._step = self._read_data_end
        return end

    def _end_chunk(self) -> None:
        if self._verifier is not None:
            self._verifier.chunk(self._sha256.hexdigest(), self._signature)
            self._sha256 = hashlib.sha256()

    def _read_data_end(self, data: bytes, at: int, pieces: list[Buffer]) -> int:
        end = min(len(data), at + 2 - len(self._line))
        self._line += data[at:end]
        if not b"\r\n".startswith(self._line):
            raise IncompleteBody(_BROKEN)
        if len(self._line) == 2:
            self._line.clear()
            self._step = self._read_header
        return end

    def _read_end(self, data: bytes, at: int, pieces: list[Buffer]) -> int:
        """Everything after the last chunk's header; it is taken apart in `finish`."""
        self._line += data[at : at + MAX_TRAILER_BYTES + 1]
        if len(self._line) > MAX_TRAILER_BYTES:
            raise MalformedTrailerError()
        return len(data)

    def _ended(self) -> bool:
        """Whether the stream's last line came: an empty one, in a signed trailer after its signature."""
        if not self._trailer:
            return self._line == b"\r\n"
        if self._verifier is not None:
            return _SIGNED_END.search(self._line) is not None
        return self._line == b"\r\n" or self._line.endswith(b"\r\n\r\n")

    def _trailers(self) -> dict[str, str]:
        if not self._trailer:
            return {}
        trailers = self._parse_trailer()
        signature = trailers.pop(_TRAILER_SIGNATURE, None)
        if any(name != self._announced for name in trailers):
            raise MalformedTrailerError()
        if self._verifier is not None:
            self._check_trailer(self._verifier, trailers, signature)
        return trailers

    def _parse_trailer(self) -> dict[str, str]:
        match = _TRAILER.fullmatch(self._line)
        if match is None:
            raise MalformedTrailerError()
        lines = [
            (name.decode().lower(), value.decode("latin-1").strip())
            for name, value in _LINE.findall(match[1])
        ]
        if len(dict(lines)) != len(lines) or _TRAILER_SIGNATURE in [name for name, _ in lines[:-1]]:
            raise MalformedTrailerError()
        return dict(lines)

    def _check_trailer(
        self, verifier: ChunkVerifier, trailers: dict[str, str], signature: str | None
    ) -> None:
        if signature is None:
            raise MalformedTrailerError()
        canonical = "".join(f"{name}:{value}\n" for name, value in trailers.items())
        verifier.trailer(hashlib.sha256(canonical.encode("latin-1")).hexdigest(), signature)
