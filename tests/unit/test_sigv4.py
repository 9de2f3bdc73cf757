"""Signature version 4: AWS's published examples, and round trips against botocore's signers."""

import hashlib
import hmac
import time
from urllib.parse import urlsplit

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from hypothesis import given
from hypothesis import strategies as st
from signing import BOTO_KEY, KEY, NOW, REGION, SCOPE, STAMP, check, encode, from_boto, request, vectors

from auth import sigv4
from auth.mac import Mac
from gateway.errors import S3Error

EXAMPLES = vectors("sigv4.json")
HOST = "examplebucket.s3.amazonaws.com"
TEXT = st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=30)
VALUE = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30)


def example(case, host=HOST, method="PUT"):
    signature = case.get("seed") or case["signature"]
    authorization = (
        f"AWS4-HMAC-SHA256 Credential={SCOPE},SignedHeaders={case['signed']},Signature={signature}"
    )
    headers = {"host": host, "x-amz-date": STAMP, **case["headers"], "authorization": authorization}
    return request(case.get("method", method), case["target"], headers)


@pytest.mark.parametrize("case", EXAMPLES["headers"], ids=lambda case: case["name"])
def test_awss_header_examples(case):
    verified = check(example(case))
    assert (verified.identity.access_key, verified.scheme, verified.presigned) == (
        KEY.access_key,
        "v4",
        False,
    )
    assert verified.body.sha256 == case["headers"]["x-amz-content-sha256"]


@pytest.mark.parametrize("case", EXAMPLES["headers"], ids=lambda case: case["name"])
def test_one_changed_digit_is_refused(case):
    signature = case["signature"]
    forged = {**case, "signature": ("0" if signature[0] != "0" else "1") + signature[1:]}
    with pytest.raises(S3Error, match="SignatureDoesNotMatch"):
        check(example(forged))


def test_awss_presigned_example():
    case = EXAMPLES["presigned"]
    url = sigv4.presign(
        "GET", f"https://{HOST}{case['target']}", KEY, region=REGION, now=NOW, expires=case["expires"]
    )
    assert url.endswith(f"&X-Amz-Signature={case['signature']}")
    parts = urlsplit(url)
    verified = check(request("GET", f"{parts.path}?{parts.query}", {"host": HOST}), now=NOW + 86400)
    assert (verified.scheme, verified.presigned) == ("v4", True)


@pytest.mark.parametrize("name", ["chunked", "trailer"])
def test_awss_chunked_examples(name):
    case = EXAMPLES[name]
    body = check(example(case, "s3.amazonaws.com")).body
    assert (body.chunked, body.trailer) == (True, name == "trailer")
    for size, signature in case["chunks"]:
        body.chunks.chunk(hashlib.sha256(b"a" * size).hexdigest(), signature)
    if body.trailer:
        body.chunks.trailer(hashlib.sha256(case["lines"].encode()).hexdigest(), case["signature"])


def test_chunks_in_another_order_are_refused():
    case = EXAMPLES["chunked"]
    chain = check(example(case, "s3.amazonaws.com")).body.chunks
    size, signature = case["chunks"][1]
    with pytest.raises(S3Error, match="SignatureDoesNotMatch"):
        chain.chunk(hashlib.sha256(b"a" * size).hexdigest(), signature)


def test_a_forged_trailer_is_refused():
    case = EXAMPLES["trailer"]
    chain = check(example(case, "s3.amazonaws.com")).body.chunks
    for size, signature in case["chunks"]:
        chain.chunk(hashlib.sha256(b"a" * size).hexdigest(), signature)
    with pytest.raises(S3Error, match="SignatureDoesNotMatch"):
        chain.trailer(hashlib.sha256(b"x-amz-checksum-crc32c:AAAAAA==\n").hexdigest(), case["signature"])


@given(key=TEXT, prefix=TEXT, metadata=VALUE, body=st.binary(max_size=50))
def test_what_botocore_signs_in_headers_verifies(key, prefix, metadata, body):
    url = f"http://localhost:9900/bucket/{encode(key)}?prefix={encode(prefix).replace('/', '%2F')}&acl"
    asked = AWSRequest("PUT", url, headers={"x-amz-meta-a": metadata, "User-Agent": "x  y"}, data=body)
    S3SigV4Auth(BOTO_KEY, "s3", REGION).add_auth(asked)
    verified = check(from_boto(asked), now=time.time())
    assert verified.body.sha256 == hashlib.sha256(body).hexdigest()


@given(key=TEXT, kind=TEXT)
def test_what_botocore_presigns_verifies(key, kind):
    asked = AWSRequest(
        "GET", f"http://localhost:9900/bucket/{encode(key)}", params={"response-content-type": kind}
    )
    S3SigV4QueryAuth(BOTO_KEY, "s3", REGION, expires=60).add_auth(asked)
    assert check(from_boto(asked), now=time.time()).presigned


@given(key=TEXT, value=TEXT)
def test_what_is_signed_here_verifies(key, value):
    url = f"http://localhost:9900/bucket/{encode(key)}?prefix={encode(value).replace('/', '%2F')}"
    parts = urlsplit(url)
    target = f"{parts.path}?{parts.query}"
    headers = sigv4.sign_headers("GET", url, {"x-amz-meta-b": " a   b "}, KEY, region=REGION, now=NOW)
    assert check(request("GET", target, headers)).scheme == "v4"
    parts = urlsplit(sigv4.presign("GET", url, KEY, region=REGION, now=NOW, headers={"x-amz-acl": "private"}))
    asked = request("GET", f"{parts.path}?{parts.query}", {"x-amz-acl": "private"})
    assert check(asked).presigned


@pytest.mark.parametrize(
    ("signed", "sent"),
    [
        ("/b/a%28b%29%2A", "/b/a(b)*"),
        ("/b/%C3%A9", "/b/%c3%a9"),
        ("/b/~", "/b/%7E"),
        ("/b?prefix=a%20b&x=%2F", "/b?x=/&prefix=a+b"),
        ("/b?acl=", "/b?acl"),
        ("/b?a=1&a-b=2", "/b?a-b=2&a=1"),
        ("/b?a=1&a=2", "/b?a=2&a=1"),
    ],
)
def test_looser_bytes_of_the_same_request_verify(signed, sent):
    headers = sigv4.sign_headers("GET", "http://localhost:9900" + signed, {}, KEY, region=REGION, now=NOW)
    assert check(request("GET", sent, headers)).scheme == "v4"


@pytest.mark.parametrize(
    ("signed", "sent"),
    [
        ("/b/a%2Fb", "/b/a%252Fb"),
        ("/b/a/../c", "/b/c"),
        ("/b/a//c", "/b/a/c"),
        ("/b/a", "/b/A"),
        ("/b?prefix=a", "/b?prefix=a&delimiter=x"),
        ("/b?prefix=%2B", "/b?prefix=+"),
        ("/b/k", "/b/k?tagging"),
    ],
)
def test_another_request_does_not_verify(signed, sent):
    headers = sigv4.sign_headers("GET", "http://localhost:9900" + signed, {}, KEY, region=REGION, now=NOW)
    with pytest.raises(S3Error, match="SignatureDoesNotMatch"):
        check(request("GET", sent, headers))


def test_bytes_beyond_ascii_in_a_header_keep_their_value():
    headers = sigv4.sign_headers(
        "PUT", "http://localhost:9900/b/k", {"x-amz-meta-a": "Ã\xa0 \xa0Ã\x85"}, KEY, region=REGION, now=NOW
    )
    assert check(request("PUT", "/b/k", headers)).scheme == "v4"


@pytest.mark.parametrize("expires", [0, 604_801])
def test_a_presigned_url_has_a_week_at_most(expires):
    with pytest.raises(ValueError, match="604800"):
        sigv4.presign("GET", "http://h/b", KEY, region=REGION, now=NOW, expires=expires)


@given(key=st.binary(max_size=200), message=st.binary(max_size=200), name=st.sampled_from(["sha1", "sha256"]))
def test_the_prepared_hmac_is_hmac(key, message, name):
    mac = Mac(key, name)
    for _ in range(2):
        assert mac.digest(message) == hmac.digest(key, message, name)


def test_a_signed_header_that_was_taken_away_is_missed():
    headers = sigv4.sign_headers(
        "PUT", "http://localhost:9900/b/k", {"x-amz-acl": "private"}, KEY, region=REGION, now=NOW
    )
    del headers["x-amz-acl"]
    with pytest.raises(S3Error, match="SignatureDoesNotMatch"):
        check(request("PUT", "/b/k", headers))
