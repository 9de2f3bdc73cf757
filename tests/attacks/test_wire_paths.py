"""Keys, buckets and copy sources that try to leave their place."""

import urllib.parse
from pathlib import Path
from typing import Any

import pytest
from harness import Gateway
from wire import Signer, send

CLIMBS = [
    "/{b}/../{o}/key",
    "/{b}/%2e%2e/{o}/key",
    "/{b}/..%2f{o}/key",
    "/{b}/%2e%2e%2f{o}%2fkey",
    "/{b}/..%5c{o}%5ckey",
    "/{b}/..\\{o}\\key",
    "/{b}/x/../../{o}/key",
    "/{b}//../{o}/key",
    "/{b}/./../{o}/key",
    "/{b}/.../key",
    "/{b}/%252e%252e/{o}/key",
    "/{b}/../../../../../../../../etc/passwd",
    "/{b}/%2e%2e%2f%2e%2e%2f%2e%2e%2fcredentials.jsonl",
    "/{b}//etc/passwd",
    "/{b}/C:\\Windows",
    "/{b}/..;/{o}/key",
]


@pytest.mark.parametrize("climb", CLIMBS)
def test_cve_2026_54917_and_ghsa_8v25_a_key_is_opaque(
    gateway: Gateway, s3: Any, bucket: str, name: str, signer: Signer, climb: str
) -> None:
    """SeaweedFS, rclone (GHSA-8v25-v8p6-qf7v), CVE-2026-42882, CVE-2023-28433: dots and slashes lead nowhere."""
    other = f"{name}-o"
    s3.create_bucket(Bucket=other)
    s3.put_object(Bucket=other, Key="key", Body=b"of the other bucket")
    target = climb.format(b=bucket, o=other)
    read = send(gateway.port, "GET", target, signer=signer)
    assert read.refused()
    assert b"of the other" not in read.body
    assert b"root:" not in read.body
    written = send(gateway.port, "PUT", target, signer=signer, body=b"evil")
    assert written.status in {200, 400}
    with s3.get_object(Bucket=other, Key="key")["Body"] as stream:
        assert stream.read() == b"of the other bucket"
    assert s3.list_objects_v2(Bucket=other)["KeyCount"] == 1
    if written.status == 200:
        (entry,) = s3.list_objects_v2(Bucket=bucket)["Contents"]
        assert entry["Key"] == urllib.parse.unquote(target.removeprefix(f"/{bucket}/")), (
            "decoded once, and kept"
        )
        assert send(gateway.port, "GET", target, signer=signer).body == b"evil"
        assert send(gateway.port, "DELETE", target, signer=signer).status == 204
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


def test_nothing_lies_outside_the_store(gateway: Gateway, s3: Any, bucket: str) -> None:
    """s3proxy 86b6ee4 and bd2c229: no key becomes a path."""
    for key in ("../escaped", "../../escaped", "/escaped", "..\\escaped"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x" * 200_000)
    if gateway.process is not None:
        assert not [path for path in gateway.directory.rglob("*") if "escaped" in path.name]
        assert not Path("/escaped").exists()


@pytest.mark.parametrize(
    "evil", ["..", ".", "...", "%2e%2e", "..%2f..", "%00", "a%00b", "a%2fb", "%20", "A_b", "-", "\\"]
)
def test_buckets_that_are_no_names(gateway: Gateway, signer: Signer, evil: str) -> None:
    for method, suffix in (
        ("PUT", ""),
        ("GET", "?list-type=2"),
        ("GET", "/key"),
        ("PUT", "/key"),
        ("DELETE", ""),
    ):
        answer = send(
            gateway.port, method, f"/{evil}{suffix}", signer=signer, body=b"x" if method == "PUT" else b""
        )
        assert answer.refused(), (method, suffix)
    assert gateway.healthy()


@pytest.mark.parametrize(
    "target", ["/{b}/%00", "/{b}/a%00b", "/{b}/%ff%fe", "/{b}/%c0%ae%c0%ae/x", "/{b}/%ed%a0%80"]
)
def test_bytes_that_no_key_has(gateway: Gateway, victim: str, signer: Signer, target: str) -> None:
    """NUL, bytes that are not UTF-8, overlong dots, a lone surrogate: 400."""
    for method in ("GET", "PUT", "HEAD", "DELETE"):
        body = b"x" if method == "PUT" else b""
        assert send(gateway.port, method, target.format(b=victim), signer=signer, body=body).status == 400
    listing = f"/{victim}?list-type=2&prefix={target.partition('}')[2][2:]}"
    assert send(gateway.port, "GET", listing, signer=signer).status in {200, 400}


SOURCES = [
    "",
    "/",
    "//",
    "{b}",
    "/{b}/",
    "{b}/../{o}/key",
    "/{b}/%2e%2e/{o}/key",
    "/{b}%2f..%2f{o}%2fkey",
    "/../{o}/key/..",
    "/{b}/secret%3FversionId=null/../../{o}/key",
    "/{b}/%00",
    "/{b}/%ff",
    "http://169.254.169.254/latest/meta-data",
    "arn:aws:s3:::{o}/key",
    "/etc/passwd",
    "file:///etc/passwd",
    "?",
    "?versionId=x",
]


@pytest.mark.parametrize("source", SOURCES)
def test_copy_sources(gateway: Gateway, victim: str, s3: Any, name: str, signer: Signer, source: str) -> None:
    """CVE-2024-47866, versitygw 422b5a7 and 67aaa80: one parser, decoded once; empty and strange ones are 4xx."""
    other = f"{name}-o"
    s3.create_bucket(Bucket=other)
    header = {"x-amz-copy-source": source.format(b=victim, o=other)}
    for target in (f"/{victim}/copy", f"/{victim}/copy?partNumber=1&uploadId=abc"):
        answer = send(gateway.port, "PUT", target, signer=signer, signed=header)
        assert answer.refused(), answer.body
        assert b"root:" not in answer.body


def test_an_encoded_question_mark_belongs_to_the_key(
    gateway: Gateway, s3: Any, bucket: str, signer: Signer
) -> None:
    """versitygw 67aaa80: `%3FversionId=` in a copy source is part of the key, a plain `?versionId=` is not."""
    s3.put_object(Bucket=bucket, Key="k?versionId=x", Body=b"v")
    header = {"x-amz-copy-source": f"/{bucket}/k%3FversionId=x"}
    assert send(gateway.port, "PUT", f"/{bucket}/copy", signer=signer, signed=header).status == 200
    header = {"x-amz-copy-source": f"/{bucket}/k?versionId=x"}
    assert send(gateway.port, "PUT", f"/{bucket}/copy2", signer=signer, signed=header).refused()


@pytest.mark.parametrize(
    "upload", ["../../etc/passwd", "%2e%2e", "", "x" * 5000, "%00", "'; drop table objects; --"]
)
def test_upload_ids_are_no_paths(gateway: Gateway, victim: str, signer: Signer, upload: str) -> None:
    """CVE-2026-54917 and GHSA-8v25-v8p6-qf7v by way of multipart."""
    quoted = upload if "%" in upload else urllib.parse.quote(upload, safe="")
    for method, rest in (("PUT", "partNumber=1&"), ("GET", ""), ("DELETE", ""), ("POST", "")):
        target = f"/{victim}/key?{rest}uploadId={quoted}"
        body = b"x" if method in {"PUT", "POST"} else b""
        assert send(gateway.port, method, target, signer=signer, body=body).refused(), method


@pytest.mark.parametrize("parameter", ["prefix", "marker", "start-after", "delimiter", "continuation-token"])
def test_lists_are_queries_of_strings(gateway: Gateway, victim: str, signer: Signer, parameter: str) -> None:
    """Nothing in a list's parameters is a path, a pattern, or SQL."""
    for value in ("../", "%25", "_", "*", "' or 1=1 --", "\\", "%C3%BC", "a" * 2000, '"', "../../"):
        quoted = value if value.startswith("%") else urllib.parse.quote(value, safe="")
        target = f"/{victim}?list-type=2&{parameter}={quoted}"
        answer = send(gateway.port, "GET", target, signer=signer)
        assert answer.status in {200, 400}
        if parameter == "prefix":
            assert b"<Key>secret" not in answer.body


def test_the_reserved_bucket_is_nobodys(gateway: Gateway, s3: Any, signer: Signer) -> None:
    """CVE-2023-28434: the internal namespace is unreachable by any route."""
    assert "system" not in [one["Name"] for one in s3.list_buckets()["Buckets"]]
    for method, target in (
        ("PUT", "/system"),
        ("GET", "/system?list-type=2"),
        ("PUT", "/system/auth/credentials.jsonl"),
        ("GET", "/system/auth/credentials.jsonl"),
        ("DELETE", "/system"),
        ("POST", "/system?delete"),
        ("POST", "/system/x?uploads"),
    ):
        body = b"<Delete><Object><Key>a</Key></Object></Delete>" if method == "POST" else b""
        assert send(gateway.port, method, target, signer=signer, body=body).refused(), target


def test_cve_2026_34204_internal_headers_are_not_metadata(
    gateway: Gateway, s3: Any, bucket: str, signer: Signer
) -> None:
    """MinIO: X-Minio-Replication-* from a client became internal state. Ours keeps only what S3 names."""
    strange = {"x-minio-replication-etag": "00", "x-s3gw-internal": "1", "x-amz-meta-ok": "yes"}
    assert send(gateway.port, "PUT", f"/{bucket}/k", signer=signer, body=b"v", signed=strange).status == 200
    head = s3.head_object(Bucket=bucket, Key="k")
    assert head["Metadata"] == {"ok": "yes"}
    assert not [name for name in head["ResponseMetadata"]["HTTPHeaders"] if "minio" in name or "s3gw" in name]
