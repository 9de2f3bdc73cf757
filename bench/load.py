"""A bounded load generator: keep-alive connections on one event loop, each sending its next request after an answer.

Every answer's status and length are verified. Requests are signed here (SigV4, header), with a signed payload hash or
UNSIGNED-PAYLOAD.

    python -m bench.load --port 9900 --key KEY --secret SECRET --op get --size 4096 --connections 16 --seconds 5
"""

import argparse
import asyncio
import hashlib
import hmac
import itertools
import json
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from statistics import quantiles
from typing import cast

import uvloop

_EMPTY = hashlib.sha256(b"").hexdigest()
_LIST_PREFIX = "list/"
_LIST_BYTES = 100_000
"""A list of 1,000 keys is longer than this."""
OPERATIONS = ("get", "put", "head", "list", "range")


@dataclass(frozen=True, slots=True)
class Target:
    """An S3 endpoint on the loopback, its key, and the bucket to use."""

    port: int
    key: str
    secret: str
    bucket: str = "bench"
    region: str = "us-east-1"


@dataclass(frozen=True, slots=True)
class Workload:
    """What to send: `size` bytes per object, `objects` of them, `connections` at once; ends by time or number."""

    op: str
    size: int = 4096
    objects: int = 200
    connections: int = 16
    seconds: float = 3.0
    requests: int = 1_000_000
    signed_payload: bool = True


@dataclass(slots=True)
class Result:
    """What came back. `latencies` are seconds per request; `body_bytes` are those of objects."""

    requests: int = 0
    body_bytes: int = 0
    seconds: float = 0.0
    errors: int = 0
    latencies: list[float] = field(default_factory=list)

    def percentile(self, percent: int) -> float:
        """Seconds that `percent` of the requests took at most."""
        if len(self.latencies) < 2:
            return sum(self.latencies)
        return quantiles(self.latencies, n=100, method="inclusive")[percent - 1]


class Signer:
    """Signature V4 in the header. Source: https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html"""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._host = f"127.0.0.1:{target.port}"
        self._day = ""
        self._key = b""

    def _derive(self, day: str) -> None:
        key = f"AWS4{self._target.secret}".encode()
        for part in (day, self._target.region, "s3", "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        self._day, self._key = day, key

    def head(self, method: str, path: str, query: str = "", payload: str = _EMPTY, extra: str = "") -> bytes:
        """The head of a signed request; `extra` are further header lines, unsigned. `query` is canonical already."""
        when = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        if when[:8] != self._day:
            self._derive(when[:8])
        names = "host;x-amz-content-sha256;x-amz-date"
        headers = f"host:{self._host}\nx-amz-content-sha256:{payload}\nx-amz-date:{when}\n"
        canonical = f"{method}\n{path}\n{query}\n{headers}\n{names}\n{payload}"
        scope = f"{self._day}/{self._target.region}/s3/aws4_request"
        text = f"AWS4-HMAC-SHA256\n{when}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        signature = hmac.digest(self._key, text.encode(), "sha256").hex()
        target = f"{path}?{query}" if query else path
        return (
            f"{method} {target} HTTP/1.1\r\nhost: {self._host}\r\nx-amz-content-sha256: {payload}\r\n"
            f"x-amz-date: {when}\r\nauthorization: AWS4-HMAC-SHA256 Credential={self._target.key}/{scope},"
            f"SignedHeaders={names},Signature={signature}\r\n{extra}\r\n"
        ).encode()


@dataclass(frozen=True, slots=True)
class Call:
    """A request and the answer that is right: its status, and the length of its body (None: any, `at_least`)."""

    head: bytes
    body: bytes = b""
    status: int = 200
    length: int | None = None
    at_least: int = 0
    bodyless: bool = False


class Connection(asyncio.Protocol):
    """One connection with one request in flight. `call` returns the number of body bytes, or raises ValueError."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[int] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self.closing = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's own class is not a subclass

    def connection_lost(self, exc: Exception | None) -> None:
        """The server ended it."""
        self.closing = True
        self._writable.set()
        self._fail("connection lost")

    def call(self, request: Call) -> "asyncio.Future[int]":
        """Send a request; the future is its answer."""
        self._request = request
        self._buffer = b""
        self._left: int | None = None
        self._count = 0
        self._waiter = self._loop.create_future()
        self.transport.write(request.head)
        if request.body:
            self.transport.write(request.body)
        return self._waiter

    def data_received(self, data: bytes) -> None:
        """A piece of the answer."""
        if self._left is None:
            self._buffer += data
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            self._read_head(self._buffer[:end].lower())
            data = self._buffer[end + 4 :]
        if self._left is not None:
            self._read_body(data)

    def _read_head(self, head: bytes) -> None:
        status = int(head[9:12])
        if status != self._request.status:
            self._fail(f"status {status}")
            return
        self.closing |= b"\r\nconnection: close" in head
        _, found, rest = head.partition(b"\r\ncontent-length:")
        self._left = int(rest.partition(b"\r\n")[0]) if found else -1
        expected = self._request.length
        if found and expected is not None and self._left != expected:
            self._fail(f"length {self._left} instead of {expected}")
        elif self._request.bodyless:
            self._left = 0

    def _read_body(self, data: bytes) -> None:
        """Count; without a Content-Length the body is chunked and ends with its last chunk."""
        self._count += len(data)
        if self._left == -1:
            self._buffer = (self._buffer + data)[-5:]
            ended = self._buffer == b"0\r\n\r\n"
        else:
            ended = self._count >= (self._left or 0)
        if ended and self._count < self._request.at_least:
            self._fail(f"a body of {self._count} bytes only")
        elif ended and self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(self._count)

    def _fail(self, why: str) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(ValueError(why))


class Client:
    """Keeps a connection, and takes a new one when the server announced that it closes the old one."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection: Connection | None = None

    async def call(self, request: Call) -> int:
        """The number of body bytes of the right answer. Raises ValueError for any other answer."""
        if self._connection is None or self._connection.closing:
            self.close()
            loop = asyncio.get_running_loop()
            _, self._connection = await loop.create_connection(Connection, "127.0.0.1", self._port)
        return await self._connection.call(request)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.transport.close()
            self._connection = None


class Load:
    """One run of a workload."""

    def __init__(self, target: Target, work: Workload) -> None:
        self._target, self._work = target, work
        self._signer = Signer(target)
        self._body = b"x" * work.size if work.op == "put" else b""
        self._digest = hashlib.sha256(self._body).hexdigest() if work.signed_payload else "UNSIGNED-PAYLOAD"
        self._numbers = itertools.count()

    def call(self) -> Call:
        """The next request."""
        number = next(self._numbers)
        key = f"/{self._target.bucket}/o{self._work.size}/{number % self._work.objects:06d}"
        return getattr(self, f"_{self._work.op}")(key)  # type: ignore[no-any-return]

    def _get(self, key: str) -> Call:
        return Call(self._signer.head("GET", key), length=self._work.size)

    def _head(self, key: str) -> Call:
        return Call(self._signer.head("HEAD", key), length=self._work.size, bodyless=True)

    def _put(self, key: str) -> Call:
        extra = f"content-length: {len(self._body)}\r\n"
        return Call(self._signer.head("PUT", key, payload=self._digest, extra=extra), self._body)

    def _range(self, key: str) -> Call:
        half = max(1, self._work.size // 2)
        return Call(
            self._signer.head("GET", key, extra=f"range: bytes=0-{half - 1}\r\n"), status=206, length=half
        )

    def _list(self, _key: str) -> Call:
        query = f"list-type=2&max-keys=1000&prefix={_LIST_PREFIX.replace('/', '%2F')}"
        return Call(self._signer.head("GET", f"/{self._target.bucket}", query), at_least=_LIST_BYTES)

    async def run(self) -> Result:
        """Send, until the time or the number is reached."""
        result = Result()
        began = time.perf_counter()
        deadline = began + self._work.seconds
        await asyncio.gather(*(self._client(result, deadline) for _ in range(self._work.connections)))
        result.seconds = time.perf_counter() - began
        return result

    async def _client(self, result: Result, deadline: float) -> None:
        client = Client(self._target.port)
        try:
            while (began := time.perf_counter()) < deadline and result.requests < self._work.requests:
                result.requests += 1
                received = await client.call(self.call())
                result.latencies.append(time.perf_counter() - began)
                result.body_bytes += received or len(self._body)
        except ValueError:
            result.errors += 1
        finally:
            client.close()


def run(target: Target, work: Workload) -> Result:
    """Run a workload; all objects it reads are there already (`prepare`)."""
    return uvloop.run(Load(target, work).run())


def prepare(target: Target, work: Workload) -> None:
    """Make the bucket and the objects that a workload reads. Raises RuntimeError if the server refuses."""
    uvloop.run(_prepare(target, work))


async def _prepare(target: Target, work: Workload) -> None:
    client, signer = Client(target.port), Signer(target)
    with suppress(ValueError):  # it is there already
        await client.call(Call(signer.head("PUT", f"/{target.bucket}", extra="content-length: 0\r\n")))
    client.close()
    try:
        if work.op == "list":
            for number in range(1000):
                path = f"/{target.bucket}/{_LIST_PREFIX}{number:06d}"
                await client.call(Call(signer.head("PUT", path, extra="content-length: 0\r\n")))
        elif work.op != "put":
            writes = Load(target, replace(work, op="put"))
            for _ in range(work.objects):
                await client.call(writes.call())
    except ValueError as error:
        raise RuntimeError(f"cannot prepare {work}: {error}") from error
    finally:
        client.close()


def main() -> None:
    """Run one workload and print its figures as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--secret", required=True)
    parser.add_argument("--op", choices=OPERATIONS, default="get")
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--objects", type=int, default=200)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--unsigned-payload", action="store_true")
    given = parser.parse_args()
    target = Target(given.port, given.key, given.secret)
    work = Workload(
        given.op,
        given.size,
        given.objects,
        given.connections,
        min(given.seconds, 60.0),
        signed_payload=not given.unsigned_payload,
    )
    prepare(target, work)
    result = run(target, work)
    figures = {name: value for name, value in asdict(result).items() if name != "latencies"}
    figures |= {"p50_ms": result.percentile(50) * 1000, "p99_ms": result.percentile(99) * 1000}
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
