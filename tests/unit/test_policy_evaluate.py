"""What a policy says to a request."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from auth.identity import ANONYMOUS, Identity, canonical_id
from auth.policy import Effect, PolicyError, Request, evaluate, parse, uses_object_tags

BOB = Identity("BOBKEY", canonical_id("bob"), "bob")
EVE = Identity("EVEKEY", canonical_id("eve"), "eve")
ALLOW, DENY = Effect.ALLOW, Effect.DENY


def policy(*statements, version="2012-10-17"):
    return parse(json.dumps({"Version": version, "Statement": statements}))


def statement(effect="Allow", **elements):
    found = {"Effect": effect, "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*", **elements}
    replaced = {name.removeprefix("Not") for name in elements if name.startswith("Not")}
    return {name: value for name, value in found.items() if name not in replaced}


def says(*statements, identity=BOB, action="s3:GetObject", resource="arn:aws:s3:::b/k", conditions=None, direct=False,
         version="2012-10-17"):  # fmt: skip
    request = Request(identity, action, resource, lambda: conditions or {}, direct)
    return evaluate(policy(*statements, version=version), request)


@pytest.mark.parametrize(
    ("elements", "action", "expected"),
    [
        ({"Action": "s3:GetObject"}, "s3:GetObject", ALLOW),
        ({"Action": "S3:getobject"}, "s3:GetObject", ALLOW),
        ({"Action": "s3:GetObject"}, "s3:GetObjectVersion", None),
        ({"Action": "s3:GetObject*"}, "s3:GetObjectVersion", ALLOW),
        ({"Action": "s3:Get?bject"}, "s3:GetObject", ALLOW),
        ({"Action": "s3:*"}, "s3:DeleteObject", ALLOW),
        ({"Action": "*"}, "s3express:CreateSession", ALLOW),
        ({"Action": ["s3:PutObject", "s3:DeleteObject"]}, "s3:DeleteObject", ALLOW),
        ({"NotAction": "s3:Delete*"}, "s3:DeleteObject", None),
        ({"NotAction": "s3:Delete*"}, "s3:GetObject", ALLOW),
    ],
)
def test_actions(elements, action, expected):
    assert says(statement(**elements), action=action) is expected


def test_rustfs_3ppv_a_version_is_read_by_another_right():
    assert says(statement(Action="s3:GetObject"), action="s3:GetObjectVersion") is None


def test_a_denial_of_all_actions_means_also_those_that_nobody_knows_yet():
    assert says(statement("Deny", Action="s3:*"), action="s3:FutureThing") is DENY


@pytest.mark.parametrize(
    ("elements", "resource", "expected"),
    [
        ({"Resource": "arn:aws:s3:::b/*"}, "arn:aws:s3:::b/a/b", ALLOW),
        ({"Resource": "arn:aws:s3:::b/*"}, "arn:aws:s3:::b", None),
        ({"Resource": "arn:aws:s3:::b/*"}, "arn:aws:s3:::bb/k", None),
        ({"Resource": "arn:aws:s3:::b/K"}, "arn:aws:s3:::b/k", None),
        ({"Resource": "arn:aws:s3:::b/?"}, "arn:aws:s3:::b/k", ALLOW),
        ({"Resource": "*"}, "arn:aws:s3:::b/k", ALLOW),
        ({"Resource": "arn:aws:s3:::*"}, "arn:aws:s3:::", ALLOW),
        ({"NotResource": "arn:aws:s3:::b/secret/*"}, "arn:aws:s3:::b/secret/k", None),
        ({"NotResource": "arn:aws:s3:::b/secret/*"}, "arn:aws:s3:::b/k", ALLOW),
        ({"Resource": "arn:aws:s3:::b/home/${aws:username}/*"}, "arn:aws:s3:::b/home/BOBKEY/k", ALLOW),
        ({"Resource": "arn:aws:s3:::b/home/${aws:username}/*"}, "arn:aws:s3:::b/home/EVEKEY/k", None),
    ],
)
def test_resources(elements, resource, expected):
    assert says(statement(**elements), resource=resource) is expected


def test_variables_exist_since_2012():
    home = statement(Resource="arn:aws:s3:::b/${aws:username}")
    assert says(home, resource="arn:aws:s3:::b/BOBKEY", version="2008-10-17") is None
    assert says(home, resource="arn:aws:s3:::b/${aws:username}", version="2008-10-17") is ALLOW


@pytest.mark.parametrize("element", ["Resource", "NotResource"])
def test_a_user_named_by_a_wildcard_is_not_everybody(element):
    star = Identity("*", canonical_id("x"), "x")
    home = statement(**{element: "arn:aws:s3:::b/${aws:username}/*"})
    expected = {"Resource": None, "NotResource": ALLOW}[element]
    assert says(home, identity=star, resource="arn:aws:s3:::b/BOBKEY/k") is expected


def test_where_a_variable_has_no_value_an_exception_is_kept_closed():
    """The anonymous have no user name: nobody can tell whether they are excepted."""
    excepted = {"NotResource": "arn:aws:s3:::b/${aws:username}/*", "Principal": "*"}
    assert says(statement(**excepted), identity=ANONYMOUS) is None
    assert says(statement("Deny", **excepted), identity=ANONYMOUS) is DENY
    unlike = {"Condition": {"StringNotEquals": {"s3:prefix": "${aws:username}"}}, "Principal": "*"}
    asked = {"identity": ANONYMOUS, "conditions": {"s3:prefix": ("x",)}}
    assert says(statement(**unlike), **asked) is None
    assert says(statement("Deny", **unlike), **asked) is DENY
    assert (
        says(statement(Resource="arn:aws:s3:::b/${aws:username}", Principal="*"), identity=ANONYMOUS) is None
    )


@pytest.mark.parametrize(
    ("principal", "bob", "anonymous"),
    [
        ("*", True, True),
        ({"AWS": "*"}, True, True),
        ({"AWS": "bob"}, True, False),
        ({"AWS": ["eve", "BOBKEY"]}, True, False),
        ({"AWS": "eve"}, False, False),
        ({"AWS": "arn:aws:iam::bob:root"}, True, False),
        ({"CanonicalUser": canonical_id("bob")}, True, False),
        ({"CanonicalUser": "*"}, False, False),
        ({"Service": "*"}, False, False),
        ({"Service": "bob"}, False, False),
        ({"Federated": "bob"}, False, False),
    ],
)
def test_principals(principal, bob, anonymous):
    granted = statement(Principal=principal)
    assert (says(granted) is ALLOW) is bob
    assert (says(granted, identity=ANONYMOUS) is ALLOW) is anonymous
    denied = statement("Deny", NotPrincipal=principal)
    assert (says(denied) is DENY) is not bob
    assert (says(denied, identity=ANONYMOUS) is DENY) is not anonymous


def test_a_direct_grant_goes_to_the_key_and_not_to_its_account():
    for principal, direct in (("*", True), ({"AWS": "BOBKEY"}, True), ({"AWS": "bob"}, False)):
        assert says(statement(Principal=principal)) is ALLOW
        assert (says(statement(Principal=principal), direct=True) is ALLOW) is direct
    assert says(statement(NotPrincipal={"AWS": "bob"}), direct=True) is None


def test_a_deny_comes_before_an_allow_wherever_it_stands():
    allow, deny = statement(), statement("Deny", Resource="arn:aws:s3:::b/k")
    assert says(allow, deny) is says(deny, allow) is DENY
    assert says(allow, deny, resource="arn:aws:s3:::b/other") is ALLOW
    assert says(deny, resource="arn:aws:s3:::b/other") is None


def test_all_conditions_must_hold():
    both = statement(
        Condition={
            "StringEquals": {"s3:prefix": "a", "s3:delimiter": "/"},
            "IpAddress": {"aws:SourceIp": "10.0.0.0/8"},
        }
    )
    keys = {"s3:prefix": ("a",), "s3:delimiter": ("/",), "aws:sourceip": ("10.0.0.1",)}
    assert says(both, conditions=keys) is ALLOW
    for name in keys:
        assert says(both, conditions={**keys, name: ("x",)}) is None
        assert says(both, conditions={key: keys[key] for key in keys if key != name}) is None


def test_rustfs_6r96_who_is_calling_is_told_by_the_signature_alone():
    """Headers named userid or groups filled condition keys there; whatever the caller of the decision collects, these
    keys come from the verified identity."""
    forged = {"aws:userid": ("ROOT",), "aws:username": ("ROOT",), "AWS:PrincipalArn": ("x",), "aws:PrincipalTag/a": ("b",),
              "userid": ("ROOT",), "groups": ("admins",)}  # fmt: skip
    for key, value in (("aws:userid", "ROOT"), ("aws:username", "ROOT"), ("aws:PrincipalArn", "x"),
                       ("aws:PrincipalTag/a", "b")):  # fmt: skip
        forgery = statement(Principal="*", Condition={"StringEquals": {key: value}})
        for identity in (BOB, ANONYMOUS):
            assert says(forgery, identity=identity, conditions=forged) is None
    for name in ("userid", "groups"):
        with pytest.raises(PolicyError, match="invalid condition key"):
            policy(statement(Condition={"StringEquals": {name: "admins"}}))


def test_names_of_tags_have_no_case():
    tagged = statement(Condition={"StringEquals": {"s3:ExistingObjectTag/Dept": "a"}})
    assert says(tagged, conditions={"s3:existingobjecttag/DEPT": ("a",)}) is ALLOW
    assert says(tagged, conditions={"s3:existingobjecttag/DEPT": ("b",)}) is None


def test_the_conditions_of_a_request_are_collected_once_and_only_if_asked_for():
    calls = []

    def conditions():
        calls.append(1)
        return {"s3:prefix": ("a",)}

    asking = statement(Condition={"StringEquals": {"s3:prefix": "a", "s3:delimiter": "/"}})
    request = Request(BOB, "s3:GetObject", "arn:aws:s3:::b/k", conditions)
    evaluate(policy(statement(), statement("Deny", Resource="arn:aws:s3:::c/*", **{"Condition": asking["Condition"]})),
             request)  # fmt: skip
    assert calls == []
    evaluate(policy(asking, asking), request)
    assert calls == [1]


@pytest.mark.parametrize(
    ("elements", "uses"),
    [
        ({}, False),
        ({"Condition": {"StringEquals": {"s3:RequestObjectTag/a": "b"}}}, False),
        ({"Condition": {"StringEquals": {"s3:ExistingObjectTag/a": "b"}}}, True),
        ({"Condition": {"StringEquals": {"s3:prefix": "${s3:ExistingObjectTag/a}"}}}, True),
        ({"Resource": "arn:aws:s3:::b/${s3:ExistingObjectTag/a}"}, True),
    ],
)
def test_object_tags_are_loaded_only_where_a_policy_asks(elements, uses):
    assert uses_object_tags(policy(statement(), statement(**elements))) is uses


# Anything at all, and things that are nearly a policy.

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    "Sid Effect Principal NotPrincipal Action NotAction Resource NotResource Condition Version Id Statement x".split()
)
VALUES = JSON | st.sampled_from(
    ["Allow", "Deny", "*", "s3:*", "s3:GetObject", "arn:aws:s3:::b/*", "arn:aws:s3:::b/${aws:username}", "${",
     {"AWS": "*"}, {"AWS": ["bob"]}, {"StringLike": {"s3:prefix": "*"}}, {"IpAddress": {"aws:SourceIp": "::/0"}},
     {"ForAllValues:DateLessThan": {"aws:CurrentTime": "2020-01-01"}}]
)  # fmt: skip
STATEMENTS = st.dictionaries(FIELDS, VALUES, max_size=6) | st.fixed_dictionaries(
    {"Effect": VALUES, "Action": VALUES, "Resource": VALUES},
    optional={"Condition": VALUES, "Principal": VALUES},
)
POLICIES = st.fixed_dictionaries(
    {"Statement": STATEMENTS | st.lists(STATEMENTS | JSON, max_size=3)},
    optional={"Version": st.sampled_from(["2012-10-17", "2008-10-17", "x"]), "Id": JSON},
)


@given(st.text(max_size=50) | JSON.map(json.dumps) | POLICIES.map(json.dumps))
@example("{" * 100_000)
@example('{"a":' * 100_000)
@example('{"Statement": ' + "[" * 100_000)
@example('{"Statement": ' + "9" * 5000 + "}")
@example('{"Statement": NaN}')
@example('{"Id": "\\ud800", "Statement": []}')
@example('{"Statement":[{"Effect":"Allow","Action":"\\ud800","Resource":"*"}]}')
def test_whatever_is_no_policy_is_a_policy_error(text):
    try:
        found = parse(text)
    except PolicyError:
        return
    for identity in (BOB, EVE, ANONYMOUS):
        assert evaluate(found, Request(identity, "s3:GetObject", "arn:aws:s3:::b/k")) in (ALLOW, DENY, None)
