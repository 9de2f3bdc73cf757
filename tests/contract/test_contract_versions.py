"""Versions: what a write keeps, what a deletion marks, what is current, and how versions are listed."""

import asyncio
import re

import pytest
from payloads import get, put, put_part, read
from refusals import refused

from backends.base import (
    BucketQuery,
    ByteRange,
    ChosenPart,
    Completion,
    Conditions,
    Copy,
    Delete,
    Doc,
    Doomed,
    ListQuery,
    NewBucket,
    Read,
    Ref,
    Span,
    VersionQuery,
    Write,
)

REF = Ref("b", "k")
ABSENT = "0" * 32
ONCE = Conditions(if_none_match=("*",))


@pytest.fixture
async def kept(store):
    """The bucket `b` with versioning."""
    await set_versioning(store, "Enabled")
    return store


async def set_versioning(store, state):
    await store.put_doc(Ref("b", ""), Doc.VERSIONING, state)


def of(version, key="k"):
    return Ref("b", key, version)


async def versions(store, **options):
    """All entries of a listing."""
    return list((await store.list_versions("b", VersionQuery(**options))).entries)


async def shape(store, key="k"):
    """The versions of a key, newest first, as `(version or "null", "marker" | size)`; the first is the latest."""
    entries = [entry for entry in await versions(store, prefix=key) if entry.key == key]
    assert [entry.latest for entry in entries] == [True, *[False] * (len(entries) - 1)][: len(entries)]
    return [(entry.version or "null", "marker" if entry.marker else entry.size) for entry in entries]


async def write_three(store, key="k"):
    """Versions of 1, 2 and 3 bytes; their ids."""
    return [(await put(store, Ref("b", key), b"x" * n)).version for n in (1, 2, 3)]


async def test_each_write_makes_a_version_of_its_own(kept):
    ids = await write_three(kept)
    assert len(set(ids)) == 3
    assert all(re.fullmatch("[0-9A-Za-z]{32}", version) for version in ids)
    assert await shape(kept) == [(ids[2], 3), (ids[1], 2), (ids[0], 1)]
    for number, version in enumerate(ids, 1):
        head = await kept.head_object(of(version))
        assert (head.info.version, head.info.size) == (version, number)
        assert await get(kept, of(version)) == b"x" * number
    assert (await kept.head_object(REF)).info.version == ids[2]


@pytest.mark.parametrize("size", [10, 200_000])
async def test_old_versions_are_read_as_current_ones_are(kept, size):
    made = await put(kept, REF, b"0123456789" * (size // 10), Write(user={"u": "1"}))
    await put(kept, REF, b"new")
    old = of(made.version)
    assert (await kept.head_object(old)).info == made
    async with await kept.open_object(old, Read(range=ByteRange(3, 5))) as content:
        assert content.span == Span(3, 3, partial=True)
    assert (await get(kept, old, Read(range=ByteRange(3, 5)))) == b"345"
    with refused("PreconditionFailed"):
        await kept.open_object(old, Read(conditions=Conditions(if_match=("other",))))
    with refused("InvalidRange"):
        await kept.open_object(old, Read(range=ByteRange(size, None)))


async def test_what_was_there_before_versioning_is_the_null_version(store):
    assert (await put(store, REF, b"before")).version is None
    await set_versioning(store, "Enabled")
    new = await put(store, REF, b"after")
    assert await shape(store) == [(new.version, 5), ("null", 6)]
    assert await get(store, of("null")) == b"before"
    assert (await store.head_object(of("null"))).info.version is None
    await store.delete_object(of("null"))
    assert await shape(store) == [(new.version, 5)]


async def test_without_versioning_the_object_is_its_null_version(store):
    await put(store, REF, b"x")
    assert await get(store, of("null")) == b"x"
    assert await shape(store) == [("null", 1)]
    outcome = await store.delete_object(of("null"))
    assert (outcome.version, outcome.marker) == ("null", None)
    assert await shape(store) == []
    with refused("NoSuchVersion", Key="k", VersionId="null"):
        await store.head_object(of("null"))


async def test_without_versioning_a_deletion_leaves_no_marker(store):
    await put(store, REF, b"x")
    assert (await store.delete_object(REF)).marker is None
    assert await shape(store) == []


async def test_a_deletion_makes_a_marker_and_hides_the_key(kept):
    made = await put(kept, REF, b"x")
    outcome = await kept.delete_object(REF)
    assert (outcome.key, outcome.version) == ("k", None)
    assert re.fullmatch("[0-9A-Za-z]{32}", outcome.marker)
    assert await shape(kept) == [(outcome.marker, "marker"), (made.version, 1)]
    for call in (kept.head_object(REF), kept.open_object(REF), kept.get_doc(REF, Doc.ACL)):
        with refused("NoSuchKey", Key="k") as caught:
            await call
        assert caught.value.headers["x-amz-delete-marker"] == "true"
        assert caught.value.headers["x-amz-version-id"] == outcome.marker
    assert (await kept.list_objects("b", ListQuery())).entries == []
    assert await get(kept, of(made.version)) == b"x"


async def test_a_key_that_never_was_can_be_marked_too_and_again(kept):
    first, second = [(await kept.delete_object(REF)).marker for _ in range(2)]
    assert await shape(kept) == [(second, "marker"), (first, "marker")]


async def test_a_put_after_a_marker_is_current(kept):
    marker = (await kept.delete_object(REF)).marker
    made = await put(kept, REF, b"x", Write(conditions=ONCE))
    assert await shape(kept) == [(made.version, 1), (marker, "marker")]
    assert await get(kept, REF) == b"x"


async def test_a_marker_is_not_read_by_its_id(kept):
    marker = of((await kept.delete_object(REF)).marker)
    for call in (
        kept.head_object(marker),
        kept.open_object(marker),
        kept.get_doc(marker, Doc.TAGGING),
        kept.put_doc(marker, Doc.TAGGING, "{}"),
    ):
        with refused("MethodNotAllowed") as caught:
            await call
        headers = caught.value.headers
        assert (headers["x-amz-delete-marker"], headers["allow"]) == ("true", "DELETE")
        assert headers["last-modified"].endswith("GMT")
    with refused("InvalidRequest"):
        await kept.copy_object(marker, Ref("b", "copy"))


async def test_a_removed_marker_brings_the_version_before_it_back(kept):
    made = await put(kept, REF, b"x")
    markers = [(await kept.delete_object(REF)).marker for _ in range(2)]
    outcome = await kept.delete_object(of(markers[0]))
    assert (outcome.version, outcome.marker) == (markers[0], markers[0])
    with refused("NoSuchKey"):
        await kept.head_object(REF)
    await kept.delete_object(of(markers[1]))
    assert (await kept.head_object(REF)).info == made
    assert [entry.key for entry in (await kept.list_objects("b", ListQuery())).entries] == ["k"]


async def test_a_removed_current_version_makes_the_one_before_it_current(kept):
    ids = await write_three(kept)
    outcome = await kept.delete_object(of(ids[2]))
    assert (outcome.version, outcome.marker) == (ids[2], None)
    assert await get(kept, REF) == b"xx"
    await kept.delete_object(of(ids[0]))
    assert await shape(kept) == [(ids[1], 2)]
    marker = (await kept.delete_object(REF)).marker
    last = await put(kept, REF, b"last")
    await kept.delete_object(of(last.version))
    assert await shape(kept) == [(marker, "marker"), (ids[1], 2)]
    with refused("NoSuchKey"):
        await kept.head_object(REF)


async def test_a_removed_old_version_changes_nothing_else(kept):
    ids = await write_three(kept)
    await kept.delete_object(of(ids[1]))
    assert await shape(kept) == [(ids[2], 3), (ids[0], 1)]
    with refused("NoSuchVersion", Key="k", VersionId=ids[1]):
        await kept.head_object(of(ids[1]))
    assert await get(kept, REF) == b"xxx"


@pytest.mark.parametrize("version", [ABSENT, "z" * 32])
async def test_a_version_that_is_not_there(kept, version):
    await put(kept, REF, b"x")
    for call in (
        kept.head_object(of(version)),
        kept.get_doc(of(version), Doc.ACL),
        kept.put_doc(of(version), Doc.ACL, "private"),
        kept.copy_object(of(version), Ref("b", "copy")),
    ):
        with refused("NoSuchVersion", Key="k", VersionId=version):
            await call
    outcome = await kept.delete_object(of(version))
    assert (outcome.version, outcome.marker, outcome.error) == (version, None, None)
    with refused("NoSuchKey"):
        await kept.delete_object(of(version), Delete(Conditions(if_match=("*",))))
    assert len(await shape(kept)) == 1


async def test_the_version_of_another_key_or_bucket_is_not_there(kept):
    made = await put(kept, REF, b"x")
    await kept.create_bucket("c", NewBucket(docs={Doc.VERSIONING: "Enabled"}))
    for ref in (Ref("b", "other", made.version), Ref("c", "k", made.version)):
        with refused("NoSuchVersion"):
            await kept.head_object(ref)


@pytest.mark.parametrize("version", ["0" * 31, "0" * 33, "_" * 32, "3/L4kqtJlcpXroDTDmpUMLUo", "Z" * 32])
async def test_the_id_of_another_store_is_one_that_is_not_there(kept, version):
    made = await put(kept, Ref("b", "k"), b"v")
    with refused("NoSuchVersion"):
        await kept.head_object(of(version))
    await kept.delete_object(of(version))
    assert (await kept.head_object(Ref("b", "k"))).info.version == made.version
    page = await kept.list_versions("b", VersionQuery(after="k", after_version=version))
    assert len(page.entries) <= 1


@pytest.mark.parametrize(
    "version", ["", "x", "Null", "0" * 19, "0" * 129, "?" * 32, "é" * 32, "0" * 31 + "\n"]
)
async def test_what_cannot_be_a_version_is_an_invalid_argument(store, version):
    await put(store, REF, b"x")
    expected = {"ArgumentName": "versionId", "ArgumentValue": version}
    for call in (
        store.head_object(of(version)),
        store.delete_object(of(version)),
        store.put_doc(of(version), Doc.ACL, "private"),
        store.copy_object(of(version), Ref("b", "copy")),
    ):
        with refused("InvalidArgument", **expected):
            await call
    (outcome,) = await store.delete_objects("b", [Doomed("k", version)])
    assert outcome.error.code == "InvalidArgument"
    assert await get(store, REF) == b"x"


async def test_suspended_versioning_replaces_the_null_version_only(kept):
    first = await put(kept, REF, b"1")
    await set_versioning(kept, "Suspended")
    assert (await put(kept, REF, b"22")).version is None
    assert await shape(kept) == [("null", 2), (first.version, 1)]
    await put(kept, REF, b"333")
    assert await shape(kept) == [("null", 3), (first.version, 1)]
    await set_versioning(kept, "Enabled")
    last = await put(kept, REF, b"4444")
    await set_versioning(kept, "Suspended")
    await put(kept, REF, b"55555")
    assert await shape(kept) == [("null", 5), (last.version, 4), (first.version, 1)]


async def test_suspended_versioning_makes_a_null_marker_in_place_of_the_null_version(kept):
    first = await put(kept, REF, b"1")
    await set_versioning(kept, "Suspended")
    await put(kept, REF, b"22")
    assert (await kept.delete_object(REF)).marker == "null"
    assert await shape(kept) == [("null", "marker"), (first.version, 1)]
    with refused("NoSuchKey") as caught:
        await kept.head_object(REF)
    assert caught.value.headers["x-amz-version-id"] == "null"
    with refused("MethodNotAllowed"):
        await kept.head_object(of("null"))
    await kept.delete_object(REF)
    assert await shape(kept) == [("null", "marker"), (first.version, 1)]
    await put(kept, REF, b"333")
    assert await shape(kept) == [("null", 3), (first.version, 1)]
    await kept.delete_object(REF)
    assert (await kept.delete_object(of("null"))).marker == "null"
    assert (await kept.head_object(REF)).info == first


async def test_suspended_a_deletion_keeps_versions_with_an_id(kept):
    first = await put(kept, REF, b"1")
    await set_versioning(kept, "Suspended")
    await kept.delete_object(REF)
    assert await shape(kept) == [("null", "marker"), (first.version, 1)]


async def test_many_are_deleted_with_and_without_a_version(kept):
    old = await put(kept, REF, b"1")
    await put(kept, REF, b"2")
    marker = (await kept.delete_object(Ref("b", "marked"))).marker
    doomed = [
        Doomed("k"),
        Doomed("k", old.version),
        Doomed("marked", marker),
        Doomed("k", "nonsense"),
        Doomed("k", ABSENT),
    ]
    outcomes = await kept.delete_objects("b", doomed)
    assert [outcome.version for outcome in outcomes] == [None, old.version, marker, "nonsense", ABSENT]
    assert re.fullmatch("[0-9A-Za-z]{32}", outcomes[0].marker)
    assert [outcome.marker for outcome in outcomes[1:]] == [None, marker, None, None]
    codes = [getattr(outcome.error, "code", None) for outcome in outcomes]
    assert codes == [None, None, None, "InvalidArgument", None]
    assert [what for _, what in await shape(kept)] == ["marker", 1]
    assert await shape(kept, "marked") == []


async def test_conditions_are_decided_on_the_current_version_or_the_one_named(kept):
    old = await put(kept, REF, b"old")
    new = await put(kept, REF, b"new")
    with refused("PreconditionFailed"):
        await put(kept, REF, b"x", Write(conditions=Conditions(if_match=(old.etag,))))
    with refused("PreconditionFailed"):
        await put(kept, REF, b"x", Write(conditions=ONCE))
    with refused("PreconditionFailed"):
        await kept.delete_object(REF, Delete(Conditions(if_match=(old.etag,))))
    with refused("PreconditionFailed"):
        await kept.delete_object(of(old.version), Delete(Conditions(if_match=(new.etag,))))
    await kept.delete_object(of(old.version), Delete(Conditions(if_match=(old.etag,))))
    marker = (await kept.delete_object(REF, Delete(Conditions(if_match=(new.etag,))))).marker
    with refused("NoSuchKey"):
        await put(kept, REF, b"x", Write(conditions=Conditions(if_match=(new.etag,))))
    with refused("NoSuchKey"):
        await kept.delete_object(REF, Delete(Conditions(if_match=("*",))))
    with refused("NoSuchKey"):
        await kept.delete_object(of(marker), Delete(Conditions(if_match=("*",))))
    assert await shape(kept) == [(marker, "marker"), (new.version, 3)]


@pytest.mark.parametrize("size", [10, 200_000])
async def test_a_copy_is_a_version_and_may_come_from_one(kept, size):
    old = await put(kept, REF, b"o" * size, Write(user={"u": "1"}))
    await put(kept, REF, b"new")
    copied = await kept.copy_object(of(old.version), REF)
    assert copied.version not in (None, old.version)
    assert (copied.etag, dict(copied.user)) == (old.etag, {"u": "1"})
    assert [what for _, what in await shape(kept)] == [size, 3, size]
    await kept.delete_object(of(old.version))
    assert await get(kept, REF) == b"o" * size
    await kept.delete_object(of(copied.version))
    assert await get(kept, REF) == b"new"


async def test_a_copy_onto_itself_keeps_what_it_copies(kept):
    made = await put(kept, REF, b"x" * 100_000)
    copied = await kept.copy_object(REF, REF, Copy(write=Write(user={"u": "2"}), replace_metadata=True))
    assert await shape(kept) == [(copied.version, 100_000), (made.version, 100_000)]
    await kept.delete_object(of(made.version))
    assert await get(kept, REF) == b"x" * 100_000


async def test_suspended_the_null_version_may_be_copied_onto_itself(kept):
    await set_versioning(kept, "Suspended")
    await put(kept, REF, b"x" * 100_000)
    await set_versioning(kept, "Enabled")
    await put(kept, REF, b"new")
    await set_versioning(kept, "Suspended")
    await kept.copy_object(of("null"), REF)
    assert [what for _, what in await shape(kept)] == [100_000, 3]
    assert await get(kept, of("null")) == b"x" * 100_000


async def test_copy_conditions_look_at_the_version(kept):
    old = await put(kept, REF, b"old")
    await put(kept, REF, b"new")
    target = Ref("b", "copy")
    with refused("PreconditionFailed"):
        await kept.copy_object(REF, target, Copy(conditions=Conditions(if_match=(old.etag,))))
    await kept.copy_object(of(old.version), target, Copy(conditions=Conditions(if_match=(old.etag,))))
    assert await get(kept, target) == b"old"


async def test_a_completed_upload_is_a_version(kept):
    first = await put(kept, REF, b"first")
    upload = (await kept.create_upload(REF, Write(owner="someone"))).upload
    part = await put_part(kept, REF, upload, 1, b"part")
    completion = Completion([ChosenPart(1, part.etag)])
    made = await kept.complete_upload(REF, upload, completion)
    assert made.owner == "someone"
    assert await kept.complete_upload(REF, upload, completion) == made
    assert await shape(kept) == [(made.version, 4), (first.version, 5)]
    await put(kept, REF, b"third")
    assert await get(kept, of(made.version)) == b"part"


async def test_a_rename_is_refused_where_versioning_is_or_was_enabled(kept):
    await put(kept, REF, b"x")
    for state in ("Enabled", "Suspended"):
        await set_versioning(kept, state)
        with refused("InvalidRequest"):
            await kept.rename_object(REF, Ref("b", "other"))
    assert await get(kept, REF) == b"x"


async def test_documents_belong_to_a_version(kept):
    old = of((await put(kept, REF, b"old", Write(docs={Doc.TAGGING: '{"a":"1"}'}))).version)
    await put(kept, REF, b"new")
    assert await kept.get_doc(REF, Doc.TAGGING) is None
    assert await kept.get_doc(old, Doc.TAGGING) == '{"a":"1"}'
    await kept.put_doc(old, Doc.TAGGING, '{"a":"2"}')
    await kept.put_doc(REF, Doc.ACL, "public-read")
    assert await kept.get_doc(old, Doc.TAGGING) == '{"a":"2"}'
    assert await kept.get_doc(old, Doc.ACL) is None
    assert (await kept.head_object(REF)).info.docs == {Doc.ACL: "public-read"}


async def test_a_bucket_with_a_version_or_a_marker_is_not_removed(kept):
    made = await put(kept, REF, b"x")
    marker = (await kept.delete_object(REF)).marker
    with refused("BucketNotEmpty", BucketName="b") as caught:
        await kept.delete_bucket("b")
    assert "You must delete all versions in the bucket." in caught.value.message
    await kept.delete_object(of(made.version))
    with refused("BucketNotEmpty"):
        await kept.delete_bucket("b")
    await kept.delete_object(of(marker))
    await kept.delete_bucket("b")


async def test_a_reader_keeps_its_version_while_it_is_removed(kept):
    made = await put(kept, REF, b"x" * 200_000)
    async with await kept.open_object(of(made.version)) as content:
        await kept.delete_object(of(made.version))
        assert await read(content) == b"x" * 200_000


async def test_every_answered_write_is_a_version_and_one_is_the_latest(kept):
    made = await asyncio.gather(*(put(kept, REF, bytes([n]) * (n * 5000)) for n in range(30)))
    entries = await versions(kept)
    assert {entry.version for entry in entries} == {info.version for info in made}
    assert [entry.latest for entry in entries] == [True] + [False] * 29
    for number, info in enumerate(made):
        assert await get(kept, of(info.version)) == bytes([number]) * (number * 5000)


async def test_of_many_conditional_creations_after_a_marker_exactly_one_wins(kept):
    await kept.delete_object(REF)
    puts = [put(kept, REF, bytes([n]), Write(conditions=ONCE)) for n in range(10)]
    outcomes = await asyncio.gather(*puts, return_exceptions=True)
    assert len([outcome for outcome in outcomes if not isinstance(outcome, Exception)]) == 1
    assert len(await shape(kept)) == 2


# Listing.

LAYOUT = {"a": 2, "a/1": 3, "a/2": 1, "b": 1, "b/1": 2, "c": 3, "\U0010ffff": 2}
"""Keys and how many versions each has; every second key ends with a delete marker besides."""


@pytest.fixture
async def filled(kept):
    await set_versioning(kept, "Suspended")
    await put(kept, Ref("b", "a"), b"null")
    await put(kept, Ref("b", "c"), b"null")
    await set_versioning(kept, "Enabled")
    for number, (key, count) in enumerate(LAYOUT.items()):
        for size in range(count):
            await put(kept, Ref("b", key), b"x" * size)
        if number % 2:
            await kept.delete_object(Ref("b", key))
    return kept


async def pages(store, limit, **options):
    """All pages, each `[(key, version), ...]` with `(prefix, "")` for a common prefix, in order."""
    found, markers = [], {}
    while True:
        page = await store.list_versions("b", VersionQuery(limit=limit, **markers, **options))
        names = [(entry.key, entry.version or "null") for entry in page.entries]
        found.append(sorted(names + [(prefix, "") for prefix in page.prefixes], key=lambda name: name[0]))
        assert len(found[-1]) <= limit
        if not page.next:
            assert page.next_version == ""
            return found
        assert (page.next, page.next_version) == found[-1][-1]
        markers = {"after": page.next, "after_version": page.next_version}


async def expected(store, prefix="", delimiter=""):
    """The plain rule, from the versions of each key."""
    names = []
    for key in sorted(LAYOUT):
        cut = key.find(delimiter, len(prefix)) if delimiter else -1
        if not key.startswith(prefix):
            continue
        if cut < 0:
            names += [(key, version) for version, _ in await shape(store, key)]
        elif (folded := (key[: cut + len(delimiter)], "")) not in names:
            names.append(folded)
    return names


@pytest.mark.parametrize("limit", [1, 2, 3, 1000])
@pytest.mark.parametrize("delimiter", ["", "/", "1"])
@pytest.mark.parametrize("prefix", ["", "a", "a/", "b", "none", "\U0010ffff"])
async def test_every_listing_holds_what_the_rule_says(filled, prefix, delimiter, limit):
    found = await pages(filled, limit, prefix=prefix, delimiter=delimiter)
    wanted = await expected(filled, prefix, delimiter)
    assert [name for page in found for name in page] == wanted


async def test_an_entry_tells_what_a_head_tells(kept):
    made = await put(kept, REF, b"12345", Write(owner="me", storage_class="STANDARD_IA"))
    marker = (await kept.delete_object(REF)).marker
    first, second = await versions(kept)
    assert first[:6] == ("k", marker, True, True, 0, "")
    assert first.modified >= made.modified
    shown = (5, made.etag, made.modified, "STANDARD_IA", "CRC64NVME", "FULL_OBJECT", "me")
    assert second == ("k", made.version, False, False, *shown)


async def test_after_a_key_alone_all_its_versions_are_skipped(filled):
    keys = [entry.key for entry in await versions(filled, after="a/1")]
    assert keys[0] == "a/2"
    assert {entry.key for entry in await versions(filled, after="b", prefix="b")} == {"b/1"}


async def test_after_a_common_prefix_a_version_counts_for_nothing(filled):
    page = await filled.list_versions("b", VersionQuery(delimiter="/", after="a/", after_version="null"))
    assert page.entries[0].key == "b"


async def test_a_version_marker_without_a_key_marker_counts_for_nothing(filled):
    assert await versions(filled, after_version=ABSENT) == await versions(filled)


async def test_an_invalid_version_marker_is_refused(filled):
    with refused("InvalidArgument", ArgumentName="version-id-marker", ArgumentValue="x"):
        await versions(filled, after="a", after_version="x")


@pytest.mark.parametrize("limit", [1, 2, 5])
async def test_whoever_deletes_page_by_page_deletes_all(filled, limit):
    query = VersionQuery(limit=limit)
    while True:
        page = await filled.list_versions("b", query)
        doomed = [Doomed(entry.key, entry.version or "null") for entry in page.entries]
        assert all(outcome.error is None for outcome in await filled.delete_objects("b", doomed))
        if not page.next:
            break
        query = VersionQuery(limit=limit, after=page.next, after_version=page.next_version)
    assert await versions(filled) == []
    await filled.delete_bucket("b")


async def test_a_removed_version_still_marks_a_place(kept):
    ids = await write_three(kept)
    for removed in (ids[1], ids[2]):
        await kept.delete_object(of(removed))
        rest = await versions(kept, after="k", after_version=removed)
        assert [(entry.version, entry.latest) for entry in rest] == [(ids[0], removed == ids[2])]


async def test_a_limit_of_zero_is_an_empty_last_page(filled):
    page = await filled.list_versions("b", VersionQuery(limit=0))
    assert (list(page.entries), list(page.prefixes), page.next, page.next_version) == ([], [], "", "")


async def test_entries_of_objects_tell_their_owner(store):
    await put(store, REF, b"x", Write(owner="me"))
    (entry,) = (await store.list_objects("b", ListQuery())).entries
    assert (entry.owner, (await store.head_object(REF)).info.owner) == ("me", "me")
    await store.copy_object(REF, Ref("b", "l"), Copy(write=Write(owner="you")))
    assert [entry.owner for entry in (await store.list_objects("b", ListQuery())).entries] == ["me", "you"]


# Buckets.


async def test_a_bucket_has_an_owner(empty):
    await empty.create_bucket("mine", NewBucket(owner="me"))
    await empty.create_bucket("own")
    assert (await empty.head_bucket("mine")).owner == "me"
    assert (await empty.head_bucket("own")).owner == ""
    with refused("BucketAlreadyOwnedByYou", BucketName="mine"):
        await empty.create_bucket("mine", NewBucket(owner="me"))
    for name, owner in (("mine", "you"), ("mine", ""), ("own", "me")):
        with refused("BucketAlreadyExists", BucketName=name):
            await empty.create_bucket(name, NewBucket(owner=owner))


async def test_the_buckets_of_one_owner_are_listed_in_pages(empty):
    for name in ("a", "b", "c", "d"):
        await empty.create_bucket(name, NewBucket(owner="me" if name in "bd" else ""))
    page = await empty.list_buckets(BucketQuery(owner="me", limit=1))
    assert ([bucket.name for bucket in page.buckets], page.next) == (["b"], "b")
    page = await empty.list_buckets(BucketQuery(owner="me", limit=1, after="b"))
    assert ([bucket.name for bucket in page.buckets], page.next) == (["d"], "")
    page = await empty.list_buckets(BucketQuery(owner=""))
    assert [(bucket.name, bucket.owner) for bucket in page.buckets] == [("a", ""), ("c", "")]
    assert len((await empty.list_buckets(BucketQuery())).buckets) == 4


async def test_the_documents_of_a_bucket_are_one_value_while_they_stay(store):
    await store.put_doc(Ref("b", ""), Doc.POLICY, "{}")
    docs = (await store.head_bucket("b")).docs
    assert (await store.head_bucket("b")).docs is docs
    await store.put_doc(Ref("b", ""), Doc.POLICY, '{"x":1}')
    assert (await store.head_bucket("b")).docs == {Doc.POLICY: '{"x":1}'}


async def test_a_document_is_replaced_only_while_it_is_what_was_expected(store):
    await put(store, REF, b"x")
    for ref in (REF, Ref("b", "")):
        await store.put_doc(ref, Doc.TAGGING, "1")
        with refused("PreconditionFailed"):
            await store.put_doc(ref, Doc.TAGGING, "3", expected="2")
        await store.put_doc(ref, Doc.TAGGING, "2", expected="1")
        assert await store.get_doc(ref, Doc.TAGGING) == "2"
        await store.put_doc(ref, Doc.TAGGING, None, expected="2")
        assert await store.get_doc(ref, Doc.TAGGING) is None


# Copies and their documents.


async def test_a_copy_keeps_tags_when_told_and_never_an_acl(store):
    docs = {Doc.TAGGING: '{"a":"1"}', Doc.ACL: "public-read", Doc.LEGAL_HOLD: "OFF"}
    await put(store, REF, b"x", Write(docs=docs))
    target = Ref("b", "copy")
    await store.copy_object(REF, target)
    assert (await store.head_object(target)).info.docs == {}
    await store.copy_object(REF, target, Copy(copy_tags=True, write=Write(docs={Doc.ACL: "private"})))
    kept = {Doc.TAGGING: '{"a":"1"}', Doc.ACL: "private"}
    assert (await store.head_object(target)).info.docs == kept
