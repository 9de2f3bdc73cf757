"""XML documents: written as joined strings, read with expat under tight limits.

Source of the documents: https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html
"""

import re
from collections.abc import Callable, Sequence
from xml.parsers import expat

from backends.base import MAX_PARTS, UNCONDITIONAL, Checksum, ChosenPart, Conditions, Delete, Doomed
from gateway.checksums import ALGORITHMS, is_digest
from gateway.conditions import parse_etags, parse_size, parse_time
from gateway.errors import InvalidArgument, MalformedXML, NotImplemented_

XML_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
XMLNS = "http://s3.amazonaws.com/doc/2006-03-01/"
MAX_DELETE = 1000
"""Objects of one DeleteObjects request."""
MAX_ELEMENTS = 100_000
"""Elements of a document: 10,000 parts with all their checksums fit."""
MAX_DEPTH = 16
MAX_XML_BYTES = 4 * 1024 * 1024
"""The limit to receive a document with; 10,000 parts with a SHA-256 each take 2 MB."""

_SPECIAL = re.compile("[&<>\x00-\x08\x0b-\x1f\x7f\ufffe\uffff]")
_NAMED = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


class Markup(str):
    """Text that is XML already."""

    __slots__ = ()


Child = str | int | None


def escape(text: str) -> str:
    """The text as XML content. Control characters become references, as S3 sends them (`&#13;`, `&#x1;`)."""
    return text if _SPECIAL.search(text) is None else _SPECIAL.sub(_reference, text)


def escape_all(texts: Sequence[str]) -> Sequence[str]:
    """Escape each; one search over all of them tells that nothing needs it, which is the rule for a page of keys."""
    return texts if _SPECIAL.search("".join(texts)) is None else [escape(text) for text in texts]


def _reference(match: re.Match[str]) -> str:
    character = match.group()
    return _NAMED.get(character) or ("&#13;" if character == "\r" else f"&#x{ord(character):x};")


def element(name: str, *children: Child) -> Markup:
    """`<name>children</name>`; strings are escaped unless they are Markup, booleans are `true` and `false`."""
    return Markup(f"<{name}>{_content(children)}</{name}>")


def optional(name: str, value: Child) -> Markup:
    """The element, or nothing if the value is None."""
    return Markup("") if value is None else element(name, value)


def document(root: str, *children: Child, namespace: str = XMLNS) -> bytes:
    """A whole document in UTF-8; without a namespace if that is empty."""
    attribute = f' xmlns="{namespace}"' if namespace else ""
    return f"{XML_DECLARATION}<{root}{attribute}>{_content(children)}</{root}>".encode()


def _content(children: Sequence[Child]) -> str:
    return "".join([_text(child) for child in children if child is not None])


def _text(child: str | int) -> str:
    if isinstance(child, Markup):
        return child
    if isinstance(child, bool):
        return "true" if child else "false"
    return escape(child) if isinstance(child, str) else str(child)


class Element:
    """An element that was read: its name without namespace, its text if it is a leaf, its children."""

    __slots__ = ("children", "name", "text")

    def __init__(self, name: str) -> None:
        self.name = name
        self.text = ""
        self.children: list[Element] = []


class _Builder:
    """Makes elements of expat's events, and gives up as soon as there are too many."""

    def __init__(self) -> None:
        self.top = Element("")
        self._open = [self.top]
        self._count = 0
        self._texts: list[str] = []

    def start(self, name: str, _: dict[str, str]) -> None:
        self._count += 1
        if self._count > MAX_ELEMENTS or len(self._open) > MAX_DEPTH:
            raise MalformedXML()
        child = Element(name.rpartition("}")[2])
        self._open[-1].children.append(child)
        self._open.append(child)
        self._texts.clear()

    def end(self, _: str) -> None:
        self._open.pop().text = "".join(self._texts)
        self._texts.clear()

    def text(self, text: str) -> None:
        self._texts.append(text)

    def doctype(self, *_: object) -> None:
        raise MalformedXML()


def parse(data: bytes, root: str) -> Element:
    """The root element of a document that must be called `root`, in whatever namespace, or MalformedXML.

    No DOCTYPE, hence no entities; at most MAX_ELEMENTS elements, MAX_DEPTH deep. The encoding is UTF-8.
    """
    if len(data) > MAX_XML_BYTES:
        raise MalformedXML()
    builder = _Builder()
    try:
        _parser(builder).Parse(data, True)
    except (expat.ExpatError, ValueError):
        raise MalformedXML() from None
    top = builder.top.children[0]
    if top.name != root:
        raise MalformedXML()
    return top


def _parser(builder: _Builder) -> expat.XMLParserType:
    # Expat, not lxml: libxml2 keeps every name it ever saw in a dictionary for the life of the thread, which
    # hostile documents would fill. Expat hands out events, so that limits hold before memory is taken.
    parser = expat.ParserCreate("utf-8", "}")  # this encoding, whatever the document declares
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.text
    parser.StartDoctypeDeclHandler = builder.doctype
    return parser


def children(parent: Element, name: str) -> list[Element]:
    """The child elements of that name, in order."""
    return [child for child in parent.children if child.name == name]


def text(parent: Element, name: str, default: str | None = None) -> str | None:
    """The text of the only child of that name, `default` if there is none; MalformedXML if it is no single leaf."""
    found = children(parent, name)
    if not found:
        return default
    if len(found) > 1 or found[0].children:
        raise MalformedXML()
    return found[0].text


def fields(parent: Element) -> dict[str, str]:
    """The texts of all children by name; MalformedXML if a name repeats, or if one has children itself."""
    found: dict[str, str] = {}
    for child in parent.children:
        if child.name in found or child.children:
            raise MalformedXML()
        found[child.name] = child.text
    return found


def read_delete(data: bytes) -> tuple[list[Doomed], bool]:
    """The objects of a `Delete` document (1 to 1,000) and whether it asks for quiet, or MalformedXML."""
    top = parse(data, "Delete")
    objects = children(top, "Object")
    if not 1 <= len(objects) <= MAX_DELETE:
        raise MalformedXML()
    quiet = text(top, "Quiet", "") or ""
    return [_doomed(fields(entry)) for entry in objects], quiet.strip().lower() == "true"


def _doomed(entry: dict[str, str]) -> Doomed:
    key = entry.get("Key")
    if not key:
        raise MalformedXML()
    return Doomed(key, entry.get("VersionId") or None, Delete(_doomed_conditions(entry)))


def _doomed_conditions(entry: dict[str, str]) -> Conditions:
    if not entry.keys() & {"ETag", "LastModifiedTime", "Size"}:
        return UNCONDITIONAL
    return Conditions(
        if_match=parse_etags(entry.get("ETag")),
        if_modified_time=_number(entry, "LastModifiedTime", parse_time),
        if_size=_number(entry, "Size", parse_size),
    )


def _number(entry: dict[str, str], name: str, read: Callable[[str | None], int | None]) -> int | None:
    value = entry.get(name)
    number = read(value)
    if value is not None and number is None:
        raise MalformedXML()
    return number


def read_complete(data: bytes) -> list[ChosenPart]:
    """The parts (1 to 10,000) of a `CompleteMultipartUpload` document as listed. Raises MalformedXML, InvalidArgument."""
    parts = children(parse(data, "CompleteMultipartUpload"), "Part")
    if not 1 <= len(parts) <= MAX_PARTS:
        raise MalformedXML()
    return [_chosen(fields(part)) for part in parts]


_ELEMENTS = {row.element: name for name, row in ALGORITHMS.items()}


def _chosen(part: dict[str, str]) -> ChosenPart:
    number, etag = part.get("PartNumber"), part.get("ETag")
    if not number or not etag:
        raise MalformedXML()
    return ChosenPart(_part_number(number), etag.strip().strip('"'), _part_checksum(part))


def _part_number(value: str) -> int:
    number = parse_size(value)
    if number is None or not 1 <= number <= MAX_PARTS:
        raise InvalidArgument(
            "PartNumber must be >= 1", ArgumentName="PartNumber", ArgumentValue=value.strip()[:256]
        )
    return number


def _part_checksum(part: dict[str, str]) -> Checksum | None:
    sums = [Checksum(_ELEMENTS[name], value) for name, value in part.items() if name in _ELEMENTS]
    if not sums:
        return None
    if len(sums) > 1 or not is_digest(sums[0].algorithm, sums[0].value):
        sent = (
            "".join(f"{one.algorithm}:{one.value[:256]};" for one in sums) if len(sums) > 1 else sums[0].value
        )
        raise InvalidArgument(
            "Invalid Base64 or multiple checksums present in request",
            ArgumentName="Checksum",
            ArgumentValue=sent[:256],
        )
    return sums[0]


def read_create_bucket(data: bytes) -> tuple[str | None, list[Element]]:
    """The LocationConstraint of a `CreateBucketConfiguration`, None without one, and its `Tags` elements.

    NotImplemented for what else AWS allows there (directory buckets): it would be ignored silently.
    """
    if not data.strip():
        return None, []
    top = parse(data, "CreateBucketConfiguration")
    if {child.name for child in top.children} - {"LocationConstraint", "Tags"}:
        raise NotImplemented_()
    location = text(top, "LocationConstraint")
    return None if location is None else location.strip(), children(top, "Tags")
