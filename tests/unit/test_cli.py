"""The `s3gw` command, run in this process: what it prints, what it changes, how it ends."""

import asyncio
import contextlib
import io
import json
import logging
import os
import pty
import select
import socket
import subprocess
import sys
import termios
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version

import pytest
from harness import ROOT, eventually, free_port, noise
from payloads import BytesPayload

from backends.base import Ref
from backends.local import LocalBackend
from gateway import launch
from gateway.__main__ import main
from gateway.cli import checks, fsck, serve
from gateway.config import BackendSettings, S3GatewaySettings, Settings

KEY, SECRET = "AKIAEXAMPLEKEY123", "abcdefghijklmnopqrstuvwxyz/0123456789ABC"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A home of its own; the environment and the logging of this process do not reach in, and are as before afterwards."""
    for name in list(os.environ):
        if name.startswith(("S3GW_", "AWS_", "S3_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NO_COLOR", "1")
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    yield tmp_path
    root.setLevel(level)
    root.handlers[:] = handlers
    logging.captureWarnings(False)


@pytest.fixture
def run(capsys):
    """Run the command; returns exit code, stdout, stderr."""

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            main(list(map(str, arguments)))
        shown = capsys.readouterr()
        return int(ended.value.code or 0), shown.out, shown.err

    return run


@pytest.fixture
def run_json(run):
    """Run the command with --json; returns exit code and the document."""

    def run_json(*arguments):
        code, out, err = run(*arguments, "--json")
        assert not err
        return code, json.loads(out)

    return run_json


def spoken(monkeypatch, text):
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))


COMMANDS = [
    ("serve",),
    ("config", "check"),
    ("config", "show"),
    *(
        ("credential", name)
        for name in ("add", "generate", "list", "stats", "enable", "disable", "ensure", "env")
    ),
    *(("keys", name) for name in ("list", "add", "rotate", "enable", "disable")),
    ("lifecycle", "run"),
    ("fsck",),
    ("operations",),
    ("doctor",),
    ("ping",),
    ("version",),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(run, command):
    code, out, _ = run(*command, "--help")
    assert code == 0
    assert f"s3gw {' '.join(command)}" in out


def test_the_help_does_not_load_what_commands_work_with():
    program = (
        "import sys; from gateway.__main__ import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: print(sorted({'pydantic', 'uvicorn', 'lxml', 'awscrt'} & set(sys.modules)))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert shown.stdout.endswith("[]\n")
    assert "credential" in shown.stdout


@pytest.mark.parametrize("arguments", [("nonsense",), ("serve", "--nonsense"), ("credential", "add")])
def test_wrong_usage_ends_with_2(run, arguments):
    assert run(*arguments)[0] == 2


def test_version(run, run_json):
    assert run("version")[1].startswith(f"s3gw {version('s3gw')} (Python 3.")
    assert run_json("version")[1]["s3gw"] == version("s3gw")


def test_completion_is_offered(run):
    assert "--install-completion" in run("--help")[1]


def test_a_good_configuration(run, run_json, home):
    path = home / "gateway.toml"
    path.write_text('[s3_gateway]\nregion = "eu"\n')
    assert run("config", "check", "--conf", path) == (0, f"The configuration is good: {path}\n", "")
    assert run_json("config", "check", "--conf", path) == (0, {"ok": True, "problems": [], "file": str(path)})


def test_a_bad_configuration_ends_every_command_with_2_and_no_traceback(run, home):
    path = home / "gateway.toml"
    path.write_text("[s3_gateway]\nregon = 1\nworkers = 'x'\n")
    expected = (
        "s3gw: the configuration cannot be used\n"
        f'  s3_gateway.regon ({path}, line 2): unknown key; did you mean "region"?\n'
        f'  s3_gateway.workers = "x" ({path}, line 3): expected a whole number\n'
    )
    for command in (
        ("serve",),
        ("config", "check"),
        ("config", "show"),
        ("credential", "list"),
        ("doctor",),
        ("fsck",),
    ):
        assert run(*command, "--conf", path) == (2, "", expected)


def test_a_bad_configuration_for_programs(run_json):
    code, document = run_json("config", "check", "--listen", "nowhere")
    assert code == 2
    assert document["ok"] is False
    assert "option --listen" in document["problems"][0]


def test_the_configuration_file_may_come_from_the_environment(run, monkeypatch, home):
    monkeypatch.setenv("S3GW_CONF", str(home / "missing.toml"))
    code, _, err = run("config", "show")
    assert (code, "missing.toml: No such file" in err) == (2, True)


def test_show_tells_where_each_value_comes_from(run, run_json, monkeypatch, home):
    path = home / "gateway.toml"
    path.write_text('[s3_gateway]\nworkers = 2\ndomains = ["a.b", "c.d"]\n[[backends]]\nname = "disk"\n')
    monkeypatch.setenv("S3GW_AUTH__ANONYMOUS", "none")
    _, shown = run_json("config", "show", "--conf", path, "--region", "eu")
    assert shown["s3_gateway.region"] == {"value": "eu", "from": "option"}
    assert shown["auth.anonymous"] == {"value": "none", "from": "environment"}
    assert shown["s3_gateway.workers"] == {"value": 2, "from": "file"}
    assert shown["backends[0].name"] == {"value": "disk", "from": "file"}
    assert shown["s3_gateway.listen"] == {"value": "0.0.0.0:9900", "from": "default"}
    lines = run("config", "show", "--conf", path)[1].splitlines()
    (row,) = (line.split() for line in lines if "s3_gateway.domains" in line)
    assert row == ["s3_gateway.domains", "a.b,", "c.d", "file"]


READ_ONLY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}],
}


def test_a_key_of_an_account_with_a_policy(run, run_json, home):
    path = home / "read-only.json"
    path.write_text(json.dumps(READ_ONLY, indent=2))
    options = ("--access-key", KEY, "--secret-key", SECRET, "--account", "alice", "--policy", path)
    _, added = run_json("credential", "add", *options)
    assert (added["account"], added["policy"]) == ("alice", READ_ONLY)
    _, made = run_json("credential", "generate", "--account", "bob", "--policy", path)
    assert (made["account"], made["policy"]) == ("bob", READ_ONLY)
    run("credential", "generate")
    _, records = run_json("credential", "list")
    assert [(one["account"], one["policy"]) for one in records] == [
        ("alice", READ_ONLY),
        ("bob", READ_ONLY),
        ("", None),
    ]
    assert "alice" in run("credential", "list")[1]
    run("credential", "disable", "--access-key", KEY)
    _, again = run_json("credential", "add", "--access-key", KEY, "--secret-key", SECRET[::-1])
    assert (again["account"], again["policy"]) == ("alice", READ_ONLY), "a new secret is no new right"
    empty = ("--account", "", "--policy", "")
    _, freed = run_json("credential", "add", "--access-key", KEY, "--secret-key", SECRET, *empty)
    assert (freed["account"], freed["policy"]) == ("", None)


@pytest.mark.parametrize("command", ["add", "generate"])
def test_a_bad_account_or_policy_is_a_usage_error(run, home, command):
    named = ("--access-key", KEY, "--secret-key", SECRET) if command == "add" else ()
    bad, empty = home / "bad.json", home / "empty.json"
    bad.write_text('{"Statement": [{"Effect": "Perhaps"}]}')
    empty.write_text(" \n")
    for options, words in (
        (("--account", "a b"), "The account must have"),
        (("--account", "s3gw"), "owner of everything"),
        (("--policy", home / "missing.json"), "missing.json: No such file"),
        (("--policy", empty), "empty.json: the file is empty"),
        (("--policy", bad), "The policy is not valid: "),
    ):
        code, _, err = run("credential", command, *named, *options)
        assert (code, words in err) == (2, True), err
    assert not (home / ".s3gw" / "credentials.jsonl").exists()


def test_a_credential_is_added_listed_disabled_and_enabled(run, run_json, home):
    code, out, _ = run(
        "credential",
        "add",
        "--access-key",
        KEY,
        "--secret-key",
        SECRET,
        "--description",
        "Production access key",
    )
    assert (code, out) == (0, f"Added {KEY} to {home}/.s3gw/credentials.jsonl\n")
    shown = run("credential", "list")[1]
    assert KEY in shown
    assert "Production access key" in shown
    assert SECRET not in shown
    assert SECRET in run("credential", "list", "--show-secrets")[1]
    assert run("credential", "disable", "--access-key", KEY)[1] == f"{KEY} is disabled\n"
    assert run_json("credential", "list")[1][0]["enabled"] is False
    assert run_json("credential", "enable", "--access-key", KEY)[1]["enabled"] is True
    assert run_json("credential", "list")[1][0]["secret_key"] == "********"
    assert run_json("credential", "list", "--show-secrets")[1][0]["secret_key"] == SECRET


def test_a_secret_may_come_from_stdin(run, run_json, monkeypatch):
    spoken(monkeypatch, f"{SECRET}\n")
    assert run_json("credential", "add", "--access-key", KEY)[0] == 0
    assert run_json("credential", "list", "--show-secrets")[1][0]["secret_key"] == SECRET
    spoken(monkeypatch, "")
    code, _, err = run("credential", "add", "--access-key", KEY)
    assert (code, "give --secret-key" in err) == (2, True)


def test_a_secret_is_asked_for_on_a_terminal(home):
    leader, follower = pty.openpty()
    with os.fdopen(leader, "r+b", buffering=0) as terminal:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "credential", "add", "--access-key", KEY],
            cwd=ROOT,
            stdin=follower,
            stdout=follower,
            stderr=follower,
            start_new_session=True,
        )
        os.close(follower)
        for question in (b"Secret key", b"confirmation"):
            assert SECRET.encode() not in read_until(terminal, question)
            eventually(lambda: not termios.tcgetattr(leader)[3] & termios.ECHO, "the terminal does not echo")
            terminal.write(f"{SECRET}\n".encode())
        assert SECRET.encode() not in read_until(terminal, b"Added")
        assert process.wait(30) == 0
    assert SECRET in (home / ".s3gw" / "credentials.jsonl").read_text()


def read_until(terminal, wanted):
    """What a terminal shows until it shows `wanted`; fails after half a minute of silence."""
    shown = b""
    while wanted not in shown:
        assert select.select([terminal], [], [], 30)[0], shown
        shown += terminal.read(1024)
    return shown


@pytest.mark.parametrize(("key", "secret"), [("ab", SECRET), (KEY, "short"), ("a" * 129, SECRET)])
def test_pairs_that_cannot_be_are_refused(run, key, secret):
    code, _, err = run("credential", "add", "--access-key", key, "--secret-key", secret)
    assert code == 2
    assert "128 characters" in err
    assert "Traceback" not in err


def test_switching_an_unknown_key_fails(run, home):
    code, _, err = run("credential", "enable", "--access-key", "NOBODY")
    assert (code, err) == (1, f"s3gw: there is no key NOBODY in {home}/.s3gw/credentials.jsonl\n")


def test_a_random_pair(run, run_json):
    _, made = run_json("credential", "generate", "--description", "Auto-generated test key")
    assert (len(made["access_key"]), len(made["secret_key"])) == (20, 40)
    assert made["description"] == "Auto-generated test key"
    out = run("credential", "generate")[1]
    assert [line.split("  ")[0] for line in out.splitlines()] == ["access key", "secret key"]
    assert len(run_json("credential", "list")[1]) == 2


def test_an_empty_store_says_what_to_do(run, run_json):
    assert "s3gw credential generate" in run("credential", "list")[1]
    assert run_json("credential", "list") == (0, [])


def test_the_statistics_name_the_path(run, run_json, home):
    run("credential", "generate")
    shown = run("credential", "stats")[1]
    assert f"{home}/.s3gw/credentials.jsonl" in shown
    assert "1: 1 enabled, 0 disabled" in shown
    _, stats = run_json("credential", "stats")
    assert (stats["entries"], stats["state"]) == (1, "ok")


def test_a_store_that_cannot_be_written_is_said(run, home):
    (home / ".s3gw").write_text("a file where the directory should be")
    code, _, err = run("credential", "generate")
    assert code == 1
    assert err.splitlines()[-1].startswith("s3gw: ")
    assert "Traceback" not in err


def test_the_first_key_is_made_once_with_lines_to_paste(run, run_json):
    out = run("credential", "ensure", "--listen", "127.0.0.1:9000", "--region", "eu-1")[1]
    (made,) = run_json("credential", "list", "--show-secrets")[1]
    assert f"export AWS_ACCESS_KEY_ID={made['access_key']}\n" in out
    assert f"export AWS_SECRET_ACCESS_KEY={made['secret_key']}\n" in out
    assert "export AWS_DEFAULT_REGION=eu-1\n" in out
    assert "aws --endpoint-url http://localhost:9000 s3 mb s3://my-bucket\n" in out
    assert run("credential", "ensure") == (0, "", "")
    assert run_json("credential", "ensure") == (0, None)


def test_a_key_as_variables_for_a_shell(run, run_json, home):
    code, _, err = run("credential", "env")
    assert (code, err) == (1, f"s3gw: there is no enabled key in {home}/.s3gw/credentials.jsonl\n")
    for key, secret in (("OFF", "secret-one"), (KEY, SECRET), ("OTHER", "it's;a$secret")):
        run("credential", "add", "--access-key", key, "--secret-key", secret)
    run("credential", "disable", "--access-key", "OFF")
    code, document = run_json("credential", "env", "--listen", "127.0.0.1:9000")
    assert (code, document) == (
        0,
        {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": "http://localhost:9000",
        },
    )
    assert run("credential", "env", "--access-key", "OFF")[0] == 1
    script = run("credential", "env", "--access-key", "OTHER")[1] + 'printf %s "$AWS_SECRET_ACCESS_KEY"'
    assert subprocess.run(["sh", "-c", script], capture_output=True, check=True).stdout == b"it's;a$secret"


def test_a_disabled_key_is_a_key(run, run_json):
    run("credential", "add", "--access-key", KEY, "--secret-key", SECRET)
    run("credential", "disable", "--access-key", KEY)
    assert run_json("credential", "ensure") == (0, None)


def test_a_pair_in_the_environment_is_a_key(run_json, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    assert run_json("credential", "ensure") == (0, None)
    assert run_json("credential", "list")[1][0]["access_key"] == KEY


@pytest.mark.parametrize(
    ("listen", "public_url", "tls", "url"),
    [
        ("0.0.0.0:9900", "", "", "http://localhost:9900"),
        ("[::]:9900", "", "x.pem", "https://localhost:9900"),
        ("192.0.2.1:80", "", "", "http://192.0.2.1:80"),
        ("[2001:db8::1]:80", "", "", "http://[2001:db8::1]:80"),
        ("0.0.0.0:9900", "https://s3.example.com/", "", "https://s3.example.com"),
    ],
)
def test_the_address_to_paste(listen, public_url, tls, url):
    from gateway.cli.first_key import endpoint

    settings = S3GatewaySettings(listen=listen, public_url=public_url, tls_certificate=tls, tls_key=tls)
    assert endpoint(settings) == url


def test_a_wrong_log_level_ends_with_2(run, monkeypatch):
    assert "levels are trace, debug" in run("serve", "--log", "loud")[2]
    monkeypatch.setenv("S3GW_LOG", "loud")
    assert run("credential", "list")[0] == 2


def test_the_server_gets_every_setting():
    settings = Settings(
        s3_gateway=S3GatewaySettings(
            listen="[::1]:7",
            workers=3,
            tls_certificate="c",
            tls_key="k",
            shutdown_timeout_seconds=1,
            idle_timeout_seconds=2,
            header_timeout_seconds=3,
            body_timeout_seconds=4,
            max_connections=5,
        )
    )
    options = launch.serve_options(settings)
    assert (options.host, options.port, options.workers, options.max_connections) == ("::1", 7, 3, 5)
    assert (options.tls_certificate, options.tls_key) == ("c", "k")
    assert (options.shutdown_timeout, options.idle_timeout) == (1, 2)
    assert (options.header_timeout, options.body_timeout) == (3, 4)


@contextlib.contextmanager
def answering(status):
    """A server that answers everything with a status; yields its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_ping(run, run_json):
    with answering(200) as port:
        assert run("ping", "--listen", f"0.0.0.0:{port}") == (0, f"well: 0.0.0.0:{port}\n", "")
        assert run_json("ping", "--listen", f"127.0.0.1:{port}")[1]["ok"] is True
    with answering(503) as port:
        assert run("ping", "--listen", f"127.0.0.1:{port}")[0] == 1
    code, _, err = run("ping", "--listen", f"127.0.0.1:{free_port()}", "--wait", "0.2")
    assert (code, "Connection refused" in err) == (1, True)


def test_ping_waits_for_the_answer(run):
    port = free_port()
    listener = socket.socket()

    def begin():
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen()
        connection, _ = listener.accept()
        with connection:
            connection.recv(1000)
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    starter = threading.Timer(0.3, begin)
    starter.start()
    try:
        assert run("ping", "--listen", f"127.0.0.1:{port}", "--wait", "30")[0] == 0
    finally:
        starter.join()
        listener.close()


def doctor(run_json, *arguments):
    """The findings by name."""
    _, document = run_json("doctor", *arguments)
    return {finding["check"]: finding for finding in document["checks"]}


def test_the_doctor_finds_a_fresh_machine_well(run, run_json):
    port = free_port()
    code, document = run_json("doctor", "--listen", f"127.0.0.1:{port}")
    assert (code, document["ok"]) == (0, True)
    found = {finding["check"]: finding for finding in document["checks"]}
    assert found["gateway"]["detail"] == f"not running; port {port} is free"
    assert found["credentials"]["status"] == "warn"
    assert "will be made in" in found["data directory"]["detail"]
    out = run("doctor", "--listen", f"127.0.0.1:{port}")[1]
    assert "→ make one: s3gw credential generate" in out
    assert "0 failed" in out


def test_the_doctor_changes_nothing(run, home):
    run("doctor", "--listen", f"127.0.0.1:{free_port()}")
    assert list(home.iterdir()) == []


def test_the_doctor_knows_a_running_gateway_from_a_stranger(run_json):
    with answering(200) as port:
        assert doctor(run_json, "--listen", f"127.0.0.1:{port}")["gateway"]["status"] == "ok"
    with answering(404) as port:
        assert doctor(run_json, "--listen", f"127.0.0.1:{port}")["gateway"]["status"] == "fail"
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))  # bound and not listening: no connection, and no way to listen there
        found = doctor(run_json, "--listen", f"127.0.0.1:{mute.getsockname()[1]}")["port"]
    assert found["status"] == "fail"
    assert "ss -ltnp" in found["advice"]


def test_the_doctor_says_that_an_address_is_not_of_this_machine(run_json):
    found = doctor(run_json, "--listen", "192.0.2.1:1")["port"]
    assert (found["status"], "192.0.2.1:1" in found["detail"]) == ("fail", True)


def test_the_doctor_sees_an_open_credential_file(run, run_json, home):
    run("credential", "generate")
    (home / ".s3gw" / "credentials.jsonl").chmod(0o644)
    code, out, _ = run("doctor", "--listen", f"127.0.0.1:{free_port()}")
    assert code == 1
    assert "others may read it (mode 644)" in out


def test_the_doctor_sees_an_open_gateway(monkeypatch, run_json):
    monkeypatch.setenv("S3GW_AUTH__ANONYMOUS", "full")
    port = free_port()
    assert doctor(run_json, "--listen", f"0.0.0.0:{port}")["anonymous access"]["status"] == "fail"
    assert "anonymous access" not in doctor(run_json, "--listen", f"127.0.0.1:{port}")


def test_the_doctor_looks_at_the_upload_directory(monkeypatch, home):
    store = BackendSettings(path=home / "data")

    def found(directory):
        settings = Settings(s3_gateway=S3GatewaySettings(put_temp_dir=str(directory)), backends=(store,))
        return [finding.status for finding in checks.check_temporary(settings)]

    assert found("") == []
    assert found(home / "temp") == ["ok"]
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert found(home / "temp") == ["fail"]


def test_the_doctor_says_what_a_file_system_lacks(monkeypatch, home):
    settings = Settings(backends=(BackendSettings(path=home),))
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError("no links here")))
    first = next(iter(checks.check_data(settings)))
    assert (first.status, "hard links" in first.detail) == ("warn", True)
    not_a_directory = home / "file"
    not_a_directory.write_text("")
    (only,) = checks.check_data(Settings(backends=(BackendSettings(path=not_a_directory),)))
    assert only.status == "fail"


def test_the_doctor_reads_certificates(home, certificate):
    good, other = certificate(days=400), certificate(days=10)

    def found(pem, key):
        settings = Settings(s3_gateway=S3GatewaySettings(tls_certificate=str(pem), tls_key=str(key)))
        (finding,) = checks.check_tls(settings)
        return finding

    assert found(*good).status == "ok"
    assert "399 days" in found(*good).detail
    assert found(*other).status == "warn"
    assert found(*certificate(days=-1)).status == "fail"
    assert found(good[0], other[1]).status == "fail"
    assert found(home / "missing.pem", home / "missing.key").status == "fail"
    assert list(checks.check_tls(Settings())) == []


@pytest.fixture
def certificate(home):
    """Makes self-signed certificates; returns the paths of certificate and key."""
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    def make(days):
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - timedelta(days=30))
            .not_valid_after(now + timedelta(days=days))
            .sign(key, hashes.SHA256())
        )
        pem, private = home / f"{days}.pem", home / f"{days}.key"
        pem.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        form = serialization.PrivateFormat.PKCS8
        private.write_bytes(
            key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()),
        )
        return pem, private

    return make


@pytest.mark.parametrize(
    ("now", "unsynchronised", "status"), [(0.0, False, "fail"), (4e9, True, "warn"), (4e9, False, "ok")]
)
def test_the_doctor_looks_at_the_clock(monkeypatch, now, unsynchronised, status):
    monkeypatch.setattr(checks.time, "time", lambda: now)
    monkeypatch.setattr(checks, "clock_unsynchronised", lambda: unsynchronised)
    (finding,) = checks.check_clock(Settings())
    assert finding.status == status


def test_the_doctor_advises_on_limits(monkeypatch):
    monkeypatch.setattr(checks.resource, "getrlimit", lambda _: (1024, 4096))
    monkeypatch.setattr(
        checks, "KERNEL", {"kernel.pid_max": (10**12, "at least"), "no.such.key": (1, "at most")}
    )
    found = {finding.check: finding for finding in checks.check_limits(Settings())}
    assert found["open files"].advice.startswith("ulimit -n 65536")
    assert found["kernel.pid_max"].advice == f"sysctl -w kernel.pid_max={10**12}"
    assert "no.such.key" not in found
    monkeypatch.setattr(checks.resource, "getrlimit", lambda _: (65536, 65536))
    monkeypatch.setattr(checks, "KERNEL", {"kernel.pid_max": (1, "at least")})
    assert [finding.status for finding in checks.check_limits(Settings())] == ["ok", "ok"]


@pytest.fixture
def store(home):
    """A store with a small and a large object, at rest; returns its path."""
    path = home / ".s3gw" / "data"
    asyncio.run(fill(path))
    return path


async def fill(path):
    backend = LocalBackend.open(path)
    await backend.create_bucket("bucket")
    for size in (10, 300_000):
        await backend.put_object(Ref("bucket", f"key-{size}"), BytesPayload(noise(size)))
    await backend.aclose()


def test_fsck_of_a_store_that_is_well(run, run_json, store):
    assert run("fsck", "--verify") == (0, "2 objects, 1 files of bodies\nall is well\n", "")
    code, report = run_json("fsck")
    assert (code, report["ok"], report["objects"]) == (0, True, 2)


def test_fsck_finds_what_is_lost(run, store):
    (body,) = (path for path in (store / "bodies").rglob("*") if path.is_file())
    body.write_bytes(body.read_bytes()[:-1] + b"?")
    code, out, _ = run("fsck", "--verify")
    assert (code, "damaged: bucket/key-300000: the bytes do not match the ETag" in out) == (1, True)
    body.unlink()
    code, out, _ = run("fsck")
    assert (code, "missing: bucket/key-300000" in out) == (1, True)


def test_fsck_removes_litter_when_told_to(run, store):
    (body,) = (path for path in (store / "bodies").rglob("*") if path.is_file())
    litter = body.with_name(body.name[:-1] + ("0" if body.name[-1] != "0" else "1"))
    litter.write_bytes(b"left behind")
    code, out, _ = run("fsck")
    assert (code, f"litter: {litter}" in out) == (1, True)
    assert "--repair removes litter" in out
    code, out, _ = run("fsck", "--repair")
    assert (code, "1 put right" in out, litter.exists()) == (0, True, False)


def test_fsck_without_a_store(run, home):
    code, _, err = run("fsck")
    assert (code, err) == (1, f"s3gw: There is no store at {home}/.s3gw/data.\n")


def test_long_reports_are_cut_for_people():
    from backends.local.fsck import Report

    report = Report(30, 30, tuple(f"b/{number}" for number in range(30)), (), (), 0, True)
    lines = list(fsck._lines(report, repair=False))
    assert lines[20:22] == ["missing: b/19", "missing: 10 more (--json shows all)"]


def test_a_progress_bar_is_for_terminals(monkeypatch, capsys):
    with fsck.progress_bar("checking") as progress:
        assert progress is None
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with fsck.progress_bar("checking") as progress:
        progress(5, 10)


def test_serving_an_open_gateway_is_warned_of_loudly(caplog):
    open_to_all = Settings(auth={"anonymous": "full"})
    serve.warn_if_open(open_to_all)
    assert "ANYONE WHO REACHES 0.0.0.0:9900 MAY READ AND DELETE EVERYTHING" in caplog.text
    caplog.clear()
    serve.warn_if_open(Settings(auth={"anonymous": "full"}, s3_gateway={"listen": "127.0.0.1:1"}))
    serve.warn_if_open(Settings())
    assert caplog.text == ""


def test_a_taken_port_is_named(run, home):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, _, err = run("serve", "--listen", f"127.0.0.1:{port}", "--workers", "1")
    assert code == 1
    assert f"s3gw: port {port} is in use" in err
    assert "Traceback" not in err


def test_the_first_key_is_not_written_into_a_log(run, run_json, home):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        _, out, err = run("serve", "--listen", f"127.0.0.1:{taken.getsockname()[1]}")
    (made,) = run_json("credential", "list", "--show-secrets")[1]
    assert made["access_key"] in err
    assert made["secret_key"] not in out + err
