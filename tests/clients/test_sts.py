"""Temporary keys as boto3 and aws cli get and use them: every route, what narrows them, and when they end."""

import json
import urllib.request
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from harness import KEY, MIB, REGION, SECRET, Gateway, eventually, noise, refusal
from programs import AwsCli
from wire import SIGNED_CHUNKS, Signer, exchange, request_bytes, send

READ = {"Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": "*"}
READ_ONLY = json.dumps({"Version": "2012-10-17", "Statement": [READ]})
ROLE = "arn:aws:iam::000000000000:role/any"
ROUTES = {
    "header": {"signature_version": "s3v4"},
    "header without payload": {"signature_version": "s3v4", "s3": {"payload_signing_enabled": False}},
    "version 2": {"signature_version": "s3"},
}


def sts(gateway: Gateway, key: str = KEY, secret: str = SECRET, token: str | None = None) -> Any:
    """boto3's client of the token service."""
    return boto3.session.Session(key, secret, token, region_name=REGION).client(
        "sts", endpoint_url=gateway.url, config=Config(retries={"total_max_attempts": 1})
    )


def s3_of(gateway: Gateway, made: dict[str, Any], **options: Any) -> Any:
    """boto3's client with temporary keys."""
    options["s3"] = {"addressing_style": "path"} | options.get("s3", {})
    config = Config(retries={"total_max_attempts": 1}, **options)
    return boto3.session.Session(
        made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"], region_name=REGION
    ).client("s3", endpoint_url=gateway.url, config=config)


@pytest.fixture
def made(gateway: Gateway) -> dict[str, Any]:
    """Temporary credentials of the shared gateway."""
    credentials: dict[str, Any] = sts(gateway).get_session_token()["Credentials"]
    return credentials


@pytest.mark.parametrize("route", ROUTES)
def test_every_header_route(gateway: Gateway, bucket: str, made: dict[str, Any], route: str) -> None:
    client = s3_of(gateway, made, **ROUTES[route])
    client.put_object(Bucket=bucket, Key="a b", Body=noise(70_000))
    with client.get_object(Bucket=bucket, Key="a b")["Body"] as stream:
        assert stream.read() == noise(70_000)
    assert client.list_objects_v2(Bucket=bucket)["KeyCount"] == 1
    client.close()


@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_presigned(gateway: Gateway, bucket: str, made: dict[str, Any], version: str) -> None:
    client = s3_of(gateway, made, signature_version=version)
    where = {"Bucket": bucket, "Key": "k"}
    client.put_object(**where, Body=b"v")
    url = client.generate_presigned_url("get_object", where)
    with urllib.request.urlopen(url) as reply:
        assert reply.read() == b"v"
    target = url.removeprefix(gateway.url)
    query = target.partition("?")[2].split("&")
    token = next(pair for pair in query if "security-token" in pair.lower())
    without = "&".join(pair for pair in query if pair != token)
    assert send(gateway.port, "GET", f"/{bucket}/k?{without}").code == "InvalidAccessKeyId"
    spoilt = target.replace(token, token[:-8] + "AAAAAAAA")
    assert send(gateway.port, "GET", spoilt).code == "InvalidToken"
    client.close()


def test_streaming_with_signed_chunks(gateway: Gateway, bucket: str, made: dict[str, Any]) -> None:
    signer = Signer(made["AccessKeyId"], made["SecretAccessKey"])
    target, pieces = f"/{bucket}/k", [noise(65536), noise(100)]
    token = {"x-amz-security-token": made["SessionToken"]}
    extra = {"x-amz-decoded-content-length": str(65636)}
    headers = signer.headers(
        "PUT",
        target,
        f"127.0.0.1:{gateway.port}",
        SIGNED_CHUNKS,
        token | extra | {"content-encoding": "aws-chunked"},
    )
    body = signer.chunks(headers, pieces)
    sent = request_bytes("PUT", target, headers | {"content-length": str(len(body))}, body)
    assert exchange(gateway.port, sent, "PUT").status == 200
    spoilt = body.replace(noise(100), noise(100, seed=1))
    sent = request_bytes("PUT", target, headers | {"content-length": str(len(spoilt))}, spoilt)
    assert exchange(gateway.port, sent, "PUT").code == "SignatureDoesNotMatch"


def test_multipart(gateway: Gateway, bucket: str, made: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(noise(9 * MIB))
    client = s3_of(gateway, made)
    client.upload_file(str(path), bucket, "large")
    client.download_file(bucket, "large", str(path) + ".back")
    assert Path(str(path) + ".back").read_bytes() == noise(9 * MIB)
    client.close()


def test_a_session_policy_narrows(gateway: Gateway, s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"v")
    answer = sts(gateway).assume_role(RoleArn=ROLE, RoleSessionName="reader", Policy=READ_ONLY)
    assert answer["AssumedRoleUser"]["Arn"].endswith("/reader")
    client = s3_of(gateway, answer["Credentials"])
    assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == b"v"
    assert refusal(client.put_object, Bucket=bucket, Key="k", Body=b"w") == (403, "AccessDenied")
    assert refusal(client.delete_object, Bucket=bucket, Key="k") == (403, "AccessDenied")
    credentials = answer["Credentials"]
    session = sts(
        gateway, credentials["AccessKeyId"], credentials["SecretAccessKey"], credentials["SessionToken"]
    )
    assert session.get_caller_identity()["Arn"] == answer["AssumedRoleUser"]["Arn"]
    assert refusal(session.get_session_token) == (403, "AccessDenied")
    assert refusal(session.assume_role, RoleArn=ROLE, RoleSessionName="wider") == (403, "AccessDenied")
    client.close()


def test_a_token_is_no_permission(
    gateway: Gateway, made: dict[str, Any], bucket: str, signer: Signer
) -> None:
    """The permanent key with a token, and the temporary key without one."""
    token = {"x-amz-security-token": made["SessionToken"]}
    assert send(gateway.port, "GET", f"/{bucket}", signer=signer, signed=token).code == "InvalidToken"
    temporary = Signer(made["AccessKeyId"], made["SecretAccessKey"])
    assert send(gateway.port, "GET", f"/{bucket}", signer=temporary).code == "InvalidAccessKeyId"
    assert send(gateway.port, "GET", f"/{bucket}", signer=temporary, signed=token).status == 200
    answer = send(gateway.port, "GET", f"/{bucket}", signer=temporary, extra=token)
    assert answer.code == "AccessDenied"
    assert b"which were not signed" in answer.body


def test_a_version_2_header_signs_the_token(gateway: Gateway, made: dict[str, Any], bucket: str) -> None:
    temporary = Signer(made["AccessKeyId"], made["SecretAccessKey"])
    target, token = f"/{bucket}/", {"x-amz-security-token": made["SessionToken"]}
    assert send(gateway.port, "GET", target, extra=temporary.v2("GET", target, headers=token)).status == 200
    unsigned = temporary.v2("GET", target) | token
    assert send(gateway.port, "GET", target, extra=unsigned).code == "SignatureDoesNotMatch"


def test_errors_as_boto3_reads_them(gateway: Gateway) -> None:
    assert refusal(sts(gateway, secret="another-secret").get_caller_identity) == (
        403,
        "SignatureDoesNotMatch",
    )
    assert refusal(sts(gateway, key="NOBODY").get_caller_identity) == (403, "InvalidClientTokenId")
    assert refusal(sts(gateway, token="junk").get_caller_identity) == (403, "InvalidClientTokenId")
    assume = sts(gateway).assume_role
    wrong = {"RoleArn": ROLE, "RoleSessionName": "name"}
    assert refusal(assume, **wrong, Policy="{") == (400, "MalformedPolicyDocument")
    assert refusal(assume, **wrong, DurationSeconds=43_201) == (400, "ValidationError")
    assert refusal(assume, **wrong, Tags=[{"Key": "a", "Value": "b"}]) == (400, "ValidationError")


def test_disabling_the_parent_ends_its_sessions(start: Any) -> None:
    gateway = start(s3_gateway={"cache_refresh_interval_secs": 1})
    made = sts(gateway).get_session_token()["Credentials"]
    client = s3_of(gateway, made)
    client.create_bucket(Bucket="bucket")
    assert gateway.command("credential", "disable", "--access-key", KEY).returncode == 0

    def ended() -> bool:
        answer = send(
            gateway.port,
            "GET",
            "/bucket",
            signer=Signer(made["AccessKeyId"], made["SecretAccessKey"]),
            signed={"x-amz-security-token": made["SessionToken"]},
        )
        return answer.code == "InvalidToken"

    eventually(ended, "the session has ended")
    assert gateway.command("credential", "enable", "--access-key", KEY).returncode == 0
    eventually(lambda: not ended(), "the session works again with its key")
    gateway.add_credential(KEY, "another-secret")
    eventually(ended, "a new secret ends the sessions of the old one")
    client.close()


def test_no_log_shows_a_token(start: Any) -> None:
    gateway = start(environment={"S3GW_LOG": "debug"})
    made = sts(gateway).get_session_token()["Credentials"]
    for name, version in (("a", "s3"), ("b", "s3v4")):
        client = s3_of(gateway, made, signature_version=version)
        assert refusal(client.get_object, Bucket="missing", Key=name)[0] == 404
        url = client.generate_presigned_url("get_object", {"Bucket": "missing", "Key": name})
        assert (
            send(gateway.port, "PUT", url.removeprefix(gateway.url), body=b"x").code
            == "SignatureDoesNotMatch"
        )
        client.close()
    assert refusal(
        sts(gateway, made["AccessKeyId"], "wrong-secret", made["SessionToken"]).get_caller_identity
    )
    log = gateway.log.read_text()
    assert "SignatureDoesNotMatch" in log
    for secret in (made["SessionToken"], made["SessionToken"][:40], made["SecretAccessKey"], SECRET):
        assert secret not in log


class Temporary(AwsCli):
    """The AWS command line with temporary credentials."""

    def __init__(self, gateway: Gateway, home: Path, made: dict[str, str]) -> None:
        super().__init__(gateway, home)
        self.made = made

    def environment(self) -> dict[str, str]:
        return super().environment() | {
            "AWS_ACCESS_KEY_ID": self.made["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": self.made["SecretAccessKey"],
            "AWS_SESSION_TOKEN": self.made["SessionToken"],
        }


def test_the_aws_command_line(gateway: Gateway, bucket: str, tmp_path: Path) -> None:
    """`aws sts`, then `aws s3` with what it answered."""
    permanent = AwsCli(gateway, tmp_path)
    assert json.loads(permanent.run("sts", "get-caller-identity"))["UserId"] == KEY
    file = tmp_path / "file"
    file.write_bytes(b"v")
    duration = ("--duration-seconds", "900")
    made = json.loads(permanent.run("sts", "get-session-token", *duration))["Credentials"]
    aws = Temporary(gateway, tmp_path, made)
    assert "upload:" in aws.run("s3", "cp", file, f"s3://{bucket}/k")
    assert aws.run("s3", "ls", f"s3://{bucket}/").split()[2:] == ["1", "k"]
    url = aws.run("s3", "presign", f"s3://{bucket}/k").strip()
    with urllib.request.urlopen(url) as reply:
        assert reply.read() == b"v"
    role = ("--role-arn", ROLE, "--role-session-name", "cli", "--policy", READ_ONLY)
    reader = Temporary(
        gateway, tmp_path, json.loads(permanent.run("sts", "assume-role", *role))["Credentials"]
    )
    assert "download:" in reader.run("s3", "cp", f"s3://{bucket}/k", tmp_path / "back")
    assert "AccessDenied" in reader.try_to("s3", "cp", file, f"s3://{bucket}/l").stderr
    assert json.loads(reader.run("sts", "get-caller-identity"))["Arn"].endswith("/cli")
    assert "AccessDenied" in reader.try_to("sts", "assume-role", *role).stderr
