"""The tables of the index, and how those of an older store become these.

Objects are two tables without row ids. `objects` has the current version of each key, unless that is a delete marker:
one row a key, ordered by (bucket, key), so that reads, writes and listings cost the same whether there is versioning or
not. `versions` has all the others: what was current before, and every delete marker, the newest of a key first.

Of a key without a row in `objects`, the newest row in `versions` is therefore a delete marker; when that is removed, the
next one becomes the row in `objects`, if it is no marker.
"""

import contextlib
import os
import sqlite3

SCHEMA = 2
PAGE_BYTES = 4096

_VERSION_COLUMNS = """
    bucket INTEGER NOT NULL,
    key TEXT NOT NULL,
    version TEXT,                            -- NULL: the one called null
    seq INTEGER NOT NULL,                    -- orders the versions of a key; see backends.versions
    owner TEXT NOT NULL,                     -- empty: the bucket's
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
    body INTEGER,                            -- NULL: a delete marker
"""
_OBJECTS = f"""
CREATE TABLE objects ({_VERSION_COLUMNS} PRIMARY KEY (bucket, key)) WITHOUT ROWID;
CREATE TABLE versions ({_VERSION_COLUMNS} PRIMARY KEY (bucket, key, seq DESC)) WITHOUT ROWID;
CREATE INDEX null_versions ON versions (bucket, key) WHERE version IS NULL;
"""
TABLES = f"""
CREATE TABLE buckets (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    created INTEGER NOT NULL,                -- ms
    docs TEXT,                               -- JSON
    owner TEXT NOT NULL DEFAULT ''           -- empty: the gateway's own
);
{_OBJECTS}
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

# Schema 1 had no versions: its column of that name was always 0.
_FROM_1 = f"""
ALTER TABLE buckets ADD COLUMN owner TEXT NOT NULL DEFAULT '';
ALTER TABLE objects RENAME TO objects_1;
{_OBJECTS}
INSERT INTO objects SELECT
    bucket, key, NULL, modified * 1000000, '', size, etag, modified, storage_class,
    checksum_algorithm, checksum_type, checksum, headers, user, docs, upload, body
    FROM objects_1 ORDER BY bucket, key;
DROP TABLE objects_1;
"""  # noqa: S608


class UnknownSchema(Exception):
    """The store was made by another version of s3gw, which this one cannot read."""


def prepare(path: str, *, alone: bool) -> None:
    """Make the tables if there are none, or of those of an older store; the caller holds the write lock.

    `alone`: nobody else uses the store; an older gateway that does would not understand its new tables.
    Raises UnknownSchema.
    """
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # SQLite gives its log this mode
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'schema'").fetchone():
            connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            connection.execute("PRAGMA journal_mode = WAL")
            _change(connection, f"{TABLES} INSERT INTO schema VALUES ({SCHEMA});")  # noqa: S608
        (found,) = connection.execute("SELECT version FROM schema").fetchone()
        if found == 1 and not alone:
            raise UnknownSchema(
                f"{path} has schema 1, and a gateway that knows no other uses it: stop it first."
            )
        if found == 1:
            _change(connection, f"{_FROM_1} UPDATE schema SET version = {SCHEMA};")  # noqa: S608
        elif found != SCHEMA:
            raise UnknownSchema(f"{path} has schema {found}; this version of s3gw reads schema {SCHEMA}.")


def _change(connection: sqlite3.Connection, script: str) -> None:
    """All of it or nothing: an error leaves the transaction open, and closing the connection undoes it."""
    connection.executescript(f"BEGIN IMMEDIATE; {script} COMMIT")
