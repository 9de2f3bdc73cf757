"""Attacks through SelectObjectContent: an expression can neither leave its object nor hurt the worker."""

import bz2
import gzip
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EventStreamError
from harness import MIB, ROOT, Gateway, children, descendants, eventually
from wire import send

pytest.importorskip("duckdb")

CSV = {"CSV": {"FileHeaderInfo": "NONE"}}
LONG = b"x" * (2 * MIB)


def ask(s3: Any, bucket: str, expression: str, source: Any = None, output: Any = None) -> Any:
    return s3.select_object_content(
        Bucket=bucket,
        Key="k",
        Expression=expression,
        ExpressionType="SQL",
        InputSerialization=source or CSV,
        OutputSerialization=output or {"CSV": {}},
    )["Payload"]


def code(s3: Any, bucket: str, expression: str, source: Any = None) -> str:
    with pytest.raises((ClientError, EventStreamError)) as caught:
        list(ask(s3, bucket, expression, source))
    return str(caught.value.response["Error"]["Code"])


@pytest.mark.parametrize(
    "expression",
    [
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT read_blob('/etc/passwd') FROM S3Object",
        "SELECT getenv('HOME') FROM S3Object",
        "SELECT current_setting('memory_limit') FROM S3Object",
        "SELECT * FROM S3Object, read_csv('/etc/passwd')",
        "SELECT * FROM S3Object UNION SELECT * FROM duckdb_secrets()",
        "SELECT (SELECT content FROM read_text('/etc/passwd')) FROM S3Object",
        "SELECT * FROM S3Object; COPY S3Object TO '/tmp/x'",
        "COPY (SELECT 1) TO '/tmp/x'",
        "INSTALL httpfs",
        "SET enable_external_access = true",
        "PRAGMA version",
        "SELECT _1 AS \"a\" FROM S3Object WHERE _1 = '' OR (SELECT 1) = 1",
        "SELECT columns('.*') FROM S3Object",
        "SELECT _1 FROM S3Object /* */",
        "SELECT _1 FROM S3Object -- x",
        "SELECT {a: 1} FROM S3Object",
        "SELECT error('x') FROM S3Object",
        "SELECT repeat('x', 1000000000) FROM S3Object",
    ],
)
def test_nothing_but_the_object_is_reached(s3: Any, bucket: str, expression: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"a,b\n")
    refused = {
        "InvalidDataSource",
        "LexerInvalidChar",
        "ParseUnexpectedToken",
        "ParseUnsupportedSyntax",
        "UnsupportedFunction",
    }
    assert code(s3, bucket, expression) in refused


@pytest.mark.parametrize("text", ["'; DROP TABLE x; --", "{0} {} {x}", "%s", "\\", "a\"b'c", "日本"])
def test_literals_stay_literals(s3: Any, bucket: str, text: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"a\n")
    quoted = text.replace("'", "''")
    source, output = CSV, {"CSV": {"QuoteCharacter": ""}}
    events = list(ask(s3, bucket, f"SELECT '{quoted}' FROM S3Object", source, output))
    assert events[0]["Records"]["Payload"].decode() == f"{text}\n"


@pytest.mark.parametrize(
    ("body", "source"),
    [
        (LONG, CSV),
        (b"a\n" + LONG + b"\nb\n", CSV),
        (b'"' + LONG + b'"\n', CSV),
        (b'a\n"' + b"x\n" * MIB + b'"\n', CSV),
        (gzip.compress(LONG), CSV | {"CompressionType": "GZIP"}),
        (bz2.compress(LONG), CSV | {"CompressionType": "BZIP2"}),
        (b'{"a":"' + LONG + b'"}\n', {"JSON": {"Type": "LINES"}}),
        (b'{"a":"' + LONG + b'"}\n', {"JSON": {"Type": "DOCUMENT"}}),
    ],
)
def test_cve_2026_39414_records_are_bounded(s3: Any, bucket: str, body: bytes, source: Any) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=body)
    assert code(s3, bucket, "SELECT * FROM S3Object", source) == "OverMaxRecordSize"


def test_a_compressed_bomb_ends_the_query_only(gateway: Gateway, s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=gzip.compress(b"x" * (200 * MIB), 9))
    assert (
        code(s3, bucket, "SELECT * FROM S3Object", CSV | {"CompressionType": "GZIP"}) == "OverMaxRecordSize"
    )
    assert gateway.healthy()


def test_deep_and_long_expressions(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"a\n")
    for expression in (
        "SELECT " + "(" * 5000 + "1" + ")" * 5000 + " FROM S3Object",
        "SELECT " + "NOT " * 5000 + "TRUE AND " * 5000 + "TRUE FROM S3Object",
        "SELECT " + "LOWER(" * 5000 + "_1" + ")" * 5000 + " FROM S3Object",
        "SELECT " + "CASE WHEN " * 5000 + " FROM S3Object",
    ):
        assert code(s3, bucket, expression) == "ParseUnsupportedSyntax"
    assert code(s3, bucket, f"SELECT '{'x' * 300_000}' FROM S3Object") == "ExpressionTooLong"


def test_few_queries_at_a_time_and_none_outlives_its_client(start: Any, name: str) -> None:
    gateway = start(s3_gateway={"workers": 1})
    s3 = gateway.s3()
    s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=name, Key="k", Body=(b"x" * 99 + b"\n") * 500_000)
    (worker,) = gateway.workers()
    slow = [ask(s3, name, "SELECT * FROM S3Object") for _ in range(2)]  # nobody reads them
    assert code(s3, name, "SELECT * FROM S3Object") == "SlowDown"
    for payload in slow:
        payload.close()
    eventually(lambda: not children(worker), "the queries have ended")
    assert len(list(ask(s3, name, "SELECT COUNT(*) FROM S3Object"))) == 3
    eventually(lambda: not children(worker), "the query has ended")
    assert not any("deleted" in target for target in _files(worker))


def _files(pid: int) -> list[str]:
    found = []
    for entry in os.listdir(f"/proc/{pid}/fd"):
        with suppress(OSError):
            found.append(os.readlink(f"/proc/{pid}/fd/{entry}"))
    return found


def test_the_process_knows_no_secrets(start: Any, name: str) -> None:
    """Neither environment nor files of the worker are handed on."""
    gateway = start({"S3GW_TEST_SECRET": "hush"}, s3_gateway={"workers": 1})
    s3 = gateway.s3()
    s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=name, Key="k", Body=(b"x" * 99 + b"\n") * 500_000)
    payload = ask(s3, name, "SELECT * FROM S3Object")
    (worker,) = gateway.workers()[:1]
    (child,) = [pid for pid in descendants(gateway.pid) if _is_select(pid)]
    with open(f"/proc/{child}/environ", "rb") as environment:
        assert b"hush" not in environment.read()
    files = set(_files(child))
    payload.close()
    assert not any(str(gateway.data) in target for target in files)
    assert len([target for target in files if target.startswith("socket:")]) <= 2, files  # input and output
    eventually(lambda: not any(map(_is_select, children(worker))), "the query has ended")


def _is_select(pid: int) -> bool:
    with suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as command:
        return b"gateway.select.child" in command.read()
    return False


def test_unsigned_queries(gateway: Gateway, victim: str) -> None:
    answer = send(gateway.port, "POST", f"/{victim}/secret?select&select-type=2", body=b"<x/>")
    assert (answer.status, answer.code) == (403, "AccessDenied")


def test_malformed_requests(gateway: Gateway, victim: str, signer: Any) -> None:
    for body, wanted in (
        (b"", "EmptyRequestBody"),
        (b"<x/>", "MalformedXML"),
        (b"<!DOCTYPE a><SelectObjectContentRequest/>", "MalformedXML"),
        (b"<SelectObjectContentRequest/>", "MissingRequiredParameter"),
    ):
        target = f"/{victim}/secret?select&select-type=2"
        assert send(gateway.port, "POST", target, signer=signer, body=body).code == wanted
    wrong = send(gateway.port, "POST", f"/{victim}/secret?select&select-type=1", signer=signer, body=b"<x/>")
    assert wrong.code == "InvalidRequest"


CONFINED = """
import os, socket, sys, tempfile
from gateway.select.confine import confine, version
if version() < 4:
    sys.exit(77)
on_disk, in_memory = tempfile.TemporaryFile(), os.memfd_create("object")
for fd in (on_disk.fileno(), in_memory):
    os.write(fd, b"the object")
assert confine([on_disk.fileno(), in_memory])
for fd in (on_disk.fileno(), in_memory):
    assert open(f"/proc/self/fd/{fd}", "rb").read() == b"the object"
import wave  # the libraries stay
for attempt in (
    lambda: open(sys.argv[1]),
    lambda: open(f"/proc/{os.getppid()}/environ"),
    lambda: open(sys.argv[1] + ".new", "w"),
    lambda: os.unlink(sys.argv[1]),
    lambda: os.execv("/bin/true", ["true"]),
    lambda: socket.create_connection(("127.0.0.1", 9)),
):
    try:
        attempt()
    except PermissionError:
        continue
    sys.exit(1)
"""


def test_a_query_that_was_taken_over_reaches_nothing(tmp_path: Path) -> None:
    """What native code takes apart may take it over: then there is no file of the gateway, no program, no network."""
    secret = tmp_path / "credentials.jsonl"
    secret.write_text("secret")
    command = [sys.executable, "-c", CONFINED, str(secret)]
    outcome = subprocess.run(command, cwd=ROOT, capture_output=True, check=False, timeout=60)
    if outcome.returncode == 77:
        pytest.skip("this kernel has no Landlock for networks")
    assert outcome.returncode == 0, outcome.stderr
    assert secret.read_text() == "secret"


def test_the_process_of_a_query_is_confined() -> None:
    """Before DuckDB reads a byte of the object."""
    source = (ROOT / "gateway/select/child.py").read_text()
    connected, confined = source.index("connection = _connect(path)"), source.index("        confine([")
    assert connected < confined < source.index("_TABLES[selection.format](")
