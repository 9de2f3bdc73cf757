"""What somebody without a key can see: nothing but what is public, and no way to change how it looks."""

from collections.abc import Callable
from typing import Any

import pytest
from harness import KEY, SECRET, Gateway
from wire import Signer, send


def test_cve_2020_1760_and_cve_2016_9579_overrides_are_for_signed_reads(
    gateway: Gateway, s3: Any, acl_bucket: str
) -> None:
    """response-content-type=text/html on a public object would run a script in our name."""
    s3.put_object(Bucket=acl_bucket, Key="k", Body=b"<script>", ACL="public-read", ContentType="text/plain")
    for parameter in ("content-type", "content-disposition", "cache-control", "content-encoding", "expires"):
        answer = send(gateway.port, "GET", f"/{acl_bucket}/k?response-{parameter}=text/html")
        assert (answer.status, answer.code) in {(400, "InvalidRequest"), (403, "AccessDenied")}
    plain = send(gateway.port, "GET", f"/{acl_bucket}/k")
    assert (plain.status, plain.headers["content-type"]) == (200, "text/plain")


def test_cve_2024_36107_conditions_are_asked_after_permission(gateway: Gateway, s3: Any, victim: str) -> None:
    """MinIO answered 304 or 412 to the anonymous, which told ETag and time of a private object."""
    etag = s3.head_object(Bucket=victim, Key="secret")["ETag"]
    for name, value in (
        ("if-none-match", etag),
        ("if-match", '"wrong"'),
        ("if-match", etag),
        ("if-modified-since", "Sat, 01 Jan 2050 00:00:00 GMT"),
        ("if-unmodified-since", "Sat, 01 Jan 2000 00:00:00 GMT"),
        ("range", "bytes=99999-"),
    ):
        for method in ("GET", "HEAD"):
            answer = send(gateway.port, method, f"/{victim}/secret", extra={name: value})
            assert answer.status == 403, (method, name)
            assert {"etag", "last-modified", "content-range"}.isdisjoint(answer.headers)


def test_existence_is_not_told(gateway: Gateway, victim: str, name: str) -> None:
    """A private key, a missing key: the same answer to the anonymous but for ids."""
    there = send(gateway.port, "GET", f"/{victim}/secret")
    absent = send(gateway.port, "GET", f"/{victim}/absent")
    assert (there.status, there.code) == (absent.status, absent.code) == (403, "AccessDenied")
    assert there.headers.keys() == absent.headers.keys()


def test_cve_2016_7031_an_upload_is_not_public(gateway: Gateway, s3: Any, name: str) -> None:
    """Neither parts, nor uploads, nor ACLs, nor attributes of a public bucket are readable without a key."""
    s3.create_bucket(Bucket=name, ACL="public-read", ObjectOwnership="ObjectWriter")
    s3.put_object(Bucket=name, Key="k", Body=b"v", ACL="public-read")
    made = s3.create_multipart_upload(Bucket=name, Key="k")["UploadId"]
    for target in (
        f"/{name}?acl",
        f"/{name}?location",
        f"/{name}?policy",
        f"/{name}?versioning",
        f"/{name}/k?uploadId={made}",
        f"/{name}/k?acl",
        f"/{name}/k?tagging",
        f"/{name}/k?torrent",
        "/",
    ):
        answer = send(gateway.port, "GET", target, extra={"x-amz-object-attributes": "ETag"})
        assert answer.status in {403, 501}, target
        assert b"classified" not in answer.body


def test_nothing_is_written(gateway: Gateway, s3: Any, victim: str, name: str) -> None:
    for method, target in (
        ("PUT", f"/{victim}/evil"),
        ("PUT", f"/{name}-evil"),
        ("DELETE", f"/{victim}/secret"),
        ("DELETE", f"/{victim}"),
        ("POST", f"/{victim}?delete"),
        ("POST", f"/{victim}/evil?uploads"),
        ("PUT", f"/{victim}/secret?acl"),
    ):
        answer = send(gateway.port, method, target, body=b"evil", extra={"x-amz-acl": "public-read"})
        assert answer.status == 403, (method, target)


def test_none_means_none(start: Callable[..., Gateway], signer: Signer) -> None:
    gateway = start(auth={"anonymous": "none"}, s3_gateway={"workers": 1})
    s3 = gateway.s3()
    s3.create_bucket(Bucket="public", ACL="public-read", ObjectOwnership="ObjectWriter")
    s3.put_object(Bucket="public", Key="k", Body=b"v", ACL="public-read")
    for target in ("/", "/public", "/public/k", "/public?list-type=2"):
        assert send(gateway.port, "GET", target).status == 403
        assert send(gateway.port, "GET", target, signer=signer).status == 200
    assert send(gateway.port, "GET", "/healthz").status == 200


def test_full_means_full(start: Callable[..., Gateway]) -> None:
    """The unsigned lines of the multi-backend example work, a bad signature still does not."""
    gateway = start(auth={"anonymous": "full"}, s3_gateway={"workers": 1})
    assert send(gateway.port, "PUT", "/bucket").status == 200
    assert send(gateway.port, "PUT", "/bucket/k", body=b"v").status == 200
    assert send(gateway.port, "GET", "/bucket/k").body == b"v"
    bad = Signer("AKIAUNKNOWNUNKNOWN00", "wrong-wrong")
    assert send(gateway.port, "GET", "/bucket/k", signer=bad).status == 403


@pytest.mark.parametrize("path", ["/healthz", "/health", "/metrics", "/backends", "/console", "/api/v1"])
def test_reserved_paths_tell_no_secret(gateway: Gateway, path: str) -> None:
    """CVE-2023-28432: the environment and the configuration are nobody's."""
    for method in ("GET", "HEAD", "POST", "PUT", "DELETE"):
        answer = send(gateway.port, method, path)
        assert answer.status < 500
        assert SECRET.encode() not in answer.body
        assert KEY.encode() not in answer.body
        assert method in {"GET", "HEAD"} or answer.status >= 400


def test_a_signed_request_of_a_reserved_path_is_s3(gateway: Gateway, signer: Signer) -> None:
    answer = send(gateway.port, "GET", "/healthz?list-type=2", signer=signer)
    assert (answer.status, answer.code) == (404, "NoSuchBucket")


def test_spoofed_headers_change_nothing(gateway: Gateway, victim: str) -> None:
    """CVE-2026-21862, RustFS v9cp: headers that claim an address, a user, a group, another URL."""
    for name in (
        "x-forwarded-for",
        "x-real-ip",
        "forwarded",
        "userid",
        "groups",
        "x-original-url",
        "x-rewrite-url",
    ):
        answer = send(gateway.port, "GET", f"/{victim}/secret", extra={name: "127.0.0.1"})
        assert answer.status == 403
        override = send(
            gateway.port,
            "GET",
            f"/{victim}/secret",
            extra={"x-http-method-override": "PUT", name: "/healthz"},
        )
        assert override.status == 403


def test_cors_reflects_no_origin(gateway: Gateway, s3: Any, acl_bucket: str) -> None:
    """RustFS x5xv: without a CORS configuration nothing is allowed to any origin."""
    s3.put_object(Bucket=acl_bucket, Key="k", Body=b"v", ACL="public-read")
    answer = send(gateway.port, "GET", f"/{acl_bucket}/k", extra={"origin": "https://evil.example"})
    assert not [name for name in answer.headers if name.startswith("access-control-")]
    preflight = {"origin": "https://evil.example", "access-control-request-method": "PUT"}
    asked = send(gateway.port, "OPTIONS", f"/{acl_bucket}/k", extra=preflight)
    assert 400 <= asked.status < 500 or asked.status == 501
    assert "access-control-allow-origin" not in asked.headers
