"""The time as everything here counts it: integers, milliseconds since 1970-01-01 UTC."""

import time

DAY_MS = 86_400_000
LAST_SECOND = 253_402_300_799
"""Of the year 9999, in seconds: the last one that a date can tell."""


def now() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000
