"""aws-chunked bodies over the wire: forged, cut, oversized, mislabelled; nothing of them is ever kept."""

import base64
import zlib
from dataclasses import replace

import pytest
from harness import Gateway
from wire import (
    SIGNED_CHUNKS,
    SIGNED_TRAILER,
    UNSIGNED_TRAILER,
    Answer,
    Signer,
    exchange,
    request_bytes,
    send,
)

DATA = [b"a" * 65536, b"b" * 65536, b"c" * 1000]
WHOLE = b"".join(DATA)
CRC = f"x-amz-checksum-crc32:{base64.b64encode(zlib.crc32(WHOLE).to_bytes(4, 'big')).decode()}"


class Sender:
    """Sends one aws-chunked PUT."""

    def __init__(self, gateway: Gateway, signer: Signer, bucket: str) -> None:
        self.port, self.signer, self.target = gateway.port, signer, f"/{bucket}/evil"

    def headers(self, payload: str, decoded: int | str = len(WHOLE), **extra: str) -> dict[str, str]:
        """Signed headers of such a request."""
        given = {"x-amz-decoded-content-length": str(decoded), "content-encoding": "aws-chunked"}
        if "TRAILER" in payload:
            given["x-amz-trailer"] = "x-amz-checksum-crc32"
        names = {name.replace("_", "-"): value for name, value in extra.items()}
        host = f"127.0.0.1:{self.port}"
        return self.signer.headers("PUT", self.target, host, payload, given | names)

    def put(self, headers: dict[str, str], body: bytes, length: int | None = None) -> Answer:
        """Send it; `length` overrides Content-Length."""
        headers = headers | {"content-length": str(len(body) if length is None else length)}
        return exchange(self.port, request_bytes("PUT", self.target, headers, body), "PUT")


@pytest.fixture
def sender(gateway: Gateway, signer: Signer, bucket: str) -> Sender:
    """For a bucket that may be written to."""
    return Sender(gateway, signer, bucket)


@pytest.fixture
def attacker(gateway: Gateway, signer: Signer, victim: str) -> Sender:
    """For a bucket that must stay as it is."""
    return Sender(gateway, signer, victim)


def test_the_good_ones(sender: Sender, gateway: Gateway, signer: Signer) -> None:
    """Signed chunks, signed chunks with a trailer, unsigned chunks with a trailer; the framing leaves no trace."""
    for payload, trailer in ((SIGNED_CHUNKS, ""), (SIGNED_TRAILER, CRC)):
        headers = sender.headers(payload, content_encoding="gzip,aws-chunked")
        assert sender.put(headers, signer.chunks(headers, DATA, trailer)).status == 200
        got = send(gateway.port, "GET", sender.target, signer=signer)
        assert got.body == WHOLE
        assert got.headers["content-encoding"] == "gzip"
    assert sender.put(sender.headers(UNSIGNED_TRAILER), unsigned(DATA, CRC)).status == 200
    got = send(gateway.port, "GET", sender.target, signer=signer)
    assert got.body == WHOLE
    assert "content-encoding" not in got.headers


def unsigned(pieces: list[bytes], trailer: str) -> bytes:
    """The framing without signatures."""
    frames = b"".join(f"{len(piece):x}\r\n".encode() + piece + b"\r\n" for piece in pieces)
    return frames + f"0\r\n{trailer}\r\n\r\n".encode()


def chunk_attacks(signer: Signer, headers: dict[str, str]) -> dict[str, bytes]:
    """Bodies whose chain of signatures does not hold."""
    good = signer.chunks(headers, DATA)
    other = replace(signer, secret="not the secret").chunks(headers, DATA)
    first = good.index(b"b" * 65536)
    return {
        "another secret": other,
        "changed byte": good[:first] + b"X" + good[first + 1 :],
        "changed last chunk": good.replace(b"c" * 1000, b"d" * 1000),
        "swapped chunks": signer.chunks(headers, [DATA[1], DATA[0], DATA[2]]).replace(
            b"b" * 65536, b"a" * 65536, 1
        ),
        "no signatures": unsigned(DATA, "").replace(b"0\r\n\r\n\r\n", b"0\r\n\r\n"),
        "empty signature": good.replace(good.partition(b"=")[2][:64], b"", 1),
        "final chunk unsigned": good[: good.rindex(b"0;chunk")] + b"0\r\n\r\n",
        "final chunk forged": good[: good.rindex(b"=") + 1] + b"0" * 64 + b"\r\n\r\n",
        "no final chunk": good[: good.rindex(b"0;chunk")],
        "data after the end": good + b"more",
        "a second stream": good + good,
    }


LABELS = list(chunk_attacks(Signer("k", "s"), {"x-amz-date": "20261121T000000Z", "authorization": "=0"}))


@pytest.mark.parametrize("label", LABELS)
def test_forged_chunks(attacker: Sender, signer: Signer, label: str) -> None:
    """CVE-2025-31489's relatives: every chunk is part of the chain, also the last."""
    headers = attacker.headers(SIGNED_CHUNKS)
    assert attacker.put(headers, chunk_attacks(signer, headers)[label]).refused()


def test_forged_trailers(attacker: Sender, signer: Signer) -> None:
    headers = attacker.headers(SIGNED_TRAILER)
    good = signer.chunks(headers, DATA, CRC)
    signature = good.rpartition(b"x-amz-trailer-signature:")[2][:64]
    wrong = "x-amz-checksum-crc32:AAAAAA=="
    forged = [
        good.replace(signature, b"0" * 64),
        good.replace(b"x-amz-trailer-signature:" + signature + b"\r\n", b""),
        good.replace(CRC.encode(), wrong.encode()),
        signer.chunks(headers, DATA, wrong),
        signer.chunks(headers, DATA, "x-amz-checksum-sha256:" + "A" * 43 + "="),
        signer.chunks(headers, DATA, f"{CRC}\r\nx-amz-acl:public-read"),
        good.replace(CRC.encode(), b"x-amz-meta-" + b"a" * 100_000 + b":b"),
    ]
    for number, body in enumerate(forged):
        assert attacker.put(headers, body).refused(), number


MALFORMED = {
    "no number": b"\r\n",
    "not hexadecimal": b"zz\r\nab\r\n0\r\n\r\n",
    "negative": b"-1\r\na\r\n0\r\n\r\n",
    "with a sign": b"+1\r\na\r\n0\r\n\r\n",
    "prefixed": b"0x1\r\na\r\n0\r\n\r\n",
    "blank before": b" 1\r\na\r\n0\r\n\r\n",
    "overflow": b"fffffffffffffffff\r\n",
    "versitygw 748912f header without end": b"1" * 100_000,
    "extension without end": b"1;" + b"a" * 100_000,
    "no line feed": b"1\ra\r\n0\r\n\r\n",
    "data too long": b"1\r\nab\r\n0\r\n\r\n",
    "data too short": b"5\r\nab\r\n0\r\n\r\n",
    "cut": b"ffff\r\nab",
    "trailer without colon": b"1\r\na\r\n0\r\nnonsense\r\n\r\n",
    "trailer of 1 MiB": b"1\r\na\r\n0\r\nx-amz-checksum-crc32:" + b"a" * 1_000_000,
    "thousand trailers": b"1\r\na\r\n0\r\n" + b"a:b\r\n" * 1000 + b"\r\n",
    "no trailer": b"1\r\na\r\n0\r\n\r\n",
    "unannounced trailer": b"1\r\na\r\n0\r\nx-amz-checksum-sha1:AAAA\r\n\r\n",
    "trailer twice": b"1\r\na\r\n0\r\nx-amz-checksum-crc32:6Le+Qw==\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n",
    "empty": b"",
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_malformed_framing(attacker: Sender, body: bytes) -> None:
    assert attacker.put(attacker.headers(UNSIGNED_TRAILER, 1), body).refused()


@pytest.mark.parametrize(
    "decoded", ["0", str(len(WHOLE) - 1), str(len(WHOLE) + 1), "-1", "", "x", "9" * 30, "1e3"]
)
def test_the_decoded_length_is_what_was_announced(attacker: Sender, signer: Signer, decoded: str) -> None:
    for payload, trailer in ((SIGNED_CHUNKS, ""), (SIGNED_TRAILER, CRC)):
        headers = attacker.headers(payload, decoded)
        assert attacker.put(headers, signer.chunks(headers, DATA, trailer)).refused()
    assert attacker.put(attacker.headers(UNSIGNED_TRAILER, decoded), unsigned(DATA, CRC)).refused()


def test_cloudserver_2236_v2_with_signed_chunks(gateway: Gateway, victim: str, signer: Signer) -> None:
    """V2 in the header with STREAMING-AWS4-… crashed; there is no seed signature to chain from."""
    amz = {"x-amz-content-sha256": SIGNED_CHUNKS, "x-amz-decoded-content-length": "1"}
    headers = signer.v2("PUT", f"/{victim}/evil", headers=amz) | {"host": "x", "content-length": "11"}
    answer = exchange(
        gateway.port, request_bytes("PUT", f"/{victim}/evil", headers, b"1\r\na\r\n0\r\n\r\n"), "PUT"
    )
    assert answer.refused()


def test_presigned_with_signed_chunks(gateway: Gateway, victim: str, signer: Signer) -> None:
    target = signer.presign("PUT", f"/{victim}/evil", f"127.0.0.1:{gateway.port}")
    extra = {"x-amz-content-sha256": SIGNED_CHUNKS, "x-amz-decoded-content-length": "1"}
    assert send(gateway.port, "PUT", target, body=b"1\r\na\r\n0\r\n\r\n", extra=extra).refused()


def test_a_million_tiny_chunks_are_borne(sender: Sender, gateway: Gateway) -> None:
    """One-byte chunks cost the sender six bytes each; memory stays flat, and the answer is clear."""
    body = b"1\r\na\r\n" * 300_000 + b"0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n"
    before = gateway.memory()
    assert sender.put(sender.headers(UNSIGNED_TRAILER, 300_000), body).refused()
    assert gateway.memory() - before < 32 * 1024 * 1024


def test_http_chunked_around_aws_chunked(sender: Sender, gateway: Gateway, signer: Signer) -> None:
    """Transfer-Encoding: chunked carries the aws-chunked stream of clients that do not know its length."""
    headers = sender.headers(UNSIGNED_TRAILER) | {"transfer-encoding": "chunked"}
    inner = unsigned(DATA, CRC)
    pieces = [inner[start : start + 10_007] for start in range(0, len(inner), 10_007)]
    outer = b"".join(f"{len(piece):x}\r\n".encode() + piece + b"\r\n" for piece in pieces) + b"0\r\n\r\n"
    answer = exchange(gateway.port, request_bytes("PUT", sender.target, headers, outer), "PUT")
    assert answer.status == 200
    assert send(gateway.port, "GET", sender.target, signer=signer).body == WHOLE
