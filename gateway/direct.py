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
        end = offset + count
        while head:
            head = head[self._send_head(head, count) :]
            if head:
                await self._writable()
        while offset < end:
            sent = self._send_piece(fd, offset, min(SEND_BYTES, end - offset))
            offset += sent
            if offset < end:
                await self._writable()

    def _send_head(self, head: bytes, count: int) -> int:
        try:
            return self._socket.send(head, socket.MSG_MORE if count else 0)
        except BlockingIOError:
            return 0

    def _send_piece(self, fd: int, offset: int, count: int) -> int:
        try:
            sent = os.sendfile(self._fd, fd, offset, count)
        except BlockingIOError:
            return 0
        if not sent:
            raise EOFError("a file is shorter than announced")
        self._moved()
        return sent

    async def _writable(self) -> None:
        if self._fd < 0:
            raise ConnectionResetError("the client is gone")
        self._waiter = self._loop.create_future()
        self._loop.add_writer(self._fd, self._on_writable)
        try:
            await self._waiter
        finally:
            self._waiter = None
            if self._fd >= 0:
                self._loop.remove_writer(self._fd)

    def _on_writable(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def close(self) -> None:
        """The connection is lost: end what is being sent."""
        if self._fd >= 0:
            self._loop.remove_writer(self._fd)
            self._socket.close()
            self._fd = -1
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(ConnectionResetError("the client is gone"))
