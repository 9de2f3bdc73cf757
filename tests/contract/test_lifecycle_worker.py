"""A pass of the lifecycle over a store: what goes, what stays, on every backend."""

import time
from collections import Counter

import pytest
from payloads import get, put, put_part

from backends.base import (
    Doc,
    ListQuery,
    NewBucket,
    Ref,
    UploadQuery,
    VersionQuery,
    Write,
)
from gateway.configurations import lifecycle
from gateway.errors import S3Error
from gateway.lifecycle import worker
from gateway.lifecycle.evaluation import DAY_MS, Calendar
from gateway.lifecycle.worker import Line, Outcome, Pass

HEAD = 'all_storage_classes_128K\n<LifecycleConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'


def rule(actions: str, where: str = "<Filter/>", name: str = "r", status: str = "Enabled") -> str:
    return f"<Rule><ID>{name}</ID>{where}<Status>{status}</Status>{actions}</Rule>"


def document(*rules: str) -> str:
    text = f"{HEAD}{''.join(rules)}</LifecycleConfiguration>"
    assert lifecycle.load(text).rules
    return text


DAYS = "<Expiration><Days>1</Days></Expiration>"
MARKERS = "<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>"
ABORT = "<AbortIncompleteMultipartUpload><DaysAfterInitiation>1</DaysAfterInitiation></AbortIncompleteMultipartUpload>"


def noncurrent(newer: int = 0) -> str:
    more = f"<NewerNoncurrentVersions>{newer}</NewerNoncurrentVersions>" if newer else ""
    return (
        f"<NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays>{more}</NoncurrentVersionExpiration>"
    )


def prefixed(prefix: str) -> str:
    return f"<Filter><Prefix>{prefix}</Prefix></Filter>"


def now() -> int:
    return time.time_ns() // 1_000_000


def later(days: int = 3) -> Calendar:
    return Calendar(now() + days * DAY_MS)


class Buckets:
    """The bucket `b`, and what passes over it do."""

    def __init__(self, backend) -> None:
        self.backend = backend

    async def make(self, *rules: str, versioning: str = "") -> None:
        docs = {Doc.LIFECYCLE: document(*rules)}
        if versioning:
            docs[Doc.VERSIONING] = versioning
        await self.backend.create_bucket("b", NewBucket(docs=docs))

    async def put(self, key: str, data: bytes = b"x", **docs: str):
        return await put(
            self.backend, Ref("b", key), data, Write(docs={Doc(name): text for name, text in docs.items()})
        )

    async def run(self, calendar: Calendar | None = None, **how) -> Counter:
        report = await Pass(self.backend, calendar or later(), share=1, **how).run()
        return Counter({(line.rule, line.outcome): count for line, count in report.counts.items()})

    async def keys(self) -> list[str]:
        return [entry.key for entry in (await self.backend.list_objects("b", ListQuery())).entries]

    async def versions(self) -> list[tuple[str, str | None, bool]]:
        page = await self.backend.list_versions("b", VersionQuery())
        return [(entry.key, entry.version, entry.marker) for entry in page.entries]


@pytest.fixture
def b(empty) -> Buckets:
    return Buckets(empty)


async def test_current_objects_go_when_their_time_is_over_and_not_before(b):
    await b.make(rule(DAYS, prefixed("old/")))
    await b.put("old/a")
    await b.put("new/a")
    assert await b.run(Calendar(now())) == Counter()
    assert await b.run(later()) == {("r", Outcome.EXPIRED): 1}
    assert await b.keys() == ["new/a"]
    assert await b.run(later()) == Counter()


async def test_a_disabled_rule_and_a_bucket_without_rules_are_left_alone(b):
    await b.make(rule(DAYS, status="Disabled"))
    await b.backend.create_bucket("c")
    await b.put("k")
    await put(b.backend, Ref("c", "k"), b"x")
    assert await b.run() == Counter()
    assert await b.keys() == ["k"]


async def test_a_dry_run_counts_and_changes_nothing(b):
    await b.make(rule(DAYS + ABORT))
    await b.put("k", b"four")
    await b.backend.create_upload(Ref("b", "k"), Write())
    report = await Pass(b.backend, later(), dry_run=True, share=1).run("b")
    assert report.counts == {Line("b", "r", Outcome.EXPIRED): 1, Line("b", "r", Outcome.ABORTED): 1}
    assert report.bytes[Line("b", "r", Outcome.EXPIRED)] == 4
    assert report.examined == 2
    assert await b.keys() == ["k"]
    assert (await b.backend.list_uploads("b", UploadQuery())).uploads


async def test_filters_by_tag_and_size(b):
    tagged = "<Filter><Tag><Key>go</Key><Value>now</Value></Tag></Filter>"
    large = "<Filter><ObjectSizeGreaterThan>4</ObjectSizeGreaterThan></Filter>"
    await b.make(rule(DAYS, tagged, "tagged"), rule(DAYS, large, "large"))
    await b.put("go", tagging='{"go":"now","and":"more"}')
    await b.put("later", tagging='{"go":"later"}')
    await b.put("plain")
    await b.put("large", b"12345", tagging='{"go":"later"}')
    await b.put("exactly", b"1234")
    assert await b.run() == {("tagged", Outcome.EXPIRED): 1, ("large", Outcome.EXPIRED): 1}
    assert await b.keys() == ["exactly", "later", "plain"]


async def test_in_a_versioned_bucket_the_current_object_is_hidden_by_a_marker(b):
    await b.make(rule(DAYS), versioning="Enabled")
    info = await b.put("k", b"kept")
    told = []
    assert await b.run(notify=_into(told)) == {("r", Outcome.EXPIRED): 1}
    assert await b.keys() == []
    (marker, version) = await b.versions()
    assert marker[2]
    assert version == ("k", info.version, False)
    assert await get(b.backend, Ref("b", "k", info.version)) == b"kept"
    assert [(removal.entry.key, removal.rule.id, removal.made_marker) for removal in told] == [
        ("k", "r", marker[1])
    ]


async def test_in_a_suspended_bucket_the_marker_takes_the_place_of_null(b):
    await b.make(rule(DAYS), versioning="Suspended")
    await b.put("k")
    assert await b.run() == {("r", Outcome.EXPIRED): 1}
    assert await b.versions() == [("k", None, True)]


async def test_noncurrent_versions_go_but_as_many_as_wanted_stay(b):
    await b.make(rule(noncurrent(newer=2)), versioning="Enabled")
    made = [(await b.put("k", str(number).encode())).version for number in range(6)]
    await b.put("l")
    assert await b.run() == {("r", Outcome.REMOVED): 3}
    assert [version for key, version, _ in await b.versions() if key == "k"] == [made[5], made[4], made[3]]
    assert await get(b.backend, Ref("b", "k")) == b"5"


async def test_a_noncurrent_version_is_young_while_it_was_replaced_just_now(b):
    await b.make(rule(noncurrent()), versioning="Enabled")
    await b.put("k")
    await b.put("k")
    assert await b.run(Calendar(now() + DAY_MS // 2, day=DAY_MS - 1)) == Counter()
    assert len(await b.versions()) == 2


async def test_the_null_version_goes_by_its_name_once_it_is_noncurrent(b):
    await b.make(rule(noncurrent()))
    await b.put("k", b"null")
    await b.backend.put_doc(Ref("b", ""), Doc.VERSIONING, "Enabled")
    info = await b.put("k", b"new")
    assert await b.run() == {("r", Outcome.REMOVED): 1}
    assert await b.versions() == [("k", info.version, False)]


async def test_a_lone_delete_marker_goes_and_one_above_versions_stays(b):
    await b.make(rule(MARKERS), versioning="Enabled")
    await b.backend.delete_object(Ref("b", "alone"))
    await b.put("above")
    await b.backend.delete_object(Ref("b", "above"))
    told = []
    assert await b.run(Calendar(now() + 1), notify=_into(told)) == {("r", Outcome.UNMARKED): 1}
    assert {key for key, _, _ in await b.versions()} == {"above"}
    assert [removal.entry.marker for removal in told] == [True]


async def test_a_lone_marker_called_null_goes_too(b):
    await b.make(rule(MARKERS), versioning="Suspended")
    await b.backend.delete_object(Ref("b", "k"))
    assert await b.versions() == [("k", None, True)]
    assert await b.run(Calendar(now() + 1)) == {("r", Outcome.UNMARKED): 1}
    assert await b.versions() == []


async def test_all_stages_of_an_object_until_nothing_is_left(b):
    await b.make(rule(DAYS + noncurrent(), name="all"), versioning="Enabled")
    await b.put("k")
    assert await b.run(later(2)) == {("all", Outcome.EXPIRED): 1}
    assert await b.run(later(4)) == {("all", Outcome.REMOVED): 1}
    assert await b.run(later(6)) == {("all", Outcome.UNMARKED): 1}
    assert await b.versions() == []


async def test_locks_hold(b):
    await b.make(rule(noncurrent()), versioning="Enabled")
    await b.put("held", **{"legal-hold": "ON"})
    await b.put("kept", retention=f"GOVERNANCE {now() + 10**9}")
    await b.put("free")
    for key in ("held", "kept", "free"):
        await b.put(key, b"newer")
    assert await b.run() == {("r", Outcome.LOCKED): 2, ("r", Outcome.REMOVED): 1}
    assert Counter(key for key, _, _ in await b.versions()) == {"held": 2, "kept": 2, "free": 1}


async def test_more_than_a_page_of_one_key_and_of_many(b, monkeypatch):
    monkeypatch.setattr(worker, "PAGE", 3)
    await b.make(rule(noncurrent(newer=2)), rule(MARKERS, name="m"), versioning="Enabled")
    for number in range(8):
        await b.put("one", str(number).encode())
    for key in ("a", "b", "c", "z"):
        await b.backend.delete_object(Ref("b", key))
    for number in range(3):
        await b.put(f"many{number}")
    assert await b.run() == {("r", Outcome.REMOVED): 5, ("m", Outcome.UNMARKED): 4}
    assert Counter(key for key, _, _ in await b.versions()) == {"many0": 1, "many1": 1, "many2": 1, "one": 3}


async def test_an_object_overwritten_meanwhile_is_never_removed(b):
    await b.make(rule(DAYS))
    await b.put("k", b"old")
    await b.put("l", b"old")
    overwritten = Overwriting(b.backend)
    report = await Pass(overwritten, later(), share=1).run()
    assert report.counts == {Line("b", "r", Outcome.CHANGED): 1, Line("b", "r", Outcome.EXPIRED): 1}
    assert await b.keys() == ["k"]
    assert await get(b.backend, Ref("b", "k")) == b"new"


class Overwriting:
    """A backend where somebody writes `k` between the listing and the deletion."""

    def __init__(self, backend) -> None:
        self._backend = backend

    def __getattr__(self, name: str):
        return getattr(self._backend, name)

    async def delete_objects(self, bucket, doomed):
        await put(self._backend, Ref(bucket, "k"), b"new")
        return await self._backend.delete_objects(bucket, doomed)


async def test_rules_taken_back_amidst_a_pass_end_it(b, monkeypatch):
    monkeypatch.setattr(worker, "PAGE", 2)
    await b.make(rule(DAYS + ABORT))
    for key in "abcdef":
        await b.put(key)
    await b.backend.create_upload(Ref("b", "u"), Write())

    class TakenBack(Overwriting):
        async def delete_objects(self, bucket, doomed):
            await self._backend.put_doc(Ref("b", ""), Doc.LIFECYCLE, None)
            return await self._backend.delete_objects(bucket, doomed)

    report = await Pass(TakenBack(b.backend), later(), share=1).run()
    assert set(report.counts) == {Line("b", "r", Outcome.EXPIRED)}
    assert len(await b.keys()) == 6 - report.counts.total()
    assert 0 < report.counts.total() <= 2
    assert (await b.backend.list_uploads("b", UploadQuery())).uploads


class Rewriting(Overwriting):
    """A backend where the version `null` of `k` is written anew between the listing and the deletion."""

    async def delete_objects(self, bucket, doomed):
        await self._backend.put_doc(Ref("b", ""), Doc.VERSIONING, "Suspended")
        return await super().delete_objects(bucket, doomed)


async def test_the_null_version_written_anew_meanwhile_is_never_removed(b):
    await b.make(rule(noncurrent()))
    await b.put("k", b"old null")
    await b.backend.put_doc(Ref("b", ""), Doc.VERSIONING, "Enabled")
    await b.put("k", b"newer")
    report = await Pass(Rewriting(b.backend), later(), share=1).run()
    assert report.counts == {Line("b", "r", Outcome.CHANGED): 1}
    assert await get(b.backend, Ref("b", "k")) == b"new"


async def test_a_null_marker_whose_place_an_object_took_is_not_removed(b):
    await b.make(rule(MARKERS), versioning="Suspended")
    await b.backend.delete_object(Ref("b", "k"))
    report = await Pass(Rewriting(b.backend), later(), share=1).run()
    assert report.counts == {Line("b", "r", Outcome.CHANGED): 1}
    assert await get(b.backend, Ref("b", "k")) == b"new"


async def test_uploads_are_aborted(b):
    await b.make(rule(ABORT, prefixed("a/")))
    for key in ("a/1", "a/2", "b/1"):
        upload = await b.backend.create_upload(Ref("b", key), Write())
        await put_part(b.backend, Ref("b", key), upload.upload, 1, b"part")
    assert await b.run(Calendar(now())) == Counter()
    assert await b.run() == {("r", Outcome.ABORTED): 2}
    assert [upload.key for upload in (await b.backend.list_uploads("b", UploadQuery())).uploads] == ["b/1"]


async def test_a_bucket_that_fails_does_not_keep_the_others(b, caplog):
    await b.make(rule(DAYS))
    await b.put("k")
    await b.backend.create_bucket("a", NewBucket(docs={Doc.LIFECYCLE: document(rule(DAYS))}))

    class Failing(Overwriting):
        async def list_versions(self, bucket, query):
            if bucket == "a":
                raise OSError("the disk is tired")
            return await self._backend.list_versions(bucket, query)

        async def delete_objects(self, bucket, doomed):
            return await self._backend.delete_objects(bucket, doomed)

    report = await Pass(Failing(b.backend), later(), share=1).run()
    assert report.counts == {Line("a", "", Outcome.FAILED): 1, Line("b", "r", Outcome.EXPIRED): 1}
    assert report.failed
    assert "the disk is tired" in caplog.text


async def test_a_bucket_that_was_named_must_be_there(b):
    with pytest.raises(S3Error) as caught:
        await Pass(b.backend, later()).run("nowhere")
    assert caught.value.code == "NoSuchBucket"


def _into(told: list):
    async def notify(bucket, removed) -> None:
        assert bucket.name == "b"
        told.extend(removed)

    return notify
