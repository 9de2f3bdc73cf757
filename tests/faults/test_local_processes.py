"""Several processes on one store: conditions are atomic, readers see whole bodies."""

import asyncio
import multiprocessing
from collections import Counter

import pytest
from payloads import get, put

from backends.base import Conditions, Doc, ListQuery, Ref, VersionQuery, Write
from backends.local import LocalBackend, fsck
from gateway.errors import S3Error

KEYS = 40
ONCE = Write(conditions=Conditions(if_none_match=("*",)))


def size_of(number: int) -> int:
    return 70_000 if number % 4 == 0 else 100


async def _create(path, who: int) -> list[int]:
    """Try to create all keys; the numbers of those that this process made."""
    store = LocalBackend.open(path)

    async def attempt(number: int) -> int | None:
        try:
            await put(store, Ref("b", f"{number:03d}"), bytes([who]) * size_of(number), ONCE)
        except S3Error as error:
            assert error.code == "PreconditionFailed"
            return None
        return number

    won = await asyncio.gather(*map(attempt, range(KEYS)))
    await store.aclose()
    return [number for number in won if number is not None]


def create(path, who: int, barrier, results) -> None:
    barrier.wait()
    results.put((who, asyncio.run(_create(path, who))))


async def _overwrite(path, who: int, ready, stop) -> None:
    store = LocalBackend.open(path)
    turn = 0
    while not stop.is_set():
        size = 100 if turn % 2 else 150_000
        await put(store, Ref("b", "k"), bytes([who * 100 + turn % 100]) * size)
        turn += 1
        ready.set()
    await store.aclose()


def overwrite(path, who: int, ready, stop) -> None:
    asyncio.run(_overwrite(path, who, ready, stop))


@pytest.fixture
async def path(tmp_path):
    store = LocalBackend.open(tmp_path)
    await store.create_bucket("b")
    await store.aclose()
    return tmp_path


async def test_of_creations_in_many_processes_exactly_one_wins(path):
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(4), context.Queue()
    children = [context.Process(target=create, args=(path, who, barrier, results)) for who in range(4)]
    for child in children:
        child.start()
    won = dict(await asyncio.gather(*(asyncio.to_thread(results.get, timeout=60) for _ in children)))
    for child in children:
        await asyncio.to_thread(child.join)
    assert Counter(number for numbers in won.values() for number in numbers) == Counter(range(KEYS))
    store = LocalBackend.open(path)
    for who, numbers in won.items():
        for number in numbers:
            assert await get(store, Ref("b", f"{number:03d}")) == bytes([who]) * size_of(number)
    assert len((await store.list_objects("b", ListQuery())).entries) == KEYS
    await store.aclose()
    results.close()
    report = fsck.check(path, verify=True)
    assert report.ok, report
    assert report.litter == ()


async def test_a_reader_sees_only_whole_bodies_while_others_overwrite(path):
    context = multiprocessing.get_context("spawn")
    stop, readies = context.Event(), [context.Event() for _ in range(2)]
    children = [
        context.Process(target=overwrite, args=(path, who, ready, stop)) for who, ready in enumerate(readies)
    ]
    for child in children:
        child.start()
    for ready in readies:
        assert await asyncio.to_thread(ready.wait, 60)
    store = LocalBackend.open(path)
    seen = set()
    while len(seen) < 5:
        data = await get(store, Ref("b", "k"))
        assert len(set(data)) == 1
        assert len(data) in (100, 150_000)
        seen.add(data[0])
    stop.set()
    for child in children:
        await asyncio.to_thread(child.join)
    await store.aclose()
    assert fsck.check(path, verify=True).ok


async def test_fsck_beside_a_live_store_takes_nothing_away(path):
    store = LocalBackend.open(path)
    await put(store, Ref("b", "large"), b"x" * 100_000)
    report = fsck.check(path, repair=True, verify=True)
    assert (report.alone, report.ok, report.objects, report.bodies) == (False, True, 1, 1)
    assert await get(store, Ref("b", "large")) == b"x" * 100_000
    await store.aclose()


async def _write_versions(path, who: int) -> list[str]:
    store = LocalBackend.open(path)
    made = await asyncio.gather(
        *(put(store, Ref("b", "k"), bytes([who]) * size_of(number)) for number in range(KEYS))
    )
    await store.aclose()
    return [info.version for info in made if info.version is not None]


def write_versions(path, who: int, barrier, results) -> None:
    barrier.wait()
    results.put((who, asyncio.run(_write_versions(path, who))))


async def test_every_answered_write_of_any_process_is_a_version_and_one_is_the_latest(path):
    store = LocalBackend.open(path)
    await store.put_doc(Ref("b", ""), Doc.VERSIONING, "Enabled")
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(3), context.Queue()
    children = [
        context.Process(target=write_versions, args=(path, who, barrier, results)) for who in range(3)
    ]
    for child in children:
        child.start()
    made = dict(await asyncio.gather(*(asyncio.to_thread(results.get, timeout=60) for _ in children)))
    for child in children:
        await asyncio.to_thread(child.join)
    results.close()
    entries = (await store.list_versions("b", VersionQuery())).entries
    assert [entry.latest for entry in entries] == [True] + [False] * (3 * KEYS - 1)
    assert {entry.version for entry in entries} == {version for ids in made.values() for version in ids}
    assert (await store.head_object(Ref("b", "k"))).info.version == entries[0].version
    for who, ids in made.items():
        for version in ids:
            assert set(await get(store, Ref("b", "k", version))) == {who}
    await store.aclose()
    assert fsck.check(path, verify=True).ok


async def _follow(path, told, answers) -> None:
    """Answer with the bucket's ACL as this process sees it, after each word that another has changed it."""
    store = LocalBackend.open(path)
    answers.put("ready")
    while (name := await asyncio.to_thread(told.get)) is not None:
        answers.put((await store.head_bucket(name)).docs.get(Doc.ACL))
    await store.aclose()


def follow(path, told, answers) -> None:
    asyncio.run(_follow(path, told, answers))


async def test_a_change_of_a_bucket_is_seen_by_every_process_at_once(path):
    context = multiprocessing.get_context("spawn")
    told, answers = context.Queue(), context.Queue()
    child = context.Process(target=follow, args=(path, told, answers))
    child.start()
    assert await asyncio.to_thread(answers.get, timeout=60) == "ready"
    store = LocalBackend.open(path)
    try:
        for turn in range(200):
            acl = f"turn {turn}"
            await store.put_doc(Ref("b", ""), Doc.ACL, acl)
            told.put("b")
            assert await asyncio.to_thread(answers.get, timeout=60) == acl
    finally:
        told.put(None)
        await asyncio.to_thread(child.join)
        await store.aclose()
        for queue in (told, answers):
            queue.close()
