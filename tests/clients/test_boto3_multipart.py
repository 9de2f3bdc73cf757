"""Multipart uploads through boto3."""

import hashlib
import re
from datetime import timedelta
from typing import Any

import pytest
from harness import MIB, noise, refusal

FIVE = noise(5 * MIB)
TAIL = noise(12_345, 1)
EMPTY_PARTS: dict[str, Any] = {"Parts": []}


class Upload:
    """An upload in flight."""

    def __init__(self, s3: Any, bucket: str, key: str = "k", **options: Any) -> None:
        self.s3 = s3
        made = s3.create_multipart_upload(Bucket=bucket, Key=key, **options)
        assert (made["Bucket"], made["Key"]) == (bucket, key)
        self.where = {"Bucket": bucket, "Key": key, "UploadId": made["UploadId"]}
        self.etags: dict[int, str] = {}

    def put(self, number: int, data: bytes) -> str:
        self.etags[number] = self.s3.upload_part(**self.where, PartNumber=number, Body=data)["ETag"]
        return self.etags[number]

    def lines(self, *numbers: int) -> dict[str, Any]:
        chosen = numbers or sorted(self.etags)
        return {
            "MultipartUpload": {"Parts": [{"PartNumber": one, "ETag": self.etags[one]} for one in chosen]}
        }

    def complete(self, *numbers: int, **options: Any) -> Any:
        return self.s3.complete_multipart_upload(**self.where, **self.lines(*numbers), **options)

    def refuse(self, *numbers: int, **options: Any) -> tuple[int, str]:
        return refusal(self.s3.complete_multipart_upload, **(self.where | self.lines(*numbers) | options))


def content(s3: Any, bucket: str, key: str = "k", **options: Any) -> bytes:
    """The bytes of an object."""
    with s3.get_object(Bucket=bucket, Key=key, **options)["Body"] as stream:
        return stream.read()


def test_parts_in_any_order_one_of_them_replaced(s3: Any, bucket: str) -> None:
    upload = Upload(s3, bucket, ContentType="text/plain", Metadata={"m": "1"}, CacheControl="no-cache")
    upload.put(9, TAIL)
    upload.put(4, noise(5 * MIB, 7))
    assert upload.put(1, FIVE) == f'"{hashlib.md5(FIVE).hexdigest()}"'
    upload.put(4, FIVE[::-1])
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)
    done = upload.complete()
    data = FIVE + FIVE[::-1] + TAIL
    md5s = b"".join(hashlib.md5(part).digest() for part in (FIVE, FIVE[::-1], TAIL))
    assert done["ETag"] == f'"{hashlib.md5(md5s).hexdigest()}-3"'
    assert done["Location"].endswith(f"{bucket}/k")
    assert content(s3, bucket) == data
    edge = 5 * MIB
    assert content(s3, bucket, Range=f"bytes={edge - 3}-{2 * edge + 3}") == data[edge - 3 : 2 * edge + 4]
    assert content(s3, bucket, Range="bytes=-20000") == data[-20000:]
    head = s3.head_object(Bucket=bucket, Key="k")
    assert (head["ContentLength"], head["ContentType"], head["Metadata"]) == (
        len(data),
        "text/plain",
        {"m": "1"},
    )
    assert head["CacheControl"] == "no-cache"
    assert refusal(s3.list_parts, **upload.where) == (404, "NoSuchUpload")
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)


def test_read_by_part_number(s3: Any, bucket: str) -> None:
    upload = Upload(s3, bucket)
    upload.put(1, FIVE)
    upload.put(2, TAIL)
    upload.complete()
    for number, data, first in ((1, FIVE, 0), (2, TAIL, len(FIVE))):
        got = s3.get_object(Bucket=bucket, Key="k", PartNumber=number)
        with got["Body"] as stream:
            assert stream.read() == data
        assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
        assert got["PartsCount"] == 2
        assert got["ContentRange"] == f"bytes {first}-{first + len(data) - 1}/{len(FIVE) + len(TAIL)}"
        head = s3.head_object(Bucket=bucket, Key="k", PartNumber=number)
        assert (head["ContentLength"], head["PartsCount"]) == (len(data), 2)
    assert refusal(s3.get_object, Bucket=bucket, Key="k", PartNumber=3) == (416, "InvalidPartNumber")
    both = refusal(s3.get_object, Bucket=bucket, Key="k", PartNumber=1, Range="bytes=0-1")
    assert both == (400, "InvalidRequest")
    s3.put_object(Bucket=bucket, Key="plain", Body=b"all")
    assert content(s3, bucket, "plain", PartNumber=1) == b"all"
    assert refusal(s3.get_object, Bucket=bucket, Key="plain", PartNumber=2) == (416, "InvalidPartNumber")


def test_what_complete_refuses_leaves_the_upload(s3: Any, bucket: str) -> None:
    upload = Upload(s3, bucket)
    upload.put(1, noise(5 * MIB - 1))
    upload.put(2, FIVE)
    upload.put(3, TAIL)
    assert upload.refuse() == (400, "EntityTooSmall")
    assert upload.refuse(3, 2) == (400, "InvalidPartOrder")
    assert upload.refuse(2, 2) == (400, "InvalidPartOrder")
    wrong = [{"PartNumber": 2, "ETag": upload.etags[3]}]
    assert upload.refuse(MultipartUpload={"Parts": wrong}) == (400, "InvalidPart")
    absent = [{"PartNumber": 7, "ETag": upload.etags[3]}]
    assert upload.refuse(MultipartUpload={"Parts": absent}) == (400, "InvalidPart")
    assert upload.refuse(MultipartUpload=EMPTY_PARTS)[1] in {"MalformedXML", "InvalidRequest"}
    assert upload.refuse(2, 3, MpuObjectSize=5) == (400, "InvalidRequest")
    assert refusal(s3.head_object, Bucket=bucket, Key="k")[0] == 404
    upload.complete(2, 3)
    assert content(s3, bucket) == FIVE + TAIL, "parts that were not named are not in the object"


def test_complete_again_answers_the_same(s3: Any, bucket: str) -> None:
    upload = Upload(s3, bucket)
    upload.put(1, TAIL)
    first = upload.complete()
    assert upload.complete()["ETag"] == first["ETag"]
    s3.put_object(Bucket=bucket, Key="k", Body=b"newer")
    assert upload.refuse() == (404, "NoSuchUpload")
    assert content(s3, bucket) == b"newer"


def test_abort_leaves_the_object(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"before")
    upload = Upload(s3, bucket)
    upload.put(1, TAIL)
    s3.abort_multipart_upload(**upload.where)
    assert content(s3, bucket) == b"before"
    assert refusal(s3.abort_multipart_upload, **upload.where) == (404, "NoSuchUpload")
    assert refusal(s3.upload_part, **upload.where, PartNumber=1, Body=b"x") == (404, "NoSuchUpload")
    assert upload.refuse() == (404, "NoSuchUpload")


def test_abort_of_an_upload_of_another_time(s3: Any, bucket: str) -> None:
    upload = Upload(s3, bucket)
    (listed,) = s3.list_multipart_uploads(Bucket=bucket)["Uploads"]
    began = listed["Initiated"]
    for other in (began - timedelta(days=1), began + timedelta(days=1)):
        answer = refusal(s3.abort_multipart_upload, **upload.where, IfMatchInitiatedTime=other)
        assert answer == (412, "PreconditionFailed")
    s3.abort_multipart_upload(**upload.where, IfMatchInitiatedTime=began)
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)


def test_part_numbers(s3: Any, bucket: str) -> None:
    upload = Upload(s3, bucket)
    for number in (0, -1, 10_001):
        assert refusal(s3.upload_part, **upload.where, PartNumber=number, Body=b"x") == (
            400,
            "InvalidArgument",
        )
    upload.put(10_000, b"x")
    assert upload.complete()["ETag"].endswith('-1"')
    assert content(s3, bucket) == b"x"


def test_an_empty_part_alone(s3: Any, bucket: str) -> None:
    upload = Upload(s3, bucket)
    upload.put(1, b"")
    upload.complete()
    assert s3.head_object(Bucket=bucket, Key="k")["ContentLength"] == 0


def test_an_upload_belongs_to_its_key(s3: Any, bucket: str) -> None:
    upload = Upload(s3, bucket)
    upload.put(1, b"x")
    for change in (
        {"Key": "other"},
        {"UploadId": upload.where["UploadId"] + "x"},
        {"UploadId": "../../etc/passwd"},
    ):
        stray = upload.where | change
        assert refusal(s3.upload_part, **stray, PartNumber=1, Body=b"y") == (404, "NoSuchUpload")
        assert refusal(s3.list_parts, **stray) == (404, "NoSuchUpload")
        assert refusal(s3.abort_multipart_upload, **stray) == (404, "NoSuchUpload")
    upload.complete()
    assert content(s3, bucket) == b"x"


def test_list_parts_in_pages(s3: Any, bucket: str) -> None:
    upload = Upload(s3, bucket)
    numbers = [1, 2, 3, 10, 9_999]
    for number in numbers:
        upload.put(number, b"x" * number)
    whole = s3.list_parts(**upload.where)
    found = [(part["PartNumber"], part["Size"], part["ETag"]) for part in whole["Parts"]]
    assert found == [(number, number, upload.etags[number]) for number in numbers]
    assert whole["StorageClass"] == "STANDARD"
    assert not whole["IsTruncated"]
    for size in range(1, 7):
        pages = s3.get_paginator("list_parts").paginate(**upload.where, PaginationConfig={"PageSize": size})
        pieces = [[part["PartNumber"] for part in page.get("Parts", [])] for page in pages]
        assert [number for piece in pieces for number in piece] == numbers
        assert all(len(piece) <= size for piece in pieces)
    rest = s3.list_parts(**upload.where, PartNumberMarker=3)
    assert [part["PartNumber"] for part in rest["Parts"]] == [10, 9_999]


def test_list_uploads_in_pages(s3: Any, bucket: str) -> None:
    keys = ["a", "b/1", "b/1", "b/2", "c d", "ü"]
    ids = [Upload(s3, bucket, key).where["UploadId"] for key in keys]
    assert len(set(ids)) == len(keys)
    assert all(re.fullmatch(r"[A-Za-z0-9._~-]{16,}", one) for one in ids)
    whole = s3.list_multipart_uploads(Bucket=bucket)
    assert s3.list_multipart_uploads(Bucket=bucket, MaxUploads=12345)["MaxUploads"] == 1000
    call = {"Bucket": bucket, "KeyMarker": "a", "UploadIdMarker": "no-id"}
    assert refusal(s3.list_multipart_uploads, **call) == (400, "InvalidArgument")
    assert [(one["Key"], one["UploadId"]) for one in whole["Uploads"]] == list(zip(keys, ids, strict=True))
    for size in range(1, 8):
        paginator = s3.get_paginator("list_multipart_uploads")
        pages = paginator.paginate(Bucket=bucket, PaginationConfig={"PageSize": size})
        pieces = [[one["UploadId"] for one in page.get("Uploads", [])] for page in pages]
        assert [one for piece in pieces for one in piece] == ids
        assert all(len(piece) <= size for piece in pieces)
    grouped = s3.list_multipart_uploads(Bucket=bucket, Delimiter="/")
    assert [one["Key"] for one in grouped["Uploads"]] == ["a", "c d", "ü"]
    assert [one["Prefix"] for one in grouped["CommonPrefixes"]] == ["b/"]
    inside = s3.list_multipart_uploads(Bucket=bucket, Prefix="b/")
    assert [one["Key"] for one in inside["Uploads"]] == ["b/1", "b/1", "b/2"]


def test_copied_parts(s3: Any, bucket: str) -> None:
    source = FIVE + TAIL
    s3.put_object(Bucket=bucket, Key="source ü/+%", Body=source)
    upload = Upload(s3, bucket)
    where = {"Bucket": bucket, "Key": "source ü/+%"}
    first = s3.upload_part_copy(
        **upload.where, PartNumber=1, CopySource=where, CopySourceRange=f"bytes=0-{len(FIVE) - 1}"
    )
    upload.etags[1] = first["CopyPartResult"]["ETag"]
    assert upload.etags[1] == f'"{hashlib.md5(FIVE).hexdigest()}"'
    upload.etags[2] = s3.upload_part_copy(**upload.where, PartNumber=2, CopySource=where)["CopyPartResult"][
        "ETag"
    ]
    copy = {"PartNumber": 3, "CopySource": where}
    for span in (
        f"bytes=0-{len(source)}",
        "bytes=0-",
        "bytes=-5",
        "0-5",
        f"bytes={len(source)}-{len(source)}",
    ):
        status, code = refusal(s3.upload_part_copy, **upload.where, **copy, CopySourceRange=span)
        assert (status, code) in {(400, "InvalidArgument"), (416, "InvalidRange")}, span
    assert refusal(s3.upload_part_copy, **upload.where, **copy, CopySourceIfMatch='"no"') == (
        412,
        "PreconditionFailed",
    )
    gone = {"Bucket": bucket, "Key": "gone"}
    assert refusal(s3.upload_part_copy, **upload.where, PartNumber=3, CopySource=gone) == (404, "NoSuchKey")
    upload.complete()
    assert content(s3, bucket) == FIVE + source


@pytest.mark.parametrize("acl", ["private", "public-read"])
def test_acl_of_an_upload(s3: Any, acl_bucket: str, acl: str) -> None:
    upload = Upload(s3, acl_bucket, ACL=acl)
    upload.put(1, b"x")
    upload.complete()
    grants = s3.get_object_acl(Bucket=acl_bucket, Key="k")["Grants"]
    assert len(grants) == (2 if acl == "public-read" else 1)
