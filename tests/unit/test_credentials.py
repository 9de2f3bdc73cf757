"""The credential store: what a line says, who wins, and how soon a change is known."""

import asyncio
import json
import logging
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from auth import watch
from auth.credential import Credential, caller, check_pair
from auth.identity import OWNER_ID, account_number, canonical_id
from auth.store import CredentialStore

SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deep" / "er" / "credentials.jsonl"


def store(path, **environment):
    opened = CredentialStore(path, environment=environment)
    opened.load()
    return opened


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def write(path, *documents):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(d if isinstance(d, str) else json.dumps(d) + "\n" for d in documents))
    path.chmod(0o600)


def entry(key="KEY", secret="12345678", **fields):
    return {"access_key": key, "secret_key": secret, **fields}


def test_a_missing_file_is_an_empty_store(path):
    empty = store(path)
    assert empty.credentials() == []
    assert empty.lookup("KEY") is None
    assert (empty.stats().state, empty.stats().entries, empty.stats().modified) == ("missing", 0, None)
    assert not path.parent.exists()


def test_an_added_pair_is_known_and_kept(path):
    opened = store(path)
    added = opened.add("AKIAEXAMPLEKEY123", SECRET, "Production access key")
    assert opened.lookup("AKIAEXAMPLEKEY123") == added
    assert store(path).lookup("AKIAEXAMPLEKEY123") == added
    line = lines(path)[0]
    assert {name: line[name] for name in line if name != "created_at"} == {
        "access_key": "AKIAEXAMPLEKEY123",
        "secret_key": SECRET,
        "enabled": True,
        "description": "Production access key",
    }
    assert type(line["created_at"]) is int


def test_only_the_owner_may_look(path):
    old = os.umask(0)
    try:
        store(path).add("KEY", SECRET)
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.parent.parent.stat().st_mode) == 0o700


def test_the_last_line_of_a_key_wins(path):
    write(path, entry(), entry(secret="another-one"), entry("OTHER"), entry("OTHER", enabled=False))
    opened = store(path)
    assert opened.lookup("KEY").secret_key == "another-one"
    assert opened.lookup("OTHER") is None
    assert [(c.access_key, c.enabled) for c in opened.credentials()] == [("KEY", True), ("OTHER", False)]


def test_a_key_is_disabled_and_enabled(path):
    opened = store(path)
    opened.add("KEY", SECRET, "why")
    opened.set_enabled("KEY", False)
    assert opened.lookup("KEY") is None
    opened.set_enabled("KEY", True)
    assert opened.lookup("KEY").description == "why"
    assert [line["enabled"] for line in lines(path)] == [True, False, True]
    with pytest.raises(KeyError):
        opened.set_enabled("NOBODY", True)


BAD = [
    "not json\n",
    "[]\n",
    '"text"\n',
    "[" * 5000 + "\n",
    json.dumps({"access_key": "KEY"}) + "\n",
    json.dumps(entry(enabled="yes")) + "\n",
    json.dumps(entry(created_at=True)) + "\n",
    json.dumps(entry("")) + "\n",
    json.dumps(entry(secret="short")) + "\n",
    json.dumps(entry(description=None)) + "\n",
]


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_line_is_skipped_and_named(path, caplog, bad):
    write(path, entry("FIRST"), bad, "\n", entry("LAST"))
    opened = store(path)
    assert opened.lookup("FIRST")
    assert opened.lookup("LAST")
    assert opened.stats().bad_lines == 1
    assert caplog.messages == [f"{path}:2: not a credential, skipped"]


def test_bytes_that_are_no_text_are_a_bad_line(path):
    write(path, entry("FIRST"))
    path.write_bytes(path.read_bytes() + b"\xff\xfe\n" + json.dumps(entry("LAST")).encode())
    assert [c.access_key for c in store(path).credentials()] == ["FIRST", "LAST"]


def test_a_line_without_its_end_is_completed_before_the_next(path):
    write(path, json.dumps(entry("FIRST")))
    opened = store(path)
    opened.add("NEXT", SECRET)
    assert {line["access_key"] for line in lines(path)} == {"FIRST", "NEXT"}


def test_a_file_that_others_may_read_is_warned_of(path, caplog):
    write(path, entry())
    path.chmod(0o644)
    assert store(path).lookup("KEY")
    assert "chmod 600" in caplog.text


def test_a_file_is_read_again_only_if_it_changed(path):
    opened = store(path)
    other = store(path)
    other.add("KEY", SECRET)
    assert opened.lookup("KEY") is None
    assert opened.refresh()
    assert opened.lookup("KEY")
    assert not opened.refresh()
    path.unlink()
    assert opened.refresh()
    assert opened.lookup("KEY") is None
    assert not opened.refresh()


def test_a_file_replaced_by_rename_is_read_and_appended_to(path):
    opened = store(path)
    opened.add("KEY", SECRET)
    fresh = path.with_name("new")
    write(fresh, entry("NEW"))
    fresh.rename(path)
    assert opened.refresh()
    assert [c.access_key for c in opened.credentials()] == ["NEW"]
    opened.add("NEXT", SECRET)
    assert [line["access_key"] for line in lines(path)] == ["NEW", "NEXT"]


def test_what_cannot_be_read_any_more_keeps_what_was_read(path, caplog):
    opened = store(path)
    opened.add("KEY", SECRET)
    path.unlink()
    path.mkdir()
    assert not opened.refresh()
    assert opened.lookup("KEY")
    assert opened.stats().state == "unreadable"
    assert "cannot be read" in caplog.text
    path.rmdir()
    assert opened.refresh()
    assert opened.stats().state == "missing"


def test_generated_pairs_look_like_awss(path):
    opened = store(path)
    pairs = [opened.generate("Auto-generated test key") for _ in range(5)]
    assert len({pair.access_key for pair in pairs}) == 5
    for pair in pairs:
        assert re.fullmatch(r"AKIA[A-Z2-7]{16}", pair.access_key)
        assert re.fullmatch(r"[A-Za-z0-9+/]{40}", pair.secret_key)
        assert opened.lookup(pair.access_key) == pair


@pytest.mark.parametrize(
    ("key", "secret", "words"),
    [
        ("ab", SECRET, "access key must have 3 to 128 characters; this one has 2"),
        ("a" * 129, SECRET, "3 to 128"),
        ("a b", SECRET, "printable ASCII without blanks"),
        ("aé1", SECRET, "printable ASCII"),
        ("a\nb", SECRET, "printable ASCII"),
        ("a,b", SECRET, "quotes or commas"),
        ('a"b', SECRET, "quotes or commas"),
        ("KEY", "1234567", "secret key must have 8 to 128 characters"),
        ("KEY", "1" * 129, "8 to 128"),
        ("KEY", "1234567 8", "secret key must be printable"),
    ],
)
def test_a_pair_that_cannot_be_is_refused_in_a_sentence(path, key, secret, words):
    opened = store(path)
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        opened.add(key, secret)
    assert secret not in str(caught.value)
    assert not path.exists()


def test_the_limits_themselves_are_fine():
    check_pair("abc", "12345678")
    check_pair("a/b" + "c" * 125, "/" * 128)


def test_a_secret_is_never_shown():
    assert SECRET not in repr(Credential("KEY", SECRET))
    assert SECRET not in f"{Credential('KEY', SECRET)}"


NAMES = {
    "S3": ("S3_ACCESS_KEY", "S3_SECRET_KEY"),
    "AWS": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    "mixed": ("S3_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY"),
}


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
def test_the_environments_pair_enters_the_store_once(path, names):
    environment = {names[0]: "ENVKEY", names[1]: SECRET}
    for _ in range(2):
        opened = store(path, **environment)
        assert opened.lookup("ENVKEY").secret_key == SECRET
        assert opened.stats().environment
    assert [(line["access_key"], line["description"]) for line in lines(path)] == [
        ("ENVKEY", "Environment Variable")
    ]
    changed = store(path, **(environment | {names[1]: "another-secret"}))
    assert changed.lookup("ENVKEY").secret_key == "another-secret"
    assert [line["secret_key"] for line in lines(path)] == [SECRET, "another-secret"]
    assert [c.secret_key for c in store(path).credentials()] == ["another-secret"]


def test_s3s_names_win_over_awss(path):
    environment = {"S3_ACCESS_KEY": "FIRST", "S3_SECRET_KEY": "firstfirst"}
    opened = store(path, AWS_ACCESS_KEY_ID="SECOND", AWS_SECRET_ACCESS_KEY="secondsecond", **environment)
    assert opened.lookup("FIRST").secret_key == "firstfirst"
    assert opened.lookup("SECOND") is None


def test_the_environments_pair_works_whatever_the_store_says(path):
    write(path, entry("ENVKEY", SECRET), entry("ENVKEY", SECRET, enabled=False))
    opened = store(path, S3_ACCESS_KEY="ENVKEY", S3_SECRET_KEY=SECRET)
    assert opened.lookup("ENVKEY").secret_key == SECRET
    assert len(lines(path)) == 2
    write(path, entry("ENVKEY", "another-secret"))
    opened.refresh()
    assert opened.lookup("ENVKEY").secret_key == SECRET


def test_the_environments_pair_works_without_a_writable_store(tmp_path, caplog):
    blocked = tmp_path / "file"
    blocked.write_text("")
    opened = store(blocked / "credentials.jsonl", S3_ACCESS_KEY="ENVKEY", S3_SECRET_KEY=SECRET)
    assert opened.lookup("ENVKEY").secret_key == SECRET
    assert "cannot be written" in caplog.text
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    ("environment", "missing"),
    [
        ({"S3_ACCESS_KEY": "ENVKEY"}, "S3_SECRET_KEY"),
        ({"AWS_SECRET_ACCESS_KEY": SECRET}, "AWS_ACCESS_KEY_ID"),
        ({"AWS_ACCESS_KEY_ID": "ENVKEY", "S3_SECRET_KEY": ""}, "AWS_SECRET_ACCESS_KEY"),
    ],
)
def test_half_a_pair_names_the_missing_variable(path, caplog, environment, missing):
    opened = store(path, **environment)
    assert opened.credentials() == []
    assert not opened.stats().environment
    assert missing in caplog.text
    assert SECRET not in caplog.text


def test_a_pair_that_cannot_be_is_not_taken_from_the_environment(path, caplog):
    assert store(path, S3_ACCESS_KEY="ENVKEY", S3_SECRET_KEY="short").lookup("ENVKEY") is None
    assert "8 to 128" in caplog.text
    assert not path.exists()


def test_the_statistics(path):
    write(path, entry(), entry("OFF", enabled=False), "bad\n")
    stats = store(path).stats()
    assert (stats.path, stats.state, stats.size) == (str(path), "ok", path.stat().st_size)
    assert (stats.entries, stats.enabled, stats.disabled, stats.bad_lines) == (2, 1, 1, 1)
    assert stats.modified == path.stat().st_mtime_ns / 1e9
    assert stats.age >= 0
    assert stats.loaded


APPEND = """
import sys
from pathlib import Path
from auth.store import CredentialStore
mine = CredentialStore(Path(sys.argv[1]), environment={"S3_ACCESS_KEY": "ENVKEY", "S3_SECRET_KEY": "12345678"})
mine.load()
for number in range(25):
    mine.add(f"{sys.argv[2]}-{number}", "12345678")
"""


def test_processes_that_write_at_once_lose_no_line(path):
    root = Path(__file__).parents[2]
    processes = [
        subprocess.Popen([sys.executable, "-c", APPEND, str(path), f"P{number}"], cwd=root)
        for number in range(3)
    ]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    keys = [line["access_key"] for line in lines(path)]
    assert len(keys) == 76
    assert keys.count("ENVKEY") == 1
    assert len(store(path).credentials()) == 76


class Observed(CredentialStore):
    """A store that tells when it has looked."""

    def __init__(self, path):
        super().__init__(path, environment={})
        self.looked = asyncio.Event()

    def refresh(self, *, force=False):
        read = super().refresh(force=force)
        self.looked.set()
        return read

    async def known(self, key, seconds=10.0):
        """Wait until a key is known."""
        async with asyncio.timeout(seconds):
            while self.lookup(key) is None:
                self.looked.clear()
                await self.looked.wait()


async def stop(task):
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_watched_store_knows_a_new_key_at_once(path):
    opened, other = Observed(path), store(path)
    other.add("FIRST", SECRET)
    task = asyncio.create_task(opened.watch(60))
    await opened.known("FIRST")
    other.add("NEXT", SECRET)
    await opened.known("NEXT")
    fresh = path.with_name("new")
    write(fresh, entry("RENAMED"))
    fresh.rename(path)
    await opened.known("RENAMED")
    await stop(task)


async def test_a_directory_that_comes_later_is_noticed(path):
    opened, other = Observed(path), store(path)
    task = asyncio.create_task(opened.watch(0.05))
    await asyncio.sleep(0)
    other.add("KEY", SECRET)
    await opened.known("KEY")
    path.unlink()
    path.parent.rename(path.parent.with_name("gone"))
    other.add("AGAIN", SECRET)
    await opened.known("AGAIN")
    await stop(task)


async def test_without_watching_the_interval_is_enough(path, monkeypatch, caplog):
    def broken(*_, **__):
        raise OSError("inotify limit reached")

    monkeypatch.setattr(watch, "awatch", broken)
    opened, other = Observed(path), store(path)
    other.add("FIRST", SECRET)
    task = asyncio.create_task(opened.watch(0.02))
    await opened.known("FIRST")
    other.add("SECOND", SECRET)
    await opened.known("SECOND")
    await stop(task)
    assert caplog.text.count("cannot be watched") == 1


def test_what_the_store_logs_is_no_secret(path, caplog):
    caplog.set_level(logging.DEBUG)
    opened = store(path, S3_ACCESS_KEY="ENVKEY", S3_SECRET_KEY=SECRET)
    opened.add("KEY", SECRET)
    write(path, f'{{"access_key": "KEY", "secret_key": "{SECRET}"\n')
    opened.refresh()
    assert "skipped" in caplog.text
    assert SECRET not in caplog.text


def test_a_full_disk_leaves_no_half_line(path, monkeypatch):
    opened = store(path)
    opened.add("KEY", SECRET)
    before = path.read_bytes()
    write_all = os.write
    monkeypatch.setattr(os, "write", lambda file, line: write_all(file, line[:10]))
    with pytest.raises(OSError, match="No space left"):
        opened.add("NEXT", SECRET)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert opened.lookup("NEXT") is None


POLICY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}],
}


def test_a_line_may_name_an_account_and_a_policy(path):
    write(path, entry("OLD"), entry("NEW", account="alice@example.org", policy=POLICY))
    opened = store(path)
    assert (opened.lookup("OLD").account, opened.lookup("OLD").policy) == ("", None)
    assert opened.lookup("NEW").account == "alice@example.org"
    assert json.loads(opened.lookup("NEW").policy) == POLICY
    assert " " not in opened.lookup("NEW").policy
    identity = caller(opened.lookup("NEW")).identity
    assert (identity.account, identity.name) == (canonical_id("alice@example.org"), "alice@example.org")
    assert identity.policy == opened.lookup("NEW").policy
    assert caller(opened.lookup("OLD")).identity.owns_everything


BAD_ACCOUNTS = ["a b", "a/b", "a:b", "é", "a\n", "x" * 65, "s3gw", "0" * 64]
BAD_POLICIES = [
    "{}",
    [],
    7,
    False,
    {},
    {"Statement": [{"Effect": "Perhaps", "Action": "*", "Resource": "*"}]},
    {"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*", "Principal": "*"}]},
]


@pytest.mark.parametrize(
    "fields",
    [{"account": value} for value in [*BAD_ACCOUNTS, 7, None, []]]
    + [{"policy": value} for value in BAD_POLICIES],
)
def test_a_line_with_a_bad_account_or_policy_is_bad(path, fields):
    """A key must not work with more rights than its line was meant to give it."""
    write(path, entry("KEY", **fields))
    opened = store(path)
    assert opened.lookup("KEY") is None
    assert opened.stats().bad_lines == 1


@pytest.mark.parametrize("account", ["a", "x" * 64, "Az09@._+-", "123456789012"])
def test_the_names_that_accounts_may_have(path, account):
    assert store(path).add("KEY", SECRET, account=account).account == account
    assert store(path).lookup("KEY").account == account


@pytest.mark.parametrize("account", BAD_ACCOUNTS)
def test_an_account_that_cannot_be_is_refused_in_a_sentence(path, account):
    with pytest.raises(ValueError, match=r"The account .*\."):
        store(path).add("KEY", SECRET, account=account)
    assert not path.exists()


def test_a_policy_that_cannot_be_is_refused(path):
    for text in ("{", "[]", '{"Statement": 7}'):
        with pytest.raises(ValueError, match=r"\w"):
            store(path).add("KEY", SECRET, policy=text)
    assert not path.exists()


def test_what_changes_a_key_keeps_its_account_and_policy(path):
    opened = store(path)
    opened.add("KEY", SECRET, "why", account="alice", policy=json.dumps(POLICY))
    opened.set_enabled("KEY", False)
    opened.set_enabled("KEY", True)
    opened.add("KEY", "another-secret")
    found = store(path).lookup("KEY")
    assert (found.secret_key, found.account, json.loads(found.policy)) == ("another-secret", "alice", POLICY)
    assert [(line["account"], line["policy"]) for line in lines(path)] == [("alice", POLICY)] * 4
    opened.add("KEY", SECRET, account="", policy="")
    assert (opened.lookup("KEY").account, opened.lookup("KEY").policy) == ("", None)
    assert not {"account", "policy"} & lines(path)[-1].keys()


def test_the_environments_pair_has_the_rights_that_the_file_gives_it(path):
    write(path, entry("ENVKEY", SECRET, account="alice", policy=POLICY))
    changed = {"S3_ACCESS_KEY": "ENVKEY", "S3_SECRET_KEY": "another-secret"}
    for environment in ({"S3_ACCESS_KEY": "ENVKEY", "S3_SECRET_KEY": SECRET}, changed):
        found = store(path, **environment).lookup("ENVKEY")
        assert (found.secret_key, found.account) == (environment["S3_SECRET_KEY"], "alice")
        assert json.loads(found.policy) == POLICY
    assert store(path).lookup("ENVKEY").account == "alice"


def test_accounts_are_known_by_all_their_names(path):
    write(path, entry("KEY-A", account="alice"), entry("KEY-B", account="bob", enabled=False), entry("KEY-O"))
    opened = store(path)
    for name, key in (("alice", "KEY-A"), ("bob", "KEY-B")):
        account = canonical_id(name)
        assert opened.account_name(account) == name
        assert opened.account_id(name) == account
        for principal in (name, account, account_number(name), key):
            assert opened.account_of(principal) == account
            assert opened.known_account(principal)
        assert opened.account_id(account_number(name)) is None
    assert (opened.account_name(OWNER_ID), opened.account_id("s3gw")) == ("s3gw", OWNER_ID)
    assert opened.account_of("KEY-O") == opened.account_of(account_number("")) == OWNER_ID
    for stranger in ("carol", canonical_id("carol"), account_number("carol"), "KEY-C", "", "*"):
        assert not opened.known_account(stranger)
        assert opened.account_id(stranger) is None
    assert opened.account_name(canonical_id("carol")) is None
    opened.add("KEY-C", SECRET, account="carol")
    assert opened.known_account("carol")


def test_no_access_key_takes_the_name_of_an_account(path):
    write(
        path,
        entry("alice", account="mallory"),
        entry("KEY-A", account="alice"),
        entry("s3gw", account="mallory"),
    )
    opened = store(path)
    assert opened.account_of("alice") == canonical_id("alice")
    assert opened.account_of("s3gw") == OWNER_ID


def test_an_empty_store_knows_the_owner(path):
    opened = CredentialStore(path, environment={})
    assert opened.account_name(OWNER_ID) == "s3gw"
    assert opened.known_account("s3gw")
    assert not opened.known_account("alice")
