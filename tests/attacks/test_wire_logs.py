"""Server access logs under attack: what a client sends neither forges a line nor loses one, and goes where it may."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from harness import ALICE, Gateway, eventually, refusal, running
from wire import Signer, send

FORGED = '5 200 - - 0 1 1 "-" "-" forged'


@pytest.fixture(scope="module")
def logging(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway that writes logs often."""
    settings = {"logging": {"flush_seconds": 0.2}, "s3_gateway": {"workers": 1}}
    with running(tmp_path_factory.mktemp("logging"), settings=settings) as gateway:
        yield gateway


def log_to(s3: Any, bucket: str, target: str, prefix: str = "a/") -> None:
    status = {"LoggingEnabled": {"TargetBucket": target, "TargetPrefix": prefix}}
    s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus=status)


def lines(s3: Any, target: str) -> list[str]:
    found = s3.list_objects_v2(Bucket=target).get("Contents", [])
    texts = [s3.get_object(Bucket=target, Key=one["Key"])["Body"].read().decode("ascii") for one in found]
    return "".join(texts).splitlines()


@pytest.mark.parametrize("header", [FORGED, "\xff\xfe"], ids=["a line", "no ascii"])
def test_a_length_that_nobody_checks_is_not_logged(
    logging: Gateway, name: str, signer: Signer, header: str
) -> None:
    """`x-amz-decoded-content-length` of a body that is not framed forges no field, and loses nobody's lines."""
    s3 = logging.s3()
    for bucket in (name, f"{name}-logs"):
        s3.create_bucket(Bucket=bucket)
    log_to(s3, name, f"{name}-logs")
    sent = {"x-amz-decoded-content-length": header}
    if header.isascii():
        answer = send(logging.port, "PUT", f"/{name}/k", signer=signer, body=b"12345", signed=sent)
        assert answer.status == 200
    else:
        s3.put_bucket_policy(Bucket=name, Policy=_public(name))
        assert send(logging.port, "PUT", f"/{name}/k", body=b"12345", extra=sent).status == 200
    s3.head_object(Bucket=name, Key="k")

    def found() -> bool:
        return any("REST.HEAD.OBJECT" in line for line in lines(s3, f"{name}-logs"))

    eventually(found, "the log is written")
    written = [line for line in lines(s3, f"{name}-logs") if "REST.PUT.OBJECT" in line]
    assert len(written) == 1
    assert "forged" not in written[0]
    assert " 5 " in written[0], "the size is that of the body"


def _public(bucket: str) -> str:
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{bucket}/*",
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def test_a_log_goes_only_where_its_maker_may_write(logging: Gateway, name: str) -> None:
    """A key that may configure the log of one bucket does not write into all others of its account that way."""
    s3 = logging.s3()
    for bucket in (name, f"{name}-vault"):
        s3.create_bucket(Bucket=bucket)
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "s3:PutBucketLogging", "Resource": f"arn:aws:s3:::{name}"},
            {
                "Effect": "Allow",
                "Action": "s3:PutObject",
                "Resource": [f"arn:aws:s3:::{name}/*", f"arn:aws:s3:::{name}-vault/logs/*"],
            },
        ],
    }
    key, secret = f"LOGS{name[-12:].upper()}", "a-secret-for-the-logs"
    logging.add_credential(key, secret, policy=policy)
    client = logging.s3(key, key=key, secret=secret)
    status = {"LoggingEnabled": {"TargetBucket": name, "TargetPrefix": ""}}

    def configured() -> bool:
        from botocore.exceptions import ClientError

        try:
            client.put_bucket_logging(Bucket=name, BucketLoggingStatus=status)
        except ClientError as error:
            assert error.response["Error"]["Code"] == "InvalidAccessKeyId"
            return False
        return True

    eventually(configured, "the key is known")
    log_to(client, name, f"{name}-vault", "logs/")
    for prefix in ("", "secret/"):
        status = {"LoggingEnabled": {"TargetBucket": f"{name}-vault", "TargetPrefix": prefix}}
        outcome = refusal(client.put_bucket_logging, Bucket=name, BucketLoggingStatus=status)
        assert outcome == (403, "AccessDenied")


def test_a_log_does_not_leave_its_account(logging: Gateway, name: str) -> None:
    """The bucket of another account is no target, whatever its policy lets the caller do."""
    s3, alice = logging.s3(), logging.s3("alice", key=ALICE[0], secret=ALICE[1])
    s3.create_bucket(Bucket=name)
    alice.create_bucket(Bucket=f"{name}-hers")
    status = {"LoggingEnabled": {"TargetBucket": name, "TargetPrefix": ""}}
    outcome = refusal(alice.put_bucket_logging, Bucket=f"{name}-hers", BucketLoggingStatus=status)
    assert outcome == (400, "InvalidTargetBucketForLogging")
