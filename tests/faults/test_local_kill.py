"""kill -9 of writing processes: what was answered is there, and nothing else is."""

import contextlib
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from local_child import CRASHES, PART, body
from payloads import get

from backends.base import Doc, ListQuery, NewBucket, Ref, UploadQuery, VersionQuery
from backends.local import LocalBackend, fsck
from gateway.errors import S3Error

CHILD = Path(__file__).parents[1] / "local_child.py"


@contextlib.contextmanager
def child(path, durability, name, *crash):
    """A writing process, ready."""
    command = [sys.executable, str(CHILD), str(path), durability, name, *crash]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


async def prepare(path, docs=None):
    store = LocalBackend.open(path)
    await store.create_bucket("b", NewBucket(docs=docs or {}))
    await store.aclose()


def kill_after(process, lines):
    """Let it write so many lines, kill it, and return all that it told."""
    told = [process.stdout.readline() for _ in range(lines)]
    process.send_signal(signal.SIGKILL)
    process.wait()
    rest = process.stdout.read()
    complete = rest[: rest.rfind("\n") + 1]
    return [line.split() for line in "".join([*told, complete]).splitlines()]


def expectations(told):
    """For each key the contents it may have: what was answered last, or what was begun after it."""
    possible = {}
    for word, key, *rest in told:
        if word == "begin":
            name, turn = rest[0], int(rest[1])
            possible.setdefault(key, {None}).update(outcomes(name, turn))
        else:
            name = key.rpartition("-")[0]
            possible[key] = outcomes(name, int(rest[0])) if rest else {None}
    return possible


def outcomes(name, turn):
    if turn % 7 == 6:
        return {None}
    return {PART + body(name, turn)} if turn % 50 == 25 else {body(name, turn)}


async def contents(store, key):
    try:
        return await get(store, Ref("b", key))
    except S3Error as error:
        assert error.code == "NoSuchKey"
        return None


async def check_all(path, told):
    store = LocalBackend.open(path)
    try:
        for key, possible in expectations(told).items():
            assert await contents(store, key) in possible, key
        listed = {entry.key for entry in (await store.list_objects("b", ListQuery())).entries}
        assert listed <= {*expectations(told), "victim"}
        for info in (await store.list_uploads("b", UploadQuery())).uploads:
            await store.abort_upload(Ref("b", info.key), info.upload)
    finally:
        await store.aclose()
    report = fsck.check(path, verify=True)
    assert report.ok, report
    assert report.alone
    assert report.litter == ()


@pytest.mark.parametrize("durability", ["full", "relaxed"])
@pytest.mark.parametrize("seed", [1, 2])
async def test_answered_writes_survive_a_kill(tmp_path, durability, seed):
    await prepare(tmp_path)
    lines = random.Random(seed).randrange(30, 400)
    with child(tmp_path, durability, "a") as process:
        told = kill_after(process, lines)
    await check_all(tmp_path, told)


@pytest.mark.parametrize("state", ["Enabled", "Suspended"])
async def test_answered_versions_survive_a_kill(tmp_path, state):
    await prepare(tmp_path, {Doc.VERSIONING: state})
    with child(tmp_path, "full", "a") as process:
        told = kill_after(process, 200)
    await check_all(tmp_path, told)
    puts = sum(word in ("put", "uploaded") for word, *_ in told)
    store = LocalBackend.open(tmp_path)
    page = await store.list_versions("b", VersionQuery(limit=10_000))
    await store.aclose()
    kept = [entry for entry in page.entries if not entry.marker and entry.key != "victim"]
    if state == "Enabled":
        assert puts <= len(kept) <= puts + 4  # four clients: what was not answered may be there too
    assert len({(entry.key, entry.version) for entry in page.entries}) == len(page.entries)
    assert Counter(entry.key for entry in page.entries if entry.latest).most_common(1)[0][1] == 1


async def test_one_of_two_writers_is_killed_and_the_other_goes_on(tmp_path):
    await prepare(tmp_path)
    with child(tmp_path, "full", "a") as first, child(tmp_path, "full", "b") as second:
        told = kill_after(first, 100)
        told += kill_after(second, 300)
    await check_all(tmp_path, told)


@pytest.mark.parametrize("point", CRASHES)
async def test_a_crash_at_any_point_leaves_old_or_new_and_no_litter(tmp_path, point):
    await prepare(tmp_path)
    with child(tmp_path, "full", "a", point) as process:
        assert process.wait(timeout=20) == -signal.SIGKILL
    store = LocalBackend.open(tmp_path)
    expected = b"old" if point in {"before the link", "after the link", "before the commit"} else b"new"
    assert await get(store, Ref("b", "victim")) == expected * 50_000
    await store.aclose()
    report = fsck.check(tmp_path, verify=True)
    assert report.ok, report
    assert (report.litter, report.bodies) == ((), 1)
