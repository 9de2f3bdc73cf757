"""The signature on a POST form: AWS's own example, botocore's signers, and every way in which one is refused."""

import base64
import logging
from datetime import UTC, datetime

import pytest
from botocore.auth import HmacV1PostAuth, S3SigV4PostAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from refusals import refused
from signing import KEY, KEYS, NOW, OFF, REGION

from auth.credential import Credential
from auth.form import verify_form
from auth.identity import ANONYMOUS, OWNER_ID, canonical_id
from auth.sessions import Terms, mint

POLICY = base64.b64encode(b'{"expiration": "2013-08-07T12:00:00.000Z", "conditions": []}').decode()
SCHEMES = {"v4": S3SigV4PostAuth, "v2": HmacV1PostAuth}


def check(fields, lookup=KEYS.get, **options):
    return verify_form(fields, lookup, **({"region": REGION, "now": NOW} | options))


def boto(scheme, key=KEY, token=None, region=REGION):
    """The fields that botocore's signer puts into a form, by lower-case name."""
    request = AWSRequest("POST", "http://localhost/b")
    request.context["s3-presign-post-fields"] = {"key": "k"}
    request.context["s3-presign-post-policy"] = {"expiration": "2030-01-01T00:00:00Z", "conditions": []}
    credentials = Credentials(key.access_key, key.secret_key, token)
    arguments = ("s3", region) if scheme == "v4" else ()
    SCHEMES[scheme](credentials, *arguments).add_auth(request)
    return {name.lower(): value for name, value in request.context["s3-presign-post-fields"].items()}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_signer_of_botocore_verifies(scheme):
    verified = check(boto(scheme), now=datetime.now(UTC).timestamp())
    assert (verified.identity.access_key, verified.identity.account) == (KEY.access_key, OWNER_ID)
    assert (verified.scheme, verified.presigned) == (scheme, False)


def test_awss_example_of_version_4_verifies():
    """https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-post-example.html"""
    policy = (
        "eyAiZXhwaXJhdGlvbiI6ICIyMDE1LTEyLTMwVDEyOjAwOjAwLjAwMFoiLA0KICAiY29uZGl0aW9ucyI6IFsNCiAgICB7ImJ1Y2tldCI6ICJz"
        "aWd2NGV4YW1wbGVidWNrZXQifSwNCiAgICBbInN0YXJ0cy13aXRoIiwgIiRrZXkiLCAidXNlci91c2VyMS8iXSwNCiAgICB7ImFjbCI6ICJw"
        "dWJsaWMtcmVhZCJ9LA0KICAgIHsic3VjY2Vzc19hY3Rpb25fcmVkaXJlY3QiOiAiaHR0cDovL3NpZ3Y0ZXhhbXBsZWJ1Y2tldC5zMy5hbWF6"
        "b25hd3MuY29tL3N1Y2Nlc3NmdWxfdXBsb2FkLmh0bWwifSwNCiAgICBbInN0YXJ0cy13aXRoIiwgIiRDb250ZW50LVR5cGUiLCAiaW1hZ2Uv"
        "Il0sDQogICAgeyJ4LWFtei1tZXRhLXV1aWQiOiAiMTQzNjUxMjM2NTEyNzQifSwNCiAgICB7IngtYW16LXNlcnZlci1zaWRlLWVuY3J5cHRp"
        "b24iOiAiQUVTMjU2In0sDQogICAgWyJzdGFydHMtd2l0aCIsICIkeC1hbXotbWV0YS10YWciLCAiIl0sDQoNCiAgICB7IngtYW16LWNyZWRl"
        "bnRpYWwiOiAiQUtJQUlPU0ZPRE5ON0VYQU1QTEUvMjAxNTEyMjkvdXMtZWFzdC0xL3MzL2F3czRfcmVxdWVzdCJ9LA0KICAgIHsieC1hbXot"
        "YWxnb3JpdGhtIjogIkFXUzQtSE1BQy1TSEEyNTYifSwNCiAgICB7IngtYW16LWRhdGUiOiAiMjAxNTEyMjlUMDAwMDAwWiIgfQ0KICBdDQp9"
    )
    fields = {
        "policy": policy,
        "x-amz-algorithm": "AWS4-HMAC-SHA256",
        "x-amz-credential": f"{KEY.access_key}/20151229/us-east-1/s3/aws4_request",
        "x-amz-date": "20151229T000000Z",
        "x-amz-signature": "8afdbf4008c03f22c2cd3cdb72e4afbb1f6a588f3255ac628749a66d7f09699e",
    }
    assert check(fields).scheme == "v4"
    with refused("SignatureDoesNotMatch", AWSAccessKeyId=KEY.access_key):
        check(fields | {"policy": POLICY})


def test_a_form_without_credentials_is_anonymous():
    assert check({"key": "k", "acl": "private"}).identity is ANONYMOUS


@pytest.mark.parametrize(
    "field", ["policy", "x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature"]
)
@pytest.mark.parametrize("empty", [True, False])
def test_a_missing_field_of_version_4_is_named(field, empty):
    fields = boto("v4")
    del fields[field]
    if empty:
        fields[field] = ""
    with refused("InvalidArgument", ArgumentValue="") as caught:
        check(fields)
    assert caught.value.fields["ArgumentName"].lower() == field
    assert "Bucket POST must contain a field named" in caught.value.message


@pytest.mark.parametrize("field", ["policy", "awsaccesskeyid", "signature"])
def test_a_missing_field_of_version_2_is_named(field):
    fields = boto("v2")
    del fields[field]
    with refused("InvalidArgument") as caught:
        check(fields)
    assert caught.value.fields["ArgumentName"].lower() == field


@pytest.mark.parametrize(
    "fields",
    [
        {"policy": POLICY},
        {"signature": "a"},
        {"awsaccesskeyid": KEY.access_key},
        {"awsaccesskeyid": KEY.access_key, "policy": POLICY},
        {"x-amz-credential": "a"},
        {"x-amz-signature": "a"},
        {"x-amz-algorithm": "AWS4-HMAC-SHA256"},
        {"x-amz-security-token": "a"},
        {"policy": POLICY, "x-amz-signature": "", "x-amz-credential": ""},
    ],
)
def test_a_fragment_of_credentials_never_becomes_anonymous(fields):
    with refused("InvalidArgument"):
        check(fields)


def test_two_versions_at_once_are_refused():
    with refused("InvalidRequest"):
        check(boto("v4") | boto("v2"))


WRONG = {
    "x-amz-algorithm": {"AWS4-HMAC-SHA1": "InvalidArgument", "AWS4-ECDSA-P256-SHA256": "NotImplemented"},
    "x-amz-date": {"2013-05-24": "InvalidArgument", "Fri, 24 May 2013": "InvalidArgument"},
    "x-amz-signature": {"0" * 64: "SignatureDoesNotMatch", "é": "SignatureDoesNotMatch"},
    "x-amz-credential": {
        "AKIA/20130524": "InvalidArgument",
        "NOBODY/{day}/us-east-1/s3/aws4_request": "InvalidAccessKeyId",
        "DISABLED/{day}/us-east-1/s3/aws4_request": "InvalidAccessKeyId",
        "AKIAIOSFODNN7EXAMPLE/{day}/us-east-1/sts/aws4_request": "InvalidArgument",
        "AKIAIOSFODNN7EXAMPLE/20010101/us-east-1/s3/aws4_request": "InvalidArgument",
    },
}


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [(field, value, code) for field, values in WRONG.items() for value, code in values.items()],
)
def test_what_is_malformed_is_refused(field, value, code):
    fields = boto("v4")
    with refused(code):
        check(fields | {field: value.format(day=fields["x-amz-date"][:8])})


def test_a_wrong_region_reads_as_on_aws():
    fields = boto("v4", region="eu-west-1")
    with refused(
        "InvalidArgument",
        ArgumentName="X-Amz-Credential",
        ArgumentValue=fields["x-amz-credential"],
        Region="us-east-1",
    ) as caught:
        check(fields)
    assert caught.value.message == "the region 'eu-west-1' is wrong; expecting 'us-east-1'"


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(
    "wrong", [Credential(KEY.access_key, "another secret"), OFF, Credential("NO", "12345678")]
)
def test_another_secret_a_disabled_and_an_unknown_key_are_refused(scheme, wrong):
    code = "SignatureDoesNotMatch" if wrong.access_key == KEY.access_key else "InvalidAccessKeyId"
    with refused(code):
        check(boto(scheme, wrong))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_session_signs_forms_with_its_token_only(scheme, caplog):
    caplog.set_level(logging.DEBUG, "auth")
    parent = Credential("PARENT", "12345678", account="alice")
    keys = {"PARENT": parent, KEY.access_key: KEY}
    made = mint(parent, Terms(int(NOW), int(NOW) + 900, "s"))
    temporary = Credential(made.access_key, made.secret_key)
    fields = boto(scheme, temporary, made.token)
    assert check(fields, keys.get).identity.account == canonical_id("alice")
    without = {name: value for name, value in fields.items() if name != "x-amz-security-token"}
    with refused("InvalidAccessKeyId"):
        check(without, keys.get)
    with refused("ExpiredToken"):
        check(fields, keys.get, now=NOW + 900)
    with refused("InvalidToken"):
        check(boto(scheme, KEY, made.token), keys.get)
    assert "InvalidToken" in caplog.text
    assert made.token not in caplog.text
    assert made.secret_key not in caplog.text
