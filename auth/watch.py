"""When may a file have changed? At once where the system can tell, and at the latest after an interval."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

from watchfiles import awatch

log = logging.getLogger(__name__)

DEBOUNCE_MS = 200
STEP_MS = 100
"""The watcher wakes so often while nothing happens; a change is known two or three steps later."""


async def changes(path: Path, interval_seconds: float) -> AsyncGenerator[None, None]:
    """Yield whenever the file at `path` may have changed, at the latest every `interval_seconds`. Ends by cancellation.

    The directory is watched, not the file, so that replacing it by rename is seen too. While the directory is
    missing, or the system cannot watch, only the interval counts.
    """
    warned = False
    while True:
        yield
        try:
            async with aclosing(_watched(path, interval_seconds)) as events:
                async for _ in events:
                    yield
        except FileNotFoundError:
            log.debug("%s does not exist yet", path.parent)
        except (OSError, RuntimeError) as error:
            if not warned:
                log.warning(
                    "%s cannot be watched (%s); it is looked at every %g s", path, error, interval_seconds
                )
            warned = True
        await asyncio.sleep(interval_seconds)


async def _watched(path: Path, interval_seconds: float) -> AsyncGenerator[None, None]:
    """Yield at each event and interval, until the directory is another one than that which is watched."""
    directory = path.parent
    inode = directory.stat().st_ino
    events = awatch(
        directory,
        watch_filter=lambda _, name: Path(name).name == path.name,
        debounce=DEBOUNCE_MS,
        step=STEP_MS,
        rust_timeout=max(1, int(interval_seconds * 1000)),
        yield_on_timeout=True,
        recursive=False,
        ignore_permission_denied=True,
    )
    async with aclosing(events):
        async for _ in events:
            yield
            if directory.stat().st_ino != inode:
                return
