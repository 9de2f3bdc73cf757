"""Object lock: what is locked stays, whatever the operation, until its time."""

import asyncio
import time

import pytest
from payloads import get, put, put_part
from refusals import refused

from backends.base import ChosenPart, Completion, Copy, Delete, Doc, Doomed, Ref, VersionQuery, Write

REF = Ref("b", "k")
FUTURE = time.time_ns() // 1_000_000 + 3_600_000
PAST = 1_000_000_000_000
HOLD = {Doc.LEGAL_HOLD: "ON"}
GOVERNED = {Doc.RETENTION: f"GOVERNANCE {FUTURE}"}
COMPLIANT = {Doc.RETENTION: f"COMPLIANCE {FUTURE}"}
UNREADABLE = {Doc.RETENTION: "nonsense"}
LOCKS = [HOLD, GOVERNED, COMPLIANT, UNREADABLE, HOLD | GOVERNED]
FREE = [{}, {Doc.LEGAL_HOLD: "OFF"}, {Doc.RETENTION: f"COMPLIANCE {PAST}"}]
BYPASS = Delete(bypass_governance=True)


@pytest.fixture
async def kept(store):
    await set_versioning(store, "Enabled")
    return store


async def set_versioning(store, state):
    await store.put_doc(Ref("b", ""), Doc.VERSIONING, state)


async def locked(store, docs, key="k", data=b"locked"):
    made = await put(store, Ref("b", key), data, Write(docs=docs))
    return Ref("b", key, made.version or "null")


@pytest.mark.parametrize("docs", LOCKS)
async def test_a_locked_version_is_not_deleted(kept, docs):
    ref = await locked(kept, docs)
    with refused("AccessDenied"):
        await kept.delete_object(ref)
    await put(kept, REF, b"newer")
    with refused("AccessDenied"):
        await kept.delete_object(ref)
    (outcome,) = await kept.delete_objects("b", [Doomed("k", ref.version)])
    assert outcome.error.code == "AccessDenied"
    assert await get(kept, ref) == b"locked"


@pytest.mark.parametrize("docs", FREE)
async def test_what_is_not_locked_any_more_is_deleted(kept, docs):
    ref = await locked(kept, docs)
    assert (await kept.delete_object(ref)).error is None
    with refused("NoSuchVersion"):
        await kept.head_object(ref)


async def test_only_governance_can_be_bypassed(kept):
    for docs in (HOLD, COMPLIANT, UNREADABLE, HOLD | GOVERNED):
        ref = await locked(kept, docs)
        with refused("AccessDenied"):
            await kept.delete_object(ref, BYPASS)
    ref = await locked(kept, GOVERNED)
    (outcome,) = await kept.delete_objects("b", [Doomed("k", ref.version, BYPASS)])
    assert outcome.error is None


@pytest.mark.parametrize("docs", LOCKS)
async def test_a_locked_version_may_be_hidden_and_covered(kept, docs):
    ref = await locked(kept, docs)
    await kept.delete_object(REF)
    await put(kept, REF, b"newer")
    assert len((await kept.list_versions("b", VersionQuery())).entries) == 3
    assert await get(kept, ref) == b"locked"


async def replace_by_put(store):
    await put(store, REF, b"new")


async def replace_by_copy(store):
    await put(store, Ref("b", "other"), b"new")
    await store.copy_object(Ref("b", "other"), REF)


async def replace_by_itself(store):
    await store.copy_object(REF, REF, Copy(replace_metadata=True))


async def replace_by_upload(store):
    upload = (await store.create_upload(REF, Write())).upload
    part = await put_part(store, REF, upload, 1, b"new")
    try:
        await store.complete_upload(REF, upload, Completion([ChosenPart(1, part.etag)]))
    finally:
        assert (await store.head_upload(REF, upload)).upload == upload


async def delete(store):
    await store.delete_object(REF)


CHANGES = [replace_by_put, replace_by_copy, replace_by_itself, replace_by_upload, delete]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("state", [None, "Suspended"])
async def test_a_locked_null_version_is_not_replaced(store, change, state):
    await locked(store, COMPLIANT)
    await set_versioning(store, state)
    with refused("AccessDenied"):
        await change(store)
    assert await get(store, REF) == b"locked"


@pytest.mark.parametrize("change", [replace_by_put, delete])
async def test_a_locked_null_version_is_not_replaced_behind_others(store, change):
    ref = await locked(store, HOLD)
    await set_versioning(store, "Enabled")
    await put(store, REF, b"newer")
    await set_versioning(store, "Suspended")
    with refused("AccessDenied"):
        await change(store)
    assert await get(store, ref) == b"locked"
    assert await get(store, REF) == b"newer"


async def test_without_versioning_governance_can_be_bypassed_by_a_deletion(store):
    await locked(store, GOVERNED)
    with refused("AccessDenied"):
        await store.delete_object(REF)
    await store.delete_object(REF, BYPASS)
    with refused("NoSuchKey"):
        await store.head_object(REF)


async def test_a_rename_neither_moves_nor_replaces_what_is_locked(store):
    await locked(store, HOLD)
    await put(store, Ref("b", "other"), b"other")
    with refused("AccessDenied"):
        await store.rename_object(REF, Ref("b", "other"))
    with refused("AccessDenied"):
        await store.rename_object(Ref("b", "other"), REF)
    assert await get(store, REF) == b"locked"
    assert await get(store, Ref("b", "other")) == b"other"


async def test_a_lock_is_not_copied(kept):
    ref = await locked(kept, HOLD | COMPLIANT)
    copied = await kept.copy_object(ref, Ref("b", "copy"), Copy(copy_tags=True))
    assert dict(copied.docs) == {}
    await kept.delete_object(Ref("b", "copy", copied.version))


@pytest.mark.parametrize("named", [True, False])
async def test_a_lock_can_be_put_on_and_taken_off_a_version(kept, named):
    ref = await locked(kept, {})
    where = ref if named else REF
    await kept.put_doc(where, Doc.LEGAL_HOLD, "ON")
    with refused("AccessDenied"):
        await kept.delete_object(ref)
    await kept.put_doc(where, Doc.LEGAL_HOLD, "OFF")
    await kept.delete_object(ref)


@pytest.mark.parametrize("covered", [True, False])
async def test_a_retention_is_prolonged_but_not_shortened(kept, covered):
    ref = await locked(kept, COMPLIANT)
    if covered:
        await put(kept, REF, b"newer")
    for content in (None, f"COMPLIANCE {FUTURE - 1}", f"GOVERNANCE {FUTURE + 1}"):
        with refused("AccessDenied"):
            await kept.put_doc(ref, Doc.RETENTION, content, bypass_governance=True)
    await kept.put_doc(ref, Doc.RETENTION, f"COMPLIANCE {FUTURE + 5}")
    assert await kept.get_doc(ref, Doc.RETENTION) == f"COMPLIANCE {FUTURE + 5}"


async def test_a_governed_retention_is_shortened_by_whoever_may_bypass_it(kept):
    ref = await locked(kept, GOVERNED)
    with refused("AccessDenied"):
        await kept.put_doc(ref, Doc.RETENTION, None)
    await kept.put_doc(ref, Doc.RETENTION, None, bypass_governance=True)
    await kept.delete_object(ref)


async def test_of_a_prolongation_and_a_deletion_at_once_one_is_refused(kept):
    ref = await locked(kept, {})
    outcomes = await asyncio.gather(
        kept.put_doc(ref, Doc.RETENTION, f"COMPLIANCE {FUTURE}"),
        kept.delete_object(ref),
        return_exceptions=True,
    )
    codes = {getattr(outcome, "code", None) for outcome in outcomes}
    assert codes in ({None, "AccessDenied"}, {None, "NoSuchVersion"})
