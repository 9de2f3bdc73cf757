"""Run the gateway as its users do: a real process, with a configuration file, on a free port of the loopback."""

import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

ROOT = Path(__file__).resolve().parent.parent
KEY = "AqU4axe4feDyIielarPI"
SECRET = "0CJZ2QfHi2tDb4DKuCJ2vnBEUXg5EYQt"
ALICE, BOB = ("ALICEKEY1", "alice-secret-key"), ("BOBSKEY01", "bobs-secret-key-1")
"""Keys of two accounts of their own, `alice` and `bob`, that every gateway of the tests has."""
REGION = "us-east-1"
MINUTE = 60.0
MIB = 1024 * 1024

SIZES = (0, 1, 4096, 65535, 65536, 65537, MIB + 1, 8 * MIB, 20 * MIB + 3)
"""Around every threshold: nothing, small bodies, memory against file, the clients' multipart thresholds."""


def noise(size: int, seed: int = 0) -> bytes:
    """`size` bytes that do not compress and are the same for the same seed."""
    return random.Random(f"{seed}/{size}").randbytes(size)


def free_port() -> int:
    """A port nobody listens on, below the range from which the kernel serves outgoing connections."""
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def eventually(holds: Callable[[], Any], what: str, seconds: float = 15.0) -> Any:
    """Ask until the answer is true, and return it; fail with `what` when it never was."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := holds():
            return answer
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s: {what}")


def toml(sections: Mapping[str, Any]) -> str:
    """TOML of a mapping of tables, and of lists of tables; JSON spells the values as TOML does."""
    lines: list[str] = []
    for name, content in sections.items():
        for table in content if isinstance(content, list) else [content]:
            lines.append(f"[[{name}]]" if isinstance(content, list) else f"[{name}]")
            lines += [f"{key} = {json.dumps(value)}" for key, value in table.items()]
    return "\n".join(lines) + "\n"


def clean_environment(home: Path, **extra: str) -> dict[str, str]:
    """This process's environment without anything that configures a gateway or a client, at home in `home`."""
    strangers = re.compile(r"^(S3GW_|AWS_|S3_|MC_|RCLONE_|https?_proxy|all_proxy|no_proxy)", re.IGNORECASE)
    kept = {name: value for name, value in os.environ.items() if not strangers.match(name)}
    return kept | {"HOME": str(home), "TZ": "UTC"} | extra


@cache
def _session() -> boto3.session.Session:
    return boto3.session.Session(KEY, SECRET, region_name=REGION)


def boto(url: str, key: str = KEY, secret: str = SECRET, **options: Any) -> Any:
    """A boto3 client of `url`: one attempt only, so that a failure shows."""
    verify = options.pop("verify", None)
    settings: dict[str, Any] = {"retries": {"total_max_attempts": 1}, "s3": {"addressing_style": "path"}}
    config = Config(**(settings | options))
    return _session().client(
        "s3",
        endpoint_url=url,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        config=config,
        verify=verify,
    )


def tool(name: str) -> str:
    """The path of a client program, from this environment's own, $S3GW_TOOLS and $PATH; skips the test, loudly, without it."""
    own = [str(Path(sys.executable).parent), os.environ.get("S3GW_TOOLS", "")]
    found = shutil.which(name, path=os.pathsep.join([*own, os.environ.get("PATH", "")]))
    if found is None:
        if os.environ.get("S3GW_REQUIRE_TOOLS"):
            pytest.fail(f"the client {name} is required (S3GW_REQUIRE_TOOLS) and not installed")
        pytest.skip(f"CLIENT NOT TESTED: {name} is neither in $S3GW_TOOLS nor in $PATH")
    return found


def children(pid: int) -> list[int]:
    """The direct children of a process."""
    with suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def descendants(pid: int) -> list[int]:
    """All children of a process, and theirs."""
    return [found for child in children(pid) for found in (child, *descendants(child))]


def resident_bytes(pid: int) -> int:
    """Memory of one process that is its own (anonymous pages and shared memory, not mapped files)."""
    with suppress(OSError):
        status = Path(f"/proc/{pid}/status").read_text()
        return 1024 * sum(
            int(kib) for kib in re.findall(r"^Rss(?:Anon|Shmem):\s+(\d+)", status, re.MULTILINE)
        )
    return 0


def open_files(pid: int) -> list[str]:
    """What the descriptors of a process point at."""
    with suppress(OSError):
        return [os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir() if os.path.lexists(entry)]
    return []


@dataclass
class Gateway:
    """One gateway process tree and its directory.

    `settings` are sections of the configuration, merged over the defaults below; `environment` is added to a clean one.
    """

    directory: Path
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    scheme: str = "http"
    port: int = 0
    process: "subprocess.Popen[bytes] | None" = None
    _clients: dict[str, Any] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """The endpoint."""
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def data(self) -> Path:
        """Where the local backend keeps everything."""
        return self.directory / "data"

    @property
    def temp(self) -> Path:
        """Where upload bodies spool to."""
        return self.directory / "temp"

    @property
    def log(self) -> Path:
        """All that the process wrote to its outputs."""
        return self.directory / "gateway.log"

    @property
    def conf(self) -> Path:
        """The configuration file."""
        return self.directory / "gateway.toml"

    @property
    def pid(self) -> int:
        """The parent process."""
        assert self.process is not None, "the gateway was not started"
        return self.process.pid

    def workers(self) -> list[int]:
        """The processes that serve requests (all below the parent), or the parent if it serves alone."""
        return [pid for pid in descendants(self.pid) if _is_worker(pid)] or [self.pid]

    def memory(self) -> int:
        """Bytes of memory of the whole process tree."""
        return sum(map(resident_bytes, [self.pid, *descendants(self.pid)]))

    def connection_count(self) -> int:
        """Open sockets of all workers."""
        return sum(name.startswith("socket:") for pid in self.workers() for name in open_files(pid))

    def write_configuration(self) -> None:
        """Write the configuration file and the credentials."""
        credentials = self.directory / "credentials.jsonl"
        if not credentials.exists():
            self.add_credential(KEY, SECRET)
            self.add_credential(*ALICE, account="alice")
            self.add_credential(*BOB, account="bob")
        defaults: dict[str, Any] = {
            "s3_gateway": {
                "listen": f"127.0.0.1:{self.port}",
                "workers": 2,
                "put_temp_dir": str(self.temp),
                "credentials_path": str(credentials),
            },
            "backends": [
                {
                    "name": "local",
                    "kind": "local",
                    "path": str(self.data),
                    "durability": "relaxed",
                    "is_primary": True,
                }
            ],
        }
        for section, values in self.settings.items():
            target = defaults.setdefault(section, {})
            (target[0] if isinstance(target, list) else target).update(values)
        self.conf.write_text(toml(defaults))

    def add_credential(self, key: str, secret: str, enabled: bool = True, **fields: Any) -> None:
        """Append a line to the credential store; `fields` are `account` and `policy`."""
        line = {
            "access_key": key,
            "secret_key": secret,
            "created_at": 1640995200,
            "enabled": enabled,
            **fields,
        }
        path = self.directory / "credentials.jsonl"
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with open(descriptor, "w") as store:
            store.write(json.dumps(line | {"description": "for tests"}) + "\n")

    def start(self) -> "Gateway":
        """Start it and wait until it is healthy."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self.port = self.port or free_port()
        self.write_configuration()
        command = [sys.executable, "-m", "gateway", "serve", "--conf", str(self.conf)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=clean_environment(self.directory, **self.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        eventually(self._healthy_or_dead, "the gateway answers /healthz", MINUTE)
        return self

    def _healthy_or_dead(self) -> bool:
        assert self.process is not None
        if (code := self.process.poll()) is not None:
            raise AssertionError(f"the gateway exited with {code}:\n{self.log.read_text(errors='replace')}")
        return self.healthy()

    def healthy(self) -> bool:
        """Whether /healthz answers 200."""
        return answers(f"{self.url}/healthz")

    def terminate(self) -> None:
        """Send SIGTERM and do not wait."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)

    def wait(self, seconds: float = 30.0) -> int:
        """The exit code."""
        assert self.process is not None
        return self.process.wait(seconds)

    def stop(self, clean: bool = True) -> None:
        """End it by SIGTERM; with `clean`, its exit code must be 0 and its log free of errors."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()
        if self.process is None:
            return
        process, self.process = self.process, None
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(30.0)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise AssertionError(f"SIGTERM did not end the gateway:\n{self.complaints()}") from None
        if clean:
            assert code == 0, f"exit code {code}:\n{self.log.read_text(errors='replace')[-4000:]}"
            assert not self.complaints()

    def complaints(self) -> str:
        """The lines of the log that should not be there, with what surrounds them."""
        text = self.log.read_text(errors="replace")
        found = re.search(r"Traceback|\bERROR\b|\bCRITICAL\b|Warning: ", text)
        return text[max(0, found.start() - 500) : found.start() + 4000] if found else ""

    def kill(self) -> None:
        """End the whole process tree by SIGKILL, as a power cut does to processes."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process = None

    def s3(self, name: str = "", **options: Any) -> Any:
        """A boto3 client, closed when the gateway stops; the same `name` is the same client."""
        name = name or repr(sorted(options.items(), key=str))
        if name not in self._clients:
            self._clients[name] = boto(self.url, **options)
        return self._clients[name]

    def command(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run another command of the product with this configuration, e.g. `fsck`."""
        return subprocess.run(
            [sys.executable, "-m", "gateway", *arguments, "--conf", str(self.conf)],
            cwd=ROOT,
            env=clean_environment(self.directory, **self.environment),
            capture_output=True,
            text=True,
            timeout=MINUTE,
            check=False,
        )


def _is_worker(pid: int) -> bool:
    with suppress(OSError):
        return b"resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


def answers(url: str) -> bool:
    """Whether a plain GET is answered 200."""
    with suppress(urllib.error.URLError, OSError), urllib.request.urlopen(url, timeout=5) as reply:
        return bool(reply.status == 200)
    return False


@contextmanager
def running(directory: Path, **options: Any) -> Iterator[Gateway]:
    """A gateway for the time of a `with`, ended cleanly."""
    gateway = Gateway(directory, **options)
    try:
        yield gateway.start()
    except BaseException:
        gateway.stop(clean=False)
        raise
    gateway.stop()


class External(Gateway):
    """A server that somebody else runs, named by $S3GW_TEST_ENDPOINT: the client tests can be held against any S3."""

    @property
    def url(self) -> str:
        return os.environ["S3GW_TEST_ENDPOINT"]

    def start(self) -> Gateway:
        self.port = int(self.url.rsplit(":", 1)[1])
        return self

    def workers(self) -> list[int]:
        return []

    def memory(self) -> int:
        return 0


def shared_gateway(directory: Path) -> Gateway:
    """The gateway that read-mostly tests share."""
    return External(directory) if os.environ.get("S3GW_TEST_ENDPOINT") else Gateway(directory)


def refusal(call: Callable[..., Any], **parameters: Any) -> tuple[int, str]:
    """Status and code of the error that a boto3 call must end with."""
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    response = caught.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]
