"""Slow, idle and greedy clients."""

import socket
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress

from harness import MIB, Gateway, eventually, noise
from wire import Signer, connect, read_all, request_bytes, send, sha256

SECONDS = {"idle_timeout_seconds": 1.0, "header_timeout_seconds": 1.0, "body_timeout_seconds": 1.0}


def closed_after(port: int, *pieces: bytes) -> float:
    """Seconds until the server closes a connection on which only this was sent."""
    began = time.monotonic()
    with connect(port, 15) as connection:
        for piece in pieces:
            connection.sendall(piece)
        read_all(connection)
    return time.monotonic() - began


def test_cve_2022_31028_connections_do_not_stay(start: Callable[..., Gateway], signer: Signer) -> None:
    """MinIO: idle connections were kept for ever. Idle, half a header, half a body: each is closed in its time."""
    gateway = start(s3_gateway={**SECONDS, "workers": 1})
    assert send(gateway.port, "PUT", "/bucket", signer=signer).status == 200
    headers = signer.headers("PUT", "/bucket/k", f"127.0.0.1:{gateway.port}", sha256(b"x" * 100))
    body = request_bytes("PUT", "/bucket/k", headers | {"content-length": "100"}, b"x" * 50)
    assert closed_after(gateway.port) < 8
    assert closed_after(gateway.port, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n") < 8
    assert closed_after(gateway.port, b"GET /healthz HTT") < 8
    assert closed_after(gateway.port, b"GET /healthz HTTP/1.1\r\nHost: x\r\nA: ") < 8
    assert closed_after(gateway.port, body) < 8
    assert send(gateway.port, "GET", "/bucket/k", signer=signer).status == 404
    assert "Contents" not in gateway.s3().list_objects_v2(Bucket="bucket")


def test_a_header_in_drips_is_closed_too(start: Callable[..., Gateway]) -> None:
    """Slowloris: a byte now and then does not renew the time for the headers."""
    gateway = start(s3_gateway={**SECONDS, "workers": 1})
    began = time.monotonic()
    with connect(gateway.port, 0.2) as connection, suppress(ConnectionError):
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
        while time.monotonic() - began < 10:
            connection.sendall(b"A: b\r\n")
            with suppress(TimeoutError):
                if not connection.recv(1000):
                    break
    assert time.monotonic() - began < 8


def test_a_slow_reader_does_not_hold_memory(start: Callable[..., Gateway], signer: Signer) -> None:
    """Sixteen downloads of 20 MiB that nobody reads: what the kernel does not take, waits in the file."""
    gateway = start(s3_gateway={"workers": 1})
    s3 = gateway.s3()
    s3.create_bucket(Bucket="bucket")
    s3.put_object(Bucket="bucket", Key="k", Body=noise(20 * MIB))
    before = gateway.memory()
    wire = request_bytes("GET", "/bucket/k", signer.headers("GET", "/bucket/k", f"127.0.0.1:{gateway.port}"))
    with ExitStack() as stack:
        for _ in range(16):
            connection = stack.enter_context(connect(gateway.port))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.sendall(wire)
            connection.recv(1000)
        assert gateway.memory() - before < 64 * MIB
        assert gateway.healthy()
    eventually(lambda: gateway.connection_count() < 16, "their descriptors are freed")


def test_the_cap_on_connections(start: Callable[..., Gateway]) -> None:
    """More connections than allowed wait or are refused; afterwards all is well."""
    gateway = start(s3_gateway={"workers": 1, "max_connections": 16})
    with ExitStack() as stack:
        for _ in range(64):
            with suppress(OSError):
                stack.enter_context(connect(gateway.port, 2))
        eventually(lambda: gateway.connection_count() < 48, "those above the limit are closed")
    eventually(gateway.healthy, "it serves again")


def test_many_uploads_share_one_memory_limit(start: Callable[..., Gateway], signer: Signer) -> None:
    """64 bodies of 1 MiB in flight at once hold no more than `put_max_memory_buffer` together; the rest spools."""
    limits = {"put_memory_buffer_threshold": MIB, "put_max_memory_buffer": 4 * MIB, "workers": 1}
    gateway = start(s3_gateway=limits)
    gateway.s3().create_bucket(Bucket="bucket")
    before, data = gateway.memory(), noise(MIB)
    with ExitStack() as stack:
        waiting = []
        for number in range(64):
            target = f"/bucket/{number}"
            headers = signer.headers("PUT", target, f"127.0.0.1:{gateway.port}", sha256(data))
            connection = stack.enter_context(connect(gateway.port))
            connection.sendall(
                request_bytes("PUT", target, headers | {"content-length": str(MIB)}, data[:-1])
            )
            waiting.append(connection)
        assert gateway.healthy()
        assert gateway.memory() - before < 40 * MIB
        for connection in waiting:
            connection.sendall(data[-1:])
        assert all(connection.recv(12) == b"HTTP/1.1 200" for connection in waiting)
    assert gateway.s3().list_objects_v2(Bucket="bucket")["KeyCount"] == 64
