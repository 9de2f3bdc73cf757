"""The stored form of encrypted bytes: which frames hold a span."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.base import Doc, ObjectInfo, PartInfo, Span
from backends.frames import FRAME, SALT, TAG, cover, frames_of, stored_size
from backends.stored import Stretch, sizes, stored_sizes, stretches

SECRET = {Doc.SSE: "{}"}
SIZES = st.integers(0, 3 * FRAME + 1)


def place(index, size):
    """Where the byte `index` of a part of `size` bytes lies in its stored form."""
    assert index < size
    return SALT + index + TAG * (index // FRAME)


@pytest.mark.parametrize(
    ("size", "frames"), [(0, 1), (1, 1), (FRAME, 1), (FRAME + 1, 2), (2 * FRAME, 2), (10 * FRAME + 1, 11)]
)
def test_bytes_lie_in_frames_and_nothing_in_an_empty_one(size, frames):
    assert frames_of(size) == frames
    assert stored_size(size) == SALT + size + frames * TAG


def test_the_cover_of_a_whole_object_is_all_but_its_salt():
    (only,) = cover(Span(0, 3 * FRAME + 5), [3 * FRAME + 5])
    assert only == (0, SALT, stored_size(3 * FRAME + 5) - SALT, 0, True, 0, 3 * FRAME + 5)


def test_a_cover_names_whole_frames_and_what_of_them_is_wanted():
    (only,) = cover(Span(FRAME + 10, FRAME), [4 * FRAME])
    assert (only.offset, only.length) == (SALT + FRAME + TAG, 2 * (FRAME + TAG))
    assert (only.first, only.last, only.skip, only.take) == (1, False, 10, FRAME)


def test_nothing_covers_an_empty_span():
    assert cover(Span(0, 0), [0]) == []
    assert cover(Span(0, 0), [5]) == []
    assert cover(Span(5, 0), [5, 0]) == []


@given(st.lists(SIZES, min_size=1, max_size=4), st.data())
def test_covers_hold_exactly_the_span(parts, data):
    total = sum(parts)
    offset = data.draw(st.integers(0, total))
    span = Span(offset, data.draw(st.integers(0, total - offset)))
    taken = 0
    for part, start, length, first, last, skip, take in cover(span, parts):
        size = parts[part]
        index = first * FRAME + skip
        assert sum(parts[:part]) + index == span.offset + taken
        assert start <= place(index, size)
        assert place(index + take - 1, size) + 1 + TAG <= start + length <= stored_size(size)
        assert last == (start + length == stored_size(size))
        assert skip < FRAME
        taken += take
    assert taken == span.length


def info(parts, docs):
    numbered = tuple(PartInfo(number, size) for number, size in enumerate(parts, 1))
    return ObjectInfo("k", sum(parts), "", 0, docs=docs, parts=numbered if len(parts) > 1 else ())


@given(st.lists(st.integers(0, 9), min_size=1, max_size=4), st.data())
def test_stretches_of_plain_bytes_are_the_span(parts, data):
    total = sum(parts)
    offset = data.draw(st.integers(0, total))
    span = Span(offset, data.draw(st.integers(0, total - offset)))
    found = info(parts, {})
    bytes_ = [bytes([part]) * size for part, size in enumerate(parts)]
    read = b"".join(bytes_[part][start : start + length] for part, start, length in stretches(found, span))
    assert read == b"".join(bytes_)[span.offset : span.offset + span.length]
    assert stored_sizes(found) == sizes(found) == parts


def test_stretches_of_encrypted_bytes_are_salt_and_frames_of_each_part():
    found = info([FRAME + 1, 5], SECRET)
    assert stretches(found, Span(FRAME, 2)) == [
        Stretch(0, 0, SALT),
        Stretch(0, SALT + FRAME + TAG, 1 + TAG),
        Stretch(1, 0, SALT),
        Stretch(1, SALT, 5 + TAG),
    ]
    assert stored_sizes(found) == [FRAME + 1 + SALT + 2 * TAG, 5 + SALT + TAG]
    assert sizes(found) == [FRAME + 1, 5]
