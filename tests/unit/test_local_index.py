"""The local store inside: the cost of listings, the writer's batches, garbage, recovery, fsck."""

import asyncio
import fcntl
import os
import re
import sqlite3
import stat
import threading
from bisect import bisect_left

import pytest
from payloads import get, put, put_part, read
from refusals import refused

from backends import frames
from backends.base import (
    MIN_PART_BYTES,
    ChosenPart,
    Completion,
    Conditions,
    Doc,
    Doomed,
    ListQuery,
    NewBucket,
    Ref,
    Sealed,
    UploadQuery,
    VersionQuery,
    Write,
)
from backends.local import LocalBackend, UnknownSchema, fsck, generation, index, listing, sqlite
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


HOT = [
    sqlite._SCAN,
    sqlite._SCAN_PAGE,
    sqlite._SCAN_UPLOADS,
    sqlite._SCAN_VERSIONS,
    sqlite._SCAN_KEY,
    sqlite.FIND_DATA,
    sqlite.FIND_VERSION,
    sqlite.FIND_NULL,
    sqlite.SEQ_OF_NULL,
    sqlite.TARGET,
    sqlite.OLDER,
    sqlite.OLDER_NULL,
    sqlite.NEWEST_OLDER,
]
SEARCHES = ("SEARCH", "SCALAR SUBQUERY", "CORRELATED SCALAR SUBQUERY", "COMPOUND", "LEFT-MOST", "UNION ALL")
MERGES = ("MERGE (UNION ALL)", "LEFT", "RIGHT", "USE TEMP B-TREE FOR RIGHT PART OF ORDER BY")
"""The last one sorts what of `objects` has the same key: one row."""


@pytest.mark.parametrize("query", HOT)
async def test_every_hot_query_is_a_search_by_key(store, query):
    names = dict.fromkeys(re.findall(r":(\w+)", query))
    values = names or [None] * query.count("?")
    plan = [row[3] for row in store._index._execute(f"EXPLAIN QUERY PLAN {query}", values)]
    assert plan
    assert all(step.startswith(SEARCHES + MERGES) for step in plan), plan
    assert not any("AUTOMATIC" in step for step in plan)


async def test_a_page_of_versions_costs_what_it_returns(store):
    """Counted in steps of SQLite's machine: as many with ten versions of each key as with two."""
    await store.put_doc(Ref("b", ""), Doc.VERSIONING, "Enabled")
    costs = []
    for _ in range(10):
        await asyncio.gather(*(put(store, Ref("b", f"{n:03d}"), b"x") for n in range(200)))
        await store.delete_objects("b", [Doomed(f"{n:03d}") for n in range(0, 200, 2)])
        page = await store.list_versions("b", VersionQuery(limit=1))
        middle = VersionQuery(after="100", after_version=page.entries[0].version, limit=1)
        costs.append([steps(store, query) for query in (VersionQuery(limit=1), middle)])
    assert costs[-1] == costs[1]
    assert all(costs[1])


def steps(store, query):
    count = []
    store._index._connection.set_progress_handler(lambda: count.append(1) and None, 1)
    store._index.versions("b", query)
    store._index._connection.set_progress_handler(None, 0)
    return len(count)


async def test_a_folded_page_of_versions_costs_a_seek_for_each_prefix(store):
    await store.put_doc(Ref("b", ""), Doc.VERSIONING, "Enabled")
    doomed = [Doomed(f"{prefix}/{number:04d}") for prefix in "abc" for number in range(500)]
    await store.delete_objects("b", doomed)
    seen = []
    store._index._connection.set_trace_callback(seen.append)
    page = await store.list_versions("b", VersionQuery(delimiter="/"))
    assert (page.prefixes, page.entries) == (["a/", "b/", "c/"], [])
    assert sum("UNION ALL" in statement for statement in seen) <= 4


async def test_a_change_that_breaks_does_not_take_others_with_it(store, caplog):
    def broken(changes):
        changes.create_bucket("half", NewBucket())
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
    waiting = asyncio.create_task(
        store._writer.change(lambda changes: changes.create_bucket("late", NewBucket()))
    )
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


# Versions.


async def versioned(store, docs=None):
    await store.put_doc(Ref("b", ""), Doc.VERSIONING, "Enabled")
    return [(await put(store, REF, LARGE, Write(docs=docs or {}))).version for _ in range(3)]


async def test_bodies_of_old_versions_stay_and_go_with_them(store):
    ids = await versioned(store)
    await store.copy_object(Ref("b", "k", ids[0]), Ref("b", "copy"))
    await store.delete_object(Ref("b", "k", ids[0]))
    await store.delete_object(Ref("b", "k", ids[2]))
    await store.delete_object(REF)
    report = await settled(store)
    assert (report.ok, report.objects, report.bodies, len(files_of(path_of(store)))) == (True, 2, 2, 2)


async def test_recovery_keeps_the_bodies_of_versions(store):
    ids = await versioned(store)
    slot = slot_of(store._index.find(REF).file)
    await store.aclose()
    with sqlite3.connect(f"{path_of(store)}/index.sqlite") as tables:
        tables.execute("INSERT INTO writers VALUES (7, ?)", (slot,))  # one that crashed
    tables.close()
    again = LocalBackend.open(path_of(store))
    for version in ids:
        assert await get(again, Ref("b", "k", version)) == LARGE
    await again.aclose()


async def test_fsck_finds_what_is_wrong_with_versions(store):
    ids = await versioned(store)
    lost, cut = (store._index.find(Ref("b", "k", version)).file for version in ids[:2])
    await store.aclose()
    os.unlink(store._bodies.path(lost))
    os.truncate(store._bodies.path(cut), 10)
    report = fsck.check(path_of(store))
    assert (report.objects, report.bodies) == (3, 3)
    assert report.missing == (f"b/k?versionId={ids[0]}",)
    assert report.damaged == (f"b/k?versionId={ids[1]}: 10 bytes instead of {len(LARGE)}",)


async def test_fsck_finds_a_key_that_none_of_its_versions_stands_for(store):
    await versioned(store)
    await store.aclose()
    with sqlite3.connect(f"{path_of(store)}/index.sqlite") as tables:
        tables.execute("DELETE FROM objects")
    tables.close()
    assert "index: no version of b/k is the current one" in fsck.check(path_of(store)).damaged


class Encrypted:
    """A payload whose stored bytes are not the object's."""

    def __init__(self, size):
        self.length = size
        self.data = os.urandom(frames.stored_size(size))

    async def seal(self, directory):
        return Sealed(self.length, "0" * 32, data=self.data, stored=len(self.data))


async def test_fsck_knows_how_long_encrypted_bodies_are(store):
    how = Write(docs={Doc.SSE: "{}"})
    for key, size in (("large", 100_000), ("inline", 1000), ("edge", 64 * 1024)):
        await store.put_object(Ref("b", key), Encrypted(size), how)
    assert store._index.find(Ref("b", "edge")).file is not None
    file, body = store._index.find(Ref("b", "large")).file, store._index.find(Ref("b", "inline")).body
    sizes = dict(store._index._execute("SELECT id, size FROM files").fetchall())
    assert sizes[file] == frames.stored_size(100_000)
    report = await settled(store)
    assert (report.ok, report.objects) == (True, 3)
    os.truncate(store._bodies.path(file), 100_000)
    with sqlite3.connect(f"{path_of(store)}/index.sqlite") as tables:
        tables.execute("UPDATE bodies SET data = x'00' WHERE id = ?", (body,))
    tables.close()
    assert {text.partition(":")[0] for text in fsck.check(path_of(store)).damaged} == {"b/large", "b/inline"}


# The schema of version 1, as it was released.
SCHEMA_1 = """
CREATE TABLE buckets (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, created INTEGER NOT NULL, docs TEXT);
CREATE TABLE objects (
    bucket INTEGER NOT NULL, key TEXT NOT NULL, version INTEGER NOT NULL DEFAULT 0, size INTEGER NOT NULL,
    etag TEXT NOT NULL, modified INTEGER NOT NULL, storage_class TEXT NOT NULL, checksum_algorithm TEXT,
    checksum_type TEXT, checksum TEXT, headers TEXT, user TEXT, docs TEXT, upload TEXT, body INTEGER NOT NULL,
    PRIMARY KEY (bucket, key, version)
) WITHOUT ROWID;
CREATE TABLE bodies (id INTEGER PRIMARY KEY, refs INTEGER NOT NULL, file INTEGER, segments TEXT, data BLOB);
CREATE TABLE files (id INTEGER PRIMARY KEY, size INTEGER NOT NULL);
CREATE TABLE garbage (file INTEGER PRIMARY KEY, guard INTEGER);
CREATE TABLE uploads (
    bucket INTEGER NOT NULL, key TEXT NOT NULL, upload TEXT NOT NULL, initiated INTEGER NOT NULL,
    write TEXT NOT NULL, PRIMARY KEY (bucket, key, upload)
) WITHOUT ROWID;
CREATE TABLE parts (
    upload TEXT NOT NULL, number INTEGER NOT NULL, size INTEGER NOT NULL, etag TEXT NOT NULL,
    modified INTEGER NOT NULL, checksum TEXT, file INTEGER NOT NULL, PRIMARY KEY (upload, number)
) WITHOUT ROWID;
CREATE TABLE writers (id INTEGER PRIMARY KEY, slot INTEGER NOT NULL);
CREATE TABLE schema (version INTEGER NOT NULL);
INSERT INTO schema VALUES (1);
INSERT INTO buckets VALUES (1, 'b', 1700000000000, '{"acl":"public-read"}');
INSERT INTO bodies VALUES (1, 2, NULL, NULL, CAST('old' AS BLOB));
INSERT INTO objects VALUES
    (1, 'k', 0, 3, '149603e6c03516362a8da23f624db945', 1700000000123, 'STANDARD', 'CRC32', 'FULL_OBJECT', 'AAAAAA==',
     '{"content-type":"a/b"}', '{"u":"1"}', '{"acl":"private"}', NULL, 1),
    (1, 'a', 0, 3, '149603e6c03516362a8da23f624db945', 1700000000123, 'STANDARD', NULL, NULL, NULL,
     NULL, NULL, NULL, NULL, 1);
INSERT INTO uploads VALUES (1, 'k', '0018bcfe568XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX', 1700000000000,
    '{"headers":{},"user":{},"docs":{},"storage_class":"STANDARD","checksum_algorithm":null,"checksum_type":null}');
"""


@pytest.fixture
def old_store(tmp_path):
    for name in ("", "bodies", "spool"):
        os.makedirs(tmp_path / "old" / name, mode=0o700, exist_ok=True)
    with sqlite3.connect(tmp_path / "old" / "index.sqlite") as tables:
        tables.execute("PRAGMA journal_mode = WAL")
        tables.executescript(SCHEMA_1)
    tables.close()
    return tmp_path / "old"


async def test_a_store_of_the_first_schema_becomes_one_of_this(old_store):
    store = LocalBackend.open(old_store)
    info = (await store.head_object(REF)).info
    assert (info.size, info.modified, info.version, info.owner) == (3, 1_700_000_000_123, None, "")
    assert (dict(info.headers), dict(info.user), dict(info.docs)) == (
        {"content-type": "a/b"},
        {"u": "1"},
        {Doc.ACL: "private"},
    )
    assert info.checksum.value == "AAAAAA=="
    bucket = await store.head_bucket("b")
    assert (bucket.owner, bucket.created, bucket.docs) == ("", 1_700_000_000_000, {Doc.ACL: "public-read"})
    await store.put_doc(Ref("b", ""), Doc.VERSIONING, "Enabled")
    made = await put(store, REF, b"new")
    assert await get(store, Ref("b", "k", "null")) == b"old"
    entries = (await store.list_versions("b", VersionQuery())).entries
    assert [(entry.key, entry.version) for entry in entries] == [
        ("a", None),
        ("k", made.version),
        ("k", None),
    ]
    (upload,) = (await store.list_uploads("b", UploadQuery())).uploads
    assert upload.write.owner == ""
    await store.aclose()
    assert fsck.check(old_store, verify=True).ok
    again = LocalBackend.open(old_store)
    assert await get(again, REF) == b"new"
    await again.aclose()


def test_a_store_that_an_older_gateway_uses_is_not_changed(old_store):
    with open(old_store / "use.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        with pytest.raises(UnknownSchema, match="stop it first"):
            LocalBackend.open(old_store)
    fsck.check(old_store)
    LocalBackend.open(old_store).close()


def test_a_migration_that_fails_changes_nothing(old_store):
    with sqlite3.connect(old_store / "index.sqlite") as tables:
        tables.execute("CREATE TABLE versions (x)")  # in its way
    tables.close()
    with pytest.raises(sqlite3.OperationalError):
        LocalBackend.open(old_store)
    with sqlite3.connect(old_store / "index.sqlite") as tables:
        assert tables.execute("SELECT version FROM schema").fetchone() == (1,)
        assert tables.execute("SELECT count(*) FROM objects WHERE version = 0").fetchone() == (2,)
        assert "owner" not in [row[1] for row in tables.execute("PRAGMA table_info(buckets)")]
    tables.close()


# The cache of buckets.


async def test_a_bucket_is_read_once_while_no_bucket_changes(store):
    await store.head_bucket("b")
    seen = []
    store._index._connection.set_trace_callback(seen.append)
    for _ in range(50):
        await store.head_bucket("b")
    assert seen == []
    await store.put_doc(Ref("b", ""), Doc.ACL, "public-read")
    assert (await store.head_bucket("b")).docs == {Doc.ACL: "public-read"}
    assert len(seen) == 1
    await store.delete_bucket("b")
    with refused("NoSuchBucket"):
        await store.head_bucket("b")


async def test_a_bucket_that_a_crash_kept_from_being_told_is_read_again_in_time(store, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(sqlite, "monotonic", lambda: now[0])
    await store.head_bucket("b")
    monkeypatch.setattr(generation.Generation, "bump", lambda self: None)
    await store.put_doc(Ref("b", ""), Doc.ACL, "public-read")
    now[0] += generation.MAX_AGE_SECONDS + 0.01
    assert (await store.head_bucket("b")).docs == {Doc.ACL: "public-read"}


async def test_without_a_mapping_every_look_reads_the_row(tmp_path, monkeypatch):
    def refuse(*args, **options):
        raise OSError(12, "no memory")

    monkeypatch.setattr(generation.mmap, "mmap", refuse)
    store = LocalBackend.open(tmp_path)
    other = LocalBackend.open(tmp_path)
    await store.create_bucket("b")
    for acl in ("public-read", "private"):
        await store.put_doc(Ref("b", ""), Doc.ACL, acl)
        assert (await other.head_bucket("b")).docs == {Doc.ACL: acl}
    await store.aclose()
    await other.aclose()


async def test_a_bucket_is_not_changed_when_that_cannot_be_told(store, monkeypatch, caplog):
    def refuse(self):
        raise OSError(28, "no space")

    monkeypatch.setattr(generation.Generation, "bump", refuse)
    with refused("ServiceUnavailable"):
        await store.put_doc(Ref("b", ""), Doc.ACL, "public-read")
    monkeypatch.undo()
    assert (await store.head_bucket("b")).docs == {}
    assert "no space" in caplog.text


async def test_a_body_placed_for_a_write_stays_when_only_the_second_word_fails(store, monkeypatch):
    bump, calls = generation.Generation.bump, []

    def second_fails(self):
        calls.append(1)
        if len(calls) == 2:
            raise OSError(5, "I/O error")
        bump(self)

    monkeypatch.setattr(generation.Generation, "bump", second_fails)
    await asyncio.gather(put(store, REF, LARGE), store.put_doc(Ref("b", ""), Doc.ACL, "public-read"))
    assert await get(store, REF) == LARGE
    assert (await store.head_bucket("b")).docs == {Doc.ACL: "public-read"}


def test_the_generation_is_one_number_for_all(tmp_path):
    first, second = (generation.Generation(str(tmp_path / "generation")) for _ in range(2))
    seen = {second.current()}
    for who in (first, second, first):
        who.bump()
        assert first.current() == second.current()
        assert second.current() not in seen
        seen.add(second.current())
    first.close()
    second.close()
