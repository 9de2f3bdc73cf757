"""Configurations that cannot be set yet: reading one tells the truth, setting one is refused and changes nothing."""

from typing import Any

import pytest
from harness import refusal

EMPTY = {
    "get_bucket_accelerate_configuration": {},
    "get_bucket_logging": {},
    "get_bucket_notification_configuration": {},
    "get_bucket_request_payment": {"Payer": "BucketOwner"},
    "get_bucket_versioning": {},
}

ABSENT = {
    "get_bucket_cors": "NoSuchCORSConfiguration",
    "get_bucket_encryption": "ServerSideEncryptionConfigurationNotFoundError",
    "get_bucket_lifecycle_configuration": "NoSuchLifecycleConfiguration",
    "get_bucket_ownership_controls": "OwnershipControlsNotFoundError",
    "get_bucket_policy": "NoSuchBucketPolicy",
    "get_bucket_policy_status": "NoSuchBucketPolicy",
    "get_bucket_replication": "ReplicationConfigurationNotFoundError",
    "get_bucket_tagging": "NoSuchTagSet",
    "get_bucket_website": "NoSuchWebsiteConfiguration",
    "get_object_lock_configuration": "ObjectLockConfigurationNotFoundError",
    "get_public_access_block": "NoSuchPublicAccessBlockConfiguration",
}

SETTERS: dict[str, dict[str, Any]] = {
    "put_bucket_versioning": {"VersioningConfiguration": {"Status": "Enabled"}},
    "put_bucket_policy": {"Policy": "{}"},
    "put_bucket_tagging": {"Tagging": {"TagSet": []}},
    "put_bucket_request_payment": {"RequestPaymentConfiguration": {"Payer": "Requester"}},
    "put_bucket_accelerate_configuration": {"AccelerateConfiguration": {"Status": "Enabled"}},
    "delete_bucket_policy": {},
    "delete_bucket_cors": {},
}


@pytest.mark.parametrize(("call", "expected"), EMPTY.items())
def test_what_is_empty_by_default(s3: Any, bucket: str, call: str, expected: dict[str, str]) -> None:
    answer = getattr(s3, call)(Bucket=bucket)
    answer.pop("ResponseMetadata")
    assert answer == expected


@pytest.mark.parametrize(("call", "code"), ABSENT.items())
def test_what_is_absent_by_default(s3: Any, bucket: str, call: str, code: str) -> None:
    assert refusal(getattr(s3, call), Bucket=bucket) == (404, code)


@pytest.mark.parametrize("call", [*EMPTY, *ABSENT])
def test_of_a_bucket_that_is_not_there(s3: Any, name: str, call: str) -> None:
    assert refusal(getattr(s3, call), Bucket=f"{name}-nowhere") == (404, "NoSuchBucket")


@pytest.mark.parametrize(("call", "parameters"), SETTERS.items())
def test_setting_is_refused(s3: Any, bucket: str, call: str, parameters: dict[str, Any]) -> None:
    assert refusal(getattr(s3, call), Bucket=bucket, **parameters) == (501, "NotImplemented")
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_an_object_has_no_tags(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k")
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == []
    assert refusal(s3.get_object_tagging, Bucket=bucket, Key="missing") == (404, "NoSuchKey")


def test_an_acl_given_as_grants(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k")
    policy = s3.get_object_acl(Bucket=bucket, Key="k")
    owner = policy["Owner"]["ID"]
    everybody = {
        "Grantee": {"Type": "Group", "URI": "http://acs.amazonaws.com/groups/global/AllUsers"},
        "Permission": "READ",
    }
    grants = [{"Grantee": {"Type": "CanonicalUser", "ID": owner}, "Permission": "FULL_CONTROL"}, everybody]
    where = {"Bucket": bucket, "Key": "k"}
    s3.put_object_acl(**where, AccessControlPolicy={"Owner": policy["Owner"], "Grants": grants})
    assert len(s3.get_object_acl(**where)["Grants"]) == 2
    s3.put_object_acl(**where, AccessControlPolicy={"Owner": policy["Owner"], "Grants": grants[:1]})
    assert len(s3.get_object_acl(**where)["Grants"]) == 1
    everybody["Permission"] = "WRITE"
    assert refusal(
        s3.put_object_acl, **where, AccessControlPolicy={"Owner": policy["Owner"], "Grants": grants}
    ) == (501, "NotImplemented")
    assert len(s3.get_object_acl(**where)["Grants"]) == 1


def test_an_acl_that_is_none(s3: Any, bucket: str) -> None:
    assert refusal(s3.put_bucket_acl, Bucket=bucket)[0] == 400
