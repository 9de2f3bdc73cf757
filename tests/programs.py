"""The client programs that people use, each driven in the same few ways: send a tree, fetch a tree, run a command."""

import os
import subprocess
import time
import urllib.parse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness import KEY, REGION, SECRET, Gateway, boto, clean_environment, running, tool
from webhooks import Webhook, webhook

SECONDS = 120


@dataclass(frozen=True)
class Featured:
    """A gateway with everything that needs its configuration: a webhook, a KMS key, websites, logs at once."""

    gateway: Gateway
    hook: Webhook

    arn = "arn:aws:sqs:us-east-1:000000000000:hook"
    kms_key = "mine"
    website_domain = "web.example"


@contextmanager
def featured(directory: Path) -> Iterator[Featured]:
    """Such a gateway for the time of a `with`."""
    with webhook() as hook:
        settings = {
            "notifications.targets.hook": {"url": hook.url},
            "encryption": {"key_file": str(directory / "keys.jsonl")},
            "website": {"domains": [Featured.website_domain]},
            "logging": {"flush_seconds": 0.2},
        }
        with running(directory, settings=settings) as gateway:
            made = gateway.command("keys", "add", "--id", Featured.kms_key)
            assert made.returncode == 0, made.stderr
            yield Featured(gateway, hook)


class Program:
    """A client with a home of its own in `home`, speaking to `gateway`."""

    name = ""

    def __init__(self, gateway: Gateway, home: Path) -> None:
        self.gateway = gateway
        self.home = home
        self.path = tool(self.name)

    def environment(self) -> dict[str, str]:
        """What the program finds in its environment."""
        return {}

    def options(self) -> Sequence[str]:
        """What stands before every command."""
        return ()

    def run(self, *arguments: str | Path, ok: bool = True) -> str:
        """Run a command and return what it printed; with `ok`, it must succeed."""
        done = self.try_to(*arguments)
        assert not ok or done.returncode == 0, f"{self.name} {arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def try_to(self, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
        """Run a command that may fail."""
        return subprocess.run(
            [self.path, *self.options(), *map(str, arguments)],
            env=unmeasured(clean_environment(self.home, **self.environment())),
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    def upload(self, source: Path, bucket: str, prefix: str) -> None:
        """Send all files below `source`."""
        raise NotImplementedError

    def download(self, bucket: str, prefix: str, target: Path) -> None:
        """Fetch everything under a prefix into `target`."""
        raise NotImplementedError


def unmeasured(environment: dict[str, str]) -> dict[str, str]:
    """Without what makes a Python program measure its coverage: the clients are not ours."""
    return {name: value for name, value in environment.items() if not name.startswith("COVERAGE")}


class AwsCli(Program):
    """The AWS command line."""

    name = "aws"

    def environment(self) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_MAX_ATTEMPTS": "1",
            "AWS_PAGER": "",
        }

    def options(self) -> Sequence[str]:
        return ("--endpoint-url", self.gateway.url)

    def upload(self, source: Path, bucket: str, prefix: str) -> None:
        self.run("s3", "cp", "--recursive", "--quiet", source, f"s3://{bucket}/{prefix}")

    def download(self, bucket: str, prefix: str, target: Path) -> None:
        self.run("s3", "cp", "--recursive", "--quiet", f"s3://{bucket}/{prefix}", target)


class Mc(Program):
    """MinIO's client; the alias `gw` names the gateway. `keys`: key and secret, and perhaps a session's token."""

    name = "mc"
    keys = f"{KEY}:{SECRET}"

    def environment(self) -> dict[str, str]:
        host = self.gateway.url.replace("://", f"://{self.keys}@")
        return {"MC_HOST_gw": host, "MC_CONFIG_DIR": str(self.home / "mc"), "MC_DISABLE_PAGER": "1"}

    def options(self) -> Sequence[str]:
        return ("--no-color", "--quiet")

    def upload(self, source: Path, bucket: str, prefix: str) -> None:
        self.run("cp", "--recursive", f"{source}/", f"gw/{bucket}/{prefix}")

    def download(self, bucket: str, prefix: str, target: Path) -> None:
        self.run("cp", "--recursive", f"gw/{bucket}/{prefix}", f"{target}/")


class S3cmd(Program):
    """s3cmd, by signature V4 or (`version` 2) by V2."""

    name = "s3cmd"
    version = 4

    def options(self) -> Sequence[str]:
        host = self.gateway.url.partition("://")[2]
        signature = ("--signature-v2",) if self.version == 2 else ()
        secure = "--ssl" if self.gateway.scheme == "https" else "--no-ssl"
        keys = (f"--access_key={KEY}", f"--secret_key={SECRET}", f"--region={REGION}")
        quiet = ("--no-progress", "--no-check-certificate")
        return (f"--host={host}", f"--host-bucket={host}", secure, *keys, *signature, *quiet)

    def upload(self, source: Path, bucket: str, prefix: str) -> None:
        self.run("sync", "--no-mime-magic", f"{source}/", f"s3://{bucket}/{prefix}")

    def download(self, bucket: str, prefix: str, target: Path) -> None:
        self.run("sync", f"s3://{bucket}/{prefix}", f"{target}/")


class S3cmdV2(S3cmd):
    """s3cmd with the older signature."""

    version = 2


class Rclone(Program):
    """rclone; the remote `gw` is the gateway."""

    name = "rclone"

    def environment(self) -> dict[str, str]:
        return {
            "RCLONE_CONFIG": str(self.home / "none.conf"),
            "RCLONE_CONFIG_GW_TYPE": "s3",
            "RCLONE_CONFIG_GW_PROVIDER": "Other",
            "RCLONE_CONFIG_GW_ENDPOINT": self.gateway.url,
            "RCLONE_CONFIG_GW_ACCESS_KEY_ID": KEY,
            "RCLONE_CONFIG_GW_SECRET_ACCESS_KEY": SECRET,
            "RCLONE_CONFIG_GW_REGION": REGION,
            "RCLONE_RETRIES": "1",
            "RCLONE_LOW_LEVEL_RETRIES": "1",
        }

    def upload(self, source: Path, bucket: str, prefix: str) -> None:
        self.run("copy", source, f"gw:{bucket}/{prefix}")

    def download(self, bucket: str, prefix: str, target: Path) -> None:
        self.run("copy", f"gw:{bucket}/{prefix}", target)


class Curl(Program):
    """curl, signing by itself."""

    name = "curl"

    def options(self) -> Sequence[str]:
        return ("--silent", "--show-error", "--fail", "--globoff", "--path-as-is", *self.signing())

    def signing(self) -> Sequence[str]:
        """The options that make it sign."""
        return ("--aws-sigv4", f"aws:amz:{REGION}:s3", "--user", f"{KEY}:{SECRET}")

    def address(self, bucket: str, key: str) -> str:
        """The URL of a key."""
        return f"{self.gateway.url}/{bucket}/{urllib.parse.quote(key, safe='/~')}"

    def upload(self, source: Path, bucket: str, prefix: str) -> None:
        for file in files_of(source):
            self.run(
                "--data-binary",
                f"@{file}",
                "-X",
                "PUT",
                self.address(bucket, prefix + relative(file, source)),
            )

    def download(self, bucket: str, prefix: str, target: Path) -> None:
        client = boto(self.gateway.url)
        listed = client.list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]
        client.close()
        for entry in listed:
            file = target / entry["Key"].removeprefix(prefix)
            self.run("--create-dirs", "--output", file, self.address(bucket, entry["Key"]))


class Boto3(Program):
    """boto3's managed transfers; the program is this interpreter."""

    name = "python"

    def upload(self, source: Path, bucket: str, prefix: str) -> None:
        client = boto(self.gateway.url)
        for file in files_of(source):
            client.upload_file(str(file), bucket, prefix + relative(file, source))
        client.close()

    def download(self, bucket: str, prefix: str, target: Path) -> None:
        client = boto(self.gateway.url)
        for entry in client.list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]:
            file = target / entry["Key"].removeprefix(prefix)
            file.parent.mkdir(parents=True, exist_ok=True)
            client.download_file(bucket, entry["Key"], str(file))
        client.close()


def files_of(directory: Path) -> list[Path]:
    """All files below a directory."""
    return sorted(Path(place) / name for place, _, names in os.walk(directory) for name in names)


def relative(file: Path, directory: Path) -> str:
    """A file's place below a directory, with slashes."""
    return file.relative_to(directory).as_posix()


def tree(directory: Path) -> dict[str, bytes]:
    """What a directory holds."""
    return {relative(file, directory): file.read_bytes() for file in files_of(directory)}


def grow(directory: Path, files: dict[str, bytes]) -> Path:
    """Make a directory that holds this, an hour old: S3's times are whole seconds, and synchronisers compare them."""
    then = time.time() - 3600
    for name, data in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        os.utime(path, (then, then))
    return directory
