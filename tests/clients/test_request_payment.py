"""Requester Pays, with two accounts."""

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from harness import KEY, SECRET, Gateway, boto, refusal
from wire import Signer, send

ALICE, BOB = ("AKIAALICEALICEALICE0", "alice-secret-alice"), ("AKIABOBBOBBOBBOBBOB0", "bob-secret-bob-bob")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway where the accounts alice and bob have keys, and alice's bucket `goods` is everybody's to read."""
    gateway = Gateway(tmp_path_factory.mktemp("shop"), settings={"s3_gateway": {"workers": 1}})
    gateway.directory.mkdir(exist_ok=True)
    lines = [
        {
            "access_key": key,
            "secret_key": secret,
            "account": account,
            "created_at": 1,
            "enabled": True,
            "description": "",
        }
        for (key, secret), account in (((KEY, SECRET), ""), (ALICE, "alice"), (BOB, "bob"))
    ]
    path = gateway.directory / "credentials.jsonl"
    with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as store:
        store.writelines(json.dumps(line) + "\n" for line in lines)
    try:
        gateway.start()
        alice = boto(gateway.url, *ALICE)
        alice.create_bucket(Bucket="goods")
        alice.delete_public_access_block(Bucket="goods")
        everybody = {
            "Effect": "Allow",
            "Principal": "*",
            "Action": ["s3:GetObject", "s3:PutObject", "s3:ListBucket"],
            "Resource": ["arn:aws:s3:::goods", "arn:aws:s3:::goods/*"],
        }
        alice.put_bucket_policy(
            Bucket="goods", Policy=json.dumps({"Version": "2012-10-17", "Statement": [everybody]})
        )
        alice.put_object(Bucket="goods", Key="k", Body=b"v")
        alice.put_bucket_request_payment(Bucket="goods", RequestPaymentConfiguration={"Payer": "Requester"})
        alice.close()
        yield gateway
    except BaseException:
        gateway.stop(clean=False)
        raise
    gateway.stop()


def test_the_configuration(s3: Any, bucket: str) -> None:
    def payer() -> str:
        return str(s3.get_bucket_request_payment(Bucket=bucket)["Payer"])

    assert payer() == "BucketOwner"
    for value in ("Requester", "BucketOwner"):
        s3.put_bucket_request_payment(Bucket=bucket, RequestPaymentConfiguration={"Payer": value})
        assert payer() == value
    wrong = {"Payer": "Nobody"}
    refused = refusal(s3.put_bucket_request_payment, Bucket=bucket, RequestPaymentConfiguration=wrong)
    assert refused == (400, "MalformedXML")


def test_who_asks_agrees_to_pay(shop: Gateway) -> None:
    bob = boto(shop.url, *BOB)
    for call, more in (
        (bob.get_object, {"Key": "k"}),
        (bob.head_object, {"Key": "k"}),
        (bob.put_object, {"Key": "new", "Body": b"x"}),
        (bob.list_objects_v2, {}),
    ):
        assert refusal(call, Bucket="goods", **more)[0] == 403
        assert call(Bucket="goods", RequestPayer="requester", **more)["RequestCharged"] == "requester"
    bob.create_bucket(Bucket="bobs")
    copied: dict[str, Any] = {"Bucket": "bobs", "Key": "k", "CopySource": {"Bucket": "goods", "Key": "k"}}
    assert refusal(bob.copy_object, **copied) == (403, "AccessDenied")
    bob.copy_object(RequestPayer="requester", **copied)
    bob.close()


def test_by_a_parameter_of_the_query(shop: Gateway) -> None:
    signer, host = Signer(*BOB), f"127.0.0.1:{shop.port}"
    assert send(shop.port, "GET", signer.presign("GET", "/goods/k", host)).status == 403
    agreed = signer.presign("GET", "/goods/k?x-amz-request-payer=requester", host)
    answer = send(shop.port, "GET", agreed)
    assert (answer.status, answer.headers["x-amz-request-charged"]) == (200, "requester")


def test_the_owner_is_not_charged(shop: Gateway) -> None:
    for key in (ALICE, (KEY, SECRET)):
        client = boto(shop.url, *key)
        assert "RequestCharged" not in client.get_object(Bucket="goods", Key="k")
        client.close()


def test_nobody_reads_without_an_account(shop: Gateway) -> None:
    for headers in ({}, {"x-amz-request-payer": "requester"}):
        assert send(shop.port, "GET", "/goods/k", extra=headers).status == 403
