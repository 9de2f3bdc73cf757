"""What holds of every decision, whatever the policies, ACLs and settings are."""

import dataclasses
import json

from hypothesis import given
from hypothesis import strategies as st

from auth.access import PublicAccessBlock, Question, decides
from auth.acl import ALL_USERS, AUTHENTICATED_USERS, Acl, Grant, Permission
from auth.actions import ACTIONS
from auth.identity import ANONYMOUS, OWNER_ID, Identity, canonical_id

NAMES = ["host", "eve", "max"]
IDS = [canonical_id(name) for name in NAMES]

EFFECTS = st.sampled_from(["Allow", "Deny"])
ACTION_PATTERNS = st.sampled_from(["*", "s3:*", "s3:Get*", "s3:Put*", "s3:List*", "s3:*Acl", *ACTIONS])
RESOURCES = st.sampled_from(
    [
        "*",
        "arn:aws:s3:::b",
        "arn:aws:s3:::b/*",
        "arn:aws:s3:::b/k",
        "arn:aws:s3:::c/*",
        "arn:aws:s3:::b/${aws:username}",
    ]
)
PRINCIPALS = st.sampled_from(["*", *({"AWS": name} for name in (*NAMES, "hostKEY", "eveKEY", OWNER_ID))])
CONDITIONS = st.sampled_from(
    [
        {},
        {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}},
        {"NotIpAddress": {"aws:SourceIp": "10.0.0.0/8"}},
        {"StringNotEquals": {"aws:username": "hostKEY"}},
        {"StringNotEquals": {"s3:prefix": "${aws:username}"}},
        {"ForAllValues:StringEquals": {"s3:RequestObjectTagKeys": "a"}},
        {"Null": {"s3:prefix": "true"}},
    ]
)


def one_of_two(name, values):
    """The element, or `Not` and the element."""
    return st.tuples(st.sampled_from([name, name, f"Not{name}"]), values)


def statements(*, principals):
    elements = [one_of_two("Action", ACTION_PATTERNS), one_of_two("Resource", RESOURCES)]
    if principals:
        elements.append(one_of_two("Principal", PRINCIPALS))
    return st.tuples(EFFECTS, CONDITIONS, *elements).map(
        lambda drawn: {"Effect": drawn[0], "Condition": drawn[1], **dict(drawn[2:])}
    )


def policies(*, principals):
    return st.lists(statements(principals=principals), min_size=1, max_size=3).map(as_policy)


def as_policy(found):
    return json.dumps({"Version": "2012-10-17", "Statement": found})


BUCKET_POLICIES = st.none() | policies(principals=True)
OWN_POLICIES = st.none() | policies(principals=False)
IDENTITIES = st.just(ANONYMOUS) | st.builds(
    lambda name, policy, session_policy: Identity(
        f"{name}KEY", canonical_id(name), name, policy, session_policy, "job" if session_policy else ""
    ),
    st.sampled_from(["", *NAMES]),
    OWN_POLICIES,
    OWN_POLICIES,
)
GRANTS = st.builds(
    Grant, st.sampled_from([*IDS, ALL_USERS, AUTHENTICATED_USERS]), st.sampled_from(Permission)
)
ACLS = st.builds(Acl, st.sampled_from(IDS), st.lists(GRANTS, max_size=2).map(tuple))
QUESTIONS = st.builds(
    Question,
    identity=IDENTITIES,
    action=st.sampled_from(list(ACTIONS)),
    bucket=st.just("b"),
    key=st.just("k"),
    bucket_owner=st.sampled_from(IDS),
    object_owner=st.sampled_from(["", *IDS]),
    policy=BUCKET_POLICIES,
    ownership=st.sampled_from(["", "ObjectWriter", "BucketOwnerPreferred", "BucketOwnerEnforced"]),
    block=st.builds(PublicAccessBlock, *[st.booleans()] * 4),
    bucket_acl=ACLS,
    object_acl=st.none() | ACLS,
    anonymous=st.sampled_from(["none", "public-read", "full"]),
    conditions=st.sampled_from([dict, lambda: {"aws:sourceip": ("10.0.0.1",), "s3:prefix": ("hostKEY",)}]),
)


def with_statement(text, statement):
    return as_policy([*(json.loads(text)["Statement"] if text else []), statement])


@given(QUESTIONS, statements(principals=True))
def test_a_further_deny_in_the_bucket_policy_never_allows_more(question, statement):
    more = dataclasses.replace(
        question, policy=with_statement(question.policy, statement | {"Effect": "Deny"})
    )
    assert decides(question) or not decides(more)


@given(QUESTIONS, statements(principals=False))
def test_a_further_deny_in_a_policy_of_the_caller_never_allows_more(question, statement):
    identity = question.identity
    text = with_statement(identity.policy or EVERYTHING, statement | {"Effect": "Deny"})
    more = dataclasses.replace(question, identity=dataclasses.replace(identity, policy=text))
    assert decides(question) or not decides(more)


EVERYTHING = as_policy([{"Effect": "Allow", "Action": "*", "Resource": "*"}])


@given(QUESTIONS, policies(principals=False))
def test_a_session_policy_never_allows_more(question, text):
    identity = dataclasses.replace(question.identity, session_policy=None)
    without = dataclasses.replace(question, identity=identity)
    narrowed = dataclasses.replace(question, identity=dataclasses.replace(identity, session_policy=text))
    assert decides(without) or not decides(narrowed)


@given(QUESTIONS, policies(principals=False))
def test_a_policy_of_a_key_never_allows_more(question, text):
    identity = dataclasses.replace(question.identity, policy=None)
    without = dataclasses.replace(question, identity=identity)
    narrowed = dataclasses.replace(question, identity=dataclasses.replace(identity, policy=text))
    assert decides(without) or not decides(narrowed)


@given(QUESTIONS, GRANTS)
def test_where_the_bucket_owner_is_enforced_no_grant_counts(question, grant):
    enforced = dataclasses.replace(question, ownership="BucketOwnerEnforced")
    acl = Acl(question.bucket_owner, (grant,))
    assert decides(enforced) is decides(dataclasses.replace(enforced, bucket_acl=acl, object_acl=acl))


@given(QUESTIONS)
def test_a_block_never_allows_more(question):
    blocked = dataclasses.replace(question, block=PublicAccessBlock(True, True, True, True))
    open_ = dataclasses.replace(question, block=PublicAccessBlock())
    assert decides(open_) or not decides(blocked)


@given(QUESTIONS)
def test_without_credentials_one_may_at_most_what_any_stranger_may(question):
    """Short of `full`, and of what a policy keeps from named callers."""
    stranger = Identity("strangerKEY", canonical_id("stranger"), "stranger")
    nobody = dataclasses.replace(question, identity=ANONYMOUS, anonymous="public-read", policy=None)
    assert decides(dataclasses.replace(nobody, identity=stranger)) or not decides(nobody)
