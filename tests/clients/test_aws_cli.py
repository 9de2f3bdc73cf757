"""The AWS command line: the walk of the documentation, synchronising, multipart, presigned URLs, s3api."""

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from harness import MIB, Gateway, noise
from programs import AwsCli, grow, tree


@pytest.fixture
def aws(gateway: Gateway, tmp_path: Path) -> AwsCli:
    """The program, at home in the test's directory."""
    return AwsCli(gateway, tmp_path)


def test_the_walk(aws: AwsCli, name: str, tmp_path: Path) -> None:
    """C-53 to C-57: mb, cp up, cp down, ls, rm, rb."""
    file = tmp_path / "file.txt"
    file.write_bytes(b"Hello, S3\n")
    assert f"make_bucket: {name}" in aws.run("s3", "mb", f"s3://{name}")
    assert "upload:" in aws.run("s3", "cp", file, f"s3://{name}/")
    assert "download:" in aws.run("s3", "cp", f"s3://{name}/file.txt", tmp_path / "back.txt")
    assert (tmp_path / "back.txt").read_bytes() == file.read_bytes()
    assert aws.run("s3", "ls", f"s3://{name}/").split()[2:] == ["10", "file.txt"]
    assert name in aws.run("s3", "ls")
    assert "delete:" in aws.run("s3", "rm", f"s3://{name}/file.txt")
    assert aws.run("s3", "ls", f"s3://{name}/") == ""
    assert "remove_bucket" in aws.run("s3", "rb", f"s3://{name}")
    failed = aws.try_to("s3", "ls", f"s3://{name}/")
    assert failed.returncode != 0
    assert "NoSuchBucket" in failed.stderr


def test_sync(aws: AwsCli, s3: Any, bucket: str, tmp_path: Path) -> None:
    """C-58. A second run moves nothing; a changed file and a deleted one are all that a third one moves."""
    files = {"a.txt": b"a", "sub/b c.txt": b"b" * 70_000, "sub/ü/c": b"", "d+e%.txt": b"d"}
    local = grow(tmp_path / "local", files)
    there = f"s3://{bucket}/prefix/"
    assert aws.run("s3", "sync", local, there).count("upload:") == len(files)
    assert aws.run("s3", "sync", local, there) == ""
    (local / "a.txt").write_bytes(b"changed")
    (local / "d+e%.txt").unlink()
    third = aws.run("s3", "sync", "--delete", local, there)
    assert (third.count("upload:"), third.count("delete:")) == (1, 1)
    aws.run("s3", "sync", there, tmp_path / "back")
    assert tree(tmp_path / "back") == tree(local)
    assert aws.run("s3", "sync", there, tmp_path / "back") == ""
    assert aws.run("s3", "sync", there, f"s3://{bucket}/other/").count("copy:") == 3
    assert len(s3.list_objects_v2(Bucket=bucket, Prefix="other/")["Contents"]) == 3


def test_large_files_and_moves(aws: AwsCli, s3: Any, bucket: str, tmp_path: Path) -> None:
    """Multipart up, parallel ranges down, a copy by parts, and a move on the server."""
    big = tmp_path / "big"
    big.write_bytes(noise(20 * MIB + 3))
    aws.run("s3", "cp", "--quiet", "--content-type", "text/x", "--metadata", "a=b", big, f"s3://{bucket}/big")
    head = s3.head_object(Bucket=bucket, Key="big")
    assert head["ETag"].endswith('-3"')
    assert (head["ContentType"], head["Metadata"]) == ("text/x", {"a": "b"})
    aws.run("s3", "cp", "--quiet", f"s3://{bucket}/big", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == big.read_bytes()
    aws.run("s3", "mv", f"s3://{bucket}/big", f"s3://{bucket}/moved to/big")
    assert [one["Key"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["moved to/big"]
    with s3.get_object(Bucket=bucket, Key="moved to/big")["Body"] as stream:
        assert stream.read() == big.read_bytes()
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)


def test_recursive_listing_and_removal(aws: AwsCli, s3: Any, bucket: str) -> None:
    for key in ("a", "dir/b", "dir/c/d"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x" * 10)
    flat = aws.run("s3", "ls", f"s3://{bucket}/")
    assert "PRE dir/" in flat
    assert flat.split()[-1] == "a"
    deep = aws.run("s3", "ls", "--recursive", "--summarize", f"s3://{bucket}")
    assert "Total Objects: 3" in deep
    assert "Total Size: 30" in deep
    aws.run("s3", "rm", "--recursive", f"s3://{bucket}/")
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


def test_presign(aws: AwsCli, s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k ü", Body=b"v")
    url = aws.run("s3", "presign", f"s3://{bucket}/k ü", "--expires-in", "60").strip()
    with urllib.request.urlopen(url) as reply:
        assert reply.read() == b"v"


def test_a_pipe(aws: AwsCli, s3: Any, bucket: str, tmp_path: Path) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"from the gateway")
    assert aws.run("s3", "cp", f"s3://{bucket}/k", "-") == "from the gateway"


def test_s3api(aws: AwsCli, bucket: str, tmp_path: Path) -> None:
    """Options that the other commands do not reach."""
    file = tmp_path / "file"
    file.write_bytes(b"0123456789")
    where = ("--bucket", bucket, "--key", "k")
    put = json.loads(aws.run("s3api", "put-object", *where, "--body", file, "--checksum-algorithm", "SHA256"))
    assert put["ChecksumSHA256"]
    refused = aws.try_to("s3api", "put-object", *where, "--body", file, "--if-none-match", "*")
    assert "PreconditionFailed" in refused.stderr
    got = json.loads(aws.run("s3api", "get-object", *where, "--range", "bytes=2-4", tmp_path / "part"))
    assert (tmp_path / "part").read_bytes() == b"234"
    assert got["ContentRange"] == "bytes 2-4/10"
    attributes = aws.run(
        "s3api", "get-object-attributes", *where, "--object-attributes", "ObjectSize", "ETag"
    )
    assert json.loads(attributes)["ObjectSize"] == 10
