"""Runs a SELECT in a process of its own, and turns what that says into the messages of the answer.

The object is copied, decrypted if need be, and the process gets that and nothing else: a file in memory, or for a large
object a nameless one on the disk, whose bytes lie there plain until the query ends. A worker
runs few at a time and refuses more (SlowDown), so that queries cannot keep uploads and downloads waiting.
"""

import asyncio
import json
import os
import struct
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import asdict

from backends.base import Content
from gateway.errors import ERRORS, ExternalEvalException, S3Error, ServiceUnavailable, SlowDown
from gateway.select import events
from gateway.select.request import Selection
from gateway.spool import FULL, TemporaryFile, open_temporary, write_all
from gateway.stream import chunks

MAX_RUNNING = 2
"""Queries of one worker at a time."""
MAX_SECONDS = 300
"""From the start of a query to the end of its answer."""
MEMORY_BYTES = 32 * 1024 * 1024
"""Copies up to this size never touch a disk."""
_HEAD = struct.Struct(">cI")

Frame = tuple[bytes, bytes]


def job_of(selection: Selection) -> bytes:
    """A selection as the process reads it."""
    return json.dumps(asdict(selection)).encode()


class Selects:
    """The queries that a worker runs."""

    def __init__(self) -> None:
        self._running = 0

    async def start(self, content: Content, selection: Selection, directory: str) -> "Query":
        """Begin; the first of the outcome has come. Raises SlowDown, and what is wrong with the query or the object.

        `directory` is for the copy of the object; empty: the system's. `content` may be closed afterwards.
        """
        if self._running >= MAX_RUNNING:
            raise SlowDown()
        self._running += 1
        query = Query(selection, content.span.length, self._finished)
        try:
            await query.begin(content, directory or tempfile.gettempdir())
        except BaseException:
            query.close()
            raise
        return query

    def _finished(self) -> None:
        self._running -= 1


class Query:
    """One running query. `messages` is the answer; `close` ends everything, and may be called twice."""

    def __init__(self, selection: Selection, size: int, finished: Callable[[], None]) -> None:
        self._selection = selection
        self._size = size
        self._finished = finished
        # Also a client that does not read must not keep a query for longer.
        self._timer = asyncio.get_running_loop().call_later(MAX_SECONDS, self.close)
        self._file: TemporaryFile | None = None
        self._process: Process | None = None
        self._first: Frame = (b"", b"")
        self._closed = False

    async def begin(self, content: Content, directory: str) -> None:
        """Copy the object, start the process, and wait for what it says first."""
        try:
            self._file = await self._copy(content, directory)
        except TimeoutError:
            raise ExternalEvalException() from None
        except OSError as error:
            if error.errno not in FULL:
                raise
            raise ServiceUnavailable("There is no space left to store the request.") from error
        self._process = await _start(self._file.fd, job_of(self._selection))
        if self._closed:  # the time was over while it started
            self._end()
        self._first = await self._frame()
        if self._first[0] == b"E":
            raise _error(self._first[1])

    async def _copy(self, content: Content, directory: str) -> TemporaryFile:
        loop = asyncio.get_running_loop()
        file = _in_memory() if content.span.length <= MEMORY_BYTES else open_temporary(directory)
        try:
            async with asyncio.timeout_at(self._timer.when()):
                async for chunk in chunks(content):
                    await loop.run_in_executor(None, write_all, file.fd, [chunk])
        except BaseException:
            file.close()
            raise
        return file

    async def messages(self) -> AsyncIterator[bytes]:
        """The messages of the answer; an error is the last of them."""
        try:
            async for message in self._messages():
                yield message
        except S3Error as error:
            yield events.error(error)
        finally:
            self.close()

    async def _messages(self) -> AsyncIterator[bytes]:
        returned, (kind, payload) = 0, self._first
        while kind == b"R":
            returned += len(payload)
            yield events.records(payload)
            if self._selection.progress:
                yield self._counts("Progress", self._size, returned)
            kind, payload = await self._frame()
        if kind == b"E":
            raise _error(payload)
        yield self._counts("Stats", int(payload), returned)
        yield events.end()

    def _counts(self, kind: str, processed: int, returned: int) -> bytes:
        return events.counts(kind, scanned=self._size, processed=processed, returned=returned)

    async def _frame(self) -> Frame:
        """The next frame. ExternalEvalException if the process was killed, by a limit or for its time."""
        assert self._process is not None
        assert self._process.stdout is not None
        stream = self._process.stdout
        try:
            kind, length = _HEAD.unpack(await stream.readexactly(_HEAD.size))
            return kind, await stream.readexactly(length)
        except asyncio.IncompleteReadError:
            raise ExternalEvalException() from None

    def close(self) -> None:
        """End the process and free the copy."""
        if self._closed:
            return
        self._closed = True
        self._timer.cancel()
        self._finished()
        self._end()

    def _end(self) -> None:
        if self._file is not None:
            self._file.close()
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.kill()


def _in_memory() -> TemporaryFile:
    return TemporaryFile(os.memfd_create("select", os.MFD_CLOEXEC), None)


async def _start(fd: int, job: bytes) -> Process:
    paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gateway.select.child",
        str(fd),
        stdin=PIPE,
        stdout=PIPE,
        stderr=DEVNULL,
        pass_fds=(fd,),
        env={"PYTHONPATH": paths, "LANG": "C.UTF-8"},
    )
    assert process.stdin is not None
    with suppress(ConnectionError):  # it ended already: what it said, or that it said nothing, tells why
        process.stdin.write(job)
        await process.stdin.drain()
    process.stdin.close()
    return process


def _error(payload: bytes) -> S3Error:
    code, text = json.loads(payload)
    return ERRORS[code](text)


SELECTS = Selects()
"""Those of this process."""
