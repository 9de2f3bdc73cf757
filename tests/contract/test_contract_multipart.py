"""Multipart uploads: parts, their listing, and the object they become."""

import asyncio
import hashlib
import os
from dataclasses import replace

import pytest
from payloads import BytesPayload, get, put, put_part, read
from refusals import refused

from backends.base import (
    MIN_PART_BYTES,
    ByteRange,
    Checksum,
    ChecksumType,
    ChosenPart,
    Completion,
    Conditions,
    Copy,
    Doc,
    ListQuery,
    Read,
    Ref,
    Span,
    UploadQuery,
    Write,
)
from backends.checksums import digest
from gateway.errors import BadDigest

REF = Ref("b", "k")
SHARED_MEMORY = "/dev/shm"
BIG = os.urandom(MIN_PART_BYTES)
BIGGER = os.urandom(MIN_PART_BYTES + 7)


async def begin(store, ref=REF, **options):
    return (await store.create_upload(ref, Write(**options))).upload


async def send(store, upload, bodies, ref=REF):
    parts = [await put_part(store, ref, upload, number, body) for number, body in bodies.items()]
    return [ChosenPart(part.number, part.etag) for part in parts]


async def finish(store, upload, lines, **options):
    return await store.complete_upload(REF, upload, Completion(lines, **options))


async def make(store, bodies, ref=REF, **options):
    upload = await begin(store, ref, **options)
    lines = await send(store, upload, bodies, ref)
    return await store.complete_upload(ref, upload, Completion(lines))


async def test_parts_become_an_object(store):
    bodies = {1: BIG, 5: BIGGER, 10_000: b"tail"}
    options = {
        "headers": {"content-type": "a/b"},
        "user": {"u": "1"},
        "docs": {Doc.ACL: "public-read"},
        "storage_class": "STANDARD_IA",
    }
    info = await make(store, bodies, **options)
    data = b"".join(bodies.values())
    digests = b"".join(hashlib.md5(body).digest() for body in bodies.values())
    assert info.etag == f"{hashlib.md5(digests).hexdigest()}-3"
    assert info.size == len(data)
    assert [(part.number, part.size) for part in info.parts] == [
        (n, len(body)) for n, body in enumerate(bodies.values(), 1)
    ]
    assert (dict(info.headers), dict(info.user), dict(info.docs), info.storage_class) == tuple(
        options.values()
    )
    assert info.checksum == Checksum("CRC64NVME", digest("CRC64NVME", data), ChecksumType.FULL_OBJECT)
    assert (await store.head_object(REF)).info == info
    assert await get(store, REF) == data
    (entry,) = (await store.list_objects("b", ListQuery())).entries
    assert (entry.size, entry.etag) == (info.size, info.etag)


async def test_the_upload_is_gone_afterwards_and_completing_again_answers_the_same(store):
    upload = await begin(store)
    lines = await send(store, upload, {1: BIG, 2: b"tail", 3: b"unlisted"})
    info = await finish(store, upload, lines[:2])
    with refused("NoSuchUpload", UploadId=upload):
        await store.head_upload(REF, upload)
    assert (await store.list_uploads("b", UploadQuery())).uploads == []
    assert await finish(store, upload, lines[:2]) == info
    with refused("NoSuchUpload"):
        await finish(store, upload, lines)
    await put(store, REF, b"replaced")
    with refused("NoSuchUpload"):
        await finish(store, upload, lines[:2])


async def test_a_single_part_may_be_small_or_empty(store):
    for body in (b"small", b""):
        info = await make(store, {1: body})
        assert info.etag.endswith("-1")
        assert (info.size, await get(store, REF)) == (len(body), body)


async def test_an_empty_last_part_counts(store):
    info = await make(store, {1: BIG, 2: b""})
    assert (info.size, len(info.parts)) == (len(BIG), 2)
    assert await get(store, REF) == BIG
    assert (await store.head_object(REF, Read(part=2))).span == Span(len(BIG), 0)


@pytest.mark.parametrize("number", [1, 2, 3])
async def test_a_part_of_the_object_is_read_alone(store, number):
    bodies = {1: BIG, 2: BIGGER, 3: b"tail"}
    await make(store, bodies)
    async with await store.open_object(REF, Read(part=number)) as content:
        offset = sum(len(body) for n, body in bodies.items() if n < number)
        assert content.span == Span(offset, len(bodies[number]), partial=True)
        assert await read(content) == bodies[number]
    with refused("InvalidPartNumber"):
        await store.open_object(REF, Read(part=4))


async def test_the_parts_of_the_object_are_numbered_anew(store):
    bodies = {2: BIG, 5: BIGGER, 9: b"tail"}
    upload = await begin(store)
    info = await finish(store, upload, await send(store, upload, bodies))
    assert [part.number for part in info.parts] == [1, 2, 3]
    for number, body in enumerate(bodies.values(), 1):
        async with await store.open_object(REF, Read(part=number)) as content:
            assert [part.number for part in content.info.parts] == [1, 2, 3]
            assert await read(content) == body
    for absent in (5, 9):
        with refused("InvalidPartNumber", ActualPartCount=3):
            await store.head_object(REF, Read(part=absent))


@pytest.mark.parametrize(
    "wanted",
    [
        ByteRange(0, 0),
        ByteRange(MIN_PART_BYTES - 1, MIN_PART_BYTES),
        ByteRange(MIN_PART_BYTES, MIN_PART_BYTES),
        ByteRange(10, 2 * MIN_PART_BYTES + 8),
        ByteRange(None, 5),
        ByteRange(None, 10**12),
    ],
)
async def test_a_range_crosses_parts(store, wanted):
    await make(store, {1: BIG, 2: BIGGER, 3: b"tail"})
    data = BIG + BIGGER + b"tail"
    first = len(data) - min(wanted.last, len(data)) if wanted.first is None else wanted.first
    expected = data[first:] if wanted.first is None else data[first : wanted.last + 1]
    async with await store.open_object(REF, Read(range=wanted)) as content:
        assert await read(content) == expected


async def test_a_reader_of_parts_keeps_its_version(store):
    await make(store, {1: BIG, 2: BIGGER, 3: b"tail"})
    async with await store.open_object(REF) as content:
        await put(store, REF, b"new")
        await store.delete_object(REF)
        assert await read(content) == BIG + BIGGER + b"tail"


async def test_a_copy_and_a_rename_keep_parts(store):
    made = await make(store, {1: BIG, 2: b"tail"})
    copied = await store.copy_object(REF, Ref("b", "copy"))
    assert (copied.etag, copied.parts, copied.checksum) == (made.etag, made.parts, made.checksum)
    await store.rename_object(REF, Ref("b", "renamed"))
    await store.delete_object(Ref("b", "renamed"))
    assert await get(store, Ref("b", "copy")) == BIG + b"tail"
    how = Copy(write=Write(user={"u": "1"}), replace_metadata=True)
    await store.copy_object(Ref("b", "copy"), Ref("b", "copy"), how)
    assert await get(store, Ref("b", "copy")) == BIG + b"tail"


async def test_a_later_part_replaces_the_earlier(store):
    upload = await begin(store)
    first = await put_part(store, REF, upload, 1, b"first")
    second = await put_part(store, REF, upload, 1, b"second")
    page = await store.list_parts(REF, upload)
    assert list(page.parts) == [second]
    with refused("InvalidPart", UploadId=upload, PartNumber=1, ETag=first.etag):
        await finish(store, upload, [ChosenPart(1, first.etag)])
    await finish(store, upload, [ChosenPart(1, second.etag)])
    assert await get(store, REF) == b"second"


async def test_parts_are_listed_by_number_in_pages(store):
    upload = await begin(store)
    for number in (3, 1, 10):
        await put_part(store, REF, upload, number, b"x" * number)
    page = await store.list_parts(REF, upload, limit=2)
    assert ([part.number for part in page.parts], page.next) == ([1, 3], 3)
    page = await store.list_parts(REF, upload, after=3, limit=1)
    assert ([(part.number, part.size) for part in page.parts], page.next) == ([(10, 10)], 0)
    part = page.parts[0]
    assert part.etag == hashlib.md5(b"x" * 10).hexdigest()
    assert part.modified > 1_600_000_000_000
    assert part.checksum == digest("CRC64NVME", b"x" * 10)
    assert page.upload.upload == upload


async def test_the_order_of_lines_is_checked(store):
    upload = await begin(store)
    lines = await send(store, upload, {1: BIG, 2: BIG})
    with refused("InvalidPartOrder"):
        await finish(store, upload, lines[::-1])
    with refused("InvalidPartOrder"):
        await finish(store, upload, [lines[0], lines[0]])
    with refused("MalformedXML"):
        await finish(store, upload, [])
    await finish(store, upload, lines)


async def test_a_small_part_before_the_last_is_refused(store):
    upload = await begin(store)
    lines = await send(store, upload, {1: b"small", 2: b"tail"})
    with refused("EntityTooSmall", ProposedSize=5, MinSizeAllowed=MIN_PART_BYTES, PartNumber=1):
        await finish(store, upload, lines)
    with refused("NoSuchKey"):
        await store.head_object(REF)
    assert len((await store.list_parts(REF, upload)).parts) == 2


async def test_an_unknown_part_is_refused(store):
    upload = await begin(store)
    (line,) = await send(store, upload, {1: b"x"})
    with refused("InvalidPart", PartNumber=2):
        await finish(store, upload, [line, replace(line, number=2)])


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "SHA1", "SHA256", "CRC64NVME"])
@pytest.mark.parametrize("sent", ["the same", "another"])
async def test_the_checksum_of_the_whole(store, algorithm, sent):
    """Also for parts whose payload brought another checksum, or none."""
    upload = await begin(store, checksum_algorithm=algorithm)
    bodies = {1: BIG, 2: b"tail"}
    own = algorithm if sent == "the same" else None
    parts = [await put_part(store, REF, upload, n, body, algorithm=own) for n, body in bodies.items()]
    lines = [ChosenPart(p.number, p.etag, Checksum(algorithm, p.checksum)) for p in parts]
    info = await finish(store, upload, lines)
    assert info.checksum is not None
    if algorithm == "CRC64NVME":
        assert info.checksum == Checksum(algorithm, digest(algorithm, BIG + b"tail"))
    else:
        assert info.checksum.type is ChecksumType.COMPOSITE
        assert info.checksum.value.endswith("-2")
    assert [part.checksum for part in info.parts] == [digest(algorithm, body) for body in bodies.values()]


async def test_checksums_and_size_of_the_whole_are_compared(store):
    kind = ChecksumType.FULL_OBJECT
    upload = await begin(store, checksum_algorithm="CRC32", checksum_type=kind)
    part = await put_part(store, REF, upload, 1, b"123456789", algorithm="CRC32")
    line = ChosenPart(1, part.etag)
    with refused("InvalidPart"):
        await finish(store, upload, [replace(line, checksum=Checksum("CRC32", "AAAAAA=="))])
    with refused("BadDigest"):
        await finish(store, upload, [line], checksum=Checksum("CRC32", "AAAAAA=="))
    with refused("InvalidRequest"):
        await finish(store, upload, [line], checksum=Checksum("SHA1", "AAAAAA=="))
    with refused("InvalidRequest"):
        await finish(store, upload, [line], size=8)
    whole = Checksum("CRC32", "y/Q5Jg==", kind)
    assert (await finish(store, upload, [line], checksum=whole, size=9)).checksum == whole


async def test_conditions_of_a_completion_are_those_on_the_target(store):
    await put(store, REF, b"there")
    upload = await begin(store)
    lines = await send(store, upload, {1: b"x"})
    with refused("PreconditionFailed"):
        await finish(store, upload, lines, conditions=Conditions(if_none_match=("*",)))
    await store.delete_object(REF)
    with refused("NoSuchKey"):
        await finish(store, upload, lines, conditions=Conditions(if_match=("*",)))
    await finish(store, upload, lines, conditions=Conditions(if_none_match=("*",)))


async def test_an_aborted_upload_is_gone(store):
    upload = await begin(store)
    await send(store, upload, {1: b"x"})
    await put(store, REF, b"other")
    await store.abort_upload(REF, upload)
    for call in (
        store.abort_upload(REF, upload),
        store.head_upload(REF, upload),
        store.list_parts(REF, upload),
        store.put_part(REF, upload, 1, BytesPayload(b"x")),
        finish(store, upload, [ChosenPart(1, "0" * 32)]),
    ):
        with refused("NoSuchUpload", UploadId=upload):
            await call
    assert await get(store, REF) == b"other"


async def test_an_upload_belongs_to_its_key(store):
    upload = await begin(store)
    with refused("NoSuchUpload"):
        await store.head_upload(Ref("b", "other"), upload)
    with refused("NoSuchUpload"):
        await put_part(store, Ref("b", "other"), upload, 1, b"x")
    await store.create_bucket("c")
    with refused("NoSuchUpload"):
        await store.abort_upload(Ref("c", "k"), upload)
    await store.head_upload(REF, upload)


async def test_a_part_that_fails_or_comes_too_late_is_not_kept(store):
    upload = await begin(store)
    with refused("BadDigest"):
        await put_part(store, REF, upload, 1, b"x", error=BadDigest())
    assert list((await store.list_parts(REF, upload)).parts) == []
    gate = asyncio.Event()
    payload = BytesPayload(b"late", gate=gate)
    task = asyncio.create_task(store.put_part(REF, upload, 1, payload))
    await payload.begun.wait()
    await store.abort_upload(REF, upload)
    gate.set()
    with refused("NoSuchUpload"):
        await task


async def test_an_upload_keeps_how_it_was_begun(store):
    how = Write({"content-type": "x/y"}, {"u": "1"}, {Doc.ACL: "private"}, checksum_algorithm="CRC32C")
    made = await store.create_upload(REF, how)
    assert await store.head_upload(REF, made.upload) == made
    assert made.write == how
    assert len({(await store.create_upload(REF, how)).upload for _ in range(5)}) == 5


async def test_uploads_are_listed_by_key_and_time_in_pages(store):
    made = []
    for key in ("b", "a", "b", "c/1", "c/2", "b"):
        info = await store.create_upload(Ref("b", key), Write())
        made.append((key, info.upload))
        await asyncio.sleep(0.002)  # ids order by their millisecond
    expected = sorted(made, key=lambda item: (item[0], made.index(item)))
    for limit in (1, 2, 1000):
        assert await uploads(store, limit=limit) == expected
        folded = await uploads(store, limit=limit, delimiter="/")
        assert folded == [*expected[:4], ("c/", "")]
        assert await uploads(store, limit=limit, prefix="c/") == expected[4:]
    page = await store.list_uploads("b", UploadQuery(after="b"))
    assert [info.key for info in page.uploads] == ["c/1", "c/2"]
    assert (await store.list_uploads("b", UploadQuery(limit=0))).next == ""
    with refused("InvalidArgument", ArgumentName="upload-id-marker"):
        await store.list_uploads("b", UploadQuery(after="b", after_upload="no id of an upload"))


async def uploads(store, **options):
    found, query = [], UploadQuery(**options)
    while True:
        page = await store.list_uploads("b", query)
        names = [(info.key, info.upload) for info in page.uploads] + [(name, "") for name in page.prefixes]
        found += sorted(names, key=lambda item: item[0])
        if not page.next:
            return found
        query = replace(query, after=page.next, after_upload=page.next_upload)
