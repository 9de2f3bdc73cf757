"""Who may do what: the steps of a decision, one by one and together."""

import dataclasses
import json

import pytest
from refusals import refused

from auth.access import (
    PublicAccessBlock,
    Question,
    Whose,
    decides,
    is_unrestricted,
    may,
    may_list,
)
from auth.acl import ALL_USERS, Acl, Grant, Permission, canned
from auth.actions import ACTIONS
from auth.identity import ANONYMOUS, OWNER_ID, Identity, account_number, canonical_id

HOST_ID, EVE_ID, MAX_ID = canonical_id("host"), canonical_id("eve"), canonical_id("max")


def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def allow(action="s3:*", resource=("arn:aws:s3:::b", "arn:aws:s3:::b/*"), **elements):
    return {"Effect": "Allow", "Action": action, "Resource": list(resource), **elements}


def deny(action="s3:*", resource=("arn:aws:s3:::b", "arn:aws:s3:::b/*"), **elements):
    return allow(action, resource, **elements) | {"Effect": "Deny"}


EVERYBODY = {"Principal": "*"}
EVERYTHING = policy(allow("*", ["*"]))
READING = policy(allow(["s3:Get*", "s3:List*"], ["*"]))

OWNER = Identity("ROOTKEY")
HOST = Identity("HOSTKEY", HOST_ID, "host")
READER = dataclasses.replace(HOST, access_key="READKEY", policy=READING)
SESSION = dataclasses.replace(
    HOST, access_key="TEMPKEY", session_policy=READING, session="job", parent="HOSTKEY"
)
EVE = Identity("EVEKEY", EVE_ID, "eve")
MAX = Identity("MAXKEY", MAX_ID, "max")
CALLERS = {
    "owner": OWNER,
    "host": HOST,
    "reader": READER,
    "session": SESSION,
    "eve": EVE,
    "max": MAX,
    "nobody": ANONYMOUS,
}

# The bucket `b` is the host's. Its state, by name.
STATES = {
    "private": {},
    "public-read": {"bucket_acl": canned("public-read", HOST_ID, HOST_ID), "object_acl": canned("public-read", HOST_ID, HOST_ID)},
    "public-read-write": {"bucket_acl": canned("public-read-write", HOST_ID, HOST_ID)},
    "authenticated-read": {"bucket_acl": canned("authenticated-read", HOST_ID, HOST_ID),
                           "object_acl": canned("authenticated-read", HOST_ID, HOST_ID)},
    "enforced": {"ownership": "BucketOwnerEnforced", "bucket_acl": canned("public-read-write", HOST_ID, HOST_ID),
                 "object_acl": canned("public-read", HOST_ID, HOST_ID)},
    "ignored": {"block": PublicAccessBlock(ignore_public_acls=True),
                "bucket_acl": canned("public-read-write", HOST_ID, HOST_ID),
                "object_acl": canned("public-read", HOST_ID, HOST_ID)},
    "eves object": {"object_owner": EVE_ID, "object_acl": canned("private", EVE_ID, HOST_ID)},
    "eves object for the host": {"object_owner": EVE_ID, "object_acl": canned("bucket-owner-full-control", EVE_ID, HOST_ID)},
    "eves object, enforced": {"object_owner": EVE_ID, "object_acl": canned("private", EVE_ID, HOST_ID),
                              "ownership": "BucketOwnerEnforced"},
    "public policy": {"policy": policy(allow("s3:GetObject", ["arn:aws:s3:::b/*"], **EVERYBODY))},
    "public policy, restricted": {"policy": policy(allow("s3:GetObject", ["arn:aws:s3:::b/*"], **EVERYBODY),
                                                   allow("s3:PutObject", ["arn:aws:s3:::b/*"], Principal={"AWS": "eve"})),
                                  "block": PublicAccessBlock(restrict_public_buckets=True)},
    "policy for eve": {"policy": policy(allow(Principal={"AWS": "eve"}))},
    "policy for eve, restricted": {"policy": policy(allow(Principal={"AWS": "eve"})),
                                   "block": PublicAccessBlock(restrict_public_buckets=True)},
    "policy for the host": {"policy": policy(allow(Principal={"AWS": "arn:aws:iam::host:root"}))},
    "policy for the reader": {"policy": policy(allow("s3:PutObject", Principal={"AWS": "READKEY"}))},
    "denied to all": {"policy": policy(deny(**EVERYBODY), allow(**EVERYBODY))},
    "denied to all but eve": {"policy": policy(deny(NotPrincipal={"AWS": "eve"}))},
    "eves object, public policy": {"object_owner": EVE_ID, "object_acl": canned("private", EVE_ID, HOST_ID),
                                   "policy": policy(allow("s3:*", ["arn:aws:s3:::b/*"], **EVERYBODY))},
}  # fmt: skip

# state: action, and who may do it
MATRIX = """
private
    ListAllMyBuckets          owner host reader session eve max
    CreateBucket              owner host eve max
    ListBucket                owner host reader session
    DeleteBucket              owner host
    PutBucketPolicy           owner host
    PutBucketAcl              owner host
    GetObject                 owner host reader session
    GetObjectVersion          owner host reader session
    GetObjectAcl              owner host reader session
    PutObject                 owner host
    PutObjectTagging          owner host
    DeleteObject              owner host
    DeleteObjectVersion       owner host
    BypassGovernanceRetention owner host
public-read
    ListAllMyBuckets          owner host reader session eve max
    ListBucket                owner host reader session eve max nobody
    ListBucketVersions        owner host reader session eve max nobody
    GetBucketAcl              owner host reader session
    GetBucketPolicy           owner host reader session
    GetObject                 owner host reader session eve max nobody
    GetObjectVersion          owner host reader session eve max nobody
    GetObjectTagging          owner host reader session
    GetObjectAcl              owner host reader session
    PutObject                 owner host
    DeleteObject              owner host
public-read-write
    CreateBucket              owner host eve max
    ListBucket                owner host reader session eve max nobody
    GetObject                 owner host reader session
    PutObject                 owner host eve max nobody
    DeleteObject              owner host eve max nobody
    AbortMultipartUpload      owner host eve max nobody
    DeleteObjectVersion       owner host
    DeleteBucket              owner host
    PutObjectTagging          owner host
    PutObjectAcl              owner host
    PutBucketAcl              owner host
authenticated-read
    ListBucket                owner host reader session eve max
    GetObject                 owner host reader session eve max
    PutObject                 owner host
enforced
    ListBucket                owner host reader session
    GetObject                 owner host reader session
    PutObject                 owner host
ignored
    ListBucket                owner host reader session
    ListBucketVersions        owner host reader session
    GetObject                 owner host reader session
    PutObject                 owner host
eves object
    GetObject                 owner eve
    GetObjectVersion          owner eve
    GetObjectAcl              owner eve
    PutObjectAcl              owner eve
    GetObjectTagging          owner host reader session
    PutObject                 owner host
    DeleteObject              owner host
    DeleteObjectVersion       owner host
    PutObjectRetention        owner host
    ListBucket                owner host reader session
eves object for the host
    GetObject                 owner host reader session eve
    PutObjectAcl              owner host eve
    DeleteObject              owner host
eves object, enforced
    GetObject                 owner host reader session
    PutObjectAcl              owner host
public policy
    GetObject                 owner host reader session eve max nobody
    GetObjectVersion          owner host reader session
    ListBucket                owner host reader session
    PutObject                 owner host
public policy, restricted
    GetObject                 owner host reader session
    PutObject                 owner host
policy for eve
    GetObject                 owner host reader session eve
    PutObject                 owner host eve
    ListBucket                owner host reader session eve
    DeleteBucket              owner host eve
policy for eve, restricted
    GetObject                 owner host reader session eve
policy for the host
    GetObject                 owner host reader session
    PutObject                 owner host
policy for the reader
    PutObject                 owner host reader
    DeleteObject              owner host
denied to all
    GetObject
    ListBucket
    DeleteBucket
    GetBucketPolicy           owner host
    PutBucketPolicy           owner host
    DeleteBucketPolicy        owner host
    PutBucketAcl
denied to all but eve
    GetObject
    PutBucketPolicy           owner host
eves object, public policy
    GetObject                 owner eve
    PutObjectAcl              owner eve
    DeleteObject              owner host reader eve max nobody
"""


def rows(text):
    state = ""
    for line in filter(None, text.splitlines()):
        if line.startswith(" "):
            action, *who = line.split()
            yield state, action, frozenset(who)
        else:
            state = line


def question(identity, action, state="private", **more):
    about = {"bucket": "b", "key": "k", "bucket_owner": HOST_ID, "object_owner": HOST_ID, "anonymous": "public-read",
             "bucket_acl": canned("private", HOST_ID, HOST_ID), "object_acl": canned("private", HOST_ID, HOST_ID)}  # fmt: skip
    return Question(identity, action, **{**about, **STATES[state], **more})


@pytest.mark.parametrize(("state", "action", "who"), list(rows(MATRIX)))
def test_matrix(state, action, who):
    assert {name for name in CALLERS if decides(question(CALLERS[name], f"s3:{action}", state))} == who


def allowed(identity, state="private", **more):
    """The actions that a caller may do."""
    return {action for action in ACTIONS if decides(question(identity, action, state, **more))}


OF_AN_ACCOUNT = {"s3:ListAllMyBuckets", "s3:CreateBucket"} | {a for a in ACTIONS if a.startswith("sts:")}
POLICY_ACTIONS = {"s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy"}


def test_may_raises_what_decides_says():
    may(question(HOST, "s3:GetObject"))
    with refused("AccessDenied"):
        may(question(EVE, "s3:GetObject"))


# Step 0: actions.


@pytest.mark.parametrize(
    "action",
    [
        "",
        "s3",
        "s3:",
        ":GetObject",
        "GetObject",
        "s3:*",
        "s3:Get Object",
        "s3:GetObject*",
        "iam:CreateUser",
        "S3:GetObject",
    ],
)
def test_an_unknown_action_is_denied_to_all(action):
    for identity in CALLERS.values():
        assert not decides(
            question(identity, action, policy=policy(allow("*", **EVERYBODY)), anonymous="full")
        )


# Denials.


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("anonymous", ["none", "public-read", "full"])
def test_a_deny_in_the_bucket_policy_holds_for_everybody(caller, anonymous):
    """But for the root of the bucket's owner, about that policy alone."""
    everywhere = policy(deny("*", ["*"], **EVERYBODY), allow("*", ["*"], **EVERYBODY))
    expected = POLICY_ACTIONS if caller in ("owner", "host") else set()
    assert allowed(CALLERS[caller], "public-read-write", policy=everywhere, anonymous=anonymous) == expected


@pytest.mark.parametrize("field", ["policy", "session_policy"])
@pytest.mark.parametrize("identity", [OWNER, HOST])
def test_a_deny_in_a_policy_of_the_caller_holds_too(identity, field):
    text = policy(deny("s3:PutObject", ["*"]), allow("*", ["*"]))
    narrowed = dataclasses.replace(identity, **{field: text})
    for state in ("private", "public-read-write"):
        assert not decides(question(narrowed, "s3:PutObject", state))
        assert decides(question(narrowed, "s3:DeleteObject", state))


@pytest.mark.parametrize(
    "identity",
    [
        dataclasses.replace(HOST, policy=EVERYTHING),
        dataclasses.replace(HOST, session_policy=EVERYTHING),
        dataclasses.replace(HOST, session="job"),
        EVE,
        ANONYMOUS,
    ],
)
def test_only_the_root_mends_a_policy_that_denies_everything(identity):
    assert allowed(identity, "denied to all").isdisjoint(POLICY_ACTIONS)


@pytest.mark.parametrize("text", ["", "{", "null", policy(), policy({"Effect": "Allow"})])
def test_a_policy_that_cannot_be_read_denies(text):
    for identity in (
        *CALLERS.values(),
        dataclasses.replace(OWNER, policy=text),
        dataclasses.replace(HOST, session_policy=text),
    ):
        broken = {} if identity not in CALLERS.values() else {"policy": text}
        assert not decides(question(identity, "s3:GetObject", "public-read", anonymous="full", **broken))
    assert decides(question(HOST, "s3:PutBucketPolicy", policy=text))


# Narrowed keys and sessions.


def test_a_narrowed_key_of_the_owner_of_everything():
    reader = dataclasses.replace(OWNER, policy=READING)
    assert decides(question(reader, "s3:GetObject"))
    assert not decides(question(reader, "s3:PutObject"))
    assert not decides(question(reader, "s3:CreateBucket", bucket_owner=OWNER_ID))


def test_in_its_own_account_a_key_may_what_the_bucket_allows_that_key():
    for principal, expected in (("*", True), ({"AWS": "READKEY"}, True), ({"AWS": "host"}, False),
                                ({"AWS": f"arn:aws:iam::{account_number('host')}:root"}, False)):  # fmt: skip
        granted = policy(allow("s3:PutObject", ["arn:aws:s3:::b/*"], Principal=principal))
        assert decides(question(READER, "s3:PutObject", policy=granted)) is expected


def test_in_another_account_both_must_allow():
    granted = policy(allow(Principal={"AWS": ["EVEKEY", "eve"]}))
    asked = question(EVE, "s3:PutObject", policy=granted)
    assert decides(asked)
    for own, expected in ((READING, False), (EVERYTHING, True)):
        narrowed = dataclasses.replace(asked, identity=dataclasses.replace(EVE, policy=own))
        assert decides(narrowed) is expected
        assert not decides(dataclasses.replace(narrowed, policy=None))


def test_cve_2025_62506_a_session_of_a_narrowed_key_gains_nothing():
    """In MinIO a service account of a narrowed user was not held to its session policy."""
    both = dataclasses.replace(READER, access_key="TEMPKEY", session="job", session_policy=EVERYTHING)
    assert decides(question(both, "s3:GetObject"))
    for action in ("s3:PutObject", "s3:DeleteBucket", "s3:PutBucketPolicy"):
        assert not decides(question(both, action))
    own = dataclasses.replace(OWNER, session="job", session_policy=READING)
    assert not decides(question(own, "s3:PutObject"))


def test_a_session_does_not_gain_by_a_bucket_policy_for_it():
    granted = policy(
        allow(Principal={"AWS": ["TEMPKEY", "arn:aws:sts::host:assumed-role/s3gw/job"]}), allow(**EVERYBODY)
    )
    assert not decides(question(SESSION, "s3:PutObject", policy=granted))


# Callers without credentials.


@pytest.mark.parametrize("state", STATES)
def test_none_is_nothing(state):
    for identity in (ANONYMOUS, Identity()):
        assert allowed(identity, state, anonymous="none") == set()


def test_full_is_everything_that_is_not_denied():
    assert allowed(ANONYMOUS, anonymous="full") == set(ACTIONS)
    no_deletes = policy(deny("s3:Delete*", **EVERYBODY))
    deletes = {action for action in ACTIONS if action.startswith("s3:Delete")}
    assert allowed(ANONYMOUS, anonymous="full", policy=no_deletes) == set(ACTIONS) - deletes


def test_an_unknown_setting_denies():
    assert not decides(question(ANONYMOUS, "s3:GetObject", "public-read", anonymous="everything"))


@pytest.mark.parametrize("identity", [ANONYMOUS, Identity()])
@pytest.mark.parametrize("owner", ["", OWNER_ID])
def test_nobody_owns_what_is_nobodys(identity, owner):
    """An empty owner is no account of the anonymous, and the owner's account is not theirs either."""
    acl = Acl(owner, ())
    assert allowed(identity, bucket_owner=owner, object_owner=owner, bucket_acl=acl, object_acl=acl) == set()


def test_rustfs_x298_versions_are_as_public_as_the_block_allows():
    """Anonymous ListObjectVersions went past the public access block."""
    for state, expected in (
        ("public-read", True),
        ("ignored", False),
        ("private", False),
        ("enforced", False),
    ):
        for action in ("s3:ListBucket", "s3:ListBucketVersions", "s3:ListBucketMultipartUploads"):
            assert decides(question(ANONYMOUS, action, state, key="")) is expected
    public = policy(allow("s3:ListBucketVersions", ["arn:aws:s3:::b"], **EVERYBODY))
    assert decides(question(ANONYMOUS, "s3:ListBucketVersions", policy=public))
    restricted = PublicAccessBlock(restrict_public_buckets=True)
    assert not decides(question(ANONYMOUS, "s3:ListBucketVersions", policy=public, block=restricted))


def test_rustfs_3ppv_a_version_is_read_by_its_own_right():
    asked = question(EVE, "s3:GetObjectVersion", policy=policy(allow("s3:GetObject", **EVERYBODY)))
    assert not decides(asked)
    assert decides(dataclasses.replace(asked, policy=policy(allow("s3:GetObjectVersion", **EVERYBODY))))


def test_cve_2016_7031_authenticated_read_is_not_for_the_anonymous():
    for action in ("s3:ListBucket", "s3:ListBucketVersions", "s3:GetObject"):
        for identity in (ANONYMOUS, Identity()):
            assert not decides(question(identity, action, "authenticated-read"))


# ACLs.


GRANTED = {
    (Whose.BUCKET, "READ"): "ListBucket ListBucketVersions ListBucketMultipartUploads",
    (Whose.BUCKET, "WRITE"): "PutObject DeleteObject AbortMultipartUpload ListMultipartUploadParts",
    (Whose.BUCKET, "READ_ACP"): "GetBucketAcl",
    (Whose.BUCKET, "WRITE_ACP"): "PutBucketAcl",
    (Whose.OBJECT, "READ"): "GetObject GetObjectVersion GetObjectAttributes GetObjectVersionAttributes "
                            "GetObjectTorrent GetObjectVersionTorrent",
    (Whose.OBJECT, "WRITE"): "",
    (Whose.OBJECT, "READ_ACP"): "GetObjectAcl GetObjectVersionAcl",
    (Whose.OBJECT, "WRITE_ACP"): "PutObjectAcl PutObjectVersionAcl",
}  # fmt: skip


@pytest.mark.parametrize("whose", Whose)
@pytest.mark.parametrize("permission", Permission)
def test_what_a_granted_permission_lets_do(whose, permission):
    acl = {f"{whose.value}_acl": Acl(HOST_ID, (Grant(EVE_ID, permission),))}
    full = permission is Permission.FULL_CONTROL
    texts = [text for key, text in GRANTED.items() if key[0] is whose and (full or key[1] == permission)]
    granted = {f"s3:{name}" for text in texts for name in text.split()}
    assert allowed(EVE, **acl) == granted | OF_AN_ACCOUNT
    assert allowed(EVE, **acl, ownership="BucketOwnerEnforced") == OF_AN_ACCOUNT
    assert allowed(MAX, **acl) == OF_AN_ACCOUNT


def test_ignored_public_acls_leave_what_is_granted_to_somebody():
    acl = Acl(HOST_ID, (Grant(EVE_ID, Permission.READ), Grant(ALL_USERS, Permission.READ)))
    asked = question(EVE, "s3:GetObject", "ignored", object_acl=acl)
    assert decides(asked)
    assert not decides(dataclasses.replace(asked, identity=MAX))


def test_an_object_that_is_not_there_has_no_acl():
    assert not decides(question(EVE, "s3:GetObject", "public-read", object_owner="", object_acl=None))
    assert decides(question(HOST, "s3:GetObject", object_owner="", object_acl=None))


def test_who_may_list_learns_that_a_key_is_missing():
    missing = {"object_owner": "", "object_acl": None}
    for state, expected in (
        ("public-read", True),
        ("private", False),
        ("public policy", False),
        ("policy for eve", True),
    ):
        assert may_list(question(EVE, "s3:GetObject", state, **missing)) is expected
    assert may_list(question(HOST, "s3:GetObject", "eves object"))
    for identity in (HOST, ANONYMOUS):
        assert not may_list(question(identity, "s3:GetObject", "denied to all"))


# Conditions, and what they cost.


def test_conditions_reach_all_policies():
    here = {"Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}}
    for address, expected in (("10.1.1.1", True), ("11.1.1.1", False)):
        keys = {"conditions": lambda address=address: {"aws:sourceip": (address,)}}
        public = policy(allow("s3:GetObject", ["arn:aws:s3:::b/*"], **EVERYBODY, **here))
        assert decides(question(ANONYMOUS, "s3:GetObject", policy=public, **keys)) is expected
        for field in ("policy", "session_policy"):
            narrowed = dataclasses.replace(HOST, **{field: policy(allow("*", ["*"], **here))})
            assert decides(question(narrowed, "s3:PutObject", **keys)) is expected


def untouched():
    raise AssertionError("nobody needs the conditions")


def test_nothing_is_collected_where_no_policy_asks():
    assert decides(question(OWNER, "s3:GetObject", conditions=untouched))
    assert decides(question(HOST, "s3:GetObject", conditions=untouched))
    assert decides(question(ANONYMOUS, "s3:GetObject", "public policy", conditions=untouched))


def test_conditions_are_collected_once():
    calls = []

    def conditions():
        calls.append(1)
        return {"aws:sourceip": ("10.1.1.1",)}

    here = {"Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}}
    narrowed = dataclasses.replace(READER, session_policy=policy(allow("*", ["*"], **here)))
    granted = policy(allow("s3:PutObject", ["arn:aws:s3:::b/*"], **EVERYBODY, **here))
    assert decides(question(narrowed, "s3:PutObject", policy=granted, conditions=conditions))
    assert calls == [1]


def test_the_usual_case_is_decided_at_once():
    assert is_unrestricted(OWNER, None)
    assert not is_unrestricted(OWNER, policy(allow(**EVERYBODY)))
    for identity in (Identity(), ANONYMOUS, HOST, dataclasses.replace(OWNER, policy=EVERYTHING),
                     dataclasses.replace(OWNER, session_policy=EVERYTHING)):  # fmt: skip
        assert not is_unrestricted(identity, None)
