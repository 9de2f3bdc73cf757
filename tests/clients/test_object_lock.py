"""Object lock through boto3: what is locked stays, by whatever route."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from harness import refusal

DENIED = (403, "AccessDenied")


@pytest.fixture
def locked(s3: Any, name: str) -> str:
    """A bucket with object lock."""
    s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    return name


def later(days: int = 1) -> datetime:
    """A time to come."""
    return datetime.now(UTC).replace(microsecond=0) + timedelta(days=days)


def put(s3: Any, bucket: str, **lock: Any) -> dict[str, Any]:
    """Write an object; where it is, version included."""
    version = s3.put_object(Bucket=bucket, Key="k", Body=b"v", **lock)["VersionId"]
    return {"Bucket": bucket, "Key": "k", "VersionId": version}


def test_a_bucket_with_object_lock(s3: Any, locked: str) -> None:
    assert s3.get_bucket_versioning(Bucket=locked)["Status"] == "Enabled"
    found = s3.get_object_lock_configuration(Bucket=locked)["ObjectLockConfiguration"]
    assert found == {"ObjectLockEnabled": "Enabled"}
    call = {"Bucket": locked, "VersioningConfiguration": {"Status": "Suspended"}}
    assert refusal(s3.put_bucket_versioning, **call) == (409, "InvalidBucketState")


def test_a_bucket_without(s3: Any, bucket: str) -> None:
    lock = {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": later()}
    assert refusal(s3.put_object, Bucket=bucket, Key="k", **lock) == (400, "InvalidRequest")
    assert refusal(s3.put_object, Bucket=bucket, Key="k", ObjectLockLegalHoldStatus="ON") == (
        400,
        "InvalidRequest",
    )
    s3.put_object(Bucket=bucket, Key="k")
    where = {"Bucket": bucket, "Key": "k"}
    assert refusal(s3.get_object_retention, **where) == (400, "InvalidRequest")
    assert refusal(s3.put_object_legal_hold, **where, LegalHold={"Status": "ON"}) == (400, "InvalidRequest")
    rule = {"ObjectLockEnabled": "Enabled"}
    call = {"Bucket": bucket, "ObjectLockConfiguration": rule}
    assert refusal(s3.put_object_lock_configuration, **call) == (409, "InvalidBucketState")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    s3.put_object_lock_configuration(**call)


@pytest.mark.parametrize(
    ("retention", "code"),
    [
        ({"Mode": "GOVERNANCE", "Days": 0}, "InvalidArgument"),
        ({"Mode": "GOVERNANCE", "Days": 36501}, "InvalidArgument"),
        ({"Mode": "COMPLIANCE", "Years": 101}, "InvalidArgument"),
        ({"Mode": "GOVERNANCE", "Days": 1, "Years": 1}, "MalformedXML"),
        ({"Mode": "GOVERNANCE"}, "MalformedXML"),
        ({"Mode": "NONE", "Days": 1}, "MalformedXML"),
    ],
)
def test_defaults_that_cannot_be(s3: Any, locked: str, retention: dict[str, Any], code: str) -> None:
    rule = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": retention}}
    call = {"Bucket": locked, "ObjectLockConfiguration": rule}
    assert refusal(s3.put_object_lock_configuration, **call) == (400, code)


def test_the_default_retention(s3: Any, locked: str) -> None:
    rule = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 2}}
    s3.put_object_lock_configuration(
        Bucket=locked, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule}
    )
    where = put(s3, locked)
    kept = s3.get_object_retention(**where)["Retention"]
    assert kept["Mode"] == "GOVERNANCE"
    assert abs(kept["RetainUntilDate"] - later(2)) < timedelta(minutes=5)
    head = s3.head_object(**where)
    assert (head["ObjectLockMode"], head["ObjectLockRetainUntilDate"]) == (
        "GOVERNANCE",
        kept["RetainUntilDate"],
    )
    upload = s3.create_multipart_upload(Bucket=locked, Key="m")["UploadId"]
    there = {"Bucket": locked, "Key": "m", "UploadId": upload}
    parts = [{"PartNumber": 1, "ETag": s3.upload_part(**there, PartNumber=1, Body=b"v")["ETag"]}]
    s3.complete_multipart_upload(**there, MultipartUpload={"Parts": parts})
    assert s3.head_object(Bucket=locked, Key="m")["ObjectLockMode"] == "GOVERNANCE"


def test_governance(s3: Any, locked: str) -> None:
    where = put(s3, locked, ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=later())
    assert refusal(s3.delete_object, **where) == DENIED
    doomed = {"Objects": [{"Key": "k", "VersionId": where["VersionId"]}]}
    answer = s3.delete_objects(Bucket=locked, Delete=doomed)
    assert [error["Code"] for error in answer["Errors"]] == ["AccessDenied"]
    shorter = {"Mode": "GOVERNANCE", "RetainUntilDate": datetime.now(UTC) + timedelta(hours=1)}
    assert refusal(s3.put_object_retention, **where, Retention=shorter) == DENIED
    s3.put_object_retention(**where, Retention={"Mode": "GOVERNANCE", "RetainUntilDate": later(3)})
    s3.put_object_retention(**where, Retention=shorter, BypassGovernanceRetention=True)
    assert s3.delete_object(Bucket=locked, Key="k")["DeleteMarker"], (
        "a delete marker hides, and removes nothing"
    )
    s3.delete_object(**where, BypassGovernanceRetention=True)
    assert refusal(s3.head_object, **where)[0] == 404


def test_compliance(s3: Any, locked: str) -> None:
    until = later()
    where = put(s3, locked, ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=until)
    assert refusal(s3.delete_object, **where, BypassGovernanceRetention=True) == DENIED
    for retention in (
        {"Mode": "COMPLIANCE", "RetainUntilDate": until - timedelta(hours=1)},
        {"Mode": "GOVERNANCE", "RetainUntilDate": until + timedelta(days=1)},
        {},
    ):
        call = {**where, "Retention": retention, "BypassGovernanceRetention": True}
        assert refusal(s3.put_object_retention, **call) == DENIED
    s3.put_object_retention(**where, Retention={"Mode": "COMPLIANCE", "RetainUntilDate": later(2)})
    assert s3.get_object_retention(**where)["Retention"]["RetainUntilDate"] == later(2)


def test_legal_hold(s3: Any, locked: str) -> None:
    where = put(s3, locked, ObjectLockLegalHoldStatus="ON")
    assert s3.get_object_legal_hold(**where)["LegalHold"] == {"Status": "ON"}
    assert s3.head_object(**where)["ObjectLockLegalHoldStatus"] == "ON"
    assert refusal(s3.delete_object, **where, BypassGovernanceRetention=True) == DENIED
    s3.put_object_legal_hold(**where, LegalHold={"Status": "OFF"})
    s3.delete_object(**where)


def test_what_was_never_locked(s3: Any, locked: str) -> None:
    where = put(s3, locked)
    absent = (404, "NoSuchObjectLockConfiguration")
    assert refusal(s3.get_object_retention, **where) == absent
    assert refusal(s3.get_object_legal_hold, **where) == absent


@pytest.mark.parametrize(
    "lock",
    [
        {"ObjectLockMode": "GOVERNANCE"},
        {"ObjectLockRetainUntilDate": later()},
        {"ObjectLockMode": "NONSENSE", "ObjectLockRetainUntilDate": later()},
        {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": later(-1)},
        {"ObjectLockLegalHoldStatus": "on"},
    ],
)
def test_headers_that_cannot_be(s3: Any, locked: str, lock: dict[str, Any]) -> None:
    assert refusal(s3.put_object, Bucket=locked, Key="k", **lock) == (400, "InvalidArgument")


def test_bypassing_needs_its_own_permission(s3: Any, alice: Any, locked: str) -> None:
    """CVE-2023-25812: the header alone removes nothing."""
    policy = (
        '{"Statement": [{"Effect": "Allow", "Principal": {"AWS": "alice"}, "Action": '
        f'["s3:DeleteObjectVersion", "s3:PutObjectRetention"], "Resource": "arn:aws:s3:::{locked}/*"}}]}}'
    )
    s3.put_bucket_policy(Bucket=locked, Policy=policy)
    where = put(s3, locked, ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=later())
    assert refusal(alice.delete_object, **where, BypassGovernanceRetention=True) == DENIED
    doomed = {"Objects": [{"Key": "k", "VersionId": where["VersionId"]}]}
    answer = alice.delete_objects(Bucket=locked, Delete=doomed, BypassGovernanceRetention=True)
    assert [error["Code"] for error in answer["Errors"]] == ["AccessDenied"]
    call = {**where, "Retention": {}, "BypassGovernanceRetention": True}
    assert refusal(alice.put_object_retention, **call) == DENIED
    s3.put_bucket_policy(
        Bucket=locked, Policy=policy.replace('["s3:', '["s3:BypassGovernanceRetention", "s3:')
    )
    alice.delete_object(**where, BypassGovernanceRetention=True)
