"""The settings of notifications: targets, their secrets, and what is refused."""

import pickle
import subprocess
import sys

import pytest
from harness import ROOT

from gateway.config import ConfigError, load
from gateway.options import TargetOptions, app_options

TARGET = '[notifications.targets.hook]\nurl = "https://example.com/in?a=b"\n'


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))

    def write(text):
        path = tmp_path / "gateway.toml"
        path.write_text(text)
        return path

    return write


def options(path):
    return pickle.loads(pickle.dumps(app_options(load(path)))).notifications


def test_targets(write, monkeypatch):
    monkeypatch.setenv("HOOK_SECRET", "s3cret")
    path = write(
        TARGET + 'secret = "${HOOK_SECRET}"\ntimeout_seconds = 3\n'
        '[notifications]\nmax_age_hours = 2\neventbridge_url = "http://bus/"\neventbridge_secret = "b"\n'
    )
    found = options(path)
    assert found.targets == {
        "hook": TargetOptions("https://example.com/in?a=b", "s3cret", 3),
        "eventbridge": TargetOptions("http://bus/", "b"),
    }
    assert (found.max_age, found.max_queued) == (7200, 100_000)


def test_secrets_are_not_shown(write):
    settings = load(write(TARGET + 'secret = "s3cret"\n'))
    assert "s3cret" not in repr(settings)
    assert "s3cret" not in settings.model_dump_json()
    assert "s3cret" not in repr(options(write(TARGET + 'secret = "s3cret"\n')))


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (TARGET + 'sercet = "x"\n', "unknown key sercet"),
        ("[notifications.targets.hook]\n", "notifications.targets.hook.url"),
        (TARGET.replace("https", "file"), "expected http://HOST/PATH"),
        (TARGET.replace("https://example.com/in?a=b", "http://a b"), "expected http://HOST/PATH"),
        (TARGET.replace(".hook", '."a.b"'), "cannot be a name"),
        (TARGET.replace(".hook", ".eventbridge"), "cannot be a name"),
        (TARGET + "timeout_seconds = 0\n", "timeout_seconds"),
        ('[notifications]\neventbridge_url = "ftp://x"\n', "eventbridge_url"),
        ("[notifications]\nmax_queued = 0\n", "max_queued"),
        ("[logging]\nflush_seconds = 0\n", "flush_seconds"),
    ],
)
def test_what_is_refused(write, text, part):
    with pytest.raises(ConfigError) as caught:
        load(write(text))
    assert part in str(caught.value)


def test_no_client_library_is_loaded_where_nobody_is_notified():
    code = "import sys, gateway.app; sys.exit('httpx' in sys.modules or 'gateway.events' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
