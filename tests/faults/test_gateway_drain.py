"""SIGTERM while requests are in flight: they finish, new connections are refused, the exit code is 0."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import MIB, Gateway, eventually, noise
from wire import Signer, connect, read_all, read_answer, request_bytes, send

SIZE = 8 * MIB


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    """One that the test itself ends."""
    settings = {"s3_gateway": {"shutdown_timeout_seconds": 20}}
    server = Gateway(tmp_path / "gateway", settings=settings).start()
    server.s3().create_bucket(Bucket="bucket")
    server.s3().put_object(Bucket="bucket", Key="down", Body=noise(SIZE))
    try:
        yield server
    finally:
        if server.process is not None and server.process.poll() is None:
            server.stop(clean=False)


def refused(port: int) -> bool:
    """Whether a new connection gets no answer any more."""
    try:
        with connect(port, 5) as connection:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            return b" 200 " not in read_all(connection)
    except OSError:
        return True


def test_drain(gateway: Gateway, signer: Signer) -> None:
    """A slow upload and a slow download of before the signal both come to their good end."""
    host, data = f"127.0.0.1:{gateway.port}", noise(SIZE, 1)
    put = signer.headers("PUT", "/bucket/up", host, hashlib.sha256(data).hexdigest())
    get = signer.headers("GET", "/bucket/down", host)
    with (
        connect(gateway.port, 30) as up,
        connect(gateway.port, 30) as down,
        connect(gateway.port, 30) as idle,
    ):
        up.sendall(request_bytes("PUT", "/bucket/up", put | {"content-length": str(SIZE)}, data[: SIZE // 2]))
        down.sendall(request_bytes("GET", "/bucket/down", get))
        begun = down.recv(1000)
        idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert read_answer(idle).status == 200
        gateway.terminate()
        eventually(lambda: refused(gateway.port), "new connections are refused")
        assert gateway.process is not None
        assert gateway.process.poll() is None, "it waits for what is in flight"
        received = bytearray(begun)
        reader = threading.Thread(target=lambda: received.extend(read_all(down)))
        reader.start()
        up.sendall(data[SIZE // 2 :])
        assert read_answer(up, "PUT").status == 200
        reader.join(30)
        assert bytes(received).partition(b"\r\n\r\n")[2] == noise(SIZE)
    assert gateway.wait() == 0
    assert not gateway.complaints()
    gateway.process = None
    gateway.start()
    with gateway.s3("again").get_object(Bucket="bucket", Key="up")["Body"] as stream:
        assert stream.read() == data
    gateway.stop()


def test_the_limit_of_patience(tmp_path: Path, signer: Signer) -> None:
    """A request that never ends does not keep the gateway for ever."""
    gateway = Gateway(tmp_path / "g", settings={"s3_gateway": {"shutdown_timeout_seconds": 1}}).start()
    gateway.s3().create_bucket(Bucket="bucket")
    headers = signer.headers("PUT", "/bucket/k", f"127.0.0.1:{gateway.port}") | {"content-length": "1000000"}
    with connect(gateway.port, 30) as up:
        up.sendall(request_bytes("PUT", "/bucket/k", headers, b"x" * 1000))
        assert send(gateway.port, "GET", "/healthz").status == 200
        gateway.terminate()
        assert gateway.wait(15) == 1, "the exit code tells that something had to be cut"
        assert b"HTTP/1.1 200" not in read_all(up)
    gateway.process = None
    gateway.start()
    assert "Contents" not in gateway.s3("again").list_objects_v2(Bucket="bucket")
    gateway.stop()


def test_a_taken_port_is_told(start: Callable[..., Gateway], tmp_path: Path) -> None:
    """C-75: a clear line with the port, exit code not 0, no traceback."""
    first = start()
    second = Gateway(tmp_path / "second")
    second.directory.mkdir()
    second.port = first.port
    second.write_configuration()
    done = second.command("serve")
    assert done.returncode not in {0, -15}
    assert str(first.port) in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    assert first.healthy()
