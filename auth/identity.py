"""Who is calling, and what the signature promises about the body."""

import functools
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

OWNER_ID = "6d9a1b1a3ab2f0a4d5c1c0f3f2a5a0e7a8c36b29f4de0d1f9a7f0b8f7c2e4d51"
"""The canonical user id of the owner of everything: of all keys without an account."""
OWNER_NAME = "s3gw"


@functools.lru_cache(maxsize=4096)
def canonical_id(account: str) -> str:
    """The canonical user id (64 hexadecimal digits) of an account's name; an empty name is the owner of everything."""
    return hashlib.sha256(b"s3gw account " + account.encode()).hexdigest() if account else OWNER_ID


@functools.lru_cache(maxsize=4096)
def account_number(account: str) -> str:
    """The twelve digits that ARNs name an account by: its name if that is such a number, else a number made of it."""
    if len(account) == 12 and account.isascii() and account.isdigit():
        return account
    return f"{int(canonical_id(account)[:15], 16) % 10**12:012d}"


@dataclass(frozen=True, slots=True)
class Identity:
    """A verified caller, or nobody: `access_key` empty means anonymous.

    `account` is a canonical user id, `name` the account's name. `policy` and `session_policy` are JSON texts that narrow
    what the key may do: that of the credential, and that of a session (STS). `session` is the name of a
    session with a role, `parent` the key that any session was made with, `issued` when (Unix seconds).
    """

    access_key: str = ""
    account: str = OWNER_ID
    name: str = ""
    policy: str | None = None
    session_policy: str | None = None
    session: str = ""
    parent: str = ""
    issued: int = 0

    @property
    def anonymous(self) -> bool:
        """Whether the request carried no credentials."""
        return not self.access_key

    @property
    def user(self) -> str:
        """The key that the caller is, or whose session it is: what is said of the key is said of its sessions."""
        return self.parent or self.access_key

    @property
    def owns_everything(self) -> bool:
        """Whether the key has no account of its own."""
        return self.account == OWNER_ID


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
