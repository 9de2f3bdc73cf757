"""Reading parameters: integers, versions, encodings; each refusal names its argument."""

import re
from collections.abc import Sequence
from urllib.parse import quote

from backends.base import MAX_PARTS, ObjectInfo, Ref
from gateway import xml
from gateway.context import Context
from gateway.errors import InvalidArgument, MethodNotAllowed, NoSuchKey, S3Error

_NOT_XML = re.compile("[\x01-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
"""Characters that XML 1.0 cannot carry, not even as references."""
_SAFE = "/~*"
"""What `encoding-type=url` leaves as it is, besides letters, digits and `_.-`: AWS encodes brackets."""
_PLAIN = re.compile(r"[A-Za-z0-9_.~/*-]*")
_INTEGER = re.compile(r"-?\d{1,10}", re.ASCII)
_MARKER = "x-amz-delete-marker"
_EMPTY_VERSIONS = frozenset(
    {"GetObjectLegalHold", "PutObjectLegalHold", "GetObjectRetention", "PutObjectRetention"}
)
"""Software kits send an empty `versionId` with these, and mean none."""
MAX_INT = 2**31 - 1
"""S3 refuses larger numbers."""


def integer(
    context: Context, name: str, default: int, *, low: int = 0, high: int = MAX_INT, header: bool = False
) -> int:
    """A whole number from the query (or a header), within bounds. Raises InvalidArgument."""
    value = context.header(name) if header else context.param(name)
    if not value:
        return default
    if not _INTEGER.fullmatch(value) or not -MAX_INT <= int(value) <= MAX_INT:
        raise InvalidArgument(
            f"Provided {name} not an integer or within integer range", ArgumentName=name, ArgumentValue=value
        )
    if not low <= int(value) <= high:
        raise InvalidArgument(
            f"Argument {name} must be an integer between {low} and {high}",
            ArgumentName=name,
            ArgumentValue=value,
        )
    return int(value)


def part_number(context: Context) -> int:
    """`partNumber` of a part or of an upload. Raises InvalidArgument."""
    value = context.param("partNumber")
    number = int(value) if value.isascii() and value.isdigit() and len(value) <= 10 else 0
    if not 1 <= number <= MAX_PARTS:
        raise InvalidArgument(
            f"Part number must be an integer between 1 and {MAX_PARTS}, inclusive",
            ArgumentName="partNumber",
            ArgumentValue=value[:256],
        )
    return number


def object_ref(context: Context) -> Ref:
    """The object, or the version that `versionId` names. Raises InvalidArgument for an empty one, which would name any."""
    version = context.request.params.get("versionId")
    if version == "" and context.operation.name in _EMPTY_VERSIONS:
        version = None
    if version == "":
        raise InvalidArgument(
            "Version id cannot be the empty string", ArgumentName="versionId", ArgumentValue=""
        )
    return Ref(context.request.bucket, context.request.key, version)


async def subject(context: Context) -> ObjectInfo:
    """The object or version whose tags, lock or ACL are concerned. Raises MethodNotAllowed for a delete marker.

    S3 says so of a marker that is current too, where a plain read says NoSuchKey.
    """
    try:
        return (await context.backend.head_object(object_ref(context))).info
    except S3Error as error:
        if error.kind is not NoSuchKey or _MARKER not in error.headers:
            raise
        refused = MethodNotAllowed(Method=context.request.method, ResourceType="DeleteMarker")
        refused.headers |= {**error.headers, "allow": "DELETE"}
        raise refused from None


def object_url(context: Context) -> str:
    """Where the object is: the `Location` of what a POST made."""
    request = context.request
    base = context.services.public_url or f"{request.scheme}://{request.headers.get('host', '')}"
    bucket = "" if request.host_style else f"/{request.bucket}"
    return f"{base}{bucket}/{quote(request.key)}"


class Encoding:
    """How keys stand in a listing: as they are, or percent-encoded (`encoding-type=url`).

    Without `encoding-type`, a page that holds a key which XML cannot carry is encoded all the same and says so in
    EncodingType: the alternative is a document that no parser reads.
    """

    def __init__(self, context: Context) -> None:
        kind = context.param("encoding-type")
        if kind not in ("", "url"):
            raise InvalidArgument(
                "Invalid Encoding Method specified in Request",
                ArgumentName="encoding-type",
                ArgumentValue=kind,
            )
        self.url = kind == "url"

    def adapt(self, texts: Sequence[str]) -> None:
        """Switch to encoding if one of the texts needs it."""
        if not self.url and _NOT_XML.search("".join(texts)):
            self.url = True

    def __call__(self, text: str) -> str:
        """A key or prefix, safe to stand in XML."""
        return quote(text, safe=_SAFE) if self.url else xml.escape(text)

    def all(self, texts: Sequence[str]) -> Sequence[str]:
        """As a call for each; one search over all of them tells the usual case, that nothing needs it."""
        if not self.url:
            return xml.escape_all(texts)
        return texts if _PLAIN.fullmatch("".join(texts)) else [quote(text, safe=_SAFE) for text in texts]
