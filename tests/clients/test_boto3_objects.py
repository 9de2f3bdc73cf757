"""Objects through boto3: bytes, metadata, ranges, overrides, deletion, renaming, subresources."""

import base64
import hashlib
import io
import uuid
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from harness import MIB, SIZES, Gateway, noise, refusal


def body(answer: Any) -> bytes:
    """The whole body of a GetObject."""
    with answer["Body"] as stream:
        return stream.read()


@pytest.mark.parametrize("size", SIZES)
def test_bytes_come_back(s3: Any, bucket: str, size: int) -> None:
    data = noise(size)
    etag = f'"{hashlib.md5(data).hexdigest()}"'
    assert s3.put_object(Bucket=bucket, Key="k", Body=data)["ETag"] == etag
    got = s3.get_object(Bucket=bucket, Key="k")
    assert body(got) == data
    head = s3.head_object(Bucket=bucket, Key="k")
    for answer in (got, head):
        assert answer["ContentLength"] == size
        assert answer["ETag"] == etag
        assert answer["AcceptRanges"] == "bytes"
        assert answer["ContentType"] == "binary/octet-stream"
        assert abs((datetime.now(UTC) - answer["LastModified"]).total_seconds()) < 120
    assert head["ResponseMetadata"]["HTTPHeaders"]["content-length"] == str(size)


def test_the_walk_of_a_first_program(gateway: Gateway, name: str, tmp_path: Path) -> None:
    """Create, upload from an open file, read, list with key and size, with the retries of the documentation."""
    s3 = gateway.s3("first", retries={"max_attempts": 3})
    file = tmp_path / "file.txt"
    file.write_bytes(b"hello\n" * 1000)
    s3.create_bucket(Bucket=name)
    with file.open("rb") as source:
        s3.put_object(Bucket=name, Key="file.txt", Body=source)
    assert body(s3.get_object(Bucket=name, Key="file.txt")) == file.read_bytes()
    listed = s3.list_objects_v2(Bucket=name)["Contents"]
    assert [(one["Key"], one["Size"]) for one in listed] == [("file.txt", 6000)]


@pytest.mark.parametrize("multipart", [False, True])
def test_managed_transfers(s3: Any, bucket: str, tmp_path: Path, multipart: bool) -> None:
    data = noise(9 * MIB if multipart else 70_000)
    (tmp_path / "in").write_bytes(data)
    s3.upload_file(str(tmp_path / "in"), bucket, "k", ExtraArgs={"Metadata": {"who": "me"}})
    s3.download_file(bucket, "k", str(tmp_path / "out"))
    assert (tmp_path / "out").read_bytes() == data
    head = s3.head_object(Bucket=bucket, Key="k")
    assert head["Metadata"] == {"who": "me"}
    assert head["ETag"].endswith('-2"') == multipart


class Unseekable(io.RawIOBase):
    """A pipe's end: can be read once, and has no known length."""

    def __init__(self, data: bytes) -> None:
        self._source = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._source.readinto(buffer)


def test_stream_of_unknown_length(s3: Any, bucket: str) -> None:
    data = noise(9 * MIB + 17)
    s3.upload_fileobj(Unseekable(data), bucket, "k")
    assert body(s3.get_object(Bucket=bucket, Key="k")) == data


def test_overwriting_replaces_everything(s3: Any, bucket: str) -> None:
    s3.put_object(
        Bucket=bucket, Key="k", Body=noise(MIB + 1), ContentType="text/plain", Metadata={"old": "1"}
    )
    s3.put_object(Bucket=bucket, Key="k", Body=b"new")
    got = s3.get_object(Bucket=bucket, Key="k")
    assert body(got) == b"new"
    assert (got["ContentType"], got["Metadata"]) == ("binary/octet-stream", {})
    again = s3.put_object(Bucket=bucket, Key="k", Body=b"new")
    assert again["ETag"] == got["ETag"]


def test_metadata_comes_back(s3: Any, bucket: str) -> None:
    system = {
        "ContentType": "text/html; charset=utf-8",
        "CacheControl": "max-age=60, private",
        "ContentDisposition": 'attachment; filename="a b.txt"',
        "ContentEncoding": "gzip",
        "ContentLanguage": "de, en",
    }
    expires = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
    user = {"plain": "value", "with-dash": "a, b", "mixedcase": "Keeps Case", "empty": ""}
    s3.put_object(Bucket=bucket, Key="k", Body=b"v", Metadata=user, Expires=expires, **system)
    for answer in (s3.get_object(Bucket=bucket, Key="k"), s3.head_object(Bucket=bucket, Key="k")):
        assert {name: answer[name] for name in system} == system
        assert answer["ExpiresString"] == "Wed, 02 Jan 2030 03:04:05 GMT"
        assert answer["Metadata"] == user
        if "Body" in answer:
            answer["Body"].close()


def test_metadata_has_a_limit(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"v", Metadata={"a": "x" * 2000})
    assert refusal(s3.put_object, Bucket=bucket, Key="l", Body=b"v", Metadata={"a": "x" * 2048}) == (
        400,
        "MetadataTooLarge",
    )
    assert refusal(s3.head_object, Bucket=bucket, Key="l") == (404, "404")


RANGES = [
    ("bytes=0-999", 0, 999),
    ("bytes=-1000", 99_000, 99_999),
    ("bytes=0-0", 0, 0),
    ("bytes=99999-", 99_999, 99_999),
    ("bytes=500-", 500, 99_999),
    ("bytes=99000-200000", 99_000, 99_999),
    ("bytes=-200000", 0, 99_999),
    ("bytes=65535-65537", 65_535, 65_537),
    ("bytes=0-18446744073709551615", 0, 99_999),
]


@pytest.fixture(scope="module")
def hundred_k(gateway: Gateway) -> tuple[str, bytes]:
    """A bucket with 100,000 bytes under `k`, for reading only."""
    name, data = f"ranges-{uuid.uuid4().hex[:12]}", noise(100_000)
    gateway.s3().create_bucket(Bucket=name)
    gateway.s3().put_object(Bucket=name, Key="k", Body=data, ContentType="text/plain")
    return name, data


@pytest.mark.parametrize(("header", "first", "last"), RANGES, ids=[row[0] for row in RANGES])
def test_range(s3: Any, hundred_k: tuple[str, bytes], header: str, first: int, last: int) -> None:
    bucket, data = hundred_k
    got = s3.get_object(Bucket=bucket, Key="k", Range=header)
    assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert got["ContentRange"] == f"bytes {first}-{last}/100000"
    assert got["ContentLength"] == last - first + 1
    assert body(got) == data[first : last + 1]
    head = s3.head_object(Bucket=bucket, Key="k", Range=header)
    assert head["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert head["ContentLength"] == last - first + 1


@pytest.mark.parametrize(
    "header",
    ["bytes=5-3", "bytes=a-b", "items=0-5", "bytes=", "bytes=0-1,4-5", "0-5", "bytes=--1", "bytes= -1"],
)
def test_a_range_that_is_none_is_ignored(s3: Any, hundred_k: tuple[str, bytes], header: str) -> None:
    """RFC 9110 14.2: what is not understood is not there; S3 serves one range only."""
    bucket, data = hundred_k
    got = s3.get_object(Bucket=bucket, Key="k", Range=header)
    assert got["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert body(got) == data


@pytest.mark.parametrize("header", ["bytes=100000-", "bytes=100000-100001", "bytes=-0"])
def test_a_range_beyond_the_end(s3: Any, hundred_k: tuple[str, bytes], header: str) -> None:
    bucket, _ = hundred_k
    with pytest.raises(s3.exceptions.ClientError) as caught:
        s3.get_object(Bucket=bucket, Key="k", Range=header)
    answer = caught.value.response
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 416
    assert answer["Error"]["Code"] == "InvalidRange"
    assert answer["Error"]["ActualObjectSize"] == "100000"
    assert answer["ResponseMetadata"]["HTTPHeaders"]["content-range"] == "bytes */100000"


def test_a_range_of_nothing(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="empty", Body=b"")
    assert refusal(s3.get_object, Bucket=bucket, Key="empty", Range="bytes=0-0") == (416, "InvalidRange")
    assert refusal(s3.get_object, Bucket=bucket, Key="empty", Range="bytes=-0") == (416, "InvalidRange")
    got = s3.get_object(Bucket=bucket, Key="empty", Range="bytes=-5")
    assert (body(got), got["ResponseMetadata"]["HTTPStatusCode"]) == (b"", 200)
    assert "ContentRange" not in got


def test_overrides_of_a_signed_read(s3: Any, hundred_k: tuple[str, bytes]) -> None:
    bucket, _ = hundred_k
    wanted = {
        "ContentType": "application/x-other",
        "CacheControl": "no-store",
        "ContentDisposition": 'inline; filename="other.txt"',
        "ContentEncoding": "identity",
        "ContentLanguage": "fr",
    }
    parameters = {f"Response{name}": value for name, value in wanted.items()}
    got = s3.get_object(
        Bucket=bucket, Key="k", Range="bytes=0-0", ResponseExpires=datetime(2031, 1, 1), **parameters
    )
    assert body(got)
    assert {name: got[name] for name in wanted} == wanted
    assert got["ExpiresString"] == "Wed, 01 Jan 2031 00:00:00 GMT"
    head = s3.head_object(Bucket=bucket, Key="k", ResponseContentType="application/x-other")
    assert head["ContentType"] == "application/x-other"


def test_content_md5(s3: Any, bucket: str) -> None:
    right = base64.b64encode(hashlib.md5(b"data").digest()).decode()
    wrong = base64.b64encode(hashlib.md5(b"other").digest()).decode()
    s3.put_object(Bucket=bucket, Key="right", Body=b"data", ContentMD5=right)
    assert refusal(s3.put_object, Bucket=bucket, Key="wrong", Body=b"data", ContentMD5=wrong) == (
        400,
        "BadDigest",
    )
    assert refusal(s3.put_object, Bucket=bucket, Key="wrong", Body=b"data", ContentMD5="short") == (
        400,
        "InvalidDigest",
    )
    assert refusal(s3.put_object, Bucket=bucket, Key="right", Body=b"data", ContentMD5=wrong) == (
        400,
        "BadDigest",
    )
    assert [one["Key"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["right"]
    assert body(s3.get_object(Bucket=bucket, Key="right")) == b"data"


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("checksums", ["when_supported", "when_required"])
@pytest.mark.parametrize("version", ["s3v4", "s3"])
def test_every_way_to_sign_a_body(
    gateway: Gateway, bucket: str, version: str, signed: bool, checksums: str
) -> None:
    s3 = gateway.s3(
        f"sign {version} {signed} {checksums}",
        signature_version=version,
        request_checksum_calculation=checksums,
        s3={"payload_signing_enabled": signed, "addressing_style": "path"},
    )
    data = noise(100_001)
    s3.put_object(Bucket=bucket, Key="a b+c/ü%2F", Body=io.BytesIO(data), Metadata={"k": "v"})
    assert body(s3.get_object(Bucket=bucket, Key="a b+c/ü%2F")) == data
    assert s3.list_objects_v2(Bucket=bucket, Prefix="a b+")["KeyCount"] == 1
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "a b+c/ü%2F"}]})
    assert "Contents" not in s3.list_objects(Bucket=bucket)


def test_delete_is_idempotent(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"v")
    for _ in range(2):
        assert s3.delete_object(Bucket=bucket, Key="k")["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert refusal(s3.get_object, Bucket=bucket, Key="k") == (404, "NoSuchKey")
    assert refusal(s3.head_object, Bucket=bucket, Key="k") == (404, "404")


@pytest.mark.parametrize("quiet", [False, True])
def test_delete_a_thousand(s3: Any, bucket: str, quiet: bool) -> None:
    keys = [f"key &<{number}>\"'" for number in range(1000)]
    for key in keys[::100]:
        s3.put_object(Bucket=bucket, Key=key, Body=b"v")
    s3.put_object(Bucket=bucket, Key="stays", Body=b"v")
    answer = s3.delete_objects(
        Bucket=bucket, Delete={"Objects": [{"Key": key} for key in keys], "Quiet": quiet}
    )
    assert [one["Key"] for one in answer.get("Deleted", [])] == ([] if quiet else keys)
    assert "Errors" not in answer
    assert [one["Key"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["stays"]


def test_delete_more_than_a_thousand_is_malformed(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="0", Body=b"v")
    doomed = {"Objects": [{"Key": str(number)} for number in range(1001)]}
    assert refusal(s3.delete_objects, Bucket=bucket, Delete=doomed) == (400, "MalformedXML")
    assert s3.head_object(Bucket=bucket, Key="0")


def test_delete_objects_reports_each_failure(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"v")
    s3.put_object(Bucket=bucket, Key="b", Body=b"v")
    doomed = [{"Key": "a", "ETag": '"00000000000000000000000000000000"'}, {"Key": "b"}]
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": doomed})
    assert [one["Key"] for one in answer["Deleted"]] == ["b"]
    assert [(one["Key"], one["Code"]) for one in answer["Errors"]] == [("a", "PreconditionFailed")]
    assert s3.head_object(Bucket=bucket, Key="a")


def test_rename(s3: Any, bucket: str) -> None:
    data = noise(MIB + 7)
    s3.put_object(Bucket=bucket, Key="from/ü b", Body=data, ContentType="text/x", Metadata={"m": "1"})
    s3.rename_object(Bucket=bucket, Key="to/new key", RenameSource=f"/{bucket}/from/%C3%BC%20b")
    assert [one["Key"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["to/new key"]
    got = s3.get_object(Bucket=bucket, Key="to/new key")
    assert body(got) == data
    assert (got["ContentType"], got["Metadata"]) == ("text/x", {"m": "1"})
    assert refusal(s3.rename_object, Bucket=bucket, Key="x", RenameSource="/gone") == (404, "NoSuchKey")
    s3.put_object(Bucket=bucket, Key="taken", Body=b"v")
    assert refusal(
        s3.rename_object, Bucket=bucket, Key="taken", RenameSource="to/new%20key", DestinationIfNoneMatch="*"
    ) == (412, "PreconditionFailed")
    assert body(s3.get_object(Bucket=bucket, Key="taken")) == b"v"


def test_attributes(s3: Any, bucket: str) -> None:
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"hello", ChecksumAlgorithm="SHA256")
    wanted = ["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"]
    answer = s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=wanted)
    assert answer["ETag"] == put["ETag"].strip('"')
    assert answer["ObjectSize"] == 5
    assert answer["StorageClass"] == "STANDARD"
    assert answer["Checksum"]["ChecksumSHA256"] == put["ChecksumSHA256"]
    assert answer["Checksum"]["ChecksumType"] == "FULL_OBJECT"
    assert "ObjectParts" not in answer
    only = s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=["ObjectSize"])
    assert {"ETag", "Checksum", "StorageClass"}.isdisjoint(only)
    missing = refusal(s3.get_object_attributes, Bucket=bucket, Key="no", ObjectAttributes=["ETag"])
    assert missing == (404, "NoSuchKey")


OBJECT_WRITES: list[tuple[str, dict[str, Any]]] = [
    ("put_object_tagging", {"Tagging": {"TagSet": [{"Key": "a", "Value": "b"}]}}),
    ("put_object_retention", {"Retention": {"Mode": "GOVERNANCE", "RetainUntilDate": datetime(2030, 1, 1)}}),
    ("put_object_legal_hold", {"LegalHold": {"Status": "ON"}}),
    ("restore_object", {"RestoreRequest": {"Days": 1}}),
    (
        "select_object_content",
        {
            "Expression": "select * from s3object",
            "ExpressionType": "SQL",
            "InputSerialization": {"CSV": {}},
            "OutputSerialization": {"CSV": {}},
        },
    ),
]


@pytest.mark.parametrize(("operation", "parameters"), OBJECT_WRITES, ids=[row[0] for row in OBJECT_WRITES])
def test_an_object_subresource_never_replaces_the_object(
    s3: Any, bucket: str, operation: str, parameters: dict[str, Any]
) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"original", Metadata={"m": "1"})
    with suppress(ClientError):  # what it answers is told elsewhere
        getattr(s3, operation)(Bucket=bucket, Key="k", **parameters)
    got = s3.get_object(Bucket=bucket, Key="k")
    assert (body(got), got["Metadata"]) == (b"original", {"m": "1"})
    assert refusal(getattr(s3, operation), Bucket=bucket, Key="new", **parameters)[0] in {400, 404, 501}
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 1


def test_what_is_not_enforced_is_refused(s3: Any, bucket: str) -> None:
    """A header that promises encryption, a lock, or tags must not be dropped silently."""
    for promise in (
        {"ServerSideEncryption": "aws:kms:dsse"},
        {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": datetime(2030, 1, 1)},
        {"ObjectLockLegalHoldStatus": "ON"},
    ):
        status, _ = refusal(s3.put_object, Bucket=bucket, Key="k", Body=b"v", **promise)
        assert status in {400, 501}
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)
