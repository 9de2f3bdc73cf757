"""s3cmd (both signatures) and rclone (copy, check, sync; with and without multipart), and what they know of features."""

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from harness import MIB, Gateway, eventually, noise
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


POLICY = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject"}
CORS = (
    "<CORSConfiguration><CORSRule><AllowedOrigin>https://a.example</AllowedOrigin>"
    "<AllowedMethod>GET</AllowedMethod></CORSRule></CORSConfiguration>"
)
LIFECYCLE = (
    "<LifecycleConfiguration><Rule><ID>mine</ID><Prefix/><Status>Enabled</Status>"
    "<Expiration><Days>2</Days></Expiration></Rule></LifecycleConfiguration>"
)


def status(url: str) -> int:
    """What an unsigned GET is answered."""
    try:
        with urllib.request.urlopen(url) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


@pytest.mark.parametrize("program", [S3cmd, S3cmdV2])
def test_s3cmd_configures(
    gateway: Gateway, s3: Any, bucket: str, tmp_path: Path, program: type[S3cmd]
) -> None:
    s3cmd, there = program(gateway, tmp_path), f"s3://{bucket}"
    policy = {
        "Version": "2012-10-17",
        "Statement": [{**POLICY, "Resource": f"arn:aws:s3:::{bucket}/*"}],
    }
    for file, text in (("policy", json.dumps(policy)), ("cors", CORS), ("lifecycle", LIFECYCLE)):
        (tmp_path / file).write_text(text)
    s3.put_object(Bucket=bucket, Key="k", Body=b"v")
    s3cmd.run("setpolicy", "policy", there)
    assert status(f"{gateway.url}/{bucket}/k") == 200
    s3cmd.run("setcors", "cors", there)
    info = s3cmd.run("info", there)
    assert "<AllowedOrigin>https://a.example</AllowedOrigin>" in info
    assert '"s3:GetObject"' in info
    s3cmd.run("delpolicy", there)
    s3cmd.run("delcors", there)
    assert status(f"{gateway.url}/{bucket}/k") == 403
    assert "Policy:    none" in s3cmd.run("info", there)
    s3cmd.run("expire", "--expiry-days=3", "--expiry-prefix=x/", there)
    assert "<Prefix>x/</Prefix>" in s3cmd.run("getlifecycle", there)
    s3cmd.run("setlifecycle", "lifecycle", there)
    assert "<ID>mine</ID>" in s3cmd.run("getlifecycle", there)
    s3cmd.run("dellifecycle", there)
    s3cmd.run("ws-create", "--ws-index=index.html", "--ws-error=error.html", there)
    assert "Index document:   index.html" in s3cmd.run("ws-info", there)
    s3cmd.run("ws-delete", there)
    s3cmd.run("accesslog", f"--access-logging-target-prefix={there}/logs/", there)
    assert f"Target prefix: {there}/logs/" in s3cmd.run("accesslog", there)
    s3cmd.run("accesslog", "--no-access-logging", there)
    s3cmd.run("payer", "--requester-pays", there)
    assert "Payer:     Requester" in s3cmd.run("info", there)
    s3cmd.run("payer", there)


def test_s3cmd_encrypts_and_refuses(gateway: Gateway, s3: Any, bucket: str, tmp_path: Path) -> None:
    s3cmd, there = S3cmd(gateway, tmp_path), f"s3://{bucket}"
    grow(tmp_path, {"big": noise(17 * MIB)})
    s3cmd.run("put", "--server-side-encryption", "--multipart-chunk-size-mb=5", "big", f"{there}/big")
    assert "SSE:       AES256" in s3cmd.run("info", f"{there}/big")
    s3cmd.run("get", f"{there}/big", "back")
    assert (tmp_path / "back").read_bytes() == noise(17 * MIB)
    s3cmd.run("cp", "--server-side-encryption", f"{there}/big", f"{there}/copy")
    assert "SSE:       AES256" in s3cmd.run("info", f"{there}/copy")
    kms = ("--server-side-encryption", "--server-side-encryption-kms-id=unknown")
    assert "KMS.NotFoundException" in s3cmd.try_to("put", *kms, "big", f"{there}/k").stderr
    assert "InvalidObjectState" in s3cmd.try_to("restore", f"{there}/big").stderr
    assert "AccessControlListNotSupported" in s3cmd.try_to("setacl", "--acl-public", f"{there}/big").stderr


def test_rclone_versions(gateway: Gateway, s3: Any, bucket: str, tmp_path: Path) -> None:
    rclone, there = Rclone(gateway, tmp_path), f"gw:{bucket}"
    assert rclone.run("backend", "versioning", there) == "Unversioned\n"
    assert rclone.run("backend", "versioning", there, "Enabled") == "Enabled\n"
    s3.put_object(Bucket=bucket, Key="k.txt", Body=b"one")
    first = s3.head_object(Bucket=bucket, Key="k.txt")["LastModified"]

    def second() -> bool:
        """rclone tells versions apart by their second."""
        made = s3.put_object(Bucket=bucket, Key="k.txt", Body=b"the second")
        if s3.head_object(Bucket=bucket, Key="k.txt")["LastModified"] > first:
            return True
        s3.delete_object(Bucket=bucket, Key="k.txt", VersionId=made["VersionId"])
        return False

    eventually(second, "a version of another second")
    assert rclone.run("cat", f"{there}/k.txt") == "the second"
    old = first.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert rclone.run("cat", f"--s3-version-at={old}", f"{there}/k.txt") == "one"
    current, previous = sorted(rclone.run("lsf", "--s3-versions", there).split(), key=len)
    assert (current, previous.startswith("k-v")) == ("k.txt", True)
    assert rclone.run("cat", "--s3-versions", f"{there}/{previous}") == "one"
    rclone.run("deletefile", f"{there}/k.txt")
    assert rclone.run("lsf", there) == ""
    assert len(rclone.run("lsf", "--s3-versions", there).split()) == 2
    rclone.run("backend", "cleanup-hidden", there)
    assert "Versions" not in s3.list_object_versions(Bucket=bucket)


def test_rclone_unfinished_uploads(gateway: Gateway, s3: Any, bucket: str, tmp_path: Path) -> None:
    rclone, there = Rclone(gateway, tmp_path), f"gw:{bucket}"
    s3.create_multipart_upload(Bucket=bucket, Key="left")
    listed = json.loads(rclone.run("backend", "list-multipart-uploads", there))
    assert [upload["Key"] for upload in listed[bucket]] == ["left"]
    rclone.run("backend", "cleanup", there, "-o", "max-age=1ns")
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)


def test_rclone_encryption(gateway: Gateway, s3: Any, bucket: str, tmp_path: Path) -> None:
    """Customers' keys are in test_host_style_and_tls: rclone sends them over TLS only."""
    rclone, there = Rclone(gateway, tmp_path), f"gw:{bucket}"
    local = grow(tmp_path / "local", {"one": b"one", "big": noise(13 * MIB)})
    options = ("--s3-upload-cutoff=5Mi", "--s3-chunk-size=5Mi", "--s3-server-side-encryption")
    for mode in ("AES256", "aws:kms"):
        rclone.run("copy", *options, mode, local, f"{there}/{mode}")
        for key in tree(local):
            assert s3.head_object(Bucket=bucket, Key=f"{mode}/{key}")["ServerSideEncryption"] == mode
        rclone.run("copy", f"{there}/{mode}", tmp_path / "back")
        assert tree(tmp_path / "back") == tree(local)


def test_rclone_metadata_and_restore(gateway: Gateway, s3: Any, bucket: str, tmp_path: Path) -> None:
    rclone, there = Rclone(gateway, tmp_path), f"gw:{bucket}"
    local = grow(tmp_path / "local", {"k": b"v"})
    given = [f"--metadata-set={pair}" for pair in ("cache-control=no-cache", "mine=yes")]
    rclone.run("copy", "--metadata", *given, local, there)
    head = s3.head_object(Bucket=bucket, Key="k")
    assert (head["CacheControl"], head["Metadata"]["mine"]) == ("no-cache", "yes")
    (listed,) = json.loads(rclone.run("lsjson", "--metadata", there))
    assert listed["Metadata"]["mine"] == "yes"
    restored = json.loads(rclone.run("backend", "restore", there, "-o", "lifetime=1"))
    assert [entry["Remote"] for entry in restored] == ["k"]
    assert "Not GLACIER" in restored[0]["Status"]
