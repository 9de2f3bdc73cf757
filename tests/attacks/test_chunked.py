"""Attacks through the framing of aws-chunked bodies. Each is refused, and no byte of the framing becomes data."""

import os

import pytest
from bodies import SEED, Framer, body, chain, pieces

from auth.identity import BodyMode
from gateway.checksums import ExpectedChecksum
from gateway.chunked import MAX_HEADER_BYTES, MAX_TRAILER_BYTES, ChunkDecoder
from gateway.errors import S3Error
from gateway.spool import Spool

BIG = b"d" * 8192
CRC = "x-amz-checksum-crc32"


def decode(stream, *, length, size=7, signed=True, trailer=False, announced=None):
    """All of the object's bytes, with the stream cut into small pieces."""
    verifier = chain() if signed else None
    decoder = ChunkDecoder(length=length, verifier=verifier, trailer=trailer, announced=announced)
    data = b"".join(bytes(piece) for part in pieces(stream, size) for piece in decoder.feed(part))
    return data, decoder.finish()


def refused(stream, code, **options):
    for size in (1, 7, 10_000):
        with pytest.raises(S3Error) as caught:
            decode(stream, size=size, **options)
        assert caught.value.code == code
        assert 400 <= caught.value.status < 500


def test_the_published_example():
    """https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html"""
    signatures = [
        "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
        "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
        "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
    ]
    chunks = [b"a" * 65_536, b"a" * 1024, b""]
    stream = b"".join(
        f"{len(data):x};chunk-signature={signature}\r\n".encode() + data + b"\r\n"
        for data, signature in zip(chunks, signatures, strict=True)
    )
    assert len(stream) == 66_824
    assert decode(stream, length=66_560, size=1000) == (b"a" * 66_560, None)


def test_the_published_example_with_a_trailer():
    """https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html"""
    signatures = [
        "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
        "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
        "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
    ]
    chunks = [b"a" * 65_536, b"a" * 1024, b""]
    stream = b"".join(
        f"{len(data):x};chunk-signature={signature}\r\n".encode() + data + (b"\r\n" if data else b"")
        for data, signature in zip(chunks, signatures, strict=True)
    )
    end = "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435"
    seed = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e"
    for eol in ("\r\n", "\n\r\n"):
        lines = f"x-amz-checksum-crc32c:sOO8/Q=={eol}x-amz-trailer-signature:{end}\r\n\r\n"
        decoder = ChunkDecoder(
            length=66_560, verifier=chain(seed), trailer=True, announced="x-amz-checksum-crc32c"
        )
        data = b"".join(bytes(piece) for piece in decoder.feed(stream + lines.encode()))
        assert data == b"a" * 66_560
        assert decoder.finish() == "sOO8/Q=="


@pytest.mark.parametrize("end", ["\r\n", "\n\r\n"])
def test_a_trailer_as_clients_write_it(end):
    framer = Framer()
    stream = framer.chunk(b"abc") + framer.chunk(b"") + framer.trailer(f"{CRC}:AAAAAA==", end=end)
    assert decode(stream, length=3, trailer=True, announced=CRC) == (b"abc", "AAAAAA==")


@pytest.mark.parametrize(
    "header",
    [
        b"3",  # no line end within the bound
        b"3\n",
        b"3\r",
        b"-3\r\n",
        b"+3\r\n",
        b"0x3\r\n",
        b" 3\r\n",
        b"3 \r\n",
        b"3;\r\n",
        b"3;name=value\r\n",
        b"3;chunk-signature=" + SEED.encode() + b"\r\n",
        b"\r\n",
        b"g\r\n",
        "٣\r\n".encode(),
        b"1_0\r\n",
        b"00000000000000003\r\n",
        b"3\x00\r\n",
    ],
)
def test_malformed_chunk_headers(header):
    refused(header + b"abc\r\n0\r\n\r\n" + b"x" * MAX_HEADER_BYTES, "IncompleteBody", length=3, signed=False)


@pytest.mark.parametrize(
    "header",
    [
        b"3\r\n",
        b"3;chunk-signature=\r\n",
        b"3;chunk-signature=" + SEED.encode()[:-1] + b"\r\n",
        b"3;chunk-signature=" + SEED.encode() + b";chunk-signature=" + SEED.encode() + b"\r\n",
        b"3;chunk-signature=" + SEED.encode() + b"0\r\n",
        b"3;CHUNK-SIGNATURE=" + SEED.encode() + b"\r\n",
    ],
)
def test_malformed_signed_headers(header):
    refused(header + b"abc\r\n", "IncompleteBody", length=3)


def test_an_endless_chunk_header_is_not_collected():
    decoder = ChunkDecoder(length=10**9)
    with pytest.raises(S3Error):
        for _ in range(MAX_HEADER_BYTES + 1):
            decoder.feed(b"1")
    assert len(decoder._line) <= MAX_HEADER_BYTES


@pytest.mark.parametrize("size", [b"4", b"ffffffff", b"7fffffffffffffff", b"ffffffffffffffff"])
def test_a_chunk_of_more_than_the_decoded_length(size):
    refused(size + b"\r\nabcd", "IncompleteBody", length=3, signed=False)


def test_more_chunks_than_the_decoded_length():
    refused(Framer(signed=False).frame([b"ab", b"cd"]), "IncompleteBody", length=3, signed=False)


@pytest.mark.parametrize("cut", [0, 1, 2, 5, 20, 88, 89, 90, 91, 92, 100, 170])
def test_a_stream_that_stops_anywhere(cut):
    stream = Framer().frame([b"abc"])
    refused(stream[:cut], "IncompleteBody", length=3)
    assert cut < len(stream)


def test_every_truncation_is_refused():
    stream = Framer().frame([b"abc"], f"{CRC}:AAAAAA==", trailer=True)
    for cut in range(len(stream)):
        with pytest.raises(S3Error):
            decode(stream[:cut], length=3, trailer=True, announced=CRC, size=50)


def test_every_flipped_byte_is_refused():
    stream = Framer().frame([BIG, b"abc"], f"{CRC}:AAAAAA==", trailer=True)
    near = [*range(100), *range(8190, len(stream))]
    for at in near:
        broken = stream[:at] + bytes([stream[at] ^ 1]) + stream[at + 1 :]
        with pytest.raises(S3Error):
            data, value = decode(broken, length=8195, trailer=True, announced=CRC, size=4096)
            assert (data, value) == (BIG + b"abc", "AAAAAA==")  # the case of a hexadecimal digit or a name
            raise AssertionError(at)


def test_fewer_bytes_than_the_decoded_length():
    refused(Framer().frame([b"abc"]), "IncompleteBody", length=4)


@pytest.mark.parametrize(
    ("stream", "length", "message"),
    [
        (b"A\r\ndummy data\r\n0\r\n", 10, "terminated unexpectedly"),
        (b"A\r\ndummy data\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n", 10, "terminated unexpectedly"),
        (b"A\r\ndummy data0\r\n\r\n", 10, "terminated unexpectedly"),
        (b"A\r\nXYZ\r\ndummy data\r\n0\r\n\r\n", 10, "terminated unexpectedly"),
        (b"J\r\n\r\n", 10, "terminated unexpectedly"),
        (b"A\r\ndummy data\r\n0\r\n\r\n", 5, "number of bytes"),
        (b"A\r\ndummy data\r\n0\r\n\r\n", 128, "number of bytes"),
    ],
)
def test_an_incomplete_body_says_whether_framing_or_size_is_wrong(stream, length, message):
    with pytest.raises(S3Error, match=message) as caught:
        decode(stream, length=length, signed=False, trailer=True)
    assert (caught.value.status, caught.value.code) == (400, "IncompleteBody")


def test_no_line_end_after_the_data():
    refused(b"3\r\nabcd\r\n0\r\n\r\n", "IncompleteBody", length=4, signed=False)
    refused(b"3\r\nabc\n0\r\n\r\n", "IncompleteBody", length=3, signed=False)


def test_bytes_after_the_end():
    refused(Framer().frame([b"abc"]) + b"x", "IncompleteBody", length=3)
    refused(Framer().frame([b"abc"]) + b"GET / HTTP/1.1\r\n\r\n", "IncompleteBody", length=3)
    stream = Framer(signed=False).frame([b"abc"], f"{CRC}:AAAAAA==", trailer=True)
    refused(stream + b"x", "IncompleteBody", length=3, signed=False, trailer=True, announced=CRC)


def test_a_forged_chunk():
    refused(Framer().frame([BIG]).replace(b"ddd", b"eee", 1), "SignatureDoesNotMatch", length=8192)


def test_chunks_in_another_order():
    framer = Framer()
    first, second, last = framer.chunk(BIG), framer.chunk(b"e" * 8192), framer.chunk(b"")
    refused(second + first + last + b"\r\n", "SignatureDoesNotMatch", length=16_384)


def test_a_chunk_left_out():
    framer = Framer()
    _, second, last = framer.chunk(BIG), framer.chunk(b"e" * 8192), framer.chunk(b"")
    refused(second + last + b"\r\n", "SignatureDoesNotMatch", length=8192)


def test_a_chunk_repeated():
    framer = Framer()
    first, last = framer.chunk(BIG), framer.chunk(b"")
    refused(first + first + last + b"\r\n", "SignatureDoesNotMatch", length=16_384)


def test_an_end_that_nobody_signed():
    refused(
        Framer().chunk(b"abc") + b"0;chunk-signature=" + SEED.encode() + b"\r\n\r\n",
        "SignatureDoesNotMatch",
        length=3,
    )


def test_a_small_chunk_in_the_middle():
    refused(Framer().frame([b"abc", b"def"]), "InvalidChunkSizeError", length=6)
    assert decode(Framer().frame([BIG, b"def"]), length=8195)[0] == BIG + b"def"
    stream = Framer().frame([b"abc", b"def"], trailer=True)
    assert decode(stream, length=6, trailer=True)[0] == b"abcdef"


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["x-amz-checksum-sha1:AAAAAA=="],
        [f"{CRC}:AAAAAA==", f"{CRC}:AAAAAA=="],
        [f"{CRC}:AAAAAA==", f"{CRC.upper()}:AAAAAB=="],
        [f"{CRC}:AAAAAA==", "x-amz-meta-a:b"],
        [f"{CRC}:AAAAAA==", "content-type:text/html"],
        [f"{CRC} :AAAAAA=="],
        [f"{CRC}"],
        [":AAAAAA=="],
        [f"{CRC}:AAAAAA==\rX"],
        [f"{CRC}:" + "A" * MAX_TRAILER_BYTES],
    ],
)
@pytest.mark.parametrize("signed", [True, False])
def test_trailers_that_were_not_announced(lines, signed):
    stream = Framer(signed=signed).frame([b"abc"], *lines, trailer=True)
    refused(stream, "MalformedTrailerError", length=3, signed=signed, trailer=True, announced=CRC)


def test_a_trailer_where_none_was_announced():
    stream = Framer(signed=False).frame([b"abc"], f"{CRC}:AAAAAA==", trailer=True)
    refused(stream, "MalformedTrailerError", length=3, signed=False, trailer=True)
    refused(stream, "IncompleteBody", length=3, signed=False)


def test_an_endless_trailer_is_not_collected():
    decoder = ChunkDecoder(length=0, trailer=True, announced=CRC)
    decoder.feed(b"0\r\n")
    with pytest.raises(S3Error):
        for _ in range(100):
            decoder.feed(b"x" * 1000)
    assert len(decoder._line) <= 2 * MAX_TRAILER_BYTES


def test_a_signed_trailer_needs_its_signature():
    framer = Framer()
    data = framer.chunk(b"abc") + framer.chunk(b"")
    line = f"{CRC}:AAAAAA==\r\n"
    options = {"length": 3, "trailer": True, "announced": CRC}
    refused(data + f"{line}\r\n".encode(), "IncompleteBody", **options)
    refused(data + f"{line}x-amz-invalid-signature:{SEED}\r\n\r\n".encode(), "IncompleteBody", **options)
    refused(data + f"{line}x-amz-trailer-signature:{SEED}0\r\n\r\n".encode(), "IncompleteBody", **options)
    forged = f"{line}x-amz-trailer-signature:{SEED}\r\n\r\n".encode()
    refused(data + forged, "SignatureDoesNotMatch", **options)
    early = f"x-amz-trailer-signature:{SEED}\r\n{line}\r\n".encode()
    refused(data + early, "IncompleteBody", **options)


@pytest.mark.parametrize("size", [9000, 3_000_000])
async def test_a_forged_body_leaves_nothing(tmp_path, size):
    """Small in memory, large in a file: the last chunk is forged, and nothing is sealed or left."""
    spool = Spool(1024 * 1024, 16 * 1024 * 1024)
    data = os.urandom(size)
    stream = bytearray(Framer().frame(pieces(data, 65_536)))
    stream[-200] ^= 1
    made = body(
        pieces(bytes(stream), 65_536),
        spool,
        mode=BodyMode(chunked=True, chunks=chain()),
        decoded_length=size,
        checksum=ExpectedChecksum("CRC64NVME"),
    )
    with pytest.raises(S3Error) as caught:
        async with made:
            await made.seal(str(tmp_path))
    assert caught.value.code == "SignatureDoesNotMatch"
    spool.close()
    assert spool.held == 0
    assert list(tmp_path.iterdir()) == []
