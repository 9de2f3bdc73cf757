"""How parts become an object, as a pure function."""

import hashlib
import zlib
from base64 import b64decode, b64encode

import pytest
from refusals import refused

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
from backends.checksums import ALGORITHMS, digest, digest_of
from backends.multipart import assemble, check_marker, full_object, multipart_etag, new_upload_id, type_of
from gateway.errors import S3Error

BODIES = [bytes([n]) * (MIN_PART_BYTES if n < 2 else 100) for n in range(3)]


def part(number, body, algorithm):
    return PartInfo(number, len(body), hashlib.md5(body).hexdigest(), 1, digest(algorithm, body))


def line_of(part, algorithm=None):
    return ChosenPart(part.number, part.etag, algorithm and Checksum(algorithm, part.checksum))


def assembled(algorithm=None, kind=None, **options):
    upload = UploadInfo("k", "u", 0, Write(checksum_algorithm=algorithm, checksum_type=kind))
    stored = {n: part(n, body, algorithm or "CRC64NVME") for n, body in enumerate(BODIES, 1)}
    lines = options.pop("lines", [line_of(p, algorithm) for p in stored.values()])
    return assemble(upload, stored, Completion(lines, **options))


def test_size_etag_and_parts():
    made = assembled()
    digests = b"".join(hashlib.md5(body).digest() for body in BODIES)
    assert made.size == sum(map(len, BODIES))
    assert made.etag == hashlib.md5(digests).hexdigest() + "-3"
    assert [p.number for p in made.parts] == [1, 2, 3]


def test_without_an_algorithm_it_is_crc64nvme_of_the_whole():
    assert assembled().checksum == Checksum("CRC64NVME", digest_of("CRC64NVME", BODIES))


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME"])
def test_a_full_object_crc_is_that_of_the_joined_bytes(algorithm):
    kind = ChecksumType.FULL_OBJECT
    assert assembled(algorithm, kind).checksum == Checksum(
        algorithm, digest(algorithm, b"".join(BODIES)), kind
    )


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS.keys() - {"CRC64NVME"}))
def test_a_composite_is_the_checksum_of_the_parts_checksums(algorithm):
    raw = b"".join(b64decode(digest(algorithm, body)) for body in BODIES)
    made = assembled(algorithm)
    assert made.checksum == Checksum(algorithm, digest(algorithm, raw) + "-3", ChecksumType.COMPOSITE)


def test_crc32_agrees_with_zlib():
    value = b64encode(zlib.crc32(b"".join(BODIES)).to_bytes(4, "big")).decode()
    assert full_object("CRC32", [part(n, body, "CRC32") for n, body in enumerate(BODIES, 1)]) == value


@pytest.mark.parametrize("algorithm", ["MD5", "SHA1", "SHA256", "SHA512", "XXHASH64"])
def test_a_hash_of_the_whole_cannot_be_put_together(algorithm):
    with refused("InvalidRequest"):
        assembled(algorithm, ChecksumType.FULL_OBJECT)


@pytest.mark.parametrize(
    ("write", "kind"),
    [
        (Write(), ChecksumType.FULL_OBJECT),
        (Write(checksum_algorithm="CRC64NVME"), ChecksumType.FULL_OBJECT),
        (Write(checksum_algorithm="CRC32"), ChecksumType.COMPOSITE),
        (Write(checksum_algorithm="CRC32", checksum_type=ChecksumType.FULL_OBJECT), ChecksumType.FULL_OBJECT),
    ],
)
def test_the_kind_that_an_upload_gets(write, kind):
    assert type_of(write) is kind


def test_a_composite_may_be_expected_without_its_count():
    whole = assembled("SHA256").checksum
    for value in (whole.value, whole.value[:-2]):
        assembled("SHA256", checksum=Checksum("SHA256", value, ChecksumType.COMPOSITE))
    with refused("BadDigest"):
        assembled("SHA256", checksum=Checksum("SHA256", "AAAA", ChecksumType.COMPOSITE))
    with refused("InvalidRequest"):
        assembled("SHA256", checksum=Checksum("CRC32", whole.value))


def test_a_composite_needs_the_checksum_of_each_part():
    first, second, third = (part(n, body, "SHA1") for n, body in enumerate(BODIES, 1))
    lines = [line_of(first, "SHA1"), line_of(second), line_of(third, "SHA1")]
    with pytest.raises(S3Error, match=r"using a sha1 checksum.* It was missing for part 2 in the request"):
        assembled("SHA1", lines=lines)
    plain = [ChosenPart(p.number, p.etag) for p in (first, second, third)]
    assert assembled("CRC32", ChecksumType.FULL_OBJECT, lines=plain).checksum.algorithm == "CRC32"


@pytest.mark.parametrize(
    ("algorithm", "kind"),
    [
        (None, ChecksumType.COMPOSITE),
        ("CRC32", ChecksumType.FULL_OBJECT),
        ("SHA256", ChecksumType.FULL_OBJECT),
    ],
)
def test_a_completion_repeats_the_type(algorithm, kind):
    with pytest.raises(S3Error, match="must use the same checksum mode"):
        assembled(algorithm, checksum_type=kind)
    other = next(other for other in ChecksumType if other is not kind)
    assert assembled(algorithm, checksum_type=other).checksum.type is other


def test_a_marker_is_an_id_of_an_upload_that_may_be_gone():
    for good in ("", new_upload_id(0), new_upload_id(1_800_000_000_000)):
        check_marker(good)
    for bad in ("x", new_upload_id(0)[1:], new_upload_id(0) + "A", "é" * 43):
        with refused("InvalidArgument", ArgumentName="upload-id-marker"):
            check_marker(bad)


def test_the_expected_size_is_compared():
    assembled(size=sum(map(len, BODIES)))
    with refused("InvalidRequest"):
        assembled(size=1)


def test_wrong_lines():
    etags = [hashlib.md5(body).hexdigest() for body in BODIES]
    with refused("MalformedXML"):
        assembled(lines=[])
    with refused("InvalidPartOrder"):
        assembled(lines=[ChosenPart(2, etags[1]), ChosenPart(1, etags[0])])
    with refused("InvalidPartOrder"):
        assembled(lines=[ChosenPart(1, etags[0]), ChosenPart(1, etags[0])])
    with refused("InvalidPart", UploadId="u", PartNumber=4, ETag="x"):
        assembled(lines=[ChosenPart(4, "x")])
    with refused("InvalidPart", PartNumber=1):
        assembled(lines=[ChosenPart(1, etags[1])])
    with refused("InvalidPart", PartNumber=1):
        assembled(lines=[ChosenPart(1, etags[0], Checksum("CRC64NVME", "AAAA"))])


def test_a_checksum_by_another_algorithm_counts_only_if_one_was_announced():
    line = ChosenPart(3, hashlib.md5(BODIES[2]).hexdigest(), Checksum("SHA1", digest("CRC32", BODIES[2])))
    with refused("BadDigest"):
        assembled("CRC32", lines=[line])
    assert assembled(lines=[line]).size == 100


def test_a_part_before_the_last_must_be_large_enough():
    bodies = {1: bytes(MIN_PART_BYTES - 1), 2: b"x"}
    stored = {n: part(n, body, "CRC64NVME") for n, body in bodies.items()}
    lines = [ChosenPart(p.number, p.etag) for p in stored.values()]
    with refused("EntityTooSmall", ProposedSize=MIN_PART_BYTES - 1, PartNumber=1, ETag=stored[1].etag):
        assemble(UploadInfo("k", "u", 0), stored, Completion(lines))
    assert assemble(UploadInfo("k", "u", 0), stored, Completion(lines[1:])).size == 1


def test_parts_without_checksums_make_an_object_without_one():
    stored = {1: PartInfo(1, 1, hashlib.md5(b"x").hexdigest())}
    made = assemble(UploadInfo("k", "u", 0), stored, Completion([ChosenPart(1, stored[1].etag)]))
    assert made.checksum is None


def test_an_etag_that_is_no_md5_matches_nothing():
    assert multipart_etag(["not hexadecimal"]) == ""


def test_an_unknown_algorithm_is_refused():
    with refused("InvalidRequest"):
        digest("MD4", b"")
