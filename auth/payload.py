"""What `x-amz-content-sha256` says about a body.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-auth-using-authorization-header.html
"""

from collections.abc import Callable
from functools import lru_cache

from auth.checks import shown
from auth.credential import Caller
from auth.identity import PLAIN, BodyMode, Verified
from auth.sigv4 import EMPTY_SHA256, UNSIGNED_PAYLOAD
from auth.streaming import ChunkChain
from gateway.errors import InvalidArgument

STREAMING_UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
STREAMING_SIGNED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
STREAMING_SIGNED_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"

_FIXED: dict[str, BodyMode] = {
    UNSIGNED_PAYLOAD: PLAIN,
    EMPTY_SHA256: BodyMode(sha256=EMPTY_SHA256),
    STREAMING_UNSIGNED_TRAILER: BodyMode(chunked=True, trailer=True),
}
_SIGNED_CHUNKS: dict[str, Callable[[ChunkChain], BodyMode]] = {
    STREAMING_SIGNED: lambda chain: BodyMode(chunked=True, chunks=chain),
    STREAMING_SIGNED_TRAILER: lambda chain: BodyMode(chunked=True, trailer=True, chunks=chain),
}
_HEX = frozenset("0123456789abcdefABCDEF")


def is_streaming(payload: str | None) -> bool:
    """Whether a body is announced as framed, in whatever spelling."""
    return payload is not None and payload.strip().upper().startswith("STREAMING-")


def check_payload(payload: str) -> None:
    """Raise InvalidArgument for what `x-amz-content-sha256` cannot be."""
    if payload in _FIXED or payload in _SIGNED_CHUNKS or (len(payload) == 64 and _HEX.issuperset(payload)):
        return
    raise InvalidArgument(
        "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD, "
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER, STREAMING-UNSIGNED-PAYLOAD-TRAILER, or a valid sha256 value.",
        ArgumentName="x-amz-content-sha256",
        ArgumentValue=shown(payload),
    )


def signs_chunks(payload: str) -> bool:
    """Whether each chunk of the body carries a signature."""
    return payload in _SIGNED_CHUNKS


def body_mode(payload: str) -> BodyMode:
    """The body behind a checked payload word whose chunks are not signed."""
    return _FIXED.get(payload) or BodyMode(sha256=payload.lower())


def chunked_mode(payload: str, chain: ChunkChain) -> BodyMode:
    """The body behind a payload word whose chunks are signed."""
    return _SIGNED_CHUNKS[payload](chain)


@lru_cache(maxsize=4096)
def settled(caller: Caller, scheme: str, presigned: bool, payload: str) -> Verified:
    """The outcome for a caller and a body that needs no state of its own; for the words of `_FIXED` only."""
    return Verified(caller.identity, scheme, presigned, _FIXED[payload])


def verified(caller: Caller, scheme: str, presigned: bool, payload: str) -> Verified:
    """The outcome for a caller whose chunks are not signed."""
    if payload in _FIXED:
        return settled(caller, scheme, presigned, payload)
    return Verified(caller.identity, scheme, presigned, body_mode(payload))
