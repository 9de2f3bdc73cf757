"""Tags of objects and buckets: in XML, in the header `x-amz-tagging`, and as they are kept (a JSON object).

Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html
"""

import functools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from urllib.parse import parse_qsl

from gateway import xml
from gateway.context import Context
from gateway.errors import BadRequest, InvalidArgument, InvalidTag, MalformedXML
from gateway.request import BAD_ESCAPE

OBJECT_TAGS = 10
BUCKET_TAGS = 50
_KEY_LENGTH = 128
_VALUE_LENGTH = 256
_ALLOWED = re.compile(r"[\w\s+\-=._:/@]*")
_TOO_MANY_OF_OBJECT = "Object tags cannot be greater than 10"
_TOO_MANY_OF_BUCKET = "Bucket tag count cannot be greater than 50"
_NONE: Mapping[str, str] = MappingProxyType({})


def read_object(data: bytes, _: Context | None = None) -> str:
    """The tags of a Tagging document, for an object. Raises MalformedXML, InvalidTag, BadRequest (more than 10)."""
    return _dump(_pairs(data), OBJECT_TAGS, _TOO_MANY_OF_OBJECT)


def read_bucket(data: bytes, _: Context | None = None) -> str:
    """The same for a bucket, which may have 50."""
    return _dump(_pairs(data), BUCKET_TAGS, _TOO_MANY_OF_BUCKET)


def read_new_bucket(found: Sequence[xml.Element]) -> str | None:
    """The tags of the `Tags` elements of a CreateBucketConfiguration; None without any. Raises as `read_bucket`."""
    pairs = [_pair(xml.fields(tag)) for element in found for tag in element.children if tag.name == "Tag"]
    return _dump(pairs, BUCKET_TAGS, _TOO_MANY_OF_BUCKET) if pairs else None


def read_header(value: str) -> str | None:
    """`x-amz-tagging`: the tags as a query string; None for an empty one. Raises InvalidArgument, InvalidTag, BadRequest."""
    if not value.strip("&"):
        return None
    try:
        pairs = parse_qsl(value, keep_blank_values=True, strict_parsing=False, errors="strict")
        if BAD_ESCAPE.search(value):
            raise ValueError
    except ValueError:
        pairs = [("", "")]
    names = {name for name, _ in pairs}
    if not pairs or "" in names or len(names) != len(pairs):
        raise InvalidArgument(
            "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without "
            "tag name duplicates.",
            ArgumentName="x-amz-tagging",
            ArgumentValue=value[:256],
        )
    return _dump(pairs, OBJECT_TAGS, _TOO_MANY_OF_OBJECT)


@functools.lru_cache(maxsize=1024)
def load(text: str | None) -> Mapping[str, str]:
    """Kept tags, by name."""
    return MappingProxyType(json.loads(text)) if text else _NONE


def show(text: str | None) -> bytes:
    """The document that GET answers."""
    tags = (
        xml.element("Tag", xml.element("Key", name), xml.element("Value", value))
        for name, value in load(text).items()
    )
    return xml.document("Tagging", xml.element("TagSet", *tags))


def _pairs(data: bytes) -> list[tuple[str, str]]:
    sets = xml.children(xml.parse(data, "Tagging"), "TagSet")
    if len(sets) != 1 or any(tag.name != "Tag" for tag in sets[0].children):
        raise MalformedXML()
    return [_pair(xml.fields(tag)) for tag in sets[0].children]


def _pair(tag: dict[str, str]) -> tuple[str, str]:
    if tag.keys() != {"Key", "Value"}:
        raise MalformedXML()
    return tag["Key"], tag["Value"]


def _dump(pairs: Iterable[tuple[str, str]], most: int, too_many: str) -> str:
    tags: dict[str, str] = {}
    for name, value in pairs:
        _check(name, value)
        if name in tags:
            raise InvalidTag("Cannot provide multiple Tags with the same key", TagKey=name)
        tags[name] = value
    if len(tags) > most:
        raise BadRequest(too_many)
    return json.dumps(tags, ensure_ascii=False, separators=(",", ":"))


def _check(name: str, value: str) -> None:
    if not 1 <= _length(name) <= _KEY_LENGTH or not _ALLOWED.fullmatch(name):
        raise InvalidTag("The TagKey you have provided is invalid", TagKey=name[:256])
    if name.lower().startswith("aws:"):
        raise InvalidTag("System tags cannot be added/updated by requester", TagKey=name)
    if _length(value) > _VALUE_LENGTH or not _ALLOWED.fullmatch(value):
        raise InvalidTag("The TagValue you have provided is invalid", TagKey=name, TagValue=value[:256])


def _length(text: str) -> int:
    """UTF-16 code units, by which AWS counts."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2
