"""The policy of a form: every kind of condition, both ways."""

import base64
import json
from datetime import UTC, datetime

import pytest
from refusals import refused

from gateway.post_policy import LengthRange, parse_post_policy

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()
LATER = "2026-11-21T12:00:01.000Z"


def encode(policy):
    return base64.b64encode(json.dumps(policy).encode()).decode()


def parse(*conditions, **changes):
    return parse_post_policy(encode({"expiration": LATER, "conditions": list(conditions)} | changes))


def denied(policy, fields, reason):
    with refused("AccessDenied") as caught:
        policy.check(fields, now=NOW)
    assert caught.value.message == f"Invalid according to Policy: {reason}"


@pytest.mark.parametrize(
    ("condition", "passes", "fails"),
    [
        ({"acl": "private"}, {"acl": "private"}, {"acl": "public-read"}),
        ({"AcL": "private"}, {"acl": "private"}, {}),
        (["eq", "$key", "a/b"], {"key": "a/b"}, {"key": "a/bc"}),
        (["EQ", "$KeY", ""], {"key": ""}, {}),
        (["starts-with", "$key", "user/"], {"key": "user/x"}, {"key": "other/user/"}),
        (["starts-with", "$key", "user/"], {"key": "user/"}, {"key": "User/"}),
        (["Starts-With", "$x-amz-meta-a", ""], {"x-amz-meta-a": "anything"}, {}),
        (
            ["starts-with", "$Content-Type", "image/"],
            {"content-type": "image/png"},
            {"content-type": "text/html"},
        ),
        (
            ["starts-with", "$Content-Type", "image/"],
            {"content-type": "image/png, image/gif"},
            {"content-type": "image/png,text/html"},
        ),
        (["eq", "$key", "\\$dollar"], {"key": "\\$dollar"}, {"key": "$dollar"}),
    ],
)
def test_conditions(condition, passes, fails):
    policy = parse(condition)
    policy.check(passes, now=NOW)
    with refused("AccessDenied") as caught:
        policy.check(fails, now=NOW)
    assert caught.value.message.startswith("Invalid according to Policy: Policy Condition failed: [")


def test_what_a_failed_condition_is_told_as():
    denied(
        parse({"bucket": "mine"}), {"bucket": "yours"}, 'Policy Condition failed: ["eq", "$bucket", "mine"]'
    )
    denied(
        parse(["starts-with", "$Key", "a"]),
        {"key": "b"},
        'Policy Condition failed: ["starts-with", "$Key", "a"]',
    )


def test_every_condition_counts():
    policy = parse(["starts-with", "$key", "a"], ["starts-with", "$key", "ab"])
    policy.check({"key": "abc"}, now=NOW)
    denied(policy, {"key": "ac"}, 'Policy Condition failed: ["starts-with", "$key", "ab"]')


def test_fields_that_no_condition_covers():
    policy = parse({"key": "k"})
    signature = {"policy", "signature", "x-amz-signature", "awsaccesskeyid", "file", "x-ignore-me"}
    policy.check({"key": "k"} | dict.fromkeys(signature, "x"), now=NOW)
    denied(policy, {"key": "k", "acl": "public-read"}, "Extra input fields: acl")
    denied(policy, {"key": "k", "bucket": "b", "x-amz-date": "d"}, "Extra input fields: bucket, x-amz-date")


def test_expiration():
    parse().check({}, now=NOW)
    denied(parse(expiration="2026-11-21T12:00:00Z"), {}, "Policy expired.")
    denied(parse(expiration="2007-12-01T12:00:00.000Z"), {}, "Policy expired.")


@pytest.mark.parametrize(
    ("ranges", "length"),
    [
        ([], LengthRange()),
        ([["content-length-range", 1, 1024]], LengthRange(1, 1024)),
        ([["Content-Length-Range", "0", "10"]], LengthRange(0, 10)),
        ([["content-length-range", 1, 9], ["content-length-range", 5, 20]], LengthRange(5, 9)),
    ],
)
def test_length_ranges(ranges, length):
    assert parse(*ranges).length == length


@pytest.mark.parametrize(
    "text",
    [
        "",
        "!",
        "bm8ganNvbg==",
        encode([]),
        encode("policy"),
        encode({}),
        encode({"expiration": LATER}),
        encode({"conditions": []}),
        encode({"expiration": LATER, "conditions": {}}),
        encode({"expiration": LATER, "CONDITIONS": []}),
        encode({"expiration": LATER, "conditions": [], "more": 1}),
        base64.b64encode(b"\xff\xfe").decode(),
        base64.b64encode(b"[" * 12_000).decode(),
        base64.b64encode(b'{"expiration": ' + b"9" * 5000 + b"}").decode(),
    ],
)
def test_malformed_documents(text):
    with refused("InvalidPolicyDocument"):
        parse_post_policy(text)


@pytest.mark.parametrize(
    "condition",
    [
        {},
        {"a": "1", "b": "2"},
        {"success_action_status": 201},
        {"key": None},
        "key",
        None,
        [],
        ["eq", "$key"],
        ["eq", "key", "k"],
        ["eq", "$", "k"],
        ["eq", "$key", 1],
        [["eq"], "$key", "k"],
        ["in", "$key", "k"],
        ["content-length-range", 0],
        ["content-length-range", -1, 0],
        ["content-length-range", 0, 1.5],
        ["content-length-range", True, 1],
        ["content-length-range", 0, 2**63],
        ["content-length-range", None, "1"],
    ],
)
def test_malformed_conditions(condition):
    with refused("InvalidPolicyDocument"):
        parse(condition)


@pytest.mark.parametrize(
    "when",
    [
        1,
        "",
        "tomorrow",
        "2026-11-21 12:00:00.123+00:00",
        "2026-11-21T12:00:00",
        "2026-13-01T00:00:00Z",
        "2026-11-21",
    ],
)
def test_malformed_expirations(when):
    with refused("InvalidPolicyDocument"):
        parse(expiration=when)
