"""ACLs as AWS's: canned and as grants, in headers and XML, where object ownership lets them count."""

from typing import Any

import pytest
from harness import Gateway, refusal
from wire import Signer, send

from auth.identity import OWNER_ID, canonical_id

ALL_USERS = "http://acs.amazonaws.com/groups/global/AllUsers"
AUTHENTICATED = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"
ALICE_ID = canonical_id("alice")
DENIED = (403, "AccessDenied")
NO_ACLS = (400, "AccessControlListNotSupported")


def grants(answer: dict[str, Any]) -> set[tuple[str, str]]:
    """The grants of an answer, as grantee and permission."""
    return {
        (grant["Grantee"].get("ID") or grant["Grantee"].get("URI"), grant["Permission"])
        for grant in answer["Grants"]
    }


def anonymous(gateway: Gateway, method: str, target: str) -> int:
    """What an unsigned request gets."""
    return send(gateway.port, method, target).status


CANNED = {
    "private": set(),
    "public-read": {(ALL_USERS, "READ")},
    "public-read-write": {(ALL_USERS, "READ"), (ALL_USERS, "WRITE")},
    "authenticated-read": {(AUTHENTICATED, "READ")},
}


@pytest.mark.parametrize(("name_of_acl", "more"), CANNED.items())
def test_canned(s3: Any, acl_bucket: str, name_of_acl: str, more: set[tuple[str, str]]) -> None:
    expected = {(OWNER_ID, "FULL_CONTROL"), *more}
    where = {"Bucket": acl_bucket, "Key": "k"}
    s3.put_object(**where, ACL=name_of_acl)
    assert grants(s3.get_object_acl(**where)) == expected
    s3.put_object_acl(**where, ACL="private")
    s3.put_object_acl(**where, ACL=name_of_acl)
    assert grants(s3.get_object_acl(**where)) == expected
    s3.put_bucket_acl(Bucket=acl_bucket, ACL=name_of_acl)
    assert grants(s3.get_bucket_acl(Bucket=acl_bucket)) == expected


def test_grants_in_headers(s3: Any, alice: Any, bob: Any, acl_bucket: str) -> None:
    where = {"Bucket": acl_bucket, "Key": "k"}
    s3.put_object(**where, Body=b"v", GrantRead=f'id="{ALICE_ID}"', GrantFullControl=f"id={OWNER_ID}")
    assert grants(s3.get_object_acl(**where)) == {(ALICE_ID, "READ"), (OWNER_ID, "FULL_CONTROL")}
    alice.get_object(**where)["Body"].close()
    assert refusal(bob.get_object, **where) == DENIED
    assert refusal(alice.get_object_acl, **where) == DENIED
    assert refusal(alice.put_object, **where) == DENIED
    s3.put_object_acl(**where, GrantReadACP=f"id={ALICE_ID}", GrantWriteACP=f"id={ALICE_ID}")
    assert refusal(alice.get_object, **where) == DENIED
    shown = alice.get_object_acl(**where)
    alice.put_object_acl(**where, AccessControlPolicy={"Owner": shown["Owner"], "Grants": shown["Grants"]})


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"GrantRead": "id=nobody"}, (400, "InvalidArgument")),
        ({"GrantRead": "uri=http://example.com/all"}, (400, "InvalidArgument")),
        ({"GrantRead": "emailAddress=no@example.com"}, (400, "UnresolvableGrantByEmailAddress")),
        ({"GrantRead": "nonsense"}, (400, "InvalidArgument")),
        ({"ACL": "nonsense"}, (400, "InvalidArgument")),
        ({"ACL": "private", "GrantRead": f"uri={ALL_USERS}"}, (400, "InvalidRequest")),
    ],
)
def test_what_cannot_be_granted(
    s3: Any, acl_bucket: str, options: dict[str, str], expected: tuple[int, str]
) -> None:
    where = {"Bucket": acl_bucket, "Key": "k"}
    assert refusal(s3.put_object, **where, **options) == expected
    assert refusal(s3.head_object, **where)[0] == 404
    assert refusal(s3.put_bucket_acl, Bucket=acl_bucket, **options) == expected


def test_the_owner_of_an_acl_cannot_change(s3: Any, acl_bucket: str) -> None:
    policy = {"Owner": {"ID": ALICE_ID}, "Grants": []}
    assert refusal(s3.put_bucket_acl, Bucket=acl_bucket, AccessControlPolicy=policy) == DENIED


def test_buckets_by_acl(gateway: Gateway, s3: Any, alice: Any, acl_bucket: str) -> None:
    s3.put_object(Bucket=acl_bucket, Key="k", Body=b"v")
    assert refusal(alice.list_objects_v2, Bucket=acl_bucket) == DENIED
    s3.put_bucket_acl(Bucket=acl_bucket, ACL="authenticated-read")
    assert alice.list_objects_v2(Bucket=acl_bucket)["KeyCount"] == 1
    assert anonymous(gateway, "GET", f"/{acl_bucket}") == 403, "CVE-2016-7031"
    s3.put_bucket_acl(Bucket=acl_bucket, ACL="public-read-write")
    assert anonymous(gateway, "GET", f"/{acl_bucket}") == 200
    assert anonymous(gateway, "PUT", f"/{acl_bucket}/theirs") == 200
    assert anonymous(gateway, "DELETE", f"/{acl_bucket}/k") == 204
    assert anonymous(gateway, "GET", f"/{acl_bucket}?acl") == 403


def test_writers_own_their_objects(s3: Any, alice: Any, bob: Any, acl_bucket: str) -> None:
    s3.put_bucket_acl(Bucket=acl_bucket, GrantWrite=f"id={ALICE_ID}", GrantRead=f"id={ALICE_ID}")
    where = {"Bucket": acl_bucket, "Key": "k"}
    alice.put_object(**where, Body=b"v")
    assert alice.get_object_acl(**where)["Owner"]["ID"] == ALICE_ID
    (entry,) = alice.list_objects_v2(Bucket=acl_bucket, FetchOwner=True)["Contents"]
    assert entry["Owner"]["ID"] == ALICE_ID
    assert refusal(bob.get_object, **where) == DENIED
    alice.get_object(**where)["Body"].close()
    alice.delete_object(**where)


def test_the_bucket_owner_by_preference(s3: Any, alice: Any, name: str) -> None:
    s3.create_bucket(Bucket=name, ObjectOwnership="BucketOwnerPreferred")
    s3.put_bucket_acl(Bucket=name, GrantWrite=f"id={ALICE_ID}")
    alice.put_object(Bucket=name, Key="given", ACL="bucket-owner-full-control")
    assert s3.get_object_acl(Bucket=name, Key="given")["Owner"]["ID"] == OWNER_ID
    alice.put_object(Bucket=name, Key="kept")
    assert s3.get_object_acl(Bucket=name, Key="kept")["Owner"]["ID"] == ALICE_ID


def test_no_acls_by_default(s3: Any, bucket: str) -> None:
    assert s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]["Rules"] == [
        {"ObjectOwnership": "BucketOwnerEnforced"}
    ]
    where = {"Bucket": bucket, "Key": "k"}
    assert refusal(s3.put_object, **where, ACL="public-read") == NO_ACLS
    assert refusal(s3.head_object, **where)[0] == 404
    s3.put_object(**where, ACL="bucket-owner-full-control")
    assert refusal(s3.put_object_acl, **where, ACL="public-read") == NO_ACLS
    assert refusal(s3.put_bucket_acl, Bucket=bucket, ACL="public-read") == NO_ACLS
    assert grants(s3.get_object_acl(**where)) == {(OWNER_ID, "FULL_CONTROL")}


def test_ownership_switches_acls_off(gateway: Gateway, s3: Any, acl_bucket: str) -> None:
    s3.put_object(Bucket=acl_bucket, Key="k", ACL="public-read")
    s3.put_bucket_acl(Bucket=acl_bucket, ACL="public-read")
    enforced = {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    call = {"Bucket": acl_bucket, "OwnershipControls": enforced}
    assert refusal(s3.put_bucket_ownership_controls, **call) == (400, "InvalidBucketAclWithObjectOwnership")
    s3.put_bucket_acl(Bucket=acl_bucket, ACL="private")
    assert anonymous(gateway, "GET", f"/{acl_bucket}/k") == 200
    s3.put_bucket_ownership_controls(**call)
    assert anonymous(gateway, "GET", f"/{acl_bucket}/k") == 403
    s3.delete_bucket_ownership_controls(Bucket=acl_bucket)
    assert anonymous(gateway, "GET", f"/{acl_bucket}/k") == 200
    assert refusal(s3.get_bucket_ownership_controls, Bucket=acl_bucket) == (
        404,
        "OwnershipControlsNotFoundError",
    )


def test_ownership_of_a_new_bucket(s3: Any, name: str) -> None:
    call = {"Bucket": name, "ACL": "public-read"}
    assert refusal(s3.create_bucket, **call) == (400, "InvalidBucketAclWithObjectOwnership")
    assert refusal(s3.create_bucket, Bucket=name, ObjectOwnership="Nobody") == (400, "InvalidArgument")
    assert refusal(s3.head_bucket, Bucket=name)[0] == 404
    s3.create_bucket(**call, ObjectOwnership="ObjectWriter")
    assert grants(s3.get_bucket_acl(Bucket=name)) == {(OWNER_ID, "FULL_CONTROL"), (ALL_USERS, "READ")}


def test_blocked_public_access(gateway: Gateway, s3: Any, acl_bucket: str) -> None:
    where = {"Bucket": acl_bucket, "Key": "k"}
    s3.put_object(**where, ACL="public-read")
    block = {"BlockPublicAcls": True, "IgnorePublicAcls": False}
    s3.put_public_access_block(Bucket=acl_bucket, PublicAccessBlockConfiguration=block)
    assert s3.get_public_access_block(Bucket=acl_bucket)["PublicAccessBlockConfiguration"] == {
        "BlockPublicAcls": True,
        "IgnorePublicAcls": False,
        "BlockPublicPolicy": False,
        "RestrictPublicBuckets": False,
    }
    for call in (s3.put_object, s3.put_object_acl):
        assert refusal(call, **where, ACL="public-read") == DENIED
    assert refusal(s3.put_bucket_acl, Bucket=acl_bucket, ACL="public-read") == DENIED
    assert anonymous(gateway, "GET", f"/{acl_bucket}/k") == 200
    s3.put_public_access_block(Bucket=acl_bucket, PublicAccessBlockConfiguration={"IgnorePublicAcls": True})
    assert anonymous(gateway, "GET", f"/{acl_bucket}/k") == 403
    s3.delete_public_access_block(Bucket=acl_bucket)
    assert anonymous(gateway, "GET", f"/{acl_bucket}/k") == 200


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"<AccessControlPolicy/>", "MalformedACLError"),
        (b"<nonsense", "MalformedACLError"),
        (b"", "MissingSecurityHeader"),
        (
            (
                f"<AccessControlPolicy><Owner><ID>{OWNER_ID}</ID></Owner><AccessControlList><Grant><Grantee><ID>"
                f"{OWNER_ID}</ID></Grantee><Permission>ALL</Permission></Grant></AccessControlList></AccessControlPolicy>"
            ).encode(),
            "MalformedACLError",
        ),
    ],
)
def test_documents_that_are_none(
    gateway: Gateway, signer: Signer, acl_bucket: str, body: bytes, code: str
) -> None:
    answer = send(gateway.port, "PUT", f"/{acl_bucket}?acl", signer=signer, body=body)
    assert (answer.status, answer.code) == (400, code)
