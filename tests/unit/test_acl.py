"""Access control lists."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.acl import (
    ALL_USERS,
    AUTHENTICATED_USERS,
    CANNED,
    LOG_DELIVERY,
    Acl,
    Grant,
    Permission,
    allows,
    canned,
    dump,
    load,
    public,
    without_public,
)
from auth.identity import ANONYMOUS, Identity

BOB = Identity("BOBKEY", "bob-id", "bob")
EVE = Identity("EVEKEY", "eve-id", "eve")
HOST = Identity("HOSTKEY", "host-id", "host")
CALLERS = {"bob": BOB, "eve": EVE, "host": HOST, "anonymous": ANONYMOUS}
FULL = Grant("bob-id", Permission.FULL_CONTROL)

CANNED_GRANTS = {
    "private": (),
    "public-read": ((ALL_USERS, "READ"),),
    "public-read-write": ((ALL_USERS, "READ"), (ALL_USERS, "WRITE")),
    "authenticated-read": ((AUTHENTICATED_USERS, "READ"),),
    "aws-exec-read": (),
    "bucket-owner-read": (("host-id", "READ"),),
    "bucket-owner-full-control": (("host-id", "FULL_CONTROL"),),
    "log-delivery-write": ((LOG_DELIVERY, "WRITE"), (LOG_DELIVERY, "READ_ACP")),
}


@pytest.mark.parametrize("name", CANNED)
def test_the_grants_of_canned_acls(name):
    acl = canned(name, "bob-id", "host-id")
    assert acl == Acl("bob-id", (FULL, *CANNED_GRANTS[name]))
    assert public(acl) is (name in {"public-read", "public-read-write", "authenticated-read"})
    assert not public(without_public(acl))


@pytest.mark.parametrize("name", ["bucket-owner-read", "bucket-owner-full-control"])
def test_to_the_bucket_owners_own_object_these_add_nothing(name):
    assert canned(name, "bob-id", "bob-id").grants == (FULL,)


def test_an_unknown_name_is_no_acl():
    with pytest.raises(KeyError):
        canned("everything", "bob-id", "bob-id")


@pytest.mark.parametrize(
    ("name", "permission", "who"),
    [
        ("private", "READ", "bob"),
        ("private", "WRITE_ACP", "bob"),
        ("public-read", "READ", "bob eve host anonymous"),
        ("public-read", "WRITE", "bob"),
        ("public-read", "READ_ACP", "bob"),
        ("public-read-write", "WRITE", "bob eve host anonymous"),
        ("public-read-write", "WRITE_ACP", "bob"),
        ("authenticated-read", "READ", "bob eve host"),
        ("aws-exec-read", "READ", "bob"),
        ("bucket-owner-read", "READ", "bob host"),
        ("bucket-owner-read", "READ_ACP", "bob"),
        ("bucket-owner-full-control", "READ", "bob host"),
        ("bucket-owner-full-control", "WRITE_ACP", "bob host"),
        ("log-delivery-write", "WRITE", "bob"),
        ("log-delivery-write", "READ_ACP", "bob"),
    ],
)
def test_who_may(name, permission, who):
    acl = canned(name, "bob-id", "host-id")
    assert {caller for caller in CALLERS if allows(acl, CALLERS[caller], Permission(permission))} == set(
        who.split()
    )


@pytest.mark.parametrize("permission", Permission)
def test_full_control_is_everything_and_nothing_else_is_more_than_itself(permission):
    for given_ in Permission:
        acl = Acl("bob-id", (Grant("eve-id", given_),))
        assert allows(acl, EVE, permission) is (given_ in (permission, Permission.FULL_CONTROL))


def test_an_owner_without_grants_has_the_acl_still():
    acl = Acl("bob-id", ())
    assert {p for p in Permission if allows(acl, BOB, p)} == {Permission.READ_ACP, Permission.WRITE_ACP}
    assert not any(allows(acl, EVE, p) for p in Permission)
    assert not any(allows(Acl("", ()), ANONYMOUS, p) for p in Permission)


def test_cve_2016_7031_authenticated_read_is_not_for_the_anonymous():
    acl = canned("authenticated-read", "bob-id", "bob-id")
    assert allows(acl, EVE, Permission.READ)
    assert not allows(acl, ANONYMOUS, Permission.READ)
    assert not allows(acl, Identity(), Permission.READ)


def test_a_name_of_a_group_is_not_an_account():
    """Nobody becomes a group by being called so, nor an account by an empty grantee."""
    assert not allows(Acl("bob-id", (Grant(LOG_DELIVERY, Permission.READ),)), EVE, Permission.READ)
    assert not allows(Acl("bob-id", (Grant("", Permission.READ),)), ANONYMOUS, Permission.READ)


@given(
    st.lists(st.builds(Grant, st.text(min_size=1), st.sampled_from(Permission)).map(Grant._make), max_size=5)
)
def test_what_is_kept_is_read_again(grants):
    acl = Acl("bob-id", tuple(grants))
    assert load(dump(acl), "bob-id") == acl


def test_what_is_kept_is_compact():
    assert dump(canned("private", "bob-id", "")) == '[["bob-id","FULL_CONTROL"]]'


@pytest.mark.parametrize("text", [None, "private", "public-read"])
def test_what_earlier_versions_kept(text):
    assert load(text, "bob-id") == canned(text or "private", "bob-id", "bob-id")


@pytest.mark.parametrize(
    "text",
    ["", "public-reed", "{", "{}x", "null", "1", '"public-read"', '{"owner": "x"}', "[1]", '[["a"]]', '[["", "READ"]]',
     '[["eve-id", "OWN"]]', '[["eve-id", []]]', '[["eve-id", "READ", 1]]', '[[1, "READ"]]', "[" * 100_000],
)  # fmt: skip
def test_an_unreadable_text_gives_nobody_but_the_owner_a_right(text):
    acl = load(text, "bob-id")
    assert acl == canned("private", "bob-id", "bob-id")
    assert not any(allows(acl, caller, p) for caller in (EVE, ANONYMOUS) for p in Permission)


@given(
    st.recursive(st.none() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x))
)
def test_no_text_is_too_strange(document):
    assert load(json.dumps(document), "bob-id").owner == "bob-id"
