"""Tags of objects and buckets: XML, header, directives, limits."""

from typing import Any

import pytest
from harness import refusal


def tag_set(**tags: str) -> list[dict[str, str]]:
    """Tags as boto3 spells them."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def tags_of(s3: Any, bucket: str, key: str = "k") -> dict[str, str]:
    """The tags of an object."""
    return {tag["Key"]: tag["Value"] for tag in s3.get_object_tagging(Bucket=bucket, Key=key)["TagSet"]}


def test_tags_of_an_object(s3: Any, bucket: str) -> None:
    where = {"Bucket": bucket, "Key": "k"}
    etag = s3.put_object(**where, Body=b"v", Tagging="a=1&b%20c=%C3%BC&d=")["ETag"]
    assert tags_of(s3, bucket) == {"a": "1", "b c": "ü", "d": ""}
    assert s3.get_object(**where)["TagCount"] == 3
    s3.put_object_tagging(**where, Tagging={"TagSet": tag_set(x="y")})
    assert tags_of(s3, bucket) == {"x": "y"}
    s3.delete_object_tagging(**where)
    assert tags_of(s3, bucket) == {}
    assert s3.head_object(**where)["ETag"] == etag
    s3.put_object(**where, Tagging="a=1")
    s3.put_object(**where)
    assert tags_of(s3, bucket) == {}, "an overwrite does not inherit tags"
    assert refusal(s3.put_object_tagging, Bucket=bucket, Key="no", Tagging={"TagSet": []}) == (
        404,
        "NoSuchKey",
    )


def test_tags_of_an_upload(s3: Any, bucket: str) -> None:
    where = {"Bucket": bucket, "Key": "k"}
    upload = s3.create_multipart_upload(**where, Tagging="a=1")["UploadId"]
    etag = s3.upload_part(**where, UploadId=upload, PartNumber=1, Body=b"v")["ETag"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
    s3.complete_multipart_upload(**where, UploadId=upload, MultipartUpload=parts)
    assert tags_of(s3, bucket) == {"a": "1"}


@pytest.mark.parametrize("option", [{}, {"ChecksumAlgorithm": "SHA512"}], ids=["shared", "rewritten"])
def test_directives_of_a_copy(s3: Any, bucket: str, option: dict[str, str]) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"v", Tagging="a=1")
    call = {"Bucket": bucket, "Key": "copy", "CopySource": f"{bucket}/k", **option}
    s3.copy_object(**call, Tagging="ignored=1")
    assert tags_of(s3, bucket, "copy") == {"a": "1"}
    s3.copy_object(**call, TaggingDirective="REPLACE", Tagging="b=2")
    assert tags_of(s3, bucket, "copy") == {"b": "2"}
    s3.copy_object(**call, TaggingDirective="REPLACE")
    assert tags_of(s3, bucket, "copy") == {}


BAD_TAGS = [
    (tag_set(**{"k" * 129: ""}), "InvalidTag"),
    (tag_set(k="v" * 257), "InvalidTag"),
    (tag_set(**{"aws:mine": "v"}), "InvalidTag"),
    (tag_set(k="a<b"), "InvalidTag"),
    ([*tag_set(k="1"), *tag_set(k="2")], "InvalidTag"),
    (tag_set(**{f"k{n}": "" for n in range(11)}), "BadRequest"),
]


@pytest.mark.parametrize(("tags", "code"), BAD_TAGS)
def test_tags_that_cannot_be(s3: Any, bucket: str, tags: list[dict[str, str]], code: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Tagging="a=1")
    call = {"Bucket": bucket, "Key": "k", "Tagging": {"TagSet": tags}}
    assert refusal(s3.put_object_tagging, **call) == (400, code)
    assert tags_of(s3, bucket) == {"a": "1"}


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("a=1&a=2", "InvalidArgument"),
        ("=1", "InvalidArgument"),
        ("a=%FF", "InvalidArgument"),
        ("a%", "InvalidArgument"),
        ("a=%4", "InvalidArgument"),
        ("aws:a=1", "InvalidTag"),
        ("&".join(f"k{n}=" for n in range(11)), "BadRequest"),
        (f"{'k' * 129}=1", "InvalidTag"),
    ],
)
def test_headers_that_cannot_be(s3: Any, bucket: str, header: str, code: str) -> None:
    assert refusal(s3.put_object, Bucket=bucket, Key="k", Body=b"v", Tagging=header) == (400, code)
    assert refusal(s3.create_multipart_upload, Bucket=bucket, Key="k", Tagging=header) == (400, code)
    assert refusal(s3.head_object, Bucket=bucket, Key="k")[0] == 404


def test_tags_of_a_bucket(s3: Any, bucket: str) -> None:
    assert refusal(s3.get_bucket_tagging, Bucket=bucket) == (404, "NoSuchTagSet")
    tags = tag_set(**{f"k{n}": "v" for n in range(50)})
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": tags})
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == tags
    too_many = {"TagSet": [*tags, *tag_set(more="v")]}
    assert refusal(s3.put_bucket_tagging, Bucket=bucket, Tagging=too_many) == (400, "BadRequest")
    s3.delete_bucket_tagging(Bucket=bucket)
    assert refusal(s3.get_bucket_tagging, Bucket=bucket) == (404, "NoSuchTagSet")


def test_tags_of_a_new_bucket(s3: Any, name: str) -> None:
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"Tags": tag_set(a="1", b="2")})
    assert s3.get_bucket_tagging(Bucket=name)["TagSet"] == tag_set(a="1", b="2")
    bad = {"Tags": tag_set(**{"aws:x": "1"})}
    assert refusal(s3.create_bucket, Bucket=f"{name}-2", CreateBucketConfiguration=bad) == (400, "InvalidTag")
    assert refusal(s3.head_bucket, Bucket=f"{name}-2")[0] == 404
