"""Lifecycle documents of any shape: refused as S3 refuses, or kept so that they mean the same ever after."""

from types import SimpleNamespace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import xml
from gateway.configurations import lifecycle
from gateway.errors import S3Error
from gateway.lifecycle.evaluation import Calendar, Version, abort_headers, due, expiration_header

NAMES = sorted({name for names in lifecycle._SCHEMA.values() for name in names} | {"Other"})
TEXTS = [
    "", " ", "0", "1", "-1", "+7", "365", "2147483647", "2147483648", "9" * 19, "1e3", "Enabled", "Disabled",
    "true", "false", "1970-01-01", "2030-01-01T00:00:00.000Z", "9999-12-31T00:00:00Z", "0001-01-01T00:00:00+23:59",
    "2030-13-01T00:00:00Z", "a/", "é\r\n\t<&>\"'",
]  # fmt: skip

CONTEXT: Any = SimpleNamespace(header=lambda name, default="": default)

strange = st.recursive(
    st.builds(xml.element, st.sampled_from(NAMES), st.sampled_from(TEXTS)),
    lambda inner: st.builds(
        lambda name, children: xml.element(name, *children),
        st.sampled_from(NAMES),
        st.lists(inner, max_size=4),
    ),
    max_leaves=8,
)


def leaf(name: str, *texts: str) -> st.SearchStrategy[xml.Markup]:
    return st.sampled_from(texts).map(lambda text: xml.element(name, text))


def within(name: str, *parts: st.SearchStrategy[xml.Markup]) -> st.SearchStrategy[xml.Markup]:
    return st.tuples(*parts).map(lambda found: xml.element(name, *found))


POSITIVE = ("1", " 30 ", "2147483647")
tag = within("Tag", leaf("Key", "k", "é"), leaf("Value", "", "v"))
prefix = leaf("Prefix", "", "a/", "é\r\n\t<&>\"'")
larger = leaf("ObjectSizeGreaterThan", "0", "100")
smaller = leaf("ObjectSizeLessThan", "101", "1099511627776000")
filters = within(
    "Filter",
    st.one_of(st.just(xml.Markup("")), prefix, tag, larger, smaller, within("And", smaller, tag, prefix)),
)
markers = leaf("ExpiredObjectDeleteMarker", "true", "0")
dates = leaf("Date", "1970-01-01", "9999-12-31T00:00:00Z", "2030-01-01T01:00:00+01:00")
actions = st.one_of(
    within("Expiration", st.one_of(leaf("Days", *POSITIVE), dates, markers)),
    within(
        "NoncurrentVersionExpiration",
        leaf("NewerNoncurrentVersions", "1", "100"),
        leaf("NoncurrentDays", *POSITIVE),
    ),
    within("AbortIncompleteMultipartUpload", leaf("DaysAfterInitiation", *POSITIVE)),
)
sound = within("Rule", actions, leaf("Status", "Enabled", "Disabled"), filters)
unsound = within("Rule", filters, leaf("Status", "Enabled", ""), actions, strange)


@settings(max_examples=150)
@given(
    st.one_of(
        st.lists(sound, min_size=1, max_size=4), st.lists(st.one_of(sound, unsound, strange), max_size=3)
    )
)
def test_any_document(rules: list[xml.Markup]) -> None:
    data = xml.document("LifecycleConfiguration", *rules)
    try:
        kept = lifecycle.read(data, CONTEXT)
    except S3Error as error:
        assert error.status in (400, 501)
        return
    loaded = lifecycle.load(kept)
    shown = lifecycle.show(kept)
    again = lifecycle.read(shown, CONTEXT)
    assert lifecycle.show(again) == shown
    assert lifecycle.load(again) == loaded
    for version in (Version("a/b", 1, 0), Version("k", 0, 0, latest=False, newer=200, alone=False)):
        due(loaded, Calendar(2**60), version)
    header = (expiration_header(loaded, "a/b", 1, {}, 0) or "") + "".join(
        abort_headers(loaded, "a/b", 0).values()
    )
    assert header.isascii()
    assert header.isprintable()
