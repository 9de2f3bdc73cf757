"""What the log and the answers must not hold; and how signatures are compared."""

import ast
import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import replace

from harness import KEY, ROOT, SECRET, Gateway
from wire import SIGNED_CHUNKS, Answer, Signer, exchange, request_bytes, send

OTHER_SECRET = "another-secret-of-another-key-0123456789"


def test_cve_2018_16889_the_debug_log_holds_no_secret(start: Callable[..., Gateway], signer: Signer) -> None:
    """RustFS r54g, 8cm2, 333v: no secret, no signature (given or expected), no presigned URL, at the loudest level."""
    gateway = start(
        environment={
            "S3GW_LOG": "trace",
            "AWS_ACCESS_KEY_ID": "AKIAFROMENVIRONMENT0",
            "AWS_SECRET_ACCESS_KEY": OTHER_SECRET,
        },
        s3_gateway={"workers": 1},
    )
    host, target = f"127.0.0.1:{gateway.port}", "/bucket/k"
    answers: list[Answer] = [send(gateway.port, "PUT", "/bucket", signer=signer)]
    wrong = replace(signer, secret="wrong-secret-of-the-client")
    given = []
    for who in (signer, wrong):
        headers = who.headers("GET", target, host)
        given.append(headers["authorization"].rpartition("=")[2])
        answers.append(exchange(gateway.port, request_bytes("GET", target, headers)))
        presigned = who.presign("GET", target, host)
        given.append(presigned.rpartition("=")[2])
        answers.append(send(gateway.port, "GET", presigned))
        v2 = who.v2("GET", target)
        given.append(v2["authorization"].rpartition(":")[2])
        answers.append(exchange(gateway.port, request_bytes("GET", target, v2 | {"host": host})))
    expected = signer.signature(headers["x-amz-date"], "")
    chunked = signer.headers("PUT", target, host, SIGNED_CHUNKS, {"x-amz-decoded-content-length": "4"})
    body = signer.chunks(chunked, [b"data"]).replace(b"data", b"evil")
    chunked["content-length"] = str(len(body))
    answers.append(exchange(gateway.port, request_bytes("PUT", target, chunked, body)))
    assert answers[-1].status == 403
    environment_key = replace(signer, key="AKIAFROMENVIRONMENT0", secret=OTHER_SECRET)
    assert send(gateway.port, "GET", "/bucket", signer=environment_key).status == 200
    log = gateway.log.read_text()
    for secret in (SECRET, OTHER_SECRET, wrong.secret, expected, *given, *_right_signatures(signer, answers)):
        assert secret not in log
        assert all(secret not in answer.body.decode() or secret in given for answer in answers)
    assert KEY in log, "at this level the log says who was refused"
    assert re.search(r"signature", log, re.IGNORECASE), "and why"


def _right_signatures(signer: Signer, answers: list[Answer]) -> list[str]:
    """What would have been right, computed from the canonical requests that refusals tell."""
    found = []
    for answer in answers:
        told = re.search(r"<StringToSign>(.*?)</StringToSign>", answer.body.decode(), re.DOTALL)
        if told and told[1].startswith("AWS4"):
            when = told[1].split("\n")[1]
            text = told[1].replace("&#xA;", "\n")
            found.append(hmac.new(signer.signing_key(when), text.encode(), hashlib.sha256).hexdigest())
    return found


def test_cve_2022_35919_no_path_of_this_machine_in_an_answer(
    gateway: Gateway, victim: str, signer: Signer
) -> None:
    for target in (
        f"/{victim}/absent",
        f"/{victim}?list-type=2&continuation-token=x",
        "/absent-bucket/k",
        f"/{victim}/%ff",
    ):
        body = send(gateway.port, "GET", target, signer=signer).body
        for trace in (str(gateway.directory), str(ROOT), "site-packages", "Traceback", "sqlite", ".py"):
            assert trace.encode() not in body


def test_the_server_does_not_name_its_parts(gateway: Gateway) -> None:
    answer = send(gateway.port, "GET", "/healthz")
    text = " ".join(answer.headers.values()).lower()
    assert not re.search(r"uvicorn|python|starlette", text)


def test_signatures_are_never_compared_by_equality() -> None:
    """Swift 5591fa2, s3proxy 757a9dc, Garage b8c7a56, RustFS 3p3x: only hmac.compare_digest, whatever the value is called."""
    suspicious = re.compile(r"signature|mac\b|hmac", re.IGNORECASE)
    harmless = re.compile(
        r"signature_version|signatures_enabled|len\(|signature is|\"\"|''|not in|X-Amz-|signature\.lower"
    )
    guilty = []
    files = [*ROOT.glob("auth/**/*.py"), *ROOT.glob("gateway/**/*.py")]
    assert len(files) > 10
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Compare) and any(isinstance(op, ast.Eq | ast.NotEq) for op in node.ops):
                operands = [node.left, *node.comparators]
                if any(isinstance(operand, ast.Constant) for operand in operands):
                    continue
                text = ast.unparse(node)
                if suspicious.search(text) and not harmless.search(text):
                    guilty.append(f"{file.relative_to(ROOT)}:{node.lineno}: {text}")
    assert not guilty
    assert any("compare_digest" in file.read_text() for file in ROOT.glob("auth/**/*.py"))


def test_no_secret_is_ever_in_the_repr(gateway: Gateway) -> None:
    """The credential store prints without secrets: as values in tracebacks and logs."""
    listed = gateway.command("credential", "list")
    assert listed.returncode == 0, listed.stderr
    assert KEY in listed.stdout
    assert SECRET not in listed.stdout + listed.stderr
    shown = gateway.command("config", "show")
    assert SECRET not in shown.stdout + shown.stderr
