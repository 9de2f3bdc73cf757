"""Configurations of a bucket that has none, and those that cannot be set."""

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
    "get_bucket_policy": "NoSuchBucketPolicy",
    "get_bucket_policy_status": "NoSuchBucketPolicy",
    "get_bucket_replication": "ReplicationConfigurationNotFoundError",
    "get_bucket_tagging": "NoSuchTagSet",
    "get_bucket_website": "NoSuchWebsiteConfiguration",
    "get_object_lock_configuration": "ObjectLockConfigurationNotFoundError",
    "get_public_access_block": "NoSuchPublicAccessBlockConfiguration",
}

REFUSED: dict[str, dict[str, Any]] = {
    "put_bucket_accelerate_configuration": {"AccelerateConfiguration": {"Status": "Enabled"}},
    "put_bucket_analytics_configuration": {
        "Id": "a",
        "AnalyticsConfiguration": {"Id": "a", "StorageClassAnalysis": {}},
    },
    "put_bucket_intelligent_tiering_configuration": {
        "Id": "a",
        "IntelligentTieringConfiguration": {
            "Id": "a",
            "Status": "Enabled",
            "Tierings": [{"Days": 90, "AccessTier": "ARCHIVE_ACCESS"}],
        },
    },
    "put_bucket_metrics_configuration": {"Id": "a", "MetricsConfiguration": {"Id": "a"}},
    "put_bucket_replication": {
        "ReplicationConfiguration": {
            "Role": "r",
            "Rules": [{"Status": "Enabled", "Destination": {"Bucket": "arn:aws:s3:::b"}}],
        }
    },
    "list_bucket_analytics_configurations": {},
    "list_bucket_inventory_configurations": {},
    "list_bucket_metrics_configurations": {},
    "delete_bucket_replication": {},
}
"""What nothing here would act on, so that keeping it would be a lie."""

DELETED = (
    "delete_bucket_cors",
    "delete_bucket_encryption",
    "delete_bucket_lifecycle",
    "delete_bucket_ownership_controls",
    "delete_bucket_policy",
    "delete_bucket_tagging",
    "delete_bucket_website",
    "delete_public_access_block",
)


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


@pytest.mark.parametrize(("call", "parameters"), REFUSED.items())
def test_what_nothing_would_act_on_is_refused(
    s3: Any, bucket: str, call: str, parameters: dict[str, Any]
) -> None:
    assert refusal(getattr(s3, call), Bucket=bucket, **parameters) == (501, "NotImplemented")
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


@pytest.mark.parametrize("call", DELETED)
def test_removing_what_is_not_there(s3: Any, bucket: str, call: str) -> None:
    assert getattr(s3, call)(Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"] == 204


def test_an_object_has_no_tags(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k")
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == []
    assert refusal(s3.get_object_tagging, Bucket=bucket, Key="missing") == (404, "NoSuchKey")
