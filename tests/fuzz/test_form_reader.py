"""Forms under arbitrary input (CVE-2018-7262): what was sent comes out, or an S3 error; never anything else."""

import base64
import contextlib
import json

from forms import BOUNDARY, form
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import S3Error
from gateway.form import FormDecoder, boundary_of
from gateway.post_policy import parse_post_policy

CUTS = st.lists(st.integers(1, 300), min_size=1, max_size=20)
NAMES = st.text("abcdefghij-_", min_size=1, max_size=10).filter(lambda name: name != "file")
TOKENS = st.sampled_from(
    [
        b"\r\n",
        b"\n",
        b"\r",
        b"--",
        b"-",
        b":",
        b";",
        b'"',
        b"\\",
        b" ",
        b"\0",
        b"\xff",
        b"x",
        f"--{BOUNDARY}".encode(),
        f"\r\n--{BOUNDARY}--".encode(),
        f"\r\n--{BOUNDARY}\r\n".encode(),
        b'Content-Disposition: form-data; name="key"\r\n\r\n',
        b'Content-Disposition: form-data; name="file"; filename="f"\r\n\r\n',
    ]
)


def run(stream, sizes):
    decoder = FormDecoder(BOUNDARY.encode())
    data, at, turn = b"", 0, 0
    while at < len(stream):
        step = sizes[turn % len(sizes)]
        data += b"".join(decoder.feed(stream[at : at + step]))
        at, turn = at + step, turn + 1
    decoder.finish()
    return decoder.fields, data


@given(st.dictionaries(NAMES, st.text(max_size=50), max_size=6), st.binary(max_size=2000), CUTS)
def test_what_was_sent_comes_out(fields, file, sizes):
    assert run(form(fields, file), sizes) == (fields, file)


@given(st.lists(TOKENS, max_size=40), CUTS)
def test_near_misses(tokens, sizes):
    """The outcome does not depend on how the stream was cut."""

    def outcome(sizes):
        try:
            return run(b"".join(tokens), sizes)
        except S3Error as error:
            assert error.status < 500
            return error.code

    assert outcome(sizes) == outcome([100_000])


@given(st.binary(max_size=600), CUTS)
def test_garbage(stream, sizes):
    with contextlib.suppress(S3Error):
        run(stream, sizes)


@given(st.text(max_size=200))
def test_content_types(value):
    with contextlib.suppress(S3Error):
        boundary_of(f"multipart/form-data;{value}")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.just("2030-01-01T00:00:00Z"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
)


@given(JSON, JSON)
def test_policies(expiration, conditions):
    document = json.dumps({"expiration": expiration, "conditions": conditions}).encode()
    with contextlib.suppress(S3Error):
        parse_post_policy(base64.b64encode(document).decode()).check({"key": "k"}, now=0)


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda data: base64.b64encode(data).decode()))
def test_policy_texts(text):
    with contextlib.suppress(S3Error):
        parse_post_policy(text)
