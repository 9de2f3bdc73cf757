"""`scripts/s3gw.sh` with the real gateway: start, status, stop, restart, a taken port, a stale pid file, the log."""

import json
import os
import re
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from harness import ROOT, clean_environment, free_port

SCRIPT = ROOT / "scripts" / "s3gw.sh"

pytestmark = pytest.mark.skipif(
    not Path(sys.prefix, "bin", "s3gw").exists(), reason="the project is not installed in this environment"
)


class Service:
    """The script with a home of its own, in the environment that runs the tests."""

    def __init__(self, home):
        self.home = home
        self.port = free_port()
        self.listen = f"127.0.0.1:{self.port}"
        self.environment = clean_environment(
            home, S3GW_HOME=str(home), S3GW_VENV=sys.prefix, S3GW_NO_SETUP="1", S3GW_S3_GATEWAY__WORKERS="1"
        )

    def __call__(self, *arguments, stdin=None):
        """Run the script; returns exit code, stdout, stderr."""
        done = subprocess.run(
            [SCRIPT, *map(str, arguments)],
            cwd=self.home,
            env=self.environment,
            capture_output=True,
            check=False,
            text=True,
            timeout=120,
            input=stdin,
        )
        return done.returncode, done.stdout, done.stderr

    def start(self, *arguments):
        code, out, err = self("start", "--listen", self.listen, *arguments)
        assert code == 0, out + err
        return out

    @property
    def pid(self):
        return int((self.home / "logs" / "s3gw.pid").read_text().split()[0])

    @property
    def log(self):
        return (self.home / "logs" / "s3gw.out").read_text()

    def status(self):
        url = f"http://{self.listen}/healthz"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status


@pytest.fixture
def service(tmp_path):
    service = Service(tmp_path)
    yield service
    service("stop")


def test_commands_ask_the_gateway_that_was_started(service):
    service.start()
    found = service("credential", "env")[1]
    assert f"export AWS_ENDPOINT_URL=http://localhost:{service.port}\n" in found
    assert service("ping")[0] == 0
    assert "localhost:1234" in service("credential", "env", "--listen", "127.0.0.1:1234")[1]


def test_the_life_of_a_service(service):
    assert service("status") == (3, "s3gw does not run\n", "")
    out = service.start()
    assert service.status() == 200
    assert f"s3gw runs (process {service.pid}), its log is {service.home}/logs/s3gw.out" in out
    assert service("status") == (0, f"s3gw runs (process {service.pid})\n", "")
    assert (
        service("start", "--listen", service.listen)[1]
        == f"s3gw is running already (process {service.pid})\n"
    )
    assert service("stop") == (0, "s3gw stopped\n", "")
    assert service("status")[0] == 3
    assert service("stop") == (0, "s3gw does not run\n", "")


def test_the_first_start_shows_a_key_that_works(service):
    out = service.start()
    exported = dict(re.findall(r"^export (\w+)=(.+)$", out, re.MULTILINE))
    lines = [line for line in out.splitlines() if "aws --endpoint-url" in line]
    assert f"http://localhost:{service.port}" in lines[0]
    aws = Path(sys.prefix, "bin")
    environment = clean_environment(service.home, **exported)
    environment["PATH"] = f"{aws}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(
        ["bash", "-ec", "\n".join(lines)],
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].split()[2:] == ["6", "hello.txt"]
    assert exported["AWS_SECRET_ACCESS_KEY"] not in service.log
    service("stop")
    assert "export" not in service.start()


def test_the_session_of_the_readme(service):
    service.environment["S3GW_S3_GATEWAY__LISTEN"] = service.listen
    service.start()
    (session,) = (
        block
        for block in re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
        if "aws " in block
    )
    path = f"{Path(sys.prefix, 'bin')}{os.pathsep}{service.environment['PATH']}"
    done = subprocess.run(
        ["bash", "-ec", session],
        cwd=ROOT,
        env=service.environment | {"PATH": path},
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("".join((ROOT / "README.md").read_text().splitlines(keepends=True)[:3]))
    assert "docs/configuration.md" in done.stdout


def test_restart_keeps_the_options_of_the_last_start(service):
    service.start("--region", "eu-9")
    before = service.pid
    code, out, err = service("restart")
    assert code == 0, out + err
    assert service.pid != before
    assert service.status() == 200
    assert (
        service.home / "logs" / "s3gw.options"
    ).read_text() == f"--listen\0{service.listen}\0--region\0eu-9\0"


def test_a_file_and_options_over_it(service):
    conf = service.home / "my gateway.toml"
    conf.write_text('[s3_gateway]\nlisten = "127.0.0.1:1"\n[[backends]]\npath = "~/elsewhere"\n')
    service.start("--conf", conf)
    assert service.status() == 200
    assert (service.home / "elsewhere").is_dir()


def test_a_file_in_the_home_is_the_default(service):
    (service.home / "conf").mkdir()
    (service.home / "conf" / "gateway.toml").write_text('[s3_gateway]\nregion = "here"\n')
    shown = json.loads(service("config", "show", "--json")[1])
    assert shown["s3_gateway.region"] == {"value": "here", "from": "file"}


def test_a_bad_configuration_is_said_before_anything_starts(service):
    conf = service.home / "bad.toml"
    conf.write_text("[s3_gateway]\nregon = 1\n")
    code, _, err = service("start", "--conf", conf)
    assert (code, 'did you mean "region"?' in err) == (2, True)
    assert service("start", "--conf", service.home / "missing.toml")[0] == 2
    assert service("status")[0] == 3


def test_a_port_of_another_program_is_named_and_left_alone(service):
    with socket.create_server(("127.0.0.1", service.port)) as taken:
        code, _, err = service("start", "--listen", service.listen)
        assert code == 1
        assert f"port {service.port} is in use" in err
        assert taken.fileno() >= 0
    assert service("status")[0] == 3


def test_a_port_of_another_gateway_is_named_and_left_alone(service, tmp_path_factory):
    service.start()
    other = Service(tmp_path_factory.mktemp("other"))
    code, _, err = other("start", "--listen", service.listen)
    assert (code, service.listen in err) == (1, True)
    assert service.status() == 200


@pytest.mark.parametrize("content", ["", "nonsense", "{pid} 1", "{pid}", "999999999 5"])
def test_a_stale_pid_file_is_recognised(service, content):
    logs = service.home / "logs"
    logs.mkdir()
    (logs / "s3gw.pid").write_text(content.format(pid=os.getpid()))
    assert service("status")[0] == 3
    assert service("stop") == (0, "s3gw does not run\n", "")
    service.start()
    assert service.status() == 200


def test_the_log_is_appended_to(service):
    service.start()
    service("stop")
    service.start()
    assert service.log.count("--- s3gw start ") == 2
    assert service.log.count("s3gw listening on") == 2


def test_everything_else_is_the_command(service):
    assert service("version")[1].startswith("s3gw ")
    code, out, _ = service(
        "credential", "add", "--access-key", "AKIAEXAMPLEKEY123", stdin="a/secret/of/mine\n"
    )
    assert (code, out.startswith("Added AKIAEXAMPLEKEY123")) == (0, True)
    assert "AKIAEXAMPLEKEY123" in service("credential", "list")[1]
    assert service("nonsense")[0] == 2
    assert "usage: scripts/s3gw.sh" in service()[1]


def test_a_new_key_works_in_the_running_gateway(service):
    service.start()
    service("credential", "add", "--access-key", "NEWKEY", "--secret-key", "secret-of-the-new-key")
    environment = clean_environment(
        service.home, AWS_ACCESS_KEY_ID="NEWKEY", AWS_SECRET_ACCESS_KEY="secret-of-the-new-key"
    )
    aws = [
        Path(sys.prefix, "bin", "aws"),
        "--endpoint-url",
        f"http://{service.listen}",
        "--region",
        "us-east-1",
    ]
    done = subprocess.run(
        [*aws, "s3", "mb", "s3://bucket"], env=environment, check=False, capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
