"""Checksums through boto3: in headers and trailers, composite and of the full object, verified before anything is kept."""

import base64
import hashlib
import io
from typing import Any

import pytest
from harness import MIB, noise, refusal

ALGORITHMS = [
    *("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256", "SHA512", "MD5"),
    *("XXHASH64", "XXHASH3", "XXHASH128"),
]
COMPUTED = [name for name in ALGORITHMS if name != "MD5"]
"""Those that boto3 can compute itself."""
KNOWN = {  # of b"123456789", from the catalogue of parametrised CRC algorithms and FIPS 180
    "CRC32": (0xCBF43926).to_bytes(4, "big"),
    "CRC32C": (0xE3069283).to_bytes(4, "big"),
    "CRC64NVME": (0xAE8B14860A799888).to_bytes(8, "big"),
    "SHA1": hashlib.sha1(b"123456789").digest(),
    "SHA256": hashlib.sha256(b"123456789").digest(),
    "SHA512": hashlib.sha512(b"123456789").digest(),
    "MD5": hashlib.md5(b"123456789").digest(),
    "XXHASH64": bytes.fromhex("8cb841db40e6ae83"),
    "XXHASH3": bytes.fromhex("72dcb18b67a17dff"),
    "XXHASH128": bytes.fromhex("33119477ede5dcd5e9716427681d5860"),
}
PART = noise(5 * MIB)
LAST = noise(1000, 2)


def text(digest: bytes) -> str:
    """As in a header."""
    return base64.b64encode(digest).decode()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_known_answers_in_the_header(s3: Any, bucket: str, algorithm: str) -> None:
    name = f"Checksum{algorithm}"
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"123456789", **{name: text(KNOWN[algorithm])})
    assert put[name] == text(KNOWN[algorithm])
    head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert head[name] == text(KNOWN[algorithm])
    assert head["ChecksumType"] == "FULL_OBJECT"
    got = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    with got["Body"] as stream:  # boto3 compares what it reads with the checksum
        assert stream.read() == b"123456789"
    assert got[name] == text(KNOWN[algorithm])
    assert name not in s3.head_object(Bucket=bucket, Key="k")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_wrong_one_stores_nothing(s3: Any, bucket: str, algorithm: str) -> None:
    wrong = {f"Checksum{algorithm}": text(bytes(len(KNOWN[algorithm])))}
    for size in (10, 2 * MIB):
        answer = refusal(s3.put_object, Bucket=bucket, Key="k", Body=noise(size), **wrong)
        assert answer == (400, "BadDigest")
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)
    malformed = {f"Checksum{algorithm}": "AAAA"}
    assert refusal(s3.put_object, Bucket=bucket, Key="k", Body=b"x", **malformed) == (400, "InvalidRequest")


@pytest.mark.parametrize("size", [0, 100, 70_000, 2 * MIB + 1])
@pytest.mark.parametrize("algorithm", COMPUTED)
def test_in_the_trailer(s3: Any, bucket: str, algorithm: str, size: int) -> None:
    """A stream makes boto3 send aws-chunked with the checksum behind the body; the framing must leave no trace."""
    data = noise(size)
    put = s3.put_object(
        Bucket=bucket, Key="k", Body=io.BytesIO(data), ChecksumAlgorithm=algorithm, ContentEncoding="gzip"
    )
    got = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    with got["Body"] as stream:
        assert stream.read() == data
    assert got[f"Checksum{algorithm}"] == put[f"Checksum{algorithm}"]
    assert got["ContentEncoding"] == "gzip"


def test_the_default_is_crc64nvme_or_what_the_client_sends(s3: Any, gateway: Any, bucket: str) -> None:
    quiet = gateway.s3("quiet", request_checksum_calculation="when_required")
    quiet.put_object(Bucket=bucket, Key="k", Body=b"123456789")
    head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert head.get("ChecksumCRC64NVME", text(KNOWN["CRC64NVME"])) == text(KNOWN["CRC64NVME"])


def parts_of(s3: Any, bucket: str, algorithm: str, **options: Any) -> tuple[str, list[dict[str, Any]]]:
    """An upload with two parts."""
    made = s3.create_multipart_upload(Bucket=bucket, Key="k", ChecksumAlgorithm=algorithm, **options)
    assert made["ChecksumAlgorithm"] == algorithm
    upload, lines = made["UploadId"], []
    for number, data in enumerate((PART, LAST), 1):
        part = s3.upload_part(
            Bucket=bucket, Key="k", UploadId=upload, PartNumber=number, Body=data, ChecksumAlgorithm=algorithm
        )
        name = f"Checksum{algorithm}"
        lines.append({"PartNumber": number, "ETag": part["ETag"], name: part[name]})
    return upload, lines


@pytest.mark.parametrize("algorithm", [name for name in COMPUTED if name != "CRC64NVME"])
def test_composite(s3: Any, bucket: str, algorithm: str) -> None:
    """The checksum of the parts' binary checksums, with `-N`; only the algorithms that have it."""
    name = f"Checksum{algorithm}"
    upload, parts = parts_of(s3, bucket, algorithm)
    done = s3.complete_multipart_upload(
        Bucket=bucket, Key="k", UploadId=upload, MultipartUpload={"Parts": parts}
    )
    binary = b"".join(base64.b64decode(part[name]) for part in parts)
    if algorithm in ("SHA1", "SHA256", "SHA512"):
        assert done[name] == text(hashlib.new(algorithm.lower(), binary).digest()) + "-2"
    assert done["ChecksumType"] == "COMPOSITE"
    head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert (head[name], head["ChecksumType"]) == (done[name], "COMPOSITE")
    assert done[name].endswith("-2")
    attributes = s3.get_object_attributes(
        Bucket=bucket, Key="k", ObjectAttributes=["ObjectParts", "Checksum"], MaxParts=1
    )
    assert attributes["ObjectParts"]["TotalPartsCount"] == 2
    assert attributes["ObjectParts"]["IsTruncated"]
    (first,) = attributes["ObjectParts"]["Parts"]
    assert (first["PartNumber"], first["Size"], first[name]) == (1, len(PART), parts[0][name])
    rest = s3.get_object_attributes(
        Bucket=bucket,
        Key="k",
        ObjectAttributes=["ObjectParts"],
        PartNumberMarker=attributes["ObjectParts"]["NextPartNumberMarker"],
    )
    assert [part["Size"] for part in rest["ObjectParts"]["Parts"]] == [len(LAST)]


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME"])
def test_full_object(s3: Any, bucket: str, algorithm: str) -> None:
    """The same value as of one plain object of the same bytes."""
    name = f"Checksum{algorithm}"
    plain = s3.put_object(Bucket=bucket, Key="plain", Body=PART + LAST, ChecksumAlgorithm=algorithm)[name]
    upload, parts = parts_of(s3, bucket, algorithm, ChecksumType="FULL_OBJECT")
    finish = {"Bucket": bucket, "Key": "k", "UploadId": upload, "MultipartUpload": {"Parts": parts}}
    wrong = {name: text(bytes(len(KNOWN[algorithm])))}
    assert refusal(s3.complete_multipart_upload, **finish, ChecksumType="FULL_OBJECT", **wrong) == (
        400,
        "BadDigest",
    )
    done = s3.complete_multipart_upload(**finish, ChecksumType="FULL_OBJECT", **{name: plain})
    assert (done[name], done["ChecksumType"]) == (plain, "FULL_OBJECT")
    got = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    with got["Body"] as stream:
        assert stream.read() == PART + LAST
    assert got[name] == plain


def test_a_part_with_a_wrong_checksum(s3: Any, bucket: str) -> None:
    upload, parts = parts_of(s3, bucket, "SHA256")
    wrong = {"ChecksumSHA256": text(bytes(32))}
    bad = {"Bucket": bucket, "Key": "k", "UploadId": upload, "PartNumber": 2, "Body": b"other"}
    assert refusal(s3.upload_part, **bad, **wrong) == (400, "BadDigest")
    listed = s3.list_parts(Bucket=bucket, Key="k", UploadId=upload)["Parts"]
    assert listed[1]["ChecksumSHA256"] == parts[1]["ChecksumSHA256"]
    lies = [parts[0], parts[1] | wrong]
    finish = {"Bucket": bucket, "Key": "k", "UploadId": upload}
    status, code = refusal(s3.complete_multipart_upload, **finish, MultipartUpload={"Parts": lies})
    assert (status, code) in {(400, "InvalidPart"), (400, "BadDigest")}
    assert s3.complete_multipart_upload(**finish, MultipartUpload={"Parts": parts})


def test_impossible_combinations(s3: Any, bucket: str) -> None:
    begin = {"Bucket": bucket, "Key": "k"}
    for algorithm, kind in (
        ("SHA256", "FULL_OBJECT"),
        ("XXHASH3", "FULL_OBJECT"),
        ("CRC64NVME", "COMPOSITE"),
    ):
        answer = refusal(s3.create_multipart_upload, **begin, ChecksumAlgorithm=algorithm, ChecksumType=kind)
        assert answer == (400, "InvalidRequest")


def test_what_contradicts_the_announced_checksum(s3: Any, gateway: Any, bucket: str) -> None:
    upload, parts = parts_of(s3, bucket, "SHA256")
    where = {"Bucket": bucket, "Key": "k", "UploadId": upload}
    quiet = gateway.s3("quiet", request_checksum_calculation="when_required")
    assert refusal(quiet.upload_part, **where, PartNumber=3, Body=b"x") == (400, "InvalidRequest")
    finish = where | {"MultipartUpload": {"Parts": parts}}
    sums = {"ChecksumSHA256": text(bytes(32)), "ChecksumCRC32": text(bytes(4))}
    bare = [{name: part[name] for name in ("PartNumber", "ETag")} for part in parts]
    for wrong, code in (
        ({"ChecksumType": "FULL_OBJECT"}, "InvalidRequest"),
        ({"ChecksumType": "NONSENSE"}, "InvalidRequest"),
        (sums, "InvalidRequest"),
        ({"ChecksumSHA256": text(bytes(32)) + "-2a"}, "InvalidRequest"),
        ({"MpuObjectSize": -1}, "InvalidRequest"),
        ({"MultipartUpload": {"Parts": bare}}, "InvalidRequest"),
        ({"MultipartUpload": {"Parts": [parts[0] | {"ChecksumSHA256": "AAAA"}]}}, "InvalidArgument"),
        ({"MultipartUpload": {"Parts": [parts[0] | {"ChecksumCRC32": text(bytes(4))}]}}, "InvalidArgument"),
        ({"MultipartUpload": {"Parts": [parts[0] | {"PartNumber": -4}]}}, "InvalidArgument"),
    ):
        assert refusal(s3.complete_multipart_upload, **(finish | wrong)) == (400, code), wrong
    assert s3.complete_multipart_upload(**finish, ChecksumType="COMPOSITE", MpuObjectSize=len(PART + LAST))


def test_a_type_that_is_none(s3: Any, bucket: str) -> None:
    answer = refusal(s3.create_multipart_upload, Bucket=bucket, Key="k", ChecksumType="NONSENSE")
    assert answer == (400, "InvalidRequest")


def test_part_1_of_a_plain_object_has_its_checksum(s3: Any, bucket: str) -> None:
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"", ChecksumAlgorithm="SHA256")
    head = s3.head_object(Bucket=bucket, Key="k", PartNumber=1, ChecksumMode="ENABLED")
    assert head["ChecksumSHA256"] == put["ChecksumSHA256"]
