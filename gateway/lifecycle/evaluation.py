"""What lifecycle rules say about a version or an upload, and when. Pure.

A day ends at midnight UTC: the days of a rule are added to the time, and the sum is rounded up to the next midnight.
Sources: https://docs.aws.amazon.com/AmazonS3/latest/userguide/intro-lifecycle-rules.html,
https://docs.aws.amazon.com/AmazonS3/latest/userguide/lifecycle-expire-general-considerations.html
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import quote

from backends.clock import DAY_MS
from gateway.conditions import http_date
from gateway.configurations.lifecycle import Lifecycle, Rule

_MOST = 253_402_214_400_000
"""The last midnight that a date can tell, in ms."""
_IN_HEADER = "".join(map(chr, range(0x20, 0x7F))).replace('"', "")


@dataclass(frozen=True, slots=True)
class Calendar:
    """The time (ms), and how long a day is (ms). One that is not 24 hours, for trials, is not rounded to midnight."""

    now: int
    day: int = DAY_MS

    def after(self, moment: int, days: int) -> int:
        """When so many days have passed since a moment (ms)."""
        due = moment + days * self.day
        return due if self.day != DAY_MS else due + -due % DAY_MS


class Version(NamedTuple):
    """A version of a key, or a delete marker (of no size), and where it stands among the others. Times are ms.

    `since`: since when it is noncurrent, which is when the next newer one was made; `newer`: how many noncurrent ones
    are newer; `alone`: there is no other.
    """

    key: str
    size: int
    modified: int
    latest: bool = True
    marker: bool = False
    since: int = 0
    newer: int = 0
    alone: bool = True


def due(lifecycle: Lifecycle, calendar: Calendar, version: Version) -> Sequence[Rule]:
    """The rules by which a version is to go now, in order. Its tags, which each rule may ask for, are not looked at."""
    return [
        rule
        for rule in lifecycle.active
        if rule.filter.covers(version.key, version.size)
        and (when := _when(rule, calendar, version)) is not None
        and when <= calendar.now
    ]


def chosen(rules: Sequence[Rule], tags: Mapping[str, str]) -> Rule | None:
    """The first of some rules that an object with these tags falls under."""
    return next((rule for rule in rules if rule.filter.tagged(tags)), None)


def abort_due(lifecycle: Lifecycle, calendar: Calendar, key: str, initiated: int) -> Rule | None:
    """The rule by which an upload that was begun at `initiated` (ms) is to be aborted now."""
    found = _first_abort(lifecycle, calendar, key, initiated)
    return found[1] if found is not None and found[0] <= calendar.now else None


def expiration_header(
    lifecycle: Lifecycle, key: str, size: int, tags: Mapping[str, str], modified: int, *, day: int = DAY_MS
) -> str | None:
    """`x-amz-expiration` of a current version: when (ms) it goes, and by which rule; None if none says so."""
    calendar, version = Calendar(0, day), Version(key, size, modified, alone=False)
    found = [
        (when, position)
        for position, rule in enumerate(lifecycle.active)
        if rule.filter.covers(key, size)
        and rule.filter.tagged(tags)
        and (when := _when(rule, calendar, version)) is not None
    ]
    if not found:
        return None
    when, position = min(found)
    return f'expiry-date="{_date(when)}", rule-id="{_quoted(lifecycle.active[position].id)}"'


def abort_headers(lifecycle: Lifecycle, key: str, initiated: int, *, day: int = DAY_MS) -> dict[str, str]:
    """`x-amz-abort-date` and `x-amz-abort-rule-id` of an upload begun at `initiated` (ms); none if it may stay."""
    found = _first_abort(lifecycle, Calendar(0, day), key, initiated)
    if found is None:
        return {}
    when, rule = found
    return {"x-amz-abort-date": _date(when), "x-amz-abort-rule-id": _quoted(rule.id)}


def _when(rule: Rule, calendar: Calendar, version: Version) -> int | None:
    """When (ms) a rule lets a version go that its filter covers; None: never."""
    if not version.latest:
        return _when_noncurrent(rule, calendar, version)
    if version.marker and not version.alone:
        return None
    if version.marker and rule.expired_marker:
        return version.modified
    if rule.date is not None:
        return rule.date
    return None if rule.days is None else calendar.after(version.modified, rule.days)


def _when_noncurrent(rule: Rule, calendar: Calendar, version: Version) -> int | None:
    if rule.noncurrent_days is None or version.newer < rule.newer_noncurrent:
        return None
    return calendar.after(version.since, rule.noncurrent_days)


def _first_abort(
    lifecycle: Lifecycle, calendar: Calendar, key: str, initiated: int
) -> tuple[int, Rule] | None:
    found = [
        (calendar.after(initiated, rule.abort_days), rule)
        for rule in lifecycle.active
        if rule.abort_days is not None and key.startswith(rule.filter.prefix)
    ]
    return min(found, key=lambda pair: pair[0], default=None)


def _date(moment: int) -> str:
    return http_date(min(moment, _MOST))


def _quoted(rule_id: str) -> str:
    """An ID as S3 sends it; what a header cannot carry (control characters, quotes, other scripts) percent-encoded."""
    return quote(rule_id, safe=_IN_HEADER)
