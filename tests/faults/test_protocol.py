"""The protocol under clients that stall, vanish, hurry or half-listen; and what it needs of uvicorn."""

import inspect
import json
import os
import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import uvicorn.protocols.http.httptools_impl as impl
from harness import eventually, open_files
from trivial import Server, serving
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.server import ServerState
from wire import Pipelined, connect, exchange, read_all, read_answer

QUICK = {"idle_timeout": 1.0, "header_timeout": 0.6, "body_timeout": 0.6}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("plain")) as found:
        yield found


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("quick"), **QUICK) as found:
        yield found


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "file"
    path.write_bytes(os.urandom(24 * 1024 * 1024))
    return path


def get(target: str, *extra: str, method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {target} HTTP/1.1", "host: x", *extra, "", ""]).encode()


def seen(server: Server) -> list[str]:
    return json.loads(exchange(server.port, get("/events")).body)


# What this relies on


def test_uvicorn_has_what_the_protocol_overrides() -> None:
    protocol = impl.HttpToolsProtocol
    methods = (
        "connection_made connection_lost eof_received data_received pause_writing resume_writing shutdown "
        "on_message_begin on_url on_header on_headers_complete on_body on_message_complete on_response_complete "
        "_start_asgi_task"
    )
    missing = [name for name in methods.split() if not callable(getattr(protocol, name, None))]
    assert not missing, f"uvicorn's HttpToolsProtocol lost {missing}"
    parameters = list(inspect.signature(protocol.__init__).parameters)
    assert parameters[:5] == ["self", "config", "server_state", "app_state", "_loop"]
    source = inspect.getsource(protocol)
    for name in (
        "parser flow transport pipeline cycle scope headers connections tasks expect_100_continue url".split()
    ):
        assert re.search(rf"self\.{name}\b", source), f"uvicorn's HttpToolsProtocol lost the attribute {name}"
    used = set(re.findall(r"self\.cycle\.(\w+)", inspect.getsource(protocol.connection_lost)))
    assert used <= {"response_complete", "disconnected", "message_event"}, (
        f"uvicorn uses more of a cycle: {used}"
    )
    assert impl.STATUS_LINE[404] == b"HTTP/1.1 404 Not Found\r\n"


def test_uvicorn_has_the_state_and_flow_control() -> None:
    assert {"total_requests", "connections", "tasks", "default_headers"} <= set(vars(ServerState()))
    for name in ("drain", "pause_reading", "resume_reading", "pause_writing", "resume_writing"):
        assert callable(getattr(FlowControl, name, None)), f"uvicorn's FlowControl lost {name}"


# Time-outs


def test_an_idle_connection_is_closed(quick: Server) -> None:
    with connect(quick.port) as connection:
        connection.sendall(get("/echo"))
        assert read_answer(connection).status == 200
        assert connection.recv(1) == b""


def test_a_silent_connection_is_closed(quick: Server) -> None:
    with connect(quick.port) as connection:
        assert connection.recv(1) == b""


def test_a_slow_head_is_refused_however_it_drips(quick: Server) -> None:
    with connect(quick.port) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: x\r\nx-slow: ")
        connection.settimeout(0.1)
        received = b""
        for _ in range(100):
            with suppress(TimeoutError):
                received = connection.recv(65536)
                break
            connection.sendall(b"a")
        assert received.startswith(b"HTTP/1.1 400 ")
        assert b"<Code>RequestTimeout</Code>" in received


def test_a_stalled_body_is_refused_and_the_application_told(quick: Server) -> None:
    with connect(quick.port) as connection:
        connection.sendall(get("/echo", "content-length: 10", method="PUT") + b"12345")
        answer = read_answer(connection)
        assert (answer.status, answer.code, answer.headers["connection"]) == (400, "RequestTimeout", "close")
    eventually(lambda: seen(quick)[-1] == "disconnect", "the application sees a disconnect")


@pytest.mark.parametrize("target", ["/stream?size=400000000", "/file?count=25165824&spans=9&path="])
def test_a_reader_that_stalls_is_dropped(quick: Server, data: Path, target: str) -> None:
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(20)
        connection.connect(("127.0.0.1", quick.port))
        connection.sendall(get(target + str(data) if target.endswith("=") else target))
        assert connection.recv(10)
        eventually(lambda: seen(quick)[-1] == "disconnect", "the application sees a disconnect")


# Bodies that nobody reads, and 100 Continue


def test_continue_is_sent_when_the_application_reads(server: Server) -> None:
    with connect(server.port) as connection:
        connection.sendall(get("/echo", "content-length: 5", "expect: 100-continue", method="PUT"))
        assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"12345" + get("/echo"))
        reader = Pipelined(connection)
        assert json.loads(read_answer(reader).body)["size"] == 5
        assert read_answer(reader).status == 200


def test_no_continue_before_an_early_answer(server: Server) -> None:
    with connect(server.port) as connection:
        connection.sendall(get("/early", "content-length: 5", "expect: 100-continue", method="PUT"))
        received = read_all(connection)
        assert received.startswith(b"HTTP/1.1 403 ")
        assert b"\r\nconnection: close\r\n" in received
        assert received.endswith(b"no")


def test_a_client_that_is_still_sending_gets_an_early_answer(server: Server) -> None:
    with connect(server.port) as connection:
        connection.sendall(get("/early", "content-length: 900000", method="PUT"))
        for _ in range(9):
            connection.sendall(b"b" * 100_000)
        answer = read_answer(connection)
        assert (answer.status, len(answer.body)) == (403, 2000)
        assert connection.recv(1) == b""


def test_an_endless_unwanted_body_is_cut(server: Server) -> None:
    with connect(server.port) as connection:
        connection.sendall(get("/early", "content-length: 1000000000", method="PUT"))
        sent = 0
        with suppress(ConnectionError):
            while sent < 500_000_000:
                sent += connection.send(b"b" * 1_000_000)
        assert sent < 100_000_000


def test_a_body_that_was_sent_with_the_head_keeps_the_connection(server: Server) -> None:
    with connect(server.port) as connection:
        connection.sendall(get("/early", "content-length: 5", method="PUT") + b"12345" + get("/echo"))
        reader = Pipelined(connection)
        assert read_answer(reader).status == 403
        assert read_answer(reader).status == 200


def test_a_vanished_uploader_disconnects_the_application(server: Server) -> None:
    with connect(server.port) as connection:
        connection.sendall(get("/echo", "content-length: 10", method="PUT") + b"12345")
        eventually(lambda: seen(server)[-1] == "begin", "the application reads")
    eventually(lambda: seen(server)[-1] == "disconnect", "the application sees a disconnect")


def test_a_client_that_closes_its_half_gets_its_answer(server: Server, data: Path) -> None:
    with connect(server.port) as connection:
        connection.sendall(get(f"/file?count=10000000&path={data}"))
        connection.shutdown(socket.SHUT_WR)
        assert len(read_answer(connection).body) == 10_000_000


# Answers


def test_a_large_body_arrives_whole(server: Server) -> None:
    body = os.urandom(3_000_000)
    with connect(server.port) as connection:
        for _ in range(2):
            connection.sendall(get("/echo", f"content-length: {len(body)}", method="PUT") + body)
            assert json.loads(read_answer(connection).body)["size"] == len(body)


def test_a_chunked_body_arrives_whole(server: Server) -> None:
    framed = b"5\r\n12345\r\n" * 1000 + b"0\r\n\r\n"
    answer = exchange(server.port, get("/echo", "transfer-encoding: chunked", method="PUT") + framed)
    assert json.loads(answer.body)["size"] == 5000


def test_pipelined_requests_are_answered_in_order(server: Server, data: Path) -> None:
    wanted = [f"/file?offset={number}&count=70000&path={data}" for number in range(10)]
    with connect(server.port) as connection:
        connection.sendall(b"".join(map(get, wanted)))
        content, reader = data.read_bytes(), Pipelined(connection)
        for number in range(10):
            assert read_answer(reader).body == content[number : number + 70000]


def test_a_stream_without_length_is_chunked_or_closed(server: Server) -> None:
    assert len(exchange(server.port, get("/stream?size=200000")).body) == 200_000
    with connect(server.port) as connection:
        connection.sendall(b"GET /stream?size=200000 HTTP/1.0\r\n\r\n")
        received = read_all(connection)
    assert b"chunked" not in received
    assert len(received.partition(b"\r\n\r\n")[2]) == 200_000


def test_a_failure_before_the_first_byte_is_an_s3_error(server: Server) -> None:
    for target in ("/fail", "/fail?start=1"):
        answer = exchange(server.port, get(target))
        assert (answer.status, answer.code) == (500, "InternalError")


def test_a_failure_after_the_first_byte_cuts_the_connection(server: Server) -> None:
    with connect(server.port) as connection:
        connection.sendall(get("/fail?start=1&body=1"))
        assert b"Error" not in read_all(connection)


@pytest.mark.parametrize(("length", "size"), [(10, 20), (20, 10)])
def test_an_answer_must_have_its_announced_length(server: Server, length: int, size: int) -> None:
    with connect(server.port) as connection:
        connection.sendall(get(f"/stream?size={size}&length={length}"))
        assert len(read_all(connection).partition(b"\r\n\r\n")[2]) != length


@pytest.mark.parametrize("value", ["a%0d%0ax-evil:%201", "a%0ab", "a%0db", "a%00b"])
def test_a_header_value_cannot_be_split(server: Server, value: str) -> None:
    answer = exchange(server.port, get(f"/split?value={value}"))
    assert answer.status == 500
    assert "x-evil" not in answer.headers


# Files


@pytest.mark.parametrize("count", [0, 1, 4096, 5_000_000, 24 * 1024 * 1024])
def test_a_file_is_sent_exactly(server: Server, data: Path, count: int) -> None:
    with connect(server.port) as connection:
        for offset in (0, min(12345, 24 * 1024 * 1024 - count)):
            connection.sendall(get(f"/file?offset={offset}&count={count}&path={data}"))
            answer = read_answer(connection)
            assert answer.headers["content-length"] == str(count)
            with data.open("rb") as file:
                file.seek(offset)
                assert answer.body == file.read(count)


def test_a_file_in_several_pieces(server: Server, data: Path) -> None:
    answer = exchange(server.port, get(f"/file?count=3000000&spans=4&path={data}"))
    assert answer.body == data.read_bytes()[:3_000_000] * 4


def test_head_of_a_file_has_its_length_and_no_body(server: Server, data: Path) -> None:
    with connect(server.port) as connection:
        for _ in range(2):
            connection.sendall(get(f"/file?count=4096&path={data}", method="HEAD"))
            answer = read_answer(connection, "HEAD")
            assert (answer.status, answer.headers["content-length"]) == (200, "4096")


def test_a_file_that_is_too_short_cuts_the_connection(server: Server, data: Path) -> None:
    size = data.stat().st_size
    with connect(server.port) as connection:
        connection.sendall(get(f"/file?offset={size - 100}&count=200&path={data}"))
        assert len(read_all(connection).partition(b"\r\n\r\n")[2]) <= 100


def test_a_file_longer_than_its_announced_length_is_refused(server: Server, data: Path) -> None:
    answer = exchange(server.port, get(f"/file?count=200&length=100&path={data}"))
    assert answer.status == 500


def test_clients_that_leave_in_the_middle_leak_nothing(server: Server, data: Path) -> None:
    target = get(f"/file?count=20000000&path={data}")
    exchange(server.port, get("/echo"))
    before = len(open_files(server.process.pid))
    for _ in range(50):
        with connect(server.port) as connection:
            connection.sendall(target)
            connection.recv(1000)
    eventually(lambda: len(open_files(server.process.pid)) <= before, "all descriptors are free")
