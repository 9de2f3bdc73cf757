"""Reading parameters: integers, versions, encodings; each refusal names its argument."""

import re
from collections.abc import Sequence
from urllib.parse import quote

from backends.base import MAX_PARTS, Ref
from gateway import xml
from gateway.context import Context
from gateway.errors import InvalidArgument

_NOT_XML = re.compile("[\x01-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
"""Characters that XML 1.0 cannot carry, not even as references."""
_SAFE = "/~*'()!"
_PLAIN = re.compile(r"[A-Za-z0-9_.~/*'()!-]*")
MAX_INT = 2**31 - 1
"""S3 refuses larger numbers."""


def integer(
    context: Context, name: str, default: int, *, low: int = 0, high: int = MAX_INT, header: bool = False
) -> int:
    """A whole number from the query (or a header), within bounds. Raises InvalidArgument."""
    value = context.header(name) if header else context.param(name)
    if not value:
        return default
    if not (value.isascii() and value.isdigit()) or len(value) > 10 or not low <= int(value) <= high:
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
    """The object, or the version that `versionId` names. An empty one names none: software kits send it for nothing."""
    return Ref(context.request.bucket, context.request.key, context.param("versionId") or None)


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
