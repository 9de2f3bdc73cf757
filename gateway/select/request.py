"""The document of a SelectObjectContent request, read into plain values. Pure.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_SelectObjectContent.html
"""

from dataclasses import dataclass
from typing import Literal

from gateway import xml
from gateway.errors import (
    ExpressionTooLong,
    InvalidCompressionFormat,
    InvalidDataSource,
    InvalidExpressionType,
    InvalidFileHeaderInfo,
    InvalidJsonType,
    InvalidQuoteFields,
    InvalidRequestParameter,
    Kind,
    MissingRequiredParameter,
    NotImplemented_,
    ObjectSerializationConflict,
)

MAX_EXPRESSION_BYTES = 256 * 1024

Format = Literal["CSV", "JSON", "Parquet"]
_RECORD_DELIMITERS = frozenset({"\n", "\r\n", "\r"})


@dataclass(frozen=True, slots=True)
class CsvInput:
    """How the object is written. Each of the characters is one, or empty: none."""

    header: Literal["NONE", "IGNORE", "USE"] = "NONE"
    comments: str = "#"
    escape: str = '"'
    delimiter: str = ","
    quote: str = '"'
    record_delimiter: str = "\n"


@dataclass(frozen=True, slots=True)
class CsvOutput:
    """How the outcome is to be written."""

    always_quote: bool = False
    escape: str = '"'
    delimiter: str = ","
    quote: str = '"'
    record_delimiter: str = "\n"


@dataclass(frozen=True, slots=True)
class Selection:
    """What is asked for. `csv` counts for CSV only, `lines` for JSON; `json_delimiter` where the outcome is JSON."""

    expression: str
    format: Format
    compression: Literal["NONE", "GZIP", "BZIP2"] = "NONE"
    csv: CsvInput = CsvInput()
    lines: bool = False
    output: CsvOutput | None = None
    json_delimiter: str = "\n"
    progress: bool = False


def read_selection(data: bytes) -> Selection:
    """Read a `SelectObjectContentRequest`. Raises MalformedXML, MissingRequiredParameter, and a code for each wrong value."""
    top = xml.parse(data, "SelectObjectContentRequest")
    _refuse_range(top)
    if _required(top, "ExpressionType").strip().upper() != "SQL":
        raise InvalidExpressionType()
    expression = _required(top, "Expression")
    if len(expression.encode()) > MAX_EXPRESSION_BYTES:
        raise ExpressionTooLong()
    source, target = _child(top, "InputSerialization"), _child(top, "OutputSerialization")
    form = _only(source, ("CSV", "JSON", "Parquet"))
    shape = _only(target, ("CSV", "JSON"))
    compression = _choice(
        source, "CompressionType", "NONE", ("NONE", "GZIP", "BZIP2"), InvalidCompressionFormat
    )
    if form.name == "Parquet" and compression != "NONE":
        raise InvalidRequestParameter("Parquet is not compressed as a whole: CompressionType must be NONE.")
    progress = xml.children(top, "RequestProgress")
    return Selection(
        expression=expression,
        format=form.name,  # type: ignore[arg-type]  # one of the three
        compression=compression,  # type: ignore[arg-type]
        csv=_csv_input(form) if form.name == "CSV" else CsvInput(),
        lines=form.name == "JSON" and _json_type(form) == "LINES",
        output=_csv_output(shape) if shape.name == "CSV" else None,
        json_delimiter=_delimiter(shape, "RecordDelimiter", "\n") if shape.name == "JSON" else "\n",
        progress=bool(progress) and _flag(progress[0], "Enabled"),
    )


def _refuse_range(top: xml.Element) -> None:
    if xml.children(top, "ScanRange"):
        raise NotImplemented_("ScanRange is not implemented.")


def _csv_input(form: xml.Element) -> CsvInput:
    if _flag(form, "AllowQuotedRecordDelimiter") and not _character(form, "QuoteCharacter", '"'):
        raise InvalidRequestParameter("AllowQuotedRecordDelimiter needs a QuoteCharacter.")
    read = CsvInput(
        header=_choice(form, "FileHeaderInfo", "NONE", ("NONE", "IGNORE", "USE"), InvalidFileHeaderInfo),  # type: ignore[arg-type]
        comments=_character(form, "Comments", "#"),
        escape=_character(form, "QuoteEscapeCharacter", '"'),
        delimiter=_character(form, "FieldDelimiter", ","),
        quote=_character(form, "QuoteCharacter", '"'),
        record_delimiter=_delimiter(form, "RecordDelimiter", "\n"),
    )
    if read.record_delimiter not in _RECORD_DELIMITERS:
        raise NotImplemented_("A RecordDelimiter other than a line break is not implemented for input.")
    if not read.delimiter or read.delimiter in (read.quote, read.comments):
        raise InvalidRequestParameter("FieldDelimiter must be a character of its own.")
    return read


def _csv_output(shape: xml.Element) -> CsvOutput:
    quoting = _choice(shape, "QuoteFields", "ASNEEDED", ("ASNEEDED", "ALWAYS"), InvalidQuoteFields)
    return CsvOutput(
        always_quote=quoting == "ALWAYS",
        escape=_character(shape, "QuoteEscapeCharacter", '"'),
        delimiter=_delimiter(shape, "FieldDelimiter", ","),
        quote=_character(shape, "QuoteCharacter", '"'),
        record_delimiter=_delimiter(shape, "RecordDelimiter", "\n"),
    )


def _json_type(form: xml.Element) -> str:
    if not xml.text(form, "Type"):
        raise MissingRequiredParameter("A JSON input must have a Type.")
    return _choice(form, "Type", "", ("DOCUMENT", "LINES"), InvalidJsonType)


def _required(parent: xml.Element, name: str) -> str:
    value = xml.text(parent, name)
    if not value or not value.strip():
        raise MissingRequiredParameter(f"The parameter {name} is missing.")
    return value


def _child(parent: xml.Element, name: str) -> xml.Element:
    found = xml.children(parent, name)
    if len(found) != 1:
        raise MissingRequiredParameter(f"The parameter {name} is missing.")
    return found[0]


def _only(parent: xml.Element, names: tuple[str, ...]) -> xml.Element:
    """The only child that is one of these formats."""
    found = [child for child in parent.children if child.name in names]
    if len(found) > 1:
        raise ObjectSerializationConflict()
    if not found:
        raise InvalidDataSource() if parent.children else MissingRequiredParameter()
    return found[0]


def _choice(parent: xml.Element, name: str, default: str, choices: tuple[str, ...], refusal: Kind) -> str:
    value = (xml.text(parent, name) or default).strip().upper()
    if value not in choices:
        raise refusal()
    return value


def _flag(parent: xml.Element, name: str) -> bool:
    return (xml.text(parent, name) or "").strip().upper() == "TRUE"


def _character(parent: xml.Element, name: str, default: str) -> str:
    value = xml.text(parent, name, default) or ""
    if len(value) > 1 or not value.isascii():
        raise InvalidRequestParameter(f"{name} must be one ASCII character.")
    return value


def _delimiter(parent: xml.Element, name: str, default: str) -> str:
    value = xml.text(parent, name, default) or ""
    if not value or len(value) > 8:
        raise InvalidRequestParameter(f"{name} must have 1 to 8 characters.")
    return value
