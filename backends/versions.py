"""Version ids, and how a key answers for its delete markers. Pure; the same for every backend that keeps versions.

The versions of a key are ordered by a number, `seq`, that grows with each of them (nanoseconds since 1970, or one more
than the last). An id is 32 letters and digits: `seq` in eleven of them, then 125 random bits. So an id says where its
version stands, even when that version is gone: a listing goes on exactly where the page before it ended, and whoever
deletes page by page misses nothing. Nobody can guess an id, since the time tells only a third of it.

Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/versioning-workflows.html
"""

import re
import secrets
import time
from collections.abc import Mapping
from email.utils import formatdate

from backends.base import Doc
from gateway.errors import (
    BucketNotEmpty,
    InvalidArgument,
    InvalidRequest,
    MethodNotAllowed,
    NoSuchKey,
    NoSuchVersion,
    S3Error,
)

ENABLED, SUSPENDED = "Enabled", "Suspended"
"""The values of `Doc.VERSIONING`."""
NULL = "null"
"""What S3 calls the version that was made without an id."""

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_VALUES = {digit: value for value, digit in enumerate(_DIGITS)}
_BASE = len(_DIGITS)
_SEQ_DIGITS, _RANDOM_DIGITS, _RANDOM_BITS = 11, 21, 125
_ID = re.compile(f"[0-9A-Za-z]{{{_SEQ_DIGITS + _RANDOM_DIGITS}}}")
_PLAUSIBLE = re.compile(r"[0-9A-Za-z+/._-]{20,128}")
"""An id of ours, or of another store: whoever moved here may still ask for these."""
MAX_SEQ = 2**63 - 1


def next_seq(last: int) -> int:
    """The place of a version made now, after `last` (0 if there is none): later than it, whatever the clock says."""
    return max(time.time_ns(), last + 1)


def new_version_id(seq: int) -> str:
    """An unguessable id of the version at `seq`."""
    number = seq * _BASE**_RANDOM_DIGITS + secrets.randbits(_RANDOM_BITS)
    digits = []
    for _ in range(_SEQ_DIGITS + _RANDOM_DIGITS):
        number, digit = divmod(number, _BASE)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))


def check_version_id(version: str, argument: str = "versionId") -> None:
    """Raise InvalidArgument for what cannot be a version's id anywhere: neither `null` nor 20 to 128 letters and digits."""
    if version != NULL and not _PLAUSIBLE.fullmatch(version):
        raise InvalidArgument(
            "Invalid version id specified", ArgumentName=argument, ArgumentValue=version[:256]
        )


def seq_of(version: str) -> int:
    """Where the version with this id stands, or stood; 0, where none does, for the id of another store."""
    if not _ID.fullmatch(version):
        return 0
    seq = 0
    for digit in version[:_SEQ_DIGITS]:
        seq = seq * _BASE + _VALUES[digit]
    return min(seq, MAX_SEQ)  # a client can make up any


def name_of(version: str | None) -> str:
    """What S3 calls a version."""
    return NULL if version is None else version


def told_version(version: str | None, bucket: Mapping[Doc, str]) -> str | None:
    """What S3 calls a version in a bucket with these documents; None where there never was versioning."""
    return NULL if version is None and Doc.VERSIONING in bucket else version


def current_is_marker(key: str, version: str | None) -> S3Error:
    """The answer for a key whose current version is a delete marker."""
    error = NoSuchKey(Key=key)
    error.headers["x-amz-delete-marker"] = "true"
    error.headers["x-amz-version-id"] = name_of(version)
    return error


def named_is_marker(modified: int) -> S3Error:
    """The answer for a delete marker that is asked for by its id; `modified` (ms) is when it was made."""
    error = MethodNotAllowed(ResourceType="DeleteMarker")
    error.headers["x-amz-delete-marker"] = "true"
    error.headers["allow"] = "DELETE"
    error.headers["last-modified"] = formatdate(modified // 1000, usegmt=True)
    return error


def source_is_marker() -> S3Error:
    """The answer for a copy of a delete marker. Source: API_CopyObject.html, parameter `x-amz-copy-source`."""
    return InvalidRequest(
        "The source of a copy request may not specifically refer to a delete marker by version id."
    )


def no_such_version(key: str, version: str) -> S3Error:
    """The answer for an id that the key has no version of."""
    return NoSuchVersion(Key=key, VersionId=version)


def no_rename() -> S3Error:
    """The answer for a rename in a bucket that keeps versions, or has kept them."""
    return InvalidRequest("RenameObject is not supported in a bucket with versioning.")


def not_empty(bucket: str, docs: Mapping[Doc, str]) -> S3Error:
    """What a deletion of a bucket with these documents is told: in one with versions, they may be all that is left."""
    message = "The bucket you tried to delete is not empty. You must delete all versions in the bucket."
    return BucketNotEmpty(message if Doc.VERSIONING in docs else None, BucketName=bucket)
