"""The XML readers under arbitrary input: values, or an S3 error; never anything else."""

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from gateway import xml
from gateway.errors import S3Error

READERS = (xml.read_delete, xml.read_complete, xml.read_create_bucket)
NAMES = [
    "Delete",
    "Object",
    "Key",
    "Quiet",
    "Size",
    "ETag",
    "Part",
    "PartNumber",
    "CompleteMultipartUpload",
    "Tags",
]
TOKENS = st.sampled_from(
    [f"<{name}>" for name in NAMES]
    + [f"</{name}>" for name in NAMES]
    + [
        "<!DOCTYPE a>",
        "<!--",
        "-->",
        "<![CDATA[",
        "]]>",
        "&amp;",
        "&x;",
        "&#13;",
        "<?a b?>",
        "1",
        "true",
        "é",
        "\0",
    ]
)
TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff"),
    min_size=1,
)


def read(data):
    for reader in READERS:
        with contextlib.suppress(S3Error):
            reader(data)


@given(st.binary(max_size=400))
def test_garbage(data):
    read(data)


@given(
    st.lists(TOKENS, max_size=40),
    st.sampled_from(["Delete", "CompleteMultipartUpload", "CreateBucketConfiguration"]),
)
def test_near_misses(tokens, root):
    inner = "".join(tokens)
    read(inner.encode())
    read(f"<{root}>{inner}</{root}>".encode())


@given(st.lists(TEXT, min_size=1, max_size=20))
def test_keys_come_out_as_they_were(keys):
    entries = [xml.element("Object", xml.element("Key", key)) for key in keys]
    doomed, _ = xml.read_delete(xml.document("Delete", *entries))
    assert [entry.key for entry in doomed] == keys
