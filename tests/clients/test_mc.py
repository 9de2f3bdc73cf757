"""MinIO's client: the walk of the documentation, mirroring, sharing."""

import json
import re
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from harness import KEY, MIB, SECRET, Gateway, noise
from programs import Mc, grow, tree


@pytest.fixture
def mc(gateway: Gateway, tmp_path: Path) -> Mc:
    """The program, at home in the test's directory."""
    return Mc(gateway, tmp_path)


def test_the_walk(mc: Mc, gateway: Gateway, name: str, tmp_path: Path) -> None:
    """C-59 to C-63: alias, mb, cp up, cp down, ls; then rm and rb."""
    (tmp_path / "file.txt").write_bytes(noise(100_000))
    mc.run("alias", "set", "mine", gateway.url, KEY, SECRET)
    mc.run("mb", f"mine/{name}")
    mc.run("cp", tmp_path / "file.txt", f"mine/{name}/")
    mc.run("cp", f"mine/{name}/file.txt", tmp_path / "back.txt")
    assert (tmp_path / "back.txt").read_bytes() == noise(100_000)
    listed = json.loads(mc.run("--json", "ls", f"mine/{name}/"))
    assert (listed["key"], listed["size"]) == ("file.txt", 100_000)
    stat = json.loads(mc.run("--json", "stat", f"mine/{name}/file.txt"))
    assert stat["size"] == 100_000
    assert stat["metadata"]["Content-Type"] == "text/plain"
    mc.run("mv", f"mine/{name}/file.txt", f"mine/{name}/dir/file.txt")
    assert "file.txt" in mc.run("find", f"mine/{name}")
    mc.run("rm", f"mine/{name}/dir/file.txt")
    assert mc.run("ls", f"mine/{name}/") == ""
    mc.run("rb", f"mine/{name}")
    assert mc.try_to("ls", f"mine/{name}/").returncode != 0


def test_a_wrong_secret_is_told(mc: Mc, gateway: Gateway) -> None:
    failed = mc.try_to("alias", "set", "bad", gateway.url, KEY, SECRET[::-1])
    assert failed.returncode != 0
    assert "signature" in (failed.stdout + failed.stderr).lower()


def test_mirror(mc: Mc, s3: Any, bucket: str, tmp_path: Path) -> None:
    """C-64, both ways; what is no longer there goes with --remove."""
    files = {"a.txt": b"a", "sub/b c.txt": b"b" * 70_000, "ü/c+d%": b"c", "big": noise(17 * MIB)}
    local = grow(tmp_path / "local", files)
    mc.run("mirror", local, f"gw/{bucket}/prefix/")
    keys = {one["Key"]: one["Size"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"]}
    assert keys == {f"prefix/{key}": len(data) for key, data in files.items()}
    assert s3.head_object(Bucket=bucket, Key="prefix/big")["ETag"].endswith('-2"')
    before = {one["Key"]: one["LastModified"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"]}
    mc.run("mirror", "--overwrite", local, f"gw/{bucket}/prefix/")
    after = {one["Key"]: one["LastModified"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"]}
    assert after == before, "nothing changed, so nothing is sent"
    (local / "a.txt").unlink()
    mc.run("mirror", "--remove", "--overwrite", local, f"gw/{bucket}/prefix/")
    mc.run("mirror", f"gw/{bucket}/prefix/", tmp_path / "back")
    assert tree(tmp_path / "back") == tree(local)
    mc.run("rm", "--recursive", "--force", f"gw/{bucket}/prefix/")
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


def test_share(mc: Mc, s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="dir/k v", Body=b"shared")
    shared = mc.run("share", "download", "--expire", "1h", f"gw/{bucket}/dir/k v")
    (url,) = re.findall(r"^Share: (\S+)", shared, re.MULTILINE)
    with urllib.request.urlopen(url) as reply:
        assert reply.read() == b"shared"


def test_cat_pipe_and_du(mc: Mc, s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"text\n" * 3)
    assert mc.run("cat", f"gw/{bucket}/k") == "text\n" * 3
    assert mc.run("head", "-n", "1", f"gw/{bucket}/k") == "text\n"
    assert "15" in mc.run("du", f"gw/{bucket}")
