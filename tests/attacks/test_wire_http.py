"""Malformed and hostile HTTP on a raw socket: a clear 4xx or a closed connection, never a 5xx, never a crash."""

import socket
from contextlib import suppress

import pytest
from harness import Gateway, eventually
from wire import Signer, connect, exchange, read_all, read_answer, request_bytes, send, sha256

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

MALFORMED = {
    "versitygw 4478ed1 GET GET": b"GET GET HTTP/1.1\r\nHost: x\r\n\r\n",
    "CVE-2022-3854 null URL": b"GET  HTTP/1.1\r\nHost: x\r\n\r\n",
    "no path": b"GET\r\n\r\n",
    "star": b"GET * HTTP/1.1\r\nHost: x\r\n\r\n",
    "CL and TE": b"PUT /b/k HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "TE and CL": b"PUT /b/k HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
    "two lengths": b"PUT /b/k HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
    "negative length": b"PUT /b/k HTTP/1.1\r\nHost: x\r\nContent-Length: -4\r\n\r\nabcd",
    "length in words": b"PUT /b/k HTTP/1.1\r\nHost: x\r\nContent-Length: four\r\n\r\nabcd",
    "length with a plus": b"PUT /b/k HTTP/1.1\r\nHost: x\r\nContent-Length: +4\r\n\r\nabcd",
    "length beyond all": b"PUT /b/k HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n",
    "unknown TE": b"PUT /b/k HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "obfuscated TE": b"PUT /b/k HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "bad chunk size": b"PUT /b/k HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n0\r\n\r\n",
    "no Host": b"GET /b/k HTTP/1.1\r\n\r\n",
    "NUL in the path": b"GET /b/\0k HTTP/1.1\r\nHost: x\r\n\r\n",
    "encoded NUL": b"GET /b/%00k HTTP/1.1\r\nHost: x\r\n\r\n",
    "NUL in a header": b"GET /b/k HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n",
    "header without a name": b"GET /b/k HTTP/1.1\r\nHost: x\r\n: v\r\n\r\n",
    "header without a colon": b"GET /b/k HTTP/1.1\r\nHost: x\r\nnonsense\r\n\r\n",
    "folded header": b"GET /b/k HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
    "500 headers": b"GET /b/k HTTP/1.1\r\nHost: x\r\n"
    + b"".join(b"A%d: b\r\n" % n for n in range(500))
    + b"\r\n",
    "64 KiB header": b"GET /b/k HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 65536 + b"\r\n\r\n",
    "1 MiB of headers": b"GET /b/k HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 1048576 + b"\r\n\r\n",
    "64 KiB path": b"GET /b/" + b"k" * 65536 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "64 KiB query": b"GET /b?" + b"k" * 65536 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "unknown method": b"BREW /b/k HTTP/1.1\r\nHost: x\r\n\r\n",
    "lower-case method": b"get /b/k HTTP/1.1\r\nHost: x\r\n\r\n",
    "HTTP/3.7": b"GET /b/k HTTP/3.7\r\nHost: x\r\n\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "CONNECT": b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "TRACE": b"TRACE /b/k HTTP/1.1\r\nHost: x\r\n\r\n",
    "absolute target": b"GET http://169.254.169.254/latest HTTP/1.1\r\nHost: x\r\n\r\n",
    "raw UTF-8 path": "GET /b/ü HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
    "bad percent": b"GET /b/%zz%4 HTTP/1.1\r\nHost: x\r\n\r\n",
    "noise": bytes(range(256)) * 20,
    "TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED)
def test_malformed(gateway: Gateway, data: bytes) -> None:
    """C4's probe, CVE-2023-47627, CVE-2023-47641, CVE-2023-49081, CVE-2018-1000164, CVE-2020-7695."""
    with connect(gateway.port) as connection:
        with suppress(ConnectionError):
            connection.sendall(data)
        with suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
        answer = read_all(connection)
    assert not answer or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4", b"HTTP/1.1 501")), answer[:200]
    assert answer.count(b"HTTP/1.1 ") <= 2
    assert not answer or b"x-amz-request-id: " in answer.lower()
    assert gateway.healthy()


@pytest.mark.parametrize(
    "label", ["CL and TE", "TE and CL", "two lengths", "obfuscated TE", "bad chunk size"]
)
def test_nothing_is_smuggled(gateway: Gateway, label: str) -> None:
    """What follows a request of doubtful length is never answered."""
    with connect(gateway.port) as connection:
        with suppress(ConnectionError):
            connection.sendall(MALFORMED[label] + HEALTH)
        assert b" 200 " not in read_all(connection)


def test_a_pipelined_request_after_an_early_refusal(gateway: Gateway, victim: str) -> None:
    """The unread body of a refused PUT is not the next request."""
    inner = HEALTH + b" " * (100 - len(HEALTH))
    head = f"PUT /{victim}/evil HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n".encode()
    with connect(gateway.port) as connection:
        connection.sendall(head + inner + HEALTH)
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 403")
    assert answer.count(b"HTTP/1.1 200") <= 1, "the body is either skipped or the connection closed"


def test_requests_in_a_pipeline_are_answered_in_order(
    gateway: Gateway, s3: object, bucket: str, signer: Signer
) -> None:
    host = f"127.0.0.1:{gateway.port}"
    for key in "abc":
        assert (
            send(gateway.port, "PUT", f"/{bucket}/{key}", signer=signer, body=key.encode() * 1000).status
            == 200
        )
    wire = b"".join(
        request_bytes("GET", f"/{bucket}/{key}", signer.headers("GET", f"/{bucket}/{key}", host))
        for key in "abc"
    )
    with connect(gateway.port) as connection:
        connection.sendall(wire)
        received = bytearray()
        while received.count(b"HTTP/1.1 200") < 3 or not received.endswith(b"c" * 1000):
            piece = connection.recv(65536)
            assert piece, "the connection was closed"
            received += piece
    assert received.index(b"a" * 1000) < received.index(b"b" * 1000) < received.index(b"c" * 1000)


@pytest.mark.parametrize("signed", [True, False])
def test_100_continue_only_after_authentication(
    gateway: Gateway, victim: str, signer: Signer, signed: bool
) -> None:
    host, target = f"127.0.0.1:{gateway.port}", f"/{victim}/secret"
    who = signer if signed else Signer(signer.key, "not the secret")
    headers = who.headers("PUT", target, host, sha256(b"other"), {"if-match": '"no"'} if signed else {})
    headers |= {"content-length": "10", "expect": "100-continue"}
    with connect(gateway.port) as connection:
        connection.sendall(request_bytes("PUT", target, headers))
        first = connection.recv(65536)
        if signed:
            assert first.startswith(b"HTTP/1.1 100") or first.startswith(b"HTTP/1.1 412")
        else:
            assert first.startswith(b"HTTP/1.1 403"), "no 100 before the caller is known"
            assert b"100 Continue" not in first


def test_100_continue_comes_and_the_body_is_taken(gateway: Gateway, bucket: str, signer: Signer) -> None:
    target, data = f"/{bucket}/k", b"x" * 100_000
    headers = signer.headers("PUT", target, f"127.0.0.1:{gateway.port}", sha256(data))
    headers |= {"content-length": str(len(data)), "expect": "100-continue"}
    with connect(gateway.port) as connection:
        connection.sendall(request_bytes("PUT", target, headers))
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(data)
        assert read_answer(connection, "PUT").status == 200
    assert send(gateway.port, "GET", target, signer=signer).body == data


def test_five_gigabytes_with_a_bad_signature(gateway: Gateway, victim: str, signer: Signer) -> None:
    """MinIO c5a00e5, 9c8b730, f6d0645: the body is neither awaited nor read before the caller is known."""
    before = gateway.memory()
    answers = []
    for payload in ("UNSIGNED-PAYLOAD", sha256(b""), "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"):
        bad = Signer(signer.key, "not the secret")
        extra = {"x-amz-decoded-content-length": str(5 * 1024**3)}
        headers = bad.headers("PUT", f"/{victim}/evil", f"127.0.0.1:{gateway.port}", payload, extra)
        headers["content-length"] = str(5 * 1024**3)
        with connect(gateway.port) as connection:
            connection.sendall(request_bytes("PUT", f"/{victim}/evil", headers))
            with suppress(ConnectionError):
                for _ in range(64):
                    connection.sendall(bytes(1024 * 1024))
                    connection.setblocking(True)
            answers.append(_early(connection))
    assert set(answers) <= {403, 0}
    assert 403 in answers or answers == [0, 0, 0]
    assert gateway.memory() - before < 48 * 1024 * 1024


def _early(connection: socket.socket) -> int:
    """The status that arrived, 0 if the reset overtook it."""
    try:
        return read_answer(connection, "PUT").status
    except OSError:
        return 0


def test_the_refusal_arrives_before_the_body(gateway: Gateway, victim: str) -> None:
    """With nothing but headers sent, the answer is there."""
    head = f"PUT /{victim}/evil HTTP/1.1\r\nHost: x\r\nContent-Length: {5 * 1024**3}\r\n\r\n".encode()
    with connect(gateway.port) as connection:
        connection.sendall(head)
        assert read_answer(connection, "PUT").status == 403


def test_larger_than_five_gib_is_refused_before_the_body(
    gateway: Gateway, victim: str, signer: Signer
) -> None:
    headers = signer.headers("PUT", f"/{victim}/evil", f"127.0.0.1:{gateway.port}")
    headers["content-length"] = str(5 * 1024**3 + 1)
    with connect(gateway.port) as connection:
        connection.sendall(request_bytes("PUT", f"/{victim}/evil", headers))
        answer = read_answer(connection, "PUT")
    assert (answer.status, answer.code) == (400, "EntityTooLarge")


def test_ghsa_v2ch_no_length_at_all(gateway: Gateway, victim: str, signer: Signer) -> None:
    """versitygw: aws-chunked with neither Content-Length nor Transfer-Encoding panicked."""
    for payload in (
        "UNSIGNED-PAYLOAD",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
    ):
        extra = {"x-amz-decoded-content-length": "4", "content-encoding": "aws-chunked"}
        headers = signer.headers("PUT", f"/{victim}/evil", f"127.0.0.1:{gateway.port}", payload, extra)
        answer = exchange(gateway.port, request_bytes("PUT", f"/{victim}/evil", headers), "PUT")
        assert answer.status in {400, 403, 411}


@pytest.mark.parametrize("name", ["x-amz-meta-a", "content-type", "cache-control", "content-disposition"])
def test_cve_2020_10753_no_header_is_split(
    gateway: Gateway, s3: object, bucket: str, signer: Signer, name: str
) -> None:
    """CVE-2021-3524, CVE-2015-5245: CR, LF and NUL in a value never come out as a new header line."""
    for value in ("a\rset-cookie: evil=1", "a\nset-cookie: evil=1", "a\r\nset-cookie: evil=1", "a\0b"):
        headers = signer.headers(
            "PUT", f"/{bucket}/k", f"127.0.0.1:{gateway.port}", sha256(b"v"), {name: value}
        )
        headers["content-length"] = "1"
        stored = exchange(gateway.port, request_bytes("PUT", f"/{bucket}/k", headers, b"v"), "PUT")
        assert stored.status < 500
        if stored.status == 200:
            assert "set-cookie" not in send(gateway.port, "GET", f"/{bucket}/k", signer=signer).headers


@pytest.mark.parametrize("parameter", ["content-type", "content-disposition", "cache-control", "expires"])
def test_overrides_are_not_split_either(
    gateway: Gateway, victim: str, signer: Signer, parameter: str
) -> None:
    for value in (
        "a%0d%0aset-cookie:%20evil=1",
        "a%0aset-cookie:evil",
        "a%0d",
        "a%00",
        "%C3%BC",
        "%E6%97%A5",
    ):
        target = f"/{victim}/secret?response-{parameter}={value}"
        answer = send(gateway.port, "GET", target, signer=signer)
        assert answer.status in {200, 400}
        assert "set-cookie" not in answer.headers


def test_a_request_id_does_not_echo(gateway: Gateway, victim: str, signer: Signer) -> None:
    """What the client calls its request is not what the log calls it."""
    answer = send(gateway.port, "GET", f"/{victim}/secret", extra={"x-amz-request-id": "<script>"})
    assert "<script>" not in answer.headers["x-amz-request-id"]
    assert answer.headers["x-amz-id-2"]


def test_cve_2025_62727_thousands_of_ranges(gateway: Gateway, victim: str, signer: Signer) -> None:
    """Starlette before 0.49.1 merged them in quadratic time; here it is one range or none."""
    many = "bytes=" + ",".join(f"{n}-{n}" for n in range(1000))
    answer = send(gateway.port, "GET", f"/{victim}/secret", signer=signer, extra={"range": many})
    assert (answer.status, answer.body) in {(200, b"classified"), (400, answer.body)}


def test_405_and_501(gateway: Gateway, victim: str, signer: Signer) -> None:
    assert send(gateway.port, "PATCH", f"/{victim}/secret", signer=signer).status in {405, 501}
    assert send(gateway.port, "POST", f"/{victim}/secret", signer=signer, body=b"x").status in {400, 405, 412}
    assert send(gateway.port, "PUT", "/", signer=signer, body=b"x").status in {400, 405}
    assert send(gateway.port, "DELETE", "/", signer=signer).status in {400, 405}


def test_http_1_0_health(gateway: Gateway) -> None:
    """HAProxy's `option httpchk` sends HTTP/1.0 without Host."""
    answer = exchange(gateway.port, b"GET /healthz HTTP/1.0\r\n\r\n")
    assert answer.status == 200
    assert exchange(gateway.port, b"OPTIONS /healthz HTTP/1.0\r\n\r\n").status < 500


def test_byte_by_byte(gateway: Gateway, victim: str, signer: Signer) -> None:
    """However the packets fall."""
    host = f"127.0.0.1:{gateway.port}"
    wire = request_bytes("GET", f"/{victim}/secret", signer.headers("GET", f"/{victim}/secret", host))
    with connect(gateway.port) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in wire:
            connection.sendall(bytes([byte]))
        assert read_answer(connection).body == b"classified"


def test_half_requests_do_not_pile_up(gateway: Gateway) -> None:
    """CVE-2020-1700, CVE-2019-3821: 1,000 aborted requests leave no descriptor behind."""
    if gateway.process is None:
        pytest.skip("not our process")
    assert gateway.healthy()
    before = gateway.connection_count()
    for number in range(1000):
        with connect(gateway.port) as connection:
            wire = (
                HEALTH[:20],
                b"PUT /b/k HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\nabc",
                HEALTH,
                b"",
            )[number % 4]
            connection.sendall(wire)
            if number % 2:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    eventually(
        lambda: gateway.connection_count() <= before + 4,
        "the descriptors of 1,000 aborted requests are closed",
    )
    assert gateway.healthy()


@pytest.mark.parametrize(
    "value", ["ü", "日本", "\x80\xff", "é" * 500, " spaces  inside ", "=?UTF-8?B?w7w=?="]
)
def test_metadata_beyond_ascii(gateway: Gateway, bucket: str, signer: Signer, value: str) -> None:
    """It comes back as the bytes that were sent (or encoded by RFC 2047), or is refused; it never breaks an answer."""
    wire = value.encode().decode("latin-1")
    signed = {"x-amz-meta-a": wire}
    stored = send(gateway.port, "PUT", f"/{bucket}/k", signer=signer, body=b"v", signed=signed)
    if stored.status != 200:
        assert stored.status in {400, 403}
        return
    for method in ("GET", "HEAD"):
        got = send(gateway.port, method, f"/{bucket}/k", signer=signer)
        assert got.status == 200
        assert got.headers["x-amz-meta-a"].startswith("=?") or got.headers["x-amz-meta-a"] == wire.strip()
