"""kill -9 in the middle of writing: what was acknowledged is there, byte for byte, and nothing else is."""

import os
import random
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from harness import MIB, Gateway, boto, eventually, noise, open_files
from wire import Signer, connect, request_bytes, send

SIZES = (100, 40_000, MIB + 1)
THREADS = 6


class Writers:
    """Threads that write objects and remember what was acknowledged, and what may or may not have been."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.acknowledged: dict[str, int] = {}
        self.doubtful: set[str] = set()
        self.stop = threading.Event()

    def write(self, thread: int) -> None:
        """Until told to stop: plain puts, every seventh one by multipart."""
        client = boto(self.gateway.url, connect_timeout=5, read_timeout=10)
        for number in range(100_000):
            if self.stop.is_set():
                break
            key, size = f"{thread}/{number}", SIZES[number % len(SIZES)]
            self.doubtful.add(key)
            with suppress(ClientError, BotoCoreError):
                (self.multipart if number % 7 == 6 else self.put)(client, key, size)
                self.acknowledged[key] = size
                self.doubtful.discard(key)
            if key in self.doubtful:
                self.stop.wait(0.1)  # a thousand refused connections a second prove nothing
        client.close()

    def put(self, client: Any, key: str, size: int) -> None:
        client.put_object(Bucket="bucket", Key=key, Body=noise(size))

    def multipart(self, client: Any, key: str, size: int) -> None:
        where = {"Bucket": "bucket", "Key": key}
        where["UploadId"] = client.create_multipart_upload(**where)["UploadId"]
        etag = client.upload_part(**where, PartNumber=1, Body=noise(size))["ETag"]
        client.complete_multipart_upload(
            **where, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]}
        )

    def run(self, disturb: Callable[[], None]) -> None:
        """Write in all threads while `disturb` runs."""
        with ThreadPoolExecutor(THREADS) as pool:
            running = [pool.submit(self.write, thread) for thread in range(THREADS)]
            try:
                disturb()
            finally:
                self.stop.set()
            for one in running:
                one.result()

    def check(self) -> None:
        """Everything acknowledged is there; what is there besides was at least tried, and is whole."""
        client = boto(self.gateway.url)
        listed = {
            entry["Key"]: entry["Size"]
            for page in client.get_paginator("list_objects_v2").paginate(Bucket="bucket")
            for entry in page.get("Contents", [])
        }
        assert {key: listed.get(key) for key in self.acknowledged} == self.acknowledged
        assert listed.keys() - self.acknowledged.keys() <= self.doubtful
        for key, size in listed.items():
            with client.get_object(Bucket="bucket", Key=key)["Body"] as stream:
                assert stream.read() == noise(size), key
        client.close()


def written(writers: Writers, count: int) -> None:
    """Wait until so many more writes were acknowledged."""
    goal = len(writers.acknowledged) + count
    eventually(lambda: len(writers.acknowledged) >= goal, f"{count} more writes", 30)


@pytest.mark.parametrize("durability", ["full", "relaxed"])
def test_workers_are_killed(start: Callable[..., Gateway], durability: str) -> None:
    """Each time one of two workers dies another takes its place, and the service goes on meanwhile."""
    gateway = start(backends={"durability": durability})
    gateway.s3().create_bucket(Bucket="bucket")
    writers, chance = Writers(gateway), random.Random(7)

    def disturb() -> None:
        for _ in range(2):
            written(writers, 10)
            before = gateway.workers()
            doomed = chance.choice(before)
            os.kill(doomed, signal.SIGKILL)
            eventually(
                lambda old=before, gone=doomed: (
                    gone not in gateway.workers() and len(gateway.workers()) == len(old)
                ),
                "another worker takes its place",
            )
            assert gateway.healthy()
        written(writers, 10)

    writers.run(disturb)
    writers.check()
    gateway.terminate()
    assert gateway.wait() == 0
    check_store(gateway)
    gateway.log.write_text("")  # it rightly complained about dead workers
    gateway.process = None


@pytest.mark.parametrize("durability", ["full", "relaxed"])
def test_everything_is_killed(tmp_path: Path, durability: str) -> None:
    """The whole tree dies at once, three times; each start recovers by itself."""
    gateway = Gateway(tmp_path / "gateway", settings={"backends": {"durability": durability}}).start()
    gateway.s3().create_bucket(Bucket="bucket")
    writers = Writers(gateway)

    def disturb() -> None:
        for _ in range(2):
            written(writers, 10)
            gateway.kill()
            gateway.start()
        written(writers, 10)

    try:
        writers.run(disturb)
        writers.check()
    except BaseException:
        gateway.stop(clean=False)
        raise
    gateway.stop(clean=True)
    check_store(gateway)


def check_store(gateway: Gateway) -> None:
    """fsck of a stopped store finds nothing wrong; what litter a crash left, it names and removes."""
    first = gateway.command("fsck")
    assert first.returncode == 0, first.stdout + first.stderr
    again = gateway.command("fsck")
    assert again.returncode == 0, again.stdout + again.stderr
    assert leftovers(gateway) == []


def leftovers(gateway: Gateway) -> list[str]:
    """Files of the temporary directory, and of the store's own."""
    places = [
        gateway.temp,
        *(path for path in gateway.data.rglob("*") if path.is_dir() and "t" in path.name[:3]),
    ]
    temporary = [place for place in places if place.name in {"temp", "tmp", "spool"}]
    return [str(file) for place in temporary if place.exists() for file in place.iterdir()]


def test_uploads_that_are_cut_leave_nothing(start: Callable[..., Gateway], signer: Signer) -> None:
    """A connection that ends in the middle of a body: no key, no temporary file, no descriptor; small and large ones."""
    gateway = start()
    s3 = gateway.s3()
    s3.create_bucket(Bucket="bucket")
    s3.put_object(Bucket="bucket", Key="k", Body=b"before")
    upload = s3.create_multipart_upload(Bucket="bucket", Key="k")["UploadId"]
    files = {path for path in gateway.data.rglob("*") if path.is_file()}
    host = f"127.0.0.1:{gateway.port}"
    targets = ("/bucket/k", "/bucket/new", f"/bucket/k?partNumber=1&uploadId={upload}")
    for size in (1000, 100_000, 3 * MIB, 20 * MIB):
        for target in targets:
            headers = signer.headers("PUT", target, host) | {"content-length": str(size)}
            with connect(gateway.port) as connection:
                connection.sendall(request_bytes("PUT", target, headers, noise(size)[: size // 2]))
    eventually(lambda: not open_temporary(gateway), "the temporary files are closed")
    assert leftovers(gateway) == []
    new = {path for path in gateway.data.rglob("*") if path.is_file()} - files
    assert not [path for path in new if path.stat().st_size >= 100_000 and "sqlite" not in path.name]
    assert [(one["Key"], one["Size"]) for one in s3.list_objects_v2(Bucket="bucket")["Contents"]] == [
        ("k", 6)
    ]
    assert "Parts" not in s3.list_parts(Bucket="bucket", Key="k", UploadId=upload)
    assert send(gateway.port, "GET", "/bucket/k", signer=signer).body == b"before"


def open_temporary(gateway: Gateway) -> list[str]:
    """Descriptors of nameless files in the workers."""
    names = [name for pid in gateway.workers() for name in open_files(pid)]
    return [name for name in names if "(deleted)" in name and not name.startswith("/memfd:")]
