"""Attacks through XML bodies: refused as the client's fault, with flat memory."""

import tracemalloc

import pytest

from gateway import xml
from gateway.errors import S3Error

READERS = {
    "Delete": xml.read_delete,
    "CompleteMultipartUpload": xml.read_complete,
    "CreateBucketConfiguration": xml.read_create_bucket,
}
FLAT = 40 * 1024 * 1024

BOMB = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))


@pytest.fixture(params=READERS)
def root(request):
    return request.param


def refused(root, data):
    """The answer to the document; it takes no memory to speak of beyond the document."""
    tracemalloc.start()
    try:
        with pytest.raises(S3Error) as caught:
            READERS[root](data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert caught.value.status in {400, 501}
    assert peak < FLAT
    return str(caught.value) + str(caught.value.fields)


@pytest.mark.parametrize("form", ["SYSTEM", "PUBLIC 'p'"])
def test_external_entity(root, tmp_path, form):
    """CVE-2022-47950: a file's content in the answer."""
    secret = tmp_path / "secret"
    secret.write_text("the-secret")
    doctype = f'<!DOCTYPE {root} [<!ENTITY x {form} "file://{secret}">]>'
    inner = "<Object><Key>&x;</Key></Object><LocationConstraint>&x;</LocationConstraint>"
    assert "the-secret" not in refused(root, f"{doctype}<{root}>{inner}</{root}>".encode())


def test_external_subset(root, tmp_path):
    (tmp_path / "evil.dtd").write_text('<!ENTITY x "expanded">')
    doctype = f'<!DOCTYPE {root} SYSTEM "file://{tmp_path}/evil.dtd">'
    assert "expanded" not in refused(root, f"{doctype}<{root}>&x;</{root}>".encode())


def test_parameter_entity(root):
    doctype = f'<!DOCTYPE {root} [<!ENTITY % p SYSTEM "http://127.0.0.1:9/x"> %p;]>'
    refused(root, f"{doctype}<{root}/>".encode())


def test_billion_laughs(root):
    refused(root, f'<!DOCTYPE {root} [<!ENTITY e0 "ha">{BOMB}]><{root}>&e11;</{root}>'.encode())


def test_a_doctype_alone(root):
    refused(root, f"<!DOCTYPE {root}><{root}/>".encode())


def test_another_encoding_hides_nothing(root):
    for encoding in ("utf-16", "utf-16-le", "utf-32", "utf-7"):
        refused(root, f"<?xml version='1.0' encoding='{encoding}'?><!DOCTYPE a><{root}/>".encode(encoding))


def test_xinclude_is_not_followed(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("the-secret")
    include = f'<i:include xmlns:i="http://www.w3.org/2001/XInclude" parse="text" href="file://{secret}"/>'
    assert "the-secret" not in refused(
        "Delete", f"<Delete><Object><Key>{include}</Key></Object></Delete>".encode()
    )


def test_ten_megabytes(root):
    refused(root, f"<{root}>{'x' * 10_000_000}</{root}>".encode())


def test_a_million_elements(root):
    refused(root, f"<{root}>{'<a/>' * 1_000_000}</{root}>".encode())
    refused(root, f"<{root}>{'<a/>' * 500_000}</{root}>".encode())


def test_many_attributes(root):
    attributes = " ".join(f'a{n}="{n}"' for n in range(100_000))
    refused(root, f"<{root}><{root} {attributes}/></{root}>".encode())


def test_many_namespaces(root):
    inner = "".join(f'<a xmlns:n{n}="{n}"/>' for n in range(100_000))
    refused(root, f"<{root}>{inner}</{root}>".encode())


def test_deep_nesting(root):
    refused(root, b"<a>" * 100_000)
    depth = 200
    refused(root, (f"<{root}>" + "<Part>" * depth + "</Part>" * depth + f"</{root}>").encode())


def test_hostile_names_are_not_remembered():
    """libxml2 keeps every name it has seen; here the second round costs no more memory than the first."""

    def round_of(number):
        names = "".join(f"<n{number}x{n}/>" for n in range(20_000))
        with pytest.raises(S3Error):
            xml.read_delete(f"<Delete>{names}</Delete>".encode())

    round_of(0)
    tracemalloc.start()
    for number in range(1, 4):
        round_of(number)
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert kept < 1024 * 1024


@pytest.mark.parametrize(
    "key",
    [
        b"\xff\xfe",
        b"\xc0\xaf",
        b"\xed\xa0\x80",
        b"\xf5\x80\x80\x80",
        b"a\0b",
        b"&#0;",
        b"&#1;",
        b"&#xD800;",
        b"&x;",
        b"\x01",
    ],
)
def test_bytes_that_are_no_xml(key):
    refused("Delete", b"<Delete><Object><Key>" + key + b"</Key></Object></Delete>")


def test_line_ends_in_keys_are_data():
    """A carriage return only by reference, as XML has it; in an answer it is a reference again."""
    doomed, _ = xml.read_delete(b"<Delete><Object><Key>a&#13;&#10;b\r\nc</Key></Object></Delete>")
    assert doomed[0].key == "a\r\nb\nc"
    assert xml.element("Key", doomed[0].key) == "<Key>a&#13;\nb\nc</Key>"


def test_markup_in_a_key_stays_text():
    doomed, _ = xml.read_delete(b"<Delete><Object><Key><![CDATA[</Key><Key>x]]></Key></Object></Delete>")
    assert doomed[0].key == "</Key><Key>x"
    assert xml.element("Key", doomed[0].key) == "<Key>&lt;/Key&gt;&lt;Key&gt;x</Key>"


def test_names_with_a_brace_are_no_namespace():
    refused("Delete", b"<x}Delete/>")


def test_an_empty_document(root):
    if root != "CreateBucketConfiguration":
        refused(root, b"")
    refused(root, b"\0")
