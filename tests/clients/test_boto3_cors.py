"""CORS through boto3, and on the wire: preflights, and the headers of every answer to a script of another origin."""

from typing import Any

import pytest
from harness import Gateway, refusal
from wire import Answer, Signer, send

RULES = [
    {
        "ID": "app",
        "AllowedHeaders": ["x-amz-*", "Content-Type"],
        "AllowedMethods": ["GET", "PUT"],
        "AllowedOrigins": ["https://app.example", "https://*.dev.example"],
        "ExposeHeaders": ["ETag", "x-amz-request-id"],
        "MaxAgeSeconds": 3000,
    },
    {"AllowedMethods": ["GET", "HEAD"], "AllowedOrigins": ["*"]},
]
APP = "https://app.example"
VARY = "Origin, Access-Control-Request-Headers, Access-Control-Request-Method"


@pytest.fixture
def shared(s3: Any, bucket: str) -> str:
    """A bucket with the rules, and a private object `k`."""
    s3.put_object(Bucket=bucket, Key="k", Body=b"v")
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": RULES})
    return bucket


def test_the_configuration(s3: Any, bucket: str) -> None:
    assert refusal(s3.get_bucket_cors, Bucket=bucket) == (404, "NoSuchCORSConfiguration")
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": RULES})
    assert s3.get_bucket_cors(Bucket=bucket)["CORSRules"] == RULES
    answer = s3.delete_bucket_cors(Bucket=bucket)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert refusal(s3.get_bucket_cors, Bucket=bucket) == (404, "NoSuchCORSConfiguration")
    s3.delete_bucket_cors(Bucket=bucket)


def test_a_wrong_configuration_changes_nothing(s3: Any, shared: str) -> None:
    wrong = {"CORSRules": [{"AllowedMethods": ["PATCH"], "AllowedOrigins": ["*"]}]}
    assert refusal(s3.put_bucket_cors, Bucket=shared, CORSConfiguration=wrong) == (400, "InvalidRequest")
    assert refusal(s3.put_bucket_cors, Bucket=shared, CORSConfiguration={"CORSRules": []}) == (
        400,
        "MalformedXML",
    )
    assert s3.get_bucket_cors(Bucket=shared)["CORSRules"] == RULES


def preflight(
    gateway: Gateway, target: str, origin: str = APP, method: str = "PUT", wanted: str = ""
) -> Answer:
    headers = {"origin": origin, "access-control-request-method": method}
    if wanted:
        headers["access-control-request-headers"] = wanted
    return send(gateway.port, "OPTIONS", target, extra=headers)


def cors(answer: Answer) -> dict[str, str]:
    return {
        name.removeprefix("access-control-"): value
        for name, value in answer.headers.items()
        if name.startswith("access-control-") or name == "vary"
    }


NAMED = {
    "allow-origin": APP,
    "allow-methods": "GET, PUT",
    "allow-credentials": "true",
    "expose-headers": "ETag, x-amz-request-id",
    "max-age": "3000",
    "vary": VARY,
}
ANY = {"allow-origin": "*", "allow-methods": "GET, HEAD", "vary": VARY}


def test_a_preflight_needs_no_signature(gateway: Gateway, shared: str) -> None:
    for target in (f"/{shared}", f"/{shared}/k", f"/{shared}/missing", f"/{shared}/k?uploads"):
        answer = preflight(gateway, target)
        assert (answer.status, answer.body, cors(answer)) == (200, b"", NAMED), target
    answer = preflight(gateway, f"/{shared}/k", wanted="X-Amz-Date,content-type")
    assert cors(answer) == NAMED | {"allow-headers": "x-amz-date, content-type"}
    assert cors(preflight(gateway, f"/{shared}/k", "https://any.example", "GET")) == ANY


def test_refused_preflights(gateway: Gateway, shared: str) -> None:
    for answer in (
        preflight(gateway, f"/{shared}/k", "https://evil.example"),
        preflight(gateway, f"/{shared}/k", method="DELETE"),
        preflight(gateway, f"/{shared}/k", wanted="authorization"),
    ):
        assert (answer.status, answer.code) == (403, "AccessForbidden")
        assert b"<ResourceType>OBJECT</ResourceType>" in answer.body
        assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_preflights_that_make_no_sense(gateway: Gateway, shared: str, name: str) -> None:
    answer = send(gateway.port, "OPTIONS", f"/{shared}/k")
    assert (answer.status, answer.code) == (400, "BadRequest")
    assert b"Insufficient information. Origin request header needed." in answer.body
    answer = send(gateway.port, "OPTIONS", f"/{shared}/k", extra={"origin": APP})
    assert (answer.status, answer.code) == (400, "BadRequest")
    assert b"Invalid Access-Control-Request-Method: null" in answer.body
    answer = preflight(gateway, f"/{name}-missing")
    assert (answer.status, answer.code) == (403, "AccessForbidden")
    assert b"CORSResponse: Bucket not found" in answer.body


def test_answers_carry_the_headers(gateway: Gateway, shared: str, signer: Signer) -> None:
    for method, target, status, extra in (
        ("GET", f"/{shared}/k", 200, {}),
        ("GET", f"/{shared}/k", 304, {"if-none-match": "*"}),
        ("GET", f"/{shared}/k", 206, {"range": "bytes=0-0"}),
        ("GET", f"/{shared}/k", 416, {"range": "bytes=9-"}),
        ("GET", f"/{shared}/missing", 404, {}),
        ("GET", f"/{shared}?list-type=2", 200, {}),
        ("PUT", f"/{shared}/new", 200, {}),
    ):
        answer = send(gateway.port, method, target, signer=signer, extra={"origin": APP, **extra})
        assert (answer.status, cors(answer)) == (status, NAMED), (method, target)


def test_errors_before_anybody_is_known_carry_them_too(gateway: Gateway, shared: str) -> None:
    unknown = Signer("AKIAUNKNOWNUNKNOWN00", "wrong-wrong")
    for signer in (None, unknown):
        answer = send(gateway.port, "GET", f"/{shared}/k", signer=signer, extra={"origin": APP})
        assert (answer.status, cors(answer)) == (403, NAMED)


def test_other_origins_and_none(gateway: Gateway, shared: str, signer: Signer) -> None:
    ask = {"signer": signer, "extra": {"origin": "https://other.example"}}
    assert cors(send(gateway.port, "GET", f"/{shared}/k", **ask)) == ANY
    assert cors(send(gateway.port, "HEAD", f"/{shared}/k", **ask)) == ANY
    put = send(gateway.port, "PUT", f"/{shared}/k", body=b"v", **ask)
    assert (put.status, cors(put)) == (200, {"vary": VARY})
    assert cors(send(gateway.port, "GET", f"/{shared}/k", signer=signer)) == {}


def test_a_bucket_without_a_configuration(gateway: Gateway, s3: Any, bucket: str, signer: Signer) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"v")
    answer = send(gateway.port, "GET", f"/{bucket}/k", signer=signer, extra={"origin": APP})
    assert (answer.status, cors(answer)) == (200, {})
    answer = preflight(gateway, f"/{bucket}/k")
    assert (answer.status, answer.code) == (403, "AccessForbidden")
    assert b"CORSResponse: CORS is not enabled for this bucket." in answer.body
    assert b"<Method>PUT</Method><ResourceType>BUCKET</ResourceType>" in answer.body
