"""multipart/form-data as browsers send it: some fields, then one file, which passes through as it comes.

    --boundary CRLF headers CRLF CRLF value             a field, as often as there are fields
    CRLF --boundary CRLF headers CRLF CRLF bytes ...     the part called `file`
    CRLF --boundary ... CRLF --boundary--               what follows the file is ignored

`FormDecoder` is the grammar, without I/O; `Form` reads it from a connection. What precedes the file's bytes and what
follows them is bounded, so a form costs a few kilobytes of memory however large its file is.

Sources: RFC 7578, RFC 2046 section 5.1, https://docs.aws.amazon.com/AmazonS3/latest/API/RESTObjectPOST.html
"""

import re
from collections.abc import Callable
from typing import Any

from gateway.body import Source
from gateway.errors import (
    EntityTooLarge,
    EntityTooSmall,
    IncorrectNumberOfFilesInPostRequest,
    InvalidArgument,
    MalformedPOSTRequest,
    MaxPostPreDataLengthExceeded,
    PreconditionFailed,
)

MAX_FIELDS_BYTES = 20 * 1024
"""All that precedes the file's bytes, boundaries and headers included; as much again may follow them."""
FILE = "file"
"""The name, in whatever spelling, of the part that holds the file."""

_CONTENT_TYPE = re.compile(r"multipart/form-data[ \t]*(;.*)?", re.IGNORECASE | re.DOTALL)
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")
_LINE = re.compile(rb"(--)|[ \t]{0,80}\r\n")
_UNFINISHED_LINE = re.compile(rb"-?|[ \t]{0,80}\r?")
_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_HEADER = re.compile(rf"({_WORD}):[ \t]*([^\r\n\0]*)")
_PARAMETER = re.compile(rf'[ \t]*;[ \t]*({_WORD})=(?:"((?:\\"|[^"])*)"|([^";\s]*))[ \t]*')
_IDENTITY = frozenset({"7bit", "8bit", "binary"})


def boundary_of(content_type: str) -> bytes:
    """The boundary that a Content-Type names.

    Raises PreconditionFailed for another type, as S3 does, MalformedPOSTRequest without a boundary that RFC 2046 allows.
    """
    match = _CONTENT_TYPE.fullmatch(content_type)
    if match is None:
        raise PreconditionFailed(Condition="Bucket POST must be of the enclosure-type multipart/form-data")
    boundary = _parameters(match[1] or "").get("boundary", "")
    if not _BOUNDARY.fullmatch(boundary):
        raise MalformedPOSTRequest()
    return boundary.encode()


def _parameters(text: str) -> dict[str, str]:
    """The parameters of a header's value by lower-case name. Raises MalformedPOSTRequest, also for a repeated one."""
    found: dict[str, str] = {}
    at, end = 0, len(text.rstrip(" \t;"))
    while at < end:
        match = _PARAMETER.match(text, at)
        if match is None or match[1].lower() in found:
            raise MalformedPOSTRequest()
        name, quoted, token = match.groups()
        found[name.lower()] = token if quoted is None else quoted.replace('\\"', '"')
        at = match.end()
    return found


class FormDecoder:
    """Takes a form apart. `fields` (by lower-case name) and `filename` are complete once `in_file` is true.

    Raises MalformedPOSTRequest, MaxPostPreDataLengthExceeded, IncorrectNumberOfFilesInPostRequest, InvalidArgument
    (no file, or a field twice).
    """

    def __init__(self, boundary: bytes) -> None:
        self.fields: dict[str, str] = {}
        self.filename = ""
        """The name of the file as the client knows it, without directories."""
        self.in_file = False
        """The file's bytes have begun (and perhaps ended)."""
        self.closed = False
        """The closing boundary has come."""
        self._delimiter = b"\r\n--" + boundary
        self._buffer = b"\r\n"  # so that the first boundary looks like the others
        self._step: Callable[[], bool] = self._content
        self._take: Callable[[bytes], None] = self._drop
        self._end_part: Callable[[], None] = _nothing
        self._name = ""
        self._value = bytearray()
        self._pieces: list[bytes] = []
        self._spent = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The pieces of the file in the next bytes of the form."""
        self._buffer = self._buffer + data if self._buffer else data
        self._pieces = []
        while self._step():
            pass
        return self._pieces

    def finish(self) -> None:
        """The form has ended: it must be complete."""
        if not self.closed:
            raise MalformedPOSTRequest()

    def _content(self) -> bool:
        """The content of a part (or the preamble), up to the next boundary."""
        buffer = self._buffer
        at = buffer.find(self._delimiter)
        end = _settled(buffer, self._delimiter) if at < 0 else at
        if end:
            self._take(buffer[:end])
            self._buffer = buffer[end:]
        if at < 0:
            return False
        self._end_part()
        return self._advance(len(self._delimiter), self._line)

    def _line(self) -> bool:
        """The rest of a boundary's line: blanks, or the `--` that closes the form."""
        match = _LINE.match(self._buffer)
        if match is None:
            if not _UNFINISHED_LINE.fullmatch(self._buffer):
                raise MalformedPOSTRequest()
            return False
        if match[1]:
            self._close()
        return self._advance(match.end(), self._epilogue if match[1] else self._headers)

    def _headers(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            self._check(self._spent + len(self._buffer))
            return False
        name, filename = _part(self._buffer[:end])
        self._advance(end + 4, self._content)
        self._begin_part(name.lower(), filename)
        return True

    def _begin_part(self, name: str, filename: str) -> None:
        if self.in_file:
            if name == FILE:
                raise IncorrectNumberOfFilesInPostRequest()
            return
        if name == FILE:
            self.in_file = True
            self.filename = re.split(r"[/\\]", filename)[-1]
            self._take, self._end_part = self._hand_out, self._end_file
            return
        if name in self.fields:
            raise InvalidArgument(
                "POST requires each field at most once.", ArgumentName=name[:64], ArgumentValue="2"
            )
        self._name = name
        self._take, self._end_part = self._keep, self._end_field

    def _epilogue(self) -> bool:
        self._advance(len(self._buffer), self._epilogue)
        return False

    def _drop(self, data: bytes) -> None:
        self._spend(len(data))

    def _keep(self, data: bytes) -> None:
        self._spend(len(data))
        self._value += data

    def _hand_out(self, data: bytes) -> None:
        self._pieces.append(data)

    def _end_field(self) -> None:
        self.fields[self._name] = _text(bytes(self._value))
        self._value.clear()

    def _end_file(self) -> None:
        self._spent = 0
        self._take, self._end_part = self._drop, _nothing

    def _close(self) -> None:
        if not self.in_file:
            raise InvalidArgument(
                "POST requires exactly one file upload per request.", ArgumentName=FILE, ArgumentValue="0"
            )
        self.closed = True

    def _advance(self, count: int, step: Callable[[], bool]) -> bool:
        """Drop what is dealt with, and go on with the next step."""
        self._buffer = self._buffer[count:]
        self._spend(count)
        self._step = step
        return True

    def _spend(self, count: int) -> None:
        self._spent += count
        self._check(self._spent)

    def _check(self, size: int) -> None:
        if size > MAX_FIELDS_BYTES:
            raise MalformedPOSTRequest() if self.in_file else MaxPostPreDataLengthExceeded()


def _nothing() -> None:
    return None


def _settled(data: bytes, delimiter: bytes) -> int:
    """How many bytes are content for certain, whatever follows: a delimiter may have begun at the end."""
    at = data.find(b"\r", max(0, len(data) - len(delimiter) + 1))
    return len(data) if at < 0 else at


def _part(data: bytes) -> tuple[str, str]:
    """Name and file name in the headers of a part. Raises MalformedPOSTRequest."""
    headers: dict[str, str] = {}
    for line in _text(data).split("\r\n"):
        match = _HEADER.fullmatch(line)
        if match is None or match[1].lower() in headers:
            raise MalformedPOSTRequest()
        headers[match[1].lower()] = match[2]
    if headers.get("content-transfer-encoding", "binary").strip().lower() not in _IDENTITY:
        raise MalformedPOSTRequest()
    kind, semicolon, rest = headers.get("content-disposition", "").partition(";")
    parameters = _parameters(semicolon + rest)
    if kind.strip().lower() != "form-data" or not parameters.get("name"):
        raise MalformedPOSTRequest()
    return parameters["name"], parameters.get("filename", "")


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise MalformedPOSTRequest() from None


class Form:
    """A form on its way in: `await begin()` reads up to the file, whose bytes `receive` then gives."""

    def __init__(self, source: Source, boundary: bytes) -> None:
        self._source = source
        self._decoder = FormDecoder(boundary)
        self._pieces: list[bytes] = []
        self._size = 0
        self._least = 0
        self._most: int | None = None

    async def begin(self) -> tuple[dict[str, str], str]:
        """The fields by lower-case name, and the name of the file. Raises as FormDecoder, and ClientDisconnected."""
        decoder = self._decoder
        while not decoder.in_file:
            self._pieces = await self._next()
        return decoder.fields, decoder.filename

    def limit(self, least: int, most: int) -> None:
        """Let `receive` raise EntityTooSmall and EntityTooLarge for a file that is not so many bytes long."""
        self._least, self._most = least, most

    async def receive(self) -> dict[str, Any]:
        """The file's next bytes, as a message of ASGI; the last one only when the whole form was found right."""
        pieces = self._pieces or (await self._next() if self._source.more else [])
        self._pieces = []
        self._size += sum(map(len, pieces))
        self._check_size()
        return {"type": "http.request", "body": b"".join(pieces), "more_body": self._source.more}

    async def _next(self) -> list[bytes]:
        pieces = self._decoder.feed(await self._source.next_chunk())
        if not self._source.more:
            self._decoder.finish()
        return pieces

    def _check_size(self) -> None:
        if self._most is not None and self._size > self._most:
            raise EntityTooLarge(ProposedSize=self._size, MaxSizeAllowed=self._most)
        if not self._source.more and self._size < self._least:
            raise EntityTooSmall(ProposedSize=self._size, MinSizeAllowed=self._least)
