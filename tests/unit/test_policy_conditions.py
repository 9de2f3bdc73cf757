"""Condition operators against AWS's tables."""

import pytest

from auth.policy_conditions import OPERATORS, is_known_key, read_conditions
from auth.policy_text import PolicyError

ABSENT = ()


def holds(operator, wanted, actual, key="s3:prefix", **more):
    keys = {key.lower(): actual if isinstance(actual, tuple) else (actual,), **more}
    [condition] = read_conditions({operator: {key: wanted}}, variables=True)
    return condition.holds(keys)


TABLE = [
    # operator, values of the policy, value of the request, whether it holds
    ("StringEquals", "a", "a", True),
    ("StringEquals", "a", "A", False),
    ("StringEquals", ["a", "b"], "b", True),
    ("StringEquals", "a*", "ab", False),
    ("StringEquals", "a*", "a*", True),
    ("StringEquals", "", "", True),
    ("StringEquals", [], "", False),
    ("StringNotEquals", "a", "a", False),
    ("StringNotEquals", "a", "b", True),
    ("StringNotEquals", ["a", "b"], "b", False),
    ("StringEqualsIgnoreCase", "aB", "Ab", True),
    ("StringEqualsIgnoreCase", "a", "b", False),
    ("StringNotEqualsIgnoreCase", "aB", "Ab", False),
    ("StringLike", "a*", "ab", True),
    ("StringLike", "a?", "ab", True),
    ("StringLike", "a*", "b", False),
    ("StringLike", "A*", "ab", False),
    ("StringNotLike", "a*", "ab", False),
    ("StringNotLike", "a*", "b", True),
    ("NumericEquals", "10", "10.0", True),
    ("NumericEquals", 10, "10", True),
    ("NumericEquals", "10", "1e1", True),
    ("NumericEquals", "10", "ten", False),
    ("NumericNotEquals", "10", "11", True),
    ("NumericNotEquals", "10", "10", False),
    ("NumericLessThan", "10", "9", True),
    ("NumericLessThan", "10", "10", False),
    ("NumericLessThanEquals", "10", "10", True),
    ("NumericLessThanEquals", "10", "nan", False),
    ("NumericLessThanEquals", "10", "-infinity", False),
    ("NumericGreaterThan", "9007199254740992", "9007199254740993", True),
    ("NumericGreaterThan", "10", "10", False),
    ("NumericGreaterThanEquals", "10", "10", True),
    ("DateEquals", "2020-01-01T00:00:00Z", "1577836800", True),
    ("DateEquals", "2020-01-01", "2020-01-01T00:00:00Z", True),
    ("DateEquals", "2020-01-01T01:00:00+01:00", "2020-01-01T00:00:00Z", True),
    ("DateNotEquals", "2020-01-01T00:00:00Z", "2020-01-01T00:00:00Z", False),
    ("DateLessThan", "2020-01-01T00:00:00Z", "2019-12-31T23:59:59Z", True),
    ("DateLessThan", "2020-01-01T00:00:00Z", "2020-01-01T00:00:00Z", False),
    ("DateLessThanEquals", "2020-01-01T00:00:00Z", "2020-01-01T00:00:00Z", True),
    ("DateGreaterThan", "2020-01-01T00:00:00Z", "2020-01-01T00:00:01Z", True),
    ("DateGreaterThan", "2020-01-01T00:00:00Z", "soon", False),
    ("DateGreaterThanEquals", "2020-01-01T00:00:00Z", "2020-01-01T00:00:00Z", True),
    ("Bool", "true", "true", True),
    ("Bool", True, "true", True),
    ("Bool", "False", "false", True),
    ("Bool", "false", "true", False),
    ("Bool", "true", "yes", False),
    ("BinaryEquals", "YQ==", "YQ==", True),
    ("BinaryEquals", "YQ==", "Yg==", False),
    ("BinaryEquals", "YQ==", "not base64!", False),
    ("IpAddress", "203.0.113.0/24", "203.0.113.77", True),
    ("IpAddress", "203.0.113.0/24", "203.0.114.77", False),
    ("IpAddress", "203.0.113.77", "203.0.113.77", True),
    ("IpAddress", "203.0.113.77/24", "203.0.113.1", True),
    ("IpAddress", "203.0.113.0/24", "::ffff:203.0.113.77", True),
    ("IpAddress", "::ffff:203.0.113.0/120", "203.0.113.77", True),
    ("IpAddress", "2001:db8::/32", "2001:db8:1::1", True),
    ("IpAddress", "2001:db8::/32", "2001:db9::1", False),
    ("IpAddress", "2001:db8::/32", "203.0.113.77", False),
    ("IpAddress", "0.0.0.0/0", "unix:socket", False),
    ("IpAddress", ["10.0.0.0/8", "2001:db8::/32"], "10.1.2.3", True),
    ("NotIpAddress", "203.0.113.0/24", "203.0.113.77", False),
    ("NotIpAddress", "203.0.113.0/24", "::ffff:203.0.113.77", False),
    ("NotIpAddress", "203.0.113.0/24", "8.8.8.8", True),
    ("ArnEquals", "arn:aws:iam::1:user/*", "arn:aws:iam::1:user/bob", True),
    ("ArnLike", "arn:aws:iam::1:user/*", "arn:aws:iam::1:user/bob", True),
    ("ArnLike", "arn:aws:iam::*:user/bob", "arn:aws:iam::1:user/bob", True),
    ("ArnLike", "arn:aws:iam::*:bob", "arn:aws:iam::1:user:bob", False),
    ("ArnLike", "arn:aws:s3:::b/*", "arn:aws:s3:::b/a:b", True),
    ("ArnLike", "arn:aws:iam::1:user/*", "arn:aws:iam::2:user/bob", False),
    ("ArnLike", "*", "anything", True),
    ("ArnLike", "arn:aws:iam::1:user/*", "bob", False),
    ("ArnNotEquals", "arn:aws:iam::1:user/*", "arn:aws:iam::1:user/bob", False),
    ("ArnNotLike", "arn:aws:iam::1:user/*", "arn:aws:iam::2:user/bob", True),
    ("Null", "true", "x", False),
    ("Null", "false", "x", True),
    ("Null", True, ABSENT, True),
    ("Null", "false", ABSENT, False),
]


@pytest.mark.parametrize(("operator", "wanted", "actual", "expected"), TABLE)
def test_operators(operator, wanted, actual, expected):
    assert holds(operator, wanted, actual) is expected


def test_the_table_above_covers_every_operator():
    assert {operator for operator, *_ in TABLE} == set(OPERATORS)


VALUES = {"Numeric": "1", "Date": "2020-01-01", "Bool": "true", "Binary": "YQ==", "Ip": "1.2.3.4", "NotIp": "1.2.3.4",
          "Arn": "*", "String": "a"}  # fmt: skip
DECORATED = [name for name in OPERATORS if name != "Null"]


def value_for(operator):
    return next(value for prefix, value in VALUES.items() if operator.startswith(prefix))


@pytest.mark.parametrize("operator", DECORATED)
def test_an_absent_key_fails_matches_and_satisfies_negations(operator):
    wanted = value_for(operator)
    assert holds(operator, wanted, ABSENT) is ("Not" in operator)
    assert holds(f"{operator}IfExists", wanted, ABSENT) is True


@pytest.mark.parametrize("operator", DECORATED)
def test_quantifiers_on_an_absent_key(operator):
    """As AWS documents it, also for negations: none of no values is, every one of no values is."""
    wanted = value_for(operator)
    assert holds(f"ForAnyValue:{operator}", wanted, ABSENT) is False
    assert holds(f"ForAllValues:{operator}", wanted, ABSENT) is True
    assert holds(f"ForAnyValue:{operator}IfExists", wanted, ABSENT) is True


@pytest.mark.parametrize(
    ("operator", "wanted", "actual", "expected"),
    [
        ("StringEquals", "a", ("a", "b"), True),
        ("StringNotEquals", "a", ("a", "b"), False),
        ("ForAnyValue:StringEquals", "a", ("a", "b"), True),
        ("ForAnyValue:StringEquals", "a", ("b", "c"), False),
        ("ForAllValues:StringEquals", ["a", "b"], ("a", "b"), True),
        ("ForAllValues:StringEquals", ["a"], ("a", "b"), False),
        ("ForAnyValue:StringNotEquals", ["a"], ("a", "b"), True),
        ("ForAnyValue:StringNotEquals", ["a", "b"], ("a", "b"), False),
        ("ForAllValues:StringNotEquals", ["a"], ("b", "c"), True),
        ("ForAllValues:StringLike", ["a*"], ("ab", "ac"), True),
    ],
)
def test_keys_with_several_values(operator, wanted, actual, expected):
    assert holds(operator, wanted, actual, "s3:RequestObjectTagKeys") is expected


@pytest.mark.parametrize("operator", ["StringNotEquals", "StringNotLike", "StringNotEqualsIgnoreCase"])
def test_rustfs_v9cp_a_quantified_negation_is_not_the_negation_of_the_quantified(operator):
    """`not ForAllValues:StringEquals [secret]` holds for {secret, other}; ForAllValues:StringNotEquals must not."""
    assert holds(f"ForAllValues:{operator}", ["secret"], ("secret", "other")) is False
    assert holds(f"ForAllValues:{operator}", ["secret"], ("one", "other")) is True


def test_conditions_may_ask_for_what_the_request_gives():
    assert holds("StringEquals", "${aws:username}", "bob", **{"aws:username": ("bob",)}) is True
    assert holds("StringLike", "home/${aws:username}/*", "home/bob/x", **{"aws:username": ("bob",)}) is True
    assert holds("StringLike", "home/${aws:username}/*", "home/eve/x", **{"aws:username": ("*",)}) is False


def test_a_variable_without_a_value_matches_nothing_and_leaves_a_negation_open():
    assert holds("StringEquals", "${aws:username}", "bob") is False
    assert holds("StringEquals", ["${aws:username}", "bob"], "bob") is True
    assert holds("StringNotEquals", "${aws:username}", "bob") is None
    assert holds("StringNotEquals", ["${aws:username}", "bob"], "bob") is False


def test_keys_have_no_case():
    [condition] = read_conditions({"StringEquals": {"S3:PREFIX": "a"}}, variables=True)
    assert condition.holds({"s3:prefix": ("a",)})


@pytest.mark.parametrize(
    "operator",
    [
        "",
        "stringequals",
        "StringEqual",
        "NullIfExists",
        "ForAllValues:Null",
        "ForAnyValue:",
        "ForSomeValues:StringEquals",
        ":StringEquals",
        "StringEqualsIfExistsIfExists",
        "ForAllValues:ForAnyValue:StringEquals",
    ],
)
def test_an_unknown_operator_is_refused(operator):
    with pytest.raises(PolicyError) as caught:
        read_conditions({operator: {"s3:prefix": "a"}}, variables=True)
    assert str(caught.value) == f"Invalid Condition type : {operator}"


@pytest.mark.parametrize(
    ("operator", "wanted"),
    [
        ("NumericEquals", "ten"),
        ("NumericEquals", "NaN"),
        ("NumericEquals", "1" * 99),
        ("DateLessThan", "soon"),
        ("Bool", "yes"),
        ("Null", "maybe"),
        ("BinaryEquals", "?"),
        ("BinaryEquals", "é"),
        ("IpAddress", "10.0.0.0/33"),
        ("IpAddress", "10.0.0.*"),
        ("NotIpAddress", "example.org"),
        ("ArnNotLike", "user/bob"),
    ],
)
def test_a_value_that_can_never_match_is_refused(operator, wanted):
    with pytest.raises(PolicyError, match="Invalid value in a condition"):
        read_conditions({operator: {"s3:prefix": wanted}}, variables=True)


@pytest.mark.parametrize("block", ["x", [], None, {"StringEquals": "x"}, {"StringEquals": {"s3:prefix": None}},
                                   {"StringEquals": {"s3:prefix": [["a"]]}}, {"StringEquals": {"s3:prefix": {}}}])  # fmt: skip
def test_a_block_of_another_shape_is_refused(block):
    with pytest.raises(PolicyError, match="Invalid policy syntax"):
        read_conditions(block, variables=True)


@pytest.mark.parametrize(
    ("key", "known"),
    [
        ("s3:prefix", True),
        ("aws:sourceip", True),
        ("s3:existingobjecttag/dept", True),
        ("s3:existingobjecttag/", False),
        ("s3:existingobjecttag", False),
        ("userid", False),
        ("groups", False),
        ("s3:prefixes", False),
        ("jwt:groups", False),
    ],
)
def test_known_keys(key, known):
    assert is_known_key(key) is known
