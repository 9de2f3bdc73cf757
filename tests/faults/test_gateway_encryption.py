"""Encrypted stores in trouble: changed bytes, lost keys, and a new master key while everybody writes."""

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, HTTPClientError, ResponseStreamingError
from harness import MIB, Gateway, eventually, noise, refusal

ENCRYPTED = {"ServerSideEncryption": "AES256"}
LARGE = 6 * MIB


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Gateway]:
    """A gateway that encrypts everything. Its log may have complaints: they are what is tested."""
    settings = {"encryption": {"key_file": str(tmp_path / "keys.jsonl"), "default": "AES256"}}
    gateway = Gateway(tmp_path / "gateway", settings=settings)
    try:
        gateway.start().s3().create_bucket(Bucket="bucket")
        yield gateway
    finally:
        gateway.stop(clean=False)


def get(s3: Any, key: str, **options: Any) -> bytes:
    data: bytes = s3.get_object(Bucket="bucket", Key=key, **options)["Body"].read()
    return data


def body_of(server: Gateway, size: int) -> Path:
    """The file of the only body that is larger."""
    return next(file for file in server.data.rglob("*") if file.is_file() and file.stat().st_size > size)


def change(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset, os.SEEK_END if offset < 0 else os.SEEK_SET)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))


def test_everything_is_encrypted_by_default(server: Gateway) -> None:
    s3 = server.s3()
    assert s3.put_object(Bucket="bucket", Key="k", Body=b"data")["ServerSideEncryption"] == "AES256"
    assert get(s3, "k") == b"data"


def test_changed_bytes_are_never_sent(server: Gateway) -> None:
    s3, data = server.s3(), noise(LARGE)
    s3.put_object(Bucket="bucket", Key="k", Body=data)
    path = body_of(server, LARGE)
    change(path, -1)
    assert get(s3, "k", Range="bytes=0-99") == data[:100], "what is whole can be read"
    with pytest.raises((HTTPClientError, ResponseStreamingError)):
        get(s3, "k")
    change(path, 100)
    assert refusal(s3.get_object, Bucket="bucket", Key="k") == (500, "InternalError")
    assert (
        refusal(
            s3.copy_object, Bucket="bucket", Key="c", CopySource="bucket/k", ServerSideEncryption="aws:kms"
        )[0]
        == 500
    )
    assert refusal(s3.head_object, Bucket="bucket", Key="c")[0] == 404


def test_a_file_that_was_cut_short(server: Gateway) -> None:
    s3 = server.s3()
    s3.put_object(Bucket="bucket", Key="k", Body=noise(LARGE))
    os.truncate(body_of(server, LARGE), LARGE // 2)
    with pytest.raises((ClientError, HTTPClientError, ResponseStreamingError)):
        get(s3, "k")


def test_without_its_keys_nothing_is_stored_plain(server: Gateway, tmp_path: Path) -> None:
    s3 = server.s3()
    s3.put_object(Bucket="bucket", Key="k", Body=b"data")
    keys = tmp_path / "keys.jsonl"
    kept = keys.read_text()
    keys.write_text("{}\n")
    assert refusal(s3.get_object, Bucket="bucket", Key="k") == (500, "InternalError")
    assert refusal(s3.put_object, Bucket="bucket", Key="new", Body=b"data") == (500, "InternalError")
    assert s3.list_objects_v2(Bucket="bucket")["KeyCount"] == 1
    keys.write_text(kept)
    assert get(s3, "k") == b"data"


def test_the_master_key_of_the_environment(tmp_path: Path) -> None:
    settings = {"encryption": {"key_file": str(tmp_path / "keys.jsonl")}}
    gateway = Gateway(
        tmp_path / "gateway", settings, {"S3GW_MASTER_KEY": "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY="}
    )
    try:
        s3 = gateway.start().s3()
        s3.create_bucket(Bucket="bucket")
        s3.put_object(Bucket="bucket", Key="k", Body=b"data", **ENCRYPTED)
        assert get(s3, "k") == b"data"
        assert not (tmp_path / "keys.jsonl").exists()
    finally:
        gateway.stop()


class Writers:
    """Threads that overwrite and read the same keys until they are told to end; `failures` should stay empty."""

    def __init__(self, server: Gateway) -> None:
        self.failures: list[str] = []
        self.rounds = 0
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(server, number)) for number in range(3)]

    def __enter__(self) -> "Writers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _run(self, server: Gateway, number: int) -> None:
        s3 = server.s3(name=f"writer {number}")
        while not self._end.is_set():
            data = os.urandom(100)
            try:
                s3.put_object(Bucket="bucket", Key=f"w{number}", Body=data)
                if get(s3, f"w{number}") != data:
                    self.failures.append("other bytes")
            except ClientError as error:
                self.failures.append(str(error))
            self.rounds += 1


def command(server: Gateway, *arguments: str) -> dict[str, Any]:
    done = server.command("keys", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_master_key_is_rotated_on_a_live_gateway(server: Gateway) -> None:
    s3 = server.s3()
    s3.put_bucket_versioning(Bucket="bucket", VersioningConfiguration={"Status": "Suspended"})
    stored = {f"k{number}": noise(1000 * number, number) for number in range(60)}
    for key, data in stored.items():
        s3.put_object(Bucket="bucket", Key=key, Body=data)
    s3.put_object(Bucket="bucket", Key="large", Body=noise(LARGE))
    upload = s3.create_multipart_upload(Bucket="bucket", Key="m")["UploadId"]
    part = {"Bucket": "bucket", "Key": "m", "UploadId": upload}
    etag = s3.upload_part(**part, PartNumber=1, Body=b"part")["ETag"]
    body = body_of(server, LARGE)
    before = body.read_bytes()
    old = json.loads(server.command("keys", "list", "--json").stdout)[0]["id"]
    with Writers(server) as writers:
        eventually(lambda: writers.rounds > 5, "the writers write")
        done = command(server, "rotate")
        rounds = writers.rounds
        eventually(lambda: writers.rounds > rounds + 5, "the writers write on")
    assert writers.failures == []
    assert done["id"] != old
    assert done["wrapped"] >= len(stored) + 1
    assert done["uploads"] == 1
    assert body.read_bytes() == before
    assert {key: get(s3, key) for key in stored} == stored
    refused = server.command("keys", "disable", "--id", old)
    assert refused.returncode == 1
    assert "1 objects, versions or uploads need" in refused.stderr
    s3.complete_multipart_upload(**part, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]})
    resumed = command(server, "rotate", "--resume")
    assert (resumed["id"], resumed["wrapped"], resumed["uploads"]) == (done["id"], 1, 0)
    assert command(server, "disable", "--id", old)["enabled"] is False
    assert {key: get(s3, key) for key in stored} == stored
    assert get(s3, "large") == noise(LARGE)
    assert get(s3, "m") == b"part"
    assert [get(s3, f"w{number}") for number in range(3)]
    command(server, "disable", "--id", done["id"], "--force")
    assert refusal(s3.get_object, Bucket="bucket", Key="k1") == (500, "InternalError")
    command(server, "enable", "--id", done["id"])
    assert get(s3, "k1") == stored["k1"]


def test_memory_stays_flat(server: Gateway) -> None:
    """256 MiB encrypted up and down, in parts of what fits into memory many times."""
    s3 = server.s3()
    s3.put_object(Bucket="bucket", Key="warm", Body=noise(LARGE))
    get(s3, "warm")
    before, peak, end = server.memory(), 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not end.wait(0.05):
            peak = max(peak, server.memory())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        s3.put_object(Bucket="bucket", Key="k", Body=bytes(256 * MIB))
        body = s3.get_object(Bucket="bucket", Key="k")["Body"]
        assert sum(map(len, body.iter_chunks(MIB))) == 256 * MIB
    finally:
        end.set()
        watcher.join()
    assert peak - before < 48 * MIB
