"""versitygw's client-side suite: every case passes, or stands in `expected_failures.txt` with a reason.

A new failure breaks this test, and so does a line of the list that has become wrong.
Write the list anew with `S3GW_CONFORMANCE_OUTPUT=FILE`, which keeps what the suite printed.
"""

import os
from collections.abc import Callable
from pathlib import Path

from conformance.versitygw import expected_failures, outcomes, run_suite
from harness import Gateway

AT_LEAST = 600
"""Cases that the suite has; fewer mean that it broke off."""


def test_reading_what_the_suite_prints() -> None:
    text = "\x1b[1;32m PASS \x1b[0m A_case\n\x1b[1;31m FAIL \x1b[0m A_case\nPASS  Another\n"
    assert outcomes(text) == {"A_case": "FAIL", "Another": "PASS"}


def test_every_expected_failure_has_a_reason() -> None:
    assert all(expected_failures().values())


def test_versitygw_suite(start: Callable[..., Gateway], tmp_path: Path) -> None:
    gateway = start()
    found, text = run_suite(gateway, tmp_path / "suite")
    if output := os.environ.get("S3GW_CONFORMANCE_OUTPUT"):
        Path(output).write_text(text)
    expected = expected_failures()
    assert len(found) >= AT_LEAST, text[-4000:]
    failed = {case for case, outcome in found.items() if outcome == "FAIL"}
    assert not failed - expected.keys(), f"new failures: {sorted(failed - expected.keys())}"
    assert not expected.keys() & found.keys() - failed, (
        f"these pass now, take them from the list: {sorted(expected.keys() & found.keys() - failed)}"
    )
