"""Encrypted objects: the store keeps other bytes than the object's, and gives those that hold a span."""

import hashlib
import os

import pytest
from payloads import read

from backends import frames
from backends.base import (
    MIN_PART_BYTES,
    ByteRange,
    Checksum,
    ChosenPart,
    Completion,
    Copy,
    Doc,
    ListQuery,
    Read,
    Ref,
    Sealed,
    Span,
    Write,
)
from backends.checksums import digest
from backends.local.bodies import Temporary
from backends.multipart import DEFAULT_ALGORITHM

REF = Ref("b", "k")
SECRET = Write(docs={Doc.SSE: '{"algorithm":"AES256"}'})
SHARED_MEMORY = "/dev/shm"
FRAME = frames.FRAME
# Around the size up to which the local store keeps bodies in its index: the stored bytes count.
SIZES = [0, 1, 1000, FRAME - 33, FRAME - 32, FRAME - 31, FRAME, FRAME + 1, 3 * FRAME + 5]
RANGES = [
    None,
    ByteRange(0, 0),
    ByteRange(None, 1),
    ByteRange(500, 700),
    ByteRange(FRAME - 1, FRAME),
    ByteRange(FRAME, None),
]


class Encrypted:
    """A payload of `size` bytes that is stored as other bytes, in memory or in a file."""

    def __init__(self, size, *, directory=None, in_file=False):
        self.size = self.length = size
        self.stored = os.urandom(frames.stored_size(size))
        self.directory = directory
        self.in_file = in_file
        self.file = None
        self.plain = bytes(size)

    async def seal(self, directory):
        md5 = hashlib.md5(self.plain).hexdigest()
        checksum = Checksum(DEFAULT_ALGORITHM, digest(DEFAULT_ALGORITHM, self.plain))
        sealed = {"size": self.size, "md5": md5, "checksum": checksum, "stored": len(self.stored)}
        if not self.in_file:
            return Sealed(data=self.stored, **sealed)
        self.file = Temporary(self.directory or directory)
        os.write(self.file.fd, self.stored)
        return Sealed(file=self.file, **sealed)


async def put(store, size, ref=REF, how=SECRET, **options):
    payload = Encrypted(size, **options)
    made = await store.put_object(ref, payload, how)
    if payload.file is not None:
        payload.file.close()
    return made, payload


async def body(store, how=None, ref=REF):
    async with await store.open_object(ref, how or Read()) as content:
        return content, await read(content)


def wanted(span, payloads):
    """The stored bytes of a span: for each part concerned its salt, then the frames."""
    covers = frames.cover(span, [payload.size for payload in payloads])
    return b"".join(
        payloads[part].stored[: frames.SALT] + payloads[part].stored[offset : offset + length]
        for part, offset, length, *_ in covers
    )


@pytest.mark.parametrize("in_file", [True, False])
@pytest.mark.parametrize("size", SIZES)
async def test_the_body_is_the_stored_bytes_that_hold_the_span(store, size, in_file):
    made, payload = await put(store, size, in_file=in_file)
    assert (made.size, made.etag) == (size, hashlib.md5(payload.plain).hexdigest())
    assert (await store.head_object(REF)).info == made
    (entry,) = (await store.list_objects("b", ListQuery())).entries
    assert entry.size == size
    for wanted_range in RANGES:
        if wanted_range is not None and wanted_range.first is not None and wanted_range.first >= size:
            continue
        content, data = await body(store, Read(range=wanted_range))
        assert content.span.length <= size
        assert data == wanted(content.span, [payload])
    content, data = await body(store)
    assert content.span == Span(0, size)
    assert data == (payload.stored if size else b"")


@pytest.mark.skipif(not os.path.isdir(SHARED_MEMORY), reason="no second file system")
async def test_stored_bytes_spooled_on_another_file_system_are_copied_wholly(store):
    _, payload = await put(store, 200_000, in_file=True, directory=SHARED_MEMORY)
    assert (await body(store))[1] == payload.stored


async def upload_two(store):
    upload = (await store.create_upload(REF, SECRET)).upload
    payloads = [Encrypted(MIN_PART_BYTES, in_file=True), Encrypted(100)]
    lines = []
    for number, payload in enumerate(payloads, 1):
        part = await store.put_part(REF, upload, number, payload)
        assert part.size == payload.size
        lines.append(ChosenPart(number, part.etag))
    payloads[0].file.close()
    made = await store.complete_upload(REF, upload, Completion(lines))
    return made, payloads


@pytest.mark.parametrize(
    "how",
    [
        Read(),
        Read(part=1),
        Read(part=2),
        Read(range=ByteRange(MIN_PART_BYTES - 1, MIN_PART_BYTES)),
        Read(range=ByteRange(FRAME + 1, 5 * FRAME)),
        Read(range=ByteRange(None, 5)),
    ],
)
async def test_parts_are_stored_and_read_each_by_itself(store, how):
    made, payloads = await upload_two(store)
    assert made.size == MIN_PART_BYTES + 100
    assert [part.size for part in made.parts] == [MIN_PART_BYTES, 100]
    content, data = await body(store, how)
    assert data == wanted(content.span, payloads)


@pytest.mark.parametrize("size", [100, 200_000])
async def test_a_copy_keeps_what_says_how_its_bytes_are_encrypted(store, size):
    _, payload = await put(store, size)
    target = Ref("b", "copy")
    docs = {Doc.SSE: "another", Doc.ACL: "private"}
    copied = await store.copy_object(REF, target, Copy(write=Write(docs=docs), replace_metadata=True))
    assert dict(copied.docs) == {Doc.SSE: SECRET.docs[Doc.SSE], Doc.ACL: "private"}
    await store.delete_object(REF)
    assert (await body(store, ref=target))[1] == payload.stored


async def test_what_says_how_to_decrypt_is_not_put_on_a_plain_copy(store):
    await put(store, 100, how=Write())
    copied = await store.copy_object(REF, Ref("b", "copy"), Copy(write=SECRET))
    assert dict(copied.docs) == {}


async def test_an_old_version_is_read_likewise(store):
    await store.put_doc(Ref("b", ""), Doc.VERSIONING, "Enabled")
    made, payload = await put(store, 100_000)
    await put(store, 5, how=Write())
    assert (await body(store, ref=Ref("b", "k", made.version)))[1] == payload.stored


async def test_a_part_that_comes_without_its_checksum_is_not_taken(store):
    """It would have to be computed from bytes that are not the part's."""
    how = Write(docs=SECRET.docs, checksum_algorithm="CRC32")
    upload = (await store.create_upload(REF, how)).upload
    with pytest.raises(ValueError, match="CRC32"):
        await store.put_part(REF, upload, 1, Encrypted(10))
    assert (await store.list_parts(REF, upload)).parts == []
