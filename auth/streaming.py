"""The chain of signatures inside an aws-chunked body.

Sources: https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html,
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html
"""

import logging

from auth.mac import Mac
from auth.sigv4 import EMPTY_SHA256, same, sign
from gateway.errors import SignatureDoesNotMatch

log = logging.getLogger(__name__)


class ChunkChain:
    """The ChunkVerifier of one body: each signature covers the one before it, the first the request's own (the seed)."""

    __slots__ = ("_access_key", "_key", "_previous", "_scope")

    def __init__(self, key: Mac, timestamp: str, scope: str, seed: str, access_key: str) -> None:
        self._key = key
        self._scope = f"{timestamp}\n{scope}"
        self._previous = seed
        self._access_key = access_key

    def chunk(self, sha256: str, signature: str) -> None:
        """Check the next chunk by the hexadecimal SHA-256 of its data. Raises SignatureDoesNotMatch."""
        self._check(
            f"AWS4-HMAC-SHA256-PAYLOAD\n{self._scope}\n{self._previous}\n{EMPTY_SHA256}\n{sha256}", signature
        )

    def trailer(self, sha256: str, signature: str) -> None:
        """Check the trailer by the hexadecimal SHA-256 of its canonical lines. Raises SignatureDoesNotMatch."""
        self._check(f"AWS4-HMAC-SHA256-TRAILER\n{self._scope}\n{self._previous}\n{sha256}", signature)

    def _check(self, text: str, provided: str) -> None:
        if not same(sign(self._key, text), provided):
            log.debug("refused a chunk: its signature does not match, access key %r", self._access_key)
            raise SignatureDoesNotMatch(AWSAccessKeyId=self._access_key, StringToSign=text)
        self._previous = provided
