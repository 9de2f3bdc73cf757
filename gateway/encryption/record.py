"""`Doc.SSE` of an object: how its bytes are encrypted, as JSON. No cryptography here.

    {"v":1,"mode":"AES256","id":MASTER KEY,"key":WRAPPED DATA KEY}
    {"v":1,"mode":"aws:kms","id":KMS KEY,"key":WRAPPED DATA KEY,"kms":AS GIVEN,"context":AS GIVEN,"bucket_key":true}
    {"v":1,"mode":"C","salt":...,"check":...}

Binary values are base64; what is empty is left out.
"""

import json
from dataclasses import asdict, dataclass
from enum import StrEnum

VERSION = 1


class Mode(StrEnum):
    """Who keeps the key: the gateway, the key ring under a name that the client chooses, or the customer."""

    S3 = "AES256"
    KMS = "aws:kms"
    CUSTOMER = "C"


class UnknownRecord(Exception):
    """A document that this version cannot read. Nothing may be done with such an object."""


@dataclass(frozen=True, slots=True)
class Record:
    """One document. `id` names the key of the ring that wraps `key`; `kms` and `context` are as the client gave them.

    `salt` and `check` are those of a customer's key, which is not kept.
    """

    mode: Mode
    id: str = ""
    key: str = ""
    kms: str = ""
    context: str = ""
    bucket_key: bool = False
    salt: str = ""
    check: str = ""

    def __str__(self) -> str:
        found = {name: value for name, value in asdict(self).items() if value}
        return json.dumps({"v": VERSION, **found}, separators=(",", ":"))

    def bound(self) -> bytes:
        """What the wrapped key is bound to: it opens for this mode, key and context only."""
        return json.dumps(["s3gw", VERSION, self.mode, self.id, self.context]).encode()


def read_record(text: str) -> Record:
    """A kept document. Raises UnknownRecord."""
    try:
        found = json.loads(text)
        if found.pop("v") != VERSION:
            raise UnknownRecord(text)
        return Record(Mode(found.pop("mode")), **found)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnknownRecord(text) from error


def record_headers(record: Record) -> dict[str, str]:
    """The headers that tell how an object is encrypted; a customer's key is told by whoever has it."""
    if record.mode is Mode.CUSTOMER:
        return {}
    headers = {"x-amz-server-side-encryption": record.mode.value}
    if record.mode is Mode.KMS:
        headers["x-amz-server-side-encryption-aws-kms-key-id"] = record.kms
    if record.bucket_key:
        headers["x-amz-server-side-encryption-bucket-key-enabled"] = "true"
    return headers
