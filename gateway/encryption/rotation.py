"""A new master key for a whole store: the data keys are wrapped anew, the bodies are not touched.

Safe beside a live gateway: a document is replaced only while it is the one that was read (`put_doc(expected=...)`), so
an object that was written meanwhile keeps its own, which the gateway wrapped with the new key already.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from backends.base import (
    Backend,
    BucketQuery,
    Doc,
    ListQuery,
    Multipart,
    Ref,
    UploadQuery,
    Versioned,
    VersionQuery,
)
from gateway.encryption.keyring import KeyRing
from gateway.encryption.record import Mode, read_record
from gateway.errors import (
    MethodNotAllowed,
    NoSuchBucket,
    NoSuchKey,
    NoSuchVersion,
    PreconditionFailed,
    S3Error,
)

_MEANWHILE = frozenset({MethodNotAllowed, NoSuchBucket, NoSuchKey, NoSuchVersion, PreconditionFailed})
"""What a gateway at work may answer for an object that was listed: it was deleted or replaced."""
_AT_ONCE = 32


@dataclass
class Outcome:
    """Counts: objects and versions seen, wrapped anew, and uploads in flight that keep an older key until they end."""

    seen: int = 0
    wrapped: int = 0
    uploads: int = 0


async def rewrap(backend: Backend, ring: KeyRing, progress: Callable[[int], None]) -> Outcome:
    """Wrap every data key of SSE-S3 with the newest master key; `progress` is told the number of objects seen.

    What is wrapped with it already is left alone, so an interrupted run can be repeated. Raises KeyRingError.
    """
    outcome, master = Outcome(), ring.master().id
    batch: list[Ref] = []
    async for ref in objects(backend):
        batch.append(ref)
        if len(batch) == _AT_ONCE:
            await _rewrap_all(backend, ring, master, batch, outcome)
            batch = []
            progress(outcome.seen)
    await _rewrap_all(backend, ring, master, batch, outcome)
    outcome.uploads = sum(
        [1 async for used in keys_of_uploads(backend) if used[0] is Mode.S3 and used[1] != master]
    )
    progress(outcome.seen)
    return outcome


async def _rewrap_all(
    backend: Backend, ring: KeyRing, master: str, refs: list[Ref], outcome: Outcome
) -> None:
    done = await asyncio.gather(*(_rewrap(backend, ring, master, ref) for ref in refs))
    outcome.seen += len(done)
    outcome.wrapped += sum(done)


async def _rewrap(backend: Backend, ring: KeyRing, master: str, ref: Ref) -> bool:
    kept = await _document(backend, ref)
    if kept is None:
        return False
    record = read_record(kept)
    if record.mode is not Mode.S3 or record.id == master:
        return False
    made = str(ring.wrap(record, ring.unwrap(record)))
    try:
        await backend.put_doc(ref, Doc.SSE, made, expected=kept)
    except S3Error as error:
        if error.kind not in _MEANWHILE:
            raise
        return False
    return True


async def uses(backend: Backend, key: str, progress: Callable[[int], None]) -> int:
    """How many objects, versions and uploads in flight need a key of the ring to be read."""
    count = seen = 0
    async for ref in objects(backend):
        kept = await _document(backend, ref)
        count += kept is not None and read_record(kept).id == key
        seen += 1
        if seen % _AT_ONCE == 0:
            progress(seen)
    return count + sum([1 async for used in keys_of_uploads(backend) if used[1] == key])


async def _document(backend: Backend, ref: Ref) -> str | None:
    try:
        return await backend.get_doc(ref, Doc.SSE)
    except S3Error as error:
        if error.kind not in _MEANWHILE:
            raise
        return None


async def objects(backend: Backend) -> AsyncIterator[Ref]:
    """Every object, or every version where there are versions, of every bucket."""
    async for bucket in _buckets(backend):
        found = _versions(backend, bucket) if isinstance(backend, Versioned) else _keys(backend, bucket)
        async for ref in found:
            yield ref


async def _buckets(backend: Backend) -> AsyncIterator[str]:
    query: BucketQuery | None = BucketQuery()
    while query is not None:
        page = await backend.list_buckets(query)
        for bucket in page.buckets:
            yield bucket.name
        query = BucketQuery(after=page.next) if page.next else None


async def _keys(backend: Backend, bucket: str) -> AsyncIterator[Ref]:
    query: ListQuery | None = ListQuery()
    while query is not None:
        page = await backend.list_objects(bucket, query)
        for entry in page.entries:
            yield Ref(bucket, entry.key)
        query = ListQuery(after=page.next) if page.next else None


async def _versions(backend: Versioned, bucket: str) -> AsyncIterator[Ref]:
    query: VersionQuery | None = VersionQuery()
    while query is not None:
        page = await backend.list_versions(bucket, query)
        for entry in page.entries:
            if not entry.marker:
                yield Ref(bucket, entry.key, entry.version or "null")
        more = page.next or page.next_version
        query = VersionQuery(after=page.next, after_version=page.next_version) if more else None


async def keys_of_uploads(backend: Backend) -> AsyncIterator[tuple[Mode, str]]:
    """Mode and key id of each encrypted upload in flight."""
    if not isinstance(backend, Multipart):
        return
    async for bucket in _buckets(backend):
        query: UploadQuery | None = UploadQuery()
        while query is not None:
            page = await backend.list_uploads(bucket, query)
            for upload in page.uploads:
                if Doc.SSE in upload.write.docs:
                    record = read_record(upload.write.docs[Doc.SSE])
                    yield record.mode, record.id
            more = page.next or page.next_upload
            query = UploadQuery(after=page.next, after_upload=page.next_upload) if more else None
