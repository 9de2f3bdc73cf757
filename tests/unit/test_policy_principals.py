"""By which names a policy may call a caller."""

import pytest

from auth.identity import ANONYMOUS, OWNER_ID, Identity, account_number, canonical_id
from auth.principals import all_names, identity_keys, is_valid, own_names, tells_identity

BOB = Identity("BOBKEY", canonical_id("bob"), "bob")
BOB_SESSION = Identity("TEMPKEY", canonical_id("bob"), "bob", session="job", parent="BOBKEY")
OWNER = Identity("ROOTKEY")
NUMBER = account_number("bob")
OWNER_NUMBER = account_number("")


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("BOBKEY", True),
        (f"arn:aws:iam::{NUMBER}:user/BOBKEY", True),
        ("arn:aws:iam::bob:user/BOBKEY", True),
        ("arn:aws:iam:::user/BOBKEY", True),
        ("bob", False),
        (NUMBER, False),
        (canonical_id("bob"), False),
        (f"arn:aws:iam::{NUMBER}:root", False),
        ("arn:aws:iam::bob:root", False),
        (f"arn:aws:iam::{NUMBER}:user/bob", False),
        ("arn:aws:iam:::user/bob", False),
    ],
)
def test_a_key_answers_to_its_own_names_and_its_accounts(name, own):
    assert name in all_names(BOB)
    assert (name in own_names(BOB)) is own


@pytest.mark.parametrize(
    "name",
    ["", "*", "eve", "arn:aws:iam:::root", "arn:aws:iam::eve:root", "arn:aws:iam::eve:user/BOBKEY", "bobkey", OWNER_ID,
     f"arn:aws:iam::{OWNER_NUMBER}:root", "arn:aws:iam::bob:user/*"],
)  # fmt: skip
def test_and_to_no_other(name):
    assert name not in all_names(BOB)


@pytest.mark.parametrize(
    "name",
    ["ROOTKEY", OWNER_ID, OWNER_NUMBER, "s3gw", "arn:aws:iam:::root", "arn:aws:iam::s3gw:root",
     f"arn:aws:iam::{OWNER_NUMBER}:root", "arn:aws:iam:::user/ROOTKEY", "arn:aws:iam:::user/s3gw"],
)  # fmt: skip
def test_the_owner_of_everything_has_names_too(name):
    assert name in all_names(OWNER)


def test_a_session_answers_to_its_arn_to_the_key_it_was_made_with_and_to_its_account():
    """Were a session not called by its key's names, a key would leave behind what a policy denies it."""
    arn = f"arn:aws:sts::{NUMBER}:assumed-role/s3gw/job"
    assert own_names(BOB_SESSION) >= own_names(BOB) | {"TEMPKEY"}
    named = {"bob", NUMBER, f"arn:aws:iam::{NUMBER}:role/s3gw", arn, "arn:aws:sts::bob:assumed-role/s3gw/job"}
    assert named <= all_names(BOB_SESSION)
    assert arn not in own_names(BOB_SESSION), "the caller chose that name"
    assert identity_keys(BOB_SESSION)["aws:principalarn"] == (arn,)
    assert identity_keys(BOB_SESSION)["aws:userid"] == ("TEMPKEY:job",)
    assert "aws:username" not in identity_keys(BOB_SESSION)


def test_the_anonymous_have_no_names():
    assert all_names(ANONYMOUS) == own_names(ANONYMOUS) == frozenset()
    assert all_names(Identity()) == frozenset()
    assert identity_keys(ANONYMOUS)["aws:principaltype"] == ("Anonymous",)
    assert "aws:username" not in identity_keys(ANONYMOUS)


def test_the_keys_of_a_caller():
    assert identity_keys(BOB) == {
        "aws:principalaccount": (NUMBER,),
        "aws:principalarn": (f"arn:aws:iam::{NUMBER}:user/BOBKEY",),
        "aws:principalisawsservice": ("false",),
        "aws:principaltype": ("User",),
        "aws:userid": ("BOBKEY",),
        "aws:username": ("BOBKEY",),
    }
    assert all(map(tells_identity, identity_keys(BOB)))
    assert not any(map(tells_identity, ["aws:useragent", "aws:sourceip", "s3:prefix"]))


KNOWN = {"bob", NUMBER, canonical_id("bob"), "BOBKEY"}


@pytest.mark.parametrize(
    ("name", "valid"),
    [
        ("*", True),
        *((name, True) for name in sorted(KNOWN)),
        (f"arn:aws:iam::{NUMBER}:root", True),
        ("arn:aws:iam::bob:root", True),
        ("arn:aws:iam:::root", True),
        ("arn:aws:iam:::user/BOBKEY", True),
        ("arn:aws:iam::bob:user/bob", True),
        ("arn:aws:iam::bob:role/s3gw", True),
        ("arn:aws:sts::bob:assumed-role/s3gw/job", True),
        ("", False),
        ("eve", False),
        ("bo*", False),
        ("arn:aws:iam::eve:root", False),
        ("arn:aws:iam::bob:user/*", False),
        ("arn:aws:iam::bob:user/eve", False),
        ("arn:aws:iam::bob:user/", False),
        ("arn:aws:iam::*:root", False),
        ("arn:aws:iam:::role/s3gw", False),
        ("arn:aws:iam::bob:assumed-role/s3gw/job", False),
        ("arn:aws:sts::bob:assumed-role/s3gw", False),
        ("arn:aws:sts::bob:assumed-role/s3gw/*", False),
        ("arn:aws:sts::bob:root", False),
        ("arn:aws:s3:::bucket", False),
    ],
)
def test_which_principals_a_policy_may_name(name, valid):
    assert is_valid(name, KNOWN.__contains__) is valid


def test_every_name_of_a_caller_may_be_named():
    for name in all_names(BOB) | all_names(BOB_SESSION):
        assert is_valid(name, (KNOWN | {"TEMPKEY"}).__contains__), name
