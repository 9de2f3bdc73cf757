"""How parts become an object: pure rules, the same for every backend.

Sources: https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html,
https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
"""

import hashlib
import re
import secrets
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from backends.base import (
    MIN_PART_BYTES,
    Checksum,
    ChecksumType,
    ChosenPart,
    Completion,
    PartInfo,
    UploadInfo,
    Write,
)
from backends.checksums import ALGORITHMS, digest
from gateway.errors import (
    BadDigest,
    EntityTooSmall,
    InvalidArgument,
    InvalidPart,
    InvalidPartOrder,
    InvalidRequest,
    MalformedXML,
    S3Error,
)

DEFAULT_ALGORITHM = "CRC64NVME"
"""What S3 keeps of an object when the client announced no algorithm (since 2025)."""

_UPLOAD_ID = re.compile(r"[0-9a-f]{11}[A-Za-z0-9_-]{32}")


@dataclass(frozen=True, slots=True)
class Assembly:
    """The outcome of a completion: the object's size (bytes), ETag and checksum, and its parts in order."""

    size: int
    etag: str
    checksum: Checksum | None
    parts: tuple[PartInfo, ...]


def algorithm_of(write: Write) -> str:
    """The checksum algorithm of an upload's parts."""
    return write.checksum_algorithm or DEFAULT_ALGORITHM


def type_of(write: Write) -> ChecksumType:
    """How the upload's parts make one checksum: as announced, else what S3 takes for the algorithm."""
    if write.checksum_type is not None:
        return write.checksum_type
    return ALGORITHMS[algorithm_of(write)].types[0]


def new_upload_id(initiated: int) -> str:
    """An unguessable id that begins with its time (ms): ids of a key sort by it."""
    return f"{initiated:011x}{secrets.token_urlsafe(24)}"


def check_marker(upload: str) -> None:
    """Raise InvalidArgument for an `upload-id-marker` that no upload can have.

    One that is not there (any more) is no error: whoever aborts page by page asks for what follows it.
    """
    if upload and not _UPLOAD_ID.fullmatch(upload):
        raise InvalidArgument(
            "Invalid uploadId marker", ArgumentName="upload-id-marker", ArgumentValue=upload[:256]
        )


def multipart_etag(etags: Sequence[str]) -> str:
    """The MD5 of the parts' binary MD5s, `-`, and their number; empty if one of them is no MD5."""
    try:
        joined = b"".join(map(bytes.fromhex, etags))
    except ValueError:
        return ""
    return f"{hashlib.md5(joined).hexdigest()}-{len(etags)}"


def assemble(upload: UploadInfo, stored: Mapping[int, PartInfo], how: Completion) -> Assembly:
    """Choose and check the parts.

    Raises MalformedXML (no parts), InvalidPartOrder, InvalidPart, EntityTooSmall, BadDigest (the checksum of the whole),
    InvalidRequest (the size, or a checksum of another kind).
    """
    if not how.parts:
        raise MalformedXML()
    _check_order(how.parts)
    _check_kind(upload.write, how)
    algorithm = algorithm_of(upload.write)
    parts = tuple(_chosen(upload, stored, line, algorithm) for line in how.parts)
    _check_sizes(parts)
    size = sum(part.size for part in parts)
    if how.size is not None and how.size != size:
        raise InvalidRequest(
            f"The provided 'x-amz-mp-object-size' header value {how.size} does not match what was computed: {size}"
        )
    checksum = _whole(algorithm, type_of(upload.write), parts)
    _check_whole(how.checksum, checksum)
    return Assembly(size, multipart_etag([part.etag for part in parts]), checksum, parts)


def _check_order(lines: Sequence[ChosenPart]) -> None:
    numbers = [line.number for line in lines]
    if any(first >= second for first, second in pairwise(numbers)):
        raise InvalidPartOrder()


def _check_kind(write: Write, how: Completion) -> None:
    """A completion repeats the upload's checksum type, if any; a composite needs the checksum of each part."""
    kind = type_of(write)
    if how.checksum_type is not None and how.checksum_type is not kind:
        raise _other_mode(kind)
    if write.checksum_algorithm is None or kind is not ChecksumType.COMPOSITE:
        return
    for line in how.parts:
        if line.checksum is None:
            raise InvalidRequest(
                f"The upload was created using a {write.checksum_algorithm.lower()} checksum. The complete request "
                f"must include the checksum for each part. It was missing for part {line.number} in the request."
            )


def _other_mode(mode: str) -> S3Error:
    return InvalidRequest(
        f"The upload was created using the {mode} checksum mode. "
        "The complete request must use the same checksum mode."
    )


def _chosen(upload: UploadInfo, stored: Mapping[int, PartInfo], line: ChosenPart, algorithm: str) -> PartInfo:
    part = stored.get(line.number)
    announced = upload.write.checksum_algorithm is not None
    if part is not None and part.etag == line.etag and announced:
        _check_algorithm(line, algorithm)
    if part is None or part.etag != line.etag or not _same_checksum(line.checksum, part, algorithm):
        raise InvalidPart(UploadId=upload.upload, PartNumber=line.number, ETag=line.etag)
    return part


def _check_algorithm(line: ChosenPart, algorithm: str) -> None:
    sent = line.checksum
    if sent is not None and sent.algorithm != algorithm:
        raise BadDigest(
            f"The {sent.algorithm.lower()} you specified for part {line.number} did not match what we received."
        )


def _same_checksum(expected: Checksum | None, part: PartInfo, algorithm: str) -> bool:
    """Whether the client means this part. Of an upload without an announced algorithm only our own is kept: a
    checksum by another one was compared when the part came, and there is nothing left to compare it with.
    """
    return expected is None or expected.algorithm != algorithm or expected.value == part.checksum


def _check_sizes(parts: Sequence[PartInfo]) -> None:
    for part in parts[:-1]:
        if part.size < MIN_PART_BYTES:
            raise EntityTooSmall(
                ProposedSize=part.size,
                MinSizeAllowed=MIN_PART_BYTES,
                PartNumber=part.number,
                ETag=part.etag,
            )


def _whole(algorithm: str, kind: ChecksumType, parts: Sequence[PartInfo]) -> Checksum | None:
    """The checksum of all parts; None if a part has none (kept before checksums, or by another store)."""
    if any(part.checksum is None for part in parts):
        return None
    if kind is ChecksumType.COMPOSITE:
        return Checksum(algorithm, composite(algorithm, (part.checksum or "" for part in parts)), kind)
    return Checksum(algorithm, full_object(algorithm, parts), kind)


def composite(algorithm: str, values: Iterable[str]) -> str:
    """The checksum of the parts' binary checksums, `-`, and their number."""
    raw = [b64decode(value) for value in values]
    return f"{digest(algorithm, b''.join(raw))}-{len(raw)}"


def full_object(algorithm: str, parts: Sequence[PartInfo]) -> str:
    """The checksum of the whole, put together from those of its parts. Raises InvalidRequest for a hash."""
    row = ALGORITHMS[algorithm]
    if row.combine is None:
        raise InvalidRequest(
            f"The FULL_OBJECT checksum type cannot be used with the {algorithm.lower()} checksum algorithm."
        )
    total = 0
    for part in parts:
        value = int.from_bytes(b64decode(part.checksum or ""), "big")
        total = row.combine(total, value, part.size)
    return b64encode(total.to_bytes(row.size, "big")).decode()


def _check_whole(expected: Checksum | None, computed: Checksum | None) -> None:
    if expected is None or computed is None:
        return
    if expected.algorithm != computed.algorithm:
        raise _other_mode(computed.algorithm)
    # A client may leave out the number of parts behind a composite checksum.
    if expected.value not in (computed.value, computed.value.partition("-")[0]):
        raise BadDigest(
            f"The {computed.algorithm} you specified did not match the calculated checksum.",
            ExpectedDigest=expected.value,
            CalculatedDigest=computed.value,
        )
