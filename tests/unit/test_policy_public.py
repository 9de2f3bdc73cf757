"""Which bucket policies are public in AWS's sense."""

import json

import pytest

from auth.policy import parse
from auth.public_access import PublicAccessBlock, is_public_policy

TABLE = [
    # principal, condition, public
    ("*", {}, True),
    ({"AWS": "*"}, {}, True),
    ({"AWS": ["bob", "*"]}, {}, True),
    ({"AWS": "bob"}, {}, False),
    ({"CanonicalUser": "x"}, {}, False),
    ({"Service": "logging.s3.amazonaws.com"}, {}, False),
    ("*", {"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}, False),
    ("*", {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, False),
    ("*", {"IpAddress": {"aws:SourceIp": "0.0.0.0/0"}}, True),
    ("*", {"IpAddress": {"aws:SourceIp": "0.0.0.0/1"}}, True),
    ("*", {"IpAddress": {"aws:SourceIp": "64.0.0.0/7"}}, True),
    ("*", {"IpAddress": {"aws:SourceIp": ["203.0.113.0/24", "::/0"]}}, True),
    ("*", {"IpAddress": {"aws:SourceIp": "::ffff:0:0/96"}}, True),
    ("*", {"IpAddress": {"aws:SourceIp": "2001:db8::/32"}}, False),
    ("*", {"IpAddress": {"aws:SourceIp": "2001::/16"}}, True),
    ("*", {"NotIpAddress": {"aws:SourceIp": "203.0.113.0/24"}}, True),
    ("*", {"IpAddressIfExists": {"aws:SourceIp": "203.0.113.0/24"}}, True),
    ("*", {"StringEquals": {"aws:SourceIp": "203.0.113.0/24"}}, True),
    ("*", {"StringEquals": {"aws:SourceVpc": "vpc-1"}}, False),
    ("*", {"StringLike": {"aws:SourceVpc": "vpc-*"}}, True),
    ("*", {"StringEquals": {"aws:SourceVpc": ["vpc-1", "vpc-2"]}}, False),
    ("*", {"StringEquals": {"aws:SourceVpc": ""}}, True),
    ("*", {"StringEquals": {"aws:SourceVpce": "vpce-1"}}, False),
    ("*", {"StringNotEquals": {"aws:SourceVpc": "vpc-1"}}, True),
    ("*", {"ForAllValues:StringEquals": {"aws:SourceVpc": "vpc-1"}}, True),
    ("*", {"ForAnyValue:StringEquals": {"aws:SourceVpc": "vpc-1"}}, False),
    ("*", {"Null": {"aws:SourceVpc": "false"}}, True),
    ("*", {"StringEquals": {"aws:PrincipalOrgID": "o-1"}}, False),
    ("*", {"StringEquals": {"aws:SourceAccount": "123456789012"}}, False),
    ("*", {"StringEquals": {"aws:SourceOwner": "${aws:userid}"}}, True),
    ("*", {"ArnLike": {"aws:SourceArn": "arn:aws:sns:us-east-1:123456789012:topic"}}, False),
    ("*", {"ArnLike": {"aws:SourceArn": "arn:aws:sns:*:*:*"}}, True),
    ("*", {"ArnEquals": {"aws:PrincipalArn": "arn:aws:iam::123456789012:user/bob"}}, False),
    ("*", {"StringEquals": {"aws:userid": "BOBKEY"}}, False),
    ("*", {"StringLike": {"aws:userid": "AROLEID:*"}}, True),
    ("*", {"StringEquals": {"aws:userid": "anonymous"}}, True),
    ("*", {"StringEqualsIgnoreCase": {"aws:userid": "Anonymous"}}, True),
    ("*", {"StringLike": {"s3:DataAccessPointArn": "arn:aws:s3:us-east-1:123456789012:accesspoint/*"}}, False),
    ("*", {"StringLike": {"s3:DataAccessPointArn": "arn:aws:s3:us-east-1:*:accesspoint/x"}}, True),
    ("*", {"StringEquals": {"s3:DataAccessPointAccount": "123456789012"}}, False),
    ("*", {"StringEquals": {"s3:x-amz-server-side-encryption-aws-kms-key-id": "key"}}, False),
    ("*", {"Bool": {"aws:SecureTransport": "true"}}, True),
    ("*", {"StringEquals": {"aws:Referer": "https://example.org"}}, True),
    ("*", {"Bool": {"aws:SecureTransport": "true"}, "StringEquals": {"aws:SourceVpc": "vpc-1"}}, False),
]  # fmt: skip


def policy(principal, condition, effect="Allow", element="Principal"):
    return parse(
        json.dumps(
            {"Version": "2012-10-17",
             "Statement": [{"Effect": effect, element: principal, "Action": "s3:GetObject",
                            "Resource": "arn:aws:s3:::b/*", "Condition": condition}]}
        )
    )  # fmt: skip


@pytest.mark.parametrize(("principal", "condition", "public"), TABLE)
def test_the_meaning_of_public(principal, condition, public):
    assert is_public_policy(policy(principal, condition)) is public


def test_denials_are_not_public_and_exceptions_are():
    assert not is_public_policy(policy("*", {}, effect="Deny"))
    assert is_public_policy(policy({"AWS": "bob"}, {}, element="NotPrincipal"))


def test_one_public_statement_makes_a_policy_public():
    statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*"}
    statements = [{**statement, "Principal": {"AWS": "bob"}}, {**statement, "Principal": "*"}]
    assert is_public_policy(parse(json.dumps({"Statement": statements})))


def test_nothing_is_blocked_by_itself():
    assert PublicAccessBlock() == PublicAccessBlock(False, False, False, False)
