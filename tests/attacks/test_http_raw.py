"""Malformed and oversized requests: what the protocol refuses by itself, before any application."""

import json
import socket
from collections.abc import Iterator

import pytest
from harness import eventually
from trivial import Server, serving
from wire import Pipelined, connect, exchange, read_all, read_answer

HOST = b"host: x\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("raw")) as found:
        yield found
        assert "Traceback" not in found.log


MALFORMED = {
    "cl_and_te": b"PUT /a HTTP/1.1\r\n"
    + HOST
    + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "te_and_cl": b"PUT /a HTTP/1.1\r\n"
    + HOST
    + b"transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
    "two_lengths": b"PUT /a HTTP/1.1\r\n" + HOST + b"content-length: 5\r\ncontent-length: 6\r\n\r\n123456",
    "list_of_lengths": b"PUT /a HTTP/1.1\r\n" + HOST + b"content-length: 5, 5\r\n\r\n12345",
    "negative_length": b"PUT /a HTTP/1.1\r\n" + HOST + b"content-length: -5\r\n\r\n",
    "length_with_plus": b"PUT /a HTTP/1.1\r\n" + HOST + b"content-length: +5\r\n\r\n12345",
    "length_beyond_64_bits": b"PUT /a HTTP/1.1\r\n"
    + HOST
    + b"content-length: 99999999999999999999999\r\n\r\n",
    "bad_te": b"PUT /a HTTP/1.1\r\n" + HOST + b"transfer-encoding: gzip\r\n\r\n",
    "te_chunked_not_last": b"PUT /a HTTP/1.1\r\n" + HOST + b"transfer-encoding: chunked, gzip\r\n\r\n",
    "te_in_1_0": b"PUT /a HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "no_host": b"GET /a HTTP/1.1\r\n\r\n",
    "two_hosts": b"GET /a HTTP/1.1\r\nhost: x\r\nhost: y\r\n\r\n",
    "get_get": b"GET GET HTTP/1.1\r\n" + HOST + b"\r\n",
    "no_target": b"GET HTTP/1.1\r\n" + HOST + b"\r\n",
    "empty_target": b"GET  HTTP/1.1\r\n" + HOST + b"\r\n",
    "star": b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n",
    "connect": b"CONNECT x:80 HTTP/1.1\r\n" + HOST + b"\r\n",
    "nul": b"GET /a\x00b HTTP/1.1\r\n" + HOST + b"\r\n",
    "encoded_nul": b"GET /a%00b HTTP/1.1\r\n" + HOST + b"\r\n",
    "raw_utf8": b"GET /\xc3\xa4 HTTP/1.1\r\n" + HOST + b"\r\n",
    "fragment": b"GET /a#b HTTP/1.1\r\n" + HOST + b"\r\n",
    "bad_version": b"GET /a HTTP/3.7\r\n" + HOST + b"\r\n",
    "http_2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "http_2_0_get": b"GET /a HTTP/2.0\r\n" + HOST + b"\r\n",
    "http_0_9": b"GET /a\r\n\r\n",
    "unknown_method": b"FROBNICATE /a HTTP/1.1\r\n" + HOST + b"\r\n",
    "space_before_colon": b"GET /a HTTP/1.1\r\n" + HOST + b"x-a : b\r\n\r\n",
    "no_colon": b"GET /a HTTP/1.1\r\n" + HOST + b"nonsense\r\n\r\n",
    "nul_in_header": b"GET /a HTTP/1.1\r\n" + HOST + b"x-a: b\x00c\r\n\r\n",
    "bare_cr_in_header": b"GET /a HTTP/1.1\r\n" + HOST + b"x-a: b\rc: d\r\n\r\n",
    "folded_header": b"GET /a HTTP/1.1\r\n" + HOST + b"x-a: b\r\n c\r\n\r\n",
    "binary": bytes(range(128, 256)) * 4 + b"\r\n\r\n",
    "tls_hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_request_is_a_bad_request(server: Server, name: str) -> None:
    answer = exchange(server.port, MALFORMED[name])
    assert (answer.status, answer.code) == (400, "BadRequest"), answer
    assert answer.headers["connection"] == "close"
    assert answer.headers["content-type"] == "application/xml"
    assert answer.headers["x-amz-request-id"].encode() in answer.body
    assert answer.body.startswith(b'<?xml version="1.0" encoding="UTF-8"?>\n<Error>')


def test_a_smuggled_request_is_not_served(server: Server) -> None:
    hidden = b"GET /hidden HTTP/1.1\r\n" + HOST + b"\r\n"
    with connect(server.port) as connection:
        connection.sendall(MALFORMED["cl_and_te"] + hidden)
        assert read_all(connection).count(b"HTTP/1.1 ") == 1


def test_http_1_0_needs_no_host(server: Server) -> None:
    answer = exchange(server.port, b"GET /healthz HTTP/1.0\r\n\r\n")
    assert (answer.status, answer.headers["connection"]) == (200, "close")


@pytest.mark.parametrize(
    ("head", "code"),
    [
        (b"".join(b"x-%d: 1\r\n" % number for number in range(300)), "RequestHeaderSectionTooLarge"),
        (b"x-a: " + b"a" * 40000 + b"\r\n", "RequestHeaderSectionTooLarge"),
        (
            b"".join(b"x-%d: %b\r\n" % (number, b"a" * 1000) for number in range(40)),
            "RequestHeaderSectionTooLarge",
        ),
    ],
    ids=["count", "one", "sum"],
)
def test_large_heads_are_refused(server: Server, head: bytes, code: str) -> None:
    answer = exchange(server.port, b"GET /a HTTP/1.1\r\n" + HOST + head + b"\r\n")
    assert (answer.status, answer.code) == (400, code)
    assert b"<MaxSizeAllowed>32768</MaxSizeAllowed>" in answer.body


def test_a_target_is_not_counted_as_a_header(server: Server) -> None:
    """A URL that was presigned with much metadata leaves the headers their room."""
    target = b"/echo?a=" + b"a" * 15000
    head = b"GET " + target + b" HTTP/1.1\r\n" + HOST
    assert exchange(server.port, head + b"x-a: " + b"a" * 30000 + b"\r\n\r\n").status == 200


def test_a_long_target_is_refused(server: Server) -> None:
    assert exchange(server.port, b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\n" + HOST + b"\r\n").status == 400


def test_a_header_that_never_ends_is_refused(server: Server) -> None:
    with connect(server.port) as connection:
        connection.sendall(b"GET /a HTTP/1.1\r\nx-endless: ")
        answer = None
        for _ in range(100):
            try:
                connection.sendall(b"a" * 65536)
            except ConnectionError:
                break
        answer = read_answer(connection)
        assert answer.status in {400, 0}
    assert exchange(server.port, b"GET /a HTTP/1.1\r\n" + HOST + b"\r\n").status == 200


@pytest.mark.parametrize(
    "framing",
    [
        b"zz\r\n12345\r\n",
        b"5\r\n1234567\r\n0\r\n\r\n",
        b"-5\r\n",
        b"fffffffffffffffff\r\n",
        b"5\n12345\n0\n\n",
    ],
    ids=["no_number", "too_long", "negative", "overflow", "bare_lf"],
)
def test_bad_chunks_are_a_bad_request_and_a_disconnect(server: Server, framing: bytes) -> None:
    with connect(server.port) as connection:
        connection.sendall(
            b"PUT /echo HTTP/1.1\r\n" + HOST + b"transfer-encoding: chunked\r\nexpect: 100-continue\r\n\r\n"
        )
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"  # the application waits
        connection.sendall(framing)
        answer = read_answer(connection)
        assert (answer.status, answer.code) == (400, "BadRequest")
        assert connection.recv(1) == b""

    def told() -> bool:
        events = exchange(server.port, b"GET /events HTTP/1.1\r\n" + HOST + b"\r\n").body
        return json.loads(events)[-1] == "disconnect"

    eventually(told, "the application sees a disconnect")


def test_garbage_after_a_request_waits_for_its_answer(server: Server) -> None:
    with connect(server.port) as connection:
        connection.sendall(
            b"GET /stream?size=3000000&length=3000000 HTTP/1.1\r\n" + HOST + b"\r\n" + b"GARBAGE\r\n\r\n"
        )
        reader = Pipelined(connection)
        assert len(read_answer(reader).body) == 3_000_000
        answer = read_answer(reader)
        assert (answer.status, answer.code) == (400, "BadRequest")


@pytest.mark.parametrize("offer", ["websocket", "h2c"])
def test_an_offer_to_upgrade_is_ignored(server: Server, offer: str) -> None:
    head = f"PUT /echo HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: {offer}\r\ncontent-length: 5\r\n\r\n"
    with connect(server.port) as connection:
        connection.sendall(head.encode() + b"12")
        connection.sendall(
            b"345" + b"GET /echo HTTP/1.1\r\nconnection: upgrade\r\nupgrade: h2c\r\nhost: x\r\n\r\n"
        )
        reader = Pipelined(connection)
        assert json.loads(read_answer(reader).body)["size"] == 5
        assert read_answer(reader).status == 200


def test_connect_with_a_path_is_refused(server: Server) -> None:
    assert exchange(server.port, b"CONNECT /a HTTP/1.1\r\n" + HOST + b"\r\n").status == 400


@pytest.mark.parametrize("target", ["/b/a%2Fb//c/../d%20e?x=%2F&y", "//b/k", "/b/%E2%82%AC"])
def test_the_raw_target_is_kept(server: Server, target: str) -> None:
    seen = json.loads(exchange(server.port, f"GET {target} HTTP/1.1\r\nhost: x\r\n\r\n".encode()).body)
    assert "?".join(filter(None, [seen["raw_path"], seen["query"]])) == target


def test_the_absolute_form_is_its_path(server: Server) -> None:
    seen = json.loads(exchange(server.port, b"GET http://x/b/k%2F?q=1 HTTP/1.1\r\n" + HOST + b"\r\n").body)
    assert (seen["raw_path"], seen["query"]) == ("/b/k%2F", "q=1")


def test_many_aborted_requests_leave_nothing(server: Server) -> None:
    for number in range(300):
        with connect(server.port) as connection:
            connection.sendall(
                b"PUT /echo HTTP/1.1\r\n" + HOST + b"content-length: 10\r\n\r\n123"[: number % 60]
            )
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    assert exchange(server.port, b"GET /echo HTTP/1.1\r\n" + HOST + b"\r\n").status == 200
