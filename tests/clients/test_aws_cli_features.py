"""The AWS command line on what buckets can be configured to do, on encryption, accounts and temporary keys."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import MIB, Gateway, eventually, noise, tool
from programs import AwsCli, Featured, featured, grow

READ = {"Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": "*"}
READ_ONLY = json.dumps({"Version": "2012-10-17", "Statement": [READ]})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Featured]:
    with featured(tmp_path_factory.mktemp("featured")) as found:
        yield found


@pytest.fixture
def s3(server: Featured) -> Any:
    return server.gateway.s3()


class Api:
    """`aws s3api` on one bucket: `api("get-bucket-tagging")` is what it printed, as JSON."""

    def __init__(self, aws: AwsCli, bucket: str) -> None:
        self.aws, self.bucket = aws, bucket

    def __call__(self, operation: str, *options: str | Path | dict[str, Any]) -> Any:
        printed = self.aws.run("s3api", operation, "--bucket", self.bucket, *map(spelled, options))
        return json.loads(printed or "{}")

    def refused(self, operation: str, *options: str | Path | dict[str, Any]) -> str:
        """What it says of an operation that must fail."""
        done = self.aws.try_to("s3api", operation, "--bucket", self.bucket, *map(spelled, options))
        assert done.returncode != 0, done.stdout
        return done.stderr


def spelled(option: str | Path | dict[str, Any]) -> str:
    """An option as it is written: documents as JSON."""
    return json.dumps(option) if isinstance(option, dict) else str(option)


@pytest.fixture
def aws(server: Featured, tmp_path: Path) -> AwsCli:
    """The program, at home in the test's directory, which holds the files `one` and `two`."""
    grow(tmp_path, {"one": b"one", "two": b"the second", "key.bin": noise(32)})
    return AwsCli(server.gateway, tmp_path)


@pytest.fixture
def api(aws: AwsCli, bucket: str) -> Api:
    return Api(aws, bucket)


def test_versions_and_tags(api: Api, aws: AwsCli, bucket: str, tmp_path: Path) -> None:
    api("put-bucket-versioning", "--versioning-configuration", "Status=Enabled")
    assert api("get-bucket-versioning") == {"Status": "Enabled"}
    key = ("--key", "k")
    first = api("put-object", *key, "--body", "one", "--tagging", "a=1&b=2")["VersionId"]
    second = api("put-object", *key, "--body", "two")["VersionId"]
    assert api("get-object", *key, "--version-id", first, tmp_path / "back")["TagCount"] == 2
    assert (tmp_path / "back").read_bytes() == b"one"
    api("put-object-tagging", *key, "--tagging", "TagSet=[{Key=x,Value=y}]")
    tags = {version: api("get-object-tagging", *key, "--version-id", version) for version in (first, second)}
    assert [len(tags[version]["TagSet"]) for version in (first, second)] == [2, 1]
    assert api("delete-object", *key)["DeleteMarker"] is True
    listed = api("list-object-versions")
    assert [row["VersionId"] for row in listed["Versions"]] == [second, first]
    assert len(listed["DeleteMarkers"]) == 1
    assert "NoSuchKey" in api.refused("get-object", *key, tmp_path / "back")
    api("delete-object", *key, "--version-id", listed["DeleteMarkers"][0]["VersionId"])
    assert aws.run("s3", "cp", f"s3://{bucket}/k", "-") == "the second"


def test_locks(aws: AwsCli, name: str) -> None:
    api = Api(aws, name)
    api("create-bucket", "--object-lock-enabled-for-bucket")
    rule = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}
    api(
        "put-object-lock-configuration",
        "--object-lock-configuration",
        {"ObjectLockEnabled": "Enabled", "Rule": rule},
    )
    assert api("get-object-lock-configuration")["ObjectLockConfiguration"]["Rule"] == rule
    version = api("put-object", "--key", "k", "--body", "one")["VersionId"]
    it = ("--key", "k", "--version-id", version)
    assert api("get-object-retention", *it)["Retention"]["Mode"] == "GOVERNANCE"
    api("put-object-legal-hold", *it, "--legal-hold", "Status=ON")
    assert "protected by object lock" in api.refused("delete-object", *it, "--bypass-governance-retention")
    api("put-object-legal-hold", *it, "--legal-hold", "Status=OFF")
    assert "protected by object lock" in api.refused("delete-object", *it)
    api("delete-object", *it, "--bypass-governance-retention")


def test_acls_and_ownership(aws: AwsCli, server: Featured, name: str) -> None:
    """New buckets take no ACLs, as on AWS; one that does lets an object be public."""
    api = Api(aws, name)
    api("create-bucket")
    assert "AccessControlListNotSupported" in api.refused("put-bucket-acl", "--acl", "public-read")
    api("put-bucket-ownership-controls", "--ownership-controls", "Rules=[{ObjectOwnership=ObjectWriter}]")
    aws.run("s3", "cp", "--quiet", "one", f"s3://{name}/k", "--acl", "public-read")
    assert len(api("get-object-acl", "--key", "k")["Grants"]) == 2
    assert visit(server, f"/{name}/k") == (200, "one")
    api("put-object-acl", "--key", "k", "--acl", "private")
    assert visit(server, f"/{name}/k")[0] == 403


def test_policies(api: Api, server: Featured, bucket: str) -> None:
    api("put-object", "--key", "k", "--body", "one")
    anyone = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{bucket}/*",
    }
    policy = {"Version": "2012-10-17", "Statement": [anyone]}
    api("put-bucket-policy", "--policy", policy)
    assert json.loads(api("get-bucket-policy")["Policy"]) == policy
    assert api("get-bucket-policy-status")["PolicyStatus"] == {"IsPublic": True}
    assert visit(server, f"/{bucket}/k") == (200, "one")
    api(
        "put-public-access-block",
        "--public-access-block-configuration",
        "RestrictPublicBuckets=true,BlockPublicPolicy=true",
    )
    assert visit(server, f"/{bucket}/k")[0] == 403
    assert "AccessDenied" in api.refused("put-bucket-policy", "--policy", policy)
    api("delete-public-access-block")
    assert visit(server, f"/{bucket}/k") == (200, "one")
    api("delete-bucket-policy")
    assert visit(server, f"/{bucket}/k")[0] == 403
    assert "MalformedPolicy" in api.refused("put-bucket-policy", "--policy", {"Statement": []})


def visit(server: Featured, path: str, *options: str) -> tuple[int, str]:
    """Status and body of curl's unsigned request."""
    command = [tool("curl"), "--silent", "--write-out", "\n%{http_code}", *options, server.gateway.url + path]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    body, _, code = done.stdout.rpartition("\n")
    return int(code), body


SMALL = {
    "tagging": ("tagging", {"TagSet": [{"Key": "x", "Value": "y"}]}, "NoSuchTagSet"),
    "lifecycle": (
        "lifecycle-configuration",
        {"Rules": [{"ID": "r", "Status": "Enabled", "Filter": {"Prefix": "x/"}, "Expiration": {"Days": 3}}]},
        "NoSuchLifecycleConfiguration",
    ),
    "cors": (
        "cors-configuration",
        {
            "CORSRules": [
                {"AllowedOrigins": ["https://a.example"], "AllowedMethods": ["PUT"], "AllowedHeaders": ["*"]}
            ]
        },
        "NoSuchCORSConfiguration",
    ),
    "encryption": (
        "server-side-encryption-configuration",
        {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]},
        "ServerSideEncryptionConfigurationNotFoundError",
    ),
    "website": (
        "website-configuration",
        {"IndexDocument": {"Suffix": "index.html"}},
        "NoSuchWebsiteConfiguration",
    ),
}


@pytest.mark.parametrize("what", SMALL)
def test_small_configurations(api: Api, what: str) -> None:
    """Each is put, read back and deleted; then there is none."""
    option, document, absent = SMALL[what]
    suffix = "-configuration" if what == "lifecycle" else ""
    api(f"put-bucket-{what}{suffix}", f"--{option}", document)
    found = api(f"get-bucket-{what}{suffix}")
    for name, value in found.get("ServerSideEncryptionConfiguration", found).items():
        assert value == document.get(name, value)
    assert document.keys() <= found.get("ServerSideEncryptionConfiguration", found).keys()
    api(f"delete-bucket-{what}")
    assert absent in api.refused(f"get-bucket-{what}{suffix}")


def test_preflight(api: Api, server: Featured, bucket: str) -> None:
    api("put-bucket-cors", "--cors-configuration", SMALL["cors"][1])
    ask = ("-X", "OPTIONS", "-H", "Access-Control-Request-Method: PUT", "-H")
    assert visit(server, f"/{bucket}/k", *ask, "Origin: https://a.example")[0] == 200
    assert visit(server, f"/{bucket}/k", *ask, "Origin: https://b.example")[0] == 403


def test_website(api: Api, aws: AwsCli, server: Featured, bucket: str, tmp_path: Path) -> None:
    grow(tmp_path / "site", {"index.html": b"home", "error.html": b"lost"})
    aws.run(
        "s3", "website", f"s3://{bucket}/", "--index-document", "index.html", "--error-document", "error.html"
    )
    aws.run("s3", "sync", "--quiet", "site", f"s3://{bucket}/")
    aws.run("s3", "cp", "--quiet", "one", f"s3://{bucket}/old", "--website-redirect", "/index.html")
    host = ("-H", f"Host: {bucket}.{Featured.website_domain}")
    assert visit(server, "/", *host)[0] == 403
    resources = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    anyone = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": ["s3:GetObject", "s3:ListBucket"],
        "Resource": resources,
    }
    api("put-bucket-policy", "--policy", {"Version": "2012-10-17", "Statement": [anyone]})
    assert visit(server, "/", *host) == (200, "home")
    assert visit(server, "/none", *host) == (404, "lost")
    assert visit(server, "/old", *host)[0] == 301


def test_logging(api: Api, aws: AwsCli, s3: Any, bucket: str, name: str) -> None:
    logs = f"{name}-logs"
    aws.run("s3", "mb", f"s3://{logs}")
    to = {"LoggingEnabled": {"TargetBucket": logs, "TargetPrefix": "l/"}}
    api("put-bucket-logging", "--bucket-logging-status", to)
    assert api("get-bucket-logging") == to
    api("put-object", "--key", "k", "--body", "one")
    (key, *_) = eventually(
        lambda: [one["Key"] for one in s3.list_objects_v2(Bucket=logs).get("Contents", ())], "a log object"
    )
    assert "REST." in aws.run("s3", "cp", f"s3://{logs}/{key}", "-")


def test_notification(api: Api, server: Featured, bucket: str) -> None:
    rule = {"Id": "mine", "QueueArn": Featured.arn, "Events": ["s3:ObjectCreated:*"]}
    rule["Filter"] = {"Key": {"FilterRules": [{"Name": "prefix", "Value": "n/"}]}}
    to = {"QueueConfigurations": [rule]}
    api("put-bucket-notification-configuration", "--notification-configuration", to)
    assert api("get-bucket-notification-configuration") == to
    api("put-object", "--key", "n/k", "--body", "one")
    server.hook.wait_for_records(bucket, 1)
    assert server.hook.names(bucket) == ["ObjectCreated:Put n/k"]


def test_request_payment_and_owner(api: Api, aws: AwsCli) -> None:
    api("put-bucket-request-payment", "--request-payment-configuration", "Payer=Requester")
    assert api("get-bucket-request-payment") == {"Payer": "Requester"}
    account = json.loads(aws.run("sts", "get-caller-identity"))["Account"]
    api("head-bucket", "--expected-bucket-owner", account)
    assert "403" in api.refused("head-bucket", "--expected-bucket-owner", "000000000000")


def test_select_restore_and_attributes(api: Api, tmp_path: Path) -> None:
    grow(tmp_path, {"t.csv": b"a,b\n1,2\n3,4\n"})
    key = ("--key", "t.csv")
    api("put-object", *key, "--body", "t.csv", "--checksum-algorithm", "SHA256")
    api(
        "select-object-content",
        *key,
        *("--expression", "select b from s3object s where cast(a as int) > 1", "--expression-type", "SQL"),
        *(
            "--input-serialization",
            {"CSV": {"FileHeaderInfo": "USE"}},
            "--output-serialization",
            {"JSON": {}},
        ),
        tmp_path / "selected",
    )
    assert json.loads((tmp_path / "selected").read_text()) == {"b": "4"}
    assert "InvalidObjectState" in api.refused("restore-object", *key, "--restore-request", "Days=1")
    found = api("get-object-attributes", *key, "--object-attributes", "ETag", "Checksum", "ObjectSize")
    assert found["ObjectSize"] == 12
    assert found["Checksum"]["ChecksumSHA256"]


def test_encryption(api: Api, aws: AwsCli, bucket: str, tmp_path: Path) -> None:
    """Small and multipart files, up, down and copied; SSE-C needs its key everywhere."""
    grow(tmp_path, {"big": noise(17 * MIB)})
    customer = ("--sse-c", "AES256", "--sse-c-key", "fileb://key.bin")
    source = ("--sse-c-copy-source", "AES256", "--sse-c-copy-source-key", "fileb://key.bin")
    cp = ("s3", "cp", "--quiet")
    kms = ("--sse", "aws:kms", "--sse-kms-key-id", Featured.kms_key)
    for options, told_as in ((("--sse", "AES256"), "AES256"), (kms, "aws:kms")):
        aws.run(*cp, *options, "big", f"s3://{bucket}/{told_as}")
        assert api("head-object", "--key", told_as)["ServerSideEncryption"] == told_as
        aws.run(*cp, f"s3://{bucket}/{told_as}", "back")
        assert (tmp_path / "back").read_bytes() == noise(17 * MIB)
    aws.run(*cp, *customer, "big", f"s3://{bucket}/c")
    aws.run(*cp, *customer, *source, f"s3://{bucket}/c", f"s3://{bucket}/copy")
    aws.run(*cp, *customer, f"s3://{bucket}/copy", "back")
    assert (tmp_path / "back").read_bytes() == noise(17 * MIB)
    assert "(400)" in aws.try_to("s3", "cp", f"s3://{bucket}/c", "-").stderr
    unknown = ("--server-side-encryption", "aws:kms", "--ssekms-key-id", "unknown")
    assert "KMS.NotFoundException" in api.refused("put-object", "--key", "k", "--body", "one", *unknown)


def test_what_nothing_would_act_on_is_refused(api: Api) -> None:
    rule = {"Status": "Enabled", "Destination": {"Bucket": "arn:aws:s3:::other"}}
    replication = {"Role": "arn:aws:iam::000000000000:role/x", "Rules": [rule]}
    put = ("put-bucket-replication", "--replication-configuration", replication)
    assert "NotImplemented" in api.refused(*put)
    put = ("put-bucket-accelerate-configuration", "--accelerate-configuration", "Status=Enabled")
    assert "NotImplemented" in api.refused(*put)


class Caller(AwsCli):
    """The program with other keys."""

    def __init__(self, gateway: Gateway, home: Path, key: str, secret: str, token: str = "") -> None:
        super().__init__(gateway, home)
        keys = {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret}
        self.keys = keys | ({"AWS_SESSION_TOKEN": token} if token else {})

    def environment(self) -> dict[str, str]:
        return {**super().environment(), **self.keys}

    def with_session(self, *command: str) -> "Caller":
        """The same caller with temporary keys that a command of `aws sts` answers."""
        made = json.loads(self.run("sts", *command))["Credentials"]
        keys = (made[name] for name in ("AccessKeyId", "SecretAccessKey", "SessionToken"))
        return Caller(self.gateway, self.home, *keys)


def test_accounts_and_sessions(aws: AwsCli, server: Featured, api: Api, bucket: str, name: str) -> None:
    """Two keys of an account made by `s3gw credential add`, one of them read-only, and sessions of the other."""
    (aws.home / "read.json").write_text(READ_ONLY)
    gateway, home, secret = server.gateway, aws.home, "secret-of-carol"
    for key, *policy in (("CAROLKEY01",), ("CAROLREAD1", "--policy", str(home / "read.json"))):
        add = ("--access-key", key, "--secret-key", secret, "--account", "carol", *policy)
        assert gateway.command("credential", "add", *add).returncode == 0
    carol, reader = (Caller(gateway, home, key, secret) for key in ("CAROLKEY01", "CAROLREAD1"))
    eventually(lambda: reader.try_to("sts", "get-caller-identity").returncode == 0, "the keys are known")
    identity = json.loads(carol.run("sts", "get-caller-identity"))
    mine = f"s3://{name}-carol"
    carol.run("s3", "mb", mine)
    carol.run("s3", "cp", "--quiet", "one", f"{mine}/k")
    assert f" {bucket}\n" not in carol.run("s3", "ls")
    assert "AccessDenied" in carol.try_to("s3", "ls", f"s3://{bucket}").stderr
    shared = {**READ, "Principal": {"AWS": identity["Account"]}}
    shared["Resource"] = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    api("put-bucket-policy", "--policy", {"Version": "2012-10-17", "Statement": [shared]})
    carol.run("s3", "ls", f"s3://{bucket}")
    role = ("--role-arn", f"arn:aws:iam::{identity['Account']}:role/r", "--role-session-name", "me")
    narrowed = carol.with_session("assume-role", *role, "--policy", READ_ONLY)
    for caller in (reader, narrowed):
        assert caller.run("s3", "cp", f"{mine}/k", "-") == "one"
        assert "AccessDenied" in caller.try_to("s3", "cp", "one", f"{mine}/other").stderr
    session = carol.with_session("get-session-token", "--duration-seconds", "900")
    session.run("s3", "mv", f"{mine}/k", f"{mine}/moved")
    url = session.run("s3", "presign", f"{mine}/moved").strip()
    assert visit(server, url.removeprefix(gateway.url)) == (200, "one")
