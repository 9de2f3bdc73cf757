"""The rules of conditions and ranges, as pure functions."""

from email.utils import formatdate

import pytest
from refusals import refused

from backends.base import ByteRange, Conditions, ObjectInfo, PartInfo, Read, Span
from backends.conditions import check_copy_source, check_delete, check_read, check_write, resolve

SECOND = 1_700_000_000
INFO = ObjectInfo("k", 10, "etag", SECOND * 1000 + 999)
MATCH, MISMATCH = ("etag",), ("other", "else")
BEFORE, SAME, LATER = SECOND - 1, SECOND, SECOND + 1

READS = [
    (Conditions(), None),
    (Conditions(if_match=MATCH), None),
    (Conditions(if_match=("*",)), None),
    (Conditions(if_match=("other", "etag")), None),
    (Conditions(if_match=MISMATCH), "If-Match"),
    (Conditions(if_unmodified_since=SAME), None),
    (Conditions(if_unmodified_since=LATER), None),
    (Conditions(if_unmodified_since=BEFORE), "If-Unmodified-Since"),
    (Conditions(if_match=MATCH, if_unmodified_since=BEFORE), None),
    (Conditions(if_match=MISMATCH, if_unmodified_since=LATER), "If-Match"),
    (Conditions(if_none_match=MISMATCH), None),
    (Conditions(if_none_match=MATCH), "NotModified"),
    (Conditions(if_none_match=("*",)), "NotModified"),
    (Conditions(if_modified_since=BEFORE), None),
    (Conditions(if_modified_since=SAME), "NotModified"),
    (Conditions(if_modified_since=LATER), "NotModified"),
    (Conditions(if_none_match=MISMATCH, if_modified_since=LATER), None),
    (Conditions(if_none_match=MATCH, if_modified_since=BEFORE), "NotModified"),
    (Conditions(if_match=MISMATCH, if_none_match=MATCH), "If-Match"),
    (Conditions(if_match=MATCH, if_none_match=MATCH), "NotModified"),
    (Conditions(if_unmodified_since=LATER, if_modified_since=LATER), "NotModified"),
]


@pytest.mark.parametrize(("conditions", "failing"), READS)
def test_a_read_follows_the_precedence_of_the_rfc(conditions, failing):
    if failing is None:
        check_read(conditions, INFO)
    elif failing == "NotModified":
        with refused("NotModified"):
            check_read(conditions, INFO)
    else:
        with refused("PreconditionFailed", Condition=failing):
            check_read(conditions, INFO)


@pytest.mark.parametrize(("conditions", "failing"), READS)
def test_a_copy_source_fails_where_a_read_does_but_never_with_304(conditions, failing):
    if failing is None:
        check_copy_source(conditions, INFO)
    else:
        with refused("PreconditionFailed") as caught:
            check_copy_source(conditions, INFO)
        assert caught.value.fields["Condition"].startswith("x-amz-copy-source-If-")


def test_a_304_carries_the_validators():
    with refused("NotModified") as caught:
        check_read(Conditions(if_none_match=MATCH), INFO)
    expected = {"etag": '"etag"', "last-modified": formatdate(SECOND, usegmt=True)}
    assert (caught.value.status, caught.value.headers) == (304, expected)


@pytest.mark.parametrize(
    ("conditions", "there", "missing"),
    [
        (Conditions(), None, None),
        (Conditions(if_none_match=("*",)), "PreconditionFailed", None),
        (Conditions(if_none_match=MATCH), "PreconditionFailed", None),
        (Conditions(if_none_match=MISMATCH), None, None),
        (Conditions(if_match=MATCH), None, "NoSuchKey"),
        (Conditions(if_match=("*",)), None, "NoSuchKey"),
        (Conditions(if_match=MISMATCH), "PreconditionFailed", "NoSuchKey"),
        (Conditions(if_match=MATCH, if_none_match=MATCH), "PreconditionFailed", "NoSuchKey"),
    ],
)
def test_a_write(conditions, there, missing):
    outcome(there, check_write, conditions, INFO)
    outcome(missing, check_write, conditions, None)


@pytest.mark.parametrize(
    ("conditions", "there", "missing"),
    [
        (Conditions(), None, None),
        (Conditions(if_match=MATCH), None, "NoSuchKey"),
        (Conditions(if_match=("*",)), None, "NoSuchKey"),
        (Conditions(if_match=MISMATCH), "PreconditionFailed", "NoSuchKey"),
        (Conditions(if_size=10), None, None),
        (Conditions(if_size=11), "PreconditionFailed", None),
        (Conditions(if_size=0), "PreconditionFailed", None),
        (Conditions(if_modified_time=SECOND), None, None),
        (Conditions(if_modified_time=LATER), "PreconditionFailed", None),
        (Conditions(if_match=MATCH, if_size=11), "PreconditionFailed", "NoSuchKey"),
    ],
)
def test_a_deletion(conditions, there, missing):
    outcome(there, check_delete, conditions, INFO)
    outcome(missing, check_delete, conditions, None)


def outcome(code, check, conditions, info):
    if code is None:
        check(conditions, info, "k")
    else:
        with refused(code):
            check(conditions, info, "k")


def test_a_missing_key_is_named():
    with refused("NoSuchKey", Key="k"):
        check_write(Conditions(if_match=MATCH), None, "k")


@pytest.mark.parametrize(
    ("wanted", "span"),
    [
        (ByteRange(0, 0), Span(0, 1, True)),
        (ByteRange(0, None), Span(0, 10, True)),
        (ByteRange(3, 5), Span(3, 3, True)),
        (ByteRange(9, 9), Span(9, 1, True)),
        (ByteRange(9, 99), Span(9, 1, True)),
        (ByteRange(None, 3), Span(7, 3, True)),
        (ByteRange(None, 10), Span(0, 10, True)),
        (ByteRange(None, 11), Span(0, 10, True)),
    ],
)
def test_a_range(wanted, span):
    assert resolve(Read(range=wanted), INFO) == span


@pytest.mark.parametrize(
    ("wanted", "size", "text"),
    [
        (ByteRange(10, None), 10, "bytes=10-"),
        (ByteRange(10, 12), 10, "bytes=10-12"),
        (ByteRange(None, 0), 10, "bytes=-0"),
        (ByteRange(0, None), 0, "bytes=0-"),
        (ByteRange(0, 0), 0, "bytes=0-0"),
        (ByteRange(None, 0), 0, "bytes=-0"),
    ],
)
def test_a_range_without_a_byte(wanted, size, text):
    with refused("InvalidRange", RangeRequested=text, ActualObjectSize=size) as caught:
        resolve(Read(range=wanted), ObjectInfo("k", size, "e", 0))
    assert caught.value.headers == {"content-range": f"bytes */{size}"}


def test_no_range_is_the_whole_object():
    assert resolve(Read(), INFO) == Span(0, 10)


def test_parts_of_plain_and_multipart_objects():
    parts = (PartInfo(1, 4), PartInfo(3, 6), PartInfo(7, 0))
    multi = ObjectInfo("k", 10, "e-3", 0, parts=parts)
    assert resolve(Read(part=1), INFO) == Span(0, 10, True)
    assert resolve(Read(part=1), ObjectInfo("k", 0, "e", 0)) == Span(0, 0)
    assert resolve(Read(part=3), multi) == Span(4, 6, True)
    assert resolve(Read(part=7), multi) == Span(10, 0)
    for info, number in ((INFO, 2), (multi, 2), (multi, 8)):
        with refused("InvalidPartNumber", PartNumberRequested=number):
            resolve(Read(part=number), info)
