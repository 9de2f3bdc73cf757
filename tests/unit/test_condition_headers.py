"""Ranges, conditions and dates as clients write them."""

from datetime import UTC, datetime
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.base import UNCONDITIONAL, ByteRange, Conditions
from gateway.conditions import (
    copy_source_conditions,
    delete_conditions,
    http_date,
    iso_date,
    parse_etags,
    parse_if_range,
    parse_range,
    parse_time,
    read_conditions,
    rename_source_conditions,
    write_conditions,
)
from gateway.errors import S3Error

NOON = 784111777  # the moment of RFC 9110's examples: Sun, 06 Nov 1994 08:49:37 GMT


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("bytes=0-999", ByteRange(0, 999)),
        ("bytes=-1000", ByteRange(None, 1000)),
        ("bytes=5-", ByteRange(5, None)),
        ("bytes=7-7", ByteRange(7, 7)),
        ("bytes=-0", ByteRange(None, 0)),
        (" Bytes =0-4 ", ByteRange(0, 4)),
        ("bytes= -1", None),
        ("bytes= 0-4", None),
        ("bytes=0 - 4", None),
        ("bytes=0-99999999999999999999999999", ByteRange(0, 2**63 - 1)),
        ("bytes=5-4", None),
        ("bytes=-", None),
        ("bytes=0-1,3-4", None),
        ("bytes=0-," * 1000, None),
        ("items=0-4", None),
        ("bytes=a-b", None),
        ("bytes=0-4x", None),
        ("bytes=--4", None),
        ("bytes=+1-4", None),
        ("bytes=٣-٤", None),
        ("bytes=" + "9" * 5000 + "-", None),
        ("", None),
    ],
)
def test_ranges(value, expected):
    assert parse_range(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('"abc"', Conditions(if_match=("abc",))),
        ("abc", Conditions(if_match=("abc",))),
        ('W/"abc"', Conditions(if_match=('W/"abc',))),
        ("", Conditions(if_match=("",))),
        ("Sun, 06 Nov 1994 08:49:37 GMT", Conditions(if_modified_time=NOON)),
    ],
)
def test_if_range(value, expected):
    assert parse_if_range(value) == expected


@given(st.text(max_size=60))
def test_any_range_is_parsed_or_ignored(value):
    parse_range("bytes=" + value)


def test_no_condition_is_the_constant():
    for read in (
        read_conditions,
        copy_source_conditions,
        rename_source_conditions,
        write_conditions,
        delete_conditions,
    ):
        assert read({"host": "x", "range": "bytes=0-1"}) is UNCONDITIONAL


@pytest.mark.parametrize(
    ("value", "etags"),
    [
        (None, ()),
        ('"abc"', ("abc",)),
        ("abc", ("abc",)),
        ('W/"abc"', ("abc",)),
        ("*", ("*",)),
        ('"a", W/"b-2",c ,*', ("a", "b-2", "c", "*")),
        ('""', ("",)),
        ("", ("",)),
        (",,", ("",)),
    ],
)
def test_etags(value, etags):
    assert parse_etags(value) == etags


@pytest.mark.parametrize(
    ("read", "prefix"),
    [
        (read_conditions, "if-"),
        (copy_source_conditions, "x-amz-copy-source-if-"),
        (rename_source_conditions, "x-amz-rename-source-if-"),
    ],
)
def test_families(read, prefix):
    headers = {
        prefix + "match": '"a"',
        prefix + "none-match": '"b"',
        prefix + "modified-since": "Sun, 06 Nov 1994 08:49:37 GMT",
        prefix + "unmodified-since": "1994-11-06T08:49:38Z",
    }
    assert read(headers) == Conditions(("a",), ("b",), NOON, NOON + 1)


@pytest.mark.parametrize(
    "value",
    [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "1994-11-06T08:49:37Z",
        "1994-11-06T08:49:37.000Z",
        "1994-11-06T09:49:37+01:00",
    ],
)
def test_dates_in_every_format(value):
    assert parse_time(value) == NOON


@pytest.mark.parametrize(
    "value", [None, "", "yesterday", "Sun, 99 Nov 1994 28:49:37 GMT", "0", "x" * 10_000, "9999999-01-01"]
)
def test_unreadable_dates_are_ignored(value):
    assert parse_time(value) is None


@given(st.text(max_size=70))
def test_any_date_is_read_or_ignored(value):
    parse_time(value)


def test_write_conditions():
    assert write_conditions({"if-match": '"a"'}) == Conditions(if_match=("a",))
    assert write_conditions({"if-none-match": " * "}) == Conditions(if_none_match=("*",))
    assert write_conditions({"if-match": ""}).if_match == ("",)


@pytest.mark.parametrize(
    "headers",
    [
        {"if-none-match": '"a"'},
        {"if-none-match": "*", "if-match": '"a"'},
        {"if-modified-since": "Sun, 06 Nov 1994 08:49:37 GMT"},
        {"if-unmodified-since": "x"},
    ],
)
def test_write_conditions_that_are_not_offered(headers):
    with pytest.raises(S3Error) as caught:
        write_conditions(headers)
    assert (caught.value.code, caught.value.status) == ("NotImplemented", 501)
    assert caught.value.fields["Header"]


def test_delete_conditions():
    headers = {
        "if-match": '"a"',
        "x-amz-if-match-last-modified-time": "Sun, 06 Nov 1994 08:49:37 GMT",
        "x-amz-if-match-size": "12",
    }
    assert delete_conditions(headers) == Conditions(if_match=("a",), if_modified_time=NOON, if_size=12)


@pytest.mark.parametrize(
    "headers",
    [
        {"x-amz-if-match-last-modified-time": "soon"},
        {"x-amz-if-match-size": "-1"},
        {"x-amz-if-match-size": ""},
    ],
)
def test_an_unreadable_delete_condition_is_no_unconditional_delete(headers):
    with pytest.raises(S3Error) as caught:
        delete_conditions(headers)
    assert caught.value.code == "InvalidArgument"


@given(st.integers(0, 253_402_300_799_999))
def test_dates_are_written_as_the_library_does(milliseconds):
    seconds = milliseconds // 1000
    assert http_date(milliseconds) == formatdate(seconds, usegmt=True)
    assert iso_date(milliseconds) == datetime.fromtimestamp(seconds, UTC).strftime(
        "%Y-%m-%dT%H:%M:%S.000Z"
    ).zfill(24)
    assert parse_time(http_date(milliseconds)) == seconds
