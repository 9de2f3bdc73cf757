"""s3cmd (both signatures) and rclone (copy, check, sync; with and without multipart)."""

import urllib.request
from pathlib import Path
from typing import Any

import pytest
from harness import MIB, Gateway, noise
from programs import Rclone, S3cmd, S3cmdV2, grow, tree

FILES = {"a.txt": b"a", "sub/b c.txt": noise(70_000), "sub/ü+%": b"c", "empty": b""}


@pytest.mark.parametrize("program", [S3cmd, S3cmdV2])
def test_s3cmd(gateway: Gateway, s3: Any, name: str, tmp_path: Path, program: type[S3cmd]) -> None:
    s3cmd, there = program(gateway, tmp_path), f"s3://{name}"
    local = grow(tmp_path / "local", FILES)
    s3cmd.run("mb", there)
    assert there in s3cmd.run("ls")
    s3cmd.run("sync", f"{local}/", f"{there}/prefix/")
    listed = {one["Key"]: one["Size"] for one in s3.list_objects_v2(Bucket=name)["Contents"]}
    assert listed == {f"prefix/{key}": len(data) for key, data in FILES.items()}
    assert "prefix/a.txt" in s3cmd.run("ls", "--recursive", there)
    s3cmd.run("get", f"{there}/prefix/sub/b c.txt", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == FILES["sub/b c.txt"]
    info = s3cmd.run("info", f"{there}/prefix/a.txt")
    assert "File size: 1" in info
    s3cmd.run("cp", f"{there}/prefix/a.txt", f"{there}/copy of ü")
    s3cmd.run("mv", f"{there}/copy of ü", f"{there}/moved")
    assert s3cmd.run("ls", f"{there}/moved").endswith("/moved\n")
    grow(tmp_path, {"big": noise(17 * MIB)})
    s3cmd.run("put", "--multipart-chunk-size-mb=5", tmp_path / "big", f"{there}/big")
    assert s3.head_object(Bucket=name, Key="big")["ETag"].endswith('-4"')
    s3cmd.run("get", f"{there}/big", tmp_path / "big back")
    assert (tmp_path / "big back").read_bytes() == noise(17 * MIB)
    url = s3cmd.run("signurl", f"{there}/moved", "+60").strip()
    with urllib.request.urlopen(url) as reply:
        assert reply.read() == b"a"
    with_acls = {"Rules": [{"ObjectOwnership": "ObjectWriter"}]}
    s3.put_bucket_ownership_controls(Bucket=name, OwnershipControls=with_acls)
    s3cmd.run("setacl", "--acl-public", f"{there}/moved")
    with urllib.request.urlopen(f"{gateway.url}/{name}/moved") as reply:
        assert reply.read() == b"a"
    s3cmd.run("del", "--recursive", "--force", f"{there}/")
    s3cmd.run("rb", there)


def test_rclone(gateway: Gateway, s3: Any, name: str, tmp_path: Path) -> None:
    rclone, there = Rclone(gateway, tmp_path), f"gw:{name}/prefix"
    local = grow(tmp_path / "local", FILES)
    rclone.run("mkdir", f"gw:{name}")
    assert name in rclone.run("lsd", "gw:")
    rclone.run("copy", local, there)
    listed = {one["Key"]: one["Size"] for one in s3.list_objects_v2(Bucket=name)["Contents"]}
    assert listed == {f"prefix/{key}": len(data) for key, data in FILES.items()}
    rclone.run("check", local, there)
    rclone.run("check", "--download", local, there)
    (local / "a.txt").unlink()
    rclone.run("sync", local, there)
    rclone.run("sync", there, tmp_path / "back")
    assert tree(tmp_path / "back") == tree(local)
    assert rclone.run("cat", f"{there}/sub/ü+%") == "c"
    rclone.run("moveto", f"{there}/empty", f"gw:{name}/moved")
    rclone.run("purge", f"gw:{name}")
    assert name not in rclone.run("lsd", "gw:")


@pytest.mark.parametrize(
    "streams", [(), ("--s3-upload-cutoff=5Mi", "--s3-chunk-size=5Mi", "--multi-thread-cutoff=4Mi")]
)
def test_rclone_large(
    gateway: Gateway, s3: Any, bucket: str, tmp_path: Path, streams: tuple[str, ...]
) -> None:
    rclone = Rclone(gateway, tmp_path)
    local = grow(tmp_path / "local", {"big": noise(13 * MIB)})
    rclone.run("copy", *streams, local, f"gw:{bucket}")
    assert s3.head_object(Bucket=bucket, Key="big")["ETag"].endswith('-3"') == bool(streams)
    rclone.run("copy", *streams, f"gw:{bucket}", tmp_path / "back")
    assert tree(tmp_path / "back") == {"big": noise(13 * MIB)}
    rclone.run("check", local, f"gw:{bucket}")
    rclone.run("copyto", *streams, f"gw:{bucket}/big", f"gw:{bucket}/copy")
    with s3.get_object(Bucket=bucket, Key="copy")["Body"] as stream:
        assert stream.read() == noise(13 * MIB)
