"""Reading multipart/form-data: what a form says comes out, whatever the packets; anything else is refused."""

import asyncio

import pytest
from forms import BOUNDARY, form, part
from refusals import refused

from gateway.form import MAX_FIELDS_BYTES, Form, FormDecoder, boundary_of

END = f"--{BOUNDARY}--".encode()


def decode(body, step=0):
    decoder = FormDecoder(BOUNDARY.encode())
    step = step or len(body) or 1
    pieces = [piece for at in range(0, len(body), step) for piece in decoder.feed(body[at : at + step])]
    decoder.finish()
    return decoder, b"".join(pieces)


@pytest.mark.parametrize("step", [0, 1, 2, 3, 7, 64])
def test_fields_and_file_come_out_however_the_packets_are_cut(step):
    file = b"\r\n--" + BOUNDARY[:-1].encode() + b"\r\n\r\r\n-" * 3
    decoder, data = decode(form({"key": "k", "Content-Type": "text/plain", "e": ""}, file), step)
    assert data == file
    assert decoder.fields == {"key": "k", "content-type": "text/plain", "e": ""}
    assert decoder.filename == "a.txt"
    assert decoder.closed


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        ("C:\\dir\\a.txt", "a.txt"),
        ("/etc/passwd", "passwd"),
        ('a\\"b', 'a"b'),
        ("ä ö.txt", "ä ö.txt"),
        ("", ""),
    ],
)
def test_the_file_is_called_by_its_last_name(sent, name):
    assert decode(form({"key": "k"}, filename=sent))[0].filename == name


def test_preamble_blanks_after_boundaries_and_epilogue_are_allowed():
    body = b"preamble\r\n" + form({"key": "k"}).replace(
        BOUNDARY.encode() + b"\r\n", BOUNDARY.encode() + b" \t\r\n"
    )
    assert decode(body + b"epilogue")[1] == b"content"


def test_fields_below_the_file_are_ignored():
    decoder, data = decode(form({"key": "k"}, after=[("submit", "Upload"), ("key", "other")]))
    assert (data, decoder.fields) == (b"content", {"key": "k"})


def test_any_header_order_and_parameter_spelling():
    head = f"--{BOUNDARY}\r\ncontent-type: text/html\r\nCONTENT-DISPOSITION:form-data ;filename=x ; NAME=FiLe\r\n\r\n"
    decoder, data = decode(head.encode() + b"data\r\n" + END)
    assert (data, decoder.filename) == (b"data", "x")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no boundary at all",
        form({"key": "k"})[:-6],
        form({"key": "k"}).replace(END, b""),
        form({"key": "k"}).replace(b"form-data; name=", b"attachment; name="),
        form({"key": "k"}).replace(b'name="key"', b""),
        form({"key": "k"}).replace(b'name="key"', b'name=""'),
        form({"key": "k"}).replace(b'name="key"', b'name="key"; name="acl"'),
        form({"key": "k"}).replace(b'name="key"', b'name="key'),
        form({"key": "k"}).replace(b"Content-Type:", b"Content Type:"),
        form({"key": "k"}).replace(b"Content-Type:", b"Content-Disposition:"),
        form({"key": "k"}).replace(b"Content-Type: text/plain", b"Content-Transfer-Encoding: base64"),
        form({"key": "k"}).replace(BOUNDARY.encode() + b"\r\n", BOUNDARY.encode() + b"X\r\n"),
        part("key", b"\xff\xfe") + part("file", b"x") + END,
        b"--" + BOUNDARY.encode() + b"\r\n\r\nvalue without headers\r\n\r\n" + END,
    ],
)
def test_malformed_forms(body):
    with refused("MalformedPOSTRequest"):
        decode(body)


def test_a_field_twice_a_file_twice_no_file():
    with refused("InvalidArgument", ArgumentName="key"):
        decode(form([("key", "a"), ("KEY", "b")]))
    with refused("IncorrectNumberOfFilesInPostRequest"):
        decode(form({"key": "k"}, after=[("File", "second")]))
    with refused("InvalidArgument", ArgumentName="file", ArgumentValue=0):
        decode(form({"key": "k"}, None))


@pytest.mark.parametrize("step", [0, 1000])
def test_what_surrounds_the_file_is_bounded(step):
    long = "v" * MAX_FIELDS_BYTES
    with refused("MaxPostPreDataLengthExceededError"):
        decode(form({"key": long}), step)
    with refused("MaxPostPreDataLengthExceededError"):
        decode(form([(f"f{number}", "") for number in range(1000)]), step)
    with refused("MaxPostPreDataLengthExceededError"):
        decode(part("file", b"x", filename=long), step)
    with refused("MaxPostPreDataLengthExceededError"):
        decode(b"p" * (MAX_FIELDS_BYTES + 1) + form({"key": "k"}), step)
    with refused("MalformedPOSTRequest"):
        decode(form({"key": "k"}, after=[("after", long)]), step)
    with refused("MalformedPOSTRequest"):
        decode(form({"key": "k"}) + long.encode(), step)


def test_the_documented_size_fits():
    value = "v" * (MAX_FIELDS_BYTES - len(form({"key": ""}, b"")) - 2)
    assert decode(form({"key": value}, b"x" * 100_000))[0].fields["key"] == value


@pytest.mark.parametrize(
    ("value", "boundary"),
    [
        ("multipart/form-data; boundary=abc", b"abc"),
        ('Multipart/Form-Data ; charset=utf-8; Boundary="a b:c"', b"a b:c"),
        (f"multipart/form-data; boundary={'x' * 70};", b"x" * 70),
    ],
)
def test_boundaries(value, boundary):
    assert boundary_of(value) == boundary


@pytest.mark.parametrize(
    "value",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary=""',
        'multipart/form-data; boundary="a "',
        f"multipart/form-data; boundary={'x' * 71}",
        "multipart/form-data; boundary=a; boundary=b",
        "multipart/form-data; boundary=a\xe4",
        "multipart/form-data; =",
    ],
)
def test_impossible_boundaries(value):
    with refused("MalformedPOSTRequest"):
        boundary_of(value)


@pytest.mark.parametrize(
    "value", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-dataX"]
)
def test_another_type_is_no_form(value):
    with refused("PreconditionFailed"):
        boundary_of(value)


class Packets:
    """A source of these packets."""

    def __init__(self, *packets):
        self._packets = list(packets)
        self.more = True

    async def next_chunk(self):
        data = self._packets.pop(0)
        self.more = bool(self._packets)
        return data


def read(source, least=0, most=None):
    async def run():
        reader = Form(source, BOUNDARY.encode())
        fields, _ = await reader.begin()
        if most is not None:
            reader.limit(least, most)
        data, more = b"", True
        while more:
            message = await reader.receive()
            data, more = data + message["body"], message["more_body"]
        return fields, data

    return asyncio.run(run())


def cut(body, size):
    return [body[at : at + size] for at in range(0, len(body), size)]


@pytest.mark.parametrize("size", [1, 50, 100_000])
def test_the_file_passes_as_messages(size):
    file = bytes(range(256)) * 40
    assert read(Packets(*cut(form({"key": "k"}, file), size))) == ({"key": "k"}, file)


@pytest.mark.parametrize("size", [1, 100_000])
def test_a_form_that_ends_early_never_ends_well(size):
    with refused("MalformedPOSTRequest"):
        read(Packets(*cut(form({"key": "k"})[:-5], size)))


@pytest.mark.parametrize("size", [1, 100_000])
def test_limits_of_the_file(size):
    packets = cut(form({"key": "k"}, b"12345"), size)
    assert read(Packets(*packets), 5, 5)[1] == b"12345"
    with refused("EntityTooSmall", MinSizeAllowed=6):
        read(Packets(*packets), 6, 9)
    with refused("EntityTooLarge", MaxSizeAllowed=4):
        read(Packets(*packets), 0, 4)
