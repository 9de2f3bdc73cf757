"""Objects: what is put is what is read, wholly or not at all."""

import asyncio
import hashlib
import os

import pytest
from payloads import BytesPayload, get, put, read
from refusals import refused

from backends.base import (
    ByteRange,
    Checksum,
    Conditions,
    Copy,
    Delete,
    Doc,
    Doomed,
    ListQuery,
    Read,
    Ref,
    Span,
    Write,
)
from gateway.errors import BadDigest, IncompleteBody

SIZES = [0, 1, 4096, 64 * 1024, 64 * 1024 + 1, 300_000, 1024 * 1024 + 1]
KEYS = [
    "a",
    "a/b",
    "a//b",
    "a/../b",
    "../a",
    "/a",
    "a/",
    ".",
    "..",
    "/",
    "\U0010ffff",
    "é",
    "\x01",
    "%2F",
    "k" * 1024,
]
REF = Ref("b", "k")
SHARED_MEMORY = "/dev/shm"


@pytest.mark.parametrize("size", SIZES)
async def test_what_is_put_is_read(store, size):
    data = os.urandom(size)
    how = Write(
        headers={"content-type": "text/plain", "cache-control": "no-store"},
        user={"näme": "wert", "empty": ""},
        docs={Doc.ACL: "public-read"},
        storage_class="STANDARD_IA",
    )
    made = await put(store, REF, data, how, algorithm="CRC32C")
    head = await store.head_object(REF)
    assert head.info == made
    assert (made.key, made.size, made.etag) == ("k", size, hashlib.md5(data).hexdigest())
    assert (dict(made.headers), dict(made.user), dict(made.docs)) == (how.headers, how.user, how.docs)
    assert (made.storage_class, made.parts, made.version) == ("STANDARD_IA", (), None)
    assert made.checksum is not None
    assert made.checksum.algorithm == "CRC32C"
    assert (head.span, head.body) == (Span(0, size), b"")
    assert await get(store, REF) == data


async def test_a_payload_in_a_small_file_is_read_back(store):
    await put(store, REF, b"small", threshold=0)
    assert await get(store, REF) == b"small"


async def test_a_large_payload_in_memory_is_read_back(store):
    data = os.urandom(500_000)
    await put(store, REF, data, threshold=1_000_000)
    assert await get(store, REF) == data


@pytest.mark.skipif(not os.path.isdir(SHARED_MEMORY), reason="no second file system")
async def test_a_payload_spooled_on_another_file_system_is_copied(store):
    data = os.urandom(400_000)
    await put(store, REF, data, threshold=0, directory=SHARED_MEMORY)
    assert await get(store, REF) == data


async def test_an_object_without_a_checksum_has_none(store):
    assert (await put(store, REF, b"x", algorithm=None)).checksum is None
    assert (await store.head_object(REF)).info.checksum is None


async def test_all_keys_are_opaque_and_distinct(store):
    for key in KEYS:
        await put(store, Ref("b", key), key.encode())
    for key in KEYS:
        assert await get(store, Ref("b", key)) == key.encode()
    page = await store.list_objects("b", ListQuery())
    assert [entry.key for entry in page.entries] == sorted(KEYS, key=str.encode)


@pytest.mark.parametrize("call", ["head_object", "open_object"])
async def test_a_missing_key_is_no_such_key_before_any_condition(store, call):
    with refused("NoSuchKey", Key="k"):
        await getattr(store, call)(REF, Read(conditions=Conditions(if_match=("x",))))


@pytest.mark.parametrize("error", [BadDigest(), IncompleteBody()])
@pytest.mark.parametrize("size", [10, 2_000_000])
async def test_a_payload_that_fails_changes_nothing(store, error, size):
    await put(store, REF, b"old")
    with refused(error.code):
        await put(store, REF, b"x" * size, error=error)
    assert await get(store, REF) == b"old"


@pytest.mark.parametrize("size", [10, 2_000_000])
async def test_a_cancelled_put_changes_nothing(store, size):
    await put(store, REF, b"old")
    gate = asyncio.Event()
    payload = BytesPayload(b"x" * size, gate=gate)
    task = asyncio.create_task(store.put_object(REF, payload))
    await payload.begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await get(store, REF) == b"old"


@pytest.mark.parametrize("size", [100, 100_000, 2_000_000])
async def test_a_reader_keeps_its_version_when_the_object_is_replaced_and_deleted(store, size):
    old, new = os.urandom(size), os.urandom(size)
    await put(store, REF, old)
    async with await store.open_object(REF) as content:
        await put(store, REF, new)
        assert await get(store, REF) == new
        await store.delete_object(REF)
        assert await read(content) == old
    with refused("NoSuchKey"):
        await store.head_object(REF)


async def test_readers_during_overwrites_see_only_whole_bodies(store):
    bodies = {bytes([n]) * size for n in range(4) for size in (1000, 200_000)}
    await put(store, REF, bytes([0]) * 1000)
    done = asyncio.Event()

    async def write() -> None:
        for body in [*bodies, *bodies]:
            await put(store, REF, body)
            await asyncio.sleep(0)
        done.set()

    async def watch() -> int:
        count = 0
        while not done.is_set():
            assert await get(store, REF) in bodies
            count += 1
            await asyncio.sleep(0)
        return count

    _, count = await asyncio.gather(write(), watch())
    assert count


@pytest.mark.parametrize("size", [1000, 100_000])
@pytest.mark.parametrize(
    ("wanted", "first", "length"),
    [
        (ByteRange(0, 0), 0, 1),
        (ByteRange(0, 9), 0, 10),
        (ByteRange(990, None), 990, None),
        (ByteRange(5, 10**12), 5, None),
        (ByteRange(None, 7), -7, 7),
        (ByteRange(None, 10**12), 0, None),
    ],
)
async def test_a_range_is_read(store, size, wanted, first, length):
    data = os.urandom(size)
    await put(store, REF, data)
    start = first % size
    expected = data[start:] if length is None else data[start : start + length]
    async with await store.open_object(REF, Read(range=wanted)) as content:
        assert content.span == Span(start, len(expected), partial=True)
        assert await read(content) == expected
    assert (await store.head_object(REF, Read(range=wanted))).span == Span(start, len(expected), partial=True)


@pytest.mark.parametrize("wanted", [ByteRange(10, None), ByteRange(10, 20), ByteRange(None, 0)])
async def test_a_range_without_a_byte_is_refused(store, wanted):
    await put(store, REF, b"0123456789")
    with refused("InvalidRange", ActualObjectSize=10):
        await store.open_object(REF, Read(range=wanted))


async def test_a_range_counts_only_with_its_validator(store):
    info = await put(store, REF, b"0123456789")
    second = info.modified // 1000
    counting = (Conditions(if_match=(info.etag,)), Conditions(if_modified_time=second))
    others = (Conditions(if_match=("other",)), Conditions(if_modified_time=second + 1))
    for only_if in counting:
        async with await store.open_object(REF, Read(range=ByteRange(8, None, only_if))) as content:
            assert (content.span, await read(content)) == (Span(8, 2, partial=True), b"89")
    for only_if in others:
        async with await store.open_object(REF, Read(range=ByteRange(80, None, only_if))) as content:
            assert (content.span, await read(content)) == (Span(0, 10), b"0123456789")


async def test_of_an_empty_object_only_a_suffix_is_a_range(store):
    await put(store, REF, b"")
    assert (await store.head_object(REF, Read(range=ByteRange(None, 5)))).span == Span(0, 0)
    with refused("InvalidRange"):
        await store.open_object(REF, Read(range=ByteRange(0, None)))


async def test_a_plain_object_is_its_own_first_part(store):
    await put(store, REF, b"0123456789")
    assert (await store.head_object(REF, Read(part=1))).span == Span(0, 10, partial=True)
    with refused("InvalidPartNumber"):
        await store.head_object(REF, Read(part=2))


async def test_read_conditions_are_decided(store):
    made = await put(store, REF, b"x")
    await store.head_object(REF, Read(conditions=Conditions(if_match=(made.etag,))))
    with refused("PreconditionFailed", Condition="If-Match"):
        await store.open_object(REF, Read(conditions=Conditions(if_match=("other",))))
    with refused("NotModified") as caught:
        await store.open_object(REF, Read(conditions=Conditions(if_none_match=(made.etag,))))
    assert caught.value.headers["etag"] == f'"{made.etag}"'


async def test_write_conditions_are_decided_with_the_change(store):
    create, known = Conditions(if_none_match=("*",)), Conditions(if_match=("other",))
    with refused("NoSuchKey", Key="k"):
        await put(store, REF, b"x", Write(conditions=known))
    made = await put(store, REF, b"first", Write(conditions=create))
    with refused("PreconditionFailed"):
        await put(store, REF, b"second", Write(conditions=create))
    with refused("PreconditionFailed"):
        await put(store, REF, b"second" * 50_000, Write(conditions=known))
    assert await get(store, REF) == b"first"
    await put(store, REF, b"third", Write(conditions=Conditions(if_match=(made.etag,))))
    assert await get(store, REF) == b"third"


async def test_of_many_conditional_creations_exactly_one_wins(store):
    how = Write(conditions=Conditions(if_none_match=("*",)))
    puts = [put(store, REF, bytes([n]) * (n * 10_000), how) for n in range(20)]
    outcomes = await asyncio.gather(*puts, return_exceptions=True)
    won = [outcome for outcome in outcomes if not isinstance(outcome, Exception)]
    assert len(won) == 1
    assert (await store.head_object(REF)).info == won[0]


async def test_a_deleted_object_is_gone_and_a_missing_one_is_no_error(store):
    await put(store, REF, b"x")
    assert (await store.delete_object(REF)).error is None
    assert (await store.delete_object(REF)).error is None
    with refused("NoSuchKey"):
        await store.open_object(REF)


async def test_delete_conditions_are_decided(store):
    made = await put(store, REF, b"x")
    seconds = made.modified // 1000
    for wrong, condition in [
        (Conditions(if_match=("other",)), "If-Match"),
        (Conditions(if_size=2), "x-amz-if-match-size"),
        (Conditions(if_modified_time=seconds - 1), "x-amz-if-match-last-modified-time"),
    ]:
        with refused("PreconditionFailed", Condition=condition):
            await store.delete_object(REF, Delete(wrong))
    right = Delete(Conditions(if_match=(made.etag,), if_size=1, if_modified_time=seconds))
    await store.delete_object(REF, right)
    with refused("NoSuchKey"):
        await store.delete_object(REF, right)


async def test_deleting_many_has_an_outcome_for_each(store):
    for key in ("a", "b"):
        await put(store, Ref("b", key), b"x")
    doomed = [Doomed("a"), Doomed("b", how=Delete(Conditions(if_match=("other",)))), Doomed("missing")]
    outcomes = await store.delete_objects("b", doomed)
    assert [outcome.key for outcome in outcomes] == ["a", "b", "missing"]
    assert [getattr(outcome.error, "code", None) for outcome in outcomes] == [
        None,
        "PreconditionFailed",
        None,
    ]
    assert [entry.key for entry in (await store.list_objects("b", ListQuery())).entries] == ["b"]


async def test_a_document_of_an_object_changes_nothing_else(store):
    made = await put(store, REF, b"x", Write(user={"a": "b"}))
    assert await store.get_doc(REF, Doc.ACL) is None
    await store.put_doc(REF, Doc.ACL, "public-read")
    assert await store.get_doc(REF, Doc.ACL) == "public-read"
    info = (await store.head_object(REF)).info
    assert (info.etag, info.modified, dict(info.user)) == (made.etag, made.modified, {"a": "b"})
    await store.put_doc(REF, Doc.ACL, None)
    assert await store.get_doc(REF, Doc.ACL) is None
    with refused("NoSuchKey"):
        await store.put_doc(Ref("b", "missing"), Doc.ACL, "private")
    with refused("NoSuchKey"):
        await store.get_doc(Ref("b", "missing"), Doc.ACL)


@pytest.mark.parametrize("size", [10, 200_000])
async def test_a_copy_keeps_content_and_metadata_but_no_documents(store, size):
    await store.create_bucket("c")
    data = os.urandom(size)
    how = Write(headers={"content-type": "a/b"}, user={"u": "1"}, docs={Doc.ACL: "public-read"})
    made = await put(store, REF, data, how)
    target = Ref("c", "copy")
    copied = await store.copy_object(REF, target)
    assert copied == (await store.head_object(target)).info
    assert (copied.etag, copied.checksum, copied.size) == (made.etag, made.checksum, size)
    assert (dict(copied.headers), dict(copied.user), dict(copied.docs)) == (how.headers, how.user, {})
    await store.delete_object(REF)
    assert await get(store, target) == data
    await put(store, target, b"new")
    assert await get(store, target) == b"new"


@pytest.mark.parametrize("size", [10, 200_000])
async def test_a_copy_onto_itself_replaces_metadata(store, size):
    data = os.urandom(size)
    await put(store, REF, data, Write(user={"u": "1"}))
    how = Copy(write=Write(user={"u": "2"}, docs={Doc.ACL: "private"}), replace_metadata=True)
    await store.copy_object(REF, REF, how)
    await store.copy_object(REF, REF, how)
    info = (await store.head_object(REF)).info
    assert (dict(info.user), dict(info.docs)) == ({"u": "2"}, {Doc.ACL: "private"})
    assert await get(store, REF) == data
    await store.delete_object(REF)


async def test_copy_conditions_are_decided(store):
    made = await put(store, REF, b"x")
    target = Ref("b", "t")
    with refused("PreconditionFailed"):
        await store.copy_object(REF, target, Copy(conditions=Conditions(if_none_match=(made.etag,))))
    with refused("PreconditionFailed"):
        await store.copy_object(REF, target, Copy(conditions=Conditions(if_match=("other",))))
    once = Copy(write=Write(conditions=Conditions(if_none_match=("*",))))
    await store.copy_object(REF, target, once)
    with refused("PreconditionFailed"):
        await store.copy_object(REF, target, once)
    with refused("NoSuchKey", Key="missing"):
        await store.copy_object(Ref("b", "missing"), target)


@pytest.mark.parametrize("size", [10, 200_000])
async def test_a_renamed_object_keeps_all_but_its_key(store, size):
    data = os.urandom(size)
    how = Write(user={"u": "1"}, docs={Doc.ACL: "public-read"})
    made = await put(store, REF, data, how)
    target = Ref("b", "other")
    await put(store, target, b"old" * 100_000)
    await store.rename_object(REF, target)
    info = (await store.head_object(target)).info
    assert (info.etag, info.modified, dict(info.docs)) == (made.etag, made.modified, how.docs)
    assert await get(store, target) == data
    with refused("NoSuchKey", Key="k"):
        await store.head_object(REF)
    with refused("NoSuchKey", Key="k"):
        await store.rename_object(REF, target)


async def test_a_rename_is_refused_by_its_conditions_and_may_go_nowhere(store):
    await put(store, REF, b"x")
    await put(store, Ref("b", "t"), b"y")
    with refused("PreconditionFailed"):
        await store.rename_object(
            REF, Ref("b", "t"), Copy(write=Write(conditions=Conditions(if_none_match=("*",))))
        )
    with refused("PreconditionFailed"):
        await store.rename_object(REF, Ref("b", "t"), Copy(conditions=Conditions(if_match=("other",))))
    await store.rename_object(REF, REF)
    assert await get(store, REF) == b"x"


async def test_a_checksum_is_kept_as_the_payload_gave_it(store):
    made = await put(store, REF, b"123456789", algorithm="CRC32")
    assert made.checksum == Checksum("CRC32", "y/Q5Jg==")
    assert (await store.head_object(REF)).info.checksum == Checksum("CRC32", "y/Q5Jg==")
    (entry,) = (await store.list_objects("b", ListQuery())).entries
    assert (entry.checksum_algorithm, entry.checksum_type) == ("CRC32", "FULL_OBJECT")
