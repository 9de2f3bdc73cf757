"""The recurring pass of a serving gateway, and what it tells: the only part that knows how workers are put together."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from backends.base import Backend, BucketInfo, Multipart, Versioned
from backends.clock import now
from gateway.background import Periodic
from gateway.lifecycle.evaluation import Calendar
from gateway.lifecycle.worker import Notify, Pass, Removal, Store, nobody

if TYPE_CHECKING:
    from gateway.events import Change, Events

log = logging.getLogger("gateway.lifecycle")

LOCK = "lifecycle.lock"
"""The file, in the store, of whoever makes a pass."""


def as_store(backend: Backend) -> Store | None:
    """The backend, if it can carry out all rules."""
    return backend if isinstance(backend, Multipart) and isinstance(backend, Versioned) else None


def periodic(store: Store, interval: float, day: int, directory: Path, events: "Events | None") -> Periodic:
    """The pass that is made every `interval` s, where a day has `day` ms. `directory` is the store's."""
    notify = notifier(events)

    async def work() -> None:
        report = await Pass(store, Calendar(now(), day), notify=notify).run()
        for line, count in sorted(report.counts.items()):
            log.info("bucket %s, rule %s: %d %s", line.bucket, line.rule, count, line.outcome)

    return Periodic("lifecycle", work, interval, directory / LOCK)


def notifier(events: "Events | None") -> Notify:
    """Publishes `s3:LifecycleExpiration:*` of what a pass removes; of a delete marker S3 tells nothing."""
    if events is None:
        return nobody
    from gateway.events import service_origin
    from gateway.reply import new_request_id

    async def notify(bucket: BucketInfo, removed: Sequence[Removal]) -> None:
        changes = [_change(removal) for removal in removed if not removal.entry.marker]
        await events.publish(bucket, changes, service_origin(new_request_id()))

    return notify


def _change(removal: Removal) -> "Change":
    from gateway.events import Change

    entry, marker = removal.entry, removal.made_marker
    if marker is not None:
        return Change("s3:LifecycleExpiration:DeleteMarkerCreated", entry.key, version=marker)
    return Change("s3:LifecycleExpiration:Delete", entry.key, version=entry.version)
