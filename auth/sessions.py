"""Sessions: temporary keys that need no store (STS).

A session token carries what the session is, authenticated under the secret of the key that it was made with (its
parent). The temporary secret key is derived from that secret and the token, so every instance with the same credentials
knows it, and disabling the parent or changing its secret ends all its sessions.

    token   = base64url(body || HMAC-SHA256(key "token", body)), without padding
    body    = parent's access key, line feed, JSON of the terms
    secret  = the first 40 characters of base64(HMAC-SHA256(key "secret", body))

Both keys are HMACs of a label under the parent's secret (one step of HKDF, RFC 5869), so neither tells of the other.
Pure: no I/O; the clock is the caller's.
"""

import hmac
import json
import re
import secrets
import string
from base64 import b64encode, urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from functools import lru_cache

from auth.credential import Caller, Credential, Lookup
from auth.identity import Identity, canonical_id
from gateway.errors import ExpiredToken, InvalidToken, Kind

MAX_TOKEN_CHARACTERS = 8192
MAX_POLICY_CHARACTERS = 2048
"""Of a session's policy, as on AWS."""
KEY_PREFIX = "ASIA"

PackedPolicyTooLarge = Kind(
    "PackedPolicyTooLarge", 400, "The total packed size of the session policies is too large."
)

_ALPHABET = string.ascii_uppercase + "234567"
_TOKEN = re.compile(rf"[A-Za-z0-9_-]{{64,{MAX_TOKEN_CHARACTERS}}}")
_TOKEN_KEY = b"s3gw session token v1"
_SECRET_KEY = b"s3gw session secret v1"
_MAC_BYTES = 32
_SECRET_CHARACTERS = 40


@dataclass(frozen=True, slots=True)
class Terms:
    """What a session is. Times in Unix seconds.

    `name` is that of a session with a role. `policy` narrows what its parent may do. `account` is the name of another
    account than the parent's, for an unrestricted key of the owner of everything only; empty is the parent's own.
    """

    issued: int
    expires: int
    name: str = ""
    policy: str | None = None
    account: str = ""


@dataclass(frozen=True, slots=True)
class Minted:
    """The temporary credentials of a new session. Its repr hides what is secret."""

    access_key: str
    secret_key: str = field(repr=False)
    token: str = field(repr=False)
    expires: int


@dataclass(frozen=True, slots=True)
class _Session:
    caller: Caller
    expires: int


def mint(parent: Credential, terms: Terms) -> Minted:
    """Make a session of a key. Raises PackedPolicyTooLarge for a policy, or a whole token, beyond its limit."""
    if len(terms.policy or "") > MAX_POLICY_CHARACTERS:
        raise PackedPolicyTooLarge()
    access_key = KEY_PREFIX + "".join(secrets.choice(_ALPHABET) for _ in range(16))
    body = _body(parent.access_key, access_key, terms)
    token = urlsafe_b64encode(body + _derive(parent, _TOKEN_KEY, body)).rstrip(b"=").decode()
    if len(token) > MAX_TOKEN_CHARACTERS:
        raise PackedPolicyTooLarge()
    return Minted(access_key, _secret(parent, body), token, terms.expires)


def open_token(token: str, access_key: str, lookup: Lookup, now: float) -> Caller:
    """The caller behind a temporary access key and its token. `now` in Unix seconds.

    Raises ExpiredToken, and InvalidToken for all else: a token that was never made here, whose parent is unknown or
    disabled or has another secret, or that belongs to another access key.
    """
    parent = lookup(_parent_of(token))
    if parent is None or not parent.enabled:
        raise InvalidToken()
    session = _opened(parent, token)
    if session.caller.identity.access_key != access_key:
        raise InvalidToken()
    if now >= session.expires:
        raise ExpiredToken()
    return session.caller


def _parent_of(token: str) -> str:
    """The access key that a token names; nothing is proved yet."""
    head, line_feed, _ = _decode(token).partition(b"\n")
    if not line_feed or not head.isascii():
        raise InvalidToken()
    return head.decode()


@lru_cache(maxsize=1024)
def _opened(parent: Credential, token: str) -> _Session:
    """A token that its parent's secret proves; those that it does not are not kept."""
    packed = _decode(token)
    body, mac = packed[:-_MAC_BYTES], packed[-_MAC_BYTES:]
    if not hmac.compare_digest(mac, _derive(parent, _TOKEN_KEY, body)):
        raise InvalidToken()
    access_key, terms = _terms(body)
    if terms.account and (
        parent.account or parent.policy is not None
    ):  # the key was the owner's, and unrestricted
        raise InvalidToken()
    account = terms.account or parent.account
    identity = Identity(
        access_key,
        canonical_id(account),
        account,
        parent.policy,
        session_policy=terms.policy,
        session=terms.name,
        parent=parent.access_key,
        issued=terms.issued,
    )
    return _Session(Caller(_secret(parent, body), identity), terms.expires)


def _decode(token: str) -> bytes:
    if not _TOKEN.fullmatch(token):
        raise InvalidToken()
    try:
        return urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except ValueError:
        raise InvalidToken() from None


def _body(parent: str, access_key: str, terms: Terms) -> bytes:
    values = [
        access_key,
        terms.issued,
        terms.expires,
        terms.name,
        terms.policy,
        terms.account,
    ]
    text = f"{parent}\n{json.dumps(values, ensure_ascii=False, separators=(',', ':'))}"
    return text.encode(errors="surrogatepass")  # as json.loads reads it


def _terms(body: bytes) -> tuple[str, Terms]:
    access_key, *values = json.loads(body.partition(b"\n")[2])
    return access_key, Terms(*values)


def _secret(parent: Credential, body: bytes) -> str:
    return b64encode(_derive(parent, _SECRET_KEY, body)).decode()[:_SECRET_CHARACTERS]


def _derive(parent: Credential, label: bytes, body: bytes) -> bytes:
    key = hmac.digest(parent.secret_key.encode(), label, "sha256")
    return hmac.digest(key, body, "sha256")
