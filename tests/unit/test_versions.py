"""Version ids."""

import pytest
from refusals import refused

from backends.base import Copy, Doc, Write
from backends.docs import copied_docs, with_doc
from backends.versions import MAX_SEQ, check_version_id, new_version_id, next_seq, seq_of


@pytest.mark.parametrize("seq", [0, 1, 61, 62, 1_790_000_000_000_000_000, MAX_SEQ])
def test_an_id_says_where_its_version_stands_and_cannot_be_guessed(seq):
    ids = {new_version_id(seq) for _ in range(100)}
    assert len(ids) == 100
    assert len({version[11:20] for version in ids}) == 100
    for version in ids:
        check_version_id(version)
        assert seq_of(version) == seq


def test_ids_that_nobody_made_stand_somewhere():
    assert seq_of("z" * 32) == MAX_SEQ
    assert seq_of("0" * 32) == 0


def test_the_order_grows_also_when_the_clock_goes_back():
    first = next_seq(0)
    assert next_seq(first) > first
    assert next_seq(2**62) == 2**62 + 1


@pytest.mark.parametrize(
    "version", ["", "NULL", "a" * 19, "a" * 129, "a" * 31 + "?", "é" * 32, "0" * 32 + "\n"]
)
def test_what_cannot_be_an_id_is_refused(version):
    with refused("InvalidArgument", ArgumentName="version-id-marker", ArgumentValue=version):
        check_version_id(version, "version-id-marker")


def test_a_long_id_is_not_answered_wholly():
    with refused("InvalidArgument", ArgumentValue="x" * 256):
        check_version_id("x" * 10_000)


def test_documents_are_replaced_and_removed_one_by_one():
    docs = {Doc.ACL: "private", Doc.TAGGING: "{}"}
    assert with_doc(docs, Doc.ACL, "public-read") == {Doc.TAGGING: "{}", Doc.ACL: "public-read"}
    assert with_doc(docs, Doc.ACL, None) == {Doc.TAGGING: "{}"}
    assert with_doc(docs, Doc.RETENTION, None) == docs


def test_of_the_source_a_copy_keeps_how_it_is_encrypted_and_its_tags_if_wanted():
    source = {Doc.SSE: "s", Doc.TAGGING: "t", Doc.ACL: "a", Doc.RETENTION: "r", Doc.LEGAL_HOLD: "ON"}
    write = Write(docs={Doc.SSE: "other", Doc.TAGGING: "new", Doc.ACL: "b"})
    assert copied_docs(source, Copy(write)) == {Doc.SSE: "s", Doc.TAGGING: "new", Doc.ACL: "b"}
    assert copied_docs(source, Copy(write, copy_tags=True)) == {Doc.SSE: "s", Doc.TAGGING: "t", Doc.ACL: "b"}
    assert copied_docs({}, Copy(write, copy_tags=True)) == {Doc.ACL: "b"}
