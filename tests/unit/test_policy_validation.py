"""Which policies may be put, and what is said of the others."""

import json

import pytest
from refusals import refused

from auth.actions import ACTIONS, Kind, covered, resource
from auth.identity import canonical_id
from auth.policy import validate_bucket_policy, validate_identity_policy
from gateway.operations import OPERATIONS, UNKNOWN

KNOWN = {"bob", canonical_id("bob"), "BOBKEY"}
GOOD = {
    "Effect": "Allow",
    "Principal": "*",
    "Action": "s3:GetObject",
    "Resource": "arn:aws:s3:::b/*",
}
ABSENT = object()


def put(document, bucket="b"):
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    return validate_bucket_policy(data, bucket, KNOWN.__contains__)


def with_statement(**elements):
    found = {**GOOD, **elements}
    return {
        "Version": "2012-10-17",
        "Statement": [{name: value for name, value in found.items() if value is not ABSENT}],
    }


def refuses(document, message):
    with refused("MalformedPolicy") as caught:
        put(document)
    assert caught.value.status == 400
    assert caught.value.message == message


@pytest.mark.parametrize(
    "elements",
    [
        {},
        {"Sid": "any text, also é"},
        {"Effect": "Deny", "Condition": {"Bool": {"aws:SecureTransport": "false"}}},
        {"Principal": {"AWS": ["bob", "arn:aws:iam::bob:root"], "CanonicalUser": canonical_id("bob")}},
        {"Principal": {"Service": "logging.s3.amazonaws.com", "Federated": "cognito-identity.amazonaws.com"}},
        {"Principal": ABSENT, "NotPrincipal": {"AWS": "BOBKEY"}, "Effect": "Deny"},
        {"Action": "s3:*"},
        {"Action": "*"},
        {"Action": ["s3:getobject", "s3:Put*"]},
        {"Action": ABSENT, "NotAction": "s3:DeleteBucket"},
        {"Action": "s3:ListBucket", "Resource": "arn:aws:s3:::b"},
        {"Action": ["s3:ListBucket", "s3:GetObject"], "Resource": ["arn:aws:s3:::b", "arn:aws:s3:::b/*"]},
        {"Action": "s3:Get*", "Resource": "arn:aws:s3:::b"},
        {"Resource": "arn:aws:s3:::b/home/${aws:username}/*"},
        {"Resource": ABSENT, "NotResource": "arn:aws:s3:::b/secret/*"},
        {"Condition": {}},
        {
            "Condition": {
                "StringEquals": {"s3:ExistingObjectTag/a": ["b", "c"]},
                "Null": {"aws:SourceIp": True},
            }
        },
    ],
)
def test_good_policies_are_kept_as_they_are(elements):
    document = json.dumps(with_statement(**elements), indent=1)
    assert put(document.encode()) == document


def test_one_statement_needs_no_list_and_a_policy_no_version():
    put({"Id": "x", "Statement": GOOD})


@pytest.mark.parametrize(
    "data",
    [
        b"{",
        b"{}}",
        b'{"Statement": NaN}',
        b'{"Statement": [], "Id": "\xff"}',
        b'{"Id": "\\ud800", "Statement": []}',
        b'{"Statement": ' + b"[" * 20_000,
    ],
)
def test_what_is_not_json(data):
    refuses(data, "This policy contains invalid Json")


@pytest.mark.parametrize("data", [b"", b" {}", b"\xef\xbb\xbf{}", b"[]", b"x"])
def test_what_does_not_begin_as_a_policy(data):
    refuses(data, "Policies must be valid JSON and the first byte must be '{'")


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "Missing required field Statement"),
        ({"Statement": []}, "Could not parse the policy: Statement is empty!"),
        ({"Statement": "x"}, "Invalid policy syntax."),
        ({"Statement": ["x"]}, "Invalid policy syntax."),
        ({"Statement": [GOOD], "Version": "2012-10-18"}, "The policy must contain a valid version string"),
        ({"Statement": [GOOD], "Version": []}, "The policy must contain a valid version string"),
        ({"Statement": [GOOD], "Id": 1}, "Invalid policy syntax."),
        ({"Statement": [GOOD], "Statements": []}, "Unknown field Statements"),
        ({"Statement": [GOOD | {"Sid": "a"}] * 2}, "Statement IDs (SID) in a single policy must be unique."),
    ],
)
def test_what_is_wrong_with_a_policy(document, message):
    refuses(document, message)


@pytest.mark.parametrize(
    "document", [b'{"Statement":[],"Statement":[]}', b'{"Statement":[{"Effect":"Deny","Effect":"Allow"}]}']
)
def test_a_name_given_twice_is_refused(document):
    """Whoever reads a policy before it is put may read the other of the two."""
    refuses(document, "Policies must not contain duplicate keys")


@pytest.mark.parametrize(
    ("elements", "message"),
    [
        *(({name: ABSENT}, f"Missing required field {name}") for name in GOOD),
        ({"Effect": "allow"}, "Invalid effect: allow"),
        ({"Effect": ["Allow"]}, "Invalid effect: ['Allow']"),
        ({"Effects": "Allow"}, "Unknown field Effects"),
        ({"NotPrincipal": "*"}, "Invalid policy syntax."),
        ({"Principal": ABSENT, "NotPrincipal": {"AWS": "bob"}}, "Allow with NotPrincipal is not allowed."),
        ({"NotAction": "*"}, "Invalid policy syntax."),
        ({"NotResource": "*"}, "Invalid policy syntax."),
        ({"Sid": 1}, "Invalid policy syntax."),
        *(({"Action": action}, "Policy has invalid action")
          for action in ("", [], 1, [1], "GetObject", "s3:GetObjects", "s3:Foo*", "iam:*", "sts:AssumeRole", "s3", "s3:${*}",
                         "*GetObject", "s?:GetObject", "**")),
        *(({"Resource": arn}, "Policy has invalid resource")
          for arn in ("", [], 1, "*", "b/*", "arn:aws:s3:::*", "arn:aws:s3:::bb/*", "arn:aws:s3:::b*", "arn:aws:s3:::B/*",
                      "arn:aws:s3:::${aws:username}/*", "arn:aws:sqs:::b/*", ["arn:aws:s3:::b/*", "arn:aws:s3:::c/*"])),
        ({"Resource": ABSENT, "NotResource": "arn:aws:s3:::c/*"}, "Policy has invalid resource"),
        *(({"Action": action, "Resource": arn}, "Action does not apply to any resource(s) in statement")
          for action, arn in (("s3:GetObject", "arn:aws:s3:::b"), ("s3:ListBucket", "arn:aws:s3:::b/*"),
                              (["s3:GetObject", "s3:ListBucket"], "arn:aws:s3:::b/*"),
                              ("s3:ListAllMyBuckets", "arn:aws:s3:::b"))),
        *(({"Principal": principal}, "Invalid principal in policy")
          for principal in ("eve", "", [], {}, 1, ["eve"], {"AWS": []}, {"AWS": "eve"}, {"AWS": ["bob", ""]}, {"aws": "bob"},
                            {"AWS": "arn:aws:iam::bob:user/*"}, {"CanonicalUser": "*"}, {"CanonicalUser": "bob"},
                            {"CanonicalUser": canonical_id("eve")}, {"Everyone": "*"}, {"AWS": {"x": "y"}})),
        ({"Condition": "x"}, "Invalid policy syntax."),
        *(({"Action": ["s3:GetObject", "s3:PutObject"], "Condition": {"StringEquals": {key: "x"}}},
           "Conditions do not apply to combination of actions and resources in statement")
          for key in ("s3:prefix", "S3:Delimiter", "s3:max-keys")),
        ({"Condition": {"StringIs": {"s3:prefix": "x"}}}, "Invalid Condition type : StringIs"),
        ({"Condition": {"StringEquals": {"userid": "x"}}}, "Policy has an invalid condition key"),
        ({"Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/64"}}}, "Invalid value in a condition: 10.0.0.0/64"),
        ({"Resource": "arn:aws:s3:::b/${username}"}, "Invalid policy variable: ${username}"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_statement(elements, message):
    refuses(with_statement(**elements), message)


def test_a_policy_has_at_most_20_kb():
    document = json.dumps(with_statement()).encode()
    put(document + b" " * (20_480 - len(document)))
    refuses(document + b" " * (20_481 - len(document)), "Policies must not exceed 20480 bytes")


# Of a credential, of a session.

MINE = {"Effect": "Allow", "Action": ["s3:GetObject", "sts:AssumeRole"], "Resource": "arn:aws:s3:::b/*"}


@pytest.mark.parametrize(
    "resource",
    ["*", "arn:aws:s3:::*", "arn:aws:s3:::b", ["arn:aws:s3:::b/*", "arn:aws:s3:::c/${aws:username}"]],
)
def test_the_policy_of_a_credential_may_be_about_any_bucket(resource):
    text = json.dumps({"Version": "2012-10-17", "Statement": [{**MINE, "Resource": resource}]})
    assert validate_identity_policy(text) == text


@pytest.mark.parametrize(
    ("elements", "message"),
    [
        ({"Principal": "*"}, "must not name a Principal"),
        ({"NotPrincipal": {"AWS": "bob"}}, "must not name a Principal"),
        ({"Resource": "arn:aws:iam::1:user/x"}, "invalid resource"),
        ({"Action": "s3:GetObjct"}, "invalid action"),
        ({"Action": "iam:CreateUser"}, "invalid action"),
        ({"Effect": "Maybe"}, "Invalid effect"),
    ],
)
def test_what_the_policy_of_a_credential_must_not_say(elements, message):
    with pytest.raises(ValueError, match=message):
        validate_identity_policy(json.dumps({"Statement": [MINE | elements]}))


@pytest.mark.parametrize(
    "text", ["", "{", " {}", "null", "{" + " " * 20_480 + "}", '{"Id": "\ud800", "Statement": []}']
)
def test_a_credential_has_no_policy_that_is_none(text):
    with pytest.raises(ValueError, match=r"Policies must|invalid Json|Missing"):
        validate_identity_policy(text)


# The table of actions.


@pytest.mark.parametrize("row", [*OPERATIONS, UNKNOWN], ids=lambda row: row.name)
def test_policies_can_name_the_action_of_every_operation(row):
    assert ACTIONS[row.action] is not None
    if row.versioned_action:
        assert ACTIONS[row.versioned_action] is Kind.OBJECT


@pytest.mark.parametrize("row", OPERATIONS, ids=lambda row: row.name)
def test_actions_are_done_to_what_the_operation_addresses(row):
    many = {"DeleteObjects", "PostObject"}  # about objects, sent to a bucket
    anew = {"RenameObject"}  # asked as a session with the bucket
    if row.name not in many | anew:
        assert ACTIONS[row.action] == row.level.value


def test_patterns_of_actions():
    assert covered("s3:GetObject") == {"s3:getobject"}
    assert covered("S3:GETOBJECT") == {"s3:getobject"}
    assert covered("s3:GetObjectVersion?cl") == {"s3:getobjectversionacl"}
    assert len(covered("*")) == len(ACTIONS)
    assert covered("s3:Nothing") == frozenset()


@pytest.mark.parametrize(
    ("action", "bucket", "key", "arn"),
    [
        ("s3:GetObject", "b", "k/l", "arn:aws:s3:::b/k/l"),
        ("s3:ListBucket", "b", "", "arn:aws:s3:::b"),
        ("s3:ListBucket", "b", "k", "arn:aws:s3:::b"),
        ("s3:DeleteObject", "b", "", "arn:aws:s3:::b/"),
        ("s3:ListAllMyBuckets", "", "", "arn:aws:s3:::"),
        ("s3:FutureThing", "b", "k", "arn:aws:s3:::b/k"),
        ("s3:FutureThing", "b", "", "arn:aws:s3:::b"),
    ],
)
def test_the_resource_of_a_request(action, bucket, key, arn):
    assert resource(action, bucket, key) == arn
