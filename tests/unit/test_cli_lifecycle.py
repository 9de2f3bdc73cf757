"""`s3gw lifecycle run`: what it refuses, and what it prints."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from backends.local import LocalBackend
from gateway.__main__ import main
from gateway.background import turn
from gateway.lifecycle.task import LOCK


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    path = tmp_path / "gateway.toml"
    path.write_text(
        f'[s3_gateway]\ncredentials_path = "{tmp_path / "credentials.jsonl"}"\n'
        f'[[backends]]\nname = "local"\npath = "{tmp_path / "data"}"\n'
    )
    return path


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--at", "2030-01-01"], 2, "--at only goes with --dry-run"),
        (["--dry-run", "--at", "tomorrow"], 2, "not a time"),
        ([], 1, "there is no store in"),
        (["--dry-run"], 1, "there is no store in"),
    ],
)
def test_refused(
    conf: Path, arguments: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["lifecycle", "run", "--conf", str(conf), *arguments])
    assert caught.value.code == code
    assert message in capsys.readouterr().err
    assert not (conf.parent / "data").exists()


@pytest.fixture
def store(conf: Path) -> Path:
    """A store that is there, and empty."""
    path = conf.parent / "data"
    LocalBackend.open(path, durability="relaxed").close()
    return path


def run(conf: Path, *arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(["lifecycle", "run", "--conf", str(conf), *arguments])
    assert isinstance(caught.value.code, int)
    return caught.value.code


def test_two_passes_are_not_made_at_a_time(
    conf: Path, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with turn(store / LOCK):
        assert run(conf) == 1
        assert "another pass is being made right now" in capsys.readouterr().err
        assert run(conf, "--dry-run") == 0, "which changes nothing"
    assert run(conf) == 0
    assert "0 versions and uploads looked at; nothing is due" in capsys.readouterr().out


def test_for_programs(conf: Path, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(conf, "--json", "--dry-run", "--at", "2030-01-01T00:00:00Z") == 0
    assert json.loads(capsys.readouterr().out) == {"dry_run": True, "examined": 0, "outcomes": []}


def test_a_store_of_another_version(conf: Path, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(sqlite3.connect(store / "index.sqlite")) as index:
        index.execute("UPDATE schema SET version = 99")
        index.commit()
    assert run(conf) == 1
    assert "schema 99" in capsys.readouterr().err
