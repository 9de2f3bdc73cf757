"""Keys are opaque: whatever S3 allows is an object of its own, and comes back from every listing."""

from typing import Any
from xml.etree import ElementTree as ET

import pytest
from harness import Gateway, refusal
from wire import Signer, send

FAMILY = [
    "a",
    "a/",
    "a/b",
    "a//b",
    "a/./b",
    "a/../b",
    "/a",
    "//a",
    "./x",
    "../x",
    "..",
    ".",
    "x/..",
    "a\\b",
    "a%2Fb",
    "a%252Fb",
    "a+b",
    "a b",
    " a",
    "a ",
    "A",
    "é",
    "e\u0301",
    "日本語/キー",
    "😀",
    "\U0001d4b3",
    "quote\"'",
    "<xml>&amp;",
    "?query=1&b",
    "#fragment",
    "semi;colon,comma",
    "tab\tnewline\nreturn\r",
    "\x01\x1f\x7f",
    "\ufffe",
    "healthz",
    "~tilde*star!",
    "con.jsonl-wal",
    "x" * 1024,
    "ü" * 512,
    "/" * 1024,
    "d/" * 511 + "ee",
]
TOO_LONG = ["x" * 1025, "ü" * 512 + "x", "€" * 342]


def test_all_of_them_at_once(s3: Any, bucket: str) -> None:
    """Written together, read, listed (boto3 asks for encoding-type=url), and deleted one by one."""
    for number, key in enumerate(FAMILY):
        s3.put_object(Bucket=bucket, Key=key, Body=str(number).encode())
    listed = [one["Key"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert listed == sorted(FAMILY, key=str.encode)
    assert [one["Key"] for one in s3.list_objects(Bucket=bucket)["Contents"]] == listed
    for number, key in enumerate(FAMILY):
        with s3.get_object(Bucket=bucket, Key=key)["Body"] as stream:
            assert stream.read() == str(number).encode(), repr(key)
        assert s3.head_object(Bucket=bucket, Key=key)["ContentLength"] == len(str(number))
    without_control = [key for key in FAMILY if key.isprintable()]
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in without_control]})
    left = [one["Key"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert left == sorted(set(FAMILY) - set(without_control), key=str.encode)
    for key in left:
        s3.delete_object(Bucket=bucket, Key=key)
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


@pytest.mark.parametrize("key", TOO_LONG)
def test_too_long(s3: Any, bucket: str, key: str) -> None:
    assert refusal(s3.put_object, Bucket=bucket, Key=key, Body=b"v") == (400, "KeyTooLongError")


def test_multipart_of_odd_keys(s3: Any, bucket: str) -> None:
    for key in ("a//b", "a/../b", " ?&=%2F+", "ü\n"):
        made = s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
        where = {"Bucket": bucket, "Key": key, "UploadId": made}
        etag = s3.upload_part(**where, PartNumber=1, Body=b"v")["ETag"]
        assert [one["Key"] for one in s3.list_multipart_uploads(Bucket=bucket)["Uploads"]] == [key]
        s3.complete_multipart_upload(**where, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]})
        with s3.get_object(Bucket=bucket, Key=key)["Body"] as stream:
            assert stream.read() == b"v"


def test_a_listing_without_encoding_is_well_formed_xml(
    gateway: Gateway, s3: Any, bucket: str, signer: Signer
) -> None:
    """What XML 1.0 can hold comes back; what it cannot must not make the document unreadable for the rest."""
    for key in ("<&>\"'", "tab\tkey", "😀"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"v")
    answer = send(gateway.port, "GET", f"/{bucket}?list-type=2", signer=signer)
    keys = [one.text for one in ET.fromstring(answer.body).iter() if one.tag.endswith("Key")]
    assert keys == ["<&>\"'", "tab\tkey", "😀"]
    assert answer.headers["content-type"] == "application/xml"


def test_encodings_of_one_key_are_one_key(gateway: Gateway, bucket: str, signer: Signer) -> None:
    """`%61`, `%41`… are other spellings of a letter; lower-case hex digits of upper-case ones."""
    assert send(gateway.port, "PUT", f"/{bucket}/a%2fb", signer=signer, body=b"one").status == 200
    for spelling in ("a/b", "a%2Fb", "%61%2fb", "%61/%62"):
        answer = send(gateway.port, "GET", f"/{bucket}/{spelling}", signer=signer)
        assert (answer.status, answer.body) == (200, b"one"), spelling
    assert send(gateway.port, "GET", f"/{bucket}/a%252Fb", signer=signer).status == 404
    plus = send(gateway.port, "PUT", f"/{bucket}/a+b", signer=signer, body=b"plus")
    assert plus.status == 200
    assert send(gateway.port, "GET", f"/{bucket}/a%2Bb", signer=signer).body == b"plus"
    assert send(gateway.port, "GET", f"/{bucket}/a%20b", signer=signer).status == 404
