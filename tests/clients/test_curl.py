"""curl with its own signature V4."""

from pathlib import Path
from typing import Any

import pytest
from harness import KEY, MIB, REGION, SECRET, Gateway, noise
from programs import Curl


@pytest.fixture
def curl(gateway: Gateway, tmp_path: Path) -> Curl:
    """The program, at home in the test's directory."""
    return Curl(gateway, tmp_path)


@pytest.fixture
def address(curl: Curl, s3: Any, bucket: str) -> str:
    """The URL of an object of 100,000 bytes."""
    s3.put_object(Bucket=bucket, Key="file.txt", Body=noise(100_000), ContentType="text/plain")
    return curl.address(bucket, "file.txt")


def test_ranges_of_the_documentation(curl: Curl, address: str, tmp_path: Path) -> None:
    """C-66 and C-19: the first and the last thousand bytes, by -r and by a header."""
    whole = noise(100_000)
    for number, (options, expected) in enumerate(
        (
            (("-r", "0-999"), whole[:1000]),
            (("-r", "-1000"), whole[-1000:]),
            (("-H", "Range: bytes=0-999"), whole[:1000]),
            (("-H", "Range: bytes=-1000"), whole[-1000:]),
            ((), whole),
        )
    ):
        out = tmp_path / f"out{number}"
        told = curl.run(*options, "-D", "-", "-o", out, address)
        assert out.read_bytes() == expected
        assert f" {206 if options else 200} " in told.splitlines()[0]
        assert ("content-range: bytes " in told.lower()) == bool(options)


def test_uploads(curl: Curl, s3: Any, bucket: str, tmp_path: Path) -> None:
    """--data-binary signs its body without sending the hash; -T needs to be told that it is unsigned."""
    file = tmp_path / "file"
    for size in (0, 10, 70_000, 3 * MIB):
        file.write_bytes(noise(size))
        curl.run("-X", "PUT", "--data-binary", f"@{file}", curl.address(bucket, f"data ü {size}"))
        curl.run(
            "-T", file, "-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD", curl.address(bucket, f"file {size}")
        )
        for key in (f"data ü {size}", f"file {size}"):
            with s3.get_object(Bucket=bucket, Key=key)["Body"] as stream:
                assert stream.read() == noise(size), key


def test_a_body_that_was_not_signed_is_refused(curl: Curl, s3: Any, bucket: str, tmp_path: Path) -> None:
    """Some versions of curl sign the empty body for -T: such a request must not be taken for a signed one."""
    file = tmp_path / "file"
    file.write_bytes(noise(2 * MIB))
    done = curl.try_to("-T", file, "-H", "x-amz-content-sha256;", curl.address(bucket, "k"))
    stored = "Contents" in s3.list_objects_v2(Bucket=bucket)
    assert stored == (done.returncode == 0)
    if not stored:
        assert "403" in done.stderr or "400" in done.stderr


def test_head_list_and_delete(curl: Curl, gateway: Gateway, s3: Any, bucket: str, address: str) -> None:
    told = curl.run("--head", address).lower()
    assert "content-length: 100000" in told
    assert "content-type: text/plain" in told
    listing = curl.run(f"{gateway.url}/{bucket}?list-type=2&prefix=file")
    assert "<Key>file.txt</Key>" in listing
    curl.run("-X", "DELETE", address)
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)
    curl.run("-X", "DELETE", f"{gateway.url}/{bucket}")


def test_wrong_secret_and_no_secret(curl: Curl, gateway: Gateway, address: str) -> None:
    signature = ("--aws-sigv4", f"aws:amz:{REGION}:s3")
    for options in ((*signature, "--user", f"{KEY}:{SECRET[:-1]}"), ()):
        curl.signing = lambda chosen=options: chosen  # type: ignore[method-assign]
        done = curl.try_to("-w", "%{http_code}", address)
        assert done.returncode == 22
        assert done.stdout == "403"
    assert gateway.healthy()
