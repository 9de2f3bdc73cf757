"""Run versitygw's own client-side suite against a gateway of ours, and tell its cases apart.

The suite makes users through versitygw's admin command, `./versitygw admin create-user`. A program of that name in the
directory where the suite runs does the same to our credential store (`admin.py`). Its wording of errors is met by a relay
(`wording.py`).
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from conformance.wording import relay
from harness import KEY, ROOT, SECRET, Gateway, clean_environment, tool

LIST = Path(__file__).with_name("expected_failures.txt")
SECONDS = 900
"""The suite takes a third of it where it has two processors for itself."""
UNSTEADY = "unsteady:"
"""Begins the reason of a case that may pass as well as fail."""
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_OUTCOME = re.compile(r"^\s*(PASS|FAIL|SKIP)\W+(\w+)", re.MULTILINE)
_SUMMARY = re.compile(r"^\s*RAN: \d+", re.MULTILINE)
_WITH_NAMES = 'mount --bind "$0" /etc/hosts && exec "$@"'


def run_suite(
    gateway: Gateway, home: Path, *words: str, names: Sequence[str] = ()
) -> tuple[dict[str, str], str]:
    """The outcome of every case (`PASS`, `FAIL`), and all that the suite printed.

    `words` say which cases to run, `names` are host names that mean this machine to the suite.
    """
    home.mkdir(parents=True, exist_ok=True)
    _admin(gateway, home / "versitygw")
    with relay(gateway.port) as port:
        command = [tool("versitygw"), "test", "--access", KEY, "--secret", SECRET]
        command += ["--endpoint", f"http://127.0.0.1:{port}", *words]
        done = subprocess.run(
            [*_naming(home / "hosts", names), *command],
            cwd=home,
            env=clean_environment(home),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=SECONDS,
            check=False,
        )
    return outcomes(done.stdout), done.stdout


def finished(text: str) -> bool:
    """Whether the suite came to its end; one that crashes says nothing of its last cases."""
    return _SUMMARY.search(_COLOUR.sub("", text)) is not None


def outcomes(text: str) -> dict[str, str]:
    """The cases in what the suite prints; one that is run twice passes if it passes both times."""
    found: dict[str, str] = {}
    for outcome, case in _OUTCOME.findall(_COLOUR.sub("", text)):
        if found.get(case) != "FAIL":
            found[case] = outcome
    return found


def expected_failures() -> Mapping[str, str]:
    """The committed list: case → reason."""
    lines = [line.strip() for line in LIST.read_text().splitlines()]
    pairs = [line.partition(" ") for line in lines if line and not line.startswith("#")]
    return {case: reason.strip() for case, _, reason in pairs}


def judge(found: Mapping[str, str], expected: Mapping[str, str]) -> None:
    """Fail unless the cases that fail are those of the list."""
    failed = {case for case, outcome in found.items() if outcome == "FAIL"}
    assert not failed - expected.keys(), f"new failures: {sorted(failed - expected.keys())}"
    steady = {case for case, reason in expected.items() if not reason.startswith(UNSTEADY)}
    assert not steady - failed, (
        f"these pass now, or are gone; take them from the list: {sorted(steady - failed)}"
    )


def _naming(hosts: Path, names: Sequence[str]) -> list[str]:
    """What runs a command where the names mean this machine: in a mount namespace with a host table of its own."""
    if not names:
        return []
    hosts.write_text("".join(f"127.0.0.1 {name}\n" for name in ("localhost", *names)))
    naming = ["unshare", "--map-root-user", "--mount", "sh", "-c", _WITH_NAMES, str(hosts)]
    try:
        subprocess.run([*naming, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"WEBSITES NOT TESTED: no host table of one's own here ({error})")
    return naming


def _admin(gateway: Gateway, path: Path) -> None:
    """Write the program that stands for versitygw's admin command."""
    words = [sys.executable, str(Path(__file__).with_name("admin.py")), str(gateway.directory), gateway.url]
    path.write_text(
        f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(ROOT / "tests"))} exec {shlex.join(words)} "$@"\n'
    )
    os.chmod(path, 0o755)
