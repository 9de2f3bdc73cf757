"""Forged, missing, stale and half signatures against the running gateway: all fail closed."""

import urllib.parse
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from harness import KEY, SECRET, Gateway, eventually
from wire import (
    SIGNED_CHUNKS,
    SIGNED_TRAILER,
    UNSIGNED,
    UNSIGNED_TRAILER,
    Answer,
    Signer,
    exchange,
    request_bytes,
    send,
    sha256,
)

STREAMING = [UNSIGNED_TRAILER, SIGNED_CHUNKS, SIGNED_TRAILER]
TRAILER = {"x-amz-trailer": "x-amz-checksum-crc32"}
CHUNKED_BODY = b"4\r\nevil\r\n0\r\nx-amz-checksum-crc32:2JZLow==\r\n\r\n"
ROUTES = [
    ("PUT", "/{b}/evil"),
    ("PUT", "/{b}/secret?acl"),
    ("PUT", "/{b}/secret?tagging"),
    ("PUT", "/{b}/secret?renameObject"),
    ("PUT", "/{b}/evil?partNumber=1&uploadId=x"),
    ("POST", "/{b}/evil?uploads"),
    ("POST", "/{b}/evil?uploadId=x"),
    ("POST", "/{b}?delete"),
    ("POST", "/{b}"),
    ("POST", "/{b}/evil"),
    ("PUT", "/{b}?acl"),
    ("PUT", "/{b}-new"),
    ("DELETE", "/{b}/secret"),
    ("DELETE", "/{b}"),
    ("GET", "/{b}/secret"),
    ("HEAD", "/{b}/secret"),
    ("GET", "/{b}/secret?attributes"),
    ("GET", "/{b}/secret?acl"),
    ("GET", "/{b}"),
    ("GET", "/{b}?list-type=2"),
    ("GET", "/{b}?uploads"),
    ("GET", "/{b}?location"),
    ("GET", "/"),
]


def forged(headers: dict[str, str]) -> dict[str, str]:
    """The same request with another signature of the right shape."""
    head, _, signature = headers["authorization"].rpartition("=")
    return headers | {"authorization": f"{head}={signature[::-1]}"}


def attack(port: int, method: str, target: str, headers: dict[str, str], body: bytes = b"evil") -> Answer:
    """Send with a body, where the method has one."""
    body = body if method in {"PUT", "POST"} else b""
    length = {"content-length": str(len(body))} if method in {"PUT", "POST"} else {}
    return exchange(port, request_bytes(method, target, headers | length, body), method)


def credentials_by_scheme(
    signer: Signer, method: str, target: str, host: str
) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Every way to name oneself without being able to prove it: a label, the target, the headers."""
    when, plain = signer.now(), {"host": host}
    credential = f"{KEY}/{signer.scope(when)}"
    joint = "&" if "?" in target else "?"
    good = signer.headers(method, target, host)
    yield "nothing", target, plain
    yield "V4 forged", target, forged(good)
    for payload in STREAMING:
        extra = {"x-amz-decoded-content-length": "4"} | TRAILER
        yield f"forged {payload}", target, forged(signer.headers(method, target, host, payload, extra))
        claims = {"x-amz-content-sha256": payload, "x-amz-date": when} | extra
        yield f"no signature {payload}", target, plain | claims
        query = f"{joint}X-Amz-Credential={urllib.parse.quote(credential, safe='')}"
        yield f"credential in the query {payload}", target + query, plain | claims
        query += f"&X-Amz-Signature={'0' * 64}"
        yield f"garbage signature in the query {payload}", target + query, plain | claims
    yield "empty signature", target, good | {"authorization": good["authorization"].rpartition("=")[0] + "="}
    yield (
        "V2 forged",
        target,
        plain | {"date": "Sat, 21 Nov 2026 00:00:00 GMT", "authorization": f"AWS {KEY}:AAAA"},
    )
    yield "V2 query", f"{target}{joint}AWSAccessKeyId={KEY}&Signature=AAAA&Expires=9999999999", plain
    yield "unknown key", target, replace(signer, key="AKIAUNKNOWNUNKNOWN00").headers(method, target, host)
    yield "empty key", target, replace(signer, key="").headers(method, target, host)
    yield "empty secret", target, replace(signer, secret="").headers(method, target, host)
    yield "basic", target, plain | {"authorization": "Basic QXFVNGF4ZTRmZUR5SWllbGFyUEk6eA=="}
    yield "bearer alg=none", target, plain | {"authorization": "Bearer eyJhbGciOiJub25lIn0.e30."}
    yield "form", target, plain | {"content-type": "multipart/form-data; boundary=x"}


@pytest.mark.parametrize(("method", "route"), ROUTES, ids=[" ".join(route) for route in ROUTES])
def test_every_route_with_every_bad_credential(
    gateway: Gateway, victim: str, signer: Signer, method: str, route: str
) -> None:
    """CVE-2025-31489, CVE-2026-41145, CVE-2026-40344, SeaweedFS #7912 and 0647bc2: no handler forgets to ask."""
    target, host = route.format(b=victim), f"127.0.0.1:{gateway.port}"
    for label, attacked, headers in credentials_by_scheme(signer, method, target, host):
        body = CHUNKED_BODY if "STREAMING" in label else b"evil"
        answer = attack(gateway.port, method, attacked, headers, body)
        expected = {403} if label in {"nothing", "form"} else {400, 403}
        if (method, route) == ("POST", "/{b}/evil"):
            expected.add(405)  # no operation at all
        if (method, route) == ("POST", "/{b}"):
            expected |= {400, 412}  # what is no form is told so; a form without fields may do nothing
        assert answer.status in expected, label
        assert b"classified" not in answer.body, label


def test_cve_2025_31489_unsigned_trailer_with_a_garbage_signature(
    gateway: Gateway, victim: str, signer: Signer
) -> None:
    """MinIO: STREAMING-UNSIGNED-PAYLOAD-TRAILER, a valid access key, any signature."""
    host = f"127.0.0.1:{gateway.port}"
    extra = {"x-amz-decoded-content-length": "4"} | TRAILER
    headers = forged(signer.headers("PUT", f"/{victim}/evil", host, UNSIGNED_TRAILER, extra))
    answer = attack(gateway.port, "PUT", f"/{victim}/evil", headers, CHUNKED_BODY)
    assert (answer.status, answer.code) == (403, "SignatureDoesNotMatch")


def test_seaweedfs_9121_unsigned_amz_headers_beside_a_presigned_url(
    gateway: Gateway, victim: str, signer: Signer
) -> None:
    """Whoever holds a URL may not add an ACL, metadata, a copy source."""
    target = signer.presign("PUT", f"/{victim}/evil", f"127.0.0.1:{gateway.port}")
    for name, value in (
        ("x-amz-acl", "public-read"),
        ("x-amz-meta-a", "b"),
        ("x-amz-copy-source", f"/{victim}/secret"),
        ("x-amz-tagging", "a=b"),
        ("x-amz-website-redirect-location", "/x"),
        ("x-amz-server-side-encryption", "AES256"),
        ("X-AMZ-Storage-Class", "GLACIER"),
    ):
        assert send(gateway.port, "PUT", target, body=b"evil", extra={name: value}).status == 403, name


def test_unsigned_amz_headers_beside_a_signed_request(gateway: Gateway, victim: str, signer: Signer) -> None:
    for name, value in (("x-amz-acl", "public-read"), ("x-amz-copy-source", f"/{victim}/secret")):
        answer = send(
            gateway.port, "PUT", f"/{victim}/evil", signer=signer, body=b"evil", extra={name: value}
        )
        assert answer.status == 403, name


def test_a_doubled_header_is_not_what_was_signed(gateway: Gateway, victim: str, signer: Signer) -> None:
    headers = signer.headers(
        "PUT", f"/{victim}/evil", f"127.0.0.1:{gateway.port}", UNSIGNED, {"x-amz-acl": "private"}
    )
    doubled = headers | {"content-length": "4", "X-Amz-Acl": "public-read"}
    assert exchange(gateway.port, request_bytes("PUT", f"/{victim}/evil", doubled, b"evil")).refused()


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"skew": timedelta(minutes=-20)}, 403, "RequestTimeTooSkewed"),
        ({"skew": timedelta(minutes=20)}, 403, "RequestTimeTooSkewed"),
        ({"region": "eu-west-1"}, 400, "AuthorizationHeaderMalformed"),
        ({"service": "ec2"}, 400, "AuthorizationHeaderMalformed"),
        ({"secret": SECRET[:-1]}, 403, "SignatureDoesNotMatch"),
        ({"secret": SECRET + "x"}, 403, "SignatureDoesNotMatch"),
        ({"key": KEY.lower()}, 403, "InvalidAccessKeyId"),
    ],
)
def test_scope_and_time(
    gateway: Gateway, victim: str, signer: Signer, change: dict, status: int, code: str
) -> None:
    answer = send(gateway.port, "PUT", f"/{victim}/evil", signer=replace(signer, **change), body=b"evil")
    assert (answer.status, answer.code) == (status, code)


def test_the_date_of_the_scope_is_that_of_the_request(gateway: Gateway, victim: str, signer: Signer) -> None:
    """A captured signing key of yesterday is worth nothing today."""
    headers = signer.headers("GET", f"/{victim}/secret", f"127.0.0.1:{gateway.port}")
    day = headers["x-amz-date"][:8]
    stale = headers | {"authorization": headers["authorization"].replace(day, "20200101")}
    assert exchange(gateway.port, request_bytes("GET", f"/{victim}/secret", stale)).refused()


@pytest.mark.parametrize("expires", ["0", "-1", "604801", "9" * 30, "x", "", "1e3", "٣"])
def test_presigned_expiry(gateway: Gateway, victim: str, signer: Signer, expires: str) -> None:
    target = signer.presign("GET", f"/{victim}/secret", f"127.0.0.1:{gateway.port}", expires)
    assert send(gateway.port, "GET", target).refused()


def test_a_presigned_url_of_the_past_and_of_the_future(gateway: Gateway, victim: str, signer: Signer) -> None:
    for skew in (timedelta(hours=-2), timedelta(hours=2)):
        target = replace(signer, skew=skew).presign(
            "GET", f"/{victim}/secret", f"127.0.0.1:{gateway.port}", 60
        )
        assert send(gateway.port, "GET", target).status == 403
    good = signer.presign("GET", f"/{victim}/secret", f"127.0.0.1:{gateway.port}")
    assert send(gateway.port, "GET", good).body == b"classified"


def test_both_kinds_of_credentials_at_once(gateway: Gateway, victim: str, signer: Signer) -> None:
    host = f"127.0.0.1:{gateway.port}"
    target = signer.presign("GET", f"/{victim}/secret", host)
    bad = forged(signer.headers("GET", f"/{victim}/secret", host))
    assert exchange(gateway.port, request_bytes("GET", target, bad)).refused()


def test_a_body_other_than_the_signed_one(gateway: Gateway, victim: str, signer: Signer) -> None:
    """The signed hash is compared before anything is stored, small and large."""
    for body in (b"evil", b"e" * 2_000_000):
        answer = send(
            gateway.port, "PUT", f"/{victim}/evil", signer=signer, body=body, payload=sha256(b"good")
        )
        assert (answer.status, answer.code) == (400, "XAmzContentSHA256Mismatch")
    for payload in (
        "",
        "UNSIGNED",
        "x" * 64,
        sha256(b"evil")[:-1],
        "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD",
    ):
        answer = send(gateway.port, "PUT", f"/{victim}/evil", signer=signer, body=b"evil", payload=payload)
        assert answer.refused() or answer.status == 501, payload


def test_a_copy_may_not_read_what_the_caller_may_not(gateway: Gateway, victim: str) -> None:
    """CVE-2026-39360: CopyObject and UploadPartCopy by nobody."""
    source = {"x-amz-copy-source": f"/{victim}/secret"}
    assert send(gateway.port, "PUT", f"/{victim}/evil", extra=source).status == 403
    assert send(gateway.port, "PUT", f"/{victim}/evil?partNumber=1&uploadId=x", extra=source).status == 403


def test_disabled_and_replaced_keys(gateway: Gateway, victim: str, signer: Signer) -> None:
    """The last line of a key wins; a disabled one does not exist."""
    gateway.add_credential("AKIAROTATED000000001", "first-secret-first-secret")
    gateway.add_credential("AKIAROTATED000000001", "second-secret-second-secret")
    second = replace(signer, key="AKIAROTATED000000001", secret="second-secret-second-secret")
    target = f"/{victim}/secret"

    def all_say(status: int, who: Signer) -> bool:
        return all(send(gateway.port, "GET", target, signer=who).status == status for _ in range(6))

    eventually(lambda: all_say(200, second), "the new key works in all workers")
    assert all_say(403, replace(second, secret="first-secret-first-secret"))
    gateway.add_credential("AKIAROTATED000000001", "second-secret-second-secret", enabled=False)
    eventually(lambda: all_say(403, second), "the disabled key works nowhere")


def test_sigv4a_is_refused_by_name(gateway: Gateway, victim: str, signer: Signer) -> None:
    headers = signer.headers("GET", f"/{victim}/secret", f"127.0.0.1:{gateway.port}")
    text = headers["authorization"].replace("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256")
    answer = exchange(
        gateway.port, request_bytes("GET", f"/{victim}/secret", headers | {"authorization": text})
    )
    assert answer.refused() or answer.status == 501
    assert answer.code


MALFORMED = [
    "AWS4-HMAC-SHA256",
    "AWS4-HMAC-SHA256 ",
    "AWS4-HMAC-SHA256 Credential=,SignedHeaders=,Signature=",
    "AWS4-HMAC-SHA256 Credential=/////,SignedHeaders=host,Signature=00",
    f"AWS4-HMAC-SHA256 Credential={KEY},SignedHeaders=host,Signature=00",
    f"AWS4-HMAC-SHA256 Credential={KEY}/2026/us-east-1/s3/aws4_request,SignedHeaders=host,Signature=zz",
    "AWS4-HMAC-SHA256 " + "Credential=a/b/c/d/e," * 5000,
    "AWS",
    "AWS :",
    f"AWS {KEY}",
    f"AWS {KEY}:",
    f"AWS {KEY}:\xff\xfe",
    "\xff" * 50,
    "a" * 8000,
]


@pytest.mark.parametrize("authorization", MALFORMED, ids=range(len(MALFORMED)))
def test_malformed_authorization(gateway: Gateway, victim: str, signer: Signer, authorization: str) -> None:
    """CVE-2018-7262, CVE-2019-10222, CVE-2019-19337, CVE-2020-12059, CVE-2016-8626: a strange header is a 4xx."""
    headers = {"host": "x", "x-amz-date": signer.now(), "authorization": authorization}
    for method, target in (("GET", f"/{victim}/secret"), ("PUT", f"/{victim}/evil")):
        answer = attack(gateway.port, method, target, headers)
        assert answer.status in {400, 403}
