"""Replacing a document only while it is the one that was read."""

import asyncio

import pytest
from payloads import BytesPayload

from backends.base import Doc, Ref, Write
from gateway.errors import S3Error

REF, BUCKET = Ref("b", "k"), Ref("b", "")


@pytest.mark.parametrize("ref", [REF, BUCKET])
async def test_a_document_is_replaced_while_it_is_as_expected(store, ref):
    await store.put_object(REF, BytesPayload(b"data"), Write())
    await store.put_doc(ref, Doc.TAGGING, "one")
    await store.put_doc(ref, Doc.TAGGING, "two", expected="one")
    with pytest.raises(S3Error) as caught:
        await store.put_doc(ref, Doc.TAGGING, "three", expected="one")
    assert caught.value.code == "PreconditionFailed"
    assert await store.get_doc(ref, Doc.TAGGING) == "two"


async def test_a_document_that_is_gone_is_not_as_expected(store):
    await store.put_object(REF, BytesPayload(b"data"), Write(docs={Doc.SSE: "one"}))
    await store.put_object(REF, BytesPayload(b"data"), Write())
    with pytest.raises(S3Error):
        await store.put_doc(REF, Doc.SSE, "two", expected="one")
    assert await store.get_doc(REF, Doc.SSE) is None


async def test_one_of_many_wins(store):
    await store.put_object(REF, BytesPayload(b"data"), Write(docs={Doc.SSE: "one"}))
    changes = [store.put_doc(REF, Doc.SSE, f"new{number}", expected="one") for number in range(8)]
    outcomes = await asyncio.gather(*changes, return_exceptions=True)
    assert outcomes.count(None) == 1
    assert await store.get_doc(REF, Doc.SSE) == f"new{outcomes.index(None)}"
