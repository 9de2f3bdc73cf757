"""`s3gw keys`, run in this process."""

import json
import logging
import os
import stat
from base64 import b64encode

import pytest

from gateway.__main__ import main
from gateway.cli.checks import check_keys
from gateway.config import Settings

COMMANDS = ("list", "add", "rotate", "disable", "enable")


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    for name in list(os.environ):
        if name.startswith("S3GW_"):
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
    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            main(["keys", *arguments])
        shown = capsys.readouterr()
        return int(ended.value.code or 0), shown.out, shown.err

    return run


@pytest.fixture
def path(home):
    return home / ".s3gw" / "keys.jsonl"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(run, command):
    code, out, _ = run(command, "--help")
    assert code == 0
    assert f"s3gw keys {command}" in out


def test_a_ring_from_its_beginning(run, path):
    assert "There is no key yet" in run("list")[1]
    assert not path.exists()
    assert run("add", "--id", "backups", "--description", "Nightly")[:2] == (0, f"Added backups to {path}\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    code, out, _ = run("rotate", "--json")
    made = json.loads(out)
    assert (code, made["objects"], made["wrapped"]) == (0, 0, 0)
    shown = run("list")[1]
    assert "backups" in shown
    assert made["id"] in shown
    listed = json.loads(run("list", "--json")[1])
    assert [(key["id"], key["kind"]) for key in listed] == [("backups", "kms"), (made["id"], "master")]
    assert "key" not in listed[0]
    secrets = [json.loads(line)["key"] for line in path.read_text().splitlines()]
    assert not any(secret in shown for secret in secrets)


def test_enable_and_disable(run):
    run("add", "--id", "backups")
    assert run("disable", "--id", "backups")[:2] == (0, "backups is disabled\n")
    assert json.loads(run("list", "--json")[1])[0]["enabled"] is False
    assert run("enable", "--id", "backups")[:2] == (0, "backups is enabled\n")
    for command in ("enable", "disable"):
        code, _, error = run(command, "--id", "nobody")
        assert code == 1
        assert "there is no key nobody" in error


@pytest.mark.parametrize("name", ["a b", "backups", "aws/s3"])
def test_ids_that_cannot_be_added(run, name):
    run("add", "--id", "backups")
    assert run("add", "--id", name)[0] == 2


def test_with_a_master_key_in_the_environment_none_is_made(run, monkeypatch, path):
    monkeypatch.setenv("S3GW_MASTER_KEY", b64encode(bytes(32)).decode())
    made = json.loads(run("rotate", "--json")[1])
    assert made["id"].startswith("e-")
    assert not path.exists()


@pytest.mark.parametrize("command", [("list",), ("rotate",), ("add", "--id", "a"), ("enable", "--id", "a")])
def test_a_damaged_ring_is_a_message(run, path, command):
    path.parent.mkdir()
    path.write_text("{}\n")
    path.chmod(0o600)
    code, _, error = run(*command)
    assert code == 1
    assert "keys.jsonl:1: not a key" in error


@pytest.mark.parametrize("value", ["short", b64encode(bytes(31)).decode()])
def test_the_gateway_does_not_start_with_a_bad_key(capsys, monkeypatch, value):
    monkeypatch.setenv("S3GW_MASTER_KEY", value)
    with pytest.raises(SystemExit) as ended:
        main(["serve", "--listen", "127.0.0.1:1"])
    assert ended.value.code == 1
    assert "S3GW_MASTER_KEY: expected base64 of 32 bytes" in capsys.readouterr().err


def test_the_doctor_looks_at_the_ring(run, path):
    settings = Settings()
    assert [finding.status for finding in check_keys(settings)] == ["ok"]
    run("add", "--id", "backups")
    assert "1 enabled" in next(check_keys(settings)).detail
    path.chmod(0o644)
    assert [finding.status for finding in check_keys(settings)] == ["ok", "fail"]
    path.write_text("{}\n")
    assert next(check_keys(settings)).status == "fail"
