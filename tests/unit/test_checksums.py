"""Checksum headers and digests."""

import hashlib
from base64 import b64encode

import botocore.session
import pytest

from backends.base import ChecksumType
from gateway.checksums import ALGORITHMS, Digests, ExpectedChecksum, content_md5, expected_checksum
from gateway.errors import S3Error

# The check values of the catalogue of parametrised CRC algorithms, of FIPS 180, and of xxhsum, for the bytes `123456789`.
CHECK = {
    "CRC32": "cbf43926",
    "CRC32C": "e3069283",
    "CRC64NVME": "ae8b14860a799888",
    "SHA1": hashlib.sha1(b"123456789").hexdigest(),
    "SHA256": hashlib.sha256(b"123456789").hexdigest(),
    "SHA512": hashlib.sha512(b"123456789").hexdigest(),
    "MD5": hashlib.md5(b"123456789").hexdigest(),
    "XXHASH64": "8cb841db40e6ae83",
    "XXHASH3": "72dcb18b67a17dff",
    "XXHASH128": "33119477ede5dcd5e9716427681d5860",
}


@pytest.mark.parametrize("name", ALGORITHMS)
def test_digests_are_the_published_ones(name):
    hasher = ALGORITHMS[name].hasher()
    for piece in (b"1234", bytearray(b"56"), memoryview(b"789")):
        hasher.update(piece)
    assert hasher.digest().hex() == CHECK[name]
    assert len(hasher.digest()) == ALGORITHMS[name].size


def test_the_table_is_that_of_botocore():
    model = botocore.session.get_session().get_service_model("s3")
    assert sorted(ALGORITHMS) == sorted(model.shape_for("ChecksumAlgorithm").enum)
    members = model.shape_for("PutObjectRequest").members
    for row in ALGORITHMS.values():
        assert members[row.element].serialization["name"] == row.header


def test_only_what_can_be_put_together_may_be_of_the_full_object():
    for row in ALGORITHMS.values():
        assert (ChecksumType.FULL_OBJECT in row.types) == (row.combine is not None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("XXHASH64", "ef46db3751d8e999"),
        ("XXHASH3", "2d06800538d394c2"),
        ("XXHASH128", "99aa06d3014798d86001c324468d497f"),
    ],
)
def test_xxhash_of_nothing_is_that_of_its_specification(name, value):
    assert ALGORITHMS[name].hasher().digest().hex() == value


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_digest_may_be_asked_for_in_between(name):
    hasher = ALGORITHMS[name].hasher()
    hasher.update(b"12345")
    hasher.digest()
    hasher.update(b"6789")
    assert hasher.digest().hex() == CHECK[name]


def test_md5_is_computed_once():
    digests = Digests(sha256=False, algorithm="MD5")
    digests.update(b"123456789")
    assert digests.checksum == b64encode(digests.md5).decode()


def test_digests_in_one_pass():
    digests = Digests(sha256=True, algorithm="SHA256")
    digests.update(b"1234")
    digests.update(b"56789")
    assert digests.size == 9
    assert digests.md5 == hashlib.md5(b"123456789").digest()
    assert digests.sha256 == CHECK["SHA256"]
    assert digests.checksum == b64encode(bytes.fromhex(CHECK["SHA256"])).decode()


def test_nothing_said_is_the_default():
    assert expected_checksum({"host": "x"}) == ExpectedChecksum("CRC64NVME")
    assert expected_checksum({}, default=None) is None
    silent = {
        "x-amz-checksum-mode": "ENABLED",
        "x-amz-checksum-type": "FULL_OBJECT",
        "x-amz-checksum-algorithm": "CRC32",
    }
    assert expected_checksum(silent, default=None) is None


@pytest.mark.parametrize("name", ALGORITHMS)
def test_header_and_trailer(name):
    algorithm = ALGORITHMS[name]
    value = b64encode(bytes(algorithm.size)).decode()
    sent = {algorithm.header: value, "x-amz-sdk-checksum-algorithm": name}
    assert expected_checksum(sent) == ExpectedChecksum(name, value)
    announced = {"x-amz-trailer": algorithm.header.title(), "x-amz-sdk-checksum-algorithm": name.lower()}
    assert expected_checksum(announced) == ExpectedChecksum(name, trailer=True)


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        (
            {"x-amz-checksum-crc32": "AAAAAA==", "x-amz-checksum-sha1": "x"},
            "Expecting a single x-amz-checksum- header",
        ),
        ({"x-amz-checksum-crc32": "AAAAAA==", "x-amz-trailer": "x-amz-checksum-crc32"}, "Expecting a single"),
        ({"x-amz-checksum-crc32": "AAAAAA=="[:-1]}, "Value for x-amz-checksum-crc32 header is invalid."),
        ({"x-amz-checksum-crc32": "AAAAAB=="}, "Value for x-amz-checksum-crc32 header is invalid."),
        ({"x-amz-checksum-crc32": "AAAA AA=="}, "Value for x-amz-checksum-crc32 header is invalid."),
        ({"x-amz-checksum-crc32": "AAAAAA==\n"}, "Value for x-amz-checksum-crc32 header is invalid."),
        ({"x-amz-checksum-crc32": "ÄAAAAA=="}, "Value for x-amz-checksum-crc32 header is invalid."),
        ({"x-amz-checksum-crc32": ""}, "Value for x-amz-checksum-crc32 header is invalid."),
        ({"x-amz-checksum-sha256": "AAAAAA=="}, "Value for x-amz-checksum-sha256 header is invalid."),
        ({"x-amz-checksum-crc16": "AAA="}, "Checksum algorithm provided is unsupported."),
        (
            {"x-amz-trailer": "x-amz-meta-a"},
            "The value specified in the x-amz-trailer header is not supported",
        ),
        (
            {"x-amz-sdk-checksum-algorithm": "CRC32"},
            "x-amz-sdk-checksum-algorithm specified, but no corresponding",
        ),
        (
            {"x-amz-checksum-crc32": "AAAAAA==", "x-amz-sdk-checksum-algorithm": "SHA1"},
            "Value for x-amz-sdk-checksum-algorithm header is invalid.",
        ),
        (
            {"x-amz-checksum-crc32": "AAAAAA==", "x-amz-sdk-checksum-algorithm": "CRC16"},
            "Checksum algorithm provided is unsupported.",
        ),
    ],
)
def test_refused(headers, message):
    with pytest.raises(S3Error) as caught:
        expected_checksum(headers)
    assert caught.value.code == "InvalidRequest"
    assert caught.value.message.startswith(message)


def test_content_md5():
    digest = hashlib.md5(b"x").digest()
    assert content_md5({}) is None
    assert content_md5({"content-md5": b64encode(digest).decode()}) == digest


@pytest.mark.parametrize(
    "value", ["", "x", "AAAA", hashlib.md5(b"x").hexdigest(), "é" * 24, "A" * 22 + "==\r\n"]
)
def test_content_md5_is_strict(value):
    with pytest.raises(S3Error) as caught:
        content_md5({"content-md5": value})
    assert caught.value.code == "InvalidDigest"
