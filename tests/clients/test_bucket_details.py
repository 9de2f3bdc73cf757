"""Details of buckets and their configurations in which AWS is exact, through boto3 and over the wire."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from harness import ALICE, Gateway, refusal
from wire import Signer, send

NO_ACLS = (400, "AccessControlListNotSupported")


def test_buckets_of_a_region(s3: Any, bucket: str) -> None:
    def names(region: str) -> list[str]:
        return [one["Name"] for one in s3.list_buckets(Prefix=bucket, BucketRegion=region)["Buckets"]]

    assert names("us-east-1") == [bucket]
    assert names("eu-west-1") == []


def test_a_token_of_a_list_of_buckets_is_opaque(s3: Any, bucket: str) -> None:
    s3.create_bucket(Bucket=f"{bucket}-2")
    token = s3.list_buckets(Prefix=bucket, MaxBuckets=1)["ContinuationToken"]
    assert token != bucket
    rest = s3.list_buckets(Prefix=bucket, ContinuationToken=token)["Buckets"]
    assert [one["Name"] for one in rest] == [f"{bucket}-2"]
    assert refusal(s3.list_buckets, ContinuationToken="no token") == (400, "InvalidArgument")


def test_a_namespace_of_the_accounts_own_is_not_promised(gateway: Gateway, signer: Signer, name: str) -> None:
    def create(namespace: str) -> int:
        headers = {"x-amz-bucket-namespace": namespace}
        return send(gateway.port, "PUT", f"/{name}", signer=signer, signed=headers).status

    assert create("account-regional") == 501
    assert create("global") == 200


def test_object_lock_is_true_or_false(gateway: Gateway, signer: Signer, s3: Any, name: str) -> None:
    def create(value: str) -> tuple[int, str]:
        headers = {"x-amz-bucket-object-lock-enabled": value}
        answer = send(gateway.port, "PUT", f"/{name}", signer=signer, signed=headers)
        return answer.status, answer.code

    assert create("perhaps") == (400, "InvalidArgument")
    assert create("False") == (200, "")
    assert refusal(s3.get_object_lock_configuration, Bucket=name)[0] == 404


@pytest.mark.parametrize(
    ("constraint", "code"),
    [
        ("EU", "IllegalLocationConstraintException"),
        ("us-gov-west-1", "IllegalLocationConstraintException"),
        ("nowhere", "InvalidLocationConstraint"),
        ("", "InvalidLocationConstraint"),
        ("us-east-1a-", "InvalidLocationConstraint"),
    ],
)
def test_a_location_elsewhere_and_one_that_is_none(s3: Any, name: str, constraint: str, code: str) -> None:
    configuration = {"LocationConstraint": constraint}
    assert refusal(s3.create_bucket, Bucket=name, CreateBucketConfiguration=configuration) == (400, code)


def test_a_bucket_is_no_access_point(s3: Any, bucket: str) -> None:
    assert s3.head_bucket(Bucket=bucket)["AccessPointAlias"] is False


def test_an_enforced_bucket_takes_no_acl_at_all(s3: Any, bucket: str) -> None:
    """Not even one that would change nothing, as Terraform's users have learnt."""
    own = s3.get_bucket_acl(Bucket=bucket)
    policy = {"Owner": own["Owner"], "Grants": own["Grants"]}
    assert refusal(s3.put_bucket_acl, Bucket=bucket, ACL="private") == NO_ACLS
    assert refusal(s3.put_bucket_acl, Bucket=bucket, AccessControlPolicy=policy) == NO_ACLS
    s3.put_bucket_ownership_controls(
        Bucket=bucket, OwnershipControls={"Rules": [{"ObjectOwnership": "ObjectWriter"}]}
    )
    s3.put_bucket_acl(Bucket=bucket, AccessControlPolicy=policy)
    s3.put_bucket_acl(Bucket=bucket, ACL="private")


def test_a_public_access_block_says_something(s3: Any, bucket: str) -> None:
    call = {"Bucket": bucket, "PublicAccessBlockConfiguration": {}}
    assert refusal(s3.put_public_access_block, **call) == (400, "InvalidRequest")
    assert refusal(s3.get_public_access_block, Bucket=bucket)[0] == 404


def test_a_policy_is_handled_by_the_buckets_own_account_only(
    gateway: Gateway, alice: Any, bob: Any, s3: Any, name: str
) -> None:
    alice.create_bucket(Bucket=name)
    allowed = ["s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy", "s3:GetBucketCORS"]
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": allowed,
        "Resource": f"arn:aws:s3:::{name}",
    }
    text = json.dumps({"Version": "2012-10-17", "Statement": statement})
    alice.put_bucket_policy(Bucket=name, Policy=text)
    not_allowed = (405, "MethodNotAllowed")
    assert refusal(bob.get_bucket_policy, Bucket=name) == not_allowed
    assert refusal(bob.put_bucket_policy, Bucket=name, Policy=text) == not_allowed
    assert refusal(bob.delete_bucket_policy, Bucket=name) == not_allowed
    assert send(gateway.port, "GET", f"/{name}?policy").status == 405
    assert refusal(bob.get_bucket_cors, Bucket=name) == (404, "NoSuchCORSConfiguration")
    assert json.loads(alice.get_bucket_policy(Bucket=name)["Policy"]) == json.loads(text)
    s3.get_bucket_policy(Bucket=name)
    alice.delete_bucket_policy(Bucket=name)
    assert refusal(bob.get_bucket_policy, Bucket=name) == (403, "AccessDenied")


@pytest.mark.parametrize("spelling", ["{}/closed/k", "/{}/closed/k", "{}/%63losed/k", "/{}%2Fclosed%2Fk"])
def test_a_denied_source_is_denied_in_every_spelling(
    gateway: Gateway, s3: Any, bucket: str, spelling: str
) -> None:
    s3.put_object(Bucket=bucket, Key="closed/k")
    s3.put_object(Bucket=bucket, Key="open/k")
    resource = f"arn:aws:s3:::{bucket}/*"
    denied = {"StringLike": {"s3:x-amz-copy-source": f"{bucket}/closed/*"}}
    common = {"Principal": {"AWS": "alice"}, "Resource": resource}
    allow = {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"], **common}
    deny = {"Effect": "Deny", "Action": "s3:PutObject", "Condition": denied, **common}
    text = json.dumps({"Version": "2012-10-17", "Statement": [allow, deny]})
    s3.put_bucket_policy(Bucket=bucket, Policy=text)

    def copy(source: str) -> int:
        headers = {"x-amz-copy-source": source}
        return send(gateway.port, "PUT", f"/{bucket}/copy", signer=Signer(*ALICE), signed=headers).status

    assert copy(spelling.format(bucket)) == 403
    assert copy(spelling.format(bucket).replace("%63losed", "open").replace("closed", "open")) == 200


def test_brackets_are_encoded_as_aws_documents(s3: Any, bucket: str) -> None:
    """The example of AWS's documentation of `encoding-type`."""
    s3.put_object(Bucket=bucket, Key="test_file(3).png")
    listed = s3.list_objects_v2(Bucket=bucket, EncodingType="url")["Contents"]
    assert [one["Key"] for one in listed] == ["test_file%283%29.png"]


@pytest.mark.parametrize("version", ["1", "3", ""])
def test_a_listing_of_no_known_type_is_of_the_first(
    gateway: Gateway, signer: Signer, bucket: str, version: str
) -> None:
    answer = send(gateway.port, "GET", f"/{bucket}?list-type={version}", signer=signer)
    assert answer.status == 200
    assert b"<Marker>" in answer.body
    assert b"<KeyCount>" not in answer.body


def test_a_token_displaces_start_after(s3: Any, bucket: str) -> None:
    for key in ("a", "b", "c"):
        s3.put_object(Bucket=bucket, Key=key)
    first = s3.list_objects_v2(Bucket=bucket, StartAfter="a", MaxKeys=1)
    assert first["StartAfter"] == "a"
    token = first["NextContinuationToken"]
    rest = s3.list_objects_v2(Bucket=bucket, StartAfter="a", ContinuationToken=token)
    assert [one["Key"] for one in rest["Contents"]] == ["c"]
    assert "StartAfter" not in rest


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("-1", b"Argument max-keys must be an integer between 0 and 2147483647"),
        ("many", b"Provided max-keys not an integer or within integer range"),
        ("1.5", b"Provided max-keys not an integer or within integer range"),
        ("2147483648", b"Provided max-keys not an integer or within integer range"),
        ("-99999999999", b"Provided max-keys not an integer or within integer range"),
    ],
)
@pytest.mark.parametrize("listing", ["", "&list-type=2", "&versions"])
def test_two_ways_not_to_say_how_many(
    gateway: Gateway, signer: Signer, bucket: str, listing: str, value: str, message: bytes
) -> None:
    answer = send(gateway.port, "GET", f"/{bucket}?max-keys={value}{listing}", signer=signer)
    assert (answer.status, answer.code) == (400, "InvalidArgument")
    assert message in answer.body
    assert b"<ArgumentName>max-keys</ArgumentName>" in answer.body


@pytest.mark.parametrize(("unit", "number"), [("Days", 0), ("Years", -1), ("Days", 36501), ("Years", 101)])
def test_a_default_retention_that_is_none(s3: Any, name: str, unit: str, number: int) -> None:
    s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    rule = {"DefaultRetention": {"Mode": "GOVERNANCE", unit: number}}
    configuration = {"ObjectLockEnabled": "Enabled", "Rule": rule}
    with pytest.raises(ClientError) as caught:
        s3.put_object_lock_configuration(Bucket=name, ObjectLockConfiguration=configuration)
    error = caught.value.response["Error"]
    assert (error["Code"], error["ArgumentName"]) == ("InvalidArgument", unit)


@pytest.mark.parametrize(
    ("bucket", "code"),
    [
        ("ab", "InvalidBucketName"),
        ("a%20b", "InvalidBucketName"),
        ("%C3%BCml", "InvalidBucketName"),
        ("a" * 256, "InvalidBucketName"),
        ("Under_Score", "NoSuchBucket"),
        ("a" * 255, "NoSuchBucket"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_what_no_bucket_was_ever_called(
    gateway: Gateway, signer: Signer, method: str, bucket: str, code: str
) -> None:
    assert send(gateway.port, method, f"/{bucket}", signer=signer).code == code
    assert send(gateway.port, method, f"/{bucket}/key", signer=signer).code == code


def test_an_id_that_nobody_has(s3: Any, acl_bucket: str) -> None:
    """The argument is called otherwise in a header than in a document."""
    owner = s3.get_bucket_acl(Bucket=acl_bucket)["Owner"]
    grant = {"Grantee": {"Type": "CanonicalUser", "ID": "0123"}, "Permission": "READ"}
    for call, argument in (
        ({"GrantRead": "id=0123"}, "id"),
        ({"AccessControlPolicy": {"Owner": owner, "Grants": [grant]}}, "CanonicalUser/ID"),
    ):
        with pytest.raises(ClientError) as caught:
            s3.put_bucket_acl(Bucket=acl_bucket, **call)
        error = caught.value.response["Error"]
        assert (error["Code"], error["ArgumentName"], error["ArgumentValue"]) == (
            "InvalidArgument",
            argument,
            "0123",
        )
