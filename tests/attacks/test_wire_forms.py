"""Attacks by POST forms: each fails closed, and the bucket holds what it held."""

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
from forms import BOUNDARY, expiration, form, part, post, signed_v2, signed_v4
from harness import MIB, Gateway, boto
from wire import Signer, connect, exchange, read_answer, request_bytes, send

FORM = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}


def attempt(gateway: Gateway, bucket: str, fields: dict[str, str], **options: Any) -> tuple[int, str]:
    answer = post(gateway.port, f"/{bucket}", form(fields, **options))
    return answer.status, answer.code


@pytest.mark.parametrize("sign", [signed_v4, signed_v2])
def test_cve_2023_43040_policy_for_another_bucket(
    gateway: Gateway, s3, victim: str, signer: Signer, sign
) -> None:
    """A policy signed for one bucket is sent to another; a field `bucket` does not help."""
    own = f"{victim}-own"
    s3.create_bucket(Bucket=own)
    fields = sign(signer, [{"bucket": own}, ["starts-with", "$key", ""]]) | {"key": "k"}
    assert attempt(gateway, own, fields)[0] == 204
    assert attempt(gateway, victim, fields) == (403, "AccessDenied")
    assert attempt(gateway, victim, {"bucket": own} | fields) == (403, "AccessDenied")


def test_a_policy_that_names_no_bucket(gateway: Gateway, victim: str, signer: Signer) -> None:
    fields = signed_v4(signer, [["starts-with", "$key", ""]]) | {"key": "k"}
    assert attempt(gateway, victim, fields) == (403, "AccessDenied")


@pytest.mark.parametrize("sign", [signed_v4, signed_v2])
def test_cve_2021_21362_and_rustfs_w5fh_conditions_are_enforced(
    gateway: Gateway, victim: str, signer: Signer, sign
) -> None:
    conditions = [
        {"bucket": victim},
        ["starts-with", "$key", "mine/"],
        ["starts-with", "$Content-Type", "image/"],
        ["content-length-range", 0, 10],
    ]
    fields = sign(signer, conditions) | {"key": "mine/a", "Content-Type": "image/png"}
    assert attempt(gateway, victim, fields | {"key": "secret"}) == (403, "AccessDenied")
    assert attempt(gateway, victim, fields | {"Content-Type": "text/html"}) == (403, "AccessDenied")
    assert attempt(gateway, victim, fields | {"Content-Type": "image/png,text/html"}) == (403, "AccessDenied")
    assert attempt(gateway, victim, fields | {"acl": "public-read"}) == (403, "AccessDenied")
    assert attempt(gateway, victim, fields | {"x-amz-meta-a": "b"}) == (403, "AccessDenied")
    assert attempt(gateway, victim, fields, file=b"x" * 11) == (400, "EntityTooLarge")
    del fields["Content-Type"]
    assert attempt(gateway, victim, fields) == (403, "AccessDenied")


def test_cve_2021_21362_form_of_a_read_only_user(start, name: str) -> None:
    """The signature is right and the policy allows it, but the user may only read."""
    gateway = start()
    gateway.s3().create_bucket(Bucket=name)
    key, secret = "READONLYUSER", "read-only-secret"
    allow = {"Effect": "Allow", "Action": ["s3:Get*", "s3:List*"], "Resource": "*"}
    line = {
        "access_key": key,
        "secret_key": secret,
        "created_at": 1640995200,
        "enabled": True,
        "description": "reader",
        "policy": {"Version": "2012-10-17", "Statement": [allow]},
    }
    gateway.stop()
    with (gateway.directory / "credentials.jsonl").open("a") as store:
        store.write(json.dumps(line) + "\n")
    gateway.start()
    assert boto(gateway.url, key, secret).list_objects_v2(Bucket=name)["KeyCount"] == 0
    for sign in (signed_v4, signed_v2):
        fields = sign(Signer(key, secret), [{"bucket": name}, {"key": "k"}]) | {"key": "k"}
        assert attempt(gateway, name, fields) == (403, "AccessDenied")
    assert gateway.s3().list_objects_v2(Bucket=name)["KeyCount"] == 0


@pytest.mark.parametrize("fields", [{}, {"acl": "public-read"}, {"x-ignore-a": "b", "bucket": "other"}])
def test_unsigned_forms(gateway: Gateway, victim: str, fields: dict[str, str]) -> None:
    assert attempt(gateway, victim, {"key": "secret"} | fields) == (403, "AccessDenied")


def test_forged_signatures(gateway: Gateway, victim: str, signer: Signer) -> None:
    conditions = [{"bucket": victim}, ["starts-with", "$key", ""]]
    v4 = signed_v4(signer, conditions) | {"key": "k"}
    v2 = signed_v2(signer, conditions) | {"key": "k"}
    broken = base64.b64encode(base64.b64decode(v4["policy"]).replace(b'"$key", ""', b'"$key","" ')).decode()
    stranger = replace(signer, key="NOSUCHKEY")
    other_region = replace(signer, region="eu-west-1")
    attempts = [
        v4 | {"x-amz-signature": "0" * 64},
        v4 | {"policy": broken},
        v4 | {"x-amz-security-token": "token"},
        v2 | {"signature": base64.b64encode(bytes(20)).decode()},
        v2 | {"AWSAccessKeyId": ""},
        v2 | {"policy": v4["policy"]},
        v4 | v2,
        signed_v4(stranger, conditions) | {"key": "k"},
        signed_v4(other_region, conditions) | {"key": "k"},
        {name: value for name, value in v4.items() if name != "x-amz-signature"},
        {name: value for name, value in v4.items() if name != "policy"},
        {"key": "k", "policy": v4["policy"]},
        {"key": "k", "x-amz-security-token": "token"},
    ]
    for fields in attempts:
        status, code = attempt(gateway, victim, fields)
        assert status in (400, 403), (fields, status, code)


def test_expired_and_malformed_policies(gateway: Gateway, victim: str, signer: Signer) -> None:
    conditions = [{"bucket": victim}, {"key": "k"}]
    assert attempt(gateway, victim, signed_v4(signer, conditions, -1) | {"key": "k"}) == (403, "AccessDenied")
    malformed = signed_v2(signer, [{"bucket": victim, "key": "k"}]) | {"key": "k"}
    assert attempt(gateway, victim, malformed) == (400, "InvalidPolicyDocument")
    assert expiration(-1) < expiration()


def test_headers_of_the_form_give_the_object_nothing(
    gateway: Gateway, s3, victim: str, signer: Signer
) -> None:
    """What no policy has seen must have no effect: an ACL beside the form, a copy source, a digest of the form."""
    own = f"{victim}-own"
    s3.create_bucket(Bucket=own)
    fields = signed_v4(signer, [{"bucket": own}, {"key": "k"}]) | {"key": "k"}
    extra = {"x_amz_acl": "public-read", "x_amz_tagging": "a=b", "x_amz_copy_source": f"/{victim}/secret"}
    post(gateway.port, f"/{own}", form(fields, b"mine"), **extra)
    for entry in s3.list_objects_v2(Bucket=own).get("Contents", []):
        assert s3.get_object(Bucket=own, Key=entry["Key"])["Body"].read() == b"mine"
        assert len(s3.get_object_acl(Bucket=own, Key="k")["Grants"]) == 1
        assert s3.get_object_tagging(Bucket=own, Key="k")["TagSet"] == []
    digest = post(gateway.port, f"/{own}", form(fields), x_amz_content_sha256="0" * 64)
    assert (digest.status, digest.code) == (400, "InvalidRequest")


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("POST", "/"),
        ("POST", "/{}?delete"),
        ("POST", "/{}/new?uploads"),
        ("POST", "/{}/secret?uploadId=x"),
        ("POST", "/{}/secret?select&select-type=2"),
        ("POST", "/{}/secret"),
        ("PUT", "/{}/secret"),
        ("PUT", "/{}?acl"),
        ("PUT", "/{}?policy"),
        ("DELETE", "/{}/secret"),
        ("GET", "/{}/secret"),
        ("GET", "/{}"),
    ],
)
def test_seaweedfs_7912_a_content_type_authorises_nothing(
    gateway: Gateway, victim: str, signer: Signer, method: str, target: str
) -> None:
    """The type of a form on another route, with a well-signed form or none."""
    signed = signed_v4(signer, [{"bucket": victim}, ["starts-with", "$key", ""]]) | {"key": "secret"}
    for fields in ({"key": "secret"}, signed):
        answer = send(gateway.port, method, target.format(victim), body=form(fields), extra=FORM)
        assert answer.status in (403, 405), answer


def test_a_signed_request_is_no_form(gateway: Gateway, victim: str, signer: Signer) -> None:
    fields = signed_v4(signer, [{"bucket": victim}, {"key": "k"}]) | {"key": "k"}
    body = form(fields)
    answer = send(gateway.port, "POST", f"/{victim}", signer=signer, body=body, extra=FORM)
    assert (answer.status, answer.code) == (405, "MethodNotAllowed")
    liar = Signer(signer.key, "wrong")
    assert send(gateway.port, "POST", f"/{victim}", signer=liar, body=body, extra=FORM).status == 403
    presigned = liar.presign("POST", f"/{victim}", f"127.0.0.1:{gateway.port}")
    assert post(gateway.port, presigned, body).status == 403
    for query in ("X-Amz-Signature=0", "AWSAccessKeyId=x", "Signature=x&Expires=1"):
        assert post(gateway.port, f"/{victim}?{query}", body).status in (400, 403)


def test_cve_2018_7262_malformed_forms_never_break_the_server(gateway: Gateway, victim: str) -> None:
    whole = form({"key": "secret", "acl": "public-read"})
    bodies = [
        b"",
        b"\r\n",
        whole[: len(whole) // 2],
        whole.replace(b"\r\n", b"\n"),
        whole.replace(b"form-data", b""),
        whole.replace(b'"key"', b'"\xff\xfe"'),
        whole.replace(b"Content-Disposition", b"\0"),
        b"--" * 9000,
        part("key", b"\0") + part("file", b"x"),
        form({"key": "secret", "policy": "e30="}),
        form({"key": "secret", "policy": base64.b64encode(b"[" * 9000).decode(), "x-amz-signature": "x"}),
    ]
    for body in bodies:
        answer = post(gateway.port, f"/{victim}", body)
        assert answer.refused(), (body[:80], answer)
    for boundary in ("", '"', "x" * 200, ";;;", "a\x00b"):
        assert post(gateway.port, f"/{victim}", whole, boundary).status in (0, 400, 403, 412)


def test_cve_2023_30798_and_25577_fields_without_end(start, name: str) -> None:
    """Neither many fields, nor a large one, nor much before or after the file, costs memory or time."""
    gateway = start(s3_gateway={"workers": 1})
    gateway.s3().create_bucket(Bucket=name)
    before = gateway.memory()
    head = {"host": f"127.0.0.1:{gateway.port}", "content-length": str(64 * MIB), **FORM}
    for body in (
        b"".join(part(f"f{number}", b"") for number in range(20_000)),
        part("key", b"k")[:-2] + bytes(4 * MIB),
        bytes(4 * MIB),
    ):
        answer = exchange(gateway.port, request_bytes("POST", f"/{name}", head, body), "POST")
        assert (answer.status, answer.code) == (400, "MaxPostPreDataLengthExceededError")
    assert gateway.memory() - before < 8 * MIB


def test_nothing_of_the_file_is_read_before_the_caller_is_known(gateway: Gateway, victim: str) -> None:
    """The answer comes while most of the file is still to come."""
    body = form({"key": "secret"}, bytes(1024))
    head = {"host": f"127.0.0.1:{gateway.port}", "content-length": str(1024 * MIB), **FORM}
    with connect(gateway.port) as connection:
        connection.sendall(request_bytes("POST", f"/{victim}", head, body[:-200]))
        answer = read_answer(connection, "POST")
    assert (answer.status, answer.code) == (403, "AccessDenied")


def test_a_file_name_is_not_multiplied_without_end(gateway: Gateway, victim: str, signer: Signer) -> None:
    """`${filename}` a thousand times, for a name of kilobytes, would be megabytes: refused as fields that came so long."""
    conditions = [{"bucket": victim}, ["starts-with", "$key", ""], ["starts-with", "$x-amz-meta-a", ""]]
    fields = signed_v4(signer, conditions) | {"key": "k", "x-amz-meta-a": "${filename}" * 800}
    outcome = attempt(gateway, victim, fields, filename="n" * 4000)
    assert outcome == (400, "MaxPostPreDataLengthExceededError")
