"""The launcher and its workers: start, balance, crash, drain, certificates."""

import json
import os
import signal
import socket
import ssl
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from harness import eventually
from trivial import Server, serving
from wire import connect, exchange, read_all, read_answer

HELLO = b"GET /echo HTTP/1.1\r\nhost: x\r\n\r\n"


def ask(connection: socket.socket) -> dict[str, object]:
    connection.sendall(HELLO)
    return json.loads(read_answer(connection).body)


def begin_upload(connection: socket.socket, port: int) -> None:
    """Half of a body, and the certainty that the application waits for the rest."""
    connection.sendall(b"PUT /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\nexpect: 100-continue\r\n\r\n")
    assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
    connection.sendall(b"12345")


def refused(port: int) -> bool:
    try:
        connect(port).close()
    except ConnectionRefusedError:
        return True
    return False


@pytest.mark.parametrize("workers", [1, 2])
def test_serves_and_ends_with_code_0(tmp_path: Path, workers: int) -> None:
    with serving(tmp_path, workers=workers) as server:
        assert exchange(server.port, HELLO).status == 200
        assert len(server.workers()) == (0 if workers == 1 else workers)
        assert server.stop() == 0
        plural = "s" * (workers > 1)
        assert (
            f"s3gw listening on http://127.0.0.1:{server.port} with {workers} worker{plural}\n" in server.log
        )
        assert "Traceback" not in server.log


def test_deals_connections_evenly(tmp_path: Path) -> None:
    with serving(tmp_path, workers=2) as server:
        connections = [connect(server.port) for _ in range(16)]
        counts = Counter(ask(connection)["pid"] for connection in connections)
        assert sorted(counts.values()) == [8, 8]
        busier = counts.most_common()[0][0]
        left = [connection for connection in connections if ask(connection)["pid"] == busier]
        for connection in connections:
            if connection not in left:
                connection.close()
        other = [pid for pid in counts if pid != busier]

        def next_goes_to_the_idle_one() -> bool:
            with connect(server.port) as extra:
                return ask(extra)["pid"] in other

        assert eventually(next_goes_to_the_idle_one, "the launcher sees closed connections")
        for connection in left:
            connection.close()


def test_port_in_use_is_one_clear_line(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        second = Server(tmp_path / ".", port=server.port, workers=2)
        assert second.process.wait(20) == 1
        line = f"cannot start: port {server.port} is in use: choose another, e.g. --listen 127.0.0.1:{server.port + 1}"
        assert second.log.strip() == line


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("factory", "reason"),
    [("broken", "no such directory"), ("refusing", "the index is locked")],
)
def test_an_application_that_cannot_start_gives_its_reason(
    tmp_path: Path, factory: str, reason: str, workers: int
) -> None:
    server = Server(tmp_path, factory, workers=workers)
    assert server.process.wait(20) == 1
    assert f"cannot start: {reason}" in server.log or f"ValueError: {reason}" in server.log
    assert "Traceback" not in server.log


def test_a_worker_that_dies_at_start_ends_the_service(tmp_path: Path) -> None:
    server = Server(tmp_path, "exiting", workers=2)
    assert server.process.wait(20) == 1
    assert "ended with exit code 7 before it was ready" in server.log


def test_a_crashed_worker_is_started_again(tmp_path: Path) -> None:
    with serving(tmp_path, workers=2) as server:
        before = set(server.workers())
        exchange(server.port, b"GET /crash HTTP/1.1\r\nhost: x\r\n\r\n")
        eventually(lambda: len(set(server.workers()) - before) == 1, "another worker")
        both = Counter()

        def both_serve() -> bool:
            both[json.loads(exchange(server.port, HELLO).body)["pid"]] += 1
            return set(both) == set(server.workers())

        assert eventually(both_serve, "the new worker gets connections")
        assert "ended with exit code 3: starting another" in server.log
        assert server.stop() == 0


def test_a_drain_while_a_worker_is_being_replaced(tmp_path: Path) -> None:
    """The new worker reports ready after the port is closed: nothing may be accepted any more."""
    with serving(tmp_path, workers=2) as server:
        before = set(server.workers())
        os.kill(min(before), signal.SIGKILL)
        eventually(lambda: set(server.workers()) - before, "another worker begins to start")
        assert server.stop() == 0
        assert "cannot start" not in server.log


def test_the_launchers_death_ends_the_workers(tmp_path: Path) -> None:
    with serving(tmp_path, workers=2) as server:
        workers = server.workers()
        assert len(workers) == 2
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait()
        eventually(lambda: not any(running(pid) for pid in workers), "the workers end")
        assert refused(server.port)


def running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_drain_finishes_what_is_in_flight(tmp_path: Path, workers: int, number: int) -> None:
    with (
        serving(tmp_path, workers=workers) as server,
        connect(server.port) as busy,
        connect(server.port) as idle,
    ):
        ask(idle)
        begin_upload(busy, server.port)
        server.signal(number)
        assert idle.recv(1) == b""
        eventually(lambda: refused(server.port), "new connections are refused")
        assert server.process.poll() is None
        busy.sendall(b"67890")
        answer = read_answer(busy)
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert json.loads(answer.body)["size"] == 10
        assert server.process.wait(20) == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_drain_has_a_limit(tmp_path: Path, workers: int) -> None:
    with serving(tmp_path, workers=workers, shutdown_timeout=0.5) as server, connect(server.port) as busy:
        begin_upload(busy, server.port)
        server.signal(signal.SIGTERM)
        assert read_all(busy) == b""
        assert server.process.wait(20) == 1
        assert "Traceback" not in server.log


@pytest.mark.parametrize("workers", [1, 2])
def test_a_second_signal_ends_at_once(tmp_path: Path, workers: int) -> None:
    with serving(tmp_path, workers=workers) as server, connect(server.port) as busy:
        begin_upload(busy, server.port)
        server.signal(signal.SIGTERM)
        eventually(lambda: refused(server.port), "the drain began")
        server.signal(signal.SIGTERM)
        assert server.process.wait(10) == 1


def test_raises_the_limit_of_open_files(tmp_path: Path) -> None:
    with serving(tmp_path, workers=2) as server:
        for pid in server.workers():
            line = next(
                line for line in Path(f"/proc/{pid}/limits").read_text().splitlines() if "open files" in line
            )
            soft, hard = line.split()[3:5]
            assert soft == hard


def test_too_many_connections_get_slow_down(tmp_path: Path) -> None:
    with serving(tmp_path, max_connections=2) as server:
        kept = [connect(server.port) for _ in range(2)]
        for connection in kept:
            ask(connection)
        answer = exchange(server.port, HELLO)
        assert (answer.status, answer.code, answer.headers["connection"]) == (503, "SlowDown", "close")
        kept.pop().close()
        eventually(lambda: exchange(server.port, HELLO).status == 200, "a place is free again")
        kept.pop().close()


def make_certificate(directory: Path, name: str) -> None:
    """A self-signed pair for 127.0.0.1, written over the old one."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
    made = (
        builder.not_valid_before(now - timedelta(1))
        .not_valid_after(now + timedelta(1))
        .sign(key, hashes.SHA256())
    )
    (directory / "tls.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    encoding, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    text = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain)
    (directory / "tls.key").write_bytes(text)


def secure(port: int, **limits: ssl.TLSVersion) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for name, value in limits.items():
        setattr(context, name, value)
    return context.wrap_socket(connect(port))


def certificate_name(port: int) -> str:
    with secure(port) as connection:
        found = x509.load_der_x509_certificate(connection.getpeercert(True))
        return found.subject.rfc4514_string()


@pytest.mark.parametrize("workers", [1, 2])
def test_tls_reads_a_new_certificate_and_keeps_connections(tmp_path: Path, workers: int) -> None:
    make_certificate(tmp_path, "first")
    files = {"tls_certificate": str(tmp_path / "tls.crt"), "tls_key": str(tmp_path / "tls.key")}
    with serving(tmp_path, workers=workers, **files) as server, secure(server.port) as kept:
        assert f"https://127.0.0.1:{server.port}" in server.log
        assert ask(kept)["extensions"] == ["s3gw.tls"], "no files past the encryption"
        assert certificate_name(server.port) == "CN=first"
        make_certificate(tmp_path, "second")
        eventually(lambda: certificate_name(server.port) == "CN=second", "the new certificate")
        (tmp_path / "tls.key").write_text("broken")
        server.signal(signal.SIGHUP)
        eventually(lambda: "the old one stays" in server.log, "the broken pair is logged")
        assert certificate_name(server.port) == "CN=second"
        assert ask(kept)["size"] == 0
        assert server.stop() == 0


def test_tls_refuses_old_versions_and_plain_text(tmp_path: Path) -> None:
    make_certificate(tmp_path, "only")
    files = {"tls_certificate": str(tmp_path / "tls.crt"), "tls_key": str(tmp_path / "tls.key")}
    with serving(tmp_path, **files) as server:
        assert exchange(server.port, HELLO).status == 0
        with pytest.warns(DeprecationWarning, match="TLS"), pytest.raises((ssl.SSLError, ConnectionError)):
            secure(
                server.port, minimum_version=ssl.TLSVersion.TLSv1_1, maximum_version=ssl.TLSVersion.TLSv1_1
            )
        assert certificate_name(server.port) == "CN=only"


def test_a_missing_certificate_is_a_reason(tmp_path: Path) -> None:
    server = Server(tmp_path, workers=2, tls_certificate=str(tmp_path / "none.crt"), tls_key="")
    assert server.process.wait(20) == 1
    assert "cannot start: FileNotFoundError" in server.log
