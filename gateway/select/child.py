"""The process that evaluates one SELECT: `python -m gateway.select.child FD`, the job as JSON on its input.

It has nothing but the object (the descriptor FD) and little of everything else: processor time, memory, files; of other
files nothing (`confine`). On its
output it writes frames, a letter, a length (4 bytes) and as many bytes: `R` some of the outcome, then `E` the code and
message of an error as JSON, or `D` the number of bytes that were processed. Without `E` or `D` at the end it was killed.
"""

import bz2
import contextlib
import csv
import gzip
import json
import os
import resource
import shutil
import struct
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from io import TextIOWrapper
from typing import IO, Any, BinaryIO, cast

import duckdb

from gateway.errors import (
    CastFailed,
    CSVParsingError,
    ExternalEvalException,
    InvalidDataType,
    JSONParsingError,
    Kind,
    OverMaxRecordSize,
    ParquetParsingError,
    ParseUnsupportedSyntax,
    S3Error,
)
from gateway.select.confine import confine
from gateway.select.events import MAX_RECORDS_BYTES
from gateway.select.request import CsvInput, CsvOutput, Selection
from gateway.select.sql import FlatTable, JsonTable, Table, compile_statement, parse, quote_name, quote_text

MAX_RECORD_BYTES = 1024 * 1024
"""Of a record that is read, and of one that is written."""
CPU_SECONDS = 60
MEMORY_BYTES = 256 * 1024 * 1024
"""For DuckDB; the process as a whole may map ADDRESS_BYTES."""
ADDRESS_BYTES = 4 * 1024**3
SCRATCH_BYTES = 2 * 1024**3
"""Of a BZIP2 object that is taken apart, which DuckDB does not know."""
_ROWS = 1000

_LIMITS = (
    (resource.RLIMIT_CPU, CPU_SECONDS),
    (resource.RLIMIT_AS, ADDRESS_BYTES),
    (resource.RLIMIT_FSIZE, SCRATCH_BYTES),
    (resource.RLIMIT_NOFILE, 64),
    (resource.RLIMIT_CORE, 0),
)
_UNREADABLE: Mapping[str, Kind] = {
    "CSV": CSVParsingError,
    "JSON": JSONParsingError,
    "Parquet": ParquetParsingError,
}
_OVER = "OverMaxRecordSize"
_TOO_LONG = ("Maximum line size", "maximum_object_size", _OVER)
"""What DuckDB says of a record that is too long."""
_CODES: tuple[tuple[type[Exception], Kind], ...] = (
    (duckdb.ConversionException, CastFailed),
    (duckdb.OutOfRangeException, CastFailed),
    (duckdb.OutOfMemoryException, ExternalEvalException),
    (duckdb.BinderException, InvalidDataType),
    (duckdb.ParserException, ParseUnsupportedSyntax),
    (MemoryError, ExternalEvalException),
)


def _selection_of(job: bytes) -> Selection:
    fields = json.loads(job)
    output = fields.pop("output")
    return Selection(
        **{**fields, "csv": CsvInput(**fields["csv"])}, output=CsvOutput(**output) if output else None
    )


Connection = duckdb.DuckDBPyConnection


class _Output:
    """Gathers records and writes them in frames."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._held = bytearray()

    def record(self, text: str) -> None:
        data = text.encode(errors="replace")
        if len(data) > MAX_RECORD_BYTES:
            raise OverMaxRecordSize()
        self._held += data
        while len(self._held) >= MAX_RECORDS_BYTES:
            self.frame(b"R", self._held[:MAX_RECORDS_BYTES])
            del self._held[:MAX_RECORDS_BYTES]

    def flush(self) -> None:
        if self._held:
            self.frame(b"R", self._held)
            self._held.clear()

    def frame(self, kind: bytes, payload: bytes | bytearray) -> None:
        self._stream.write(kind + struct.pack(">I", len(payload)) + payload)
        self._stream.flush()


def main() -> None:
    """Evaluate the job."""
    for limit, most in _LIMITS:
        resource.setrlimit(limit, (most, most))
    output = _Output(sys.stdout.buffer)
    selection = _selection_of(sys.stdin.buffer.read())
    try:
        processed = _evaluate(selection, int(sys.argv[1]), output)
    except S3Error as error:
        _fail(output, error)
    except Exception as error:
        _fail(output, _told(error, selection))
    else:
        output.flush()
        output.frame(b"D", str(processed).encode())


def _fail(output: _Output, error: S3Error) -> None:
    output.flush()
    output.frame(b"E", json.dumps([error.code, error.message]).encode())


def _told(error: Exception, selection: Selection) -> S3Error:
    """The code for an error. DuckDB's own message stays here: it may hold paths, and SQL that nobody wrote."""
    if any(words in str(error) for words in _TOO_LONG):
        return OverMaxRecordSize()
    kind = next((kind for family, kind in _CODES if isinstance(error, family)), _UNREADABLE[selection.format])
    return kind()


def _evaluate(asked: Selection, fd: int, output: _Output) -> int:
    """Write what the expression chooses, and return how many bytes of records there were to choose from."""
    with _plain(asked, fd) as (path, selection):
        connection = _connect(path)
        confine([int(path.rpartition("/")[2])])  # DuckDB is there; of the object it has read nothing yet
        table, names = _TABLES[selection.format](selection, path, connection)
        statement = parse(selection.expression)
        cursor = connection.execute(compile_statement(statement, table))
        raw = [str(column[1]) == "JSON" for column in cursor.description or []]
        if statement.items is not None:
            names = [item.name for item in statement.items]
        whole = selection.format == "JSON" and statement.items is None
        write = _writer(selection, names, raw, whole=whole)
        while rows := cursor.fetchmany(_ROWS):
            for row in rows:
                output.record(write(row))
        return os.stat(path).st_size


@contextlib.contextmanager
def _plain(selection: Selection, fd: int) -> Iterator[tuple[str, Selection]]:
    """Where DuckDB can read the object, and how: it knows GZIP itself."""
    if selection.compression != "BZIP2":
        yield f"/proc/self/fd/{fd}", selection
        return
    with tempfile.TemporaryFile() as scratch:
        with bz2.open(f"/proc/self/fd/{fd}") as source:
            shutil.copyfileobj(source, scratch, MAX_RECORD_BYTES)
        scratch.flush()
        yield f"/proc/self/fd/{scratch.fileno()}", replace(selection, compression="NONE")


def _connect(path: str) -> Connection:
    connection = duckdb.connect(":memory:")
    for setting, value in (
        ("memory_limit", f"'{MEMORY_BYTES}B'"),
        ("threads", "1"),
        ("temp_directory", "''"),
        ("TimeZone", "'UTC'"),
        ("autoinstall_known_extensions", "false"),
        ("autoload_known_extensions", "false"),
        ("allow_community_extensions", "false"),
        ("allowed_paths", f"[{quote_text(path)}]"),
        ("enable_external_access", "false"),
        ("lock_configuration", "true"),
    ):
        connection.execute(f"SET {setting} = {value}")
    return connection


def _compression(selection: Selection) -> str:
    return "'gzip'" if selection.compression == "GZIP" else "'none'"


def _csv_table(selection: Selection, path: str, _: Connection) -> tuple[Table, list[str]]:
    """All columns are texts; how many there are is told by the first record."""
    form = selection.csv
    first = _first_record(selection, path)
    columns = [f"c{number}" for number in range(1, len(first) + 1)] or ["c1"]
    named = first if form.header == "USE" else []
    options = {
        "auto_detect": "false",
        "header": "false" if form.header == "NONE" else "true",
        "delim": quote_text(form.delimiter),
        "quote": quote_text(form.quote),
        "escape": quote_text(form.escape if form.quote else ""),
        "comment": quote_text(form.comments),
        "new_line": quote_text(form.record_delimiter.replace("\r", "\\r").replace("\n", "\\n")),
        "columns": "{" + ", ".join(f"{name}: 'VARCHAR'" for name in columns) + "}",
        "force_not_null": f"[{', '.join(columns)}]",
        "null_padding": "true",
        "strict_mode": "false",
        "parallel": "false",
        "max_line_size": str(MAX_RECORD_BYTES),
        "compression": _compression(selection),
    }
    reader = (
        f"read_csv({quote_text(path)}, {', '.join(f'{name} = {value}' for name, value in options.items())})"
    )
    positions = [f"_{number}" for number in range(1, len(columns) + 1)]
    return FlatTable(reader, named, columns, untyped=True), named or positions


def _first_record(selection: Selection, path: str) -> list[str]:
    form = selection.csv
    csv.field_size_limit(MAX_RECORD_BYTES)
    with _open(selection, path) as file:
        lines = _lines(
            TextIOWrapper(file, encoding="utf-8-sig", newline=form.record_delimiter), form.comments
        )
        reader = csv.reader(
            lines,
            delimiter=form.delimiter,
            quotechar=form.quote or None,
            quoting=csv.QUOTE_MINIMAL if form.quote else csv.QUOTE_NONE,
            doublequote=form.escape == form.quote,
            escapechar=None if form.escape in ("", form.quote) else form.escape,
        )
        return next((record for record in reader if record), [])


def _open(selection: Selection, path: str) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path) if selection.compression == "GZIP" else open(path, "rb"))


def _lines(file: TextIOWrapper, comments: str) -> Iterator[str]:
    """Lines but comments, none of them longer than a record may be, nor all together."""
    left = MAX_RECORD_BYTES
    while line := file.readline(MAX_RECORD_BYTES + 1):
        if comments and line.startswith(comments):
            continue
        left -= len(line)
        if left < 0:
            raise OverMaxRecordSize()
        yield line


def _json_table(selection: Selection, path: str, _: Connection) -> tuple[Table, list[str]]:
    kind = "newline_delimited" if selection.lines else "unstructured"
    read = (
        f"read_json_objects({quote_text(path)}, format = '{kind}', maximum_object_size = {MAX_RECORD_BYTES}, "
        f"compression = {_compression(selection)})"
    )
    bounded = f"CASE WHEN strlen(json) > {MAX_RECORD_BYTES} THEN error('{_OVER}') ELSE json END AS json"
    return JsonTable(f"(SELECT {bounded} FROM {read})"), []  # noqa: S608 - all of it is written here


def _parquet_table(selection: Selection, path: str, connection: Connection) -> tuple[Table, list[str]]:
    read = f"read_parquet({quote_text(path)})"
    described = connection.execute(f"DESCRIBE SELECT * FROM {read}").fetchall()  # noqa: S608 - as above
    names = [str(row[0]) for row in described]
    # Python gets times without a zone, in UTC.
    zoned = [quote_name(str(row[0])) for row in described if row[1] == "TIMESTAMP WITH TIME ZONE"]
    columns = ", ".join(f"CAST({name} AS TIMESTAMP) AS {name}" for name in zoned)
    reader = f"(SELECT * {f'REPLACE ({columns}) ' if zoned else ''}FROM {read})"
    return FlatTable(reader, names, names, untyped=False), names


_TABLES: Mapping[str, Callable[[Selection, str, Connection], tuple[Table, list[str]]]] = {
    "CSV": _csv_table,
    "JSON": _json_table,
    "Parquet": _parquet_table,
}

Row = Sequence[Any]


def _writer(
    selection: Selection, names: Sequence[str], raw: Sequence[bool], *, whole: bool
) -> Callable[[Row], str]:
    """How a row is written. `raw` columns are JSON already; `whole`: the only column is a record of JSON."""
    if selection.output is not None:
        return _csv_writer(selection.output, raw, whole)
    return _json_writer(selection.json_delimiter, names, raw, whole)


def _json_writer(
    delimiter: str, names: Sequence[str], raw: Sequence[bool], whole: bool
) -> Callable[[Row], str]:
    keys = [json.dumps(name, ensure_ascii=False) for name in names]

    def write(row: Row) -> str:
        if whole and str(row[0]).startswith("{"):
            return f"{row[0]}{delimiter}"
        if whole:
            return f'{{"_1":{row[0]}}}{delimiter}'
        members = [
            f"{key}:{value if is_raw else _json_value(value)}"
            for key, value, is_raw in zip(keys, row, raw, strict=True)
            if value is not None
        ]
        return f"{{{','.join(members)}}}{delimiter}"

    return write


def _json_value(value: object) -> str:
    if isinstance(value, (bool, str, dict, list)):
        return json.dumps(value, ensure_ascii=False, default=_text)
    if isinstance(value, (int, float, Decimal)):
        text = _text(value)
        return text if text[-1].isdigit() else "null"  # JSON has neither infinities nor NaN
    return json.dumps(_text(value), ensure_ascii=False)


def _text(value: object) -> str:
    """A value as text, as S3 writes it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
    if isinstance(value, Decimal):
        text = f"{value:f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    if isinstance(value, datetime):
        return f"{value.isoformat()}Z"
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _csv_writer(form: CsvOutput, raw: Sequence[bool], whole: bool) -> Callable[[Row], str]:
    special = tuple({form.delimiter, form.quote, form.record_delimiter, "\n", "\r"} - {""})

    def field(text: str) -> str:
        if not form.quote or not (form.always_quote or any(one in text for one in special)):
            return text
        escape = form.escape or form.quote
        return form.quote + text.replace(form.quote, escape + form.quote) + form.quote

    def write(row: Row) -> str:
        values = [
            _plain_json(value) if is_raw else _text(value) for value, is_raw in zip(row, raw, strict=True)
        ]
        if whole:
            values = _members(row[0])
        return form.delimiter.join(map(field, values)) + form.record_delimiter

    return write


def _plain_json(value: str | None) -> str:
    """A JSON value as text: a string without its quotes, null as nothing."""
    if value is None or value == "null":
        return ""
    return str(json.loads(value)) if value.startswith('"') else value


def _members(record: str) -> list[str]:
    """The values of a record of JSON, in order."""
    loaded = json.loads(record)
    values = loaded.values() if isinstance(loaded, dict) else [loaded]
    return [_plain_json(json.dumps(value, ensure_ascii=False)) for value in values]


if __name__ == "__main__":
    main()
