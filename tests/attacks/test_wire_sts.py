"""Attacks on temporary credentials and on the token service of the running gateway: all fail closed."""

import base64
import urllib.parse
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from harness import KEY, REGION, SECRET, Gateway
from wire import Answer, Signer, exchange, request_bytes, send, sha256

FORM = {"content-type": "application/x-www-form-urlencoded"}
ASSUME = "Action=AssumeRole&Version=2011-06-15&RoleSessionName=evil&RoleArn=arn%3Aaws%3Aiam%3A%3A000000000000%3Arole%2Fadmin"
ROUTES = [
    ("PUT", "/{b}/evil"),
    ("PUT", "/{b}/secret?acl"),
    ("POST", "/{b}/evil?uploads"),
    ("POST", "/{b}?delete"),
    ("DELETE", "/{b}/secret"),
    ("DELETE", "/{b}"),
    ("GET", "/{b}/secret"),
    ("HEAD", "/{b}/secret"),
    ("GET", "/{b}?list-type=2"),
    ("GET", "/"),
]


@pytest.fixture(scope="module")
def made(gateway: Gateway) -> Iterator[dict[str, Any]]:
    """Temporary credentials."""
    client = boto3.session.Session(KEY, SECRET, region_name=REGION).client(
        "sts", endpoint_url=gateway.url, config=Config(retries={"total_max_attempts": 1})
    )
    yield client.get_session_token()["Credentials"]
    client.close()


@pytest.fixture
def target(s3: Any, bucket: str) -> str:
    """A bucket with a secret."""
    s3.put_object(Bucket=bucket, Key="secret", Body=b"what nobody may read")
    return bucket


def ask(gateway: Gateway, signer: Signer | None, form: str, signed_form: str | None = None) -> Answer:
    """Ask the token service; sign another form than the one that is sent."""
    host, body = f"127.0.0.1:{gateway.port}", form.encode()
    headers = {"host": host}
    if signer:
        signed = (form if signed_form is None else signed_form).encode()
        headers = _without_payload_header(signer, signed, host)
    return exchange(
        gateway.port,
        request_bytes("POST", "/", headers | FORM | {"content-length": str(len(body))}, body),
        "POST",
    )


def _without_payload_header(signer: Signer, body: bytes, host: str) -> dict[str, str]:
    """Headers as SDKs sign them for this service: the hash of the body is in the signature only."""
    when = signer.now()
    canonical = f"POST\n/\n\nhost:{host}\nx-amz-date:{when}\n\nhost;x-amz-date\n{sha256(body)}"
    authorization = (
        f"AWS4-HMAC-SHA256 Credential={signer.key}/{signer.scope(when)}, "
        f"SignedHeaders=host;x-amz-date, Signature={signer.signature(when, canonical)}"
    )
    return {"host": host, "x-amz-date": when, "authorization": authorization}


def _code(answer: Answer) -> str:
    """The code of an error of this service."""
    return answer.body.partition(b"<Code>")[2].partition(b"<")[0].decode()


def test_cve_2020_11012_an_access_key_without_its_secret_makes_no_session(gateway: Gateway) -> None:
    service = {"service": "sts"}
    assert ask(gateway, Signer(KEY, SECRET, **service), ASSUME).status == 200
    for secret in ("", "guessed-guessed", KEY):
        answer = ask(gateway, Signer(KEY, secret, **service), ASSUME)
        assert (answer.status, _code(answer)) == (403, "SignatureDoesNotMatch")
    answer = ask(gateway, None, ASSUME)
    assert (answer.status, _code(answer)) == (403, "MissingAuthenticationToken")
    answer = ask(gateway, Signer("NOBODY", SECRET, **service), ASSUME)
    assert (answer.status, _code(answer)) == (403, "InvalidClientTokenId")
    for query in (f"X-Amz-Credential={KEY}", f"AWSAccessKeyId={KEY}&Signature=a&Expires=9999999999"):
        answer = send(gateway.port, "GET", f"/?{ASSUME}&{query}")
        assert (answer.status, _code(answer)) == (403, "MissingAuthenticationToken")


def test_a_signed_form_is_exchanged_for_no_other(gateway: Gateway) -> None:
    signer = Signer(KEY, SECRET, service="sts")
    answer = ask(gateway, signer, ASSUME, "Action=GetCallerIdentity&Version=2011-06-15")
    assert (answer.status, _code(answer)) == (403, "SignatureDoesNotMatch")


def test_a_signature_for_s3_makes_no_session_and_one_for_sts_reads_nothing(
    gateway: Gateway, target: str
) -> None:
    assert ask(gateway, Signer(KEY, SECRET), ASSUME).status == 403
    for method, path in ROUTES:
        answer = send(
            gateway.port, method, path.format(b=target), signer=Signer(KEY, SECRET, service="sts"), body=b""
        )
        assert answer.status == 400, (method, path)


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_session_is_worth_nothing_without_token_and_secret(
    gateway: Gateway, s3: Any, target: str, made: dict[str, Any], method: str, path: str
) -> None:
    """On every route: the token alone, the key alone, the secret alone, and a token that is spoilt."""
    key, secret, token = made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"]
    spoilt = token[:-10] + ("A" if token[-10] != "A" else "B") + token[-9:]
    header = "x-amz-security-token"
    path = path.format(b=target)
    attempts = [
        send(gateway.port, method, path, extra={header: token}),
        send(gateway.port, method, path, signer=Signer(key, secret)),
        send(gateway.port, method, path, signer=Signer(key, ""), signed={header: token}),
        send(gateway.port, method, path, signer=Signer(key, SECRET), signed={header: token}),
        send(gateway.port, method, path, signer=Signer(key, secret), signed={header: spoilt}),
        send(gateway.port, method, path, signer=Signer(KEY, secret), signed={header: token}),
        send(gateway.port, method, path, signer=Signer(KEY, SECRET), signed={header: token}),
    ]
    assert all(answer.status in {400, 403} for answer in attempts), [one.status for one in attempts]
    assert all(b"nobody may" not in answer.body for answer in attempts)
    listed = [one["Key"] for one in s3.list_objects_v2(Bucket=target)["Contents"]]
    assert listed == ["secret"]


@pytest.mark.parametrize("length", [8_193, 30_000])
def test_a_huge_token_is_refused(gateway: Gateway, target: str, made: dict[str, Any], length: int) -> None:
    signer = Signer(made["AccessKeyId"], made["SecretAccessKey"])
    token = {"x-amz-security-token": "A" * length}
    assert send(gateway.port, "GET", f"/{target}", signer=signer, signed=token).status == 400


def test_a_form_for_sts_is_no_way_around_the_signature_of_s3(gateway: Gateway, target: str) -> None:
    """SeaweedFS #7912: a content type that turns authentication off."""
    query = urllib.parse.urlencode({"Action": "GetCallerIdentity", "Version": "2011-06-15"})
    for path in (
        f"/{target}",
        f"/{target}/evil",
        f"/{target}?delete",
        f"/{target}/evil?uploads",
        "//",
        "/?x",
    ):
        answer = send(gateway.port, "POST", path, body=query.encode(), extra=FORM)
        assert 400 <= answer.status < 500, path
    for path in (f"/{target}/secret?{query}", f"/{target}?{query}"):
        assert send(gateway.port, "GET", path).status == 403


def test_cve_2024_48916_and_cve_2026_33322_no_token_of_others_is_taken(gateway: Gateway) -> None:
    """CVE-2026-33419: neither a JWT (`alg: none`) nor a name of LDAP makes a session, and all are answered alike."""
    head = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    token = f"{head}.eyJzdWIiOiJyb290In0."
    answers = set()
    for asked in (
        {"Action": "AssumeRoleWithWebIdentity", "WebIdentityToken": token},
        {"Action": "AssumeRoleWithClientGrants", "Token": token},
        {"Action": "AssumeRoleWithLDAPIdentity", "LDAPUsername": "root", "LDAPPassword": "x"},
        {"Action": "AssumeRoleWithLDAPIdentity", "LDAPUsername": "nobody", "LDAPPassword": "x"},
        {"Action": "AssumeRoleWithCertificate"},
    ):
        form = urllib.parse.urlencode(asked | {"Version": "2011-06-15", "DurationSeconds": "3600"}).encode()
        kind = {"content-type": "application/x-www-form-urlencoded"}
        answer = send(gateway.port, "POST", "/", body=form, extra=kind)
        answers.add((answer.status, answer.body.partition(b"<Code>")[2].partition(b"<")[0]))
        bearer = send(gateway.port, "POST", "/", body=form, extra=kind | {"authorization": f"Bearer {token}"})
        assert bearer.status in (400, 403)
        assert b"SecretAccessKey" not in answer.body + bearer.body
    assert answers == {(403, b"MissingAuthenticationToken")}
