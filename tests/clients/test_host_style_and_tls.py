"""Buckets in the host name, and HTTPS with a certificate that changes while the gateway runs."""

import hashlib
import ipaddress
import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from harness import KEY as ACCESS_KEY
from harness import MIB, SECRET, Gateway, boto, eventually, noise
from programs import AwsCli, Curl, Mc, Rclone, S3cmd, grow, tree
from wire import Signer, exchange, request_bytes


@pytest.fixture
def hosted(start: Callable[..., Gateway]) -> Gateway:
    """A gateway that takes `BUCKET.localhost` and `BUCKET.s3.example.com`."""
    return start(s3_gateway={"domains": ["localhost", "s3.example.com"]})


def ask(gateway: Gateway, signer: Signer, method: str, host: str, target: str, body: bytes = b"") -> Any:
    """A signed request with a Host of its own."""
    headers = signer.headers(method, target, host, hashlib.sha256(body).hexdigest())
    headers["content-length"] = str(len(body))
    return exchange(gateway.port, request_bytes(method, target, headers, body), method)


def test_by_hand(hosted: Gateway, signer: Signer) -> None:
    port = hosted.port
    assert ask(hosted, signer, "PUT", f"my.bucket.s3.example.com:{port}", "/").status == 200
    assert ask(hosted, signer, "PUT", "my.bucket.s3.example.com", "/dir/key%20%C3%BC", b"v").status == 200
    by_path = ask(hosted, signer, "GET", f"127.0.0.1:{port}", "/my.bucket/dir/key%20%C3%BC")
    assert (by_path.status, by_path.body) == (200, b"v")
    assert ask(hosted, signer, "GET", "MY.bucket.S3.example.COM", "/dir/key%20%C3%BC").body == b"v"
    listing = ask(hosted, signer, "GET", "my.bucket.s3.example.com", "/?list-type=2")
    assert b"<Name>my.bucket</Name>" in listing.body
    assert b"ListAllMyBucketsResult" in ask(hosted, signer, "GET", "s3.example.com", "/").body
    other = ask(hosted, signer, "GET", "my.bucket.s3.elsewhere.com", "/dir/key%20%C3%BC")
    assert (other.status, other.code) == (404, "NoSuchBucket")


@pytest.fixture
def resolving(monkeypatch: pytest.MonkeyPatch) -> None:
    """`BUCKET.localhost` is the loopback (RFC 6761), also where the resolver does not know it."""
    ask = socket.getaddrinfo

    def answer(host: Any, *arguments: Any, **options: Any) -> Any:
        return ask("127.0.0.1" if str(host).endswith("localhost") else host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", answer)


@pytest.mark.usefixtures("resolving")
def test_boto3(hosted: Gateway, name: str) -> None:
    """Both signatures, and what they presign."""
    url = f"http://localhost:{hosted.port}"
    for version in ("s3v4", "s3"):
        client = boto(url, signature_version=version, s3={"addressing_style": "virtual"})
        bucket = f"{name}-{version}"
        client.create_bucket(Bucket=bucket)
        client.put_object(Bucket=bucket, Key="a b/ü", Body=noise(70_000))
        with client.get_object(Bucket=bucket, Key="a b/ü")["Body"] as stream:
            assert stream.read() == noise(70_000)
        signed = client.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "a b/ü"})
        assert signed.startswith(f"http://{bucket}.localhost:")
        client.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "a b/ü"})
        assert client.list_objects_v2(Bucket=bucket)["KeyCount"] == 2
        client.close()


def test_curl(hosted: Gateway, name: str, tmp_path: Path) -> None:
    hosted.s3().create_bucket(Bucket=name)
    hosted.s3().put_object(Bucket=name, Key="k", Body=b"v")
    curl = Curl(hosted, tmp_path)
    resolve = ("--resolve", f"{name}.localhost:{hosted.port}:127.0.0.1")
    assert curl.run(*resolve, f"http://{name}.localhost:{hosted.port}/k") == "v"


def certify(directory: Path, serial: int) -> tuple[Path, Path]:
    """Write a self-signed certificate and its key for 127.0.0.1 and localhost."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for name, content in (
        ("tls.key", private),
        ("tls.pem", certificate.public_bytes(serialization.Encoding.PEM)),
    ):
        (directory / f"{name}.new").write_bytes(content)
        (directory / f"{name}.new").replace(directory / name)
    return directory / "tls.pem", directory / "tls.key"


def serial_of(port: int) -> int:
    """The serial number of the certificate that a new connection gets."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port), 5) as plain, context.wrap_socket(plain) as secure:
        der = secure.getpeercert(binary_form=True)
    assert der is not None
    return x509.load_der_x509_certificate(der).serial_number


@pytest.fixture
def secure(tmp_path: Path) -> Any:
    """A gateway over HTTPS."""
    certificate, key = certify(tmp_path, 1001)
    settings = {"s3_gateway": {"tls_certificate": str(certificate), "tls_key": str(key)}}

    class Secure(Gateway):
        def healthy(self) -> bool:
            try:
                return serial_of(self.port) > 0
            except OSError:
                return False

    gateway = Secure(tmp_path / "secure", settings=settings, scheme="https")
    try:
        yield gateway.start()
    except BaseException:
        gateway.stop(clean=False)
        raise
    gateway.stop()


def test_https(secure: Gateway, name: str, tmp_path: Path) -> None:
    """All of it over TLS, a certificate replaced in between, and a connection of before that goes on."""
    client = boto(secure.url, verify=str(tmp_path / "tls.pem"))
    client.create_bucket(Bucket=name)
    for size in (0, 10, 70_000, MIB + 1, 6 * MIB):
        client.put_object(Bucket=name, Key="k", Body=noise(size))
        with client.get_object(Bucket=name, Key="k")["Body"] as stream:
            assert stream.read() == noise(size)
    with client.get_object(Bucket=name, Key="k", Range="bytes=5242878-")["Body"] as stream:
        assert stream.read() == noise(6 * MIB)[5242878:]
    certify(tmp_path, 1002)
    eventually(
        lambda: [serial_of(secure.port) for _ in range(4)] == [1002] * 4,
        "all workers show the new certificate",
    )
    assert client.head_object(Bucket=name, Key="k")["ContentLength"] == 6 * MIB
    client.close()
    fresh = boto(secure.url, verify=str(tmp_path / "tls.pem"))
    assert fresh.head_object(Bucket=name, Key="k")["ContentLength"] == 6 * MIB
    fresh.close()


def test_programs_over_https(secure: Gateway, name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(noise(9 * MIB))
    aws = AwsCli(secure, tmp_path)
    trust = ("--ca-bundle", tmp_path / "tls.pem")
    aws.run(*trust, "s3", "mb", f"s3://{name}")
    aws.run(*trust, "s3", "cp", "--quiet", tmp_path / "file", f"s3://{name}/k")
    mc = Mc(secure, tmp_path)
    mc.run("--insecure", "cp", f"gw/{name}/k", tmp_path / "by mc")
    assert (tmp_path / "by mc").read_bytes() == noise(9 * MIB)
    S3cmd(secure, tmp_path).run("get", f"s3://{name}/k", tmp_path / "by s3cmd")
    assert (tmp_path / "by s3cmd").read_bytes() == noise(9 * MIB)


def test_customers_keys_of_rclone(secure: Gateway, name: str, tmp_path: Path) -> None:
    """rclone sends the key of an SSE-C object over TLS only: parts, copies, reads."""
    rclone, there = Rclone(secure, tmp_path), f"gw:{name}/c"
    local = grow(tmp_path / "local", {"one": b"one", "big": noise(13 * MIB)})
    trust = ("--ca-cert", tmp_path / "tls.pem")
    parts = ("--s3-upload-cutoff=5Mi", "--s3-chunk-size=5Mi")
    key = ("--s3-sse-customer-algorithm=AES256", f"--s3-sse-customer-key={'k' * 32}")
    rclone.run("copy", *trust, *parts, *key, local, there)
    rclone.run("copyto", *trust, *key, f"{there}/big", f"{there}/copy")
    rclone.run("copy", *trust, *key, there, tmp_path / "back")
    assert tree(tmp_path / "back") == tree(local) | {"copy": noise(13 * MIB)}
    assert rclone.try_to("copy", *trust, there, tmp_path / "without").returncode != 0


def test_plain_http_on_the_secure_port(secure: Gateway) -> None:
    """It is refused or cut, never served, and the gateway goes on."""
    answer = exchange(secure.port, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.status in {0, 400}
    assert secure.healthy()
    assert ACCESS_KEY not in secure.log.read_text()
    assert SECRET not in secure.log.read_text()
