"""The socket of a connection, used past its transport: files leave by `sendfile`.

Uvloop's `loop.sendfile` is not implemented, and `add_writer` refuses a descriptor that a transport owns; a duplicate
of it is another descriptor of the same socket.
"""

import asyncio
import os
import socket
from collections.abc import Callable

SEND_BYTES = 1024 * 1024
"""Sent at most at once; then the other connections have their turn."""


class DirectSocket:
    """A duplicate of a transport's socket. The transport MUST have nothing to write while `send_file` runs.

    `moved` is called whenever bytes were taken by the socket.
    """

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, moved: Callable[[], None]
    ) -> None:
        original = transport.get_extra_info("socket")
        self._socket = socket.socket(
            original.family, original.type, original.proto, os.dup(original.fileno())
        )
        self._fd = self._socket.fileno()
        self._loop = loop
        self._moved = moved
        self._waiter: asyncio.Future[None] | None = None

    @property
    def sending(self) -> bool:
        """Whether the client has to read before more can be sent."""
        return self._waiter is not None

    async def send_file(self, head: bytes, fd: int, offset: int, count: int) -> None:
        """Send `head`, then `count` bytes of the file from `offset`.

        Raises ConnectionError when the client is gone, and EOFError when the file is shorter.
        """
        job = _Job(head, fd, offset, offset + count)
        if not self._send_some(job):
            await self._finished(job)

    async def _finished(self, job: "_Job") -> None:
        """Send the rest whenever the socket takes some. The loop is told once, not at every piece."""
        if self._fd < 0:
            raise ConnectionResetError("the client is gone")
        self._waiter = self._loop.create_future()
        self._loop.add_writer(self._fd, self._on_writable, job)
        try:
            await self._waiter
        finally:
            self._waiter = None
            if self._fd >= 0:
                self._loop.remove_writer(self._fd)

    def _on_writable(self, job: "_Job") -> None:
        waiter = self._waiter
        if waiter is None or waiter.done():
            return
        try:
            if self._send_some(job):
                waiter.set_result(None)
        except (OSError, EOFError) as error:
            waiter.set_exception(error)

    def _send_some(self, job: "_Job") -> bool:
        """Send what the socket takes, SEND_BYTES at most; whether all is sent."""
        try:
            while job.head:
                more = socket.MSG_MORE if job.offset < job.end else 0
                job.head = job.head[self._socket.send(job.head, more) :]
            if job.offset < job.end:
                self._send_piece(job)
        except BlockingIOError:
            return False
        return job.offset == job.end

    def _send_piece(self, job: "_Job") -> None:
        sent = os.sendfile(self._fd, job.fd, job.offset, min(SEND_BYTES, job.end - job.offset))
        if not sent:
            raise EOFError("a file is shorter than announced")
        job.offset += sent
        self._moved()

    def close(self) -> None:
        """The connection is lost: end what is being sent."""
        if self._fd >= 0:
            self._loop.remove_writer(self._fd)
            self._socket.close()
            self._fd = -1
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(ConnectionResetError("the client is gone"))


class _Job:
    """What is still to be sent: `head`, then the file from `offset` to `end`."""

    __slots__ = ("end", "fd", "head", "offset")

    def __init__(self, head: bytes, fd: int, offset: int, end: int) -> None:
        self.head = head
        self.fd = fd
        self.offset = offset
        self.end = end
