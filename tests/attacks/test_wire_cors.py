"""Attacks by way of CORS."""

import time
from typing import Any

import pytest
from harness import Gateway, refusal
from wire import Signer, connect, read_all, send

EVIL = "https://evil.example"


def allow(s3: Any, bucket: str, origin: str, **more: Any) -> None:
    rule = {"AllowedMethods": ["GET", "PUT"], "AllowedOrigins": [origin], **more}
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [rule]})


def test_rustfs_x5xv_no_origin_is_reflected_with_credentials(
    gateway: Gateway, s3: Any, victim: str, signer: Signer
) -> None:
    allow(s3, victim, "*", AllowedHeaders=["*"])
    asks = {"origin": EVIL, "access-control-request-method": "GET"}
    for answer in (
        send(gateway.port, "OPTIONS", f"/{victim}/secret", extra=asks),
        send(gateway.port, "GET", f"/{victim}/secret", signer=signer, extra={"origin": EVIL}),
    ):
        assert answer.status == 200
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize(
    "origin",
    [
        "https://app.example.evil.example",
        "https://app.example@evil.example",
        "https://evilapp.example",
        "http://app.example",
        "https://app.example:444",
        "https://app.example/",
        "null",
        "",
        "https://evil.example,https://app.example",
    ],
)
def test_an_origin_is_compared_whole(gateway: Gateway, s3: Any, victim: str, origin: str) -> None:
    allow(s3, victim, "https://app.example")
    asks = {"origin": origin, "access-control-request-method": "GET"}
    answer = send(gateway.port, "OPTIONS", f"/{victim}/secret", extra=asks)
    assert answer.status == (403 if origin else 400)  # an empty one is none
    assert "access-control-allow-origin" not in answer.headers


def test_a_preflight_opens_nothing(gateway: Gateway, s3: Any, victim: str) -> None:
    """CORS tells browsers what they may show; it is no permission."""
    allow(s3, victim, "*", AllowedHeaders=["*"])
    assert send(gateway.port, "GET", f"/{victim}/secret", extra={"origin": EVIL}).status == 403
    assert send(gateway.port, "PUT", f"/{victim}/evil", body=b"x", extra={"origin": EVIL}).status == 403


def test_cve_2020_10753_no_header_is_split(gateway: Gateway, s3: Any, victim: str) -> None:
    for exposed in ("X\r\nSet-Cookie: a=b", "X\nY", "X\rY"):
        rule = {"AllowedMethods": ["GET"], "AllowedOrigins": ["*"], "ExposeHeaders": [exposed]}
        refused = refusal(s3.put_bucket_cors, Bucket=victim, CORSConfiguration={"CORSRules": [rule]})
        assert refused == (400, "InvalidRequest")
    assert refusal(s3.get_bucket_cors, Bucket=victim) == (404, "NoSuchCORSConfiguration")


def test_what_is_reflected_splits_no_header(gateway: Gateway, s3: Any, victim: str) -> None:
    allow(s3, victim, "*", AllowedHeaders=["*"])
    request = (
        f"OPTIONS /{victim}/secret HTTP/1.1\r\nHost: x\r\nOrigin: a\rSet-Cookie: b=c\r\n"
        "Access-Control-Request-Method: GET\r\nAccess-Control-Request-Headers: x\x0bset-cookie: b=c\r\n"
        "Connection: close\r\n\r\n"
    )
    with connect(gateway.port) as connection:
        connection.sendall(request.encode())
        answer = read_all(connection).lower()
    assert answer.split(b"\r\n")[0].split()[1] in (b"400", b"403")
    assert b"\nset-cookie" not in answer
    assert b"\rset-cookie" not in answer


def test_a_large_configuration_is_refused(s3: Any, victim: str) -> None:
    """It would be read by every request of the bucket."""
    rules = [{"AllowedMethods": ["GET"], "AllowedOrigins": [f"https://{n:0>700}"]} for n in range(100)]
    refused = refusal(s3.put_bucket_cors, Bucket=victim, CORSConfiguration={"CORSRules": rules})
    assert refused == (400, "MaxMessageLengthExceeded")


def test_names_without_end_keep_nobody_waiting(gateway: Gateway, s3: Any, victim: str) -> None:
    """A visitor who asks for thousands of headers, each compared with thousands that are allowed, costs nothing."""
    headers = [f"h{number}" for number in range(1500)] + ["a*"]
    rule = {"AllowedOrigins": ["*"], "AllowedMethods": ["GET"], "AllowedHeaders": headers}
    s3.put_bucket_cors(Bucket=victim, CORSConfiguration={"CORSRules": [rule]})
    asks = {"origin": "https://app.example", "access-control-request-method": "GET"}
    same = asks | {"access-control-request-headers": ",".join(["a"] * 3000)}
    other = asks | {"access-control-request-headers": ",".join(f"a{number}" for number in range(1000))}
    durations = []
    for _ in range(3):
        began = time.monotonic()
        assert send(gateway.port, "OPTIONS", f"/{victim}/secret", extra=same).status == 200
        assert send(gateway.port, "OPTIONS", f"/{victim}/secret", extra=other).status == 403
        durations.append(time.monotonic() - began)
    assert min(durations) < 0.3
