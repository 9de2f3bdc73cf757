"""Buckets through boto3: names, creation, deletion, listing, location, ACLs, and the subresources nobody serves."""

import re
import uuid
from typing import Any

import pytest
from botocore.handlers import validate_bucket_name
from harness import Gateway, refusal

GOOD_NAMES = ["abc", "a1b", "my.bucket", "0start", "end9", "with-dash", "a" * 63, "xn-notpuny", "1.2.3"]
BAD_NAMES = [
    "ab",
    "a" * 64,
    "Upper",
    "under_score",
    "-start",
    "end-",
    ".start",
    "end.",
    "two..dots",
    "dot.-dash",
    "dash-.dot",
    "192.168.5.4",
    "xn--puny",
    "sthree-x",
    "some-s3alias",
    "some--ol-s3",
    "with space",
    "healthz",
    "health",
    "backends",
    "metrics",
    "console",
    "api",
    "system",
]


@pytest.fixture
def unchecked(gateway: Gateway) -> Any:
    """A client that lets any bucket name through to the server."""
    client = gateway.s3("unchecked")
    client.meta.events.unregister("before-parameter-build.s3", validate_bucket_name)
    return client


@pytest.mark.parametrize("good", GOOD_NAMES)
def test_a_legal_name_is_taken(s3: Any, good: str) -> None:
    s3.create_bucket(Bucket=good)
    s3.put_object(Bucket=good, Key="k", Body=b"v")
    s3.delete_object(Bucket=good, Key="k")
    s3.delete_bucket(Bucket=good)


@pytest.mark.parametrize("bad", BAD_NAMES)
def test_an_illegal_name_is_refused(unchecked: Any, bad: str) -> None:
    assert refusal(unchecked.create_bucket, Bucket=bad) == (400, "InvalidBucketName")


def test_life_of_a_bucket(s3: Any, name: str) -> None:
    assert refusal(s3.head_bucket, Bucket=name) == (404, "404")
    created = s3.create_bucket(Bucket=name)
    assert created["Location"] == f"/{name}"
    assert created["BucketArn"] == f"arn:aws:s3:::{name}"
    head = s3.head_bucket(Bucket=name)
    assert head["BucketRegion"] == "us-east-1"
    assert refusal(s3.create_bucket, Bucket=name) == (409, "BucketAlreadyOwnedByYou")
    s3.put_object(Bucket=name, Key="k", Body=b"v")
    assert refusal(s3.delete_bucket, Bucket=name) == (409, "BucketNotEmpty")
    s3.delete_object(Bucket=name, Key="k")
    s3.delete_bucket(Bucket=name)
    assert refusal(s3.delete_bucket, Bucket=name) == (404, "NoSuchBucket")
    assert refusal(s3.head_bucket, Bucket=name) == (404, "404")


def test_a_new_bucket_of_an_old_name_is_empty(s3: Any, name: str) -> None:
    s3.create_bucket(Bucket=name)
    upload = s3.create_multipart_upload(Bucket=name, Key="left-over")["UploadId"]
    s3.delete_bucket(Bucket=name)
    s3.create_bucket(Bucket=name)
    assert "Contents" not in s3.list_objects_v2(Bucket=name)
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=name)
    assert refusal(s3.list_parts, Bucket=name, Key="left-over", UploadId=upload) == (404, "NoSuchUpload")


def test_everything_in_a_missing_bucket_says_so(s3: Any, name: str) -> None:
    missing = (404, "NoSuchBucket")
    assert refusal(s3.get_object, Bucket=name, Key="k") == missing
    assert refusal(s3.put_object, Bucket=name, Key="k", Body=b"v") == missing
    assert refusal(s3.delete_object, Bucket=name, Key="k") == missing
    assert refusal(s3.list_objects, Bucket=name) == missing
    assert refusal(s3.list_objects_v2, Bucket=name) == missing
    assert refusal(s3.get_bucket_location, Bucket=name) == missing
    assert refusal(s3.create_multipart_upload, Bucket=name, Key="k") == missing
    assert refusal(s3.list_multipart_uploads, Bucket=name) == missing
    assert refusal(s3.put_bucket_acl, Bucket=name) == missing
    assert refusal(s3.get_object_attributes, Bucket=name, Key="k", ObjectAttributes=[]) == missing
    part = {"Bucket": name, "Key": "k", "UploadId": "u", "PartNumber": 1}
    assert refusal(s3.upload_part_copy, **part, CopySource="no-slash") == missing
    assert refusal(s3.delete_objects, Bucket=name, Delete={"Objects": [{"Key": "k"}]}) == missing


def test_location_is_the_configured_region(s3: Any, bucket: str) -> None:
    assert (
        s3.get_bucket_location(Bucket=bucket).get("LocationConstraint") is None
    )  # us-east-1's way to say its name


def test_location_constraint(s3: Any, name: str) -> None:
    elsewhere = {"LocationConstraint": "eu-west-1"}
    status, code = refusal(s3.create_bucket, Bucket=name, CreateBucketConfiguration=elsewhere)
    assert (status, code) == (400, "IllegalLocationConstraintException")
    assert refusal(s3.head_bucket, Bucket=name) == (404, "404")


def test_list_buckets_in_pages(s3: Any) -> None:
    prefix = f"paged-{uuid.uuid4().hex[:8]}"
    names = [f"{prefix}-{number}" for number in range(5)]
    for one in names:
        s3.create_bucket(Bucket=one)
    answer = s3.list_buckets(Prefix=prefix)
    assert [one["Name"] for one in answer["Buckets"]] == names
    assert answer["Prefix"] == prefix
    assert set(answer["Owner"]) >= {"ID"}
    assert all(one["CreationDate"].year >= 2024 for one in answer["Buckets"])
    for size in (1, 2, 4, 5, 6):
        pages = s3.get_paginator("list_buckets").paginate(Prefix=prefix, PaginationConfig={"PageSize": size})
        found = [[one["Name"] for one in page["Buckets"]] for page in pages]
        assert [one for page in found for one in page] == names
        assert all(len(page) <= size for page in found)
    assert set(names) <= {one["Name"] for one in s3.list_buckets()["Buckets"]}


OWNER_GRANT = {"Grantee": {"Type": "CanonicalUser", "ID": "someone"}, "Permission": "FULL_CONTROL"}


@pytest.mark.parametrize(
    ("options", "answer"),
    [
        ({}, (400, "MissingSecurityHeader")),
        ({"ACL": "private", "GrantRead": "id=someone"}, (400, "InvalidRequest")),
        (
            {"ACL": "private", "AccessControlPolicy": {"Owner": {"ID": "x"}, "Grants": [OWNER_GRANT]}},
            (400, "UnexpectedContent"),
        ),
        ({"AccessControlPolicy": {"Grants": [OWNER_GRANT]}}, (400, "MalformedACLError")),
        (
            {
                "AccessControlPolicy": {
                    "Owner": {"ID": "x"},
                    "Grants": [OWNER_GRANT | {"Permission": "NONSENSE"}],
                }
            },
            (400, "MalformedACLError"),
        ),
        (
            {"AccessControlPolicy": {"Owner": {"ID": "x"}, "Grants": [OWNER_GRANT]}},
            (400, "InvalidArgument"),
        ),
    ],
)
def test_bucket_acl_refusals(
    s3: Any, acl_bucket: str, options: dict[str, Any], answer: tuple[int, str]
) -> None:
    assert refusal(s3.put_bucket_acl, Bucket=acl_bucket, **options) == answer


BUCKET_WRITES: list[tuple[str, dict[str, Any]]] = [
    ("put_bucket_versioning", {"VersioningConfiguration": {"Status": "Enabled"}}),
    ("put_bucket_tagging", {"Tagging": {"TagSet": [{"Key": "a", "Value": "b"}]}}),
    ("put_bucket_policy", {"Policy": "{}"}),
    (
        "put_bucket_cors",
        {"CORSConfiguration": {"CORSRules": [{"AllowedMethods": ["GET"], "AllowedOrigins": ["*"]}]}},
    ),
    ("put_bucket_website", {"WebsiteConfiguration": {"IndexDocument": {"Suffix": "i"}}}),
    ("put_bucket_logging", {"BucketLoggingStatus": {}}),
    ("put_bucket_request_payment", {"RequestPaymentConfiguration": {"Payer": "Requester"}}),
    ("put_object_lock_configuration", {"ObjectLockConfiguration": {"ObjectLockEnabled": "Enabled"}}),
    ("put_public_access_block", {"PublicAccessBlockConfiguration": {"BlockPublicAcls": True}}),
    ("put_bucket_accelerate_configuration", {"AccelerateConfiguration": {"Status": "Enabled"}}),
    ("put_bucket_notification_configuration", {"NotificationConfiguration": {}}),
    (
        "put_bucket_ownership_controls",
        {"OwnershipControls": {"Rules": [{"ObjectOwnership": "ObjectWriter"}]}},
    ),
]


@pytest.mark.parametrize(("operation", "parameters"), BUCKET_WRITES, ids=[row[0] for row in BUCKET_WRITES])
def test_a_bucket_subresource_creates_no_bucket(
    s3: Any, name: str, operation: str, parameters: dict[str, Any]
) -> None:
    """It never falls through to CreateBucket."""
    assert refusal(getattr(s3, operation), Bucket=name, **parameters) == (404, "NoSuchBucket")
    assert refusal(s3.head_bucket, Bucket=name) == (404, "404")


def test_every_answer_names_its_request(s3: Any, bucket: str) -> None:
    good = s3.head_bucket(Bucket=bucket)["ResponseMetadata"]
    with pytest.raises(s3.exceptions.NoSuchKey) as caught:
        s3.get_object(Bucket=bucket, Key="missing/key")
    bad = caught.value.response
    for meta in (good, bad["ResponseMetadata"]):
        assert re.fullmatch(r"[0-9A-Z]{16}", meta["RequestId"])
        assert meta["HostId"]
    assert bad["Error"]["Key"] == "missing/key"
    assert bad["Error"]["Message"] == "The specified key does not exist."
    assert bad["ResponseMetadata"]["HTTPHeaders"]["content-type"] == "application/xml"
    assert good["RequestId"] != bad["ResponseMetadata"]["RequestId"]
