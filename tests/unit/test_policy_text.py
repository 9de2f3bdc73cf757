"""Wildcards and variables in the texts of a policy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.policy_text import PolicyError, literal, matches, template


def stands_for(text, value, keys=None, *, variables=True):
    resolved = template(text, variables=variables).resolve(keys or {})
    return resolved is not None and matches(resolved, value)


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("", "", True),
        ("", "a", False),
        ("a", "a", True),
        ("a", "A", False),
        ("a", "aa", False),
        ("*", "", True),
        ("*", "a/b\nc", True),
        ("a*", "a", True),
        ("a*", "ab", True),
        ("a*", "ba", False),
        ("*a", "ba", True),
        ("*a", "ab", False),
        ("a*b", "ab", True),
        ("a*b", "axxb", True),
        ("a*b", "axxbc", False),
        ("ab*ba", "aba", False),
        ("ab*ba", "abba", True),
        ("a*b*c", "a-b-b-c", True),
        ("a*b*c", "a-c-b", False),
        ("*a*b", "xaxbxb", True),
        ("**", "x", True),
        ("?", "", False),
        ("?", "a", True),
        ("?", "/", True),
        ("??", "a", False),
        ("a?c*", "abcd", True),
        ("*?", "", False),
        ("*?", "x", True),
        ("a.c", "abc", False),
        ("a[b]c", "abc", False),
        ("a[b]c", "a[b]c", True),
        ("a\\*", "a\\b", True),
        ("$", "$", True),
        ("a$*", "a$b", True),
        ("k\n", "k", False),
        ("k", "k\n", False),
    ],
)
def test_wildcards(text, value, expected):
    assert stands_for(text, value) is expected


@given(st.text("ab*?", max_size=8), st.text("ab", max_size=8))
def test_wildcards_are_what_the_definition_says(text, value):
    def by_definition(pattern, rest):
        if not pattern:
            return not rest
        if pattern[0] == "*":
            return by_definition(pattern[1:], rest) or (bool(rest) and by_definition(pattern, rest[1:]))
        return bool(rest) and pattern[0] in ("?", rest[0]) and by_definition(pattern[1:], rest[1:])

    assert stands_for(text, value) is by_definition(text, value)


def test_no_pattern_takes_long():
    """Were each `*` to try every place, this would take longer than the universe."""
    assert not stands_for("*a" * 100 + "*b", "a" * 1024)
    assert not stands_for("*?a" * 100 + "b*", "a" * 1024)
    assert stands_for("*a" * 100 + "*", "a" * 1024)


KEYS = {"aws:username": ("bob",), "s3:prefix": ("",), "aws:tagkeys": ("a", "b"), "aws:userid": ("*",)}


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("home/${aws:username}/*", "home/bob/x", True),
        ("home/${aws:username}/*", "home/alice/x", False),
        ("home/${AWS:UserName}/*", "home/bob/x", True),
        ("a${s3:prefix}b", "ab", True),
        ("${aws:principaltag/team, 'all'}/x", "all/x", True),
        ("${aws:username, 'all'}/x", "bob/x", True),
        ("${aws:username,'a,b'}/x", "bob/x", True),
        ("${aws:sourcevpc}", "", False),
        ("${aws:tagkeys}", "a", False),
        ("${aws:userid}", "*", True),
        ("${aws:userid}", "anything", False),
        ("a${*}b", "a*b", True),
        ("a${*}b", "axb", False),
        ("a${?}b", "a?b", True),
        ("a${?}b", "axb", False),
        ("a${$}{aws:username}", "a${aws:username}", True),
    ],
)
def test_variables(text, value, expected):
    """A value is characters: a user named `*` is not everybody."""
    assert stands_for(text, value, KEYS) is expected


def test_variables_are_plain_text_in_an_older_policy():
    assert stands_for("${aws:username}", "${aws:username}", KEYS, variables=False)
    assert not stands_for("${aws:username}", "bob", KEYS, variables=False)


@pytest.mark.parametrize(
    "text", ["${}", "${ }", "${username}", "${aws:a b}", "${aws:a, b}", "${aws:${aws:b}}"]
)
def test_a_variable_that_names_nothing_is_refused(text):
    with pytest.raises(PolicyError, match="Invalid policy variable"):
        template(text, variables=True)


def test_a_text_can_be_written_again():
    assert literal(template("a*b?${*}", variables=True).constant) == "a*b?*"
    assert list(template("a${aws:username}${s3:prefix}", variables=True).variables) == [
        "aws:username",
        "s3:prefix",
    ]
