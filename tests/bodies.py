"""Bodies without a server: ASGI messages, and aws-chunked framing with signatures."""

import hashlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from auth.identity import PLAIN
from auth.sigv4 import sign, signing_key
from auth.streaming import ChunkChain
from gateway.body import Body
from gateway.spool import Spool

SEED = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
STAMP = "20130524T000000Z"
SCOPE = "20130524/us-east-1/s3/aws4_request"
KEY = signing_key("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "20130524", "us-east-1")
EMPTY = hashlib.sha256(b"").hexdigest()


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def receiver(parts: Iterable[bytes], *, disconnect: bool = False) -> Callable[[], Awaitable[dict[str, Any]]]:
    """An ASGI receive that hands out the parts, then the end of the body or the client's departure."""
    waiting = iter(list(parts))

    async def receive() -> dict[str, Any]:
        part = next(waiting, None)
        if part is not None:
            return {"type": "http.request", "body": part, "more_body": True}
        if disconnect:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": b"", "more_body": False}

    return receive


def body(parts: Sequence[bytes], spool: Spool, *, disconnect: bool = False, **options: Any) -> Body:
    """A Body of these messages; plain and of the right length unless the options say otherwise."""
    usual = {
        "mode": PLAIN,
        "content_length": sum(map(len, parts)),
        "decoded_length": None,
        "md5": None,
        "checksum": None,
        "limit": 5 * 1024**3,
    }
    return Body(receiver(parts, disconnect=disconnect), spool=spool, **{**usual, **options})


def chain(seed: str = SEED) -> ChunkChain:
    return ChunkChain(KEY, STAMP, SCOPE, seed, "AKIAIOSFODNN7EXAMPLE")


class Framer:
    """Writes what a client sends: chunks, signed or not, and a trailer."""

    def __init__(self, *, signed: bool = True) -> None:
        self._previous = SEED if signed else ""

    def chunk(self, data: bytes) -> bytes:
        head = f"{len(data):x}"
        if self._previous:
            text = [STAMP, SCOPE, self._previous, EMPTY, hashlib.sha256(data).hexdigest()]
            self._previous = sign(KEY, "\n".join(["AWS4-HMAC-SHA256-PAYLOAD", *text]))
            head += f";chunk-signature={self._previous}"
        return head.encode() + b"\r\n" + data + (b"\r\n" if data else b"")

    def trailer(self, *lines: str, end: str = "\r\n") -> bytes:
        framed = "".join(line + end for line in lines)
        if self._previous:
            digest = hashlib.sha256("".join(line + "\n" for line in lines).encode()).hexdigest()
            text = [STAMP, SCOPE, self._previous, digest]
            framed += (
                f"x-amz-trailer-signature:{sign(KEY, chr(10).join(['AWS4-HMAC-SHA256-TRAILER', *text]))}\r\n"
            )
        return framed.encode() + b"\r\n"

    def frame(self, chunks: Iterable[bytes], *lines: str, trailer: bool = False) -> bytes:
        data = b"".join([self.chunk(chunk) for chunk in chunks]) + self.chunk(b"")
        return data + (self.trailer(*lines) if trailer else b"\r\n")
