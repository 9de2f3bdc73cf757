"""Event notifications: what changes in a bucket is told to webhooks, at least once.

    messages    what is told (pure)
    queue       what was not told yet, durable
    delivery    telling it

An event is queued after its change was committed and before the request is answered. If it cannot be queued, the
request fails: the client repeats it, and with it the event.
"""

import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from auth.accounts import Accounts, OneAccount, number_of
from auth.identity import OWNER_ID, account_number
from backends import clock
from backends.base import BucketInfo, Doc
from gateway.configurations import notification
from gateway.events.delivery import Delivery, log
from gateway.events.messages import SERVICE, Change, Origin, Place, bridge_event, record, test_event
from gateway.events.queue import Queue
from gateway.options import NotificationOptions
from gateway.policy_keys import source_ip
from gateway.reply import HOST_ID
from gateway.request import REQUEST_ID

if TYPE_CHECKING:
    from gateway.context import Context

__all__ = ["EVENTBRIDGE", "Change", "Events", "Origin", "origin_of", "service_origin"]

EVENTBRIDGE = "eventbridge"
"""The target that stands for EventBridge in the queue; no other may have the name."""


def service_origin(request_id: str) -> Origin:
    """Who does what S3 does by itself: expires objects, writes access logs."""
    return Origin(SERVICE, SERVICE, SERVICE, request_id, HOST_ID)


def origin_of(context: "Context") -> Origin:
    """Who asked for what a request does."""
    identity, request = context.identity, context.request
    if identity.anonymous:
        principal, requester = "Anonymous", "-"
    else:
        session = f":{identity.session}" if identity.session else ""
        principal, requester = f"AWS:{identity.access_key}{session}", account_number(identity.name)
    address = source_ip(request, context.services.trusted_proxies)
    return Origin(principal, requester, address, request.scope.get(REQUEST_ID, ""), HOST_ID)


class Events:
    """The notifications of one worker. `directory` is the store's, where the queue lies."""

    def __init__(
        self,
        options: NotificationOptions,
        directory: Path,
        region: str = "us-east-1",
        accounts: Accounts = OneAccount(),  # noqa: B008 - it has no state
        *,
        durable: bool = True,
    ) -> None:
        self._region = region
        self._accounts = accounts
        self._bridge = EVENTBRIDGE in options.targets
        self._names = frozenset(options.targets) - {EVENTBRIDGE}
        self._queue = Queue(directory, durable=durable)
        self._delivery = Delivery(self._queue, directory, options)

    @property
    def targets(self) -> Collection[str]:
        """The names of the targets that configurations may name."""
        return self._names

    @property
    def eventbridge(self) -> bool:
        """Whether there is an EventBridge."""
        return self._bridge

    def start(self) -> None:
        """Begin to deliver; on the loop."""
        self._delivery.start()

    async def stop(self) -> None:
        """Stop to deliver; what is left is sent after the next start."""
        await self._delivery.stop()
        self._queue.close()

    async def publish(self, bucket: BucketInfo, changes: Sequence[Change], origin: Origin) -> None:
        """Queue what the bucket's configuration says of these changes. Raises sqlite3.Error, OSError."""
        text = bucket.docs.get(Doc.NOTIFICATION)
        if text is None:
            return
        configuration, place, now = notification.load(text), self._place(bucket), time.time_ns()
        messages: list[tuple[str, str]] = []
        for number, change in enumerate(changes):
            moment = now + number
            messages += [
                (rule.target, record(change, origin, place, moment, rule.id))
                for rule in configuration.rules
                if rule.applies(change.event, change.key)
            ]
            if configuration.eventbridge:
                messages.append((EVENTBRIDGE, bridge_event(change, origin, place, moment)))
        await self._send(messages)

    async def test(self, bucket: BucketInfo, text: str, origin: Origin) -> None:
        """Queue a test event for each topic and queue of a configuration that was put."""
        event = test_event(self._place(bucket), origin, time.time_ns())
        await self._send([(rule.target, event) for rule in notification.load(text).rules if rule.tested])

    async def _send(self, messages: list[tuple[str, str]]) -> None:
        known = [message for message in messages if self._is_target(message[0])]
        if not known:
            return
        await self._queue.put(known, clock.now())
        for target in {target for target, _ in known}:
            self._delivery.wake(target)

    def _is_target(self, name: str) -> bool:
        """Whether a target still is configured."""
        if name in self._names or (name == EVENTBRIDGE and self._bridge):
            return True
        log.warning("an event is lost: its target %s is no longer configured", name)
        return False

    def _place(self, bucket: BucketInfo) -> Place:
        owner = bucket.owner or OWNER_ID
        return Place(bucket.name, owner, number_of(self._accounts, owner), self._region)
