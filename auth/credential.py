"""A key pair and what it may look like."""

from collections.abc import Callable
from dataclasses import dataclass, field

ACCESS_KEY_LENGTH = range(3, 129)
SECRET_KEY_LENGTH = range(8, 129)


@dataclass(frozen=True, slots=True)
class Credential:
    """A key pair. `created_at` is in Unix seconds. Its repr hides the secret."""

    access_key: str
    secret_key: str = field(repr=False)
    created_at: int = 0
    enabled: bool = True
    description: str = ""


Lookup = Callable[[str], Credential | None]
"""From an access key to its credential; None if it is unknown (or disabled)."""


def check_pair(access_key: str, secret_key: str) -> None:
    """Raise ValueError, in a sentence for people, if the pair cannot be a credential."""
    _check("access key", access_key, ACCESS_KEY_LENGTH)
    _check("secret key", secret_key, SECRET_KEY_LENGTH)
    if any(c in access_key for c in "\"',"):
        raise ValueError("The access key must not contain quotes or commas.")


def _check(what: str, text: str, length: range) -> None:
    if len(text) not in length:
        raise ValueError(
            f"The {what} must have {length.start} to {length.stop - 1} characters; this one has {len(text)}."
        )
    if not all("!" <= c <= "~" for c in text):
        raise ValueError(f"The {what} must be printable ASCII without blanks.")
