"""CopyObject through boto3, and what the anonymous may read by ACL."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from harness import MIB, Gateway, noise, refusal
from wire import send

ODD_KEYS = [
    "plain",
    "with space",
    "ü/ß",
    "a+b&c=d",
    "per%cent",
    "lit%2Feral",
    "q?versionId=x",
    "a//b",
    "a/../b",
    "#h",
    "😀",
]


def content(s3: Any, bucket: str, key: str) -> bytes:
    """The bytes of an object."""
    with s3.get_object(Bucket=bucket, Key=key)["Body"] as stream:
        return stream.read()


@pytest.mark.parametrize("key", ODD_KEYS)
def test_copy_of_an_odd_key(s3: Any, bucket: str, key: str) -> None:
    data = key.encode() * 7
    put = s3.put_object(Bucket=bucket, Key=key, Body=data)
    done = s3.copy_object(Bucket=bucket, Key=f"copy of {key}", CopySource={"Bucket": bucket, "Key": key})
    assert done["CopyObjectResult"]["ETag"] == put["ETag"]
    assert done["CopyObjectResult"]["LastModified"].year >= 2024
    assert content(s3, bucket, f"copy of {key}") == data


@pytest.mark.parametrize("size", [0, 10, MIB + 1])
def test_copy_across_buckets(s3: Any, bucket: str, name: str, size: int) -> None:
    s3.create_bucket(Bucket=f"{name}-2")
    s3.put_object(Bucket=bucket, Key="k", Body=noise(size))
    s3.copy_object(Bucket=f"{name}-2", Key="k", CopySource=f"/{bucket}/k")
    s3.delete_object(Bucket=bucket, Key="k")
    assert content(s3, f"{name}-2", "k") == noise(size)


def test_metadata_directives(s3: Any, acl_bucket: str) -> None:
    s3.put_object(
        Bucket=acl_bucket, Key="k", Body=b"v", ContentType="text/a", Metadata={"a": "1"}, ACL="public-read"
    )
    source = {"Bucket": acl_bucket, "Key": "k"}
    s3.copy_object(
        Bucket=acl_bucket, Key="copy", CopySource=source, ContentType="ignored/x", Metadata={"ignored": "1"}
    )
    copied = s3.head_object(Bucket=acl_bucket, Key="copy")
    assert (copied["ContentType"], copied["Metadata"]) == ("text/a", {"a": "1"})
    assert len(s3.get_object_acl(Bucket=acl_bucket, Key="copy")["Grants"]) == 1, "an ACL is never copied"
    replace = {"MetadataDirective": "REPLACE", "ContentType": "text/b", "Metadata": {"b": "2"}}
    s3.copy_object(Bucket=acl_bucket, Key="replaced", CopySource=source, **replace)
    replaced = s3.head_object(Bucket=acl_bucket, Key="replaced")
    assert (replaced["ContentType"], replaced["Metadata"]) == ("text/b", {"b": "2"})
    assert refusal(s3.copy_object, Bucket=acl_bucket, Key="k", CopySource=source) == (400, "InvalidRequest")
    s3.copy_object(Bucket=acl_bucket, Key="k", CopySource=source, **replace)
    assert s3.head_object(Bucket=acl_bucket, Key="k")["Metadata"] == {"b": "2"}
    assert content(s3, acl_bucket, "k") == b"v"


def test_copy_conditions(s3: Any, bucket: str) -> None:
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"v")["ETag"]
    call = {"Bucket": bucket, "Key": "copy", "CopySource": {"Bucket": bucket, "Key": "k"}}
    past, future = datetime(2001, 1, 1, tzinfo=UTC), datetime.now(UTC) + timedelta(hours=1)
    failed = (412, "PreconditionFailed")
    assert refusal(s3.copy_object, **call, CopySourceIfMatch='"other"') == failed
    assert refusal(s3.copy_object, **call, CopySourceIfNoneMatch=etag) == failed
    assert refusal(s3.copy_object, **call, CopySourceIfUnmodifiedSince=past) == failed
    assert refusal(s3.copy_object, **call, CopySourceIfModifiedSince=datetime.now(UTC)) == failed
    assert refusal(s3.head_object, Bucket=bucket, Key="copy")[0] == 404
    s3.copy_object(**call, CopySourceIfMatch=etag, CopySourceIfUnmodifiedSince=past)
    s3.copy_object(**call, CopySourceIfModifiedSince=past)
    s3.copy_object(**call, CopySourceIfUnmodifiedSince=future)
    assert refusal(s3.copy_object, **call, IfNoneMatch="*") == failed


def test_copy_of_what_is_not_there(s3: Any, bucket: str, name: str) -> None:
    assert refusal(s3.copy_object, Bucket=bucket, Key="x", CopySource=f"{bucket}/gone") == (404, "NoSuchKey")
    assert refusal(s3.copy_object, Bucket=bucket, Key="x", CopySource=f"{name}-no/k") == (404, "NoSuchBucket")
    s3.put_object(Bucket=bucket, Key="k", Body=b"v")
    assert refusal(s3.copy_object, Bucket=f"{name}-no", Key="x", CopySource=f"{bucket}/k") == (
        404,
        "NoSuchBucket",
    )
    for bad in (
        "/",
        bucket,
        f"{bucket}/",
        "%FF/%FF",
        "192.168.1.1/k",
        "b@d/k",
    ):
        answer = refusal(s3.copy_object, Bucket=bucket, Key="x", CopySource=bad)
        assert answer == (400, "InvalidArgument"), bad
    assert refusal(s3.head_object, Bucket=bucket, Key="x")[0] == 404


@pytest.mark.parametrize("source", ["b/%ZZ", "100%/k", "b/%A/k", "%", "b/%C3%", "b/%C3", "b/%00"])
def test_a_source_that_is_badly_encoded(gateway: Gateway, bucket: str, source: str) -> None:
    s3 = gateway.s3("raw-source")

    def replace(params: Any, **_: Any) -> None:  # boto3 would encode the percent sign
        params["headers"]["x-amz-copy-source"] = source

    s3.meta.events.register("before-call.s3.CopyObject", replace)
    try:
        call = {"Bucket": bucket, "Key": "x", "CopySource": f"{bucket}/k"}
        assert refusal(s3.copy_object, **call) == (400, "InvalidArgument")
    finally:
        s3.meta.events.unregister("before-call.s3.CopyObject", replace)


def test_a_copy_expects_the_owner_of_its_source(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"v")
    call = {"Bucket": bucket, "Key": "x", "CopySource": f"{bucket}/k"}
    assert refusal(s3.copy_object, **call, ExpectedSourceBucketOwner="another") == (403, "AccessDenied")
    owner = s3.get_bucket_acl(Bucket=bucket)["Owner"]["ID"]
    s3.copy_object(**call, ExpectedSourceBucketOwner=owner)
    upload = s3.create_multipart_upload(Bucket=bucket, Key="x")["UploadId"]
    part = call | {"UploadId": upload, "PartNumber": 1}
    assert refusal(s3.upload_part_copy, **part, ExpectedSourceBucketOwner="another") == (403, "AccessDenied")


def test_unknown_words_come_before_the_copy_onto_itself(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"v")
    call = {"Bucket": bucket, "Key": "k", "CopySource": f"{bucket}/k"}
    for option, message in (
        ({"ChecksumAlgorithm": "NONSENSE"}, "Checksum algorithm provided is unsupported"),
        ({"MetadataDirective": "NONSENSE"}, "Unknown metadata directive."),
        ({"TaggingDirective": "NONSENSE"}, "Unknown tagging directive."),
    ):
        with pytest.raises(ClientError) as caught:
            s3.copy_object(**call, **option)
        assert caught.value.response["Error"]["Message"].startswith(message)


def test_copy_of_a_multipart_object_is_one_object(s3: Any, bucket: str) -> None:
    made = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    where = {"Bucket": bucket, "Key": "k", "UploadId": made}
    parts = [
        {"PartNumber": number, "ETag": s3.upload_part(**where, PartNumber=number, Body=data)["ETag"]}
        for number, data in enumerate((noise(5 * MIB), b"tail"), 1)
    ]
    s3.complete_multipart_upload(**where, MultipartUpload={"Parts": parts})
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/k")
    assert content(s3, bucket, "copy") == noise(5 * MIB) + b"tail"


def test_managed_copy_of_a_large_object(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=noise(9 * MIB))
    s3.copy({"Bucket": bucket, "Key": "k"}, bucket, "copy")
    assert content(s3, bucket, "copy") == noise(9 * MIB)


def status(gateway: Gateway, method: str, target: str) -> int:
    """What an unsigned request gets."""
    return send(gateway.port, method, target).status


def test_public_objects(gateway: Gateway, s3: Any, acl_bucket: str) -> None:
    bucket = acl_bucket
    s3.put_object(Bucket=bucket, Key="public", Body=b"open", ACL="public-read", ContentType="text/plain")
    s3.put_object(Bucket=bucket, Key="private", Body=b"closed")
    answer = send(gateway.port, "GET", f"/{bucket}/public")
    assert (answer.status, answer.body, answer.headers["content-type"]) == (200, b"open", "text/plain")
    assert status(gateway, "HEAD", f"/{bucket}/public") == 200
    assert status(gateway, "GET", f"/{bucket}/private") == 403
    assert status(gateway, "HEAD", f"/{bucket}/private") == 403
    assert status(gateway, "GET", f"/{bucket}/missing") == 403, "whether a key exists is nobody's business"
    assert status(gateway, "GET", f"/{bucket}") == 403
    for method in ("PUT", "DELETE"):
        assert status(gateway, method, f"/{bucket}/public") == 403
    assert status(gateway, "POST", f"/{bucket}/public") == 405
    s3.put_object_acl(Bucket=bucket, Key="private", ACL="public-read")
    s3.put_object_acl(Bucket=bucket, Key="public", ACL="private")
    assert status(gateway, "GET", f"/{bucket}/private") == 200
    assert status(gateway, "GET", f"/{bucket}/public") == 403
    head = s3.head_object(Bucket=bucket, Key="private")
    assert head["ContentLength"] == 6
    s3.put_object(Bucket=bucket, Key="private", Body=b"again")
    assert status(gateway, "GET", f"/{bucket}/private") == 403, "an overwrite does not inherit the ACL"


def test_public_buckets(gateway: Gateway, s3: Any, name: str) -> None:
    """READ on a bucket lists it; it does not open its objects."""
    s3.create_bucket(Bucket=name, ACL="public-read", ObjectOwnership="ObjectWriter")
    s3.put_object(Bucket=name, Key="k", Body=b"v")
    listing = send(gateway.port, "GET", f"/{name}?list-type=2")
    assert listing.status == 200
    assert b"<Key>k</Key>" in listing.body
    assert status(gateway, "HEAD", f"/{name}") == 200
    assert status(gateway, "GET", f"/{name}/k") == 403
    assert status(gateway, "PUT", f"/{name}/new") == 403
    assert status(gateway, "GET", f"/{name}?acl") == 403
    s3.put_bucket_acl(Bucket=name, ACL="private")
    assert status(gateway, "GET", f"/{name}") == 403
