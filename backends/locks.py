"""Object lock: what may be removed, and how a retention may change. Pure; whoever changes an object asks here, inside
the transaction.

A lock that cannot be read counts as one that holds.
Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock.html
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from backends.base import Doc
from gateway.errors import AccessDenied

_LOCKED = "Access Denied because object protected by object lock."
_FOREVER = 2**63 - 1


class Mode(StrEnum):
    """Who may end a retention early: whoever has the permission to bypass it, or nobody."""

    GOVERNANCE = "GOVERNANCE"
    COMPLIANCE = "COMPLIANCE"


class Retention(NamedTuple):
    """Until when (ms) a version stays, and how firmly."""

    mode: Mode
    until: int

    def __str__(self) -> str:
        return f"{self.mode} {self.until}"


def read_retention(text: str | None) -> Retention | None:
    """The retention of a `Doc.RETENTION`; one that cannot be read never ends."""
    if text is None:
        return None
    mode, _, until = text.partition(" ")
    if mode not in Mode.__members__ or not (until.isascii() and until.isdigit()):
        return Retention(Mode.COMPLIANCE, _FOREVER)
    return Retention(Mode(mode), int(until))


def check_removal(docs: Mapping[Doc, str], now: int, *, bypass_governance: bool = False) -> None:
    """Raise AccessDenied if a version with these documents may not be removed at `now` (ms)."""
    if Doc.LEGAL_HOLD not in docs and Doc.RETENTION not in docs:
        return
    if docs.get(Doc.LEGAL_HOLD, "OFF") != "OFF":
        raise AccessDenied(_LOCKED)
    retention = read_retention(docs.get(Doc.RETENTION))
    if retention is None or retention.until <= now:
        return
    if retention.mode is Mode.COMPLIANCE or not bypass_governance:
        raise AccessDenied(_LOCKED)


def check_retention(old: str | None, new: str | None, now: int, *, bypass_governance: bool = False) -> None:
    """Raise AccessDenied if a retention may not change from `old` to `new` (`Doc.RETENTION`) at `now` (ms).

    One that has ended binds nobody. Any other may only be prolonged in its mode; one in governance mode may be changed at
    will by whoever may bypass it, who alone may also make it compliant.
    """
    was, wanted = read_retention(old), read_retention(new)
    if was is None or was.until <= now:
        return
    if wanted is not None and wanted.mode is was.mode and wanted.until >= was.until:
        return
    if was.mode is Mode.COMPLIANCE or not bypass_governance:
        raise AccessDenied(_LOCKED)
