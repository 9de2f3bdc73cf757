"""The interface of every store: values, protocols, and what an implementation MUST do.

Values are frozen and carry no behaviour beyond themselves. A new S3 header becomes a new field with a default,
never a new parameter. Each MUST below has its test in `tests/contract/`, which runs on every backend.

Errors are those of `gateway.errors`; a backend raises them as S3 would answer them.
Times are integers, milliseconds since 1970-01-01 UTC. ETags are without quotes. Digests of the
`x-amz-checksum-*` family are base64 text, as on the wire.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, NamedTuple, Protocol, Self, runtime_checkable

if TYPE_CHECKING:
    from dataclasses import dataclass as value
else:

    def value(*, frozen: bool, slots: bool) -> Callable[[type], type]:
        """A dataclass that is frozen to the type checker only, for the values that each request makes.

        At run time a frozen `__init__` sets each field through `object.__setattr__`, which costs eight times as much:
        4 microseconds of a GET. mypy refuses to assign to a field all the same.
        """
        return dataclass(slots=slots, unsafe_hash=frozen)


MIN_PART_BYTES = 5 * 1024 * 1024
"""Every part but the last is at least this long. Source: S3 user guide, multipart upload limits."""
MAX_PARTS = 10_000
MAX_PUT_BYTES = 5 * 1024**3
MAX_KEY_BYTES = 1024


class Doc(StrEnum):
    """A small document kept with a bucket or an object: the subresources `?acl`, `?tagging`, ..."""

    ACL = "acl"
    """Of a bucket or an object: JSON of `auth.acl`, or a canned ACL's name; absent means `private`."""
    TAGGING = "tagging"
    """Of a bucket or an object: JSON object, name → value, in the order in which they were given."""

    RETENTION = "retention"
    """Of an object: `GOVERNANCE 1790000000000`, the mode and the end in ms. See `backends.locks`."""
    LEGAL_HOLD = "legal-hold"
    """Of an object: `ON` or `OFF`."""
    SSE = "sse"
    """Of an object: how its bytes are encrypted, JSON of `gateway.encryption`. It belongs to the bytes: copies keep it."""

    VERSIONING = "versioning"
    """Of a bucket: `Enabled` or `Suspended`; absent: never versioned."""
    OWNERSHIP = "ownership"
    """Of a bucket: `BucketOwnerEnforced`, `BucketOwnerPreferred`, `ObjectWriter`; absent counts as the last."""
    POLICY = "policy"
    """Of a bucket, JSON as it was put. The others are XML, as GET answers them."""
    PUBLIC_ACCESS_BLOCK = "public-access-block"
    OBJECT_LOCK = "object-lock"
    """Object lock is enabled (for good) where this document is."""
    ENCRYPTION = "encryption"
    CORS = "cors"
    LIFECYCLE = "lifecycle"
    LOGGING = "logging"
    NOTIFICATION = "notification"
    REQUEST_PAYMENT = "request-payment"
    WEBSITE = "website"


class ChecksumType(StrEnum):
    """How the checksum of an object of several parts came to be.

    Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
    """

    FULL_OBJECT = "FULL_OBJECT"
    COMPOSITE = "COMPOSITE"


NO_DOCS: Mapping[Doc, str] = MappingProxyType({})


@value(frozen=True, slots=True)
class Ref:
    """The address of an object. `version` None is the current one, `null` the one made without versioning."""

    bucket: str
    key: str
    version: str | None = None


@value(frozen=True, slots=True)
class Checksum:
    """One additional checksum: `algorithm` is S3's name (`CRC32`, `CRC64NVME`, ...), `value` base64 (`...-N` if composite)."""

    algorithm: str
    value: str
    type: ChecksumType = ChecksumType.FULL_OBJECT


@dataclass(frozen=True, slots=True)
class Conditions:
    """The `If-*` headers. An ETag tuple holds ETags without quotes, or `*`; times are whole Unix seconds.

    `if_modified_time` and `if_size` are DeleteObject's `x-amz-if-match-last-modified-time` (s) and `x-amz-if-match-size` (bytes).
    """

    if_match: tuple[str, ...] = ()
    if_none_match: tuple[str, ...] = ()
    if_modified_since: int | None = None
    if_unmodified_since: int | None = None
    if_modified_time: int | None = None
    if_size: int | None = None


UNCONDITIONAL = Conditions()


@dataclass(frozen=True, slots=True)
class ByteRange:
    """A parsed `Range: bytes=`: `first`-`last` inclusive; `last` None = to the end; `first` None = the last `last` bytes.

    `only_if` is `If-Range`: unless the ETag or the very time of modification is this, the whole is meant.
    """

    first: int | None
    last: int | None
    only_if: Conditions = UNCONDITIONAL


@value(frozen=True, slots=True)
class Span:
    """The bytes an answer holds: `length` bytes from `offset` of an object. `partial` = the answer is 206."""

    offset: int
    length: int
    partial: bool = False


@value(frozen=True, slots=True)
class Read:
    """How to read: at most one of `range` and `part` (1-based) is given."""

    range: ByteRange | None = None
    part: int | None = None
    conditions: Conditions = UNCONDITIONAL


WHOLE = Read()
"""All bytes, unconditionally."""


@value(frozen=True, slots=True)
class Write:
    """What is kept beside the bytes of an object.

    `headers`: system metadata by lower-case header name (`content-type`, `cache-control`, ...);
    `user`: user metadata by lower-case name without `x-amz-meta-`; `docs`: small documents;
    `owner`: the canonical id of the object's owner, empty where that is the bucket's;
    `initiator`: of an upload, that of whoever began it.
    """

    headers: Mapping[str, str] = field(default_factory=dict)
    user: Mapping[str, str] = field(default_factory=dict)
    docs: Mapping[Doc, str] = field(default_factory=dict)
    storage_class: str = "STANDARD"
    owner: str = ""
    initiator: str = ""
    conditions: Conditions = UNCONDITIONAL
    checksum_algorithm: str | None = None
    """Multipart only: the algorithm announced by CreateMultipartUpload."""
    checksum_type: ChecksumType | None = None


PLAIN = Write()
"""Nothing but bytes."""


@dataclass(frozen=True, slots=True)
class Copy:
    """How to copy: `conditions` are those on the source; `write.conditions` those on the target.

    `replace_metadata` False keeps the source's headers and user metadata (the directive COPY); `write.docs` always
    replaces the documents (an ACL is never copied), except that `copy_tags` keeps the source's tags, and that what
    says how the bytes are encrypted stays with the bytes.
    """

    write: Write = PLAIN
    conditions: Conditions = UNCONDITIONAL
    replace_metadata: bool = False
    copy_tags: bool = False


@dataclass(frozen=True, slots=True)
class Delete:
    """How to delete. `bypass_governance`: the caller may remove what is retained in governance mode."""

    conditions: Conditions = UNCONDITIONAL
    bypass_governance: bool = False


@dataclass(frozen=True, slots=True)
class NewBucket:
    """A bucket to be made: its owner's canonical id (empty: the gateway's own) and its documents."""

    owner: str = ""
    docs: Mapping[Doc, str] = field(default_factory=dict)


@value(frozen=True, slots=True)
class PartInfo:
    """A part: of an upload in flight, or (etag and time empty) of a finished object, whose parts are numbered 1 to n."""

    number: int
    size: int
    etag: str = ""
    modified: int = 0
    checksum: str | None = None
    """Base64 digest by the upload's algorithm."""


@value(frozen=True, slots=True)
class ObjectInfo:
    """All that is known of an object but its bytes."""

    key: str
    size: int
    etag: str
    modified: int
    headers: Mapping[str, str] = field(default_factory=dict)
    user: Mapping[str, str] = field(default_factory=dict)
    docs: Mapping[Doc, str] = field(default_factory=dict)
    checksum: Checksum | None = None
    parts: tuple[PartInfo, ...] = ()
    """Sizes (and checksums) of the parts of a multipart object in order; empty for a plain one."""
    storage_class: str = "STANDARD"
    version: str | None = None
    """The version's id; None where versioning made none (S3 calls that version `null`)."""
    owner: str = ""
    """The canonical id of the owner, empty where that is the bucket's."""


class FileSpan(NamedTuple):
    """`length` bytes from `offset` of the open file `fd`. The fd stays valid until the next one is asked for."""

    fd: int
    offset: int
    length: int


class FileBody(Protocol):
    """Bytes that lie in files, so that they can be sent as files. Iterated once; closing frees all files."""

    def __iter__(self) -> Iterator[FileSpan]: ...
    def close(self) -> None:
        """Free all files; may be called twice."""


Body = bytes | FileBody | AsyncIterator[bytes]


def _nothing() -> None:
    return None


@value(frozen=True, slots=True)
class Content:
    """An open object: `span` says which bytes of it `body` holds. Use as `async with`, which frees it.

    Of an encrypted object (`Doc.SSE` in `info.docs`) the body is the stored bytes that `backends.frames.cover` names
    for the span.
    """

    info: ObjectInfo
    span: Span
    body: Body = b""
    close: Callable[[], None] = _nothing

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class SpoolFile(Protocol):
    """A finished temporary file: nameless where the file system can (O_TMPFILE), else at `path`."""

    fd: int
    path: str | None

    def close(self) -> None:
        """Close it, and remove its name if it still has one."""


@value(frozen=True, slots=True)
class Sealed:
    """A body that is wholly received and verified, in `data` or `file`.

    Size and digests are those of the object. `stored` is the number of bytes in `data` or `file`, None if it is `size`:
    an encrypted body has more.
    """

    size: int
    md5: str
    """Hexadecimal."""
    checksum: Checksum | None = None
    data: bytes | None = None
    file: SpoolFile | None = None
    stored: int | None = None

    @property
    def length(self) -> int:
        """The number of bytes in `data` or `file`."""
        return self.size if self.stored is None else self.stored


class Payload(Protocol):
    """The bytes of one write, verified no later than their end.

    A backend either seals it (all bytes, verified, in memory or in a file) or iterates over it. Iteration withholds
    the last chunk until everything is verified, so that an upstream never gets the last byte of a corrupt body.
    Both raise BadDigest, IncompleteBody, SignatureDoesNotMatch, ... as S3 does.
    """

    @property
    def length(self) -> int | None:
        """Bytes of the object, None if unknown before the end."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def seal(self, directory: str) -> Sealed:
        """Receive all. Files are made in `directory`, unless the configuration names another place.

        The sealed file belongs to the payload, whose owner closes it: link it, or copy it, before you return.
        """


@dataclass(frozen=True, slots=True)
class BucketInfo:
    """A bucket."""

    name: str
    created: int
    docs: Mapping[Doc, str] = field(default_factory=dict)
    owner: str = ""
    """The owner's canonical id; empty: the gateway's own."""


@dataclass(frozen=True, slots=True)
class BucketQuery:
    """ListBuckets: names beginning with `prefix` and greater than `after`, at most `limit`; `owner` None: anybody's."""

    prefix: str = ""
    after: str = ""
    limit: int = 10_000
    owner: str | None = None


@dataclass(frozen=True, slots=True)
class BucketPage:
    """`next` is the `after` of the following page, empty when there is none."""

    buckets: Sequence[BucketInfo]
    next: str = ""


class Entry(NamedTuple):
    """A key in a listing; a tuple because a page has a thousand of them."""

    key: str
    size: int
    etag: str
    modified: int
    storage_class: str
    checksum_algorithm: str | None
    checksum_type: str | None
    owner: str = ""


class VersionEntry(NamedTuple):
    """A version in a listing. `version` None is the one called `null`; `marker`: a delete marker, of no size."""

    key: str
    version: str | None
    latest: bool
    marker: bool
    size: int
    etag: str
    modified: int
    storage_class: str
    checksum_algorithm: str | None
    checksum_type: str | None
    owner: str = ""


@dataclass(frozen=True, slots=True)
class ListQuery:
    """Keys beginning with `prefix`, after `after`, in UTF-8 byte order, at most `limit` entries and prefixes together.

    With a delimiter, keys that hold it after the prefix appear once, as a common prefix that ends with it.
    If `after` is itself such a common prefix, everything under it is skipped; `after` inside a common prefix
    still shows that prefix if a later key is in it.
    """

    prefix: str = ""
    delimiter: str = ""
    after: str = ""
    limit: int = 1000


@dataclass(frozen=True, slots=True)
class Page:
    """A page; `entries` and `prefixes` each in order. `next` is the `after` of the following page, empty at the end."""

    entries: Sequence[Entry]
    prefixes: Sequence[str] = ()
    next: str = ""


@dataclass(frozen=True, slots=True)
class VersionQuery:
    """ListObjectVersions: by key, then newest first. `after_version` (an id, or `null`) counts only together with `after`.

    With `after` alone the page begins after all versions of that key; with `after_version` after that version of it, also
    if it was removed meanwhile (`null` removed: from the newest of the key on). Where `after` is a common prefix,
    `after_version` counts for nothing.
    """

    prefix: str = ""
    delimiter: str = ""
    after: str = ""
    after_version: str = ""
    limit: int = 1000


@dataclass(frozen=True, slots=True)
class VersionPage:
    """A page of versions. `next` and `next_version` are the markers of the following page, empty at the end.

    `next_version` is empty too where the page ends with a common prefix.
    """

    entries: Sequence[VersionEntry]
    prefixes: Sequence[str] = ()
    next: str = ""
    next_version: str = ""


@dataclass(frozen=True, slots=True)
class Doomed:
    """One object of a DeleteObjects request."""

    key: str
    version: str | None = None
    how: Delete = Delete()


@dataclass(frozen=True, slots=True)
class Deleted:
    """The outcome of one deletion; `error` None = it is gone (or never was).

    `version` is what was asked for. `marker`: the version of the delete marker that was made (a deletion without
    version where there is versioning) or that was removed; `null` for one without an id; None if there was none.
    """

    key: str
    version: str | None = None
    marker: str | None = None
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class UploadInfo:
    """A multipart upload in flight."""

    key: str
    upload: str
    initiated: int
    write: Write = field(default_factory=Write)


@dataclass(frozen=True, slots=True)
class UploadQuery:
    """ListMultipartUploads: ordered by key, then time of initiation; `after_upload` counts only together with `after`."""

    prefix: str = ""
    delimiter: str = ""
    after: str = ""
    after_upload: str = ""
    limit: int = 1000


@dataclass(frozen=True, slots=True)
class UploadPage:
    """A page of uploads. `next` and `next_upload` are the markers of the following page, empty at the end."""

    uploads: Sequence[UploadInfo]
    prefixes: Sequence[str] = ()
    next: str = ""
    next_upload: str = ""


@dataclass(frozen=True, slots=True)
class PartPage:
    """A page of parts; `next` is the part number marker of the following page, 0 at the end."""

    upload: UploadInfo
    parts: Sequence[PartInfo]
    next: int = 0


@dataclass(frozen=True, slots=True)
class ChosenPart:
    """A line of CompleteMultipartUpload; `checksum` is compared when given."""

    number: int
    etag: str
    checksum: Checksum | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """How to finish an upload: the conditions on the target, and what the client expects of the whole."""

    parts: Sequence[ChosenPart]
    conditions: Conditions = UNCONDITIONAL
    checksum: Checksum | None = None
    size: int | None = None
    checksum_type: ChecksumType | None = None


@runtime_checkable
class Backend(Protocol):
    """A store of buckets and objects.

    Every implementation MUST:

    - make a write visible wholly or not at all, and only after its payload was sealed: a failed or cancelled
      write changes nothing and leaves no litter;
    - answer a read from one version of the object, even if it is replaced or deleted meanwhile;
    - show a finished write, delete or bucket operation to every later call, of any process (read after write);
    - decide `Write.conditions` and delete conditions atomically with the change, for all processes that share the store;
    - take any key of 1 to 1,024 bytes of UTF-8 without NUL as opaque: `a`, `a/b`, `a//b`, `a/../b`, `/a` and `a/` all differ;
    - raise NoSuchBucket before NoSuchKey, and NoSuchKey before a failed read condition;
    - raise InvalidRange for a range that holds no byte of the object (the last n > 0 bytes of an empty one are the
      whole of it), InvalidPartNumber for a part that is not there;
    - list in UTF-8 byte order, at a cost that grows with what is returned, not with what the bucket holds.

    Versions, where `Doc.VERSIONING` of the bucket is set (https://docs.aws.amazon.com/AmazonS3/latest/userguide/Versioning.html).
    Every implementation that keeps them (see `Versioned`) MUST:

    - `Enabled`: give each write (put, copy, completed upload) a new, unguessable id of 32 letters and digits and keep what
      it replaces; `Suspended`: make the version `null`, and replace the one of that name wherever it stands;
    - let a deletion without a version make a delete marker (its id as for a write), also of a key that never was;
      let a deletion with one remove just that version or marker, after which the newest one left is current;
    - answer a key whose current version is a delete marker as missing everywhere, conditions of writes and listings
      included; the NoSuchKey of a read has the headers `x-amz-delete-marker: true` and `x-amz-version-id`;
    - answer a read of a delete marker by its id with MethodNotAllowed (headers `x-amz-delete-marker: true`, `allow: DELETE`,
      `last-modified`), a copy of one with InvalidRequest; a version that is not there with NoSuchVersion, an id that cannot
      be one with InvalidArgument;
    - decide conditions on the current version, or on the one named;
    - never remove or replace a locked version (`backends.locks`), whatever the operation: AccessDenied; and decide changes of
      `Doc.RETENTION` by `backends.locks.check_retention`, atomically;
    - refuse to rename (InvalidRequest) where versioning is or was enabled.
    """

    async def list_buckets(self, query: BucketQuery) -> BucketPage:
        """Buckets by name."""

    async def head_bucket(self, bucket: str) -> BucketInfo:
        """The bucket, or NoSuchBucket."""

    async def create_bucket(self, bucket: str, how: NewBucket = NewBucket()) -> None:
        """Make it, or BucketAlreadyOwnedByYou, BucketAlreadyExists (another owner's). The name was checked by the caller."""

    async def delete_bucket(self, bucket: str) -> None:
        """Remove it, or NoSuchBucket, BucketNotEmpty (versions and markers count; uploads in flight go with it)."""

    async def head_object(self, ref: Ref, how: Read = WHOLE) -> Content:
        """As `open_object`, with an empty body and nothing to close."""

    async def open_object(self, ref: Ref, how: Read = WHOLE) -> Content:
        """Open for reading; the caller closes. Raises NoSuchBucket, NoSuchKey, NotModified, PreconditionFailed, InvalidRange."""

    async def put_object(self, ref: Ref, payload: Payload, how: Write = PLAIN) -> ObjectInfo:
        """Store the payload under the key. Raises NoSuchBucket (before it reads), PreconditionFailed, the payload's errors.

        If-Match on a missing key is NoSuchKey.
        """

    async def copy_object(self, source: Ref, target: Ref, how: Copy = Copy()) -> ObjectInfo:
        """Copy within this backend, without sending bytes through the caller. The source may be the target."""

    async def rename_object(self, source: Ref, target: Ref, how: Copy = Copy()) -> None:
        """Move within a bucket, atomically. Raises NoSuchKey, PreconditionFailed."""

    async def delete_object(self, ref: Ref, how: Delete = Delete()) -> Deleted:
        """Remove; a missing key or version is no error, unless If-Match names one (NoSuchKey).

        Raises PreconditionFailed, AccessDenied (locked).
        """

    async def delete_objects(self, bucket: str, doomed: Sequence[Doomed]) -> list[Deleted]:
        """Remove each; an outcome for each, in order, its error inside it. Raises NoSuchBucket."""

    async def list_objects(self, bucket: str, query: ListQuery) -> Page:
        """A page of keys. Raises NoSuchBucket."""

    async def get_doc(self, ref: Ref, doc: Doc) -> str | None:
        """A document of an object, or (with an empty key) of a bucket; None if there is none."""

    async def put_doc(
        self,
        ref: Ref,
        doc: Doc,
        content: str | None,
        *,
        bypass_governance: bool = False,
        expected: str | None = None,
    ) -> None:
        """Replace a document, or remove it with None. ETag and modification time of the object stay.

        With `expected` only while it is that, decided atomically; PreconditionFailed otherwise.
        Raises AccessDenied for a retention that may not be changed so.
        """

    async def aclose(self) -> None:
        """Finish what is acknowledged, free everything."""


@runtime_checkable
class Multipart(Protocol):
    """A backend with multipart uploads. All methods raise NoSuchUpload for an id that is not of this key.

    It MUST keep a part only when sealed, let a later part of the same number replace the earlier one, allow uneven and
    empty last parts, and finish atomically: afterwards the upload is gone and unlisted parts are removed.
    """

    async def create_upload(self, ref: Ref, how: Write) -> UploadInfo:
        """Begin; ids are unguessable."""

    async def head_upload(self, ref: Ref, upload: str) -> UploadInfo:
        """The upload."""

    async def put_part(self, ref: Ref, upload: str, number: int, payload: Payload) -> PartInfo:
        """Store a part (1 to 10,000)."""

    async def list_parts(self, ref: Ref, upload: str, after: int = 0, limit: int = 1000) -> PartPage:
        """Parts by number."""

    async def complete_upload(self, ref: Ref, upload: str, how: Completion) -> ObjectInfo:
        """Put the parts together. Raises InvalidPart, InvalidPartOrder, EntityTooSmall, BadDigest, PreconditionFailed.

        The ETag is the MD5 of the parts' binary MD5s, `-`, and their number. The parts of the object are numbered
        1 to n, whatever numbers they were uploaded with. Completing again with the same parts,
        while the object is the outcome, answers the same.
        """

    async def abort_upload(self, ref: Ref, upload: str) -> None:
        """Drop it and its parts."""

    async def list_uploads(self, bucket: str, query: UploadQuery) -> UploadPage:
        """A page of uploads in flight. Raises NoSuchBucket."""


@runtime_checkable
class Versioned(Protocol):
    """A backend that keeps versions, as `Backend` says."""

    async def list_versions(self, bucket: str, query: VersionQuery) -> VersionPage:
        """A page of versions and delete markers. Raises NoSuchBucket."""
