"""The index in SQLite: its tables, its connections, and its reads.

Objects are one table without row ids, ordered by (bucket, key, version), so that a listing is one walk over small
neighbouring rows. Bodies are another table: inline bytes would push the rows of a listing apart (a page of 1,000
keys with 4 KiB bodies beside them reads 4 MB instead of 200 KB). Several objects may share one body (`refs`), which
makes CopyObject and RenameObject a change of the index alone.

A lookup is one statement on the caller's own thread: a HEAD costs 10 microseconds, a GET of 4 KiB 13. Each process
opens its own connections. A page of 1,000 keys costs 1 ms, of 10,000 keys as of 1,000,000.

Measured choices: pages of 16 KiB write sequential keys 10 % cheaper than pages of 4 KiB, and random keys 10 to 30 %
dearer, so they are 4 KiB. A checkpoint at 8,000 pages instead of 1,000 saves 10 % of the CPU of a write, but the
slowest write in a thousand takes half as long again. SQLite is built with `secure_delete` here and there: it is
switched off, since it writes every freed page once more.
"""

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from itertools import starmap

from backends.base import (
    BucketInfo,
    BucketPage,
    BucketQuery,
    Entry,
    ListQuery,
    Page,
    PartInfo,
    PartPage,
    Ref,
    UploadInfo,
    UploadPage,
    UploadQuery,
)
from backends.local import listing
from backends.local.index import NO_DOCS, Record, documents
from backends.local.rows import decode_write
from backends.multipart import check_marker
from gateway.errors import NoSuchBucket, NoSuchKey, NoSuchUpload

SCHEMA = 1
PAGE_BYTES = 4096
CACHE_KIB = 16 * 1024
CHECKPOINT_PAGES = 1000
"""Pages in the write-ahead log after which a commit moves them into the database: 4 MB, which holds up one batch."""
WAL_KEEP_BYTES = 64 * 1024 * 1024
"""A log that grew beyond this is cut when it is reused."""

TABLES = """
CREATE TABLE buckets (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    created INTEGER NOT NULL,                -- ms
    docs TEXT                                -- JSON
);
CREATE TABLE objects (
    bucket INTEGER NOT NULL,
    key TEXT NOT NULL,
    version INTEGER NOT NULL DEFAULT 0,      -- 0 is the current one; room for older ones behind it
    size INTEGER NOT NULL,
    etag TEXT NOT NULL,
    modified INTEGER NOT NULL,               -- ms
    storage_class TEXT NOT NULL,
    checksum_algorithm TEXT,
    checksum_type TEXT,
    checksum TEXT,
    headers TEXT,                            -- JSON, as user and docs
    user TEXT,
    docs TEXT,
    upload TEXT,                             -- the multipart upload this is the outcome of
    body INTEGER NOT NULL,
    PRIMARY KEY (bucket, key, version)
) WITHOUT ROWID;
CREATE TABLE bodies (
    id INTEGER PRIMARY KEY,
    refs INTEGER NOT NULL,
    file INTEGER,
    segments TEXT,                           -- JSON: [[number, file, size, checksum], ...]
    data BLOB
);
CREATE TABLE files (id INTEGER PRIMARY KEY, size INTEGER NOT NULL);
CREATE TABLE garbage (file INTEGER PRIMARY KEY, guard INTEGER);
CREATE TABLE uploads (
    bucket INTEGER NOT NULL,
    key TEXT NOT NULL,
    upload TEXT NOT NULL,                    -- begins with its time, so that it orders by it
    initiated INTEGER NOT NULL,
    write TEXT NOT NULL,                     -- JSON
    PRIMARY KEY (bucket, key, upload)
) WITHOUT ROWID;
CREATE TABLE parts (
    upload TEXT NOT NULL,
    number INTEGER NOT NULL,
    size INTEGER NOT NULL,
    etag TEXT NOT NULL,
    modified INTEGER NOT NULL,
    checksum TEXT,
    file INTEGER NOT NULL,
    PRIMARY KEY (upload, number)
) WITHOUT ROWID;
CREATE TABLE writers (id INTEGER PRIMARY KEY, slot INTEGER NOT NULL);
CREATE TABLE schema (version INTEGER NOT NULL);
"""

_COLUMNS = (
    "o.size, o.etag, o.modified, o.storage_class, o.checksum_algorithm, o.checksum_type, o.checksum,"
    " o.headers, o.user, o.docs, o.upload, o.body, b.refs, b.file, b.segments"
)
_OBJECT = (
    " FROM objects o JOIN bodies b ON b.id = o.body"
    " WHERE o.bucket = (SELECT id FROM buckets WHERE name = ?) AND o.key = ? AND o.version = 0"
)
FIND = f"SELECT {_COLUMNS}{_OBJECT}"
FIND_DATA = f"SELECT {_COLUMNS}, b.data{_OBJECT}"
TARGET = (
    f"SELECT k.id, {_COLUMNS} FROM buckets k"  # noqa: S608
    " LEFT JOIN objects o ON o.bucket = k.id AND o.key = ? AND o.version = 0"
    " LEFT JOIN bodies b ON b.id = o.body WHERE k.name = ?"
)
BUCKET_ID = "SELECT id FROM buckets WHERE name = ?"
UPLOAD = (
    "SELECT initiated, write FROM uploads"
    " WHERE bucket = (SELECT id FROM buckets WHERE name = ?) AND key = ? AND upload = ?"
)
PARTS = (
    "SELECT number, size, etag, modified, checksum, file FROM parts"
    " WHERE upload = ? AND number > ? ORDER BY number LIMIT ?"
)
# A position is bytes, cast to text so that it compares with keys; the bytes need not be UTF-8.
_SCAN = (
    "SELECT key, size, etag, modified, storage_class, checksum_algorithm, checksum_type FROM objects"
    " WHERE bucket = ? AND key >= CAST(? AS TEXT) AND key < CAST(? AS TEXT) AND version = 0 ORDER BY key"
)
_SCAN_PAGE = _SCAN + " LIMIT ?"
_SCAN_UPLOADS = (
    "SELECT key, upload, initiated, write FROM uploads"
    " WHERE bucket = ? AND (key, upload) >= (CAST(? AS TEXT), ?) AND key < CAST(? AS TEXT) ORDER BY key, upload"
)


class UnknownSchema(Exception):
    """The store was made by another version of s3gw, which this one cannot read."""


def connect(path: str) -> sqlite3.Connection:
    """Open a connection. Every thread may use it, one at a time."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
    for pragma in (
        f"cache_size = -{CACHE_KIB}",
        "synchronous = NORMAL",
        "secure_delete = OFF",
        f"wal_autocheckpoint = {CHECKPOINT_PAGES}",
        f"journal_size_limit = {WAL_KEEP_BYTES}",
        "temp_store = MEMORY",
    ):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def prepare(path: str) -> None:
    """Make the tables if there are none. The caller holds the write lock. Raises UnknownSchema."""
    os.close(
        os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    )  # SQLite gives its log the same mode
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'schema'").fetchone():
            connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(
                f"BEGIN IMMEDIATE; {TABLES} INSERT INTO schema VALUES ({SCHEMA}); COMMIT"  # noqa: S608
            )
        (found,) = connection.execute("SELECT version FROM schema").fetchone()
    if found != SCHEMA:
        raise UnknownSchema(f"{path} has schema {found}; this version of s3gw reads schema {SCHEMA}.")


@contextlib.contextmanager
def locked(path: str, kind: int = fcntl.LOCK_EX) -> Iterator[None]:
    """Hold an flock on a file."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, kind)
        yield
    finally:
        os.close(fd)


class Reader:
    """The reads of the index, on one connection."""

    def __init__(self, path: str) -> None:
        self._connection = connect(path)
        self._execute = self._connection.execute

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def bucket(self, name: str) -> BucketInfo:
        """See `Index.bucket`."""
        row = self._execute("SELECT created, docs FROM buckets WHERE name = ?", (name,)).fetchone()
        if row is None:
            raise NoSuchBucket(BucketName=name)
        return _bucket(name, *row)

    def buckets(self, query: BucketQuery) -> BucketPage:
        """See `Index.buckets`."""
        rows = self._execute(
            "SELECT name, created, docs FROM buckets WHERE name > ? AND name >= ? AND name < CAST(? AS TEXT)"
            " ORDER BY name LIMIT ?",
            (query.after, query.prefix, listing.successor(query.prefix), query.limit + 1),
        ).fetchall()
        found = list(starmap(_bucket, rows[: query.limit]))
        return BucketPage(found, found[-1].name if found and len(rows) > query.limit else "")

    def find(self, ref: Ref, *, data: bool = False) -> Record:
        """See `Index.find`."""
        row = self._execute(FIND_DATA if data else FIND, (ref.bucket, ref.key)).fetchone()
        if row is None:
            self._bucket_id(ref.bucket)
            raise NoSuchKey(Key=ref.key)
        return Record(*row)

    def page(self, bucket: str, query: ListQuery) -> Page:
        """See `Index.page`."""
        number = self._bucket_id(bucket)
        start = listing.start(query.prefix, query.delimiter, query.after)
        stop = listing.successor(query.prefix)
        if query.delimiter:
            return self._folded(number, query, start, stop)
        limit = query.limit + 1 if query.limit else 0
        rows = self._execute(_SCAN_PAGE, (number, start, stop, limit)).fetchall()
        more = len(rows) > query.limit
        entries = list(map(Entry._make, rows[: query.limit]))
        return Page(entries, (), entries[-1].key if more else "")

    def upload(self, ref: Ref, upload: str) -> UploadInfo:
        """See `Index.upload`."""
        row = self._execute(UPLOAD, (ref.bucket, ref.key, upload)).fetchone()
        if row is None:
            self._bucket_id(ref.bucket)
            raise NoSuchUpload(UploadId=upload)
        return UploadInfo(ref.key, upload, row[0], decode_write(row[1]))

    def parts(self, ref: Ref, upload: str, after: int, limit: int) -> PartPage:
        """See `Index.parts`."""
        info = self.upload(ref, upload)
        rows = self._execute(PARTS, (upload, after, limit + 1 if limit else 0)).fetchall()
        parts = [PartInfo(*row[:5]) for row in rows[:limit]]
        return PartPage(info, parts, parts[-1].number if len(rows) > limit else 0)

    def uploads(self, bucket: str, query: UploadQuery) -> UploadPage:
        """See `Index.uploads`."""
        number = self._bucket_id(bucket)
        check_marker(query.after_upload)
        stop = listing.successor(query.prefix)
        start, upload = listing.start(query.prefix, query.delimiter, query.after), ""
        if query.after_upload and query.after >= query.prefix:
            start, upload = query.after.encode(), query.after_upload + "\0"

        def seek(position: bytes, upload: str = "") -> Iterator[listing.Row]:
            return self._execute(_SCAN_UPLOADS, (number, position, upload, stop))

        found = listing.walk(seek(start, upload), seek, query.prefix, query.delimiter)
        items, more = listing.take(found, query.limit)
        uploads = [_upload(*item.row) for item in items if item.row is not None]
        prefixes = [item.name for item in items if item.row is None]
        if not more:
            return UploadPage(uploads, prefixes)
        last = items[-1]
        return UploadPage(uploads, prefixes, last.name, last.row[1] if last.row else "")

    def _folded(self, number: int, query: ListQuery, start: bytes, stop: bytes) -> Page:
        def seek(position: bytes) -> Iterator[listing.Row]:
            return self._execute(_SCAN, (number, position, stop))

        items, more = listing.take(
            listing.walk(seek(start), seek, query.prefix, query.delimiter), query.limit
        )
        return Page(
            [Entry._make(item.row) for item in items if item.row is not None],
            [item.name for item in items if item.row is None],
            items[-1].name if more else "",
        )

    def _bucket_id(self, name: str) -> int:
        row = self._execute(BUCKET_ID, (name,)).fetchone()
        if row is None:
            raise NoSuchBucket(BucketName=name)
        number: int = row[0]
        return number


def _bucket(name: str, created: int, docs: str | None) -> BucketInfo:
    return BucketInfo(name, created, documents(docs) if docs else NO_DOCS)


def _upload(key: str, upload: str, initiated: int, write: str) -> UploadInfo:
    return UploadInfo(key, upload, initiated, decode_write(write))
