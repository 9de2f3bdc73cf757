"""A store in memory: the plain model of what every backend does.

Correct before fast: a listing sorts all keys, a completion copies all parts. Nothing awaits inside a change, so each
is atomic on its event loop.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

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
    Entry,
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
    UploadInfo,
    UploadPage,
    UploadQuery,
    VersionEntry,
    VersionPage,
    VersionQuery,
    Write,
)
from backends.checksums import checksum_of, read_chunks
from backends.clock import now
from backends.conditions import check_copy_source, check_delete, check_read, check_write, resolve
from backends.docs import check_expected, copied_docs, with_doc
from backends.locks import check_removal, check_retention
from backends.multipart import algorithm_of, assemble, check_marker, multipart_etag, new_upload_id
from backends.stored import stored_sizes, stretches
from backends.versions import (
    ENABLED,
    MAX_SEQ,
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

T = TypeVar("T")
PLAIN_COPY, PLAIN_DELETE, PLAIN_BUCKET = Copy(), Delete(), NewBucket()


@dataclass(frozen=True, slots=True)
class _Version:
    """A version of a key, or a delete marker. `seq` orders those of a key."""

    info: ObjectInfo
    data: bytes = b""
    upload: str = ""
    """The upload that it is the outcome of."""
    seq: int = 0
    marker: bool = False


@dataclass(slots=True)
class _Upload:
    info: UploadInfo
    parts: dict[int, tuple[PartInfo, bytes]] = field(default_factory=dict)


@dataclass(slots=True)
class _Bucket:
    info: BucketInfo
    keys: dict[str, list[_Version]] = field(default_factory=dict)
    """All versions of each key, the newest (the current one) first."""
    uploads: dict[str, _Upload] = field(default_factory=dict)

    @property
    def versioning(self) -> str | None:
        return self.info.docs.get(Doc.VERSIONING)

    def current(self, key: str) -> _Version | None:
        """The current object; None also where a delete marker is current."""
        newest = self.keys.get(key, [None])[0]
        return None if newest is None or newest.marker else newest

    def named(self, key: str, version: str) -> _Version | None:
        """The version or delete marker of that id."""
        check_version_id(version)
        found = (item for item in self.keys.get(key, ()) if name_of(item.info.version) == version)
        return next(found, None)

    def find(self, ref: Ref) -> _Version:
        """What a read of `ref` reads."""
        if ref.version is not None:
            named = self.named(ref.key, ref.version)
            if named is None:
                raise no_such_version(ref.key, ref.version)
            if named.marker:
                raise named_is_marker(named.info.modified)
            return named
        newest = self.keys.get(ref.key, [None])[0]
        if newest is None:
            raise NoSuchKey(Key=ref.key)
        if newest.marker:
            raise current_is_marker(ref.key, newest.info.version)
        return newest

    def replaced(self, key: str) -> _Version | None:
        """The version that a new one replaces."""
        return None if self.versioning == ENABLED else self.named(key, NULL)

    def check_replaced(self, key: str, *, bypass_governance: bool = False) -> None:
        """Raise AccessDenied if a new version would replace a locked one."""
        replaced = self.replaced(key)
        if replaced is not None:
            check_removal(replaced.info.docs, now(), bypass_governance=bypass_governance)

    def add(self, made: _Version) -> ObjectInfo:
        """Let it be the current version of its key."""
        key = made.info.key
        kept = [item for item in self.keys.get(key, []) if item is not self.replaced(key)]
        seq = next_seq(max((item.seq for item in self.keys.get(key, [])), default=0))
        version = new_version_id(seq) if self.versioning == ENABLED else None
        info = replace(made.info, version=version)
        self.keys[key] = [replace(made, info=info, seq=seq), *kept]
        return info

    def remove(self, key: str, version: _Version) -> None:
        """Remove one version; the newest that is left is current."""
        self.keys[key].remove(version)
        if not self.keys[key]:
            del self.keys[key]


class MemoryBackend:
    """`Backend`, `Multipart` and `Versioned`, in memory."""

    def __init__(self) -> None:
        self._buckets: dict[str, _Bucket] = {}

    async def list_buckets(self, query: BucketQuery) -> BucketPage:
        """See `Backend`."""
        infos = sorted((bucket.info for bucket in self._buckets.values()), key=lambda info: info.name)
        wanted = [
            info
            for info in infos
            if info.name.startswith(query.prefix)
            and info.name > query.after
            and query.owner in (None, info.owner)
        ]
        found = wanted[: query.limit]
        return BucketPage(found, found[-1].name if found and len(wanted) > query.limit else "")

    async def head_bucket(self, bucket: str) -> BucketInfo:
        """See `Backend`."""
        return self._bucket(bucket).info

    async def create_bucket(self, bucket: str, how: NewBucket = PLAIN_BUCKET) -> None:
        """See `Backend`."""
        if bucket in self._buckets:
            mine = self._buckets[bucket].info.owner == how.owner
            raise (BucketAlreadyOwnedByYou if mine else BucketAlreadyExists)(BucketName=bucket)
        self._buckets[bucket] = _Bucket(BucketInfo(bucket, now(), dict(how.docs), how.owner))

    async def delete_bucket(self, bucket: str) -> None:
        """See `Backend`."""
        if self._bucket(bucket).keys:
            raise not_empty(bucket, self._bucket(bucket).info.docs)
        del self._buckets[bucket]

    async def head_object(self, ref: Ref, how: Read = WHOLE) -> Content:
        """See `Backend`."""
        info = self._bucket(ref.bucket).find(ref).info
        check_read(how.conditions, info)
        return Content(info, resolve(how, info))

    async def open_object(self, ref: Ref, how: Read = WHOLE) -> Content:
        """See `Backend`."""
        content = await self.head_object(ref, how)
        return replace(content, body=_body(self._bucket(ref.bucket).find(ref), content))

    async def put_object(self, ref: Ref, payload: Payload, how: Write = PLAIN) -> ObjectInfo:
        """See `Backend`."""
        self._bucket(ref.bucket)
        sealed = await payload.seal("")
        bucket = self._bucket(ref.bucket)
        check_write(how.conditions, _info(bucket.current(ref.key)), ref.key)
        bucket.check_replaced(ref.key)
        info = ObjectInfo(
            ref.key,
            sealed.size,
            sealed.md5,
            now(),
            dict(how.headers),
            dict(how.user),
            dict(how.docs),
            sealed.checksum,
            storage_class=how.storage_class,
            owner=how.owner,
        )
        return bucket.add(_Version(info, _data(sealed)))

    async def copy_object(self, source: Ref, target: Ref, how: Copy = PLAIN_COPY) -> ObjectInfo:
        """See `Backend`."""
        found = self._source(source)
        bucket = self._bucket(target.bucket)
        _check_copy(found, bucket, target.key, how)
        write = how.write
        info = replace(
            found.info,
            key=target.key,
            modified=now(),
            docs=copied_docs(found.info.docs, how),
            storage_class=write.storage_class,
            owner=write.owner,
        )
        if how.replace_metadata:
            info = replace(info, headers=dict(write.headers), user=dict(write.user))
        bucket.check_replaced(target.key)
        return bucket.add(_Version(info, found.data))

    async def rename_object(self, source: Ref, target: Ref, how: Copy = PLAIN_COPY) -> None:
        """See `Backend`."""
        origin, bucket = self._bucket(source.bucket), self._bucket(target.bucket)
        if origin.versioning is not None or bucket.versioning is not None:
            raise no_rename()
        found = origin.find(source)
        _check_copy(found, bucket, target.key, how)
        if source == target:
            return
        check_removal(found.info.docs, now())
        bucket.check_replaced(target.key)
        origin.remove(source.key, found)
        bucket.add(_Version(replace(found.info, key=target.key), found.data))

    async def delete_object(self, ref: Ref, how: Delete = PLAIN_DELETE) -> Deleted:
        """See `Backend`."""
        bucket = self._bucket(ref.bucket)
        if ref.version is not None:
            return _delete_version(bucket, ref.key, ref.version, how)
        check_delete(how.conditions, _info(bucket.current(ref.key)), ref.key)
        bucket.check_replaced(ref.key, bypass_governance=how.bypass_governance)
        if bucket.versioning is not None:
            marker = bucket.add(_Version(ObjectInfo(ref.key, 0, "", now()), marker=True))
            return Deleted(ref.key, marker=name_of(marker.version))
        current = bucket.current(ref.key)
        if current is not None:
            bucket.remove(ref.key, current)
        return Deleted(ref.key)

    async def delete_objects(self, bucket: str, doomed: Sequence[Doomed]) -> list[Deleted]:
        """See `Backend`."""
        self._bucket(bucket)
        outcomes = []
        for item in doomed:
            try:
                outcomes.append(await self.delete_object(Ref(bucket, item.key, item.version), item.how))
            except S3Error as error:
                outcomes.append(Deleted(item.key, item.version, error=error))
        return outcomes

    async def list_objects(self, bucket: str, query: ListQuery) -> Page:
        """See `Backend`."""
        found = self._bucket(bucket)
        objects = {key: current.info for key in found.keys if (current := found.current(key)) is not None}
        later = _later(objects, query)
        items, more = _window(list(_groups(later, query.prefix, query.delimiter)), query.limit)
        return Page(
            [_entry(objects[key]) for name, key in items if key is not None],
            [name for name, key in items if key is None],
            items[-1][0] if more else "",
        )

    async def list_versions(self, bucket: str, query: VersionQuery) -> VersionPage:
        """See `Versioned`."""
        keys = self._bucket(bucket).keys
        if query.after_version:
            check_version_id(query.after_version, "version-id-marker")
        later = _later(keys, query)
        if query.after_version and _goes_on(query) and _older(keys, query.after, query):
            later = sorted({query.after, *later})
        found = [
            (name, version)
            for name, key in _groups(later, query.prefix, query.delimiter)
            for version in (_older(keys, key, query) if key is not None else [None])
        ]
        items, more = _window(found, query.limit)
        last = items[-1][1] if more else None
        return VersionPage(
            [_version_entry(version, keys) for _, version in items if version is not None],
            [name for name, version in items if version is None],
            items[-1][0] if more else "",
            name_of(last.info.version) if last is not None else "",
        )

    async def get_doc(self, ref: Ref, doc: Doc) -> str | None:
        """See `Backend`."""
        bucket = self._bucket(ref.bucket)
        info = bucket.find(ref).info if ref.key else bucket.info
        return info.docs.get(doc)

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
        bucket = self._bucket(ref.bucket)
        if not ref.key:
            check_expected(bucket.info.docs, doc, expected)
            bucket.info = replace(bucket.info, docs=with_doc(bucket.info.docs, doc, content))
            return
        found = bucket.find(ref)
        docs = found.info.docs
        check_expected(docs, doc, expected)
        if doc is Doc.RETENTION:
            check_retention(docs.get(doc), content, now(), bypass_governance=bypass_governance)
        versions = bucket.keys[ref.key]
        info = replace(found.info, docs=with_doc(docs, doc, content))
        versions[versions.index(found)] = replace(found, info=info)

    async def aclose(self) -> None:
        """See `Backend`."""

    async def create_upload(self, ref: Ref, how: Write) -> UploadInfo:
        """See `Multipart`."""
        bucket = self._bucket(ref.bucket)
        initiated = now()
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
        part = PartInfo(number, sealed.size, sealed.md5, now(), checksum_of(sealed, algorithm))
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
        old = bucket.current(ref.key)
        if old is not None and old.upload == upload:
            return _completed_again(old, upload, how)
        found = self._upload(ref, upload)
        made = assemble(found.info, {number: part for number, (part, _) in found.parts.items()}, how)
        check_write(how.conditions, _info(old), ref.key)
        bucket.check_replaced(ref.key)
        write = found.info.write
        info = ObjectInfo(
            ref.key,
            made.size,
            made.etag,
            now(),
            dict(write.headers),
            dict(write.user),
            dict(write.docs),
            made.checksum,
            tuple(
                PartInfo(number, part.size, checksum=part.checksum)
                for number, part in enumerate(made.parts, 1)
            ),
            write.storage_class,
            owner=write.owner,
        )
        data = b"".join(found.parts[part.number][1] for part in made.parts)
        del bucket.uploads[upload]
        return bucket.add(_Version(info, data, upload))

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

    def _upload(self, ref: Ref, upload: str) -> _Upload:
        found = self._bucket(ref.bucket).uploads.get(upload)
        if found is None or found.info.key != ref.key:
            raise NoSuchUpload(UploadId=upload)
        return found

    def _source(self, ref: Ref) -> _Version:
        """What a copy of `ref` copies."""
        bucket = self._bucket(ref.bucket)
        named = None if ref.version is None else bucket.named(ref.key, ref.version)
        if named is not None and named.marker:
            raise source_is_marker()
        return bucket.find(ref)


def _info(found: _Version | None) -> ObjectInfo | None:
    return None if found is None else found.info


def _check_copy(found: _Version, bucket: _Bucket, key: str, how: Copy) -> None:
    """Both conditions, on the source and on the target."""
    check_copy_source(how.conditions, found.info)
    check_write(how.write.conditions, _info(bucket.current(key)), key)


def _delete_version(bucket: _Bucket, key: str, version: str, how: Delete) -> Deleted:
    found = bucket.named(key, version)
    check_delete(how.conditions, None if found is None or found.marker else found.info, key)
    if found is None:
        return Deleted(key, version)
    check_removal(found.info.docs, now(), bypass_governance=how.bypass_governance)
    bucket.remove(key, found)
    return Deleted(key, version, marker=version if found.marker else None)


def _body(found: _Version, content: Content) -> bytes:
    """The bytes that an answer holds."""
    starts = [0]
    for size in stored_sizes(found.info):
        starts.append(starts[-1] + size)
    return b"".join(
        found.data[starts[part] + offset : starts[part] + offset + length]
        for part, offset, length in stretches(found.info, content.span)
    )


def _data(sealed: Sealed) -> bytes:
    if sealed.data is not None:
        return sealed.data
    assert sealed.file is not None
    return b"".join(read_chunks(sealed.file.fd, sealed.length))


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
        info.owner,
    )


def _version_entry(version: _Version, keys: Mapping[str, Sequence[_Version]]) -> VersionEntry:
    entry = _entry(version.info)
    latest = keys[entry.key][0] is version
    return VersionEntry(entry.key, version.info.version, latest, version.marker, *entry[1:])


def _completed_again(old: _Version, upload: str, how: Completion) -> ObjectInfo:
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


def _later(keys: Iterable[str], query: ListQuery | UploadQuery | VersionQuery) -> list[str]:
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


def _goes_on(query: VersionQuery) -> bool:
    """Whether a page may begin amid the versions of a key."""
    folded = _common_prefix(query.after, query.prefix, query.delimiter)
    return query.after.startswith(query.prefix) and folded != query.after


def _older(keys: Mapping[str, Sequence[_Version]], key: str, query: VersionQuery) -> list[_Version]:
    """The versions of a key that are to be listed."""
    versions = keys.get(key, ())
    if key != query.after or not query.after_version:
        return list(versions)
    if query.after_version == NULL:
        limit = next((item.seq for item in versions if item.info.version is None), MAX_SEQ)
    else:
        limit = seq_of(query.after_version)
    return [item for item in versions if item.seq < limit]


def _window(items: Sequence[T], limit: int) -> tuple[Sequence[T], bool]:
    """The first `limit` items, and whether there are more."""
    return items[:limit], 0 < limit < len(items)
