"""What lifecycle rules say about a version, and when."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.configurations.lifecycle import Filter, Lifecycle, Rule
from gateway.lifecycle.evaluation import (
    DAY_MS,
    Calendar,
    Version,
    abort_due,
    abort_headers,
    chosen,
    due,
    expiration_header,
)


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def rules(*found: Rule) -> Lifecycle:
    return Lifecycle(found, tuple(rule for rule in found if rule.enabled))


def ids(found: Lifecycle, now: str, version: Version) -> list[str]:
    return [rule.id for rule in due(found, Calendar(ms(now)), version)]


ALL = Filter()


def rule(name: str = "r", where: Filter = ALL, **actions: object) -> Rule:
    return Rule(name, True, where, **actions)  # type: ignore[arg-type]


THREE_DAYS = rules(rule(days=3))
MADE = ms("2014-01-15T10:30:00")


def test_days_are_rounded_up_to_midnight_as_in_the_user_guide() -> None:
    version = Version("k", 1, MADE)
    assert ids(THREE_DAYS, "2014-01-18T23:59:59.999", version) == []
    assert ids(THREE_DAYS, "2014-01-19T00:00:00", version) == ["r"]


def test_what_is_made_at_midnight_is_not_rounded() -> None:
    version = Version("k", 1, ms("2014-01-15T00:00:00"))
    assert ids(THREE_DAYS, "2014-01-17T23:59:59.999", version) == []
    assert ids(THREE_DAYS, "2014-01-18T00:00:00", version) == ["r"]


def test_a_short_day_is_not_rounded() -> None:
    version = Version("k", 1, MADE)
    assert not due(THREE_DAYS, Calendar(MADE + 2999, day=1000), version)
    assert due(THREE_DAYS, Calendar(MADE + 3000, day=1000), version)


def test_from_its_date_on_a_rule_is_about_everything() -> None:
    found = rules(rule(date=ms("2014-02-01T00:00:00")))
    for made in ("2014-01-31T12:00:00", "2014-03-01T12:00:00"):
        version = Version("k", 1, ms(made))
        assert ids(found, "2014-01-31T23:59:59", version) == []
        assert ids(found, "2014-04-01T00:00:00", version) == ["r"]


def test_a_disabled_rule_does_nothing() -> None:
    assert ids(rules(Rule("r", False, Filter(), days=1)), "2020-01-01", Version("k", 1, MADE)) == []


@pytest.mark.parametrize(
    ("where", "key", "size", "covered"),
    [
        (Filter("logs/"), "logs/a", 1, True),
        (Filter("logs/"), "log", 1, False),
        (Filter("logs/"), "Logs/a", 1, False),
        (Filter(larger_than=10), "k", 10, False),
        (Filter(larger_than=10), "k", 11, True),
        (Filter(larger_than=0), "k", 0, False),
        (Filter(smaller_than=10), "k", 10, False),
        (Filter(smaller_than=10), "k", 9, True),
        (Filter("a", larger_than=1, smaller_than=3), "ab", 2, True),
        (Filter("a", larger_than=1, smaller_than=3), "b", 2, False),
    ],
)
def test_filters(where: Filter, key: str, size: int, covered: bool) -> None:
    assert bool(ids(rules(rule(where=where, days=1)), "2020-01-01", Version(key, size, MADE))) is covered


def test_all_tags_of_a_filter_must_be_there() -> None:
    found = due(
        rules(rule("both", Filter(tags=(("a", "1"), ("b", "2"))), days=1), rule("any", Filter("k"), days=1)),
        Calendar(ms("2020-01-01")),
        Version("k", 1, MADE),
    )
    assert [rule.id for rule in found] == ["both", "any"]
    for tags, expected in (
        ({"a": "1", "b": "2", "c": "3"}, "both"),
        ({"a": "1", "b": "3"}, "any"),
        ({}, "any"),
    ):
        rule_found = chosen(found, tags)
        assert rule_found is not None
        assert rule_found.id == expected
    assert chosen(found[:1], {"a": "1"}) is None


NONCURRENT = rules(rule(noncurrent_days=2, newer_noncurrent=3))


def test_a_noncurrent_version_counts_from_when_it_was_replaced_and_some_stay() -> None:
    version = Version("k", 1, MADE, latest=False, since=ms("2014-02-01T10:00:00"), newer=3, alone=False)
    assert ids(NONCURRENT, "2014-02-03T23:59:59", version) == []
    assert ids(NONCURRENT, "2014-02-04T00:00:00", version) == ["r"]
    assert ids(NONCURRENT, "2014-02-04T00:00:00", version._replace(newer=2)) == []
    assert ids(NONCURRENT, "2014-02-04T00:00:00", version._replace(marker=True, size=0)) == ["r"]


def test_the_actions_of_current_and_noncurrent_versions_do_not_mix() -> None:
    noncurrent = Version("k", 1, MADE, latest=False, since=MADE, newer=9, alone=False)
    assert ids(THREE_DAYS, "2020-01-01", noncurrent) == []
    assert ids(NONCURRENT, "2020-01-01", Version("k", 1, MADE)) == []


@pytest.mark.parametrize(
    ("found", "now", "alone", "goes"),
    [
        (rules(rule(expired_marker=True)), "2014-01-15T10:30:01", True, True),
        (rules(rule(expired_marker=True)), "2020-01-01", False, False),
        (THREE_DAYS, "2014-01-18T12:00:00", True, False),
        (THREE_DAYS, "2014-01-19T00:00:00", True, True),
        (THREE_DAYS, "2020-01-01", False, False),
        (NONCURRENT, "2020-01-01", True, False),
    ],
)
def test_a_delete_marker_goes_only_when_it_is_all_that_is_left(
    found: Lifecycle, now: str, alone: bool, goes: bool
) -> None:
    marker = Version("k", 0, MADE, marker=True, alone=alone)
    assert bool(ids(found, now, marker)) is goes


def test_a_lone_object_is_no_marker() -> None:
    assert ids(rules(rule(expired_marker=True)), "2020-01-01", Version("k", 1, MADE)) == []


def test_uploads() -> None:
    found = rules(rule("late", Filter("a/"), abort_days=5), rule("soon", Filter("a/"), abort_days=2))
    assert abort_due(found, Calendar(ms("2014-01-17T23:59:59")), "a/b", MADE) is None
    first = abort_due(found, Calendar(ms("2014-01-18T00:00:00")), "a/b", MADE)
    assert first is not None
    assert first.id == "soon"
    assert abort_due(found, Calendar(ms("2020-01-01")), "b", MADE) is None
    assert abort_due(THREE_DAYS, Calendar(ms("2020-01-01")), "a/b", MADE) is None
    assert abort_headers(found, "a/b", MADE) == {
        "x-amz-abort-date": "Sat, 18 Jan 2014 00:00:00 GMT",
        "x-amz-abort-rule-id": "soon",
    }
    assert abort_headers(found, "b", MADE) == {}


def test_the_header_of_the_earliest_rule() -> None:
    found = rules(
        rule("week", days=7),
        rule("first of 3", Filter("k"), days=3),
        rule("second of 3", days=3),
        rule("tagged", Filter(tags=(("a", "1"),)), days=1),
        rule("noncurrent", noncurrent_days=1),
    )
    made = ms("2012-12-17T12:00:00")
    assert (
        expiration_header(found, "k", 1, {}, made)
        == 'expiry-date="Fri, 21 Dec 2012 00:00:00 GMT", rule-id="first of 3"'
    )
    assert (
        expiration_header(found, "k", 1, {"a": "1"}, made)
        == 'expiry-date="Wed, 19 Dec 2012 00:00:00 GMT", rule-id="tagged"'
    )


def test_no_header_where_nothing_expires() -> None:
    for found in (
        rules(rule(expired_marker=True)),
        NONCURRENT,
        rules(rule(where=Filter("other"), days=1)),
        rules(),
    ):
        assert expiration_header(found, "k", 1, {}, MADE) is None


def test_an_id_cannot_break_out_of_the_header() -> None:
    found = rules(rule('a"b\r\nSet-Cookie: é 5%', days=1))
    header = expiration_header(found, "k", 1, {}, MADE)
    assert header == 'expiry-date="Fri, 17 Jan 2014 00:00:00 GMT", rule-id="a%22b%0D%0ASet-Cookie: %C3%A9 5%"'


def test_the_most_days_end_at_the_last_date_there_is() -> None:
    header = expiration_header(rules(rule(days=2**31 - 1)), "k", 1, {}, MADE)
    assert header == 'expiry-date="Fri, 31 Dec 9999 00:00:00 GMT", rule-id="r"'


moments = st.integers(0, 4_000_000_000_000)


@given(moments, st.integers(1, 5000), st.integers(-DAY_MS, 2 * DAY_MS))
def test_nothing_goes_before_its_day_nor_a_day_late(made: int, days: int, offset: int) -> None:
    now = made + days * DAY_MS + offset
    goes = bool(due(rules(rule(days=days)), Calendar(now), Version("k", 1, made)))
    if now < made + days * DAY_MS:
        assert not goes
    if now >= made + (days + 1) * DAY_MS:
        assert goes
    if goes:
        assert bool(due(rules(rule(days=days)), Calendar(now - now % DAY_MS), Version("k", 1, made)))


@given(moments, moments, st.integers(1, 5000), st.integers(0, 20), st.integers(0, 20))
def test_a_noncurrent_version_that_is_to_stay_stays(
    since: int, now: int, days: int, keep: int, newer: int
) -> None:
    version = Version("k", 1, 0, latest=False, since=since, newer=newer, alone=False)
    found = rules(rule(noncurrent_days=days, newer_noncurrent=keep))
    if due(found, Calendar(now), version):
        assert newer >= keep
        assert now >= since + days * DAY_MS
