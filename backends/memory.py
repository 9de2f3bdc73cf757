"""A store in memory: the plain model of what every backend does.

Correct before fast: a listing sorts all keys, a completion copies all parts. Nothing awaits inside a change, so each
is atomic on its event loop.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from backends.base import (
    NO_DOCS,
    UNCONDITIONAL,
    BucketInfo,
    BucketPage,
    BucketQuery,
    Completion,
    Conditions,
    Content,
    Copy,
    Deleted,
    Doc,
    Doomed,
    Entry,
    ListQuery,
    ObjectInfo,
    Page,
    PartInfo,
    PartPage,
    Payload,
    Read,
    Ref,
    Sealed,
    UploadInfo,
    UploadPage,
    UploadQuery,
    Write,
)
from backends.checksums import checksum_of, read_chunks
from backends.conditions import check_copy_source, check_delete, check_read, check_write, resolve
from backends.multipart import algorithm_of, assemble, check_marker, multipart_etag, new_upload_id
from gateway.errors import (
    BucketAlreadyOwnedByYou,
    BucketNotEmpty,
    NoSuchBucket,
    NoSuchKey,
    NoSuchUpload,
    S3Error,
)

T = TypeVar("T")
WHOLE, PLAIN, PLAIN_COPY = Read(), Write(), Copy()


@dataclass(frozen=True, slots=True)
class _Object:
    info: ObjectInfo
    data: bytes
    upload: str = ""
    """The upload that it is the outcome of."""


@dataclass(slots=True)
class _Upload:
    info: UploadInfo
    parts: dict[int, tuple[PartInfo, bytes]] = field(default_factory=dict)


@dataclass(slots=True)
class _Bucket:
    info: BucketInfo
    objects: dict[str, _Object] = field(default_factory=dict)
    uploads: dict[str, _Upload] = field(default_factory=dict)


class MemoryBackend:
    """`Backend` and `Multipart`, in memory."""

    def __init__(self) -> None:
        self._buckets: dict[str, _Bucket] = {}

    async def list_buckets(self, query: BucketQuery) -> BucketPage:
        """See `Backend`."""
        names = sorted(n for n in self._buckets if n.startswith(query.prefix) and n > query.after)
        found = [self._buckets[name].info for name in names[: query.limit]]
        return BucketPage(found, found[-1].name if found and len(names) > query.limit else "")

    async def head_bucket(self, bucket: str) -> BucketInfo:
        """See `Backend`."""
        return self._bucket(bucket).info

    async def create_bucket(self, bucket: str, docs: Mapping[Doc, str] = NO_DOCS) -> None:
        """See `Backend`."""
        if bucket in self._buckets:
            raise BucketAlreadyOwnedByYou(BucketName=bucket)
        self._buckets[bucket] = _Bucket(BucketInfo(bucket, _now(), dict(docs)))

    async def delete_bucket(self, bucket: str) -> None:
        """See `Backend`."""
        if self._bucket(bucket).objects:
            raise BucketNotEmpty(BucketName=bucket)
        del self._buckets[bucket]

    async def head_object(self, ref: Ref, how: Read = WHOLE) -> Content:
        """See `Backend`."""
        info = self._object(ref).info
        check_read(how.conditions, info)
        return Content(info, resolve(how, info))

    async def open_object(self, ref: Ref, how: Read = WHOLE) -> Content:
        """See `Backend`."""
        content = await self.head_object(ref, how)
        span = content.span
        return replace(content, body=self._object(ref).data[span.offset : span.offset + span.length])

    async def put_object(self, ref: Ref, payload: Payload, how: Write = PLAIN) -> ObjectInfo:
        """See `Backend`."""
        self._bucket(ref.bucket)
        sealed = await payload.seal("")
        bucket = self._bucket(ref.bucket)
        check_write(how.conditions, _info(bucket.objects.get(ref.key)), ref.key)
        info = ObjectInfo(
            ref.key,
            sealed.size,
            sealed.md5,
            _now(),
            dict(how.headers),
            dict(how.user),
            dict(how.docs),
            sealed.checksum,
            storage_class=how.storage_class,
        )
        bucket.objects[ref.key] = _Object(info, _data(sealed))
        return info

    async def copy_object(self, source: Ref, target: Ref, how: Copy = PLAIN_COPY) -> ObjectInfo:
        """See `Backend`."""
        found, bucket = self._checked(source, target, how)
        write = how.write
        info = replace(
            found.info,
            key=target.key,
            modified=_now(),
            docs=dict(write.docs),
            storage_class=write.storage_class,
        )
        if how.replace_metadata:
            info = replace(info, headers=dict(write.headers), user=dict(write.user))
        bucket.objects[target.key] = _Object(info, found.data)
        return info

    async def rename_object(self, source: Ref, target: Ref, how: Copy = PLAIN_COPY) -> None:
        """See `Backend`."""
        found, bucket = self._checked(source, target, how)
        if source == target:
            return
        del self._bucket(source.bucket).objects[source.key]
        bucket.objects[target.key] = _Object(replace(found.info, key=target.key), found.data)

    async def delete_object(self, ref: Ref, conditions: Conditions = UNCONDITIONAL) -> Deleted:
        """See `Backend`."""
        objects = self._bucket(ref.bucket).objects
        check_delete(conditions, _info(objects.get(ref.key)), ref.key)
        objects.pop(ref.key, None)
        return Deleted(ref.key)

    async def delete_objects(self, bucket: str, doomed: Sequence[Doomed]) -> list[Deleted]:
        """See `Backend`."""
        self._bucket(bucket)
        outcomes = []
        for item in doomed:
            try:
                outcomes.append(await self.delete_object(Ref(bucket, item.key), item.conditions))
            except S3Error as error:
                outcomes.append(Deleted(item.key, item.version, error=error))
        return outcomes

    async def list_objects(self, bucket: str, query: ListQuery) -> Page:
        """See `Backend`."""
        objects = self._bucket(bucket).objects
        later = _later(objects, query)
        items, more = _window(list(_groups(later, query.prefix, query.delimiter)), query.limit)
        return Page(
            [_entry(objects[key].info) for name, key in items if key is not None],
            [name for name, key in items if key is None],
            items[-1][0] if more else "",
        )

    async def get_doc(self, ref: Ref, doc: Doc) -> str | None:
        """See `Backend`."""
        info = self._object(ref).info if ref.key else self._bucket(ref.bucket).info
        return info.docs.get(doc)

    async def put_doc(self, ref: Ref, doc: Doc, content: str | None) -> None:
        """See `Backend`."""
        bucket = self._bucket(ref.bucket)
        if not ref.key:
            bucket.info = replace(bucket.info, docs=_with_doc(bucket.info.docs, doc, content))
            return
        found = self._object(ref)
        info = replace(found.info, docs=_with_doc(found.info.docs, doc, content))
        bucket.objects[ref.key] = replace(found, info=info)

    async def aclose(self) -> None:
        """See `Backend`."""

    async def create_upload(self, ref: Ref, how: Write) -> UploadInfo:
        """See `Multipart`."""
        bucket = self._bucket(ref.bucket)
        initiated = _now()
        info = UploadInfo(ref.key, new_upload_id(initiated), initiated, how)
        bucket.uploads[info.upload] = _Upload(info)
        return info

    async def head_upload(self, ref: Ref, upload: str) -> UploadInfo:
        """See `Multipart`."""
        return self._upload(ref, upload).info

    async def put_part(self, ref: Ref, upload: str, number: int, payload: Payload) -> PartInfo:
        """See `Multipart`."""
        algorithm = algorithm_of(self._upload(ref, upload).info.write)
        sealed = await payload.seal("")
        part = PartInfo(number, sealed.size, sealed.md5, _now(), checksum_of(sealed, algorithm))
        self._upload(ref, upload).parts[number] = (part, _data(sealed))
        return part

    async def list_parts(self, ref: Ref, upload: str, after: int = 0, limit: int = 1000) -> PartPage:
        """See `Multipart`."""
        found = self._upload(ref, upload)
        parts, more = _window(
            [part for _, (part, _) in sorted(found.parts.items()) if part.number > after], limit
        )
        return PartPage(found.info, parts, parts[-1].number if more else 0)

    async def complete_upload(self, ref: Ref, upload: str, how: Completion) -> ObjectInfo:
        """See `Multipart`."""
        bucket = self._bucket(ref.bucket)
        old = bucket.objects.get(ref.key)
        if old is not None and old.upload == upload:
            return _completed_again(old, upload, how)
        found = self._upload(ref, upload)
        made = assemble(found.info, {number: part for number, (part, _) in found.parts.items()}, how)
        check_write(how.conditions, _info(old), ref.key)
        write = found.info.write
        info = ObjectInfo(
            ref.key,
            made.size,
            made.etag,
            _now(),
            dict(write.headers),
            dict(write.user),
            dict(write.docs),
            made.checksum,
            tuple(
                PartInfo(number, part.size, checksum=part.checksum)
                for number, part in enumerate(made.parts, 1)
            ),
            write.storage_class,
        )
        data = b"".join(found.parts[part.number][1] for part in made.parts)
        del bucket.uploads[upload]
        bucket.objects[ref.key] = _Object(info, data, upload)
        return info

    async def abort_upload(self, ref: Ref, upload: str) -> None:
        """See `Multipart`."""
        self._upload(ref, upload)
        del self._bucket(ref.bucket).uploads[upload]

    async def list_uploads(self, bucket: str, query: UploadQuery) -> UploadPage:
        """See `Multipart`."""
        uploads = self._bucket(bucket).uploads
        check_marker(query.after_upload)
        keys = {found.info.key for found in uploads.values()}
        later = _later(keys, query)
        if (
            query.after_upload
            and query.after.startswith(query.prefix)
            and _of_key(uploads, query.after, query)
        ):
            later = sorted({query.after, *later})
        found = [
            (name, upload)
            for name, key in _groups(later, query.prefix, query.delimiter)
            for upload in (_of_key(uploads, key, query) if key is not None else [""])
        ]
        items, more = _window(found, query.limit)
        return UploadPage(
            [uploads[upload].info for _, upload in items if upload],
            [name for name, upload in items if not upload],
            items[-1][0] if more else "",
            items[-1][1] if more else "",
        )

    def _bucket(self, name: str) -> _Bucket:
        if name not in self._buckets:
            raise NoSuchBucket(BucketName=name)
        return self._buckets[name]

    def _object(self, ref: Ref) -> _Object:
        objects = self._bucket(ref.bucket).objects
        if ref.key not in objects:
            raise NoSuchKey(Key=ref.key)
        return objects[ref.key]

    def _upload(self, ref: Ref, upload: str) -> _Upload:
        found = self._bucket(ref.bucket).uploads.get(upload)
        if found is None or found.info.key != ref.key:
            raise NoSuchUpload(UploadId=upload)
        return found

    def _checked(self, source: Ref, target: Ref, how: Copy) -> tuple[_Object, _Bucket]:
        """The source of a copy and the target's bucket, both conditions checked."""
        found = self._object(source)
        bucket = self._bucket(target.bucket)
        check_copy_source(how.conditions, found.info)
        check_write(how.write.conditions, _info(bucket.objects.get(target.key)), target.key)
        return found, bucket


def _now() -> int:
    return time.time_ns() // 1_000_000


def _info(found: _Object | None) -> ObjectInfo | None:
    return None if found is None else found.info


def _data(sealed: Sealed) -> bytes:
    if sealed.data is not None:
        return sealed.data
    assert sealed.file is not None
    return b"".join(read_chunks(sealed.file.fd, sealed.size))


def _with_doc(docs: Mapping[Doc, str], doc: Doc, content: str | None) -> Mapping[Doc, str]:
    kept = {name: text for name, text in docs.items() if name is not doc}
    return kept if content is None else {**kept, doc: content}


def _entry(info: ObjectInfo) -> Entry:
    checksum = info.checksum
    return Entry(
        info.key,
        info.size,
        info.etag,
        info.modified,
        info.storage_class,
        checksum.algorithm if checksum else None,
        checksum.type if checksum else None,
    )


def _completed_again(old: _Object, upload: str, how: Completion) -> ObjectInfo:
    if multipart_etag([part.etag for part in how.parts]) != old.info.etag:
        raise NoSuchUpload(UploadId=upload)
    return old.info


Group = tuple[str, str | None]
"""A name in a listing, and its key; None for a common prefix."""


def _groups(keys: Sequence[str], prefix: str, delimiter: str) -> Iterator[Group]:
    """The listing of all keys, folded."""
    last = None
    for key in keys:
        common = _common_prefix(key, prefix, delimiter)
        if not common:
            yield key, key
        elif common != last:
            last = common
            yield common, None


def _common_prefix(key: str, prefix: str, delimiter: str) -> str:
    head, found, _ = key[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
    return prefix + head + delimiter if found else ""


def _later(keys: Iterable[str], query: ListQuery | UploadQuery) -> list[str]:
    """The keys with the prefix that come after `after`, and after all that it stands for."""
    after = query.after
    folded = after.startswith(query.prefix) and _common_prefix(after, query.prefix, query.delimiter) == after
    return sorted(
        key
        for key in keys
        if key.startswith(query.prefix) and key > after and not (after and folded and key.startswith(after))
    )


def _of_key(uploads: Mapping[str, _Upload], key: str, query: UploadQuery) -> list[str]:
    """The ids of a key's uploads that are to be listed, in order of time."""
    first = query.after_upload if key == query.after else ""
    return sorted(upload for upload, found in uploads.items() if found.info.key == key and upload > first)


def _window(items: Sequence[T], limit: int) -> tuple[Sequence[T], bool]:
    """The first `limit` items, and whether there are more."""
    return items[:limit], 0 < limit < len(items)
