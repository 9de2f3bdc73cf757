"""The texts of a policy: wildcards and variables.

`*` stands for any characters, also none and also slashes, `?` for exactly one. A variable such as `${aws:username}` stands
for the value of a condition key, and only for that: a `*` in the value is a character, not a wildcard. `${*}`, `${?}` and
`${$}` are the characters themselves, and `${aws:username, 'nobody'}` has a value also where the key is absent. Variables
exist since Version 2012-10-17; in an older policy they are plain text.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

Keys = Mapping[str, tuple[str, ...]]
"""The condition keys of a request, by lower-case name. A key that is absent, or has no values, is absent."""


class PolicyError(ValueError):
    """A policy that cannot be; its text is AWS's message where AWS has one."""


class Wildcard(Enum):
    """A wildcard, by the character it is written as."""

    ANY = "*"
    ONE = "?"


class Variable(NamedTuple):
    """The name of a condition key, in lower case, and what to take where that is absent."""

    key: str
    default: str | None


Resolved = tuple[str | Wildcard, ...]
"""A text whose variables have their values."""

_TOKEN = re.compile(r"\$\{([^}]*)\}|([*?])|([^*?$]+|\$)")
_VARIABLE = re.compile(r"\s*([A-Za-z0-9]+:[^\s,'{}]+|[*?$])\s*(?:,\s*'([^']*)'\s*)?")


@dataclass(frozen=True, slots=True)
class Template:
    """A text of a policy, taken apart."""

    pieces: tuple[str | Wildcard | Variable, ...]
    constant: Resolved | None
    """The pieces, if no variable is among them."""

    def resolve(self, keys: Keys) -> Resolved | None:
        """The text with its variables replaced; None if one of them has no value, or several."""
        pieces: list[str | Wildcard] = []
        for piece in self.pieces:
            value = _value(piece, keys) if isinstance(piece, Variable) else piece
            if value is None:
                return None
            pieces.append(value)
        return tuple(pieces)

    @property
    def variables(self) -> Iterator[str]:
        """The condition keys that the text asks for."""
        return (piece.key for piece in self.pieces if isinstance(piece, Variable))


def template(text: str, *, variables: bool) -> Template:
    """Take a text apart. `variables`: the policy's version has them. Raises PolicyError."""
    pieces = tuple(_pieces(text, variables))
    constant = tuple(piece for piece in pieces if not isinstance(piece, Variable))
    return Template(pieces, constant if len(constant) == len(pieces) else None)


def literal(text: Resolved) -> str:
    """The text, with wildcards as the characters they are written as."""
    return "".join(piece if isinstance(piece, str) else piece.value for piece in text)


def has_wildcard(text: Resolved) -> bool:
    """Whether the text stands for more than itself."""
    return any(isinstance(piece, Wildcard) for piece in text)


@lru_cache(maxsize=4096)
def pattern(text: Resolved, flags: int = 0) -> re.Pattern[str]:
    """The regular expression that fully matches what the text stands for.

    What stands between two `*` is found where it comes first and never looked for again (an atomic group), so that no
    pattern takes more than the product of the two lengths.
    """
    parts: list[str] = [""]
    for piece in text:
        if piece is Wildcard.ANY:
            parts.append("")
        else:
            parts[-1] += "." if isinstance(piece, Wildcard) else re.escape(piece)
    first, *middle, last = parts if len(parts) > 1 else ("", parts[0])
    between = "".join(f"(?>.*?{part})" for part in middle if part)
    rest = ".*" if len(parts) > 1 else ""
    return re.compile(rf"{first}{between}{rest}{last}\Z", flags | re.DOTALL)


def matches(text: Resolved, value: str) -> bool:
    """Whether a text with wildcards stands for a value."""
    return pattern(text).match(value) is not None


def _pieces(text: str, variables: bool) -> Iterator[str | Wildcard | Variable]:
    for found in _TOKEN.finditer(text):
        name, wildcard, plain = found.groups()
        if name is not None:
            yield _variable(name) if variables else f"${{{name}}}"
        elif wildcard:
            yield Wildcard(wildcard)
        else:
            yield plain


def _variable(name: str) -> str | Variable:
    found = _VARIABLE.fullmatch(name)
    if found is None:
        raise PolicyError(f"Invalid policy variable: ${{{name}}}")
    key, default = found.groups()
    return key if key in "*?$" else Variable(key.lower(), default)


def _value(variable: Variable, keys: Keys) -> str | None:
    values = keys.get(variable.key, ())
    if len(values) > 1:
        return None
    return values[0] if values else variable.default
