"""Memory of the gateway's whole process tree during 4 uploads and 4 downloads of 1 GiB at once.

    python -m bench.memory

Prints the peaks of RSS and PSS, and exits 1 if PSS went above the limit (200 MiB). RSS counts pages that several
processes share (the interpreter, libraries) once for each of them.
"""

import argparse
import asyncio
import itertools
import sys
import tempfile
from pathlib import Path

import uvloop

from bench.load import Call, Connection, Signer, Target
from bench.procs import Memory, memory
from bench.servers import DEFAULT_COMMAND, s3gw, target

_MIB = 1 << 20
_SAMPLE_SECONDS = 0.1


async def upload(endpoint: Target, key: str, size: int) -> None:
    """Send `size` bytes, never more at once than the socket takes."""
    loop = asyncio.get_running_loop()
    signer = Signer(endpoint)
    head = signer.head(
        "PUT", f"/{endpoint.bucket}/{key}", payload="UNSIGNED-PAYLOAD", extra=f"content-length: {size}\r\n"
    )
    _, connection = await loop.create_connection(Uploader, "127.0.0.1", endpoint.port)
    answer = connection.call(Call(head))
    piece = bytes(_MIB)
    for _ in range(size // _MIB):
        await connection.drain()
        if answer.done():  # refused: the error is raised below
            break
        connection.transport.write(piece)
    await answer
    connection.transport.close()


class Uploader(Connection):
    """A connection that can wait until the transport takes more."""

    def pause_writing(self) -> None:
        """The transport's buffer is full."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """It is not any more."""
        self._writable.set()

    async def drain(self) -> None:
        """Wait until it takes more."""
        await self._writable.wait()


async def download(endpoint: Target, key: str, size: int) -> None:
    """Read an object and check its length."""
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(Connection, "127.0.0.1", endpoint.port)
    await connection.call(Call(Signer(endpoint).head("GET", f"/{endpoint.bucket}/{key}"), length=size))
    connection.transport.close()


async def watch(pid: int) -> Memory:
    """Sample until cancelled; the peak."""
    peak = Memory()
    try:
        while True:
            peak = peak.peak(memory(pid))
            await asyncio.sleep(_SAMPLE_SECONDS)
    except asyncio.CancelledError:
        return peak


async def measure(endpoint: Target, pid: int, streams: int, size: int) -> Memory:
    """The peak while `streams` uploads and as many downloads run at once."""
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(Connection, "127.0.0.1", endpoint.port)
    await connection.call(
        Call(Signer(endpoint).head("PUT", f"/{endpoint.bucket}", extra="content-length: 0\r\n"))
    )
    connection.transport.close()
    await upload(endpoint, "source", size)
    watcher = asyncio.create_task(watch(pid))
    await asyncio.sleep(0)
    uploads = [upload(endpoint, f"target-{number}", size) for number in range(streams)]
    downloads = [download(endpoint, "source", size) for _ in range(streams)]
    await asyncio.gather(*itertools.chain(uploads, downloads))
    watcher.cancel()
    return await watcher


def main() -> None:
    """Measure and print; exit code 1 above the limit."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--command", default=DEFAULT_COMMAND, help="how to start s3gw, with {conf} and {port}"
    )
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--directory", type=Path, help="where the data lie (default: a temporary directory)")
    parser.add_argument("--streams", type=int, default=4, help="uploads, and downloads, at once")
    parser.add_argument("--mib", type=int, default=1024, help="size of each")
    parser.add_argument("--limit-mib", type=float, default=200.0)
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(dir=given.directory, prefix="s3gw-bench-") as place,
        s3gw(Path(place) / "s3gw", given.command, given.workers) as running,
    ):
        before = memory(running.pid)
        peak = uvloop.run(measure(target(running), running.pid, given.streams, given.mib * _MIB))
    print(f"at rest: RSS {before.rss / _MIB:.0f} MiB, PSS {before.pss / _MIB:.0f} MiB")
    print(
        f"peak:    RSS {peak.rss / _MIB:.0f} MiB, PSS {peak.pss / _MIB:.0f} MiB (limit {given.limit_mib:.0f} MiB)"
    )
    sys.exit(peak.pss / _MIB > given.limit_mib)


if __name__ == "__main__":
    main()
