"""Conditional reads, writes and deletes through boto3; atomic across all worker processes."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any

import pytest
from botocore.exceptions import ClientError
from harness import MIB, Gateway, noise, refusal

PAST = datetime(2001, 1, 1, tzinfo=UTC)
WRONG = '"00000000000000000000000000000000"'
PRECONDITION = (412, "PreconditionFailed")


def soon() -> datetime:
    """A time after everything that was written."""
    return datetime.now(UTC) + timedelta(hours=1)


@pytest.fixture
def etag(s3: Any, bucket: str) -> str:
    """The ETag of an object under `k`."""
    return s3.put_object(Bucket=bucket, Key="k", Body=b"first")["ETag"]


def outcome(call: Any, **parameters: Any) -> int:
    """The status, good or bad."""
    try:
        answer = call(**parameters)
    except ClientError as error:
        return error.response["ResponseMetadata"]["HTTPStatusCode"]
    if "Body" in answer:
        answer["Body"].close()
    return answer["ResponseMetadata"]["HTTPStatusCode"]


def test_reads(s3: Any, bucket: str, etag: str) -> None:
    """RFC 9110 13.2.2, with S3's two exceptions about which header wins."""
    table: list[tuple[dict[str, Any], int]] = [
        ({"IfMatch": etag}, 200),
        ({"IfMatch": etag.strip('"')}, 200),
        ({"IfMatch": f"{WRONG}, {etag}"}, 200),
        ({"IfMatch": "*"}, 200),
        ({"IfMatch": WRONG}, 412),
        ({"IfNoneMatch": etag}, 304),
        ({"IfNoneMatch": f"W/{etag}"}, 304),
        ({"IfNoneMatch": "*"}, 304),
        ({"IfNoneMatch": WRONG}, 200),
        ({"IfModifiedSince": PAST}, 200),
        ({"IfModifiedSince": datetime.now(UTC)}, 304),
        ({"IfUnmodifiedSince": PAST}, 412),
        ({"IfUnmodifiedSince": soon()}, 200),
        ({"IfMatch": etag, "IfUnmodifiedSince": PAST}, 200),
        ({"IfNoneMatch": WRONG, "IfModifiedSince": datetime.now(UTC)}, 200),
        ({"IfNoneMatch": etag, "IfModifiedSince": PAST}, 304),
        ({"IfMatch": etag, "IfNoneMatch": etag}, 304),
        ({"IfMatch": WRONG, "IfNoneMatch": etag}, 412),
    ]
    for conditions, status in table:
        assert outcome(s3.get_object, Bucket=bucket, Key="k", **conditions) == status, conditions
        assert outcome(s3.head_object, Bucket=bucket, Key="k", **conditions) == status, conditions
    assert refusal(s3.get_object, Bucket=bucket, Key="none", IfMatch=etag) == (404, "NoSuchKey")


def test_not_modified_names_the_version_and_has_no_body(s3: Any, bucket: str, etag: str) -> None:
    with pytest.raises(ClientError) as caught:
        s3.get_object(Bucket=bucket, Key="k", IfNoneMatch=etag)
    headers = caught.value.response["ResponseMetadata"]["HTTPHeaders"]
    assert headers["etag"] == etag
    assert "last-modified" in headers
    assert headers.get("content-length", "0") == "0"


def test_writes(s3: Any, bucket: str, etag: str) -> None:
    assert refusal(s3.put_object, Bucket=bucket, Key="k", Body=b"x", IfNoneMatch="*") == PRECONDITION
    assert refusal(s3.put_object, Bucket=bucket, Key="k", Body=b"x", IfMatch=WRONG) == PRECONDITION
    assert refusal(s3.put_object, Bucket=bucket, Key="none", Body=b"x", IfMatch=etag) == (404, "NoSuchKey")
    assert refusal(s3.head_object, Bucket=bucket, Key="none")[0] == 404
    with s3.get_object(Bucket=bucket, Key="k")["Body"] as stream:
        assert stream.read() == b"first"
    second = s3.put_object(Bucket=bucket, Key="k", Body=b"second", IfMatch=etag)["ETag"]
    assert refusal(s3.put_object, Bucket=bucket, Key="k", Body=b"third", IfMatch=etag) == PRECONDITION
    assert s3.head_object(Bucket=bucket, Key="k")["ETag"] == second
    s3.put_object(Bucket=bucket, Key="new", Body=b"x", IfNoneMatch="*")


def test_conditions_that_a_write_does_not_know(s3: Any, bucket: str, etag: str) -> None:
    assert refusal(s3.put_object, Bucket=bucket, Key="k", Body=b"x", IfNoneMatch=etag)[0] in {400, 501}
    with s3.get_object(Bucket=bucket, Key="k")["Body"] as stream:
        assert stream.read() == b"first"


def test_deletes(s3: Any, bucket: str, etag: str) -> None:
    assert refusal(s3.delete_object, Bucket=bucket, Key="k", IfMatch=WRONG) == PRECONDITION
    assert refusal(s3.delete_object, Bucket=bucket, Key="k", IfMatchSize=4) == PRECONDITION
    assert refusal(s3.delete_object, Bucket=bucket, Key="k", IfMatchLastModifiedTime=PAST) == PRECONDITION
    head = s3.head_object(Bucket=bucket, Key="k")
    s3.delete_object(
        Bucket=bucket, Key="k", IfMatch=etag, IfMatchSize=5, IfMatchLastModifiedTime=head["LastModified"]
    )
    assert refusal(s3.head_object, Bucket=bucket, Key="k")[0] == 404
    assert outcome(s3.delete_object, Bucket=bucket, Key="k", IfMatch=etag) in {204, 404, 412}


def test_a_conditional_complete(s3: Any, bucket: str, etag: str) -> None:
    def upload() -> dict[str, Any]:
        made = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
        part = s3.upload_part(Bucket=bucket, Key="k", UploadId=made, PartNumber=1, Body=b"part")["ETag"]
        parts = {"Parts": [{"PartNumber": 1, "ETag": part}]}
        return {"Bucket": bucket, "Key": "k", "UploadId": made, "MultipartUpload": parts}

    assert refusal(s3.complete_multipart_upload, **upload(), IfNoneMatch="*") == PRECONDITION
    assert refusal(s3.complete_multipart_upload, **upload(), IfMatch=WRONG) == PRECONDITION
    assert s3.head_object(Bucket=bucket, Key="k")["ETag"] == etag
    assert s3.complete_multipart_upload(**upload(), IfMatch=etag)["ETag"].endswith('-1"')


@pytest.mark.parametrize("size", [10, MIB + 1])
def test_one_of_32_creates(gateway: Gateway, bucket: str, size: int) -> None:
    """Each thread has connections of its own, so that all worker processes take part."""
    clients = [gateway.s3(f"racer {number}", max_pool_connections=1) for number in range(8)]
    barrier = Barrier(32)

    def race(number: int) -> int:
        barrier.wait()
        client, data = clients[number % 8], noise(size, number)
        return outcome(client.put_object, Bucket=bucket, Key="prize", Body=data, IfNoneMatch="*")

    with ThreadPoolExecutor(32) as pool:
        statuses = list(pool.map(race, range(32)))
    assert statuses.count(200) == 1
    assert set(statuses) <= {200, 409, 412}
    with clients[0].get_object(Bucket=bucket, Key="prize")["Body"] as stream:
        assert stream.read() == noise(size, statuses.index(200))


def test_a_counter_that_loses_nothing(gateway: Gateway, bucket: str) -> None:
    """Read, add one, write with If-Match, retry: 8 threads make 40 steps, none of them lost."""
    gateway.s3().put_object(Bucket=bucket, Key="counter", Body=b"0")

    def add(number: int) -> None:
        client = gateway.s3(f"racer {number}", max_pool_connections=1)
        for _ in range(5):
            while True:
                got = client.get_object(Bucket=bucket, Key="counter")
                with got["Body"] as stream:
                    value = int(stream.read())
                new = str(value + 1).encode()
                if (
                    outcome(client.put_object, Bucket=bucket, Key="counter", Body=new, IfMatch=got["ETag"])
                    == 200
                ):
                    break

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(8)))
    with gateway.s3().get_object(Bucket=bucket, Key="counter")["Body"] as stream:
        assert stream.read() == b"40"
