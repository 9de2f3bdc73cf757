"""Logging configurations: what is read, kept, answered and refused."""

from types import SimpleNamespace

import pytest

from auth.accounts import OneAccount
from auth.acl import ALL_USERS, LOG_DELIVERY, Grant, Permission
from auth.identity import OWNER_ID
from backends.base import BucketInfo, Doc
from gateway.configurations import logging, object_lock, request_payment
from gateway.configurations.logging import Logging, check_target
from gateway.errors import S3Error

CONTEXT = SimpleNamespace(bucket_owner=OWNER_ID, services=SimpleNamespace(accounts=OneAccount()))
TARGET = "<TargetBucket>logs</TargetBucket><TargetPrefix>a/</TargetPrefix>"
GROUP = (
    '<Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="Group">'
    f"<URI>{LOG_DELIVERY}</URI></Grantee>"
)
GRANT = f"<Grant>{GROUP}<Permission>READ</Permission></Grant>"
PARTITIONED = "<PartitionedPrefix><PartitionDateSource>EventTime</PartitionDateSource></PartitionedPrefix>"


def document(*inner):
    return f"<BucketLoggingStatus><LoggingEnabled>{''.join(inner)}</LoggingEnabled></BucketLoggingStatus>".encode()


def read(*inner):
    text = logging.read(document(*inner), CONTEXT)
    found = logging.load(text)
    assert logging.show(found) == text
    return found


def test_the_least():
    assert read(TARGET) == Logging("logs", "a/")
    assert read("<TargetBucket>logs</TargetBucket><TargetPrefix/>") == Logging("logs", "")


def test_nothing_ends_the_logging():
    assert logging.read(b'<BucketLoggingStatus xmlns="urn:x"/>', CONTEXT) is None


@pytest.mark.parametrize(
    ("inner", "found"),
    [
        ("<SimplePrefix/>", "SimplePrefix"),
        (PARTITIONED, "EventTime"),
        (PARTITIONED.replace("EventTime", "DeliveryTime"), "DeliveryTime"),
        ("<PartitionedPrefix/>", "DeliveryTime"),
    ],
)
def test_formats_of_keys(inner, found):
    assert read(TARGET, f"<TargetObjectKeyFormat>{inner}</TargetObjectKeyFormat>").format == found


def test_grants():
    person = f"<Grant><Grantee><ID>{OWNER_ID}</ID></Grantee><Permission>FULL_CONTROL</Permission></Grant>"
    found = read(TARGET, f"<TargetGrants>{GRANT}{person}</TargetGrants>")
    assert found.grants == (
        Grant(LOG_DELIVERY, Permission.READ),
        Grant(OWNER_ID, Permission.FULL_CONTROL),
    )
    assert 'xsi:type="Group"' in logging.show(found)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<LoggingEnabled/>",
        b"<BucketLoggingStatus><Other/></BucketLoggingStatus>",
        document(),
        document("<TargetBucket>logs</TargetBucket>"),
        document("<TargetPrefix>a</TargetPrefix>"),
        document(TARGET, TARGET),
        document(TARGET, "<Other/>"),
        document(TARGET, "<TargetObjectKeyFormat/>"),
        document(TARGET, "<TargetObjectKeyFormat><Other/></TargetObjectKeyFormat>"),
        document(TARGET, f"<TargetObjectKeyFormat>{PARTITIONED}<SimplePrefix/></TargetObjectKeyFormat>"),
        document(
            TARGET, f"<TargetObjectKeyFormat>{PARTITIONED}</TargetObjectKeyFormat>".replace("Event", "No")
        ),
        document(TARGET, "<TargetGrants><Grant/></TargetGrants>"),
        document(TARGET, f"<TargetGrants>{GRANT.replace('READ', 'SEE')}</TargetGrants>"),
    ],
)
def test_what_is_no_configuration(data):
    with pytest.raises(S3Error) as caught:
        logging.read(data, CONTEXT)
    assert caught.value.code == "MalformedXML"


def test_a_prefix_leaves_room_for_the_rest_of_a_key():
    with pytest.raises(S3Error) as caught:
        read(TARGET.replace("a/", "é" * 401))
    assert caught.value.code == "InvalidArgument"


KMS = (
    "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>aws:kms</SSEAlgorithm>"
    "</ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>"
)
RETENTION = (
    "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention>"
    "<Mode>GOVERNANCE</Mode><Days>1</Days></DefaultRetention></Rule></ObjectLockConfiguration>"
)
PUBLIC = (Grant(ALL_USERS, Permission.READ),)
BLOCKED = (
    "<PublicAccessBlockConfiguration><BlockPublicAcls>true</BlockPublicAcls><BlockPublicPolicy>false</BlockPublicPolicy>"
    "<IgnorePublicAcls>false</IgnorePublicAcls><RestrictPublicBuckets>false</RestrictPublicBuckets>"
    "</PublicAccessBlockConfiguration>"
)


@pytest.mark.parametrize(
    ("owner", "docs", "grants", "code"),
    [
        ("else", {}, (), "InvalidTargetBucketForLogging"),
        ("", {Doc.OBJECT_LOCK: RETENTION}, (), "InvalidTargetBucketForLogging"),
        (
            "",
            {Doc.REQUEST_PAYMENT: request_payment.show("Requester").decode()},
            (),
            "InvalidTargetBucketForLogging",
        ),
        ("", {Doc.ENCRYPTION: KMS}, (), "InvalidTargetBucketForLogging"),
        ("", {Doc.OWNERSHIP: "BucketOwnerEnforced"}, PUBLIC, "AccessControlListNotSupported"),
        ("", {Doc.PUBLIC_ACCESS_BLOCK: BLOCKED}, PUBLIC, "AccessDenied"),
    ],
)
def test_buckets_that_cannot_take_a_log(owner, docs, grants, code):
    with pytest.raises(S3Error) as caught:
        check_target(Logging("logs", "", grants), BucketInfo("b", 0), BucketInfo("logs", 0, docs, owner))
    assert caught.value.code == code


@pytest.mark.parametrize(
    "docs",
    [
        {},
        {Doc.OWNERSHIP: "BucketOwnerEnforced"},
        {Doc.OBJECT_LOCK: object_lock.ENABLED},
        {Doc.ENCRYPTION: KMS.replace("aws:kms", "AES256")},
        {Doc.REQUEST_PAYMENT: request_payment.show("BucketOwner").decode()},
    ],
)
def test_buckets_that_can(docs):
    check_target(Logging("logs", ""), BucketInfo("b", 0), BucketInfo("logs", 0, docs))
