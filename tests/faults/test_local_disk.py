"""Disks that refuse, and what "full" durability has synced when it answers."""

import asyncio
import errno
import os
import subprocess

import pytest
from payloads import BytesPayload, get, put, put_part
from refusals import refused

from backends.base import ChosenPart, Completion, ListQuery, Ref, Write
from backends.local import LocalBackend, fsck

REF = Ref("b", "k")


@pytest.fixture
def small_disk(tmp_path):
    """A mounted file system of 4 MiB."""
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(tmp_path)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("cannot mount a small file system")
    yield tmp_path
    subprocess.run(["umount", "-l", str(tmp_path)], check=True)


def grow(disk):
    subprocess.run(["mount", "-o", "remount,size=32m", str(disk)], check=True)


async def opened(path, durability="full"):
    store = LocalBackend.open(path, durability=durability)
    await store.create_bucket("b")
    return store


@pytest.mark.parametrize("size", [20_000, 200_000])
async def test_a_full_disk_is_a_clean_error_and_service_comes_back(small_disk, size):
    store = await opened(small_disk)
    kept, refusals = [], 0
    for number in range(400):
        outcome = await asyncio.gather(
            put(store, Ref("b", f"{number:03d}"), bytes([number % 256]) * size, threshold=10**9),
            return_exceptions=True,
        )
        if isinstance(outcome[0], Exception):
            assert outcome[0].code == "ServiceUnavailable"
            refusals += 1
            if refusals == 3:
                break
        else:
            kept.append(number)
    assert refusals == 3
    listed = [entry.key for entry in (await store.list_objects("b", ListQuery())).entries]
    assert listed == [f"{number:03d}" for number in kept]
    for number in kept:
        assert await get(store, Ref("b", f"{number:03d}")) == bytes([number % 256]) * size
    grow(small_disk)
    await put(store, REF, b"again" * size)
    assert await get(store, REF) == b"again" * size
    await store.aclose()
    report = fsck.check(small_disk, verify=True)
    assert report.ok, report
    assert report.litter == ()


@pytest.mark.parametrize(
    ("function", "number", "code"),
    [
        ("fdatasync", errno.ENOSPC, "ServiceUnavailable"),
        ("link", errno.EDQUOT, "ServiceUnavailable"),
        ("fsync", errno.EIO, "InternalError"),
    ],
)
async def test_a_body_that_cannot_be_placed_leaves_nothing(tmp_path, monkeypatch, function, number, code):
    store = await opened(tmp_path)
    await put(store, REF, b"old" * 50_000)
    real = getattr(os, function)

    def fail(*args, **kwargs):
        if function == "fdatasync" and names(args[0]).endswith("-wal"):
            return real(*args, **kwargs)
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, function, fail)
        with refused(code):
            await put(store, REF, b"new" * 50_000)
    assert await get(store, REF) == b"old" * 50_000
    await put(store, REF, b"new" * 50_000)
    await store.aclose()
    report = fsck.check(tmp_path)
    assert (report.ok, report.litter, report.bodies) == (True, (), 1)


async def test_a_log_that_cannot_be_synced_is_an_error(tmp_path, monkeypatch):
    store = await opened(tmp_path)

    def fail(fd):
        raise OSError(errno.EIO, "no sync")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", fail)
        with refused("InternalError"):
            await put(store, REF, b"x")
    await put(store, REF, b"y")
    assert await get(store, REF) == b"y"
    await store.aclose()


@pytest.fixture
def syncs(monkeypatch):
    """The calls that make things durable, in order, with what they are about."""
    seen = []

    def record(name, describe):
        real = getattr(os, name)

        def call(*args, **kwargs):
            result = real(*args, **kwargs)
            seen.append((name, describe(*args)))
            return result

        monkeypatch.setattr(os, name, call)

    record("fdatasync", names)
    record("fsync", names)
    record("link", lambda source, target: "body")
    return seen


def names(fd):
    path = os.readlink(f"/proc/self/fd/{fd}")
    if path.endswith("-wal"):
        return "index-wal"
    if "/bodies/" in path:
        return "slot"
    return "bodies" if path.endswith("/bodies") else "spooled"


async def test_a_small_write_is_synced_before_it_is_answered(tmp_path, syncs):
    store = await opened(tmp_path)
    syncs.clear()
    await put(store, REF, b"small")
    assert syncs == [("fdatasync", "index-wal")]
    syncs.clear()
    await store.delete_object(REF)
    assert syncs == [("fdatasync", "index-wal")]
    await store.aclose()


@pytest.mark.parametrize("threshold", [0, 10**9])
async def test_a_large_write_is_synced_in_order_before_it_is_answered(tmp_path, syncs, threshold):
    store = await opened(tmp_path)
    await put(store, REF, b"first" * 50_000, threshold=threshold)
    assert ("fsync", "bodies") in syncs
    syncs.clear()
    await put(store, Ref("b", "second"), b"second" * 50_000, threshold=threshold)
    assert syncs == [
        ("fdatasync", "spooled"),
        ("link", "body"),
        ("fsync", "slot"),
        ("fdatasync", "index-wal"),
    ]
    await store.aclose()


async def test_parts_and_their_completion_are_synced(tmp_path, syncs):
    store = await opened(tmp_path)
    # The first file of a slot brings a commit of its own; a replaced part would bring one behind our back.
    other = Ref("b", "other")
    await put_part(store, other, (await store.create_upload(other, Write())).upload, 1, b"first")
    upload = (await store.create_upload(REF, Write())).upload
    part = await put_part(store, REF, upload, 1, b"part")
    assert syncs[-4:] == [
        ("fdatasync", "spooled"),
        ("link", "body"),
        ("fsync", "slot"),
        ("fdatasync", "index-wal"),
    ]
    syncs.clear()
    await store.complete_upload(REF, upload, Completion([ChosenPart(1, part.etag)]))
    assert syncs == [("fdatasync", "index-wal")]
    await store.aclose()


async def test_writers_that_come_together_share_one_sync(tmp_path, syncs):
    store = await opened(tmp_path)
    syncs.clear()
    await asyncio.gather(*(put(store, Ref("b", str(n)), b"small") for n in range(100)))
    assert len(syncs) <= 10
    await store.aclose()


async def test_relaxed_durability_syncs_nothing(tmp_path, syncs):
    store = await opened(tmp_path, "relaxed")
    await put(store, REF, b"large" * 50_000)
    assert [call for call in syncs if call[0] != "link"] == []
    await store.aclose()


@pytest.mark.parametrize("stage", ["sealing", "placing"])
async def test_a_cancelled_write_leaves_no_file(tmp_path, monkeypatch, stage):
    store = await opened(tmp_path)
    gate = asyncio.Event()
    payload = BytesPayload(b"x" * 300_000, threshold=0, gate=gate)
    task = asyncio.create_task(store.put_object(REF, payload))
    await payload.begun.wait()
    if stage == "placing":
        entered = asyncio.Event()
        loop = asyncio.get_running_loop()
        real = store._bodies.place

        def place(sealed):
            loop.call_soon_threadsafe(entered.set)
            return real(sealed)

        monkeypatch.setattr(store._bodies, "place", place)
        gate.set()
        await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    payload.close()
    await store.aclose()
    report = fsck.check(tmp_path)
    assert (report.ok, report.objects, report.bodies, report.litter) == (True, 0, 0, ())
