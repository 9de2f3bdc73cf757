"""Who is calling, and what the signature promises about the body."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

OWNER_ID = "6d9a1b1a3ab2f0a4d5c1c0f3f2a5a0e7a8c36b29f4de0d1f9a7f0b8f7c2e4d51"
"""The canonical user id of the owner of everything (there is one account)."""
OWNER_NAME = "s3gw"


@dataclass(frozen=True, slots=True)
class Identity:
    """A verified caller, or nobody: `access_key` empty means anonymous."""

    access_key: str = ""
    account: str = OWNER_ID

    @property
    def anonymous(self) -> bool:
        """Whether the request carried no credentials."""
        return not self.access_key


ANONYMOUS = Identity(account="")


class ChunkVerifier(Protocol):
    """Checks the chain of signatures inside an aws-chunked body, in the order of the stream."""

    def chunk(self, sha256: str, signature: str) -> None:
        """Check the next chunk (also the empty last one) by the hexadecimal SHA-256 of its data, or SignatureDoesNotMatch."""

    def trailer(self, sha256: str, signature: str) -> None:
        """Check the trailer by the hex SHA-256 of its canonical lines (`name:value\\n` each), or SignatureDoesNotMatch."""


@dataclass(frozen=True, slots=True)
class BodyMode:
    """What the signature says about the body.

    Source: https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html
    """

    sha256: str | None = None
    """Hexadecimal digest that the body must have; else XAmzContentSHA256Mismatch."""
    chunked: bool = False
    """The body is framed as aws-chunked."""
    trailer: bool = False
    """The framing ends with trailing headers."""
    chunks: ChunkVerifier | None = None
    """Each chunk (and the trailer) carries a signature."""
    deferred: Callable[[str], None] | None = None
    """The signature covers the body but did not name its hash: to be called with the body's hexadecimal SHA-256
    before anything is kept; raises SignatureDoesNotMatch."""


PLAIN = BodyMode()


@dataclass(frozen=True, slots=True)
class Verified:
    """The outcome of `auth.verify`: the caller, how it was known (`none`, `v4`, `v2`), and the body to expect."""

    identity: Identity
    scheme: str = "none"
    presigned: bool = False
    body: BodyMode = PLAIN
