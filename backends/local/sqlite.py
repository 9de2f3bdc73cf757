"""The index in SQLite: its connections, its statements, and its reads. Its tables stand in `schema`.

Objects are a table without row ids, ordered by (bucket, key), so that a listing is one walk over small
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
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain, starmap
from time import monotonic
from typing import NamedTuple

from backends.base import (
    BucketInfo,
    BucketPage,
    BucketQuery,
    Doc,
    Entry,
    ListQuery,
    Page,
    PartInfo,
    PartPage,
    Ref,
    UploadInfo,
    UploadPage,
    UploadQuery,
    VersionEntry,
    VersionPage,
    VersionQuery,
)
from backends.local import listing
from backends.local.generation import MAX_AGE_SECONDS, Generation
from backends.local.index import NO_DOCS, Record, bucket_documents
from backends.local.rows import decode_write
from backends.multipart import check_marker
from backends.versions import (
    MAX_SEQ,
    NULL,
    check_version_id,
    current_is_marker,
    name_of,
    named_is_marker,
    no_such_version,
    seq_of,
)
from gateway.errors import NoSuchBucket, NoSuchKey, NoSuchUpload, S3Error

CACHE_KIB = 16 * 1024
CHECKPOINT_PAGES = 1000
"""Pages in the write-ahead log after which a commit moves them into the database: 4 MB, which holds up one batch."""
WAL_KEEP_BYTES = 64 * 1024 * 1024
"""A log that grew beyond this is cut when it is reused."""

_COLUMNS = (
    "o.version, o.seq, o.owner, o.size, o.etag, o.modified, o.storage_class, o.checksum_algorithm, o.checksum_type,"
    " o.checksum, o.headers, o.user, o.docs, o.upload, o.body, b.file, b.segments"
)
_OBJECT = " FROM objects o JOIN bodies b ON b.id = o.body WHERE o.bucket = ? AND o.key = ?"
FIND = f"SELECT {_COLUMNS}{_OBJECT}"
FIND_DATA = f"SELECT {_COLUMNS}, b.data{_OBJECT}"
TARGET = (
    f"SELECT k.id, k.docs, {_COLUMNS} FROM buckets k"  # noqa: S608
    " LEFT JOIN objects o ON o.bucket = k.id AND o.key = ?"
    " LEFT JOIN bodies b ON b.id = o.body WHERE k.name = ?"
)
BUCKET = "SELECT id, docs FROM buckets WHERE name = ?"
_OLDER = (
    f"SELECT {_COLUMNS} FROM versions o LEFT JOIN bodies b ON b.id = o.body"  # noqa: S608
    " WHERE o.bucket = ? AND o.key = ?"
)
OLDER = f"{_OLDER} AND o.seq = ? AND o.version = ?"
OLDER_NULL = f"{_OLDER} AND o.version IS NULL"
NEWEST_OLDER = (
    "SELECT seq, version, body IS NULL FROM versions WHERE bucket = ? AND key = ? ORDER BY seq DESC LIMIT 1"
)


def _of_both(columns: str, which: str) -> str:
    """A version, wherever it stands. Versions move between the tables: one statement sees each in one of them."""
    return " UNION ALL ".join(
        f"SELECT {columns} FROM {table} o LEFT JOIN bodies b ON b.id = o.body"  # noqa: S608
        f" WHERE o.bucket = :bucket AND o.key = :key AND {which}"
        for table in ("objects", "versions")
    )


_BY_ID = "o.seq = :seq AND o.version = :version"
_NULL = "o.version IS NULL"
FIND_VERSION = _of_both(f"{_COLUMNS}, b.data", _BY_ID)
FIND_NULL = _of_both(f"{_COLUMNS}, b.data", _NULL)
SEQ_OF_NULL = _of_both("o.seq", _NULL)
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
    "SELECT key, size, etag, modified, storage_class, checksum_algorithm, checksum_type, owner FROM objects"
    " WHERE bucket = ? AND key >= CAST(? AS TEXT) AND key < CAST(? AS TEXT) ORDER BY key"
)
_SCAN_PAGE = _SCAN + " LIMIT ?"
# In a scan that begins with a key's newest version, the first row of a key is the latest. Elsewhere it is looked up: in
# `versions` only a delete marker can be, see `schema`.
_FIRST = "NULL"
_LATEST = (
    "body IS NULL AND NOT EXISTS (SELECT 1 FROM objects o WHERE o.bucket = v.bucket AND o.key = v.key)"
    " AND NOT EXISTS (SELECT 1 FROM versions n WHERE n.bucket = v.bucket AND n.key = v.key AND n.seq > v.seq)"
)


def _scan_versions(which: str, latest: str) -> str:
    """Both tables merged: rows that begin as a VersionEntry does."""
    shown = "size, etag, modified, storage_class, checksum_algorithm, checksum_type, owner, seq"
    return (
        f"SELECT key, version, 1, 0, {shown} FROM objects WHERE bucket = :bucket AND {which}"  # noqa: S608
        f" UNION ALL SELECT key, version, {latest}, body IS NULL, {shown} FROM versions v"
        f" WHERE bucket = :bucket AND {which} ORDER BY 1, 12 DESC"
    )


_SCAN_VERSIONS = _scan_versions("key >= CAST(:start AS TEXT) AND key < CAST(:stop AS TEXT)", _FIRST)
_SCAN_KEY = _scan_versions("key = :key AND seq < :seq", _LATEST)
_SCAN_UPLOADS = (
    "SELECT key, upload, initiated, write FROM uploads"
    " WHERE bucket = ? AND (key, upload) >= (CAST(? AS TEXT), ?) AND key < CAST(? AS TEXT) ORDER BY key, upload"
)


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


@contextlib.contextmanager
def locked(path: str, kind: int = fcntl.LOCK_EX) -> Iterator[None]:
    """Hold an flock on a file."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, kind)
        yield
    finally:
        os.close(fd)


class _Known(NamedTuple):
    """A bucket and its number."""

    number: int
    info: BucketInfo


class Reader:
    """The reads of the index, on one connection. Buckets are kept while `generation` says that none has changed."""

    def __init__(self, path: str, generation: Generation) -> None:
        self._connection = connect(path)
        self._execute = self._connection.execute
        self._generation = generation
        self._buckets: dict[str, _Known] = {}
        self._read_at: bytes | int = -1
        self._read_until = 0.0

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def bucket(self, name: str) -> BucketInfo:
        """See `Index.bucket`."""
        return self._known(name).info

    def buckets(self, query: BucketQuery) -> BucketPage:
        """See `Index.buckets`."""
        rows = self._execute(
            "SELECT name, created, docs, owner FROM buckets"
            " WHERE name > :after AND name >= :prefix AND name < CAST(:stop AS TEXT)"
            " AND (:owner IS NULL OR owner = :owner) ORDER BY name LIMIT :limit",
            {
                "after": query.after,
                "prefix": query.prefix,
                "stop": listing.successor(query.prefix),
                "owner": query.owner,
                "limit": query.limit + 1,
            },
        ).fetchall()
        found = list(starmap(_bucket, rows[: query.limit]))
        return BucketPage(found, found[-1].name if found and len(rows) > query.limit else "")

    def find(self, ref: Ref, *, data: bool = False) -> Record:
        """See `Index.find`."""
        if ref.version is not None:
            return self._find_version(ref, ref.version)
        number = self._known(ref.bucket).number
        row = self._execute(FIND_DATA if data else FIND, (number, ref.key)).fetchone()
        if row is None:
            raise self._missing(ref)
        return Record(*row)

    def _find_version(self, ref: Ref, version: str) -> Record:
        number = self._known(ref.bucket).number
        check_version_id(version)
        where: dict[str, str | int] = {"bucket": number, "key": ref.key}
        if version == NULL:
            row = self._execute(FIND_NULL, where).fetchone()
        else:
            row = self._execute(FIND_VERSION, where | {"version": version, "seq": seq_of(version)}).fetchone()
        if row is None:
            raise no_such_version(ref.key, version)
        record = Record(*row)
        if record.marker:
            raise named_is_marker(record.modified)
        return record

    def _missing(self, ref: Ref) -> S3Error:
        """Why there is no current object."""
        known = self._known(ref.bucket)
        if Doc.VERSIONING in known.info.docs:
            row = self._execute(NEWEST_OLDER, (known.number, ref.key)).fetchone()
            if row is not None and row[2]:
                return current_is_marker(ref.key, row[1])
        return NoSuchKey(Key=ref.key)

    def page(self, bucket: str, query: ListQuery) -> Page:
        """See `Index.page`."""
        number = self._known(bucket).number
        start = listing.start(query.prefix, query.delimiter, query.after)
        stop = listing.successor(query.prefix)
        if query.delimiter:
            return self._folded(number, query, start, stop)
        limit = query.limit + 1 if query.limit else 0
        rows = self._execute(_SCAN_PAGE, (number, start, stop, limit)).fetchall()
        more = len(rows) > query.limit
        entries = list(map(_entry, rows[: query.limit]))
        return Page(entries, (), entries[-1].key if more else "")

    def versions(self, bucket: str, query: VersionQuery) -> VersionPage:
        """See `Index.versions`."""
        number = self._known(bucket).number
        stop = listing.successor(query.prefix)

        def seek(position: bytes) -> Iterator[listing.Row]:
            return self._execute(_SCAN_VERSIONS, {"bucket": number, "start": position, "stop": stop})

        if query.after_version:
            check_version_id(query.after_version, "version-id-marker")
        rows = seek(listing.start(query.prefix, query.delimiter, query.after))
        if query.after_version and listing.is_inside(query.prefix, query.delimiter, query.after):
            rows = chain(self._after_version(number, query.after, query.after_version), rows)
        found = listing.walk(rows, seek, query.prefix, query.delimiter)
        items, more = listing.take(found, query.limit)
        entries = _versions(item.row for item in items if item.row is not None)
        prefixes = [item.name for item in items if item.row is None]
        if not more:
            return VersionPage(entries, prefixes)
        last = items[-1]
        return VersionPage(entries, prefixes, last.name, name_of(last.row[1]) if last.row else "")

    def _after_version(self, bucket: int, key: str, version: str) -> Iterator[listing.Row]:
        """The versions of a key that are older than one of them."""
        where: dict[str, str | int] = {"bucket": bucket, "key": key}
        if version == NULL:
            (seq,) = self._execute(SEQ_OF_NULL, where).fetchone() or (MAX_SEQ,)
        else:
            seq = seq_of(version)
        return self._execute(_SCAN_KEY, where | {"seq": seq})

    def upload(self, ref: Ref, upload: str) -> UploadInfo:
        """See `Index.upload`."""
        row = self._execute(UPLOAD, (ref.bucket, ref.key, upload)).fetchone()
        if row is None:
            self._known(ref.bucket)
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
        number = self._known(bucket).number
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
            [_entry(item.row) for item in items if item.row is not None],
            [item.name for item in items if item.row is None],
            items[-1].name if more else "",
        )

    def _known(self, name: str) -> _Known:
        """The bucket as it is now. Raises NoSuchBucket."""
        generation, time = self._generation.current(), monotonic()
        if generation != self._read_at or time > self._read_until:
            self._buckets.clear()
            self._read_at, self._read_until = generation, time + MAX_AGE_SECONDS
        known = self._buckets.get(name)
        if known is None:
            known = self._buckets[name] = self._read_bucket(name)
        return known

    def _read_bucket(self, name: str) -> _Known:
        row = self._execute("SELECT id, created, docs, owner FROM buckets WHERE name = ?", (name,)).fetchone()
        if row is None:
            raise NoSuchBucket(BucketName=name)
        return _Known(row[0], _bucket(name, *row[1:]))


_entry: Callable[[listing.Row], Entry] = partial(tuple.__new__, Entry)
"""A row as an entry; what `Entry._make` does, without its Python: a page has a thousand of them."""


def _bucket(name: str, created: int, docs: str | None, owner: str) -> BucketInfo:
    return BucketInfo(name, created, bucket_documents(docs) if docs else NO_DOCS, owner)


def _versions(rows: Iterable[listing.Row]) -> list[VersionEntry]:
    entries = []
    before = None
    for key, version, latest, marker, *shown, _ in rows:
        first = key != before if latest is None else bool(latest)
        entries.append(VersionEntry(key, version, first, bool(marker), *shown))
        before = key
    return entries


def _upload(key: str, upload: str, initiated: int, write: str) -> UploadInfo:
    return UploadInfo(key, upload, initiated, decode_write(write))
