"""Object lock: the rules."""

import pytest
from refusals import refused

from backends.base import Doc
from backends.locks import Mode, Retention, check_removal, check_retention, read_retention

NOW = 1_000_000
LATER, LATEST, EARLIER = NOW + 1, NOW + 2, NOW - 1


def governance(until):
    return f"GOVERNANCE {until}"


def compliance(until):
    return f"COMPLIANCE {until}"


def test_a_retention_is_read_as_it_is_written():
    for retention in (Retention(Mode.GOVERNANCE, 5), Retention(Mode.COMPLIANCE, 10**15)):
        assert read_retention(str(retention)) == retention
    assert read_retention(None) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "GOVERNANCE",
        "GOVERNANCE ",
        "governance 1",
        "GOVERNANCE -1",
        "GOVERNANCE 1 ",
        "X 1",
        "COMPLIANCE \u0661",
    ],
)
def test_a_retention_that_cannot_be_read_holds_for_ever(text):
    mode, until = read_retention(text)
    assert (mode, until > 10**18) == (Mode.COMPLIANCE, True)
    with refused("AccessDenied"):
        check_removal({Doc.RETENTION: text}, NOW, bypass_governance=True)
    with refused("AccessDenied"):
        check_retention(text, None, NOW, bypass_governance=True)


REMOVALS = [
    ({}, "anybody"),
    ({Doc.ACL: "private"}, "anybody"),
    ({Doc.LEGAL_HOLD: "OFF"}, "anybody"),
    ({Doc.LEGAL_HOLD: "ON"}, "nobody"),
    ({Doc.LEGAL_HOLD: "what"}, "nobody"),
    ({Doc.RETENTION: governance(LATER)}, "bypass"),
    ({Doc.RETENTION: governance(NOW)}, "anybody"),
    ({Doc.RETENTION: compliance(LATER)}, "nobody"),
    ({Doc.RETENTION: compliance(NOW)}, "anybody"),
    ({Doc.RETENTION: compliance(EARLIER)}, "anybody"),
    ({Doc.LEGAL_HOLD: "ON", Doc.RETENTION: governance(LATER)}, "nobody"),
    ({Doc.LEGAL_HOLD: "ON", Doc.RETENTION: compliance(EARLIER)}, "nobody"),
    ({Doc.LEGAL_HOLD: "OFF", Doc.RETENTION: governance(LATER)}, "bypass"),
]


@pytest.mark.parametrize(("docs", "who"), REMOVALS)
def test_who_may_remove_a_version(docs, who):
    allowed = {"anybody": {False, True}, "bypass": {True}, "nobody": set()}[who]
    for bypass in (False, True):
        if bypass in allowed:
            check_removal(docs, NOW, bypass_governance=bypass)
        else:
            with refused("AccessDenied"):
                check_removal(docs, NOW, bypass_governance=bypass)


RETENTIONS = [
    (None, compliance(LATER), "anybody"),
    (None, None, "anybody"),
    (compliance(NOW), None, "anybody"),
    (compliance(EARLIER), governance(EARLIER), "anybody"),
    (governance(LATER), governance(LATER), "anybody"),
    (governance(LATER), governance(LATEST), "anybody"),
    (governance(LATER), compliance(LATER), "bypass"),
    (governance(LATER), compliance(LATEST), "bypass"),
    (governance(LATEST), governance(LATER), "bypass"),
    (governance(LATEST), compliance(LATER), "bypass"),
    (governance(LATER), None, "bypass"),
    (compliance(LATER), compliance(LATER), "anybody"),
    (compliance(LATER), compliance(LATEST), "anybody"),
    (compliance(LATEST), compliance(LATER), "nobody"),
    (compliance(LATER), governance(LATEST), "nobody"),
    (compliance(LATER), None, "nobody"),
]


@pytest.mark.parametrize(("old", "new", "who"), RETENTIONS)
def test_how_a_retention_may_change(old, new, who):
    allowed = {"anybody": {False, True}, "bypass": {True}, "nobody": set()}[who]
    for bypass in (False, True):
        if bypass in allowed:
            check_retention(old, new, NOW, bypass_governance=bypass)
        else:
            with refused("AccessDenied"):
                check_retention(old, new, NOW, bypass_governance=bypass)
