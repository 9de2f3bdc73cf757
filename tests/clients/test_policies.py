"""Bucket policies, identity policies and several accounts, through boto3."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from harness import ALICE, Gateway, refusal
from wire import Signer, send

from auth.identity import canonical_id

DENIED = (403, "AccessDenied")


def policy(bucket: str, *statements: dict[str, Any]) -> str:
    """A policy; a statement without a resource is about the bucket and all its objects."""
    both = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    filled = [{"Effect": "Allow", "Principal": "*", "Resource": both, **one} for one in statements]
    return json.dumps({"Version": "2012-10-17", "Statement": filled})


def test_a_policy_is_kept_as_it_was_put(s3: Any, bucket: str) -> None:
    assert refusal(s3.get_bucket_policy, Bucket=bucket) == (404, "NoSuchBucketPolicy")
    text = policy(bucket, {"Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"})
    s3.put_bucket_policy(Bucket=bucket, Policy=text)
    assert json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"]) == json.loads(text)
    assert s3.get_bucket_policy_status(Bucket=bucket)["PolicyStatus"] == {"IsPublic": True}
    s3.delete_bucket_policy(Bucket=bucket)
    assert refusal(s3.get_bucket_policy, Bucket=bucket) == (404, "NoSuchBucketPolicy")
    assert refusal(s3.get_bucket_policy_status, Bucket=bucket) == (404, "NoSuchBucketPolicy")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "nonsense",
        "{}",
        '{"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:Fly", "Resource": "arn:aws:s3:::%s/*"}]}',
        '{"Statement": [{"Effect": "Maybe", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::%s"}]}',
        '{"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::other"}]}',
        '{"Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:s3:::%s"}]}',
        '{"Statement": [{"Effect": "Allow", "Principal": {"AWS": "nobody"}, "Action": "s3:*",'
        ' "Resource": "arn:aws:s3:::%s"}]}',
    ],
)
def test_policies_that_are_none(gateway: Gateway, signer: Signer, s3: Any, bucket: str, text: str) -> None:
    body = text.replace("%s", bucket).encode()
    answer = send(gateway.port, "PUT", f"/{bucket}?policy", signer=signer, body=body)
    assert answer.status == 400
    assert answer.code in ("MalformedPolicy", "MissingRequestBodyError")
    assert refusal(s3.get_bucket_policy, Bucket=bucket) == (404, "NoSuchBucketPolicy")


def test_reading_for_everybody(gateway: Gateway, s3: Any, alice: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="open/k", Body=b"v")
    s3.put_object(Bucket=bucket, Key="closed", Body=b"v")
    resource = f"arn:aws:s3:::{bucket}/open/*"
    s3.put_bucket_policy(
        Bucket=bucket, Policy=policy(bucket, {"Action": "s3:GetObject", "Resource": resource})
    )
    assert send(gateway.port, "GET", f"/{bucket}/open/k").status == 200
    assert send(gateway.port, "GET", f"/{bucket}/closed").status == 403
    assert send(gateway.port, "GET", f"/{bucket}").status == 403
    assert send(gateway.port, "GET", f"/{bucket}/open/missing").status == 403, (
        "who may not list learns nothing"
    )
    assert send(gateway.port, "GET", f"/{bucket}/open/k?tagging").status == 403
    alice.get_object(Bucket=bucket, Key="open/k")["Body"].close()
    assert refusal(alice.get_object, Bucket=bucket, Key="closed") == DENIED
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration={"RestrictPublicBuckets": True})
    assert send(gateway.port, "GET", f"/{bucket}/open/k").status == 403
    assert refusal(alice.get_object, Bucket=bucket, Key="open/k") == DENIED
    s3.get_object(Bucket=bucket, Key="open/k")["Body"].close()


def test_copying_tells_those_who_may_list_that_the_source_is_missing(
    s3: Any, alice: Any, bucket: str
) -> None:
    objects = {"Action": ["s3:GetObject", "s3:PutObject"], "Resource": f"arn:aws:s3:::{bucket}/*"}
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(bucket, objects))
    upload = alice.create_multipart_upload(Bucket=bucket, Key="parts")["UploadId"]
    copy = {"Bucket": bucket, "Key": "copy", "CopySource": f"{bucket}/missing"}
    part = copy | {"Key": "parts", "UploadId": upload, "PartNumber": 1}
    assert refusal(alice.copy_object, **copy) == refusal(alice.upload_part_copy, **part) == DENIED
    listing = {"Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{bucket}"}
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(bucket, objects, listing))
    missing = (404, "NoSuchKey")
    assert refusal(alice.copy_object, **copy) == refusal(alice.upload_part_copy, **part) == missing


def test_public_policies_can_be_prevented(s3: Any, bucket: str) -> None:
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration={"BlockPublicPolicy": True})
    public = policy(bucket, {"Action": "s3:*"})
    assert refusal(s3.put_bucket_policy, Bucket=bucket, Policy=public) == DENIED
    s3.put_bucket_policy(
        Bucket=bucket, Policy=policy(bucket, {"Action": "s3:*", "Principal": {"AWS": "alice"}})
    )


def test_a_deny_binds_the_owner_too(s3: Any, bucket: str) -> None:
    deny = {"Effect": "Deny", "Action": ["s3:*"]}
    s3.put_object(Bucket=bucket, Key="k")
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(bucket, deny))
    assert refusal(s3.get_object, Bucket=bucket, Key="k") == DENIED
    assert refusal(s3.list_objects_v2, Bucket=bucket) == DENIED
    s3.delete_bucket_policy(Bucket=bucket)
    s3.get_object(Bucket=bucket, Key="k")["Body"].close()


PRINCIPALS = [
    "alice",
    ALICE[0],
    canonical_id("alice"),
    "arn:aws:iam::alice:root",
    f"arn:aws:iam:::user/{ALICE[0]}",
]


@pytest.mark.parametrize("principal", PRINCIPALS)
def test_principals(s3: Any, alice: Any, bob: Any, bucket: str, principal: str) -> None:
    s3.put_object(Bucket=bucket, Key="k")
    statement = {
        "Action": "s3:GetObject",
        "Principal": {"AWS": principal},
        "Resource": f"arn:aws:s3:::{bucket}/*",
    }
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(bucket, statement))
    alice.get_object(Bucket=bucket, Key="k")["Body"].close()
    assert refusal(bob.get_object, Bucket=bucket, Key="k") == DENIED
    assert refusal(alice.put_object, Bucket=bucket, Key="k") == DENIED


def test_existing_tags(s3: Any, alice: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="public", Tagging="security=public")
    s3.put_object(Bucket=bucket, Key="secret", Tagging="security=secret")
    condition = {"StringEquals": {"s3:ExistingObjectTag/security": "public"}}
    statement = {"Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*", "Condition": condition}
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(bucket, statement))
    alice.get_object(Bucket=bucket, Key="public")["Body"].close()
    assert refusal(alice.get_object, Bucket=bucket, Key="secret") == DENIED


def test_requested_tags_and_headers(s3: Any, alice: Any, bucket: str) -> None:
    condition = {"StringEquals": {"s3:RequestObjectTag/team": "red", "s3:x-amz-storage-class": "STANDARD_IA"}}
    actions = ["s3:PutObject", "s3:PutObjectTagging"]
    statement = {"Action": actions, "Resource": f"arn:aws:s3:::{bucket}/*", "Condition": condition}
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(bucket, statement))
    call = {"Bucket": bucket, "Key": "k", "StorageClass": "STANDARD_IA"}
    alice.put_object(**call, Tagging="team=red")
    assert refusal(alice.put_object, **call, Tagging="team=blue") == DENIED
    assert refusal(alice.put_object, **call) == DENIED


def test_headers_ask_for_more_actions(s3: Any, alice: Any, bucket: str) -> None:
    statement = {"Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(bucket, statement))
    alice.put_object(Bucket=bucket, Key="k")
    assert refusal(alice.put_object, Bucket=bucket, Key="k", Tagging="a=1") == DENIED
    assert refusal(alice.create_multipart_upload, Bucket=bucket, Key="k", Tagging="a=1") == DENIED


def test_prefix_of_a_listing(s3: Any, alice: Any, bucket: str) -> None:
    condition = {"StringLike": {"s3:prefix": "home/*"}}
    statement = {"Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{bucket}", "Condition": condition}
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(bucket, statement))
    alice.list_objects_v2(Bucket=bucket, Prefix="home/a")
    assert refusal(alice.list_objects_v2, Bucket=bucket, Prefix="etc/") == DENIED
    assert refusal(alice.list_objects_v2, Bucket=bucket) == DENIED


def test_deleting_several_asks_for_each(s3: Any, alice: Any, bucket: str) -> None:
    for key in ("mine/a", "yours/b"):
        s3.put_object(Bucket=bucket, Key=key)
    statement = {"Action": "s3:DeleteObject", "Resource": f"arn:aws:s3:::{bucket}/mine/*"}
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(bucket, statement))
    answer = alice.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "yours/b"}, {"Key": "mine/a"}]})
    assert [one["Key"] for one in answer["Deleted"]] == ["mine/a"]
    assert [(one["Key"], one["Code"]) for one in answer["Errors"]] == [("yours/b", "AccessDenied")]


def test_a_version_needs_its_own_permission(s3: Any, alice: Any, bucket: str) -> None:
    """RustFS 3ppv: `versionId` is not read with GetObject's permission."""
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    version = s3.put_object(Bucket=bucket, Key="k")["VersionId"]
    s3.put_bucket_policy(
        Bucket=bucket, Policy=policy(bucket, {"Action": ["s3:GetObject", "s3:DeleteObject", "s3:ListBucket"]})
    )
    alice.get_object(Bucket=bucket, Key="k")["Body"].close()
    for call in (alice.get_object, alice.head_object, alice.delete_object):
        assert refusal(call, Bucket=bucket, Key="k", VersionId=version)[0] == 403
    assert refusal(alice.list_object_versions, Bucket=bucket) == DENIED, "RustFS x298"


def test_the_source_of_a_copy_is_read(s3: Any, alice: Any, bucket: str, name: str) -> None:
    """CVE-2026-39360 (RustFS mx42): CopyObject and UploadPartCopy need the right to read their source."""
    own = f"{name}-alice"
    alice.create_bucket(Bucket=own)
    s3.put_object(Bucket=bucket, Key="secret", Body=b"v")
    call = {"Bucket": own, "Key": "k", "CopySource": f"{bucket}/secret"}
    assert refusal(alice.copy_object, **call) == DENIED
    upload = alice.create_multipart_upload(Bucket=own, Key="k")["UploadId"]
    assert refusal(alice.upload_part_copy, **call, UploadId=upload, PartNumber=1) == DENIED
    assert refusal(alice.copy_object, **call, CopySourceIfMatch='"x"') == DENIED, "RustFS wfxj"
    statement = {"Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(bucket, statement))
    alice.copy_object(**call)
    alice.upload_part_copy(**call, UploadId=upload, PartNumber=1)


def test_accounts_have_their_own_buckets(s3: Any, alice: Any, bob: Any, name: str) -> None:
    alice.create_bucket(Bucket=name)
    assert name in [one["Name"] for one in alice.list_buckets()["Buckets"]]
    assert name not in [one["Name"] for one in bob.list_buckets()["Buckets"]]
    assert name in [one["Name"] for one in s3.list_buckets()["Buckets"]]
    assert refusal(bob.create_bucket, Bucket=name) == (409, "BucketAlreadyExists")
    assert refusal(alice.create_bucket, Bucket=name) == (409, "BucketAlreadyOwnedByYou")
    for call in (bob.list_objects_v2, bob.get_bucket_acl, bob.delete_bucket, bob.get_bucket_policy):
        assert refusal(call, Bucket=name) == DENIED
    alice.put_object(Bucket=name, Key="k")
    assert alice.get_bucket_acl(Bucket=name)["Owner"]["ID"] == canonical_id("alice")
    s3.get_object(Bucket=name, Key="k")["Body"].close()
    alice.delete_object(Bucket=name, Key="k")
    alice.delete_bucket(Bucket=name)


def test_a_policy_of_a_key_narrows_it(start: Callable[..., Gateway]) -> None:
    gateway = start()
    s3 = gateway.s3()
    s3.create_bucket(Bucket="shared")
    s3.put_object(Bucket="shared", Key="k", Body=b"v")
    allow = {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": "arn:aws:s3:::shared/*"}
    narrow = {"Version": "2012-10-17", "Statement": [allow]}
    gateway.add_credential("READER001", "reader-secret", policy=narrow)
    gateway.stop()
    gateway.start()
    reader = gateway.s3("reader", key="READER001", secret="reader-secret")
    reader.get_object(Bucket="shared", Key="k")["Body"].close()
    for call, parameters in (
        (reader.put_object, {"Bucket": "shared", "Key": "k"}),
        (reader.delete_object, {"Bucket": "shared", "Key": "k"}),
        (reader.list_objects_v2, {"Bucket": "shared"}),
        (reader.create_bucket, {"Bucket": "another"}),
        (reader.put_bucket_policy, {"Bucket": "shared", "Policy": policy("shared", {"Action": "s3:*"})}),
        (reader.list_buckets, {}),
    ):
        assert refusal(call, **parameters) == DENIED


def test_addresses_are_those_of_trusted_proxies(start: Callable[..., Gateway]) -> None:
    """CVE-2026-21862: X-Forwarded-For satisfies aws:SourceIp only from a proxy that is trusted."""
    forged = {"x-forwarded-for": "192.0.2.7, 10.0.0.1"}
    condition = {"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}
    for proxies, status in (([], 403), (["127.0.0.1/32"], 403), (["127.0.0.0/8", "10.0.0.0/8"], 200)):
        gateway = start(auth={"trusted_proxies": proxies})
        s3 = gateway.s3()
        s3.create_bucket(Bucket="place")
        s3.put_object(Bucket="place", Key="k", Body=b"v")
        statement = {"Action": "s3:GetObject", "Resource": "arn:aws:s3:::place/*", "Condition": condition}
        s3.put_bucket_policy(Bucket="place", Policy=policy("place", statement))
        assert send(gateway.port, "GET", "/place/k", extra=forged).status == status
