"""Delivery of queued messages to the webhooks that the operator configured.

Each worker has a task for each target. Whoever holds the target's file lock sends, one message after the other, so that
no two processes ever send the same one and the order is kept; the lock of a process that dies is free at once, which
a lease in time would not be. A message is sent again until it was taken: at least once, and its id stays the same.

A target that fails is left alone for growing times, with all that waits for it. A message that a working target does
not want (`_UNWANTED`) waits by itself and lets the others pass.

Redirects are not followed and proxies of the environment not used: what is sent goes where the operator said.
"""

import asyncio
import contextlib
import hashlib
import hmac
import logging
import random
import sqlite3
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from backends.clock import now
from gateway.background import turn
from gateway.options import NotificationOptions, TargetOptions

if TYPE_CHECKING:
    import httpx

    from gateway.events.queue import Message, Queue

log = logging.getLogger("gateway.events")

SIGNATURE = "x-s3gw-signature"
"""`sha256=` and the hexadecimal HMAC-SHA256 of the body under the target's secret."""
EVENT_ID = "x-s3gw-event-id"
"""The same for every attempt to deliver a message: by it a target can drop what it has already."""

_POLL_SECONDS = 1.0
"""How often to look for what another process queued, or left behind."""
_TRIM_SECONDS = 10.0
_LAST_SECONDS = 3.0
"""What is being sent at the end gets so long."""
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 300.0
_UNWANTED = frozenset({400, 413, 415, 422})
_ANSWER_BYTES = 65536
"""As much of an answer is read, so that the connection can be used again."""


class Delivery:
    """Sends what is queued, from `start` to `stop`."""

    def __init__(self, queue: "Queue", directory: Path, options: NotificationOptions) -> None:
        self._queue = queue
        self._directory = directory
        self._options = options
        self._targets = options.targets
        self._news = {name: asyncio.Event() for name in self._targets}
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False
        self._client: httpx.AsyncClient | None = None

    def start(self) -> None:
        """Begin to send."""
        self._client = _client()
        loops = [self._serve(name) for name in self._targets]
        self._tasks = [asyncio.create_task(loop) for loop in (*loops, self._trim())]

    async def stop(self) -> None:
        """Stop. What was not sent stays queued; what is being sent may finish, so that it is not sent again."""
        self._stopping = True
        for news in self._news.values():
            news.set()
        if self._tasks:
            self._tasks[-1].cancel()  # has nothing to finish
            await asyncio.wait(self._tasks, timeout=_LAST_SECONDS)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()

    def wake(self, target: str) -> None:
        """There is something new for a target."""
        self._news[target].set()

    async def _serve(self, name: str) -> None:
        while not self._stopping:
            try:
                with turn(self._directory / f"events-{name}.lock") as mine:
                    while mine and not self._stopping and await self._send_next(name):
                        pass
            except Exception:  # a full disk, say; delivery goes on when it can
                log.exception("delivery to %s is interrupted", name)
                await asyncio.sleep(_POLL_SECONDS)
            await self._wait(name)

    async def _wait(self, name: str) -> None:
        """Wait for news, or for a while: other processes queue too, and pauses end."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._news[name].wait(), _POLL_SECONDS)
        self._news[name].clear()

    async def _send_next(self, name: str) -> bool:
        """Send one message; whether there may be another to be sent now."""
        message = self._queue.first(name, now())
        if message is None:
            return False
        outcome = await self._post(name, message)
        if isinstance(outcome, int) and 200 <= outcome < 300:
            await self._queue.done(name, message)
        elif outcome in _UNWANTED:
            log.warning("%s does not want event %d: status %s", name, message.number, outcome)
            await self._queue.refused(message, _later(message.tries))
        else:
            _until, tries = self._queue.paused(name)
            log.warning("%s did not take event %d (attempt %d): %s", name, message.number, tries + 1, outcome)
            await self._queue.pause(name, _later(tries))
            return False
        return True

    async def _post(self, name: str, message: "Message") -> int | str:
        """Send it once: the status of the answer, or what went wrong."""
        import httpx

        target, body = self._targets[name], message.body.encode()
        headers = _headers(target, message, body)
        assert self._client is not None
        status: int | None = None
        try:
            async with (
                asyncio.timeout(target.timeout),
                self._client.stream("POST", target.url, content=body, headers=headers) as answer,
            ):
                status = answer.status_code
                await _drain(answer)
        except TimeoutError:
            return status or f"no answer within {target.timeout:g} s"
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            return status or f"{type(error).__name__}: {error}"
        return status

    async def _trim(self) -> None:
        while True:
            oldest = now() - int(self._options.max_age * 1000)
            try:
                given_up = await self._queue.trim(oldest, self._options.max_queued)
            except (sqlite3.Error, OSError):
                log.exception("the queue of events cannot be trimmed")
            else:
                for target, count in given_up.items():
                    log.error("%d events for %s are given up: too old, or too many", count, target)
            await asyncio.sleep(_TRIM_SECONDS)


async def _drain(answer: "httpx.Response") -> None:
    received = 0
    async for chunk in answer.aiter_raw():
        received += len(chunk)
        if received > _ANSWER_BYTES:
            return


def _headers(target: TargetOptions, message: "Message", body: bytes) -> dict[str, str]:
    headers = {"content-type": "application/json", "user-agent": "s3gw", EVENT_ID: str(message.number)}
    if target.secret:
        digest = hmac.new(target.secret.encode(), body, hashlib.sha256).hexdigest()
        headers[SIGNATURE] = f"sha256={digest}"
    return headers


def _client() -> "httpx.AsyncClient":
    import httpx

    for name in ("httpx", "httpcore"):  # a line for each request, with the target's whole URL
        logging.getLogger(name).setLevel(logging.WARNING)
    return httpx.AsyncClient(
        follow_redirects=False,
        trust_env=False,
        timeout=None,  # noqa: S113 - the time is limited around a whole exchange
        verify=ssl.create_default_context(),  # the system's certificates
    )


def _later(tries: int) -> int:
    """When to try again: after a time that doubles, at random between half of it and all."""
    pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(tries, 16))
    return now() + int(pause * random.uniform(500, 1000))  # noqa: S311 - no secret
