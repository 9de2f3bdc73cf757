"""Signature version 2: AWS's published examples, and round trips against botocore's signers."""

import re
import time
from email.utils import parsedate_to_datetime
from urllib.parse import quote

import botocore.session
import pytest
from botocore.auth import HmacV1Auth, HmacV1QueryAuth
from botocore.awsrequest import AWSRequest
from hypothesis import given
from hypothesis import strategies as st
from signing import BOTO_KEY, KEY, NOW, check, encode, from_boto, request, vectors

from auth import sigv2
from gateway.errors import S3Error

TEXT = st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=30)
CASES = vectors("sigv2.json")["requests"]


def example(case, signature=None):
    host, domains = "s3.amazonaws.com", ()
    if "bucket" in case:
        host, domains = f"{case['bucket']}.s3.amazonaws.com", ("s3.amazonaws.com",)
    authorization = f"AWS {KEY.access_key}:{signature or case['signature']}"
    return request(
        case["method"],
        case["target"],
        {"host": host, **case["headers"], "authorization": authorization},
        domains,
    )


def moment(case):
    return parsedate_to_datetime(case["headers"]["date"]).timestamp()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_awss_examples(case):
    verified = check(example(case), now=moment(case))
    assert (verified.identity.access_key, verified.scheme, verified.presigned) == (
        KEY.access_key,
        "v2",
        False,
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_forged_signature_is_refused(case):
    with pytest.raises(S3Error, match="SignatureDoesNotMatch"):
        check(example(case, "AAAAAAAAAAAAAAAAAAAAAAAAAAA="), now=moment(case))


@given(key=TEXT, kind=TEXT)
def test_what_botocore_signs_in_headers_verifies(key, kind):
    url = f"http://localhost:9900/bucket/{encode(key)}?response-content-type={quote(kind, safe='')}&uploads"
    asked = AWSRequest(
        "PUT", url, headers={"x-amz-meta-B": "1", "x-amz-acl": " private ", "Content-Type": "a/b"}
    )
    HmacV1Auth(BOTO_KEY).add_auth(asked)
    assert check(from_boto(asked), now=time.time()).scheme == "v2"


@given(key=TEXT, version=TEXT)
def test_what_botocore_presigns_verifies(key, version):
    url = f"http://localhost:9900/bucket/{encode(key)}?versionId={quote(version, safe='')}"
    asked = AWSRequest("GET", url)
    HmacV1QueryAuth(BOTO_KEY, expires=60).add_auth(asked)
    verified = check(from_boto(asked), now=time.time())
    assert (verified.scheme, verified.presigned) == ("v2", True)


def presigned(target="/bucket/key", expires=int(NOW) + 60):
    text = sigv2.string_to_sign("GET", {}, str(expires), sigv2.canonical_resource(*split(target)))
    signature = quote(sigv2.sign(KEY.secret_key, text), safe="")
    join = "&" if "?" in target else "?"
    return f"{target}{join}AWSAccessKeyId={KEY.access_key}&Expires={expires}&Signature={signature}"


def split(target):
    path, _, query = target.partition("?")
    return path, query


def test_a_presigned_url_expires():
    assert check(request("GET", presigned())).presigned
    with pytest.raises(S3Error, match="Request has expired"):
        check(request("GET", presigned()), now=NOW + 61)


@pytest.mark.parametrize(
    "extra", ["tagging", "%74agging", "attributes", "acl", "renameObject", "legal-hold=1"]
)
def test_nobody_turns_a_presigned_url_into_another_operation(extra):
    with pytest.raises(S3Error, match="SignatureDoesNotMatch"):
        check(request("GET", presigned() + "&" + extra))


def test_a_header_added_to_a_presigned_url_is_refused():
    with pytest.raises(S3Error, match="SignatureDoesNotMatch"):
        check(request("GET", presigned(), {"x-amz-meta-a": "1"}))


def test_clients_that_know_fewer_subresources_verify_in_the_header():
    asked = AWSRequest("GET", "http://localhost:9900/bucket?encryption")
    HmacV1Auth(BOTO_KEY).add_auth(asked)
    assert check(from_boto(asked), now=time.time()).scheme == "v2"


def test_a_plus_in_a_presigned_signature_may_stay_bare():
    for number in range(200):
        target = presigned(f"/bucket/key{number}")
        if "%2B" in target:
            assert check(request("GET", target.replace("%2B", "+"))).presigned
            return
    pytest.fail("no signature with a plus in 200")


def test_every_selector_of_s3s_model_is_signed():
    model = botocore.session.get_session().get_service_model("s3")
    words = set()
    for name in model.operation_names:
        query = model.operation_model(name).http["requestUri"].partition("?")[2]
        words |= {pair.partition("=")[0] for pair in query.split("&") if pair}
    assert words - {"list-type", "x-id"} <= sigv2.SUBRESOURCES


def test_everything_botocore_signs_is_signed():
    assert set(HmacV1Auth.QSAOfInterest) == sigv2.ALWAYS_SIGNED
    assert all(re.fullmatch(r"[A-Za-z-]+", word) for word in sigv2.SUBRESOURCES)
