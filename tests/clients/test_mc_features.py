"""MinIO's client: versions, tags, locks, encryption, lifecycles, policies, forms, events, CORS, Select, sessions."""

import base64
import json
import shlex
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from harness import KEY, MIB, REGION, SECRET, noise, tool
from programs import Featured, Mc, featured, grow, tree

CORS = (
    "<CORSConfiguration><CORSRule><AllowedOrigin>https://a.example</AllowedOrigin>"
    "<AllowedMethod>PUT</AllowedMethod><AllowedHeader>*</AllowedHeader></CORSRule></CORSConfiguration>"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Featured]:
    with featured(tmp_path_factory.mktemp("featured")) as found:
        yield found


@pytest.fixture
def s3(server: Featured) -> Any:
    return server.gateway.s3()


@pytest.fixture
def mc(server: Featured, tmp_path: Path) -> Mc:
    """The program, at home in the test's directory, which holds the files `one` and `two`."""
    grow(tmp_path, {"one": b"one", "two": b"the second"})
    return Mc(server.gateway, tmp_path)


def told(mc: Mc, *arguments: str | Path) -> list[dict[str, Any]]:
    """What a command prints as JSON, line by line."""
    return [json.loads(line) for line in mc.run("--json", *arguments).splitlines()]


def fails(mc: Mc, *arguments: str | Path) -> str:
    """What a command says that must not succeed."""
    done = mc.try_to(*arguments)
    assert done.returncode != 0, done.stdout
    return done.stdout + done.stderr


def test_versions(mc: Mc, bucket: str, tmp_path: Path) -> None:
    there = f"gw/{bucket}"
    assert "un-versioned" in mc.run("version", "info", there)
    mc.run("version", "enable", there)
    assert "versioning is enabled" in mc.run("version", "info", there)
    mc.run("cp", "one", f"{there}/k")
    mc.run("cp", "two", f"{there}/k")
    newest, oldest = (row["versionId"] for row in told(mc, "ls", "--versions", there))
    mc.run("cp", "--version-id", oldest, f"{there}/k", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b"one"
    assert mc.run("cat", "--vid", oldest, f"{there}/k") == "one"
    assert mc.run("cat", f"{there}/k") == "the second"
    assert [row["versionID"] for row in told(mc, "stat", "--versions", f"{there}/k")] == [newest, oldest]
    assert told(mc, "stat", "--vid", oldest, f"{there}/k")[0]["size"] == 3
    assert told(mc, "du", "--versions", there)[0]["size"] == 13
    mc.run("rm", f"{there}/k")
    assert mc.run("ls", there) == ""
    markers = [row.get("isDeleteMarker", False) for row in told(mc, "ls", "--versions", there)]
    assert markers == [True, False, False]
    mc.run("undo", f"{there}/k")
    assert mc.run("cat", f"{there}/k") == "the second"
    mc.run("rm", "--version-id", newest, f"{there}/k")
    assert mc.run("cat", f"{there}/k") == "one"
    mc.run("rm", "--versions", "--force", f"{there}/k")
    assert mc.run("ls", "--versions", there) == ""
    mc.run("version", "suspend", there)
    assert "suspended" in mc.run("version", "info", there)


def test_tags(mc: Mc, bucket: str) -> None:
    there, key = f"gw/{bucket}", f"gw/{bucket}/k"
    mc.run("version", "enable", there)
    mc.run("cp", "--tags", "z=1", "one", key)
    first = told(mc, "stat", key)[0]["versionID"]
    mc.run("cp", "two", key)
    assert told(mc, "tag", "list", "--version-id", first, key)[0]["tagset"] == {"z": "1"}
    for target in (key, there):
        mc.run("tag", "set", target, "a=1&b=x y")
        assert told(mc, "tag", "list", target)[0]["tagset"] == {"a": "1", "b": "x y"}
        mc.run("tag", "remove", target)
        absent = mc.try_to("tag", "list", target)  # an error for a bucket, none for an object
        assert "No tags found" in absent.stdout + absent.stderr
    mc.run("tag", "set", "--version-id", first, key, "old=yes")
    assert told(mc, "tag", "list", "--version-id", first, key)[0]["tagset"] == {"old": "yes"}
    assert "No tags found" in mc.run("tag", "list", key)


def test_locks(mc: Mc, name: str) -> None:
    there, key = f"gw/{name}", f"gw/{name}/k"
    mc.run("mb", "--with-lock", there)
    assert "versioning is enabled" in mc.run("version", "info", there)
    mc.run("retention", "set", "--default", "governance", "1d", there)
    assert "configured for 1DAYS" in mc.run("retention", "info", "--default", there)
    mc.run("cp", "one", key)
    assert "GOVERNANCE, expiring" in mc.run("retention", "info", key)
    assert "protected by object lock" in fails(mc, "rm", "--versions", "--force", key)
    mc.run("retention", "set", "--bypass", "governance", "2d", key)
    mc.run("retention", "clear", key)
    assert "NO RETENTION" in mc.run("retention", "info", key)
    mc.run("retention", "clear", "--default", there)
    assert "not enabled" in mc.run("retention", "info", "--default", there)
    mc.run("legalhold", "set", key)
    assert "ON" in mc.run("legalhold", "info", key)
    assert "protected by object lock" in fails(mc, "rm", "--versions", "--force", key)
    mc.run("legalhold", "clear", key)
    assert "OFF" in mc.run("legalhold", "info", key)
    mc.run(
        "cp", "--retention-mode", "governance", "--retention-duration", "1d", "--legal-hold", "on", "one", key
    )
    assert "ON" in mc.run("legalhold", "info", key)
    mc.run("legalhold", "clear", "--recursive", f"{there}/")
    fails(mc, "rm", "--recursive", "--versions", "--force", f"{there}/")
    mc.run("rm", "--recursive", "--versions", "--force", "--bypass", f"{there}/")
    mc.run("rb", there)


def test_encryption_of_a_bucket(mc: Mc, bucket: str) -> None:
    there = f"gw/{bucket}"
    assert "not found" in fails(mc, "encrypt", "info", there)
    for mode, expected in ((("sse-s3",), "SSE-S3"), (("sse-kms", Featured.kms_key), "SSE-KMS")):
        mc.run("encrypt", "set", *mode, there)
        assert mode[0] in mc.run("encrypt", "info", there)
        mc.run("cp", "one", f"{there}/k")
        assert expected in mc.run("stat", f"{there}/k")
        assert mc.run("cat", f"{there}/k") == "one"
    mc.run("encrypt", "clear", there)
    assert "not found" in fails(mc, "encrypt", "info", there)


def test_encryption_of_objects(mc: Mc, bucket: str, tmp_path: Path) -> None:
    """Each mode with one part and with several: mc names the mode again when it completes an upload."""
    there = f"gw/{bucket}"
    grow(tmp_path, {"big": noise(17 * MIB)})
    secret = base64.b64encode(noise(32)).decode().rstrip("=")
    modes = {
        "SSE-S3": ("--enc-s3", f"{there}/"),
        "SSE-KMS": ("--enc-kms", f"{there}/={Featured.kms_key}"),
        "SSE-C": ("--enc-c", f"{there}/={secret}"),
    }
    for told_as, option in modes.items():
        reading = option if told_as == "SSE-C" else ()
        for file in ("one", "big"):
            key = f"{there}/{told_as}/{file}"
            mc.run("cp", *option, file, key)
            assert told_as in mc.run("stat", *reading, key)
            mc.run("cp", *reading, key, tmp_path / "back")
            assert (tmp_path / "back").read_bytes() == (tmp_path / file).read_bytes()
    fails(mc, "cat", f"{there}/SSE-C/one")
    mc.run("cp", *modes["SSE-C"], f"{there}/SSE-C/one", f"{there}/copy")
    assert mc.run("cat", *modes["SSE-C"], f"{there}/copy") == "one"
    unknown = fails(mc, "cp", "--enc-kms", f"{there}/=unknown", "one", f"{there}/k")
    assert "Key 'unknown' does not exist" in unknown


def test_lifecycle(mc: Mc, bucket: str) -> None:
    there = f"gw/{bucket}"
    add = ("ilm", "rule", "add")
    mc.run(*add, "--expire-days", "90", "--noncurrent-expire-days", "30", "--prefix", "x/", there)
    mc.run(*add, "--expire-delete-marker", there)
    mc.run(*add, "--tags", "a=b&c=d", "--size-gt", "1KiB", "--expire-days", "3", there)
    (listed,) = told(mc, "ilm", "rule", "ls", there)
    rules = listed["config"]["Rules"]
    assert [rule["Expiration"] for rule in rules] == [
        {"Days": 90},
        {"ExpiredObjectDeleteMarker": True},
        {"Days": 3},
    ]
    assert rules[0]["NoncurrentVersionExpiration"] == {"NoncurrentDays": 30}
    mc.run("ilm", "rule", "rm", "--id", rules[0]["ID"], there)
    assert len(told(mc, "ilm", "rule", "ls", there)[0]["config"]["Rules"]) == 2
    mc.run("ilm", "rule", "rm", "--all", "--force", there)
    assert "does not exist" in fails(mc, "ilm", "rule", "ls", there)


def test_anonymous(mc: Mc, server: Featured, bucket: str) -> None:
    """mc opens a bucket to the world by a policy, which new buckets let it do."""
    there, url = f"gw/{bucket}", f"{server.gateway.url}/{bucket}/k"
    mc.run("cp", "one", f"{there}/k")
    assert status(url) == 403
    for access, reading, writing in (("download", 200, 403), ("public", 200, 200), ("upload", 403, 200)):
        mc.run("anonymous", "set", access, there)
        assert f"`{access}`" in mc.run("anonymous", "get", there)
        assert (status(url), status(url, b"one")) == (reading, writing), access
    mc.run("anonymous", "set", "private", there)
    assert "`private`" in mc.run("anonymous", "get", there)
    mc.run("anonymous", "set", "download", f"{there}/open")
    assert "open* => readonly" in mc.run("anonymous", "list", there)
    mc.run("cp", "one", f"{there}/open/k")
    assert (status(url), status(url.replace("/k", "/open/k"))) == (403, 200)


def status(url: str, body: bytes | None = None) -> int:
    """What an unsigned GET, or with a body a PUT, is answered."""
    request = urllib.request.Request(url, body, method="GET" if body is None else "PUT")
    try:
        with urllib.request.urlopen(request) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def test_share_upload(mc: Mc, s3: Any, bucket: str, tmp_path: Path) -> None:
    """The command that mc prints is run as it stands: a form, sent by curl."""
    share = ("--json", "share", "upload", "--expire", "1h")
    for options, key, names in (
        ((), "up load.txt", {}),
        (("--content-type", "text/x"), "typed", {}),
        (("--recursive",), "dir/", {"<NAME>": "in/it"}),
    ):
        printed = json.loads(mc.run(*share, *options, f"gw/{bucket}/{key}"))["share"]
        for placeholder, text in {"<FILE>": str(tmp_path / "one"), **names}.items():
            printed = printed.replace(placeholder, text)
        command = [tool("curl"), "--silent", "--show-error", "--fail", *shlex.split(printed)[1:]]
        subprocess.run(command, check=True, timeout=60)
        found = s3.get_object(Bucket=bucket, Key=key + names.get("<NAME>", ""))
        with found["Body"] as stream:
            assert stream.read() == b"one"
    assert s3.head_object(Bucket=bucket, Key="typed")["ContentType"] == "text/x"


def test_events(mc: Mc, server: Featured, bucket: str) -> None:
    """mc finds a rule again only by the very names of its filter."""
    there = f"gw/{bucket}"
    rule = (Featured.arn, "--event", "put,delete", "--prefix", "e/", "--suffix", ".txt")
    mc.run("event", "add", there, *rule)
    (listed,) = told(mc, "event", "ls", there)
    assert (listed["arn"], listed["prefix"], listed["suffix"]) == (Featured.arn, "e/", ".txt")
    mc.run("cp", "one", f"{there}/e/x.txt")
    mc.run("cp", "one", f"{there}/other.txt")
    mc.run("rm", f"{there}/e/x.txt")
    server.hook.wait_for_records(bucket, 2)
    assert server.hook.names(bucket) == ["ObjectCreated:Put e/x.txt", "ObjectRemoved:Delete e/x.txt"]
    mc.run("event", "rm", there, *rule)
    assert mc.run("event", "ls", there) == ""
    nobody = Featured.arn.replace("hook", "nobody")
    assert "destination" in fails(mc, "event", "add", there, nobody, "--event", "put")
    assert "not supported" in fails(mc, "event", "add", there, Featured.arn, "--event", "get")


def test_cors(mc: Mc, bucket: str, tmp_path: Path) -> None:
    there = f"gw/{bucket}"
    (tmp_path / "cors.xml").write_text(CORS)
    assert "No bucket CORS" in mc.run("cors", "get", there)
    mc.run("cors", "set", there, tmp_path / "cors.xml")
    assert "<AllowedOrigin>https://a.example</AllowedOrigin>" in mc.run("cors", "get", there)
    mc.run("cors", "remove", there)
    assert "No bucket CORS" in mc.run("cors", "get", there)


def test_select(mc: Mc, bucket: str, tmp_path: Path) -> None:
    there = f"gw/{bucket}"
    grow(tmp_path, {"t.csv": b"a,b\n1,2\n3,4\n", "t.json": b'{"a":1,"b":{"c":"x"}}\n'})
    mc.run("cp", "t.csv", "t.json", f"{there}/")
    query = ("sql", "--query")
    by_name = "select s.b from s3object s where s.a='3'"
    assert mc.run(*query, by_name, "--csv-input", "fh=USE", f"{there}/t.csv") == "4\n"
    assert mc.run(*query, "select count(*) from s3object", f"{there}/t.csv").strip() == "2"
    assert json.loads(mc.run(*query, "select s.b.c from s3object s", f"{there}/t.json")) == {"c": "x"}


def test_mirror_keeps_attributes(mc: Mc, bucket: str, tmp_path: Path) -> None:
    there = f"gw/{bucket}/m"
    local = grow(tmp_path / "local", {"a": b"a", "sub/b": b"b" * 70_000})
    (local / "a").chmod(0o640)
    mc.run("mirror", "--preserve", local, there)
    assert "mode:33184" in told(mc, "stat", f"{there}/a")[0]["metadata"]["X-Amz-Meta-Mc-Attrs"]
    assert mc.run("diff", local, there) == ""
    mc.run("mirror", "--preserve", there, tmp_path / "back")
    assert tree(tmp_path / "back") == tree(local)
    assert (tmp_path / "back" / "a").stat().st_mtime == pytest.approx((local / "a").stat().st_mtime, abs=1)
    mc.run("cp", "--attr", "Cache-Control=no-cache;mine=yes", "one", f"{there}/attr")
    found = told(mc, "stat", f"{there}/attr")[0]["metadata"]
    assert (found["Cache-Control"], found["X-Amz-Meta-Mine"]) == ("no-cache", "yes")


def test_an_alias_with_a_session_token(mc: Mc, server: Featured, bucket: str, tmp_path: Path) -> None:
    session = boto3.session.Session(KEY, SECRET, region_name=REGION)
    client = session.client("sts", endpoint_url=server.gateway.url)
    made = client.get_session_token()["Credentials"]
    client.close()
    mc.keys = ":".join(made[name] for name in ("AccessKeyId", "SecretAccessKey", "SessionToken"))
    grow(tmp_path, {"big": noise(17 * MIB)})
    mc.run("cp", "one", "big", f"gw/{bucket}/")
    mc.run("cp", f"gw/{bucket}/big", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == noise(17 * MIB)
    (shared,) = told(mc, "share", "download", f"gw/{bucket}/one")
    with urllib.request.urlopen(shared["share"]) as reply:
        assert reply.read() == b"one"


@pytest.mark.parametrize(
    "command",
    [
        ("admin", "info", "gw"),
        ("admin", "user", "ls", "gw"),
        ("quota", "set", "gw/{bucket}", "--size", "1G"),
        ("replicate", "add", "gw/{bucket}", "--remote-bucket", "http://key:secretsecret@127.0.0.1:1/other"),
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_what_only_minio_has_is_refused(mc: Mc, bucket: str, command: tuple[str, ...]) -> None:
    """It fails at once and changes nothing; mc retries what looks like a failure of the server."""
    fails(mc, *(word.format(bucket=bucket) for word in command))
    assert mc.run("ls", f"gw/{bucket}") == ""
