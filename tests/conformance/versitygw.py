"""Run versitygw's own client-side suite against a gateway of ours, and tell its cases apart.

The suite makes users through versitygw's admin command, `./versitygw admin create-user`. A program of that name in the
directory where the suite runs does the same to our credential store: a user is an access key in an account of its name.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from harness import KEY, ROOT, SECRET, Gateway, clean_environment, tool

LIST = Path(__file__).with_name("expected_failures.txt")
SECONDS = 1500
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_OUTCOME = re.compile(r"^\s*(PASS|FAIL|SKIP)\W+(\w+)", re.MULTILINE)


def run_suite(gateway: Gateway, home: Path) -> tuple[dict[str, str], str]:
    """The outcome of every case (`PASS`, `FAIL`), and all that the suite printed."""
    home.mkdir(parents=True, exist_ok=True)
    _admin(gateway, home / "versitygw")
    command = [tool("versitygw"), "test", "--access", KEY, "--secret", SECRET]
    command += ["--endpoint", gateway.url, "full-flow", "--versioning-enabled"]
    done = subprocess.run(
        command,
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


def _admin(gateway: Gateway, path: Path) -> None:
    """Write the program that stands for versitygw's admin command."""
    words = [sys.executable, str(Path(__file__).with_name("admin.py")), str(gateway.directory), gateway.url]
    path.write_text(
        f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(ROOT / "tests"))} exec {shlex.join(words)} "$@"\n'
    )
    os.chmod(path, 0o755)
