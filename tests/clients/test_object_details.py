"""What AWS does with the rarer headers and parameters of object operations."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from harness import MIB, Gateway, refusal
from wire import Answer, Signer, send

Call = Callable[..., Answer]


@pytest.fixture
def call(gateway: Gateway, signer: Signer, bucket: str) -> Call:
    """A signed request about a key of the test's bucket; keyword arguments are headers, `_` for `-`."""

    def ask(method: str, target: str, body: bytes = b"", **headers: str) -> Answer:
        signed = {name.replace("_", "-"): value for name, value in headers.items()}
        return send(gateway.port, method, f"/{bucket}/{target}", signer=signer, body=body, signed=signed)

    return ask


@pytest.fixture
def parts_of_three(s3: Any, bucket: str) -> list[str]:
    """The checksums of the parts of an object `parts` of three, the composite one last."""
    upload = s3.create_multipart_upload(Bucket=bucket, Key="parts", ChecksumAlgorithm="SHA256")["UploadId"]
    where = {"Bucket": bucket, "Key": "parts", "UploadId": upload}
    parts = []
    for number, body in ((1, b"a" * 5 * MIB), (2, b"b" * 5 * MIB), (3, b"end")):
        made = s3.upload_part(**where, PartNumber=number, Body=body, ChecksumAlgorithm="SHA256")
        parts.append({"PartNumber": number, "ETag": made["ETag"], "ChecksumSHA256": made["ChecksumSHA256"]})
    done = s3.complete_multipart_upload(**where, MultipartUpload={"Parts": parts})
    return [part["ChecksumSHA256"] for part in parts] + [done["ChecksumSHA256"]]


def test_an_empty_content_header_says_nothing(call: Call) -> None:
    empty = {"content_type": "", "cache_control": "", "content_encoding": ""}
    assert call("PUT", "k", b"v", **empty, x_amz_meta_empty="").status == 200
    headers = call("GET", "k").headers
    assert headers["content-type"] == "binary/octet-stream"
    assert headers["x-amz-meta-empty"] == ""
    assert {"cache-control", "content-encoding"}.isdisjoint(headers)


@pytest.mark.parametrize(
    ("sent", "kept"), [("gzip, br", "gzip, br"), ("gzip, aws-chunked", "gzip"), ("AWS-chunked", None)]
)
def test_a_content_encoding_stays_but_for_the_framing(call: Call, sent: str, kept: str | None) -> None:
    assert call("PUT", "k", b"v", content_encoding=sent).status == 200
    assert call("HEAD", "k").headers.get("content-encoding") == kept


@pytest.mark.parametrize("tail", ["", "-duration-days", "-duration-years"])
@pytest.mark.parametrize(("method", "target"), [("PUT", "k"), ("POST", "k?uploads")])
def test_an_event_hold_is_not_ignored(call: Call, method: str, target: str, tail: str) -> None:
    answer = call(method, target, **{f"x-amz-object-lock-event-hold{tail}": "ON"})
    assert (answer.status, answer.code) == (501, "NotImplemented")


def test_if_range(call: Call) -> None:
    """RFC 9110 13.1.5: a download goes on only in the very same object, else it begins anew."""
    etag = call("PUT", "k", b"0123456789").headers["etag"]
    modified = call("HEAD", "k").headers["last-modified"]

    def read(validator: str, chosen: str = "bytes=8-") -> tuple[int, bytes]:
        answer = call("GET", "k", range=chosen, if_range=validator)
        return answer.status, answer.body

    for same in (etag, etag.strip('"'), modified):
        assert read(same) == (206, b"89")
    for other in ('"other"', f"W/{etag}", "Sat, 01 Jan 2000 00:00:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT"):
        assert read(other) == (200, b"0123456789")
    assert read('"other"', "bytes=100-") == (200, b"0123456789")
    assert read(etag, "bytes=100-")[0] == 416
    assert call("GET", "k", if_range='"other"').status == 200


@pytest.mark.parametrize("kind", ["COMPOSITE", "FULL_OBJECT"])
def test_the_only_part_has_its_own_checksum(s3: Any, bucket: str, kind: str) -> None:
    algorithm = {"ChecksumAlgorithm": "CRC32"}
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k", **algorithm, ChecksumType=kind)["UploadId"]
    where = {"Bucket": bucket, "Key": "k", "UploadId": upload}
    made = s3.upload_part(**where, PartNumber=1, Body=b"only", **algorithm)
    part = {"PartNumber": 1, "ETag": made["ETag"], "ChecksumCRC32": made["ChecksumCRC32"]}
    s3.complete_multipart_upload(**where, MultipartUpload={"Parts": [part]})
    head = s3.head_object(Bucket=bucket, Key="k", PartNumber=1, ChecksumMode="ENABLED")
    assert (head["ChecksumCRC32"], head["ChecksumType"]) == (made["ChecksumCRC32"], kind)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_part_has_its_own_checksum(s3: Any, bucket: str, parts_of_three: list[str], number: int) -> None:
    where = {"Bucket": bucket, "Key": "parts", "ChecksumMode": "ENABLED"}
    head = s3.head_object(**where, PartNumber=number)
    assert (head["ChecksumSHA256"], head["ChecksumType"]) == (parts_of_three[number - 1], "COMPOSITE")
    assert head["PartsCount"] == 3
    assert s3.get_object(**where, PartNumber=number)["Body"].read()  # boto3 compares
    assert "ChecksumSHA256" not in s3.head_object(**where, Range="bytes=0-9")
    assert s3.head_object(**where)["ChecksumSHA256"] == parts_of_three[3]


def test_attributes_of_parts_come_in_pages(s3: Any, bucket: str, parts_of_three: list[str]) -> None:
    pages, marker = [], 0
    while not pages or pages[-1]["IsTruncated"]:
        answer = s3.get_object_attributes(
            Bucket=bucket,
            Key="parts",
            ObjectAttributes=["ObjectParts"],
            MaxParts=2,
            PartNumberMarker=marker,
        )
        pages.append(answer["ObjectParts"])
        assert pages[-1]["PartNumberMarker"] == marker
        assert (pages[-1]["TotalPartsCount"], pages[-1]["MaxParts"]) == (3, 2)
        marker = pages[-1]["NextPartNumberMarker"]
    shown = [part for page in pages for part in page["Parts"]]
    assert [part["PartNumber"] for part in shown] == [1, 2, 3]
    assert [part["Size"] for part in shown] == [5 * MIB, 5 * MIB, 3]
    assert [part["ChecksumSHA256"] for part in shown] == parts_of_three[:3]


def test_no_page_has_more_than_a_thousand_parts(s3: Any, bucket: str, parts_of_three: list[str]) -> None:
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    page = s3.list_parts(Bucket=bucket, Key="k", UploadId=upload, MaxParts=5000)
    assert (page["MaxParts"], page["IsTruncated"]) == (1000, False)
    wanted = {"Bucket": bucket, "Key": "parts", "ObjectAttributes": ["ObjectParts"], "MaxParts": 5000}
    assert s3.get_object_attributes(**wanted)["ObjectParts"]["MaxParts"] == 1000


KEYS = ["a b", "a+b", "ü/é", "q?versionId=x", "100%", "/leads", "a%2Fb", "&=#"]


@pytest.mark.parametrize("key", KEYS)
def test_a_copy_source_is_encoded_as_a_whole(call: Call, s3: Any, bucket: str, key: str) -> None:
    """As by Java's URLEncoder or encodeURIComponent of the whole, slashes and all. Both work on AWS."""
    version = {"VersioningConfiguration": {"Status": "Enabled"}}
    s3.put_bucket_versioning(Bucket=bucket, **version)
    first = s3.put_object(Bucket=bucket, Key=key, Body=b"first")["VersionId"]
    s3.put_object(Bucket=bucket, Key=key, Body=b"second")
    path = f"{bucket}/{key}"
    for source in (quote(path), "/" + quote(path), quote(path, safe=""), quote("/" + path, safe="")):
        for spelling in (source, source.replace("%20", "+")):
            assert call("PUT", "copy", x_amz_copy_source=spelling).status == 200, spelling
            assert call("GET", "copy").body == b"second"
            named = call("PUT", "copy", x_amz_copy_source=f"{spelling}?versionId={first}")
            assert named.headers["x-amz-copy-source-version-id"] == first
            assert call("GET", "copy").body == b"first"


def test_a_plus_in_a_copy_source_is_a_blank(s3: Any, call: Call, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a+b", Body=b"v")
    answer = call("PUT", "copy", x_amz_copy_source=f"/{bucket}/a+b")
    assert (answer.status, answer.code) == (404, "NoSuchKey")
    assert refusal(s3.head_object, Bucket=bucket, Key="copy") == (404, "404")


WRITES = ["PUT k?", "POST k?uploads&", "POST k?uploadId=x&"]


@pytest.mark.parametrize("write", WRITES)
def test_a_write_makes_a_version_and_names_none(call: Call, s3: Any, bucket: str, write: str) -> None:
    method, target = write.split()
    for key in ("k", "source"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"v")
    for headers in ({}, {"x-amz-copy-source": f"/{bucket}/source"} if method == "PUT" else {}):
        answer = call(method, f"{target}versionId=null", **headers)
        assert (answer.status, answer.code) == (400, "InvalidArgument")
        assert b"does not accept a version-id" in answer.body
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"v"


@pytest.mark.parametrize("target", ["k?", "k?tagging&", "k?acl&", "k?attributes&"])
def test_an_empty_version_is_none(call: Call, target: str) -> None:
    assert call("PUT", "k", b"v").status == 200
    answer = call("GET", f"{target}versionId=", x_amz_object_attributes="ETag")
    assert (answer.status, answer.code) == (400, "InvalidArgument")
    assert call("DELETE", "k?versionId=").status == 400
    assert call("GET", "k").body == b"v"


def test_an_empty_version_of_a_lock_means_none(s3: Any, name: str) -> None:
    """Go's kit sends one."""
    s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    s3.put_object(Bucket=name, Key="k", Body=b"v")
    where = {"Bucket": name, "Key": "k", "VersionId": ""}
    s3.put_object_legal_hold(**where, LegalHold={"Status": "OFF"})
    assert s3.get_object_legal_hold(**where)["LegalHold"]["Status"] == "OFF"


def test_a_delete_marker_has_no_tags_no_lock_and_takes_no_acl(s3: Any, name: str) -> None:
    """MethodNotAllowed, also where the marker is current and a plain read says NoSuchKey."""
    s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True, ObjectOwnership="ObjectWriter")
    where = {"Bucket": name, "Key": "k"}
    kept = s3.put_object(**where, Body=b"v")["VersionId"]
    marker = s3.delete_object(**where)["VersionId"]
    until = datetime.now(UTC) + timedelta(days=1)
    calls: list[tuple[Callable[..., Any], dict[str, Any]]] = [
        (s3.get_object_tagging, {}),
        (s3.put_object_tagging, {"Tagging": {"TagSet": []}}),
        (s3.delete_object_tagging, {}),
        (s3.put_object_acl, {"ACL": "private"}),
        (s3.get_object_retention, {}),
        (s3.put_object_retention, {"Retention": {"Mode": "GOVERNANCE", "RetainUntilDate": until}}),
        (s3.get_object_legal_hold, {}),
        (s3.put_object_legal_hold, {"LegalHold": {"Status": "ON"}}),
    ]
    for call, parameters in calls:
        for version in ({}, {"VersionId": marker}):
            assert refusal(call, **where, **parameters, **version) == (405, "MethodNotAllowed")
    assert refusal(s3.get_object_acl, **where) == (404, "NoSuchKey")
    assert refusal(s3.get_object_acl, **where, VersionId=marker) == (405, "MethodNotAllowed")
    assert s3.get_object_tagging(**where, VersionId=kept)["TagSet"] == []


@pytest.mark.parametrize("word", ["-1", "x", "99999999999"])
@pytest.mark.parametrize("header", ["x-amz-max-parts", "x-amz-part-number-marker"])
def test_a_page_of_attributes_that_is_no_number_counts_for_nothing(
    call: Call, header: str, word: str
) -> None:
    assert call("PUT", "k", b"v").status == 200
    wanted = {"x-amz-object-attributes": "ObjectSize,ObjectParts", header: word}
    answer = call("GET", "k?attributes", **wanted)
    assert (answer.status, b"<ObjectSize>1</ObjectSize>" in answer.body) == (200, True)


def test_an_unknown_override_is_refused(call: Call) -> None:
    """A header that the link was to set, and that nobody sets, would be a promise broken."""
    assert call("PUT", "k", b"v").status == 200
    for method in ("GET", "HEAD"):
        answer = call(method, "k?response-x-frame-options=DENY")
        assert answer.status == 400
    answer = call("GET", "k?response-x-frame-options=DENY")
    assert answer.code == "InvalidArgument"
    assert b"is not in the set of overridable response headers" in answer.body


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("", "Invalid copy source bucket name"),
        ("/", "Invalid copy source bucket name"),
        ("UPPER/key", "Invalid copy source bucket name"),
        ("{b}", "Invalid copy source object key"),
        ("/{b}/", "Invalid copy source object key"),
    ],
)
def test_what_is_wrong_with_a_copy_source(call: Call, bucket: str, source: str, message: str) -> None:
    answer = call("PUT", "copy", x_amz_copy_source=source.format(b=bucket))
    assert (answer.status, answer.code) == (400, "InvalidArgument")
    assert message.encode() in answer.body
