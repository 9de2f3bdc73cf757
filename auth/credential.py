"""A key pair and what it may look like, and the caller that a key pair stands for."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

from auth.identity import OWNER_NAME, Identity, canonical_id

ACCESS_KEY_LENGTH = range(3, 129)
SECRET_KEY_LENGTH = range(8, 129)

_ACCOUNT = re.compile(r"[A-Za-z0-9@._+-]{1,64}")
_CANONICAL_ID = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True)
class Credential:
    """A key pair. `created_at` is in Unix seconds. Its repr hides the secret.

    `account` is the name of the account that the key belongs to; empty is the owner of everything. `policy` is a JSON text
    that narrows what the key may do.
    """

    access_key: str
    secret_key: str = field(repr=False)
    created_at: int = 0
    enabled: bool = True
    description: str = ""
    account: str = ""
    policy: str | None = None

    def __hash__(self) -> int:
        """Of the key alone: credentials are looked up in caches with each request."""
        return hash(self.access_key)


Lookup = Callable[[str], Credential | None]
"""From an access key to its credential; None if it is unknown (or disabled)."""


@dataclass(frozen=True, slots=True, eq=False)
class Caller:
    """Who signs, and with which secret: a credential's key, or the temporary one of a session."""

    secret_key: str = field(repr=False)
    identity: Identity


@lru_cache(maxsize=4096)
def caller(credential: Credential) -> Caller:
    """The caller behind a credential (cached: it is made once a key, not once a request)."""
    account = credential.account
    identity = Identity(credential.access_key, canonical_id(account), account, credential.policy)
    return Caller(credential.secret_key, identity)


def check_pair(access_key: str, secret_key: str) -> None:
    """Raise ValueError, in a sentence for people, if the pair cannot be a credential."""
    _check("access key", access_key, ACCESS_KEY_LENGTH)
    _check("secret key", secret_key, SECRET_KEY_LENGTH)
    if any(c in access_key for c in "\"',"):
        raise ValueError("The access key must not contain quotes or commas.")


def check_account(name: str) -> None:
    """Raise ValueError, in a sentence for people, if this cannot be an account's name; empty is the owner of everything.

    The owner's own name and what looks like a canonical user id are refused: an account must not pass for another.
    """
    if name and not _ACCOUNT.fullmatch(name):
        raise ValueError("The account must have 1 to 64 letters, digits, and @ . _ - + characters.")
    if name == OWNER_NAME:
        raise ValueError(f'The account "{OWNER_NAME}" is the owner of everything; leave the account out.')
    if _CANONICAL_ID.fullmatch(name):
        raise ValueError("The account must not look like a canonical user id.")


def _check(what: str, text: str, length: range) -> None:
    if len(text) not in length:
        raise ValueError(
            f"The {what} must have {length.start} to {length.stop - 1} characters; this one has {len(text)}."
        )
    if not all("!" <= c <= "~" for c in text):
        raise ValueError(f"The {what} must be printable ASCII without blanks.")
