"""`?cors`: from which origins scripts in browsers may use the bucket. Kept as the XML that GET answers.

Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/ManageCorsUsing.html
"""

import functools
import re
from dataclasses import dataclass

from gateway import xml
from gateway.context import Context
from gateway.errors import InvalidRequest, MalformedXML, MaxMessageLengthExceeded, S3Error

MAX_BYTES = 64 * 1024
"""Size of a document, as on S3: it is read with its bucket by every request."""
MAX_RULES = 100
METHODS = ("GET", "PUT", "HEAD", "POST", "DELETE")
"""The methods that a rule can allow."""
_ELEMENTS = frozenset(
    {"ID", "AllowedHeader", "AllowedMethod", "AllowedOrigin", "ExposeHeader", "MaxAgeSeconds"}
)
_MAX_ID = 255
_MAX_AGE = 2**31 - 1
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'+.^_`|~-]+")
_PATTERN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


@dataclass(frozen=True, slots=True)
class Rule:
    """A CORSRule. `origins` and `headers` are patterns with at most one `*`; `max_age` is seconds, None: not said."""

    origins: tuple[str, ...]
    methods: tuple[str, ...]
    headers: tuple[str, ...] = ()
    expose: tuple[str, ...] = ()
    max_age: int | None = None
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Cors:
    """The rules; the first that fits decides."""

    rules: tuple[Rule, ...]


def read(data: bytes, _: Context | None = None) -> str:
    """The document to keep. Raises MalformedXML, InvalidRequest, MaxMessageLengthExceeded (64 KiB)."""
    if len(data) > MAX_BYTES:
        raise MaxMessageLengthExceeded()
    cors = _parse(data)
    if len(cors.rules) > MAX_RULES:
        raise InvalidRequest(
            f"The number of CORS rules should not exceed allowed limit of {MAX_RULES} rules."
        )
    for rule in cors.rules:
        _check(rule)
    return xml.document("CORSConfiguration", *map(_show, cors.rules)).decode()


@functools.lru_cache(maxsize=1024)
def load(text: str) -> Cors:
    """The kept configuration."""
    return _parse(text.encode())


def _parse(data: bytes) -> Cors:
    rules = xml.parse(data, "CORSConfiguration").children
    if not rules or any(rule.name != "CORSRule" for rule in rules):
        raise MalformedXML()
    return Cors(tuple(map(_rule, rules)))


def _rule(element: xml.Element) -> Rule:
    if any(child.name not in _ELEMENTS for child in element.children):
        raise MalformedXML()
    rule = Rule(
        origins=_texts(element, "AllowedOrigin"),
        methods=_texts(element, "AllowedMethod"),
        headers=_texts(element, "AllowedHeader"),
        expose=_texts(element, "ExposeHeader"),
        max_age=_seconds(xml.text(element, "MaxAgeSeconds")),
        id=xml.text(element, "ID"),
    )
    if not rule.origins or not rule.methods:
        raise MalformedXML()
    return rule


def _texts(element: xml.Element, name: str) -> tuple[str, ...]:
    found = xml.children(element, name)
    if any(child.children for child in found):
        raise MalformedXML()
    return tuple(child.text for child in found)


def _seconds(text: str | None) -> int | None:
    if text is None:
        return None
    if not re.fullmatch("[0-9]{1,10}", text) or int(text) > _MAX_AGE:
        raise MalformedXML()
    return int(text)


def _check(rule: Rule) -> None:
    """Raise InvalidRequest for what the schema allows and S3 does not."""
    if rule.id is not None and len(rule.id) > _MAX_ID:
        raise InvalidRequest(f"The ID of a CORS rule should not exceed {_MAX_ID} characters.")
    for method in rule.methods:
        if method not in METHODS:
            raise InvalidRequest(
                f"Found unsupported HTTP method in CORS config. Unsupported method is {method[:256]}"
            )
    for origin in rule.origins:
        _check_wildcards("AllowedOrigin", origin)
    for header in rule.headers:
        _check_wildcards("AllowedHeader", header)
        if not _PATTERN.fullmatch(header):
            raise _invalid_character("AllowedHeader", header)
    for header in rule.expose:
        _check_exposed(header)


def _check_wildcards(name: str, value: str) -> None:
    if value.count("*") > 1:
        raise InvalidRequest(f'{name} "{value[:256]}" can not have more than one wildcard.')


def _check_exposed(header: str) -> None:
    """An exposed header is written into answers as it is: nothing but a header's name, never a line break."""
    if "*" in header:
        raise InvalidRequest(
            f'ExposeHeader "{header[:256]}" contains wildcard. '
            "We currently do not support wildcard for ExposeHeader."
        )
    if not _TOKEN.fullmatch(header):
        raise _invalid_character("ExposeHeader", header)


def _invalid_character(name: str, value: str) -> S3Error:
    return InvalidRequest(f'{name} "{value[:256]}" contains invalid character.')


def _show(rule: Rule) -> xml.Markup:
    return xml.element(
        "CORSRule",
        xml.optional("ID", rule.id),
        *(xml.element("AllowedHeader", header) for header in rule.headers),
        *(xml.element("AllowedMethod", method) for method in rule.methods),
        *(xml.element("AllowedOrigin", origin) for origin in rule.origins),
        *(xml.element("ExposeHeader", header) for header in rule.expose),
        xml.optional("MaxAgeSeconds", rule.max_age),
    )
