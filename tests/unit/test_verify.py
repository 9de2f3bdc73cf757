"""Which scheme a request is held against, and every way in which one is refused."""

import hashlib
import logging
import subprocess
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from urllib.parse import quote, urlsplit

import pytest
from signing import KEY, NOW, OFF, REGION, SCOPE, STAMP, check, request

from auth import sigv2, sigv4
from auth.checks import moment
from auth.credential import Credential
from auth.identity import ANONYMOUS
from gateway.errors import S3Error

URL = "http://localhost:9900/b/k"
EMPTY = sigv4.EMPTY_SHA256
TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"


def signed(method="GET", *, key=KEY, now=NOW, region=REGION, payload=EMPTY, url=URL, **headers):
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return sigv4.sign_headers(method, url, given, key, region=region, now=now, payload=payload)


def presigned(method="GET", *, key=KEY, now=NOW, region=REGION, expires=3600, url=URL, headers=None):
    parts = urlsplit(
        sigv4.presign(method, url, key, region=region, now=now, expires=expires, headers=headers)
    )
    return f"{parts.path}?{parts.query}"


def refused(asked, **options):
    with pytest.raises(S3Error) as caught:
        check(asked, **options)
    error = caught.value
    assert 400 <= error.status < 500 or error.status == 501
    assert KEY.secret_key not in str(error) + str(error.fields)
    return error


def v2_header(date=None, **headers):
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    given["date"] = date or formatdate(NOW, usegmt=True)
    text = sigv2.string_to_sign("PUT", given, given["date"], "/b/k")
    return {**given, "authorization": f"AWS {KEY.access_key}:{sigv2.sign(KEY.secret_key, text)}"}


def test_a_request_without_credentials_is_anonymous():
    verified = check(request("GET", "/b/k?prefix=a&Expires=1"))
    assert verified.identity is ANONYMOUS
    assert verified.scheme == "none"


def test_an_anonymous_body_may_be_framed_but_not_signed():
    body = check(request("PUT", "/b/k", {"x-amz-content-sha256": TRAILER})).body
    assert (body.chunked, body.trailer, body.chunks) == (True, True, None)
    for payload in ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"):
        error = refused(request("PUT", "/b/k", {"x-amz-content-sha256": payload}))
        assert (error.status, error.code) == (400, "InvalidRequest")
    assert refused(request("PUT", "/b/k", {"x-amz-content-sha256": "junk"})).code == "InvalidArgument"


FRAGMENTS = {
    "/b/k?X-Amz-Credential=" + quote(SCOPE, safe=""): "AuthorizationQueryParametersError",
    "/b/k?x-amz-credential=a": "AuthorizationQueryParametersError",
    "/b/k?X-Amz-Signature=00": "AuthorizationQueryParametersError",
    "/b/k?X-Amz-Algorithm=AWS4-HMAC-SHA256": "AuthorizationQueryParametersError",
    "/b/k?X-Amz-Expires=1": "AuthorizationQueryParametersError",
    "/b/k?X-Amz-SignedHeaders=host": "AuthorizationQueryParametersError",
    "/b/k?AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE": "AccessDenied",
    "/b/k?Signature=a": "AccessDenied",
    "/b/k?signature=a&awsaccesskeyid=b&expires=9999999999": "AccessDenied",
    "/b/k?AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Signature=&Expires=9999999999": "AccessDenied",
    "/b/k?X-Amz-Algorithm=AWS4-ECDSA-P256-SHA256": "NotImplemented",
    "/b/k?X-Amz-Security-Token=a": "InvalidToken",
    "/b/k?X-Amz-Signature=a&Signature=b": "InvalidArgument",
}


@pytest.mark.parametrize(("target", "code"), FRAGMENTS.items())
@pytest.mark.parametrize("payload", [None, TRAILER])
def test_a_fragment_of_credentials_never_becomes_anonymous(target, code, payload):
    headers = {"x-amz-content-sha256": payload} if payload else {}
    assert refused(request("PUT", target, headers)).code == code


HEADERS = {
    "": "InvalidArgument",
    "Basic YTpi": "InvalidArgument",
    "Bearer a": "InvalidArgument",
    "aws4-hmac-sha256 Credential=a": "InvalidArgument",
    "AWS4-ECDSA-P256-SHA256 Credential=a": "NotImplemented",
    "AWS": "InvalidArgument",
    "AWS ": "InvalidArgument",
    "AWS :": "InvalidArgument",
    "AWS key": "InvalidArgument",
    "AWS :c2ln": "InvalidArgument",
    "AWS key:": "InvalidArgument",
    "AWS nobody:c2ln": "InvalidAccessKeyId",
    "AWS4-HMAC-SHA256": "AuthorizationHeaderMalformed",
    "AWS4-HMAC-SHA256 ,,,": "AuthorizationHeaderMalformed",
    "AWS4-HMAC-SHA256 junk": "AuthorizationHeaderMalformed",
    "AWS4-HMAC-SHA256 Credential=a, Credential=b, Signature=c": "AuthorizationHeaderMalformed",
    f"AWS4-HMAC-SHA256 Credential={SCOPE}, SignedHeaders=host": "AuthorizationHeaderMalformed",
    f"AWS4-HMAC-SHA256 Credential={SCOPE}, Signature={EMPTY}": "AuthorizationHeaderMalformed",
    f"AWS4-HMAC-SHA256 Credential={SCOPE}, SignedHeaders=, Signature={EMPTY}": "AuthorizationHeaderMalformed",
    f"AWS4-HMAC-SHA256 Credential={SCOPE}, SignedHeaders=Host, Signature={EMPTY}": "AuthorizationHeaderMalformed",
    f"AWS4-HMAC-SHA256 Credential={SCOPE}, SignedHeaders=host;host, Signature={EMPTY}": "AuthorizationHeaderMalformed",
    f"AWS4-HMAC-SHA256 SignedHeaders=host, Signature={EMPTY}": "AuthorizationHeaderMalformed",
    f"AWS4-HMAC-SHA256 Signature={EMPTY}, Signature={EMPTY}": "AuthorizationHeaderMalformed",
    f"AWS4-HMAC-SHA256 Credential=/20130524/us-east-1/s3/aws4_request, SignedHeaders=host, Signature={EMPTY}": (
        "AuthorizationHeaderMalformed"
    ),
    f"AWS4-HMAC-SHA256 Credential=a/b/c, SignedHeaders=host, Signature={EMPTY}": "AuthorizationHeaderMalformed",
    f"AWS4-HMAC-SHA256 Credential={SCOPE}, SignedHeaders=host;x-amz-date, Signature=é": "SignatureDoesNotMatch",
    f"AWS4-HMAC-SHA256 Credential={SCOPE}, SignedHeaders=host;x-amz-date, Signature=": "SignatureDoesNotMatch",
}


@pytest.mark.parametrize(("header", "code"), HEADERS.items())
def test_a_malformed_authorization_is_refused(header, code):
    assert refused(request("GET", "/b/k", {"authorization": header, "x-amz-date": STAMP})).code == code


@pytest.mark.parametrize(
    ("header", "message", "value"),
    [
        ("token", "Authorization header is invalid -- one and only one ' ' (space) required.", "token"),
        ("AWS2-HMAC-SHA1 Credential=a", "Unsupported Authorization Type", "AWS2-HMAC-SHA1"),
        ("Bearer secret", "Unsupported Authorization Type", "Bearer"),
    ],
)
def test_an_unknown_scheme_is_named_without_what_stands_behind_it(header, message, value):
    error = refused(request("GET", "/b/k", {"authorization": header}))
    assert (error.code, error.message) == ("InvalidArgument", message)
    assert error.fields == {"ArgumentName": "Authorization", "ArgumentValue": value}


THREE = "the authorization header requires three components: Credential, SignedHeaders, and Signature."
COMPONENTS = {
    "Credential=a": THREE,
    f"Credential={SCOPE},Signature={EMPTY}": THREE,
    f"Credential={SCOPE},SignedHeaders=host": THREE,
    f"Credential={SCOPE},SignedHeaders=host,Other=a,Signature={EMPTY}": THREE,
    f"Credential={SCOPE},SignedHeaders=host,Other=a": "missing Signature.",
    f"Credential={SCOPE},Other=a,Signature={EMPTY}": "missing SignedHeaders.",
    f"Other=a,SignedHeaders=host,Signature={EMPTY}": "missing Credential.",
    f"Credential={SCOPE},SignedHeaders-host,Signature=a": (
        'the authorization component "SignedHeaders-host" is malformed.'
    ),
}


@pytest.mark.parametrize(("fields", "message"), COMPONENTS.items())
def test_what_is_wrong_with_the_components_is_told(fields, message):
    error = refused(request("GET", "/b/k", {"authorization": f"AWS4-HMAC-SHA256 {fields}"}))
    assert error.code == "AuthorizationHeaderMalformed"
    assert error.message == f"The authorization header is malformed; {message}"


SCOPES = {
    "NOBODY/32234/us-east-1/s3/extra/things": (
        'the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".'
    ),
    "NOBODY/32234/us-east-1/s3/aws_request": (
        'incorrect terminal "aws_request". This endpoint uses "aws4_request".'
    ),
    "NOBODY/32234/us-east-1/ec2/aws4_request": 'incorrect service "ec2". This endpoint belongs to "s3".',
    "NOBODY/3223423234/us-east-1/s3/aws4_request": (
        'incorrect date format "3223423234". This date in the credential must be in the format "yyyyMMdd".'
    ),
    "NOBODY/32234Z34/us-east-1/s3/aws4_request": (
        'incorrect date format "32234Z34". This date in the credential must be in the format "yyyyMMdd".'
    ),
}


@pytest.mark.parametrize(("scope", "message"), SCOPES.items())
def test_a_scope_that_fits_no_key_is_told_before_the_key_is_looked_up(scope, message):
    headers = signed()
    headers["authorization"] = headers["authorization"].replace(SCOPE, scope)
    error = refused(request("GET", "/b/k", headers))
    assert (error.status, error.code) == (400, "AuthorizationHeaderMalformed")
    assert error.message == f"The authorization header is malformed; {message}"
    error = refused(request("GET", presigned().replace(quote(SCOPE, safe=""), quote(scope, safe=""))))
    assert (error.status, error.code) == (400, "AuthorizationQueryParametersError")
    assert error.message == f"Error parsing the X-Amz-Credential parameter; {message}"


def test_the_day_of_the_scope_is_that_of_the_request():
    other = SCOPE.replace("20130524", "20130523")
    message = 'Invalid credential date "20130523". This date is not the same as X-Amz-Date: "20130524".'
    headers = signed()
    headers["authorization"] = headers["authorization"].replace(SCOPE, other)
    error = refused(request("GET", "/b/k", headers))
    assert error.message == f"The authorization header is malformed; {message}"
    error = refused(request("GET", presigned().replace(quote(SCOPE, safe=""), quote(other, safe=""))))
    assert (error.code, error.message) == ("AuthorizationQueryParametersError", message)


def test_a_negative_life_is_told():
    error = refused(request("GET", presigned().replace("X-Amz-Expires=3600", "X-Amz-Expires=-3")))
    assert error.message == "X-Amz-Expires must be non-negative"


def test_two_kinds_of_credentials_at_once_are_refused():
    error = refused(request("GET", presigned(), signed()))
    assert (error.code, error.message[:28]) == ("InvalidArgument", "Only one auth mechanism allo")


@pytest.mark.parametrize("key", [Credential("NOBODY", "12345678"), OFF], ids=["unknown", "disabled"])
def test_an_unknown_and_a_disabled_key_look_the_same(key):
    for asked in (request("GET", "/b/k", signed(key=key)), request("GET", presigned(key=key))):
        error = refused(asked)
        assert (error.code, error.fields) == ("InvalidAccessKeyId", {"AWSAccessKeyId": key.access_key})


def test_a_disabled_credential_is_refused_even_if_the_lookup_gives_it():
    target = f"/b/k?AWSAccessKeyId={OFF.access_key}&Signature=a&Expires=9999999999"
    assert refused(request("GET", target)).code == "InvalidAccessKeyId"


def test_a_wrong_signature_tells_what_was_signed_but_not_what_was_expected():
    wrong = Credential(KEY.access_key, "another secret")
    error = refused(request("GET", "/b/k", signed(key=wrong)))
    right = signed()["authorization"].rpartition("=")[2]
    assert error.code == "SignatureDoesNotMatch"
    assert set(error.fields) == {"AWSAccessKeyId", "SignatureProvided", "StringToSign", "CanonicalRequest"}
    assert right not in str(error.fields)
    assert error.fields["CanonicalRequest"].startswith("GET\n/b/k\n\nhost:localhost:9900\n")


def test_a_wrong_region_names_the_right_one():
    error = refused(request("GET", "/b/k", signed(region="eu-west-1")))
    assert error.code == "AuthorizationHeaderMalformed"
    assert error.message == (
        "The authorization header is malformed; the region 'eu-west-1' is wrong; expecting 'us-east-1'"
    )
    assert error.fields == {"Region": "us-east-1"}
    error = refused(request("GET", presigned(region="eu-west-1")))
    assert (error.code, error.fields) == ("AuthorizationQueryParametersError", {"Region": "us-east-1"})


@pytest.mark.parametrize(
    "scope",
    [
        "20130523/us-east-1/s3/aws4_request",
        "2013/us-east-1/s3/aws4_request",
        "/us-east-1/s3/aws4_request",
        "20130524/us-east-1/sqs/aws4_request",
        "20130524/us-east-1/s3/aws5_request",
    ],
)
def test_every_part_of_the_scope_counts(scope):
    headers = signed()
    headers["authorization"] = headers["authorization"].replace("20130524/us-east-1/s3/aws4_request", scope)
    assert refused(request("GET", "/b/k", headers)).code == "AuthorizationHeaderMalformed"


@pytest.mark.parametrize("late", [901, -901])
def test_a_skewed_clock_is_told(late):
    for headers, method in ((signed(), "GET"), (v2_header(), "PUT")):
        error = refused(request(method, "/b/k", headers), now=NOW + late)
        assert error.code == "RequestTimeTooSkewed"
        assert set(error.fields) == {"RequestTime", "ServerTime", "MaxAllowedSkewMilliseconds"}
        assert error.fields["MaxAllowedSkewMilliseconds"] == "900000"
        assert check(request(method, "/b/k", headers), now=NOW + late, clock_skew=1000)


@pytest.mark.parametrize(
    "date", ["", "yesterday", "20130524T000000", "20139924T000000Z", "Fri, 99 May 2013 00:00:00 GMT"]
)
def test_a_request_needs_a_valid_date(date):
    for full in (signed(), v2_header()):
        headers = {name: value for name, value in full.items() if name not in {"date", "x-amz-date"}}
        for given in ({"x-amz-date": date}, {"date": date}, {}):
            error = refused(request("GET", "/b/k", {**headers, **given}))
            assert (error.code, "Date" in error.message) == ("AccessDenied", True)


@pytest.mark.parametrize(
    "date",
    ["Fri, 24 May 2013 00:00:00 GMT", "Friday, 24-May-13 00:00:00 GMT", "Fri May 24 00:00:00 2013", STAMP],
)
def test_a_date_header_will_do(date):
    canonical = f"GET\n/b/k\n\ndate:{date}\nhost:localhost:9900\n\ndate;host\n{EMPTY}"
    text = sigv4.string_to_sign(STAMP, SCOPE.partition("/")[2], canonical)
    signature = sigv4.sign(sigv4.signing_key(KEY.secret_key, "20130524", REGION), text)
    authorization = f"AWS4-HMAC-SHA256 Credential={SCOPE}, SignedHeaders=date;host, Signature={signature}"
    assert check(request("GET", "/b/k", {"date": date, "authorization": authorization})).scheme == "v4"


@pytest.mark.parametrize(
    "name", ["x-amz-acl", "x-amz-tagging", "x-amz-meta-a", "x-amz-server-side-encryption"]
)
def test_an_unsigned_amz_header_is_refused(name):
    for asked in (
        request("PUT", "/b/k", {**signed("PUT"), name: "a"}),
        request("PUT", presigned("PUT"), {name: "a"}),
    ):
        error = refused(asked)
        assert (error.code, error.fields) == ("AccessDenied", {"HeadersNotSigned": name})


def test_the_host_must_be_signed():
    headers = signed()
    headers["authorization"] = headers["authorization"].replace("SignedHeaders=host;", "SignedHeaders=")
    assert refused(request("GET", "/b/k", headers)).fields == {"HeadersNotSigned": "host"}


def test_the_payload_header_may_be_unsigned():
    text = sigv4.string_to_sign(
        STAMP,
        SCOPE.partition("/")[2],
        f"PUT\n/b/k\n\nhost:localhost:9900\nx-amz-date:{STAMP}\n\nhost;x-amz-date\nUNSIGNED-PAYLOAD",
    )
    signature = sigv4.sign(sigv4.signing_key(KEY.secret_key, "20130524", REGION), text)
    headers = {
        "x-amz-date": STAMP,
        "x-amz-content-sha256": "UNSIGNED-PAYLOAD",
        "authorization": f"AWS4-HMAC-SHA256 Credential={SCOPE},SignedHeaders=host;x-amz-date,Signature={signature}",
    }
    assert check(request("PUT", "/b/k", headers)).scheme == "v4"
    assert check(request("PUT", presigned("PUT"), {"x-amz-content-sha256": "UNSIGNED-PAYLOAD"})).presigned


def test_a_presigned_url_takes_no_unsigned_framing():
    for payload in (TRAILER, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"):
        error = refused(request("PUT", presigned("PUT"), {"x-amz-content-sha256": payload}))
        assert error.fields == {"HeadersNotSigned": "x-amz-content-sha256"}


@pytest.mark.parametrize("payload", ["", "junk", "streaming-unsigned-payload-trailer", "g" * 64, "a" * 63])
def test_an_unknown_payload_word_is_refused(payload):
    error = refused(request("PUT", "/b/k", signed("PUT", payload=payload)))
    assert error.code == "InvalidArgument"
    assert error.fields == {"ArgumentName": "x-amz-content-sha256", "ArgumentValue": payload}


def test_garbage_signature_with_an_unsigned_trailer_is_refused():
    headers = signed("PUT", payload=TRAILER)
    assert check(request("PUT", "/b/k", headers)).body.trailer
    headers["authorization"] = headers["authorization"][:-64] + "0" * 64
    assert refused(request("PUT", "/b/k", headers)).code == "SignatureDoesNotMatch"


@pytest.mark.parametrize("payload", ["STREAMING-AWS4-HMAC-SHA256-PAYLOAD", TRAILER, "streaming-anything"])
def test_version_2_has_no_streaming_payload(payload):
    error = refused(request("PUT", "/b/k", v2_header(x_amz_content_sha256=payload)))
    assert (error.code, error.status) == ("InvalidRequest", 400)


def test_a_token_that_nobody_made_is_refused():
    assert refused(request("GET", "/b/k", signed(x_amz_security_token="t"))).code == "InvalidToken"
    assert refused(request("GET", "/b/k", {"x-amz-security-token": "t"})).code == "InvalidToken"
    assert refused(request("GET", presigned() + "&x-amz-security-token=t")).code == "InvalidToken"


def test_a_presigned_url_lives_as_long_as_it_says():
    target = presigned(expires=60)
    assert check(request("GET", target), now=NOW + 60).presigned
    error = refused(request("GET", target), now=NOW + 61)
    assert (error.code, error.message) == ("AccessDenied", "Request has expired")
    assert error.fields == {
        "Expires": "2013-05-24T00:01:00Z",
        "ServerTime": "2013-05-24T00:01:01Z",
        "X-Amz-Expires": "60",
    }
    assert check(request("GET", target), now=NOW - 900).presigned
    assert refused(request("GET", target), now=NOW - 901).message == "Request is not yet valid"


@pytest.mark.parametrize("expires", ["0", "604801", "-1", "1.5", "x", "9" * 40, "\u0661"])
def test_the_life_of_a_presigned_url_is_limited(expires):
    target = presigned().replace("X-Amz-Expires=3600", f"X-Amz-Expires={quote(expires)}")
    assert refused(request("GET", target)).code == "AuthorizationQueryParametersError"


@pytest.mark.parametrize("expires", ["x", "-1", "9" * 40, "\u0661"])
def test_the_expiry_of_version_2_is_a_number(expires):
    target = f"/b/k?AWSAccessKeyId={KEY.access_key}&Signature=a&Expires={quote(expires)}"
    assert refused(request("GET", target)).code == "AccessDenied"


NAMES = ["Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature"]


@pytest.mark.parametrize("name", NAMES)
def test_a_presigned_url_needs_all_its_parameters(name):
    path, _, query = presigned().partition("?")
    kept = "&".join(pair for pair in query.split("&") if not pair.startswith(f"X-Amz-{name}="))
    error = refused(request("GET", f"{path}?{kept}"))
    assert error.code == "AuthorizationQueryParametersError"
    assert all(f"X-Amz-{required}" in error.message for required in NAMES)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("X-Amz-Date=20130524T000000Z", "X-Amz-Date=20130524"),
        ("AWS4-HMAC-SHA256", "AWS5"),
        ("SignedHeaders=host", "SignedHeaders=host%0Ax"),
        ("SignedHeaders=host", "SignedHeaders=%E2%82%AC"),
        ("s3%2Faws4_request", "s3%2Faws5_request"),
    ],
)
def test_a_malformed_presigned_url_is_refused(old, new):
    assert refused(request("GET", presigned().replace(old, new))).code == "AuthorizationQueryParametersError"


def test_a_changed_presigned_url_is_refused():
    target = presigned()
    assert refused(request("PUT", target)).code == "SignatureDoesNotMatch"
    assert refused(request("GET", target.replace("/b/k", "/b/other"))).code == "SignatureDoesNotMatch"
    assert refused(request("GET", target + "&tagging")).code == "SignatureDoesNotMatch"


@pytest.mark.parametrize("body", [{}, {"content-length": "0"}, {"content-length": "00"}])
def test_without_a_payload_header_and_without_a_body_the_hash_is_that_of_nothing(body):
    headers = {name: value for name, value in signed().items() if name != "x-amz-content-sha256"}
    authorization = _sign_without_payload("GET", EMPTY)
    assert (
        check(request("GET", "/b/k", {**headers, **body, "authorization": authorization})).body.sha256
        == EMPTY
    )


def _sign_without_payload(method, payload):
    canonical = f"{method}\n/b/k\n\nhost:localhost:9900\nx-amz-date:{STAMP}\n\nhost;x-amz-date\n{payload}"
    text = sigv4.string_to_sign(STAMP, SCOPE.partition("/")[2], canonical)
    signature = sigv4.sign(sigv4.signing_key(KEY.secret_key, "20130524", REGION), text)
    return f"AWS4-HMAC-SHA256 Credential={SCOPE}, SignedHeaders=host;x-amz-date, Signature={signature}"


@pytest.mark.parametrize("framing", [{"content-length": "4"}, {"transfer-encoding": "chunked"}])
def test_a_body_whose_hash_was_not_sent_is_checked_later(framing):
    right = hashlib.sha256(b"body").hexdigest()
    headers = {"x-amz-date": STAMP, "authorization": _sign_without_payload("PUT", right), **framing}
    body = check(request("PUT", "/b/k", headers)).body
    body.deferred(right)
    with pytest.raises(S3Error, match="SignatureDoesNotMatch"):
        body.deferred(EMPTY)


def test_what_can_be_checked_early_is_checked_before_such_a_body():
    headers = {
        "x-amz-date": STAMP,
        "authorization": _sign_without_payload("PUT", EMPTY),
        "content-length": "4",
    }
    assert refused(request("PUT", "/b/k", headers), now=NOW + 901).code == "RequestTimeTooSkewed"
    assert refused(request("PUT", "/b/k", {**headers, "x-amz-acl": "a"})).code == "AccessDenied"
    assert refused(request("PUT", "/b/k", headers), region="x").code == "AuthorizationHeaderMalformed"
    wrong = headers["authorization"].replace(KEY.access_key, "NOBODY")
    assert refused(request("PUT", "/b/k", {**headers, "authorization": wrong})).code == "InvalidAccessKeyId"


def test_every_refusal_is_logged_without_secrets(caplog):
    caplog.set_level(logging.DEBUG, "auth")
    wrong = Credential(KEY.access_key, "another secret")
    asked = request("GET", "/b/k", signed(key=wrong, x_amz_server_side_encryption_customer_key="CUSTOMERS"))
    refused(asked)
    refused(request("GET", presigned(key=wrong)))
    refused(request("GET", "/b/k?X-Amz-Security-Token=TOKEN"))
    assert [record.name for record in caplog.records] == ["auth.verify"] * 3
    assert "SignatureDoesNotMatch" in caplog.text
    assert KEY.access_key in caplog.text
    expected = sigv4.sign_headers("GET", URL, {}, KEY, region=REGION, now=NOW)["authorization"][-64:]
    for secret in (KEY.secret_key, wrong.secret_key, "CUSTOMERS", "TOKEN", expected, "X-Amz-Signature"):
        assert secret not in caplog.text


def test_nothing_is_logged_of_what_passes(caplog):
    caplog.set_level(logging.DEBUG, "auth")
    check(request("GET", "/b/k", signed()))
    assert not caplog.records


def test_the_signer_of_real_curl_verifies(tmp_path):
    """curl 7.88 sends no payload header and signs the query as it stands; newer ones do otherwise. All must pass."""
    seen = []

    class Keep(BaseHTTPRequestHandler):
        def do_any(self):
            seen.append((self.command, self.path, dict(self.headers.items())))
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        do_GET = do_POST = do_any

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Keep) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            base = f"http://127.0.0.1:{server.server_port}"
            user = ["--user", f"{KEY.access_key}:{KEY.secret_key}", "--aws-sigv4", f"aws:amz:{REGION}:s3"]
            for target in (
                ["/b/k"],
                ["/b?prefix=a&delimiter=x&acl"],
                ["/b/k?uploads", "--data-binary", "body"],
            ):
                subprocess.run(["curl", "-sS", *user, base + target[0], *target[1:]], check=True, timeout=20)
        finally:
            server.shutdown()
            thread.join()
    for method, target, headers in seen:
        sent = moment({name.lower(): value for name, value in headers.items()}["x-amz-date"])
        body = check(request(method, target, headers), now=sent.seconds).body
        if body.deferred:
            body.deferred(hashlib.sha256(b"body").hexdigest())
    assert len(seen) == 3
