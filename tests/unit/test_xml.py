"""XML documents: written and read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from backends.base import UNCONDITIONAL, Checksum, ChosenPart, Conditions, Delete, Doomed
from gateway import xml
from gateway.errors import S3Error

NS = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
PRINTABLE = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff")
)


def refused(read, data, code="MalformedXML"):
    with pytest.raises(S3Error) as caught:
        read(data)
    assert caught.value.code == code


@given(PRINTABLE)
def test_text_survives(value):
    top = etree.fromstring(xml.document("A", xml.element("B", value)))
    assert (top[0].text or "") == value


@given(PRINTABLE)
def test_text_survives_our_own_reader(value):
    assert (
        xml.text(xml.parse(xml.document("A", xml.element("B", value + "\r\n\t")), "A"), "B")
        == value + "\r\n\t"
    )


def test_escaping():
    assert xml.escape("plain/key é") == "plain/key é"
    assert xml.escape("<a&b>\r\x01\n") == "&lt;a&amp;b&gt;&#13;&#x1;\n"
    assert xml.escape_all(["a", "b"]) == ["a", "b"]
    assert xml.escape_all(["a", "<"]) == ["a", "&lt;"]


def test_builder():
    built = xml.document(
        "R", xml.element("N", 7), xml.element("T", True), xml.optional("O", None), None, xml.element("E")
    )
    assert built.decode() == f"{xml.XML_DECLARATION}<R {NS}><N>7</N><T>true</T><E></E></R>"
    assert xml.document("R", "<", namespace="").decode() == f"{xml.XML_DECLARATION}<R>&lt;</R>"
    assert xml.element("A", xml.element("B", "&")) == "<A><B>&amp;</B></A>"


@pytest.mark.parametrize(
    "form", ["<Delete>{}</Delete>", f"<Delete {NS}>{{}}</Delete>", '<s:Delete xmlns:s="x">{}</s:Delete>']
)
def test_delete_in_any_namespace(form):
    data = form.format("<!-- c --><Quiet>true</Quiet>\n<Object><Key>a b</Key></Object>").encode()
    assert xml.read_delete(data) == ([Doomed("a b")], True)


def test_delete_with_everything():
    data = """<?xml version="1.0"?><Delete><Object><Key>k&#13;é</Key><VersionId>v</VersionId><ETag>"e"</ETag>
        <LastModifiedTime>1994-11-06T08:49:37Z</LastModifiedTime><Size>5</Size></Object>
        <Object><Key>b</Key><VersionId>null</VersionId></Object></Delete>""".encode()
    doomed, quiet = xml.read_delete(data)
    conditions = Conditions(if_match=("e",), if_modified_time=784111777, if_size=5)
    assert doomed == [Doomed("k\ré", "v", Delete(conditions)), Doomed("b", "null")]
    assert doomed[1].how.conditions is UNCONDITIONAL
    assert not quiet


def objects(count):
    return b"<Delete>" + b"<Object><Key>k</Key></Object>" * count + b"</Delete>"


def test_delete_takes_a_thousand():
    assert len(xml.read_delete(objects(1000))[0]) == 1000
    refused(xml.read_delete, objects(1001))
    refused(xml.read_delete, objects(0))


@pytest.mark.parametrize(
    "data",
    [
        "",
        "x",
        "<Delete>",
        "<Remove><Object><Key>k</Key></Object></Remove>",
        "<Delete><Object></Object></Delete>",
        "<Delete><Object><Key></Key></Object></Delete>",
        "<Delete><Object><Key>a</Key><Key>b</Key></Object></Delete>",
        "<Delete><Object><Key>a<b/></Key></Object></Delete>",
        "<Delete><Object><Key>a</Key><Size>-1</Size></Object></Delete>",
        "<Delete><Object><Key>a</Key><LastModifiedTime>soon</LastModifiedTime></Object></Delete>",
        "<Delete><Quiet>true</Quiet><Quiet>true</Quiet><Object><Key>a</Key></Object></Delete>",
    ],
)
def test_malformed_delete(data):
    refused(xml.read_delete, data.encode())


def test_complete():
    data = f"""<CompleteMultipartUpload {NS}><Part><ETag>"aa"</ETag><PartNumber>1</PartNumber></Part>
        <Part><PartNumber>2</PartNumber><ETag>&quot;bb&quot;</ETag><ChecksumCRC32C>AAAAAA==</ChecksumCRC32C></Part>
        </CompleteMultipartUpload>"""
    assert xml.read_complete(data.encode()) == [
        ChosenPart(1, "aa"),
        ChosenPart(2, "bb", Checksum("CRC32C", "AAAAAA==")),
    ]


def complete(*parts):
    return f"<CompleteMultipartUpload>{''.join(f'<Part>{part}</Part>' for part in parts)}</CompleteMultipartUpload>".encode()


@pytest.mark.parametrize(
    "data",
    [
        complete(),
        complete("<PartNumber>1</PartNumber>"),
        complete("<ETag>a</ETag>"),
        complete(*["<ETag>a</ETag><PartNumber>1</PartNumber>"] * 10_001),
    ],
)
def test_malformed_complete(data):
    refused(xml.read_complete, data)


@pytest.mark.parametrize(
    "part",
    [
        "<PartNumber>0</PartNumber>",
        "<PartNumber>10001</PartNumber>",
        "<PartNumber>one</PartNumber>",
        "<PartNumber>1</PartNumber><ChecksumCRC32>AAAA</ChecksumCRC32>",
        "<PartNumber>1</PartNumber><ChecksumCRC32>AAAAAA==</ChecksumCRC32><ChecksumCRC32C>AAAAAA==</ChecksumCRC32C>",
    ],
)
def test_complete_with_a_value_that_is_none(part):
    refused(xml.read_complete, complete(f"<ETag>a</ETag>{part}"), "InvalidArgument")


def test_complete_takes_ten_thousand_parts():
    lines = [
        f"<PartNumber>{n}</PartNumber><ETag>{'a' * 32}</ETag><ChecksumSHA256>{'A' * 43}=</ChecksumSHA256>"
        for n in range(1, 10_001)
    ]
    assert len(xml.read_complete(complete(*lines))) == 10_000


def test_location():
    root = "CreateBucketConfiguration"
    assert xml.read_create_bucket(b"") == (None, [])
    assert xml.read_create_bucket(f"<{root} {NS}/>".encode()) == (None, [])
    location = f"<{root}><LocationConstraint> eu-west-1 </LocationConstraint><Tags><Tag/></Tags></{root}>"
    found, tags = xml.read_create_bucket(location.encode())
    assert (found, [tag.name for tag in tags]) == ("eu-west-1", ["Tags"])
    refused(xml.read_create_bucket, b"<Other/>")
    refused(xml.read_create_bucket, f"<{root}><Bucket/></{root}>".encode(), "NotImplemented")
