"""What the local store keeps of buckets, objects and uploads, and the protocol of whatever keeps it.

`Index` reads at once, on the caller's thread. `Changes` are the steps of a transaction, which a writer commits together
with others; awaiting one ends when it is as durable as the store promises. SQLite is the first implementation.
"""

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple, Protocol

from backends.base import (
    BucketInfo,
    BucketPage,
    BucketQuery,
    Checksum,
    ChecksumType,
    Completion,
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
    Ref,
    UploadInfo,
    UploadPage,
    UploadQuery,
    VersionPage,
    VersionQuery,
    Write,
)

EMPTY: Mapping[str, str] = MappingProxyType({})
NO_DOCS: Mapping[Doc, str] = MappingProxyType({})


_TYPES: Mapping[str, ChecksumType] = {kind.value: kind for kind in ChecksumType}
"""A dictionary of our own: calling the enum costs five times as much."""


class Record(NamedTuple):
    """An object as it is stored, with its body's place. JSON columns are parsed when somebody asks.

    A body is inline (`data`), one file (`file`), or the files of parts (`segments`); a delete marker has none (`body`).
    """

    version: str | None
    seq: int
    """Orders the versions of a key."""
    owner: str
    size: int
    etag: str
    modified: int
    storage_class: str
    checksum_algorithm: str | None
    checksum_type: str | None
    checksum: str | None
    headers: str | None
    user: str | None
    docs: str | None
    upload: str | None
    body: int | None
    file: int | None
    segments: str | None
    data: bytes | None = None

    def info(self, key: str) -> ObjectInfo:
        """The public value."""
        return ObjectInfo(
            key,
            self.size,
            self.etag,
            self.modified,
            EMPTY if self.headers is None else names(self.headers),
            EMPTY if self.user is None else json.loads(self.user),
            NO_DOCS if self.docs is None else documents(self.docs),
            None if self.checksum is None else self._checksum(),
            () if self.segments is None else segments(self.segments).parts,
            self.storage_class,
            self.version,
            self.owner,
        )

    @property
    def marker(self) -> bool:
        """Whether it is a delete marker."""
        return self.body is None

    def documents(self) -> Mapping[Doc, str]:
        """The documents alone."""
        return NO_DOCS if self.docs is None else documents(self.docs)

    def _checksum(self) -> Checksum:
        assert self.checksum is not None
        assert self.checksum_algorithm is not None
        assert self.checksum_type is not None
        return Checksum(self.checksum_algorithm, self.checksum, _TYPES[self.checksum_type])


class Segments(NamedTuple):
    """The files of a multipart object in order, and the same as parts."""

    files: tuple[int, ...]
    parts: tuple[PartInfo, ...]


@functools.lru_cache(maxsize=8)
def segments(text: str) -> Segments:
    """Parse the column `segments`: `[[number, file, size, checksum], ...]`. Few are kept: one may hold 10,000 parts.

    The number in a row is that of the upload; those of the object are 1 to n, as on S3.
    """
    rows = json.loads(text)
    return Segments(
        tuple(file for _, file, _, _ in rows),
        tuple(
            PartInfo(number, size, checksum=checksum) for number, (_, _, size, checksum) in enumerate(rows, 1)
        ),
    )


@functools.lru_cache(maxsize=1024)
def names(text: str) -> Mapping[str, str]:
    """Parse a JSON object of strings. Most objects share a few sets of headers, hence the cache."""
    return MappingProxyType(json.loads(text))


def _documents(text: str) -> Mapping[Doc, str]:
    return MappingProxyType({Doc(name): content for name, content in json.loads(text).items()})


documents = functools.lru_cache(maxsize=1024)(_documents)
"""Parse the column `docs` of an object."""
bucket_documents = functools.lru_cache(maxsize=1024)(_documents)
"""The same of a bucket. A cache of its own: those of objects may all differ, and would drive these out."""


def to_json(values: Mapping[str, str] | Mapping[Doc, str]) -> str | None:
    """A column of names; None when there are none."""
    return json.dumps(dict(values), ensure_ascii=False, separators=(",", ":")) if values else None


@dataclass(frozen=True, slots=True)
class NewObject:
    """An object to be stored: its body is `data`, or the placed file `file` of `stored` bytes."""

    size: int
    etag: str
    checksum: Checksum | None
    write: Write
    data: bytes | None = None
    file: int | None = None
    stored: int = 0


@dataclass(frozen=True, slots=True)
class NewPart:
    """A part to be stored, in the placed file `file` of `stored` bytes."""

    info: PartInfo
    file: int
    stored: int


class Garbage(NamedTuple):
    """A file that nothing refers to any more. Readers of a multipart object hold a shared lock on `guard`."""

    file: int
    guard: int | None = None


class Changes(Protocol):
    """The changes of one transaction. Each checks everything before it changes anything, so a refusal has no effect."""

    def create_bucket(self, name: str, how: NewBucket) -> None:
        """Raises BucketAlreadyOwnedByYou, BucketAlreadyExists."""

    def delete_bucket(self, name: str) -> None:
        """Raises NoSuchBucket, BucketNotEmpty."""

    def put(self, ref: Ref, new: NewObject) -> ObjectInfo:
        """Raises NoSuchBucket, PreconditionFailed, NoSuchKey, AccessDenied (it would replace what is locked)."""

    def copy(self, source: Ref, target: Ref, how: Copy) -> ObjectInfo:
        """Raises NoSuchBucket, NoSuchKey, NoSuchVersion, PreconditionFailed, AccessDenied."""

    def rename(self, source: Ref, target: Ref, how: Copy) -> None:
        """Raises NoSuchBucket, NoSuchKey, PreconditionFailed, InvalidRequest, AccessDenied."""

    def delete(self, ref: Ref, how: Delete) -> Deleted:
        """Raises NoSuchBucket, NoSuchKey, PreconditionFailed, AccessDenied."""

    def delete_many(self, bucket: str, doomed: Sequence[Doomed]) -> list[Deleted]:
        """Raises NoSuchBucket."""

    def put_doc(
        self,
        ref: Ref,
        doc: Doc,
        content: str | None,
        *,
        bypass_governance: bool = False,
        expected: str | None = None,
    ) -> None:
        """Raises NoSuchBucket, NoSuchKey, NoSuchVersion, AccessDenied, PreconditionFailed (not `expected`)."""

    def create_upload(self, ref: Ref, upload: str, write: Write) -> UploadInfo:
        """Raises NoSuchBucket."""

    def put_part(self, ref: Ref, upload: str, part: NewPart) -> PartInfo:
        """Raises NoSuchUpload."""

    def complete_upload(self, ref: Ref, upload: str, how: Completion) -> ObjectInfo:
        """Raises NoSuchUpload and all of `backends.multipart.assemble`."""

    def abort_upload(self, ref: Ref, upload: str) -> None:
        """Raises NoSuchUpload."""

    def enter_slot(self, writer: int, slot: int) -> None:
        """Note that `writer` is about to place files in `slot`: what recovery has to look at if it dies."""


class Index(Protocol):
    """The reads: synchronous and quick (microseconds)."""

    def bucket(self, name: str) -> BucketInfo:
        """Raises NoSuchBucket."""

    def buckets(self, query: BucketQuery) -> BucketPage:
        """Buckets by name."""

    def find(self, ref: Ref, *, data: bool = False) -> Record:
        """The object, with its inline bytes if `data`. Raises NoSuchBucket, NoSuchKey, NoSuchVersion, MethodNotAllowed."""

    def page(self, bucket: str, query: ListQuery) -> Page:
        """Raises NoSuchBucket."""

    def versions(self, bucket: str, query: VersionQuery) -> VersionPage:
        """Raises NoSuchBucket."""

    def upload(self, ref: Ref, upload: str) -> UploadInfo:
        """Raises NoSuchUpload."""

    def parts(self, ref: Ref, upload: str, after: int, limit: int) -> PartPage:
        """Raises NoSuchUpload."""

    def uploads(self, bucket: str, query: UploadQuery) -> UploadPage:
        """Raises NoSuchBucket."""

    def close(self) -> None:
        """Free the connection."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of a store."""

    root: str
    index: str = field(init=False)
    bodies: str = field(init=False)
    spool: str = field(init=False)
    write_lock: str = field(init=False)
    use_lock: str = field(init=False)
    generation: str = field(init=False)

    def __post_init__(self) -> None:
        for name, path in _PATHS.items():
            object.__setattr__(self, name, f"{self.root}/{path}")


_PATHS = {
    "index": "index.sqlite",
    "bodies": "bodies",
    "spool": "spool",
    "write_lock": "write.lock",
    "use_lock": "use.lock",
    "generation": "generation",
}
