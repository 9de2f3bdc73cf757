"""versitygw's client-side suite: every case passes, or stands in `expected_failures.txt` with a reason.

A new failure breaks this test, and so does a line of the list that has become wrong.
Write the list anew with `S3GW_CONFORMANCE_OUTPUT=FILE`, which keeps what the suite printed.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from conformance.versitygw import expected_failures, finished, judge, outcomes, run_suite
from conformance.wording import reworded
from harness import KEY, Gateway

AT_LEAST = 760
"""Cases that the suite has; fewer mean that it broke off."""
DOMAIN = "web.example.com"
WEBSITES = "WebsiteHosting_"
BUCKETS = ["nested.bucket", *(f"test-bucket-{number}" for number in range(1, 40))]
"""What the suite calls its buckets."""


def test_reading_what_the_suite_prints() -> None:
    text = "\x1b[1;32m PASS \x1b[0m A_case\n\x1b[1;31m FAIL \x1b[0m A_case\nPASS  Another\n"
    assert outcomes(text) == {"A_case": "FAIL", "Another": "PASS"}
    assert finished(text + "\x1b[1mRAN: 3 PASS: 1\x1b[0m")
    assert not finished(text)


def test_what_is_judged() -> None:
    judge({"a": "PASS", "b": "FAIL", "c": "PASS"}, {"b": "reason", "c": "unsteady: reason"})
    with pytest.raises(AssertionError, match=r"new failures: .*a"):
        judge({"a": "FAIL"}, {})
    for found in ({"a": "PASS"}, {}):
        with pytest.raises(AssertionError, match="these pass now, or are gone"):
            judge(found, {"a": "reason"})


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (b"Access Denied", b"Access Denied."),
        (b"Access Denied because of a lock.", b"Access Denied because of a lock."),
        (b"the region 'a' is wrong; expecting 'b'", b'the region "a" is wrong; expecting "b"'),
        (b"The specified upload does not exist. It", b"The specified multipart upload does not exist. It"),
        (b"expected checksum Type: crc32, actual checksum Type: null",
         b"expected checksum Type: CRC32, actual checksum Type: null"),
    ],
)  # fmt: skip
def test_rewording(ours: bytes, theirs: bytes) -> None:
    document = b'HTTP/1.1 403 F\r\n\r\n<?xml version="1.0"?>\n<Error><Code>C</Code><Message>%b</Message><A>1</A></Error>'
    said = reworded(document % ours)
    assert len(said) == len(document % ours)
    assert b"<Message>%b</Message><A>1</A></Error>" % theirs in said


def test_renaming() -> None:
    owner = b"<Owner><ID>%b</ID><DisplayName>%b</DisplayName></Owner>"
    for name, theirs in ((b"s3gw", KEY.encode()), (b"alice-1", b"alice-1")):
        said = reworded(owner % (b"0f" * 32, name))
        assert len(said) == len(owner % (b"0f" * 32, name))
        assert b"".join(said.split()) == owner % (theirs, name)


def test_every_expected_failure_has_a_reason() -> None:
    assert all(expected_failures().values())


def test_versitygw_suite(start: Callable[..., Gateway], tmp_path: Path) -> None:
    found, text = run_suite(start(), tmp_path / "suite", "full-flow", "--versioning-enabled")
    if output := os.environ.get("S3GW_CONFORMANCE_OUTPUT"):
        Path(output).write_text(text)
    assert finished(text), text[-4000:]
    assert len(found) >= AT_LEAST
    judge(found, _expected(websites=False))


def test_versitygw_websites(start: Callable[..., Gateway], tmp_path: Path) -> None:
    gateway = start(website={"domains": [DOMAIN]})
    words = ["website-hosting", "--domain", DOMAIN, "--port", str(gateway.port)]
    names = [f"{bucket}.{DOMAIN}" for bucket in BUCKETS]
    found, text = run_suite(gateway, tmp_path / "suite", *words, names=names)
    assert finished(text), text[-4000:]
    judge(found, _expected(websites=True))


def _expected(websites: bool) -> dict[str, str]:
    return {
        case: reason for case, reason in expected_failures().items() if case.startswith(WEBSITES) is websites
    }
