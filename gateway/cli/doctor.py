"""`s3gw doctor`: is everything there that a gateway needs, and what to do where it is not."""

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from gateway.cli.common import Conf, Exit, Json, Listen, load, print_json, show

if TYPE_CHECKING:
    from gateway.cli.checks import Finding

COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


def doctor(
    conf: Conf = None,
    listen: Listen = None,
    as_json: Json = False,
) -> None:
    """Check the configuration, the disk, the network, the limits and the running gateway, and say what to do.

    Exit code 0: nothing failed (warnings do not count); 1: something failed; 2: the configuration cannot be used.
    """
    from gateway.cli.checks import run_checks

    findings = run_checks(load(conf, listen=listen))
    counts = Counter(finding.status for finding in findings)
    if as_json:
        print_json({"ok": not counts["fail"], "checks": [asdict(finding) for finding in findings]})
    else:
        _print(findings, counts)
    if counts["fail"]:
        raise typer.Exit(Exit.FAILED)


def _print(findings: list["Finding"], counts: Counter[str]) -> None:
    from rich.text import Text

    width = max(len(finding.check) for finding in findings) + 2
    for finding in findings:
        status = (f"{finding.status:<5}", COLOURS[finding.status])
        show(Text.assemble(status, (f"{finding.check:<{width}}", "bold"), finding.detail))
        if finding.advice:
            show(Text(f"{'':{width + 5}}→ {finding.advice}", style="dim"))
    show(f"\n{counts['ok']} ok, {counts['warn']} to look at, {counts['fail']} failed")
