"""Encryption for handlers: how to seal a new object, and how to open one that is there.

    sealing = sealing_of(context)                None: nothing to encrypt
    opening = opening_of(context, info)          None: not encrypted

Both are quick where there is no encryption, and load no library then. Whatever stands in the way, an unreadable key
ring for example, is an error: nothing is stored plain that was to be encrypted.
"""

import hmac
import secrets
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from backends.base import NO_DOCS, Content, Doc, ObjectInfo, UploadInfo, Write
from gateway.context import Context
from gateway.encryption.document import load
from gateway.encryption.headers import (
    CONTEXT,
    OF_A_WRITE,
    OWN,
    SOURCE,
    SSE,
    TOLD_IN,
    CustomerKey,
    Wish,
    bucket_key_of,
    customer_key,
    has_customer_headers,
    refuse_modes,
    require_secure,
    wish_of,
)
from gateway.encryption.record import Mode, Record, read_record, record_headers
from gateway.errors import AccessDenied, InvalidRequest, NoSuchUpload, S3Error

if TYPE_CHECKING:
    from gateway.body import Encryptor
    from gateway.encryption.keyring import KeyRing

_SALT_BYTES = 16
_CUSTOMER_DATA_KEY = b"s3gw sse-c data key v1"
_CUSTOMER_CHECK = b"s3gw sse-c check v1"
_STORED_SO = (
    "The object was stored using a form of Server Side Encryption. The correct parameters must be provided to "
    "retrieve the object."
)


@dataclass(frozen=True, slots=True)
class Sealing:
    """How a new object, or a part, is encrypted; `headers` are those of the answer."""

    docs: Mapping[Doc, str]
    headers: dict[str, str]
    data_key: bytes

    def encryptor(self) -> "Encryptor":
        """A cipher for one body."""
        from gateway.encryption.frames import Sealer

        return Sealer(self.data_key)

    def kept(self, write: Write) -> Write:
        """The write, with the document that tells how its bytes are encrypted."""
        return replace(write, docs={**write.docs, **self.docs})


@dataclass(frozen=True, slots=True)
class Opening:
    """How an encrypted object is read; `headers` are those of the answer."""

    headers: dict[str, str]
    data_key: Callable[[], bytes]

    async def decrypted(self, content: Content) -> Content:
        """The plain bytes of the content's span. Closes it when that fails."""
        from gateway.encryption.reading import decrypted

        try:
            return await decrypted(content, self.data_key())
        except BaseException:
            content.close()
            raise


def sealing_of(context: Context, headers: Mapping[str, str] | None = None) -> Sealing | None:
    """How the request's object is to be encrypted: as its headers say, else by the bucket's default, else by ours.

    `headers` are those of the request unless others are given: none, where nobody asked.
    Raises InvalidArgument, InvalidRequest, NotImplemented, AccessDenied (customers' keys are blocked),
    KMS.NotFoundException.
    """
    wish = wanted(context, headers)
    return None if wish is None else seal(context, wish)


def wanted(context: Context, headers: Mapping[str, str] | None = None) -> Wish | None:
    """What the request's object is to be encrypted with; None: not at all. Raises as `sealing_of`."""
    headers = context.request.headers if headers is None else headers
    kept, encrypt_all = context.document_of_bucket(Doc.ENCRYPTION), context.services.encrypt_all
    if kept is None and not encrypt_all and OF_A_WRITE.isdisjoint(headers):
        return None
    rules, wish = load(kept), wish_of(headers)
    if wish is None:
        wish = rules.default or (Wish(Mode.S3) if encrypt_all else None)
        flag = bucket_key_of(headers)
        return wish if wish is None or flag is None else replace(wish, bucket_key=flag)
    if wish.customer is not None:
        _require_secure(context)
        if rules.blocks_customer_keys:
            raise AccessDenied(
                "Server Side Encryption with Customer provided keys is blocked for this bucket."
            )
    if wish.bucket_key is None and rules.default is not None:
        return replace(wish, bucket_key=rules.default.bucket_key)
    return wish


def encryptor_of(sealing: Sealing | None) -> "Encryptor | None":
    """The cipher of a body that is encrypted, if it is."""
    return None if sealing is None else sealing.encryptor()


def wanted_of_copy(context: Context, source: ObjectInfo) -> Wish | None:
    """What a copy is to be encrypted with; one of an encrypted object never lies there plain, whoever asks for nothing."""
    wish = wanted(context)
    return Wish(Mode.S3) if wish is None and Doc.SSE in source.docs else wish


def fits(context: Context, info: ObjectInfo, wish: Wish | None) -> bool:
    """Whether an object's stored bytes are encrypted as wished already. A customer's key never fits: each copy has its own.

    Raises KMS.NotFoundException, KMS.DisabledException.
    """
    kept = info.docs.get(Doc.SSE)
    if kept is None or wish is None:
        return kept is None and wish is None
    record = read_record(kept)
    if record.mode is not wish.mode or wish.mode is Mode.CUSTOMER:
        return False
    if wish.mode is Mode.S3:
        return True
    asked = (wish.kms or _keys(context).kms("").id, wish.context, bool(wish.bucket_key))
    return (record.kms, record.context, record.bucket_key) == asked and bool(_keys(context).kms(record.kms))


def seal(context: Context, wish: Wish) -> Sealing:
    """A new data key for one object, kept as the wish says. Raises KMS.NotFoundException, KeyRingError."""
    if wish.customer is not None:
        record, data_key = _new_customer_record(wish.customer)
        return Sealing({Doc.SSE: str(record)}, wish.customer.headers, data_key)
    data_key = secrets.token_bytes(32)
    kms = wish.mode is Mode.KMS
    blank = Record(wish.mode, context=wish.context, bucket_key=kms and bool(wish.bucket_key))
    if kms:
        blank = replace(blank, kms=wish.kms or _keys(context).kms("").id)
    record = _keys(context).wrap(blank, data_key)
    headers = record_headers(record)
    if wish.context:
        headers[CONTEXT] = wish.context
    return Sealing({Doc.SSE: str(record)}, headers, data_key)


def sealing_of_part(context: Context, upload: UploadInfo) -> Sealing | None:
    """How a part of an upload is encrypted: as the upload is; a customer's key must come again.

    A mode is refused unless it is the upload's own, which some clients repeat. Raises InvalidArgument, InvalidRequest.
    """
    headers, kept = context.request.headers, upload.write.docs.get(Doc.SSE)
    record = read_record(kept) if kept is not None else None
    if record is None or headers.get(SSE) != record_headers(record).get(SSE):
        refuse_modes(headers)
    if record is None:
        if has_customer_headers(headers):
            raise _not_requested()
        return None
    if record.mode is not Mode.CUSTOMER:
        if has_customer_headers(headers):
            raise _not_requested()
        return Sealing(NO_DOCS, record_headers(record), _keys(context).unwrap(record))
    customer = _customer_of(context, OWN)
    if customer is None:
        raise InvalidRequest(
            "The multipart upload initiate requested encryption. Subsequent part requests must include the "
            "appropriate encryption parameters."
        )
    data_key = customer_data_key(record, customer)
    if data_key is None:
        raise InvalidRequest("The provided encryption parameters did not match the ones used originally.")
    return Sealing(NO_DOCS, customer.headers, data_key)


async def check_completion(context: Context) -> None:
    """A completion need not say again how the upload is encrypted, but what it says must be right: mc names the mode.

    Raises InvalidArgument, InvalidRequest.
    """
    headers = context.request.headers
    if SSE not in headers and not has_customer_headers(headers):
        return
    try:
        upload = await context.multipart.head_upload(context.ref, context.param("uploadId"))
    except S3Error as error:
        if error.kind is NoSuchUpload:  # perhaps it is completed: the store answers the same again
            return
        raise
    sealing_of_part(context, upload)


def opening_of(context: Context, info: ObjectInfo, *, source: bool = False) -> Opening | None:
    """How to read an object (`source`: that of a copy); None: it is not encrypted.

    Raises InvalidArgument, InvalidRequest (a customer's key is missing, or too many), AccessDenied (a wrong one).
    """
    headers, family = context.request.headers, SOURCE if source else OWN
    if Doc.SSE not in info.docs and TOLD_IN.isdisjoint(headers):  # the usual case
        return None
    if not source:
        refuse_modes(headers)
    kept = info.docs.get(Doc.SSE)
    record = None if kept is None else read_record(kept)
    if record is None or record.mode is not Mode.CUSTOMER:
        if has_customer_headers(headers, family):
            raise InvalidRequest("The encryption parameters are not applicable to this object.")
        if record is None:
            return None
        ring, found = _keys(context), record
        return Opening(record_headers(record), lambda: ring.unwrap(found))
    customer = _customer_of(context, family)
    if customer is None:
        raise InvalidRequest(_STORED_SO)
    data_key = customer_data_key(record, customer)
    if data_key is None:
        raise AccessDenied()
    return Opening(customer.headers, lambda: data_key)


def told(docs: Mapping[Doc, str], *, with_context: bool = False) -> dict[str, str]:
    """The headers that tell how an object is encrypted, where the caller need not have its key."""
    kept = docs.get(Doc.SSE)
    if kept is None:
        return {}
    record = read_record(kept)
    context = {CONTEXT: record.context} if with_context and record.context else {}
    return record_headers(record) | context


def customer_data_key(record: Record, customer: CustomerKey) -> bytes | None:
    """The data key of an object that was stored with a customer's key; None if this is another one."""
    from gateway.encryption.frames import derive

    salt = b64decode(record.salt)
    if not hmac.compare_digest(derive(customer.key, salt, _CUSTOMER_CHECK), b64decode(record.check)):
        return None
    return derive(customer.key, salt, _CUSTOMER_DATA_KEY)


def _new_customer_record(customer: CustomerKey) -> tuple[Record, bytes]:
    from gateway.encryption.frames import derive

    salt = secrets.token_bytes(_SALT_BYTES)
    check = derive(customer.key, salt, _CUSTOMER_CHECK)
    record = Record(Mode.CUSTOMER, salt=b64encode(salt).decode(), check=b64encode(check).decode())
    return record, derive(customer.key, salt, _CUSTOMER_DATA_KEY)


def _customer_of(context: Context, family: str) -> CustomerKey | None:
    customer = customer_key(context.request.headers, family)
    if customer is not None:
        _require_secure(context)
    return customer


def _require_secure(context: Context) -> None:
    if not context.services.sse_c_over_http:
        require_secure(context.request, context.services.trusted_proxies)


def _keys(context: Context) -> "KeyRing":
    keys = context.services.keys
    if keys is None:
        raise RuntimeError("this gateway has no key ring")
    return keys


def _not_requested() -> S3Error:
    return InvalidRequest(
        "The multipart upload initiate did not request encryption. Please resend the request without sending "
        "encryption parameters."
    )
