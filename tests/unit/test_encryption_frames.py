"""The cipher of bodies: every boundary, every range, and nothing that was changed goes unnoticed."""

import asyncio
import os

import pytest
from bodies import body, pieces
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.base import Checksum, Content, ObjectInfo, PartInfo, Span
from backends.checksums import digest
from backends.frames import FRAME, SALT, TAG, cover, stored_size
from gateway.checksums import ExpectedChecksum
from gateway.encryption.frames import Damaged, Opener, Sealer
from gateway.encryption.reading import decrypted
from gateway.errors import S3Error
from gateway.spool import Spool

KEY, OTHER = bytes(range(32)), bytes(32)
STORED_FRAME = FRAME + TAG
BOUNDARIES = [0, 1, FRAME - 1, FRAME, FRAME + 1, 2 * FRAME - 1, 2 * FRAME, 2 * FRAME + 1, 5 * FRAME + 7]


def seal(data, size=100_000, key=KEY):
    sealer = Sealer(key)
    sealed = [piece for part in pieces(data, size) for piece in sealer.update([part])]
    return b"".join([*sealed, *sealer.finish()])


def stored_of(sealed, span, sizes):
    """What a store hands out for a span: of each part its salt and the frames."""
    starts = [sum(map(stored_size, sizes[:number])) for number in range(len(sizes))]
    found = b""
    for part in cover(span, sizes):
        start = starts[part.part]
        found += sealed[start : start + SALT]
        found += sealed[start + part.offset : start + part.offset + part.length]
    return found


def unseal(stored, span, sizes, key=KEY, step=70_001):
    opener = Opener(key, cover(span, sizes))
    plain = b"".join(opener.feed(stored[at : at + step]) for at in range(0, len(stored), step))
    opener.finish()
    return plain


@pytest.mark.parametrize("size", BOUNDARIES)
@pytest.mark.parametrize("step", [1000, FRAME, 1_000_000])
def test_round_trip_at_every_boundary(size, step):
    data = os.urandom(size)
    sealed = seal(data, step)
    assert len(sealed) == stored_size(size)
    span = Span(0, size)
    assert unseal(stored_of(sealed, span, [size]), span, [size], step=step) == data


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_any_range_of_any_parts(given_data):
    near = st.sampled_from(BOUNDARIES[:-1]).flatmap(lambda size: st.integers(max(0, size - 2), size + 2))
    sizes = given_data.draw(st.lists(near, min_size=1, max_size=3).filter(sum))
    parts = [os.urandom(size) for size in sizes]
    data, sealed = b"".join(parts), b"".join(map(seal, parts))
    first = given_data.draw(st.integers(0, len(data) - 1))
    last = given_data.draw(st.integers(first, len(data) - 1))
    span = Span(first, last - first + 1, partial=True)
    step = given_data.draw(st.integers(5000, 300_000))
    assert unseal(stored_of(sealed, span, sizes), span, sizes, step=step) == data[first : last + 1]


def test_equal_bodies_look_different():
    assert seal(b"a" * 1000)[SALT:] != seal(b"a" * 1000)[SALT:]


SIZE = 3 * FRAME + 100
TAMPERED = {
    "a bit of the salt": lambda s: bytes([s[0] ^ 1]) + s[1:],
    "a bit of a frame": lambda s: s[: SALT + 5] + bytes([s[SALT + 5] ^ 1]) + s[SALT + 6 :],
    "a bit of the last tag": lambda s: s[:-1] + bytes([s[-1] ^ 1]),
    "cut within a frame": lambda s: s[:-50],
    "cut between frames": lambda s: s[: SALT + 3 * STORED_FRAME],
    "one byte more": lambda s: s + b"\0",
    "one frame more": lambda s: s + s[SALT : SALT + STORED_FRAME],
    "two frames exchanged": lambda s: (
        s[:SALT]
        + s[SALT + STORED_FRAME : SALT + 2 * STORED_FRAME]
        + s[SALT : SALT + STORED_FRAME]
        + s[SALT + 2 * STORED_FRAME :]
    ),
    "a frame twice": lambda s: s[: SALT + STORED_FRAME] + s[SALT:-STORED_FRAME],
    "empty": lambda s: b"",
}


@pytest.mark.parametrize("name", TAMPERED)
def test_what_was_changed_is_damaged(name):
    span = Span(0, SIZE)
    stored = TAMPERED[name](seal(os.urandom(SIZE)))
    with pytest.raises(Damaged):
        unseal(stored, span, [SIZE])


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_a_shorter_body_that_ends_with_a_whole_frame_is_damaged(frames):
    """Even if somebody changes the size in the index to fit: the last frame is marked as such."""
    size = frames * FRAME
    with pytest.raises(Damaged):
        unseal(seal(os.urandom(SIZE))[: stored_size(size)], Span(0, size), [size])


def test_another_key_opens_nothing():
    with pytest.raises(Damaged):
        unseal(seal(b"data"), Span(0, 4), [4], key=OTHER)


@pytest.fixture
def spool():
    made = Spool(1024 * 1024, 16 * 1024 * 1024)
    yield made
    made.close()
    assert made.held == 0


@pytest.mark.parametrize("size", [0, 1, FRAME, 1024 * 1024 - 70, 1024 * 1024, 5 * 1024 * 1024 + 3])
@pytest.mark.parametrize("known", [True, False])
async def test_a_body_is_sealed_encrypted_with_the_digests_of_the_plain_bytes(spool, tmp_path, size, known):
    data = os.urandom(size)
    options = {"encryptor": Sealer(KEY), "checksum": ExpectedChecksum("CRC32")}
    if not known:
        options["content_length"] = None
    async with (
        body(pieces(data, 65_536), spool, **options) as made,
        body(pieces(data, 65_536), spool, checksum=ExpectedChecksum("CRC32")) as plain,
    ):
        sealed, expected = await made.seal(str(tmp_path)), await plain.seal(str(tmp_path))
        assert (sealed.size, sealed.md5, sealed.checksum) == (size, expected.md5, expected.checksum)
        assert sealed.stored == stored_size(size)
        stored = sealed.data if sealed.file is None else os.pread(sealed.file.fd, sealed.stored + 1, 0)
        assert len(stored) == sealed.stored
        assert unseal(stored_of(stored, Span(0, size), [size]), Span(0, size), [size]) == data
        assert sealed.file is None or sealed.stored > spool.threshold


async def test_a_store_gets_the_checksum_that_it_keeps(spool, tmp_path):
    data = os.urandom(100_000)
    sent = ExpectedChecksum("CRC32", digest("CRC32", data))
    async with body(pieces(data, 65_536), spool, checksum=sent, encryptor=Sealer(KEY), kept="SHA256") as made:
        sealed = await made.seal(str(tmp_path))
    assert sealed.checksum == Checksum("SHA256", digest("SHA256", data))
    assert made.checksum == Checksum("CRC32", sent.value)


async def test_iteration_gives_stored_bytes(spool):
    data = os.urandom(3_000_000)
    async with body(pieces(data, 65_536), spool, encryptor=Sealer(KEY)) as made:
        stored = b"".join([chunk async for chunk in made])
    assert unseal(stored, Span(0, len(data)), [len(data)]) == data


async def test_iteration_withholds_the_end_of_a_corrupt_body(spool):
    data = os.urandom(3_000_000)
    stored = b""
    async with body(pieces(data, 65_536), spool, encryptor=Sealer(KEY), md5=bytes(16)) as made:
        with pytest.raises(S3Error):
            async for chunk in made:
                stored += chunk
    with pytest.raises(Damaged):
        unseal(stored, Span(0, len(data)), [len(data)])


class File:
    """A body in a file, as a store hands it out."""

    def __init__(self, path):
        self.closed = False
        self._fd = os.open(path, os.O_RDONLY)
        self._size = path.stat().st_size

    def __iter__(self):
        from backends.base import FileSpan

        yield FileSpan(self._fd, 0, SALT)
        yield FileSpan(self._fd, SALT, self._size - SALT)

    def close(self):
        self.closed = True
        os.close(self._fd)


async def plain_of(content):
    if isinstance(content.body, bytes):
        return content.body
    return b"".join([chunk async for chunk in content.body])


@pytest.mark.parametrize("size", [1, 1000, FRAME, 1024 * 1024, 5 * 1024 * 1024 + 3])
@pytest.mark.parametrize("where", ["memory", "file", "stream"])
async def test_reading(tmp_path, size, where):
    data = os.urandom(size)
    stored = seal(data)
    path = tmp_path / "body"
    path.write_bytes(stored)

    async def stream():
        for piece in pieces(stored, 50_000):
            await asyncio.sleep(0)
            yield piece

    bodies = {"memory": lambda: stored, "file": lambda: File(path), "stream": stream}
    info = ObjectInfo("k", size, "e", 0)
    content = Content(info, Span(0, size), bodies[where]())
    assert await plain_of(await decrypted(content, KEY)) == data
    if where == "file":
        content.body.close()


async def test_reading_across_parts():
    parts = [os.urandom(size) for size in (FRAME + 5, 0, 3 * FRAME)]
    sizes = list(map(len, parts))
    data, sealed = b"".join(parts), b"".join(map(seal, parts))
    info = ObjectInfo(
        "k", len(data), "e", 0, parts=tuple(PartInfo(n, size) for n, size in enumerate(sizes, 1))
    )
    span = Span(FRAME, 2 * FRAME, partial=True)
    content = Content(info, span, stored_of(sealed, span, sizes))
    assert await plain_of(await decrypted(content, KEY)) == data[FRAME : 3 * FRAME]


async def test_damage_in_the_first_mib_is_known_before_anything_is_given_out():
    size = 5 * 1024 * 1024
    stored = bytearray(seal(os.urandom(size)))
    stored[1000] ^= 1
    with pytest.raises(Damaged):
        await decrypted(Content(ObjectInfo("k", size, "e", 0), Span(0, size), bytes(stored)), KEY)


async def test_later_damage_ends_the_body(tmp_path):
    size = 5 * 1024 * 1024
    stored = bytearray(seal(os.urandom(size)))
    stored[-1] ^= 1
    path = tmp_path / "body"
    path.write_bytes(stored)
    file = File(path)
    content = await decrypted(Content(ObjectInfo("k", size, "e", 0), Span(0, size), file), KEY)
    with pytest.raises(Damaged):
        await plain_of(content)
    file.close()
