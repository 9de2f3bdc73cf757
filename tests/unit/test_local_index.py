"""The local store inside: the cost of listings, the writer's batches, garbage, recovery, fsck."""

import asyncio
import fcntl
import os
import sqlite3
import stat
import threading
from bisect import bisect_left

import pytest
from payloads import get, put, put_part, read
from refusals import refused

from backends.base import MIN_PART_BYTES, ChosenPart, Completion, Conditions, ListQuery, Ref, Write
from backends.local import LocalBackend, UnknownSchema, fsck, index, listing, sqlite
from backends.local.bodies import RANDOM_BITS, FilesBody, Piece, Temporary, slot_of

REF = Ref("b", "k")
LARGE = b"x" * 100_000


@pytest.fixture
async def store(tmp_path):
    backend = LocalBackend.open(tmp_path / "s")
    await backend.create_bucket("b")
    yield backend
    await backend.aclose()


def path_of(store):
    return store._layout.root


def files_of(path):
    return [name for _, _, names in os.walk(f"{path}/bodies") for name in names]


def write(path, mode, data):
    with open(path, mode) as file:
        file.write(data)
    return path


def exists(path):
    return os.path.exists(path)


async def settled(store):
    """Close it, and with that remove what waits for removal."""
    await store.aclose()
    return fsck.check(path_of(store), verify=True)


class Scan:
    """A counted scan over sorted keys."""

    def __init__(self, keys):
        self.keys = sorted(key.encode() for key in keys)
        self.seeks = self.steps = 0

    def __call__(self, position):
        self.seeks += 1
        for key in self.keys[bisect_left(self.keys, position) :]:
            self.steps += 1
            yield (key.decode(),)

    def page(self, limit=1000):
        items, _ = listing.take(listing.walk(self(b""), self, "", "/"), limit)
        return [item.name for item in items]


def test_a_few_huge_prefixes_cost_a_seek_each():
    scan = Scan(f"{prefix}/{number}" for prefix in "abc" for number in range(10_000))
    assert scan.page() == ["a/", "b/", "c/"]
    assert scan.seeks <= 4
    assert scan.steps < 40


def test_many_prefixes_of_ten_cost_two_steps_and_a_seek_each():
    scan = Scan(f"{prefix:05d}/{number}" for prefix in range(5000) for number in range(10))
    assert len(scan.page()) == 1000
    assert scan.seeks < 1010
    assert scan.steps < 2100


def test_prefixes_of_one_and_plain_keys_cost_no_seek():
    for shape in ("{:05d}/index", "{:05d}"):
        scan = Scan(shape.format(number) for number in range(5000))
        assert len(scan.page()) == 1000
        assert scan.seeks == 1
        assert scan.steps < 1010


def test_the_successor_of_a_prefix_is_after_all_that_begins_with_it():
    for prefix in ("a", "a/", "é", "\U0010ffff", "\x7f"):
        after = listing.successor(prefix)
        assert (prefix + "\U0010ffff" * 9).encode() < after
        assert prefix.encode() < after
    assert listing.successor("") == listing.END


@pytest.mark.parametrize(
    "query", [sqlite._SCAN, sqlite._SCAN_PAGE, sqlite._SCAN_UPLOADS, sqlite.FIND_DATA, sqlite.TARGET]
)
async def test_every_hot_query_is_a_search_by_key(store, query):
    values = [None] * query.count("?")
    plan = [row[3] for row in store._index._execute(f"EXPLAIN QUERY PLAN {query}", values)]
    assert plan
    assert all(step.startswith(("SEARCH", "SCALAR SUBQUERY")) for step in plan), plan
    assert not any("TEMP B-TREE" in step for step in plan)


async def test_a_change_that_breaks_does_not_take_others_with_it(store, caplog):
    def broken(changes):
        changes.create_bucket("half", {})
        raise RuntimeError("a mistake")

    outcomes = await asyncio.gather(
        put(store, Ref("b", "one"), b"1"),
        store._writer.change(broken),
        put(store, Ref("b", "two"), b"2"),
        return_exceptions=True,
    )
    assert outcomes[1].code == "InternalError"
    assert "a mistake" in caplog.text
    assert [e.key for e in (await store.list_objects("b", ListQuery())).entries] == ["one", "two"]
    with refused("NoSuchBucket"):
        await store.head_bucket("half")


async def test_a_refused_write_removes_its_file(store):
    with refused("NoSuchKey"):
        await put(store, REF, LARGE, Write(conditions=Conditions(if_match=("x",))))
    report = await settled(store)
    assert (report.ok, report.bodies, report.litter) == (True, 0, ())


async def test_a_write_cancelled_while_it_waits_is_not_applied(store):
    entered, gate = threading.Event(), threading.Event()

    def hold(changes):
        entered.set()
        gate.wait(10)

    holding = asyncio.create_task(store._writer.change(hold))
    await asyncio.to_thread(entered.wait, 10)
    waiting = asyncio.create_task(store._writer.change(lambda changes: changes.create_bucket("late", {})))
    await asyncio.sleep(0)
    waiting.cancel()
    gate.set()
    await holding
    with refused("NoSuchBucket"):
        await store.head_bucket("late")


async def test_replaced_and_deleted_bodies_are_removed(store):
    await put(store, REF, LARGE)
    await put(store, REF, LARGE)
    await put(store, Ref("b", "gone"), LARGE)
    await store.delete_object(Ref("b", "gone"))
    report = await settled(store)
    assert (report.ok, report.bodies, len(files_of(path_of(store)))) == (True, 1, 1)


async def test_a_body_that_copies_share_stays_until_the_last_is_gone(store):
    await put(store, REF, LARGE)
    for key in ("c1", "c2"):
        await store.copy_object(REF, Ref("b", key))
    await store.delete_object(REF)
    await put(store, Ref("b", "c1"), b"other")
    assert await get(store, Ref("b", "c2")) == LARGE
    await store.delete_object(Ref("b", "c2"))
    report = await settled(store)
    assert (report.ok, report.bodies) == (True, 0)


async def two_parts(store):
    upload = (await store.create_upload(REF, Write())).upload
    parts = [await put_part(store, REF, upload, n, bytes([n]) * MIN_PART_BYTES) for n in (1, 2)]
    lines = [ChosenPart(part.number, part.etag) for part in parts]
    await store.complete_upload(REF, upload, Completion(lines))


async def test_files_of_a_multipart_object_wait_for_their_reader_and_go_then(store):
    await two_parts(store)
    content = await store.open_object(REF)
    await store.delete_object(REF)
    assert await read(content) == b"\x01" * MIN_PART_BYTES + b"\x02" * MIN_PART_BYTES
    content.close()
    content.close()
    removed = asyncio.Event()
    loop, discard = asyncio.get_running_loop(), store._bodies.discard

    def watch(garbage):
        gone = discard(garbage)
        if gone:
            loop.call_soon_threadsafe(removed.set)
        return gone

    store._bodies.discard = watch
    await asyncio.wait_for(removed.wait(), 20)
    report = await settled(store)
    assert (report.ok, report.bodies, files_of(path_of(store))) == (True, 0, [])


@pytest.mark.parametrize("make", [lambda store: put(store, REF, LARGE), two_parts])
async def test_a_body_replaced_between_row_and_open_is_looked_up_again(store, make):
    await make(store)
    stale = store._index.find(REF)
    for file in (stale.file,) if stale.file else index.segments(stale.segments).files:
        os.unlink(store._bodies.path(file))
    await put(store, REF, b"new")
    find, answers = store._index.find, [stale]
    store._index.find = lambda ref, **how: answers.pop() if answers else find(ref, **how)
    assert await get(store, REF) == b"new"


async def test_a_body_that_stays_missing_is_an_internal_error(store, caplog):
    await put(store, REF, LARGE)
    os.unlink(store._bodies.path(store._index.find(REF).file))
    with refused("InternalError"):
        await store.open_object(REF)
    assert "run fsck" in caplog.text


@pytest.mark.parametrize("state", ["locked", "unlinked"])
async def test_parts_that_are_being_removed_count_as_gone(store, state):
    await two_parts(store)
    first, second = index.segments(store._index.find(REF).segments).files
    fd = os.open(store._bodies.path(first), os.O_RDONLY)
    real = store._bodies.open
    if state == "locked":
        fcntl.flock(fd, fcntl.LOCK_EX)
    else:
        store._bodies.open = lambda file: os.dup(fd) if file == first else real(file)
        os.unlink(store._bodies.path(first))
    with pytest.raises(FileNotFoundError):
        FilesBody(store._bodies, [Piece(first, 0, 1), Piece(second, 0, 1)], first)
    os.close(fd)


async def test_unlisted_and_aborted_parts_are_removed(store):
    upload = (await store.create_upload(REF, Write())).upload
    parts = [await put_part(store, REF, upload, n, b"part") for n in (1, 2)]
    await store.complete_upload(REF, upload, Completion([ChosenPart(1, parts[0].etag)]))
    upload = (await store.create_upload(REF, Write())).upload
    await put_part(store, REF, upload, 1, b"part")
    await store.abort_upload(REF, upload)
    report = await settled(store)
    assert (report.ok, report.bodies) == (True, 1)


async def test_directories_are_private_and_the_store_opens_again(tmp_path):
    path = tmp_path / "deep" / "store"
    first = LocalBackend.open(path)
    second = LocalBackend.open(path)
    await first.create_bucket("b")
    await put(first, REF, LARGE)
    assert await get(second, REF) == LARGE
    await first.aclose()
    await first.aclose()
    await put(second, REF, b"y")
    await second.aclose()
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o700
    for directory, names, files in os.walk(path):
        assert all(stat.S_IMODE(os.stat(f"{directory}/{name}").st_mode) == 0o700 for name in names)
        assert all(stat.S_IMODE(os.stat(f"{directory}/{name}").st_mode) == 0o600 for name in files)
    third = LocalBackend.open(path)
    assert await get(third, REF) == b"y"
    await third.aclose()


async def test_a_store_of_another_version_is_refused(store):
    await store.aclose()
    with sqlite3.connect(f"{path_of(store)}/index.sqlite") as tables:
        tables.execute("UPDATE schema SET version = 99")
    tables.close()
    with pytest.raises(UnknownSchema, match="99"):
        LocalBackend.open(path_of(store))
    with pytest.raises(UnknownSchema):
        fsck.check(path_of(store))


async def test_recovery_removes_spooled_files(store):
    await store.aclose()
    leftover = write(f"{path_of(store)}/spool/left", "w", "x")
    again = LocalBackend.open(path_of(store))
    assert not exists(leftover)
    await again.aclose()


def test_a_file_system_without_nameless_files_gets_named_ones(tmp_path, monkeypatch):
    real = os.open

    def refuse(path, flags, *args, **kwargs):
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(95, "not supported")
        return real(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", refuse)
    temporary = Temporary(str(tmp_path))
    assert os.path.exists(temporary.path)
    temporary.close()
    assert os.listdir(tmp_path) == []


async def test_fsck_finds_what_is_wrong_and_removes_litter(store):
    await put(store, REF, LARGE)
    await put(store, Ref("b", "short"), LARGE)
    await put(store, Ref("b", "flipped"), LARGE)
    await put(store, Ref("b", "inline"), b"small")
    records = {key: store._index.find(Ref("b", key)) for key in ("k", "short", "flipped", "inline")}
    await store.aclose()
    paths = {key: store._bodies.path(record.file) for key, record in records.items() if record.file}
    os.unlink(paths["k"])
    os.truncate(paths["short"], 10)
    write(paths["flipped"], "r+b", b"y")
    litter = write(store._bodies.path(records["short"].file ^ 1), "w", "litter")
    with sqlite3.connect(f"{path_of(store)}/index.sqlite") as tables:
        tables.execute("UPDATE bodies SET data = x'00' WHERE id = ?", (records["inline"].body,))
        tables.execute("UPDATE bodies SET refs = 7 WHERE id = ?", (records["flipped"].body,))
    tables.close()
    steps = []
    report = fsck.check(path_of(store), progress=lambda done, total: steps.append((done, total)))
    assert (report.ok, report.objects, report.missing, report.repaired) == (False, 4, ("b/k",), 0)
    assert {text.partition(":")[0] for text in report.damaged} == {"b/short", "b/inline", "index"}
    assert steps[-1][0] <= steps[-1][1]
    report = fsck.check(path_of(store), repair=True, verify=True)
    assert {text.partition(":")[0] for text in report.damaged} == {"b/short", "b/inline", "b/flipped"}
    assert report.repaired >= 1
    assert not exists(litter)
    assert fsck.check(path_of(store)).litter == ()


def test_fsck_of_nothing_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="no store"):
        fsck.check(tmp_path)


def test_a_slot_is_about_17_minutes():
    assert slot_of((1 << 20) << RANDOM_BITS) == 1
