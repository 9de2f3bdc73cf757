"""The changes of the index, as steps of a transaction on one SQLite connection.

Each step checks first and changes afterwards, so that a refusal leaves nothing behind and needs no savepoint.
"""

import json
import sqlite3
import time
from collections.abc import Mapping, Sequence

from backends.base import (
    Completion,
    Conditions,
    Copy,
    Deleted,
    Doc,
    Doomed,
    ObjectInfo,
    PartInfo,
    Ref,
    UploadInfo,
    Write,
)
from backends.conditions import check_copy_source, check_delete, check_write
from backends.local import sqlite
from backends.local.index import Garbage, NewObject, NewPart, Record, segments, to_json
from backends.local.rows import decode_write, encode_write
from backends.multipart import Assembly, assemble, multipart_etag
from gateway.errors import (
    BucketAlreadyOwnedByYou,
    BucketNotEmpty,
    NoSuchBucket,
    NoSuchKey,
    NoSuchUpload,
    S3Error,
)

_REPLACE = "INSERT OR REPLACE INTO objects VALUES (?, ?, 0, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_NEW_BODY = "INSERT INTO bodies (refs, file, segments, data) VALUES (1, ?, ?, ?)"
_DELETE = "DELETE FROM objects WHERE bucket = ? AND key = ? AND version = 0"


def now() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


class SqliteChanges:
    """`Changes` on a connection inside a transaction. `garbage` collects the files that it sets free."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute = connection.execute
        self._executemany = connection.executemany
        self.garbage: list[Garbage] = []

    def create_bucket(self, name: str, docs: Mapping[Doc, str]) -> None:
        """See `Changes.create_bucket`."""
        if self._execute(sqlite.BUCKET_ID, (name,)).fetchone():
            raise BucketAlreadyOwnedByYou(BucketName=name)
        self._execute(
            "INSERT INTO buckets (name, created, docs) VALUES (?, ?, ?)", (name, now(), to_json(docs))
        )

    def delete_bucket(self, name: str) -> None:
        """See `Changes.delete_bucket`."""
        bucket = self._bucket(name)
        if self._execute("SELECT 1 FROM objects WHERE bucket = ? LIMIT 1", (bucket,)).fetchone():
            raise BucketNotEmpty(BucketName=name)
        uploads = self._execute("SELECT upload FROM uploads WHERE bucket = ?", (bucket,)).fetchall()
        for (upload,) in uploads:
            self._drop_parts(upload)
        self._execute("DELETE FROM uploads WHERE bucket = ?", (bucket,))
        self._execute("DELETE FROM buckets WHERE id = ?", (bucket,))

    def put(self, ref: Ref, new: NewObject) -> ObjectInfo:
        """See `Changes.put`."""
        bucket, old = self._target(ref)
        check_write(new.write.conditions, old, ref.key)
        body = self._execute(_NEW_BODY, (new.file, None, new.data)).lastrowid
        if new.file is not None:
            self._execute("INSERT INTO files VALUES (?, ?)", (new.file, new.size))
        assert body is not None
        record = _record(new, body)
        self._replace(bucket, ref.key, record, old)
        return record.info(ref.key)

    def copy(self, source: Ref, target: Ref, how: Copy) -> ObjectInfo:
        """See `Changes.copy`."""
        found = self._found(source)
        bucket, old = self._target(target)
        check_copy_source(how.conditions, found)
        check_write(how.write.conditions, old, target.key)
        record = found._replace(
            modified=now(),
            storage_class=how.write.storage_class,
            docs=to_json(how.write.docs),
            upload=None,
        )
        if how.replace_metadata:
            record = record._replace(headers=to_json(how.write.headers), user=to_json(how.write.user))
        self._execute("UPDATE bodies SET refs = refs + 1 WHERE id = ?", (found.body,))
        # Read again: a copy onto itself has changed the number of references.
        self._replace(bucket, target.key, record, old and self._record(target))
        return record.info(target.key)

    def rename(self, source: Ref, target: Ref, how: Copy) -> None:
        """See `Changes.rename`."""
        found = self._found(source)
        bucket, old = self._target(target)
        check_copy_source(how.conditions, found)
        check_write(how.write.conditions, old, target.key)
        if source == target:
            return
        self._execute(_DELETE, (self._bucket(source.bucket), source.key))
        self._replace(bucket, target.key, found._replace(upload=None), old)

    def delete(self, ref: Ref, conditions: Conditions) -> Deleted:
        """See `Changes.delete`."""
        bucket, old = self._target(ref)
        check_delete(conditions, old, ref.key)
        if old is not None:
            self._execute(_DELETE, (bucket, ref.key))
            self._release(old)
        return Deleted(ref.key)

    def delete_many(self, bucket: str, doomed: Sequence[Doomed]) -> list[Deleted]:
        """See `Changes.delete_many`."""
        self._bucket(bucket)
        return [self._attempt(bucket, item) for item in doomed]

    def put_doc(self, ref: Ref, doc: Doc, content: str | None) -> None:
        """See `Changes.put_doc`."""
        bucket = self._bucket(ref.bucket)
        if not ref.key:
            (docs,) = self._execute("SELECT docs FROM buckets WHERE id = ?", (bucket,)).fetchone()
            self._execute("UPDATE buckets SET docs = ? WHERE id = ?", (_with_doc(docs, doc, content), bucket))
            return
        docs = _with_doc(self._found(ref).docs, doc, content)
        self._execute(
            "UPDATE objects SET docs = ? WHERE bucket = ? AND key = ? AND version = 0",
            (docs, bucket, ref.key),
        )

    def create_upload(self, ref: Ref, upload: str, write: Write) -> UploadInfo:
        """See `Changes.create_upload`."""
        bucket = self._bucket(ref.bucket)
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
        self._execute("INSERT INTO files VALUES (?, ?)", (part.file, info.size))
        self._execute(
            "INSERT OR REPLACE INTO parts VALUES (?, ?, ?, ?, ?, ?, ?)",
            (upload, info.number, info.size, info.etag, info.modified, info.checksum, part.file),
        )
        return info

    def complete_upload(self, ref: Ref, upload: str, how: Completion) -> ObjectInfo:
        """See `Changes.complete_upload`."""
        bucket, old = self._target(ref)
        if old is not None and old.upload == upload:
            return _completed_again(ref, upload, old, how)
        info = self._upload(ref, upload)
        rows = {row[0]: row for row in self._execute(sqlite.PARTS, (upload, 0, -1))}
        made = assemble(info, {number: PartInfo(*row[:5]) for number, row in rows.items()}, how)
        check_write(how.conditions, old, ref.key)
        files = {number: row[5] for number, row in rows.items()}
        record = self._assembled(info, made, files)
        self._drop_parts(upload, keep={part.number for part in made.parts})
        self._forget_upload(bucket, ref.key, upload)
        self._replace(bucket, ref.key, record, old)
        return record.info(ref.key)

    def abort_upload(self, ref: Ref, upload: str) -> None:
        """See `Changes.abort_upload`."""
        bucket = self._bucket(ref.bucket)
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

    def _bucket(self, name: str) -> int:
        row = self._execute(sqlite.BUCKET_ID, (name,)).fetchone()
        if row is None:
            raise NoSuchBucket(BucketName=name)
        number: int = row[0]
        return number

    def _target(self, ref: Ref) -> tuple[int, Record | None]:
        """The bucket's number, and the object that is there now."""
        row = self._execute(sqlite.TARGET, (ref.key, ref.bucket)).fetchone()
        if row is None:
            raise NoSuchBucket(BucketName=ref.bucket)
        return row[0], None if row[1] is None else Record(*row[1:])

    def _record(self, ref: Ref) -> Record | None:
        row = self._execute(sqlite.FIND, (ref.bucket, ref.key)).fetchone()
        return row and Record(*row)

    def _found(self, ref: Ref) -> Record:
        record = self._record(ref)
        if record is None:
            self._bucket(ref.bucket)
            raise NoSuchKey(Key=ref.key)
        return record

    def _upload(self, ref: Ref, upload: str) -> UploadInfo:
        row = self._execute(sqlite.UPLOAD, (ref.bucket, ref.key, upload)).fetchone()
        if row is None:
            self._bucket(ref.bucket)
            raise NoSuchUpload(UploadId=upload)
        return UploadInfo(ref.key, upload, row[0], decode_write(row[1]))

    def _replace(self, bucket: int, key: str, record: Record, old: Record | None) -> None:
        """Let `record` be the object, and free what it replaces."""
        self._execute(_REPLACE, (bucket, key, *record[:12]))
        if old is not None:
            self._release(old)

    def _release(self, old: Record) -> None:
        """Take one reference from a body; the last one takes the body with it."""
        if old.refs > 1:
            self._execute("UPDATE bodies SET refs = refs - 1 WHERE id = ?", (old.body,))
            return
        self._execute("DELETE FROM bodies WHERE id = ?", (old.body,))
        if old.file is not None:
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
            return self.delete(Ref(bucket, item.key, item.version), item.conditions)
        except S3Error as error:
            return Deleted(item.key, item.version, error=error)

    def _assembled(self, upload: UploadInfo, made: Assembly, files: Mapping[int, int]) -> Record:
        rows = [[part.number, files[part.number], part.size, part.checksum] for part in made.parts]
        text = json.dumps(rows, separators=(",", ":"))
        body = self._execute(_NEW_BODY, (None, text, None)).lastrowid
        assert body is not None
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


def _record(new: NewObject, body: int) -> Record:
    write, checksum = new.write, new.checksum
    return Record(
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
        1,
        new.file,
        None,
    )


def _with_doc(text: str | None, doc: Doc, content: str | None) -> str | None:
    docs: dict[str, str] = json.loads(text) if text else {}
    docs.pop(doc, None)
    if content is not None:
        docs[doc] = content
    return to_json(docs)


def _completed_again(ref: Ref, upload: str, record: Record, how: Completion) -> ObjectInfo:
    """The answer to a repeated completion: the object, if it is of the same parts."""
    if multipart_etag([part.etag for part in how.parts]) != record.etag:
        raise NoSuchUpload(UploadId=upload)
    return record.info(ref.key)
