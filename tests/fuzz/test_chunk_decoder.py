"""The chunk decoder under arbitrary input: the data itself, or an S3 error; never anything else."""

import contextlib

from bodies import Framer, chain
from hypothesis import given
from hypothesis import strategies as st

from gateway.chunked import ChunkDecoder
from gateway.errors import S3Error

CUTS = st.lists(st.integers(1, 300), min_size=1, max_size=20)


def cut(stream, sizes):
    """The stream in pieces of these sizes, over and over."""
    at, turn = 0, 0
    while at < len(stream):
        step = sizes[turn % len(sizes)]
        yield stream[at : at + step]
        at, turn = at + step, turn + 1


def run(decoder, stream, sizes):
    data = b"".join(bytes(piece) for part in cut(stream, sizes) for piece in decoder.feed(part))
    return data, decoder.finish()


@given(st.lists(st.binary(min_size=1, max_size=500), max_size=6), CUTS, st.booleans())
def test_what_was_framed_comes_out(chunks, sizes, signed):
    """With a trailer small chunks are allowed, so any division into chunks and packets is."""
    stream = Framer(signed=signed).frame(chunks, "x-amz-checksum-crc32:AAAAAA==", trailer=True)
    data = b"".join(chunks)
    decoder = ChunkDecoder(
        length=len(data),
        verifier=chain() if signed else None,
        trailer=True,
        announced="x-amz-checksum-crc32",
    )
    assert run(decoder, stream, sizes) == (data, "AAAAAA==")


@given(st.binary(max_size=600), CUTS, st.integers(0, 50), st.booleans(), st.booleans())
def test_garbage(stream, sizes, length, signed, trailer):
    decoder = ChunkDecoder(length=length, verifier=chain() if signed else None, trailer=trailer)
    with contextlib.suppress(S3Error):
        data, _ = run(decoder, stream, sizes)
        assert len(data) == length


TOKENS = st.sampled_from(
    [b"\r\n", b"\n", b"\r", b"0", b"3", b"a", b"abc", b":", b";", b"x-amz-checksum-crc32:AAAAAA=="]
)


@given(st.lists(TOKENS, max_size=30), CUTS, st.integers(0, 20), st.booleans())
def test_near_misses(tokens, sizes, length, trailer):
    """Input close to the grammar: the outcome does not depend on how the stream was cut."""

    def outcome(sizes):
        decoder = ChunkDecoder(
            length=length, trailer=trailer, announced="x-amz-checksum-crc32" if trailer else None
        )
        try:
            return run(decoder, b"".join(tokens), sizes)
        except S3Error as error:
            return error.code

    assert outcome(sizes) == outcome([10_000])


@given(st.lists(st.binary(min_size=1, max_size=200), min_size=1, max_size=3), st.data())
def test_a_changed_byte_never_changes_signed_data(chunks, choice):
    stream = bytearray(Framer().frame(chunks, trailer=True))
    at = choice.draw(st.integers(0, len(stream) - 1))
    stream[at] = choice.draw(st.integers(0, 255))
    data = b"".join(chunks)
    decoder = ChunkDecoder(length=len(data), verifier=chain(), trailer=True)
    with contextlib.suppress(S3Error):
        assert run(decoder, bytes(stream), [64])[0] == data
