"""The local backend: a complete S3 store in one directory, for any number of processes of one machine."""

import asyncio
import contextlib
import os
import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Self, TypeVar

from backends.base import (
    PLAIN,
    WHOLE,
    BucketInfo,
    BucketPage,
    BucketQuery,
    Completion,
    Content,
    Copy,
    Delete,
    Deleted,
    Doc,
    Doomed,
    ListQuery,
    NewBucket,
    ObjectInfo,
    Page,
    PartInfo,
    PartPage,
    Payload,
    Read,
    Ref,
    Sealed,
    Span,
    UploadInfo,
    UploadPage,
    UploadQuery,
    VersionPage,
    VersionQuery,
    Write,
)
from backends.checksums import checksum_of
from backends.clock import now
from backends.conditions import check_read, resolve
from backends.local import recovery
from backends.local.bodies import Bodies, FilesBody, Piece, current_slot
from backends.local.failures import log, refusal
from backends.local.generation import Generation
from backends.local.index import Garbage, Index, Layout, NewObject, NewPart, Record, segments
from backends.local.sqlite import Reader
from backends.local.writer import Durability, Writer
from backends.multipart import algorithm_of, new_upload_id
from backends.stored import stretches
from gateway.errors import InternalError

T = TypeVar("T")

PLAIN_COPY, PLAIN_DELETE, PLAIN_BUCKET = Copy(), Delete(), NewBucket()

INLINE_BYTES = 64 * 1024
"""Bodies up to this size lie in the index, where a write costs a quarter of a file's (16 KiB: a seventh; 128 KiB:
a third) and a read as much or less. Larger ones would pass the disk twice, and hold up the others of their batch."""
BODY_THREADS = 16
"""Threads that sync and link files: they wait for the disk, and the disk joins their syncs."""
ATTEMPTS = 8
"""How often a read looks again when the body was replaced between the row and the file."""


class LocalBackend:
    """`Backend`, `Multipart` and `Versioned` on a directory. Make it with `open`, once per process (after a fork)."""

    def __init__(self, path: str, *, durability: Durability = "full") -> None:
        self._layout = Layout(os.path.abspath(os.path.expanduser(path)))
        self._in_use = recovery.enter(self._layout)
        self.spool_directory: str = self._layout.spool
        """A directory on the store's own file system: files spooled here are linked, not copied."""
        self._bodies = Bodies(self._layout.bodies, self._layout.spool, durable=durability == "full")
        self._threads = ThreadPoolExecutor(BODY_THREADS, thread_name_prefix="s3gw-bodies")
        self._generation = Generation(self._layout.generation)
        self._writer = Writer(self._layout, durability, self._generation, self._collect)
        self._index: Index = Reader(self._layout.index, self._generation)
        self._id = secrets.randbits(62)
        self._slot = -1
        self._closed = False

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, durability: Durability = "full") -> Self:
        """Open a store, made if it is not there (mode 0700), and recover from a crash.

        `durability`: `full`, an answered write survives power loss; `relaxed`, it survives a crash of the process.
        Raises UnknownSchema for a store of another version.
        """
        return cls(os.fspath(path), durability=durability)

    async def aclose(self) -> None:
        """See `Backend.aclose`."""
        await asyncio.get_running_loop().run_in_executor(None, self.close)

    def close(self) -> None:
        """The same, blocking; may be called twice."""
        if self._closed:
            return
        self._closed = True
        self._writer.stop()  # the files that its last commits set free go to the threads,
        self._threads.shutdown(wait=True)  # which remove them, and post that they are gone
        self._writer.post(lambda changes: changes.leave(self._id))
        self._index.close()
        self._writer.close()
        self._generation.close()
        self._bodies.close()
        os.close(self._in_use)

    async def list_buckets(self, query: BucketQuery) -> BucketPage:
        """See `Backend`."""
        return self._index.buckets(query)

    async def head_bucket(self, bucket: str) -> BucketInfo:
        """See `Backend`."""
        return self._index.bucket(bucket)

    async def create_bucket(self, bucket: str, how: NewBucket = PLAIN_BUCKET) -> None:
        """See `Backend`."""
        await self._writer.change(lambda changes: changes.create_bucket(bucket, how))

    async def delete_bucket(self, bucket: str) -> None:
        """See `Backend`."""
        await self._writer.change(lambda changes: changes.delete_bucket(bucket))

    async def head_object(self, ref: Ref, how: Read = WHOLE) -> Content:
        """See `Backend`."""
        info = self._index.find(ref).info(ref.key)
        check_read(how.conditions, info)
        return Content(info, resolve(how, info))

    async def open_object(self, ref: Ref, how: Read = WHOLE) -> Content:
        """See `Backend`."""
        for _ in range(ATTEMPTS):
            record = self._index.find(ref, data=True)
            info = record.info(ref.key)
            check_read(how.conditions, info)
            span = resolve(how, info)
            try:  # dearer in words and cheaper in time than `suppress`
                return self._content(record, info, span)
            except (
                FileNotFoundError
            ):  # the file of an object that is replaced went between the row and the open
                continue
        log.error("a body of %r is missing; run fsck", ref)
        raise InternalError()

    async def put_object(self, ref: Ref, payload: Payload, how: Write = PLAIN) -> ObjectInfo:
        """See `Backend`."""
        self._index.bucket(ref.bucket)
        self._bodies.require_room(payload.length or 0)
        sealed = await payload.seal(self.spool_directory)
        if sealed.length <= INLINE_BYTES:
            new = NewObject(sealed.size, sealed.md5, sealed.checksum, how, data=_data(sealed))
            return await self._writer.change(lambda changes: changes.put(ref, new))
        file = await self._place(sealed)
        new = NewObject(sealed.size, sealed.md5, sealed.checksum, how, file=file, stored=sealed.length)
        return await self._writer.change(
            lambda changes: changes.put(ref, new), undo=partial(self._bodies.remove, file)
        )

    async def copy_object(self, source: Ref, target: Ref, how: Copy = PLAIN_COPY) -> ObjectInfo:
        """See `Backend`."""
        self._bodies.require_room(0)
        return await self._writer.change(lambda changes: changes.copy(source, target, how))

    async def rename_object(self, source: Ref, target: Ref, how: Copy = PLAIN_COPY) -> None:
        """See `Backend`."""
        await self._writer.change(lambda changes: changes.rename(source, target, how))

    async def delete_object(self, ref: Ref, how: Delete = PLAIN_DELETE) -> Deleted:
        """See `Backend`."""
        return await self._writer.change(lambda changes: changes.delete(ref, how))

    async def delete_objects(self, bucket: str, doomed: Sequence[Doomed]) -> list[Deleted]:
        """See `Backend`."""
        return await self._writer.change(lambda changes: changes.delete_many(bucket, doomed))

    async def list_objects(self, bucket: str, query: ListQuery) -> Page:
        """See `Backend`."""
        return self._index.page(bucket, query)

    async def list_versions(self, bucket: str, query: VersionQuery) -> VersionPage:
        """See `Versioned`."""
        return self._index.versions(bucket, query)

    async def get_doc(self, ref: Ref, doc: Doc) -> str | None:
        """See `Backend`."""
        if not ref.key:
            return self._index.bucket(ref.bucket).docs.get(doc)
        return self._index.find(ref).documents().get(doc)

    async def put_doc(
        self,
        ref: Ref,
        doc: Doc,
        content: str | None,
        *,
        bypass_governance: bool = False,
        expected: str | None = None,
    ) -> None:
        """See `Backend`."""
        await self._writer.change(
            lambda changes: changes.put_doc(
                ref, doc, content, bypass_governance=bypass_governance, expected=expected
            )
        )

    async def create_upload(self, ref: Ref, how: Write) -> UploadInfo:
        """See `Multipart`."""
        upload = new_upload_id(now())
        return await self._writer.change(lambda changes: changes.create_upload(ref, upload, how))

    async def head_upload(self, ref: Ref, upload: str) -> UploadInfo:
        """See `Multipart`."""
        return self._index.upload(ref, upload)

    async def put_part(self, ref: Ref, upload: str, number: int, payload: Payload) -> PartInfo:
        """See `Multipart`."""
        algorithm = algorithm_of(self._index.upload(ref, upload).write)
        self._bodies.require_room(payload.length or 0)
        sealed = await payload.seal(self.spool_directory)
        checksum = await self._checksum(sealed, algorithm)
        file = await self._place(sealed)
        part = NewPart(PartInfo(number, sealed.size, sealed.md5, now(), checksum), file, sealed.length)
        return await self._writer.change(
            lambda changes: changes.put_part(ref, upload, part), undo=partial(self._bodies.remove, file)
        )

    async def list_parts(self, ref: Ref, upload: str, after: int = 0, limit: int = 1000) -> PartPage:
        """See `Multipart`."""
        return self._index.parts(ref, upload, after, limit)

    async def complete_upload(self, ref: Ref, upload: str, how: Completion) -> ObjectInfo:
        """See `Multipart`."""
        return await self._writer.change(lambda changes: changes.complete_upload(ref, upload, how))

    async def abort_upload(self, ref: Ref, upload: str) -> None:
        """See `Multipart`."""
        await self._writer.change(lambda changes: changes.abort_upload(ref, upload))

    async def list_uploads(self, bucket: str, query: UploadQuery) -> UploadPage:
        """See `Multipart`."""
        return self._index.uploads(bucket, query)

    def _content(self, record: Record, info: ObjectInfo, span: Span) -> Content:
        if record.data is not None:
            return Content(info, span, _cut(record.data, info, span))
        pieces, guard = _pieces(record, info, span)
        body = FilesBody(self._bodies, pieces, guard)
        return Content(info, span, body, body.close)

    async def _checksum(self, sealed: Sealed, algorithm: str) -> str:
        if sealed.checksum is not None and sealed.checksum.algorithm == algorithm:
            return sealed.checksum.value
        return await self._in_thread(partial(checksum_of, sealed, algorithm))

    async def _place(self, sealed: Sealed) -> int:
        """Bring sealed bytes into the store, and return the file's id; nothing stays if the caller is cancelled."""
        slot = current_slot()
        if slot != self._slot:
            await self._writer.change(lambda changes: changes.enter_slot(self._id, slot))
            self._slot = slot
        try:
            return await self._in_thread(partial(self._bodies.place, sealed), undo=self._bodies.remove)
        except OSError as error:
            raise refusal(error) from error

    async def _in_thread(self, work: Callable[[], T], undo: Callable[[T], None] | None = None) -> T:
        """Run on a thread. When cancelled, wait for the thread (it uses the caller's files) and undo its work."""
        future = asyncio.get_running_loop().run_in_executor(self._threads, work)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await _settle(future)
            if undo is not None and future.exception() is None:
                undo(future.result())
            raise

    def _collect(self, garbage: Sequence[Garbage]) -> None:
        """Remove files that nothing refers to; on the writer's thread."""
        with contextlib.suppress(RuntimeError):  # closing: recovery removes them
            self._threads.submit(self._discard, garbage)

    def _discard(self, garbage: Sequence[Garbage]) -> None:
        gone = self._bodies.discard(garbage)
        if gone:
            self._writer.post(lambda changes: changes.forget_garbage(gone))


async def _settle(future: "asyncio.Future[T]") -> None:
    while not future.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait({future})


def _data(sealed: Sealed) -> bytes:
    if sealed.data is not None:
        return sealed.data
    assert sealed.file is not None
    return os.pread(sealed.file.fd, sealed.length, 0)


def _pieces(record: Record, info: ObjectInfo, span: Span) -> tuple[list[Piece], int | None]:
    """What of which files an answer holds, and the guard that readers of more than one file need."""
    if record.segments is not None:
        files = segments(record.segments).files
    else:
        assert record.file is not None
        if Doc.SSE not in info.docs:  # what `stretches` says of most files, 2 microseconds sooner
            return [Piece(record.file, span.offset, span.length)], None
        files = (record.file,)
    pieces = [Piece(files[part], offset, length) for part, offset, length in stretches(info, span)]
    several = bool(pieces) and pieces[0].file != pieces[-1].file
    return pieces, files[0] if several else None


def _cut(data: bytes, info: ObjectInfo, span: Span) -> bytes:
    """The bytes of an inline body that an answer holds."""
    if span.length == len(data):
        return data
    pieces = [data[offset : offset + length] for _, offset, length in stretches(info, span)]
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
