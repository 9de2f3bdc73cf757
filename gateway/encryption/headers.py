"""What a request asks for: the `x-amz-server-side-encryption*` headers as a `Wish`. Pure, no cryptography.

Sources: https://docs.aws.amazon.com/AmazonS3/latest/userguide/serv-side-encryption.html,
https://docs.aws.amazon.com/AmazonS3/latest/userguide/ServerSideEncryptionCustomerKeys.html
"""

import functools
import hashlib
import hmac
import ipaddress
import json
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.checksums import decode_digest
from gateway.encryption.record import Mode
from gateway.errors import InvalidArgument, InvalidRequest, NotImplemented_, S3Error
from gateway.policy_keys import is_secure, source_ip
from gateway.request import Request

SSE = "x-amz-server-side-encryption"
KMS_KEY = f"{SSE}-aws-kms-key-id"
CONTEXT = f"{SSE}-context"
BUCKET_KEY = f"{SSE}-bucket-key-enabled"
CUSTOMER_ALGORITHM = f"{SSE}-customer-algorithm"
CUSTOMER_KEY = f"{SSE}-customer-key"
CUSTOMER_MD5 = f"{SSE}-customer-key-md5"

OWN = "x-amz-"
SOURCE = "x-amz-copy-source-"
"""The two families of customer headers: for the object itself, and for the source of a copy."""
_REST = "server-side-encryption-customer-"

OF_A_WRITE = frozenset({SSE, KMS_KEY, CONTEXT, BUCKET_KEY, CUSTOMER_ALGORITHM, CUSTOMER_KEY, CUSTOMER_MD5})
_OF_THE_GATEWAY = (SSE, KMS_KEY, CONTEXT, BUCKET_KEY)
_OF_THE_CUSTOMER = {
    prefix: tuple(f"{prefix}{_REST}{name}" for name in ("algorithm", "key", "key-md5"))
    for prefix in (OWN, SOURCE)
}

DSSE = "aws:kms:dsse"
_MAX_CONTEXT_BYTES = 8192
_MUST = "Requests specifying Server Side Encryption with Customer provided keys must"


@dataclass(frozen=True, slots=True)
class CustomerKey:
    """A customer's key (32 bytes) and its MD5 in base64, which answers repeat."""

    key: bytes
    md5: str

    def __repr__(self) -> str:
        return f"CustomerKey(md5={self.md5!r})"

    @property
    def headers(self) -> dict[str, str]:
        """The headers of an answer."""
        return {CUSTOMER_ALGORITHM: "AES256", CUSTOMER_MD5: self.md5}


@dataclass(frozen=True, slots=True)
class Wish:
    """What a new object is to be encrypted with. `kms`: the key's id or ARN, empty: the default one.

    `context`: the encryption context in base64, as given. `bucket_key`: a label, None where nothing was said.
    """

    mode: Mode
    kms: str = ""
    context: str = ""
    bucket_key: bool | None = None
    customer: CustomerKey | None = None


def wish_of(headers: Mapping[str, str]) -> Wish | None:
    """What the headers of a write ask for, None: nothing. Raises InvalidArgument, InvalidRequest, NotImplemented."""
    if OF_A_WRITE.isdisjoint(headers):
        return None
    customer = customer_key(headers)
    if customer is None:
        return _gateway_wish(headers)
    if not headers.keys().isdisjoint(_OF_THE_GATEWAY):
        raise InvalidArgument(
            "Server Side Encryption with Customer provided key is incompatible with the encryption method specified",
            ArgumentName=SSE,
            ArgumentValue=headers.get(SSE, "null"),
        )
    return Wish(Mode.CUSTOMER, customer=customer)


def _gateway_wish(headers: Mapping[str, str]) -> Wish | None:
    mode = headers.get(SSE)
    if mode == DSSE:
        raise NotImplemented_(f"{DSSE} is not implemented.", Header=SSE)
    if mode not in (None, Mode.S3, Mode.KMS):
        raise _argument("The encryption method specified is not supported", SSE, mode or "")
    for name in (KMS_KEY, CONTEXT):
        if name in headers and mode != Mode.KMS:
            raise _argument(
                f"Server Side Encryption with AWS KMS managed key requires HTTP header {SSE} : aws:kms",
                SSE,
                mode or "null",
            )
    bucket_key = bucket_key_of(headers)
    if mode is None:
        return None  # a bucket key alone says nothing of the mode: the bucket's default counts
    if mode == Mode.S3:
        return Wish(Mode.S3)
    kms = headers.get(KMS_KEY)
    if kms == "":
        raise _argument("Invalid KMS key id.", KMS_KEY, "")
    return Wish(Mode.KMS, kms or "", _context(headers), bucket_key)


def bucket_key_of(headers: Mapping[str, str]) -> bool | None:
    """What the request says of a bucket key, None: nothing. Raises InvalidArgument."""
    value = headers.get(BUCKET_KEY)
    if value is None:
        return None
    if value.lower() not in ("true", "false"):
        raise _argument(f"The {BUCKET_KEY} header must be true or false.", BUCKET_KEY, value)
    return value.lower() == "true"


def _context(headers: Mapping[str, str]) -> str:
    value = headers.get(CONTEXT, "")
    try:
        found = json.loads(b64decode(value, validate=True)) if value else {}
    except (ValueError, RecursionError):  # Base64Error and UnicodeError are ValueErrors
        found = None
    strings = isinstance(found, dict) and all(isinstance(text, str) for text in found.values())
    if not strings or len(value) > _MAX_CONTEXT_BYTES:
        raise _argument(
            f"The header '{CONTEXT}' shall be Base64-encoded UTF-8 string holding JSON which represents a "
            "string-string map",
            CONTEXT,
            value,
        )
    return value


def customer_key(headers: Mapping[str, str], family: str = OWN) -> CustomerKey | None:
    """The customer's key in the headers of one family, None if there are none. Raises InvalidArgument."""
    names = _OF_THE_CUSTOMER[family]
    if headers.keys().isdisjoint(names):
        return None
    algorithm, key, md5 = (headers.get(name, "") for name in names)
    if algorithm != "AES256":
        raise _argument(f"{_MUST} provide a valid encryption algorithm.", names[0], algorithm)
    if not key:
        raise _argument(f"{_MUST} provide an appropriate secret key.", names[1], "null")
    if not md5:
        raise _argument(f"{_MUST} provide the client calculated MD5 of the secret key.", names[2], "null")
    return _checked_key(key, md5, names)


def _checked_key(key: str, md5: str, names: tuple[str, ...]) -> CustomerKey:
    """The key, whose value no error repeats."""
    try:
        secret = b64decode(key, validate=True)
    except (Base64Error, ValueError):
        secret = b""
    if len(secret) != 32:
        raise InvalidArgument(
            "The secret key was invalid for the specified algorithm.", ArgumentName=names[1]
        )
    expected = decode_digest(md5, 16)
    found = hashlib.md5(secret, usedforsecurity=False).digest()
    if expected is None or not hmac.compare_digest(expected, found):
        raise _argument(
            "The calculated MD5 hash of the key did not match the hash that was provided.", names[2], md5
        )
    return CustomerKey(secret, md5)


TOLD_IN = frozenset({SSE}).union(*_OF_THE_CUSTOMER.values())
"""The headers that speak of encryption to a read."""


def refuse_modes(headers: Mapping[str, str]) -> None:
    """Reads, parts and completions take what the object has; one that names a mode is refused. Raises InvalidArgument."""
    if SSE in headers:
        raise _argument(f"{SSE} header is not supported for this operation.", SSE, headers[SSE])


def has_customer_headers(headers: Mapping[str, str], family: str = OWN) -> bool:
    """Whether there is any header of a customer's key."""
    return not headers.keys().isdisjoint(_OF_THE_CUSTOMER[family])


def require_secure(request: Request, trusted_proxies: Sequence[str]) -> None:
    """A customer's key travels over TLS, or within this machine. Raises InvalidRequest."""
    if not (is_secure(request, trusted_proxies) or _is_loopback(source_ip(request, trusted_proxies))):
        raise InvalidRequest(f"{_MUST} be made over a secure connection.")


@functools.lru_cache(maxsize=256)
def _is_loopback(client: str) -> bool:
    try:
        return ipaddress.ip_address(client).is_loopback
    except ValueError:
        return False


def _argument(message: str, name: str, value: str) -> S3Error:
    return InvalidArgument(message, ArgumentName=name, ArgumentValue=value[:256])
