"""The changes of the index, as steps of a transaction on one SQLite connection.

Each step checks first and changes afterwards, so that a refusal leaves nothing behind and needs no savepoint.
"""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from backends.base import (
    Completion,
    Copy,
    Delete,
    Deleted,
    Doc,
    Doomed,
    NewBucket,
    ObjectInfo,
    PartInfo,
    Ref,
    UploadInfo,
    Write,
)
from backends.clock import now
from backends.conditions import check_copy_source, check_delete, check_write
from backends.docs import check_expected, copied_docs, with_doc
from backends.local import sqlite
from backends.local.index import (
    NO_DOCS,
    Garbage,
    NewObject,
    NewPart,
    Record,
    bucket_documents,
    segments,
    to_json,
)
from backends.local.rows import decode_write, encode_write
from backends.locks import check_removal, check_retention
from backends.multipart import Assembly, assemble, multipart_etag
from backends.versions import (
    ENABLED,
    NULL,
    check_version_id,
    current_is_marker,
    name_of,
    named_is_marker,
    new_version_id,
    next_seq,
    no_rename,
    no_such_version,
    not_empty,
    seq_of,
    source_is_marker,
)
from gateway.errors import (
    BucketAlreadyExists,
    BucketAlreadyOwnedByYou,
    NoSuchBucket,
    NoSuchKey,
    NoSuchUpload,
    S3Error,
)

_VALUES = ", ".join("?" * 17)
_REPLACE = f"INSERT OR REPLACE INTO objects VALUES ({_VALUES})"  # noqa: S608
_ADD_OLDER = f"INSERT INTO versions VALUES ({_VALUES})"  # noqa: S608
_COLUMNS = 15
"""Those of a Record that are the object's own: the others are its body's."""
_KEEP = "INSERT INTO versions SELECT * FROM objects WHERE bucket = ? AND key = ?"
_PROMOTE = "INSERT INTO objects SELECT * FROM versions WHERE bucket = ? AND key = ? AND seq = ?"
_DELETE = "DELETE FROM objects WHERE bucket = ? AND key = ?"
_DELETE_OLDER = "DELETE FROM versions WHERE bucket = ? AND key = ? AND seq = ?"
_NEW_BODY = "INSERT INTO bodies (refs, file, segments, data) VALUES (1, ?, ?, ?)"


class _Key(NamedTuple):
    """A key that changes: its bucket's number and versioning, and the current object."""

    bucket: int
    key: str
    versioning: str | None
    current: Record | None


class _Place(NamedTuple):
    """Where a new version of a key goes: its id, its place in the order, and the version that it replaces."""

    version: str | None
    seq: int
    replaced: Record | None


class SqliteChanges:
    """`Changes` on a connection inside a transaction.

    `garbage` collects the files that it sets free; `buckets` tells whether the row of a bucket changes.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute = connection.execute
        self._executemany = connection.executemany
        self.garbage: list[Garbage] = []
        self.buckets = False

    def create_bucket(self, name: str, how: NewBucket) -> None:
        """See `Changes.create_bucket`."""
        row = self._execute("SELECT owner FROM buckets WHERE name = ?", (name,)).fetchone()
        if row is not None:
            raise (BucketAlreadyOwnedByYou if row[0] == how.owner else BucketAlreadyExists)(BucketName=name)
        self._execute(
            "INSERT INTO buckets (name, created, docs, owner) VALUES (?, ?, ?, ?)",
            (name, now(), to_json(how.docs), how.owner),
        )
        self.buckets = True

    def delete_bucket(self, name: str) -> None:
        """See `Changes.delete_bucket`."""
        bucket, docs = self._bucket(name)
        for table in ("objects", "versions"):
            if self._execute(f"SELECT 1 FROM {table} WHERE bucket = ? LIMIT 1", (bucket,)).fetchone():  # noqa: S608
                raise not_empty(name, docs)
        uploads = self._execute("SELECT upload FROM uploads WHERE bucket = ?", (bucket,)).fetchall()
        for (upload,) in uploads:
            self._drop_parts(upload)
        self._execute("DELETE FROM uploads WHERE bucket = ?", (bucket,))
        self._execute("DELETE FROM buckets WHERE id = ?", (bucket,))
        self.buckets = True

    def put(self, ref: Ref, new: NewObject) -> ObjectInfo:
        """See `Changes.put`."""
        target = self._key(ref)
        check_write(new.write.conditions, target.current, ref.key)
        place = self._place(target)
        body = self._execute(_NEW_BODY, (new.file, None, new.data)).lastrowid
        if new.file is not None:
            self._execute("INSERT INTO files VALUES (?, ?)", (new.file, new.stored))
        return self._put(target, place, _record(new, body))

    def copy(self, source: Ref, target: Ref, how: Copy) -> ObjectInfo:
        """See `Changes.copy`."""
        found = self._source(source)
        to = self._key(target)
        check_copy_source(how.conditions, found)
        check_write(how.write.conditions, to.current, target.key)
        place = self._place(to)
        write = how.write
        record = found._replace(
            modified=now(),
            storage_class=write.storage_class,
            owner=write.owner,
            docs=to_json(copied_docs(found.documents(), how)),
            upload=None,
        )
        if how.replace_metadata:
            record = record._replace(headers=to_json(write.headers), user=to_json(write.user))
        self._execute("UPDATE bodies SET refs = refs + 1 WHERE id = ?", (found.body,))
        return self._put(to, place, record)

    def rename(self, source: Ref, target: Ref, how: Copy) -> None:
        """See `Changes.rename`."""
        origin, to = self._key(source), self._key(target)
        if origin.versioning is not None or to.versioning is not None:
            raise no_rename()
        found = origin.current
        if found is None:
            raise NoSuchKey(Key=source.key)
        check_copy_source(how.conditions, found)
        check_write(how.write.conditions, to.current, target.key)
        if source == target:
            return
        check_removal(found.documents(), now())
        place = self._place(to)
        self._execute(_DELETE, (origin.bucket, source.key))
        self._put(to, place, found._replace(upload=None))

    def delete(self, ref: Ref, how: Delete) -> Deleted:
        """See `Changes.delete`."""
        key = self._key(ref)
        if ref.version is not None:
            return self._delete_version(key, ref.version, how)
        check_delete(how.conditions, key.current, ref.key)
        if key.versioning is not None:
            return self._mark_deleted(key, how)
        if key.current is not None:
            check_removal(key.current.documents(), now(), bypass_governance=how.bypass_governance)
            self._execute(_DELETE, (key.bucket, ref.key))
            self._release(key.current)
        return Deleted(ref.key)

    def delete_many(self, bucket: str, doomed: Sequence[Doomed]) -> list[Deleted]:
        """See `Changes.delete_many`."""
        self._bucket(bucket)
        return [self._attempt(bucket, item) for item in doomed]

    def put_doc(
        self,
        ref: Ref,
        doc: Doc,
        content: str | None,
        *,
        bypass_governance: bool = False,
        expected: str | None = None,
    ) -> None:
        """See `Changes.put_doc`."""
        if not ref.key:
            bucket, docs = self._bucket(ref.bucket)
            check_expected(docs, doc, expected)
            text = to_json(with_doc(docs, doc, content))
            self._execute("UPDATE buckets SET docs = ? WHERE id = ?", (text, bucket))
            self.buckets = True
            return
        key = self._key(ref)
        found = self._found(key, ref)
        docs = found.documents()
        check_expected(docs, doc, expected)
        if doc is Doc.RETENTION:
            check_retention(docs.get(doc), content, now(), bypass_governance=bypass_governance)
        table = "objects" if found is key.current else "versions"
        self._execute(
            f"UPDATE {table} SET docs = ? WHERE bucket = ? AND key = ? AND seq = ?",  # noqa: S608
            (to_json(with_doc(docs, doc, content)), key.bucket, ref.key, found.seq),
        )

    def create_upload(self, ref: Ref, upload: str, write: Write) -> UploadInfo:
        """See `Changes.create_upload`."""
        bucket, _ = self._bucket(ref.bucket)
        initiated = now()
        self._execute(
            "INSERT INTO uploads VALUES (?, ?, ?, ?, ?)",
            (bucket, ref.key, upload, initiated, encode_write(write)),
        )
        return UploadInfo(ref.key, upload, initiated, write)

    def put_part(self, ref: Ref, upload: str, part: NewPart) -> PartInfo:
        """See `Changes.put_part`."""
        self._upload(ref, upload)
        info = part.info
        old = self._execute(
            "SELECT file FROM parts WHERE upload = ? AND number = ?", (upload, info.number)
        ).fetchone()
        if old:
            self._discard([Garbage(old[0])])
        self._execute("INSERT INTO files VALUES (?, ?)", (part.file, part.stored))
        self._execute(
            "INSERT OR REPLACE INTO parts VALUES (?, ?, ?, ?, ?, ?, ?)",
            (upload, info.number, info.size, info.etag, info.modified, info.checksum, part.file),
        )
        return info

    def complete_upload(self, ref: Ref, upload: str, how: Completion) -> ObjectInfo:
        """See `Changes.complete_upload`."""
        target = self._key(ref)
        old = target.current
        if old is not None and old.upload == upload:
            return _completed_again(ref, upload, old, how)
        info = self._upload(ref, upload)
        rows = {row[0]: row for row in self._execute(sqlite.PARTS, (upload, 0, -1))}
        made = assemble(info, {number: PartInfo(*row[:5]) for number, row in rows.items()}, how)
        check_write(how.conditions, old, ref.key)
        place = self._place(target)
        files = {number: row[5] for number, row in rows.items()}
        record = self._assembled(info, made, files)
        self._drop_parts(upload, keep={part.number for part in made.parts})
        self._forget_upload(target.bucket, ref.key, upload)
        return self._put(target, place, record)

    def abort_upload(self, ref: Ref, upload: str) -> None:
        """See `Changes.abort_upload`."""
        bucket, _ = self._bucket(ref.bucket)
        self._upload(ref, upload)
        self._drop_parts(upload)
        self._forget_upload(bucket, ref.key, upload)

    def enter_slot(self, writer: int, slot: int) -> None:
        """See `Changes.enter_slot`."""
        self._execute("INSERT OR REPLACE INTO writers VALUES (?, ?)", (writer, slot))

    def leave(self, writer: int) -> None:
        """Forget a writer that closes in order."""
        self._execute("DELETE FROM writers WHERE id = ?", (writer,))

    def forget_garbage(self, files: Sequence[int]) -> None:
        """Note that files were removed."""
        self._executemany("DELETE FROM garbage WHERE file = ?", [(file,) for file in files])

    def _bucket(self, name: str) -> tuple[int, Mapping[Doc, str]]:
        """A bucket's number and documents."""
        row = self._execute(sqlite.BUCKET, (name,)).fetchone()
        if row is None:
            raise NoSuchBucket(BucketName=name)
        return row[0], NO_DOCS if row[1] is None else bucket_documents(row[1])

    def _key(self, ref: Ref) -> _Key:
        row = self._execute(sqlite.TARGET, (ref.key, ref.bucket)).fetchone()
        if row is None:
            raise NoSuchBucket(BucketName=ref.bucket)
        versioning = None if row[1] is None else bucket_documents(row[1]).get(Doc.VERSIONING)
        current = None if row[3] is None else Record(*row[2:])  # every object has a `seq`
        return _Key(row[0], ref.key, versioning, current)

    def _named(self, key: _Key, version: str) -> Record | None:
        """The version or delete marker of that id, None if there is none. Raises InvalidArgument."""
        check_version_id(version)
        current = key.current
        if current is not None and name_of(current.version) == version:
            return current
        if version == NULL:
            row = self._execute(sqlite.OLDER_NULL, (key.bucket, key.key)).fetchone()
        else:
            row = self._execute(sqlite.OLDER, (key.bucket, key.key, seq_of(version), version)).fetchone()
        return row and Record(*row)

    def _found(self, key: _Key, ref: Ref) -> Record:
        """The version that `ref` means. Raises as a read does."""
        if ref.version is None:
            if key.current is None:
                raise self._missing(key)
            return key.current
        found = self._named(key, ref.version)
        if found is None:
            raise no_such_version(ref.key, ref.version)
        if found.marker:
            raise named_is_marker(found.modified)
        return found

    def _source(self, ref: Ref) -> Record:
        """The version that `ref` means, as the source of a copy."""
        key = self._key(ref)
        if ref.version is not None:
            found = self._named(key, ref.version)
            if found is not None and found.marker:
                raise source_is_marker()
        return self._found(key, ref)

    def _missing(self, key: _Key) -> S3Error:
        """Why a key has no current object."""
        newest = self._newest_older(key) if key.versioning is not None else None
        return NoSuchKey(Key=key.key) if newest is None else current_is_marker(key.key, newest[1])

    def _newest_older(self, key: _Key) -> tuple[int, str | None, bool] | None:
        """Place, id and whether it is a delete marker, of the newest row in `versions`."""
        row: tuple[int, str | None, bool] | None = self._execute(
            sqlite.NEWEST_OLDER, (key.bucket, key.key)
        ).fetchone()
        return row

    def _place(self, key: _Key, *, bypass_governance: bool = False) -> _Place:
        """Where a new version of the key goes. Raises AccessDenied if it would replace a locked one."""
        current = key.current
        if key.versioning == ENABLED:
            seq = self._next_seq(key)
            return _Place(new_version_id(seq), seq, None)
        if key.versioning is None:
            place = _Place(None, next_seq(current.seq if current is not None else 0), current)
        else:
            place = _Place(None, self._next_seq(key), self._named(key, NULL))
        if place.replaced is not None:
            check_removal(place.replaced.documents(), now(), bypass_governance=bypass_governance)
        return place

    def _next_seq(self, key: _Key) -> int:
        if key.current is not None:
            return next_seq(key.current.seq)
        newest = self._newest_older(key)
        return next_seq(newest[0] if newest is not None else 0)

    def _put(self, key: _Key, place: _Place, record: Record) -> ObjectInfo:
        """Let `record` be the current version."""
        self._make_way(key, place)
        made = record._replace(version=place.version, seq=place.seq)
        self._execute(_REPLACE, (key.bucket, key.key, *made[:_COLUMNS]))
        if place.replaced is not None:
            self._release(place.replaced)
        return made.info(key.key)

    def _make_way(self, key: _Key, place: _Place) -> None:
        """Move the current version to the others, if it stays, and remove what is replaced from among them."""
        if key.current is not None and key.current is not place.replaced:
            self._execute(_KEEP, (key.bucket, key.key))
        if place.replaced is not None and place.replaced is not key.current:
            self._execute(_DELETE_OLDER, (key.bucket, key.key, place.replaced.seq))

    def _mark_deleted(self, key: _Key, how: Delete) -> Deleted:
        """Let a delete marker be the current version."""
        place = self._place(key, bypass_governance=how.bypass_governance)
        self._make_way(key, place)
        self._execute(_DELETE, (key.bucket, key.key))
        marker = _MARKER._replace(version=place.version, seq=place.seq, modified=now())
        self._execute(_ADD_OLDER, (key.bucket, key.key, *marker[:_COLUMNS]))
        if place.replaced is not None:
            self._release(place.replaced)
        return Deleted(key.key, marker=name_of(place.version))

    def _delete_version(self, key: _Key, version: str, how: Delete) -> Deleted:
        """Remove one version or delete marker; the newest that is left becomes current."""
        found = self._named(key, version)
        check_delete(how.conditions, None if found is None or found.marker else found, key.key)
        if found is None:
            return Deleted(key.key, version)
        check_removal(found.documents(), now(), bypass_governance=how.bypass_governance)
        if found is key.current:
            self._execute(_DELETE, (key.bucket, key.key))
        else:
            self._execute(_DELETE_OLDER, (key.bucket, key.key, found.seq))
        if key.current is None or found is key.current:
            self._promote(key)
        self._release(found)
        return Deleted(key.key, version, marker=version if found.marker else None)

    def _promote(self, key: _Key) -> None:
        """Let the newest of the others be current, unless it is a delete marker."""
        newest = self._newest_older(key)
        if newest is not None and not newest[2]:
            where = (key.bucket, key.key, newest[0])
            self._execute(_PROMOTE, where)
            self._execute(_DELETE_OLDER, where)

    def _upload(self, ref: Ref, upload: str) -> UploadInfo:
        row = self._execute(sqlite.UPLOAD, (ref.bucket, ref.key, upload)).fetchone()
        if row is None:
            self._bucket(ref.bucket)
            raise NoSuchUpload(UploadId=upload)
        return UploadInfo(ref.key, upload, row[0], decode_write(row[1]))

    def _release(self, old: Record) -> None:
        """Take one reference from a body; the last one takes the body with it."""
        if old.marker:
            return
        if not self._execute("DELETE FROM bodies WHERE id = ? AND refs <= 1", (old.body,)).rowcount:
            self._execute("UPDATE bodies SET refs = refs - 1 WHERE id = ?", (old.body,))
        elif old.file is not None:
            self._discard([Garbage(old.file)])
        elif old.segments is not None:
            files = segments(old.segments).files
            self._discard([Garbage(file, files[0]) for file in files])

    def _discard(self, garbage: Sequence[Garbage]) -> None:
        self._executemany("DELETE FROM files WHERE id = ?", [(item.file,) for item in garbage])
        self._executemany("INSERT INTO garbage VALUES (?, ?)", garbage)
        self.garbage += garbage

    def _attempt(self, bucket: str, item: Doomed) -> Deleted:
        try:
            return self.delete(Ref(bucket, item.key, item.version), item.how)
        except S3Error as error:
            return Deleted(item.key, item.version, error=error)

    def _assembled(self, upload: UploadInfo, made: Assembly, files: Mapping[int, int]) -> Record:
        rows = [[part.number, files[part.number], part.size, part.checksum] for part in made.parts]
        text = json.dumps(rows, separators=(",", ":"))
        body = self._execute(_NEW_BODY, (None, text, None)).lastrowid
        new = NewObject(made.size, made.etag, made.checksum, upload.write)
        return _record(new, body)._replace(upload=upload.upload, segments=text)

    def _drop_parts(self, upload: str, keep: frozenset[int] | set[int] = frozenset()) -> None:
        rows = self._execute("SELECT number, file FROM parts WHERE upload = ?", (upload,)).fetchall()
        self._discard([Garbage(file) for number, file in rows if number not in keep])
        self._execute("DELETE FROM parts WHERE upload = ?", (upload,))

    def _forget_upload(self, bucket: int, key: str, upload: str) -> None:
        self._execute(
            "DELETE FROM uploads WHERE bucket = ? AND key = ? AND upload = ?", (bucket, key, upload)
        )


def _record(new: NewObject, body: int | None) -> Record:
    """The row of a new object; where it goes in the order is told by its `_Place`."""
    write, checksum = new.write, new.checksum
    return Record(
        None,
        0,
        write.owner,
        new.size,
        new.etag,
        now(),
        write.storage_class,
        checksum.algorithm if checksum else None,
        checksum.type if checksum else None,
        checksum.value if checksum else None,
        to_json(write.headers),
        to_json(write.user),
        to_json(write.docs),
        None,
        body,
        new.file,
        None,
    )


_MARKER = _record(NewObject(0, "", None, Write()), None)
"""The row of a delete marker."""


def _completed_again(ref: Ref, upload: str, record: Record, how: Completion) -> ObjectInfo:
    """The answer to a repeated completion: the object, if it is of the same parts."""
    if multipart_etag([part.etag for part in how.parts]) != record.etag:
        raise NoSuchUpload(UploadId=upload)
    return record.info(ref.key)
