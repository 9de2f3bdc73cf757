"""One pass over the buckets that have lifecycle rules.

Versions and uploads are listed in pages, so that a pass needs little memory, and between pages it rests, so that
requests are not held up. Rules that are changed or taken back meanwhile end the pass over their bucket.

What was listed may have changed when it is removed: an object is removed only if it still is what was listed, a
version by its id. Locks hold: the store refuses, and the refusal is counted.
"""

import logging
from asyncio import sleep
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from os.path import commonprefix
from time import monotonic
from typing import NamedTuple, Protocol

from backends.base import (
    UNCONDITIONAL,
    Backend,
    BucketInfo,
    BucketQuery,
    Conditions,
    Delete,
    Deleted,
    Doc,
    Doomed,
    Multipart,
    Ref,
    UploadInfo,
    UploadQuery,
    Versioned,
    VersionEntry,
    VersionQuery,
)
from gateway.configurations import lifecycle, tagging
from gateway.configurations.lifecycle import Lifecycle, Rule
from gateway.errors import (
    AccessDenied,
    NoSuchBucket,
    NoSuchKey,
    NoSuchUpload,
    NoSuchVersion,
    PreconditionFailed,
    S3Error,
)
from gateway.lifecycle.evaluation import Calendar, Version, abort_due, chosen, due

log = logging.getLogger("gateway.lifecycle")

PAGE = 250
"""Versions listed at a time, and the most that one transaction removes: either takes a few milliseconds."""
SHARE = 0.25
"""The part of the time that a pass beside requests works; it rests the other."""
BREATH = 0.002
"""Seconds of work after which requests get their turn."""
_NEVER = 2**63 - 1


class Store(Backend, Multipart, Versioned, Protocol):
    """A backend that can carry out all rules."""


class Outcome(StrEnum):
    """What became of something whose time was over."""

    EXPIRED = "expired"
    """A current object: deleted, or, where there is versioning, hidden by a delete marker."""
    REMOVED = "noncurrent version removed"
    UNMARKED = "delete marker removed"
    ABORTED = "upload aborted"
    LOCKED = "kept: locked"
    CHANGED = "kept: changed meanwhile"
    FAILED = "failed"


_KEPT = {
    AccessDenied: Outcome.LOCKED,
    PreconditionFailed: Outcome.CHANGED,
    NoSuchKey: Outcome.CHANGED,
    NoSuchVersion: Outcome.CHANGED,
    NoSuchUpload: Outcome.CHANGED,
}


class Removal(NamedTuple):
    """A version that a rule removed. `made_marker`: the id of the delete marker that hides it instead."""

    entry: VersionEntry
    rule: Rule
    made_marker: str | None = None


Notify = Callable[[BucketInfo, Sequence[Removal]], Awaitable[None]]
Progress = Callable[[int], None]


async def nobody(bucket: BucketInfo, removed: Sequence[Removal]) -> None:
    """Tell nobody."""


def _silent(examined: int) -> None:
    pass


class Line(NamedTuple):
    """What a rule of a bucket did."""

    bucket: str
    rule: str
    outcome: Outcome


@dataclass(slots=True)
class Report:
    """What a pass looked at (versions and uploads), and what it did; in a dry run, what it would do."""

    examined: int = 0
    counts: Counter[Line] = field(default_factory=Counter)
    bytes: Counter[Line] = field(default_factory=Counter)

    def add(self, line: Line, size: int = 0) -> None:
        """Count one thing of `size` bytes."""
        self.counts[line] += 1
        self.bytes[line] += size

    @property
    def failed(self) -> bool:
        """Whether something went wrong that is not in the nature of things."""
        return any(line.outcome is Outcome.FAILED for line in self.counts)


class _Candidate(NamedTuple):
    """A version in a listing, and where it stands."""

    entry: VersionEntry
    version: Version


@dataclass(frozen=True, slots=True)
class Pass:
    """How to carry out rules. `share` is the part of the time that it works. `notify` is told what was removed."""

    store: Store
    calendar: Calendar
    dry_run: bool = False
    share: float = SHARE
    notify: Notify = nobody
    progress: Progress = _silent

    async def run(self, bucket: str | None = None) -> Report:
        """Carry out the rules of one bucket, or of all. Raises NoSuchBucket for one that was named."""
        report = Report()
        if bucket is not None:
            await self._bucket(await self.store.head_bucket(bucket), report)
            return report
        async for found in _buckets(self.store):
            try:
                await self._bucket(found, report)
            except Exception as error:
                if not (isinstance(error, S3Error) and error.kind is NoSuchBucket):
                    log.exception("the lifecycle of bucket %s could not be carried out", found.name)
                    report.add(Line(found.name, "", Outcome.FAILED))
        return report

    async def _bucket(self, bucket: BucketInfo, report: Report) -> None:
        text = bucket.docs.get(Doc.LIFECYCLE)
        if text is None:
            return
        found = lifecycle.load(text)
        work = _BucketPass(self, bucket, found, report, _Pace(self.share))
        if rules := [rule for rule in found.active if _concerns_versions(rule)]:
            await work.versions(_common_prefix(rules))
        if rules := [rule for rule in found.active if rule.abort_days is not None]:
            await work.uploads(_common_prefix(rules))


@dataclass(frozen=True, slots=True)
class _BucketPass:
    """The pass over one bucket."""

    how: Pass
    bucket: BucketInfo
    lifecycle: Lifecycle
    report: Report
    pace: "_Pace"

    async def versions(self, prefix: str) -> None:
        async for page in _candidates(self.how.store, self.bucket.name, prefix):
            found = []
            for candidate in page:
                rule = await self._rule(candidate)
                if rule is not None:
                    found.append((candidate, rule))
                await self.pace.breathe()
            if not await self._rules_hold():
                return
            await self._remove(found)
            await self._rest(len(page))

    async def uploads(self, prefix: str) -> None:
        async for page in _uploads(self.how.store, self.bucket.name, prefix):
            if not await self._rules_hold():
                return
            for upload in page:
                rule = abort_due(self.lifecycle, self.how.calendar, upload.key, upload.initiated)
                if rule is not None:
                    self._count(rule, await self._abort(upload))
                await self.pace.breathe()
            await self._rest(len(page))

    async def _rules_hold(self) -> bool:
        """Whether the bucket still has these rules: who takes them back stops the pass, however long it is."""
        now = (await self.how.store.head_bucket(self.bucket.name)).docs.get(Doc.LIFECYCLE)
        return now == self.bucket.docs.get(Doc.LIFECYCLE)

    async def _rule(self, candidate: _Candidate) -> Rule | None:
        """The rule by which it goes. Its tags are looked up only if they decide."""
        rules = due(self.lifecycle, self.how.calendar, candidate.version)
        if not rules or not rules[0].filter.tags:
            return rules[0] if rules else None
        return chosen(rules, await self._tags(candidate.entry))

    async def _tags(self, entry: VersionEntry) -> Mapping[str, str]:
        if entry.marker:
            return {}
        ref = Ref(self.bucket.name, entry.key, None if entry.latest else _name(entry))
        try:
            return tagging.load(await self.how.store.get_doc(ref, Doc.TAGGING))
        except S3Error as error:
            if error.kind not in (NoSuchKey, NoSuchVersion):
                raise
            return {}  # somebody removed it: so shall nobody else

    async def _remove(self, found: Sequence[tuple[_Candidate, Rule]]) -> None:
        outcomes: Iterable[Deleted | None] = [None] * len(found)
        if found and not self.how.dry_run:
            outcomes = await self.how.store.delete_objects(
                self.bucket.name, [_doomed(candidate.entry) for candidate, _ in found]
            )
        removed = []
        for (candidate, rule), deleted in zip(found, outcomes, strict=True):
            outcome = _outcome(candidate.entry, deleted)
            self._count(rule, outcome, candidate.entry.size)
            if deleted is not None and deleted.error is None:
                made = deleted.marker if outcome is Outcome.EXPIRED else None
                removed.append(Removal(candidate.entry, rule, made))
        if removed:
            await self.how.notify(self.bucket, removed)

    async def _abort(self, upload: UploadInfo) -> Outcome:
        if not self.how.dry_run:
            try:
                await self.how.store.abort_upload(Ref(self.bucket.name, upload.key), upload.upload)
            except S3Error as error:
                return _kept(error)
        return Outcome.ABORTED

    def _count(self, rule: Rule, outcome: Outcome, size: int = 0) -> None:
        self.report.add(Line(self.bucket.name, rule.id, outcome), size)

    async def _rest(self, examined: int) -> None:
        self.report.examined += examined
        self.how.progress(self.report.examined)
        await self.pace.rest()


class _Pace:
    """Rests after work, so that work takes no more than a share of the time, and little of it at a time."""

    def __init__(self, share: float) -> None:
        self._rest_per_work = (1 - share) / share
        self._begun = monotonic()

    async def breathe(self) -> None:
        """Rest, if the work since the last rest took long: a thousand rules, or many tags."""
        if monotonic() - self._begun > BREATH:
            await self.rest()

    async def rest(self) -> None:
        await sleep((monotonic() - self._begun) * self._rest_per_work)
        self._begun = monotonic()


class _Ranks:
    """Tells where each version stands among those of its key, from the listing's order: newest first.

    Each is held back until the next is there, because a delete marker has to know whether it is alone.
    """

    def __init__(self) -> None:
        self._held: _Candidate | None = None

    def add(self, entry: VersionEntry) -> Iterable[_Candidate]:
        held, version = self._held, _first(entry)
        if held is not None and held.entry.key == entry.key:
            held = held._replace(version=held.version._replace(alone=False))
            if not entry.latest:
                version = version._replace(
                    since=held.entry.modified,
                    newer=held.version.newer + (not held.version.latest),
                    alone=False,
                )
        self._held = _Candidate(entry, version)
        return () if held is None else (held,)

    def last(self) -> Iterable[_Candidate]:
        return () if self._held is None else (self._held,)


def _first(entry: VersionEntry) -> Version:
    """The version as if nothing newer were listed. If it is not the latest all the same, nobody knows since when."""
    return Version(entry.key, entry.size, entry.modified, entry.latest, entry.marker, since=_NEVER)


async def _buckets(store: Store) -> AsyncIterator[BucketInfo]:
    query = BucketQuery(limit=1000)
    while True:
        page = await store.list_buckets(query)
        for bucket in page.buckets:
            yield bucket
        if not page.next:
            return
        query = replace(query, after=page.next)


async def _candidates(store: Store, bucket: str, prefix: str) -> AsyncIterator[Sequence[_Candidate]]:
    ranks, query = _Ranks(), VersionQuery(prefix=prefix, limit=PAGE)
    while True:
        page = await store.list_versions(bucket, query)
        found = [candidate for entry in page.entries for candidate in ranks.add(entry)]
        if not page.next:
            yield [*found, *ranks.last()]
            return
        yield found
        query = replace(query, after=page.next, after_version=page.next_version)


async def _uploads(store: Store, bucket: str, prefix: str) -> AsyncIterator[Sequence[UploadInfo]]:
    query = UploadQuery(prefix=prefix, limit=PAGE)
    while True:
        page = await store.list_uploads(bucket, query)
        yield page.uploads
        if not page.next:
            return
        query = replace(query, after=page.next, after_upload=page.next_upload)


def _concerns_versions(rule: Rule) -> bool:
    return rule.expired_marker or (rule.days, rule.date, rule.noncurrent_days) != (None, None, None)


def _common_prefix(rules: Sequence[Rule]) -> str:
    return commonprefix([rule.filter.prefix for rule in rules])  # noqa: RUF071 - of strings, as meant


def _name(entry: VersionEntry) -> str:
    return entry.version or "null"


def _doomed(entry: VersionEntry) -> Doomed:
    """A current object goes as by a plain deletion, everything else by its id. `null` may be written anew under its name."""
    if entry.latest and not entry.marker:
        return Doomed(entry.key, None, Delete(_unchanged(entry)))
    conditions = UNCONDITIONAL if entry.version is not None else _unchanged(entry)
    return Doomed(entry.key, _name(entry), Delete(conditions))


def _unchanged(entry: VersionEntry) -> Conditions:
    """That it is still the one listed. A delete marker has no ETag."""
    match = () if entry.marker else (entry.etag,)
    return Conditions(if_match=match, if_modified_time=entry.modified // 1000, if_size=entry.size)


def _outcome(entry: VersionEntry, deleted: Deleted | None) -> Outcome:
    if deleted is not None and deleted.error is not None:
        return _kept(deleted.error)
    if entry.latest and not entry.marker:
        return Outcome.EXPIRED
    return Outcome.UNMARKED if entry.marker else Outcome.REMOVED


def _kept(error: Exception) -> Outcome:
    if isinstance(error, S3Error) and error.kind in _KEPT:
        return _KEPT[error.kind]
    log.error("lifecycle: a deletion failed", exc_info=error)
    return Outcome.FAILED
