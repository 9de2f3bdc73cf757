"""A bucket's `?encryption`: what new objects get where their request asks for nothing, and what it may not ask for.

A bucket without it answers that there is none. On AWS every bucket has one (AES256); here encryption is off until
somebody asks for it, per object, per bucket, or for everything (`[encryption] default`).

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_ServerSideEncryptionRule.html
"""

import functools
from dataclasses import dataclass

from gateway import xml
from gateway.context import Context
from gateway.encryption.headers import DSSE, Wish
from gateway.encryption.record import Mode
from gateway.errors import InvalidArgument, MalformedXML, NotImplemented_

_ROOT = "ServerSideEncryptionConfiguration"
_RULE = frozenset({"ApplyServerSideEncryptionByDefault", "BucketKeyEnabled", "BlockedEncryptionTypes"})
_DEFAULT = frozenset({"SSEAlgorithm", "KMSMasterKeyID"})
_BLOCKED = frozenset({"SSE-C", "NONE"})


@dataclass(frozen=True, slots=True)
class BucketEncryption:
    """One configuration: the default wish, and whether customers' keys are refused."""

    default: Wish | None = None
    blocks_customer_keys: bool = False


NOTHING = BucketEncryption()


def read_encryption(data: bytes, context: Context) -> str:
    """The configuration to keep. Whether the KMS key is there is looked at when it is used, as on AWS.

    Raises MalformedXML, InvalidArgument, NotImplemented (dsse).
    """
    top = xml.parse(data, _ROOT)
    rules = xml.children(top, "Rule")
    if len(rules) != 1 or len(top.children) != 1 or not {child.name for child in rules[0].children} <= _RULE:
        raise MalformedXML()
    default, blocked = _read_default(rules[0]), _read_blocked(rules[0])
    bucket_key = xml.text(rules[0], "BucketKeyEnabled")
    if bucket_key not in (None, "true", "false") or (default is None and not blocked):
        raise MalformedXML()
    return _written(default, bucket_key, blocked)


def _read_default(rule: xml.Element) -> Wish | None:
    found = xml.children(rule, "ApplyServerSideEncryptionByDefault")
    if not found:
        return None
    values = xml.fields(found[0])
    mode, kms = values.get("SSEAlgorithm"), values.get("KMSMasterKeyID", "")
    if mode == DSSE:
        raise NotImplemented_(f"{DSSE} is not implemented.")
    if len(found) > 1 or mode not in (Mode.S3, Mode.KMS) or not values.keys() <= _DEFAULT:
        raise MalformedXML()
    if kms and mode == Mode.S3:
        raise InvalidArgument(
            "a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or aws:kms:dsse",
            ArgumentName="ApplyServerSideEncryptionByDefault",
        )
    return Wish(Mode(mode), kms)


def _read_blocked(rule: xml.Element) -> list[str]:
    found = xml.children(rule, "BlockedEncryptionTypes")
    if not found:
        return []
    types = [
        child.text for child in found[0].children if child.name == "EncryptionType" and not child.children
    ]
    if len(found) > 1 or len(types) != len(found[0].children) or not types or not _BLOCKED.issuperset(types):
        raise MalformedXML()
    if len(set(types)) > 1:
        raise InvalidArgument(
            "NONE cannot be combined with other encryption types.", ArgumentName="EncryptionType"
        )
    return types[:1]


def _written(default: Wish | None, bucket_key: str | None, blocked: list[str]) -> str:
    rule = xml.element(
        "Rule",
        None if default is None else _written_default(default),
        xml.optional("BucketKeyEnabled", bucket_key),
        xml.element("BlockedEncryptionTypes", *(xml.element("EncryptionType", kind) for kind in blocked))
        if blocked
        else None,
    )
    return xml.document(_ROOT, rule).decode()


def _written_default(default: Wish) -> xml.Markup:
    return xml.element(
        "ApplyServerSideEncryptionByDefault",
        xml.element("SSEAlgorithm", default.mode.value),
        xml.element("KMSMasterKeyID", default.kms) if default.kms else None,
    )


@functools.lru_cache(maxsize=256)
def load(text: str | None) -> BucketEncryption:
    """The configuration that a bucket keeps; without one nothing is asked for."""
    if text is None:
        return NOTHING
    rule = xml.children(xml.parse(text.encode(), _ROOT), "Rule")[0]
    default = _read_default(rule)
    bucket_key = xml.text(rule, "BucketKeyEnabled") == "true"
    if default is not None and default.mode is Mode.KMS:
        default = Wish(Mode.KMS, default.kms, bucket_key=bucket_key)
    return BucketEncryption(default, _read_blocked(rule) == ["SSE-C"])
