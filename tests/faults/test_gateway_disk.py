"""A full disk: a clear error, nothing half-written, reads go on, and writing works again once there is room."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from harness import MIB, Gateway, noise


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("FULL DISK NOT TESTED: this user may not mount a tmpfs")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def status(call: Any, **parameters: Any) -> int:
    """The status, good or bad."""
    try:
        return int(call(**parameters)["ResponseMetadata"]["HTTPStatusCode"])
    except ClientError as error:
        return int(error.response["ResponseMetadata"]["HTTPStatusCode"])


def test_a_full_disk(small_disk: Path, tmp_path: Path) -> None:
    settings = {
        "backends": {"path": str(small_disk / "data")},
        "s3_gateway": {"put_temp_dir": str(small_disk / "data" / "temp")},
    }
    gateway = Gateway(tmp_path / "gateway", settings=settings).start()
    try:
        s3 = gateway.s3(read_timeout=20)
        s3.create_bucket(Bucket="bucket")
        statuses = [
            status(s3.put_object, Bucket="bucket", Key=f"{n:02}", Body=noise(3 * MIB, n)) for n in range(12)
        ]
        assert statuses[0] == 200
        assert set(statuses) - {200} <= {500, 503, 507}
        assert set(statuses) != {200}
        kept = [f"{n:02}" for n, code in enumerate(statuses) if code == 200]
        assert [one["Key"] for one in s3.list_objects_v2(Bucket="bucket")["Contents"]] == kept
        for key in kept:
            with s3.get_object(Bucket="bucket", Key=key)["Body"] as stream:
                assert stream.read() == noise(3 * MIB, int(key))
        small = [
            status(s3.put_object, Bucket="bucket", Key=f"s{n}", Body=noise(40_000, n)) for n in range(100)
        ]
        assert set(small) <= {200, 500, 503, 507}
        assert gateway.healthy()
        assert status(s3.delete_object, Bucket="bucket", Key=kept[0]) in {204, 500, 503, 507}
        assert status(s3.delete_object, Bucket="bucket", Key=kept[1]) == 204, "deleting must free a full disk"
        assert status(s3.put_object, Bucket="bucket", Key="after", Body=noise(MIB, 99)) == 200
        gateway.terminate()
        assert gateway.wait() == 0
        found = gateway.command("fsck")
        assert found.returncode == 0, found.stdout + found.stderr
    finally:
        gateway.stop(clean=False)
