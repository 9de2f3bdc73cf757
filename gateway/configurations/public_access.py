"""`?publicAccessBlock`: what a bucket never lets the public have, whatever its policy and ACLs say.

Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-control-block-public-access.html
"""

import functools

from auth.access import PublicAccessBlock
from gateway import xml
from gateway.context import Context
from gateway.errors import InvalidRequest, MalformedXML

_FIELDS = {
    "BlockPublicAcls": "block_public_acls",
    "IgnorePublicAcls": "ignore_public_acls",
    "BlockPublicPolicy": "block_public_policy",
    "RestrictPublicBuckets": "restrict_public_buckets",
}
NOTHING_BLOCKED = PublicAccessBlock()


def read(data: bytes, _: Context) -> str:
    """The document to keep. Raises MalformedXML, InvalidRequest (nothing is said)."""
    found = xml.fields(xml.parse(data, "PublicAccessBlockConfiguration"))
    if found.keys() - _FIELDS or any(value.lower() not in ("true", "false") for value in found.values()):
        raise MalformedXML()
    if not found:
        raise InvalidRequest("Must specify at least one configuration.")
    return xml.document(
        "PublicAccessBlockConfiguration",
        *(xml.element(name, found.get(name, "").lower() == "true") for name in _FIELDS),
    ).decode()


@functools.lru_cache(maxsize=256)
def load(text: str | None) -> PublicAccessBlock:
    """What a kept document blocks; nothing without one."""
    if text is None:
        return NOTHING_BLOCKED
    found = xml.fields(xml.parse(text.encode(), "PublicAccessBlockConfiguration"))
    return PublicAccessBlock(**{field: found[name] == "true" for name, field in _FIELDS.items()})
