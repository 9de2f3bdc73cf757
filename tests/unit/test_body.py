"""Bodies: verified before anything of them is kept."""

import asyncio
import errno
import hashlib
import os
import threading
import tracemalloc
import zlib
from base64 import b64encode

import pytest
from bodies import Framer, body, chain, pieces, receiver

from auth.identity import PLAIN, BodyMode
from gateway.body import BATCH_BYTES, Body, ClientDisconnected
from gateway.checksums import ExpectedChecksum
from gateway.errors import S3Error, SignatureDoesNotMatch
from gateway.spool import Spool

SIZES = [0, 1, 4096, 65_536, 65_537, 1_000_000, 1_048_577, 3 * BATCH_BYTES + 5]
UNSIGNED = BodyMode(chunked=True, trailer=True)


def signed(*, trailer=False):
    return BodyMode(chunked=True, trailer=trailer, chunks=chain())


@pytest.fixture
def spool():
    made = Spool(1024 * 1024, 16 * 1024 * 1024)
    yield made
    made.close()
    assert made.held == 0


def crc32(data):
    return b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


def stored(sealed):
    return sealed.data if sealed.file is None else os.pread(sealed.file.fd, sealed.size + 1, 0)


async def refused(made, directory, code):
    """Both ways to read it must fail, and the last byte never come out."""
    with pytest.raises(S3Error) as caught:
        async with made:
            await made.seal(str(directory))
    assert caught.value.code == code
    assert list(directory.iterdir()) == []
    return caught.value


@pytest.mark.parametrize("size", SIZES)
async def test_seal(spool, tmp_path, size):
    data = os.urandom(size)
    mode = BodyMode(sha256=hashlib.sha256(data).hexdigest().upper())
    checksum = ExpectedChecksum("CRC32", crc32(data))
    made = body(pieces(data, 65_536), spool, mode=mode, md5=hashlib.md5(data).digest(), checksum=checksum)
    async with made:
        sealed = await made.seal(str(tmp_path))
        assert (sealed.size, sealed.md5) == (size, hashlib.md5(data).hexdigest())
        assert (sealed.checksum.algorithm, sealed.checksum.value) == ("CRC32", crc32(data))
        assert (sealed.file is None) == (size <= spool.threshold)
        assert stored(sealed) == data
    assert spool.held == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("known", [True, False])
async def test_iteration(spool, size, known):
    data = os.urandom(size)
    length = {} if known else {"content_length": None}
    async with body(pieces(data, 50_000), spool, **length) as made:
        assert made.length == (size if known else None)
        assert b"".join([chunk async for chunk in made]) == data


@pytest.mark.parametrize("size", SIZES)
async def test_unknown_length(spool, tmp_path, size):
    data = os.urandom(size)
    async with body(pieces(data, 50_000), spool, content_length=None) as made:
        assert stored(await made.seal(str(tmp_path))) == data


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("wire", [1000, 65_536])
@pytest.mark.parametrize("trailer", [True, False])
async def test_signed_chunks(spool, tmp_path, size, wire, trailer):
    data = os.urandom(size)
    line = [f"x-amz-checksum-crc32:{crc32(data)}"] if trailer else []
    framed = Framer().frame(pieces(data, 65_536), *line, trailer=trailer)
    checksum = ExpectedChecksum("CRC32", trailer=trailer)
    made = body(
        pieces(framed, wire), spool, mode=signed(trailer=trailer), decoded_length=size, checksum=checksum
    )
    async with made:
        assert made.length == size
        sealed = await made.seal(str(tmp_path))
        assert stored(sealed) == data
        assert sealed.checksum.value == crc32(data)


async def test_a_chunk_larger_than_memory_streams(spool, tmp_path):
    data = os.urandom(5 * BATCH_BYTES)
    framed = Framer().frame([data])
    async with body(pieces(framed, 65_536), spool, mode=signed(), decoded_length=len(data)) as made:
        assert stored(await made.seal(str(tmp_path))) == data


async def test_chunks_of_one_byte(spool, tmp_path):
    data = os.urandom(20_000)
    framed = Framer(signed=False).frame(pieces(data, 1), trailer=True)
    async with body(pieces(framed, 65_536), spool, mode=UNSIGNED, decoded_length=len(data)) as made:
        assert stored(await made.seal(str(tmp_path))) == data


@pytest.mark.parametrize("size", [10, 100_000, 2 * BATCH_BYTES])
async def test_wrong_sha256(spool, tmp_path, size):
    data = bytes(size)
    error = await refused(
        body(pieces(data, 65_536), spool, mode=BodyMode(sha256="0" * 64)),
        tmp_path,
        "XAmzContentSHA256Mismatch",
    )
    assert error.fields == {
        "ClientComputedContentSHA256": "0" * 64,
        "S3ComputedContentSHA256": hashlib.sha256(data).hexdigest(),
    }


async def test_the_deferred_signature_is_asked(spool, tmp_path):
    asked = []
    async with body([b"abc"], spool, mode=BodyMode(deferred=asked.append)) as made:
        await made.seal(str(tmp_path))
    assert asked == [hashlib.sha256(b"abc").hexdigest()]

    def refuse(_):
        raise SignatureDoesNotMatch()

    await refused(body([b"abc"], spool, mode=BodyMode(deferred=refuse)), tmp_path, "SignatureDoesNotMatch")


@pytest.mark.parametrize("size", [10, 2 * BATCH_BYTES])
async def test_wrong_md5(spool, tmp_path, size):
    data = bytes(size)
    error = await refused(body(pieces(data, 65_536), spool, md5=bytes(16)), tmp_path, "BadDigest")
    assert error.fields["ExpectedDigest"] == bytes(16).hex()
    assert error.fields["CalculatedDigest"] == b64encode(hashlib.md5(data).digest()).decode()


async def test_wrong_checksum_in_a_header(spool, tmp_path):
    error = await refused(
        body([b"abc"], spool, checksum=ExpectedChecksum("CRC32", "AAAAAA==")), tmp_path, "BadDigest"
    )
    assert error.message == "The CRC32 you specified did not match the calculated checksum."


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("x-amz-checksum-crc32:AAAAAA==", "BadDigest"),
        ("x-amz-checksum-crc32:nonsense", "InvalidRequest"),
        ("x-amz-checksum-crc32:", "InvalidRequest"),
        ("x-amz-checksum-sha1:AAAAAA==", "MalformedTrailerError"),
    ],
)
async def test_wrong_checksum_in_a_trailer(spool, tmp_path, line, code):
    framed = Framer(signed=False).frame([b"abc"], line, trailer=True)
    made = body(
        [framed], spool, mode=UNSIGNED, decoded_length=3, checksum=ExpectedChecksum("CRC32", trailer=True)
    )
    await refused(made, tmp_path, code)


async def test_a_trailer_cannot_come_without_framing(spool):
    with pytest.raises(S3Error) as caught:
        body([b"abc"], spool, checksum=ExpectedChecksum("CRC32", trailer=True))
    assert caught.value.code == "MalformedTrailerError"


async def test_fewer_bytes_than_announced(spool, tmp_path):
    error = await refused(body([b"abc"], spool, content_length=4), tmp_path, "IncompleteBody")
    assert error.fields == {"NumberBytesExpected": "4", "NumberBytesProvided": "3"}


async def test_too_large_is_refused_before_reading(spool):
    async def never():
        raise AssertionError

    options = {"mode": PLAIN, "decoded_length": None, "md5": None, "checksum": None, "spool": spool}
    with pytest.raises(S3Error) as caught:
        Body(never, content_length=11, limit=10, **options)
    assert caught.value.code == "EntityTooLarge"
    assert caught.value.fields == {"ProposedSize": "11", "MaxSizeAllowed": "10"}
    with pytest.raises(S3Error) as caught:
        await Body(never, content_length=11, limit=100, **options).read_all(10)
    assert caught.value.code == "MaxMessageLengthExceeded"


async def test_too_large_is_noticed_while_reading(spool, tmp_path):
    await refused(body([b"abc"] * 9, spool, content_length=None, limit=20), tmp_path, "EntityTooLarge")
    with pytest.raises(S3Error) as caught:
        await body([b"abc"] * 9, spool, content_length=None).read_all(20)
    assert caught.value.code == "MaxMessageLengthExceeded"


async def test_framed_without_decoded_length(spool):
    with pytest.raises(S3Error) as caught:
        body([b"0\r\n\r\n"], spool, mode=UNSIGNED)
    assert caught.value.code == "MissingContentLength"


async def test_read_all(spool):
    assert await body([b"ab", b"", b"c"], spool).read_all(3) == b"abc"
    assert await body([], spool).read_all(0) == b""
    with pytest.raises(S3Error):
        await body([b"ab"], spool, md5=bytes(16)).read_all(10)


@pytest.mark.parametrize("size", [1, 70_000, 3 * BATCH_BYTES])
async def test_iteration_withholds_the_end_of_a_corrupt_body(spool, size):
    data = os.urandom(size)
    received = bytearray()
    with pytest.raises(S3Error):
        async with body(pieces(data, 65_536), spool, md5=bytes(16)) as made:
            async for chunk in made:
                received += chunk
    assert len(received) < size
    assert data.startswith(received)


@pytest.mark.parametrize("size", [0, 1000, 100_000, 4 * BATCH_BYTES])
async def test_the_client_leaves(spool, tmp_path, size):
    made = body(pieces(bytes(size), 65_536), spool, disconnect=True, content_length=10 * BATCH_BYTES)
    with pytest.raises(ClientDisconnected):
        async with made:
            await made.seal(str(tmp_path))
    spool.close()
    assert spool.held == 0
    assert list(tmp_path.iterdir()) == []


async def test_cancelled_while_a_thread_writes(tmp_path, monkeypatch):
    """The file stays open until the thread is done with it, and is gone then."""
    entered, leave = threading.Event(), threading.Event()
    real = os.writev

    def slow(fd, buffers):
        entered.set()
        assert leave.wait(30)
        return real(fd, buffers)

    monkeypatch.setattr(os, "writev", slow)
    spool = Spool(1024 * 1024, 16 * 1024 * 1024, threads=1)
    made = body(pieces(bytes(2 * BATCH_BYTES), 65_536), spool)

    async def upload():
        async with made:
            await made.seal(str(tmp_path))

    task = asyncio.create_task(upload())
    await asyncio.to_thread(entered.wait, 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    file = made._writer.finish()[1]
    assert file.fd >= 0
    leave.set()
    await asyncio.to_thread(spool.close)
    assert file.fd == -1
    assert list(tmp_path.iterdir()) == []


async def test_no_more_is_received_than_the_threads_can_take(tmp_path, monkeypatch):
    """Back-pressure: with the disk stuck, two batches are in flight and the client waits."""
    entered, leave = threading.Event(), threading.Event()
    real, received = os.writev, 0

    def stuck(fd, buffers):
        entered.set()
        assert leave.wait(30)
        return real(fd, buffers)

    parts = receiver(pieces(bytes(8 * BATCH_BYTES), 65_536))

    async def counting():
        nonlocal received
        message = await parts()
        received += len(message["body"])
        return message

    monkeypatch.setattr(os, "writev", stuck)
    spool = Spool(1024, 1024)
    made = Body(
        counting,
        mode=PLAIN,
        content_length=8 * BATCH_BYTES,
        decoded_length=None,
        md5=None,
        checksum=None,
        spool=spool,
        limit=2**40,
    )
    async with made:
        task = asyncio.create_task(made.seal(str(tmp_path)))
        await asyncio.to_thread(entered.wait, 30)
        assert received <= 2 * BATCH_BYTES + 65_536
        leave.set()
        assert (await task).size == 8 * BATCH_BYTES
    assert received == 8 * BATCH_BYTES
    spool.close()


@pytest.mark.parametrize("iterate", [False, True])
@pytest.mark.parametrize("packet", [2, 1000, 65_536])
async def test_memory_is_flat(tmp_path, packet, iterate):
    """A body of any size holds two batches at most, however small the packets are."""
    size = 16 * BATCH_BYTES if packet > 2 else BATCH_BYTES // 2
    left = size

    async def receive():
        nonlocal left
        left -= packet
        return {"type": "http.request", "body": bytes(packet), "more_body": left > 0}

    spool = Spool(1024, 1024)
    options = {"mode": PLAIN, "decoded_length": None, "md5": None, "checksum": None, "limit": 2**40}
    tracemalloc.start(1)
    async with Body(receive, content_length=size + -size % packet, spool=spool, **options) as made:
        if iterate:
            assert sum([len(chunk) async for chunk in made]) >= size
        else:
            assert (await made.seal(str(tmp_path))).size >= size
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    spool.close()
    assert peak < 5 * BATCH_BYTES


async def test_iteration_may_be_given_up(spool):
    async with body(pieces(bytes(5 * BATCH_BYTES), 65_536), spool) as made:
        async for _ in made:
            break


async def test_a_full_disk_in_the_middle(spool, tmp_path, monkeypatch):
    real, calls = os.writev, []

    def filling(fd, buffers):
        calls.append(fd)
        if len(calls) > 2:
            raise OSError(errno.ENOSPC, "full")
        return real(fd, buffers)

    monkeypatch.setattr(os, "writev", filling)
    error = await refused(body(pieces(bytes(5 * BATCH_BYTES), 65_536), spool), tmp_path, "ServiceUnavailable")
    assert error.status == 503
