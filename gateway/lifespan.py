"""The ASGI lifespan, seen from the server: start the application, and end it.

Source: https://asgi.readthedocs.io/en/latest/specs/lifespan.html
"""

import asyncio
import logging
from collections.abc import Callable, MutableMapping
from typing import Any

log = logging.getLogger("gateway.serve")

Message = MutableMapping[str, Any]


class StartFailed(Exception):
    """The application or the server cannot start; the text is the reason, for people."""


class Lifespan:
    """Carries one application through its life. `state` is what the application leaves for its requests."""

    def __init__(self, app: Callable[..., Any]) -> None:
        self._app = app
        self.state: dict[str, Any] = {}
        self._inbox: asyncio.Queue[Message] = asyncio.Queue()
        self._outbox: asyncio.Queue[Message] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def startup(self) -> None:
        """Raises StartFailed with the application's reason."""
        self._task = asyncio.get_running_loop().create_task(self._live())
        message = await self._ask("lifespan.startup")
        if message["type"] != "lifespan.startup.complete":
            raise StartFailed(message.get("message") or "the application refused to start")

    async def shutdown(self, seconds: float) -> None:
        """Let the application end, and wait for it no longer than `seconds`."""
        if self._task is None:
            return
        try:
            async with asyncio.timeout(seconds):
                message = await self._ask("lifespan.shutdown")
                await self._task
        except TimeoutError:
            log.error("the application did not end within %g s", seconds)
        else:
            if message["type"] == "lifespan.shutdown.failed":
                log.error("the application did not end well: %s", message.get("message"))

    async def _ask(self, kind: str) -> Message:
        await self._inbox.put({"type": kind})
        return await self._outbox.get()

    async def _live(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        try:
            await self._app(scope, self._inbox.get, self._outbox.put)
        except Exception as error:
            log.debug("the application failed", exc_info=True)
            await self._outbox.put({"type": "failed", "message": f"{type(error).__name__}: {error}"})
        else:
            await self._outbox.put({"type": "ended"})
