"""What any client writes, every client reads, byte for byte: all sizes, all pairs."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from harness import SIZES, Gateway, noise
from programs import AwsCli, Boto3, Curl, Mc, Program, Rclone, S3cmd, S3cmdV2, grow, tree

CLIENTS: list[type[Program]] = [AwsCli, Mc, Boto3, Curl, S3cmd, S3cmdV2, Rclone]
FILES = {f"{size}.bin": noise(size) for size in SIZES} | {
    "dir with space/a+b %41.txt": b"odd names",
    "dir with space/ünï/日本語.txt": b"more of them",
}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files to send."""
    return grow(tmp_path_factory.mktemp("source"), FILES)


@pytest.mark.parametrize("writer", CLIENTS, ids=lambda one: one.__name__)
def test_written_by_one_read_by_all(
    gateway: Gateway, s3: Any, bucket: str, source: Path, tmp_path: Path, writer: type[Program]
) -> None:
    (tmp_path / "home").mkdir()
    writer(gateway, tmp_path / "home").upload(source, bucket, "up/")
    listed = {one["Key"]: one["Size"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"]}
    assert listed == {f"up/{name}": len(data) for name, data in FILES.items()}
    for reader in CLIENTS:
        target = tmp_path / reader.__name__
        target.mkdir()
        reader(gateway, tmp_path / "home").download(bucket, "up/", target)
        assert tree(target) == FILES, f"written by {writer.__name__}, read by {reader.__name__}"
        shutil.rmtree(target)
