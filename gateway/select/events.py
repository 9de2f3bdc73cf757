"""The event stream that SelectObjectContent answers with. Pure.

    total length (4) | headers' length (4) | CRC-32 of these 8 (4) | headers | payload | CRC-32 of all before (4)

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/RESTSelectObjectAppendix.html
"""

import struct
from collections.abc import Mapping
from zlib import crc32

from gateway.errors import S3Error

MAX_RECORDS_BYTES = 128 * 1024
"""Payload of one Records message; clients allow 16 MiB, S3 sends less."""
_STRING = 7
"""The type of a header's value."""


def message(headers: Mapping[str, str], payload: bytes = b"") -> bytes:
    """One message."""
    encoded = b"".join(_header(name, value.encode()) for name, value in headers.items())
    prelude = struct.pack(">II", len(encoded) + len(payload) + 16, len(encoded))
    framed = prelude + struct.pack(">I", crc32(prelude)) + encoded + payload
    return framed + struct.pack(">I", crc32(framed))


def _header(name: str, value: bytes) -> bytes:
    return struct.pack(">B", len(name)) + name.encode() + struct.pack(">BH", _STRING, len(value)) + value


def records(payload: bytes) -> bytes:
    """Some bytes of the outcome; a record may go on in the next message."""
    return _event("Records", payload, {":content-type": "application/octet-stream"})


def counts(kind: str, *, scanned: int, processed: int, returned: int) -> bytes:
    """`Stats` or `Progress`: bytes read from the store, of records taken apart, and of the outcome."""
    counted = f"<BytesScanned>{scanned}</BytesScanned><BytesProcessed>{processed}</BytesProcessed>"
    body = f"<{kind}>{counted}<BytesReturned>{returned}</BytesReturned></{kind}>"
    return _event(kind, body.encode(), {":content-type": "text/xml"})


def end() -> bytes:
    """The outcome is complete; without this message it is not."""
    return _event("End", b"", {})


def error(failure: S3Error) -> bytes:
    """What went wrong after the outcome had begun."""
    return message(
        {":message-type": "error", ":error-code": failure.code, ":error-message": failure.message[:1024]}
    )


def _event(kind: str, payload: bytes, extra: Mapping[str, str]) -> bytes:
    return message({":message-type": "event", ":event-type": kind, **extra}, payload)
