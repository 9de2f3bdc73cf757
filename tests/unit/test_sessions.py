"""Sessions: what a token proves, when it ends, and that `x-amz-security-token` counts on every route."""

import base64
import hashlib
import logging
import time
from dataclasses import replace

import pytest
from botocore.auth import HmacV1Auth, HmacV1QueryAuth, S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from refusals import refused
from signing import KEY, OFF, REGION, from_boto, request

from auth import sessions, sigv4
from auth.credential import Credential
from auth.identity import OWNER_ID, canonical_id
from auth.sessions import PackedPolicyTooLarge, Terms, mint, open_token
from auth.verify import verify, verify_sts

PARENT = Credential(
    "AKIAPARENT", "parent's secret", account="alice", policy='{"Statement":[]}', description="why"
)
KEYS = {key.access_key: key for key in (PARENT, KEY, OFF)}
NOW = time.time()
"""botocore's signers take no other time."""
DAY = time.strftime("%Y%m%d", time.gmtime(NOW))
TERMS = Terms(int(NOW), int(NOW) + 900, "session", '{"Statement":[1]}')
URL = "http://localhost:9900/b/k"


@pytest.fixture
def made():
    return mint(PARENT, TERMS)


def opened(made, keys=KEYS, now=NOW, **changed):
    return open_token(changed.get("token", made.token), changed.get("key", made.access_key), keys.get, now)


def test_a_session_is_its_parent_narrowed(made):
    caller = opened(made)
    identity = caller.identity
    assert caller.secret_key == made.secret_key
    assert (identity.access_key, identity.account, identity.name) == (
        made.access_key,
        canonical_id("alice"),
        "alice",
    )
    assert (identity.policy, identity.session_policy) == (PARENT.policy, TERMS.policy)
    assert (identity.session, identity.parent, identity.user) == ("session", "AKIAPARENT", "AKIAPARENT")


def test_temporary_keys_look_like_awss(made):
    assert made.access_key[:4] == "ASIA"
    assert len(made.access_key) == 20
    assert len(made.secret_key) == 40
    other = mint(PARENT, TERMS)
    assert {made.access_key, made.secret_key, made.token}.isdisjoint(
        {other.access_key, other.secret_key, other.token}
    )


def test_nothing_secret_is_in_a_repr_or_can_be_read_from_a_token(made):
    content = base64.urlsafe_b64decode(made.token + "==")
    for secret in (made.secret_key, PARENT.secret_key):
        assert secret not in repr(made)
        assert secret not in repr(opened(made))
        assert secret.encode() not in content
    assert made.token not in repr(made)


def test_a_session_ends_at_its_time(made):
    assert opened(made, now=TERMS.expires - 0.001)
    for late in (0, 1, 1e6):
        with refused("ExpiredToken"):
            opened(made, now=TERMS.expires + late)


GONE = {
    "disabled": replace(PARENT, enabled=False),
    "another secret": replace(PARENT, secret_key="another secret"),
    "deleted": None,
}


@pytest.mark.parametrize("parent", GONE.values(), ids=GONE)
def test_a_session_ends_with_its_parent(made, parent):
    assert opened(made)
    with refused("InvalidToken"):
        opened(made, {PARENT.access_key: parent})


def test_a_change_of_the_parents_account_or_policy_holds_for_its_sessions(made):
    changed = replace(PARENT, account="bob", policy=None)
    identity = opened(made, {PARENT.access_key: changed}).identity
    assert (identity.account, identity.policy) == (canonical_id("bob"), None)


def test_a_session_of_the_owner_may_be_of_another_account_while_the_key_is_the_owners():
    made = mint(KEY, replace(TERMS, account="bob"))
    assert opened(made).identity.account == canonical_id("bob")
    assert opened(mint(KEY, TERMS)).identity.account == OWNER_ID
    for changed in (replace(KEY, account="carol"), replace(KEY, policy='{"Statement":[]}')):
        with refused("InvalidToken"):
            opened(made, {KEY.access_key: changed})


def test_every_bit_of_a_token_counts(made):
    """CVE class of forged claims: neither body nor code can be changed, cut, or put together anew."""
    raw = base64.urlsafe_b64decode(made.token + "=" * (-len(made.token) % 4))
    for position in range(len(raw)):
        forged = bytearray(raw)
        forged[position] ^= 1
        with refused("InvalidToken"):
            opened(made, token=base64.urlsafe_b64encode(forged).rstrip(b"=").decode())


@pytest.mark.parametrize(
    "token",
    ["", "a", "=" * 100, "é" * 100, "a" * 8193, "a" * 101, "A" * 100, "a b" * 40, "a" * 99 + "\n"],
)
def test_what_is_no_token_is_refused(made, token):
    with refused("InvalidToken"):
        opened(made, token=token)


def test_a_token_made_with_the_temporary_secret_is_refused(made):
    """A session cannot widen itself by signing a token of its own."""
    own = mint(Credential(PARENT.access_key, made.secret_key), replace(TERMS, policy=None))
    with refused("InvalidToken"):
        opened(own)


def test_a_token_belongs_to_its_access_key(made):
    other = mint(PARENT, TERMS)
    for key in (other.access_key, PARENT.access_key, KEY.access_key, OFF.access_key, "NOBODY"):
        with refused("InvalidToken"):
            opened(made, key=key)


def test_what_is_too_long_is_refused():
    assert mint(PARENT, replace(TERMS, policy="x" * 2048))
    with refused(PackedPolicyTooLarge.code):
        mint(PARENT, replace(TERMS, policy="x" * 2049))
    with refused(PackedPolicyTooLarge.code):
        mint(PARENT, replace(TERMS, policy="\1" * 2048))


def test_any_text_survives():
    terms = replace(TERMS, policy='{"é":"\\u0000\ud800 \n"}')
    assert opened(mint(PARENT, terms)).identity.session_policy == terms.policy


# On every route.


def boto(scheme, secret, token, method="PUT", service="s3", data=b"body", url=URL, **headers):
    """A request that botocore's signer signed, with or without a token."""
    data = b"" if "Query" in scheme.__name__ else data  # botocore would take it for a form
    asked = AWSRequest(method, url, data=data, headers=headers)
    credentials = Credentials(secret[0], secret[1], token)
    scheme(credentials, *((service, REGION) if "V4" in scheme.__name__ else ())).add_auth(asked)
    asked.headers["Content-Length"] = str(len(data))
    return asked


ROUTES = [S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth, HmacV1Auth, HmacV1QueryAuth]


def check(asked, now=NOW):
    verified = verify(asked, KEYS.get, region=REGION, now=now)
    if verified.body.deferred:
        verified.body.deferred(hashlib.sha256(b"body").hexdigest())
    return verified


@pytest.mark.parametrize("scheme", ROUTES)
def test_a_session_signs_on_every_route(made, scheme):
    secret = (made.access_key, made.secret_key)
    identity = check(from_boto(boto(scheme, secret, made.token))).identity
    assert (identity.access_key, identity.session) == (made.access_key, "session")


@pytest.mark.parametrize("scheme", ROUTES)
def test_a_session_without_its_token_is_an_unknown_key(made, scheme):
    with refused("InvalidAccessKeyId", AWSAccessKeyId=made.access_key) as caught:
        check(from_boto(boto(scheme, (made.access_key, made.secret_key), None)))
    assert caught.value.status == 403


@pytest.mark.parametrize("scheme", ROUTES)
def test_a_token_beside_a_permanent_key_is_refused(made, scheme):
    for token in (made.token, "junk"):
        with refused("InvalidToken") as caught:
            check(from_boto(boto(scheme, (KEY.access_key, KEY.secret_key), token)))
        assert caught.value.status == 400


@pytest.mark.parametrize("scheme", ROUTES)
def test_a_token_without_the_secret_is_refused(made, scheme):
    """CVE-2020-11012: a name alone (here with its token) opens nothing."""
    for secret in ("", PARENT.secret_key, "guessed-guessed"):
        with refused("SignatureDoesNotMatch"):
            check(from_boto(boto(scheme, (made.access_key, secret), made.token)))


@pytest.mark.parametrize("scheme", ROUTES)
def test_another_sessions_token_is_refused(made, scheme):
    other = mint(PARENT, replace(TERMS, policy=None))
    with refused("InvalidToken"):
        check(from_boto(boto(scheme, (made.access_key, made.secret_key), other.token)))


@pytest.mark.parametrize("scheme", ROUTES)
def test_an_expired_session_is_told(scheme):
    short = mint(PARENT, replace(TERMS, expires=int(NOW) + 60))
    asked = boto(scheme, (short.access_key, short.secret_key), short.token)
    assert check(from_boto(asked), NOW + 59)
    with refused("ExpiredToken") as caught:
        check(from_boto(asked), NOW + 60)
    assert caught.value.status == 400


def test_an_unsigned_token_header_is_refused(made):
    headers = sigv4.sign_headers(
        "PUT", URL, {}, Credential(made.access_key, made.secret_key), region=REGION, now=NOW
    )
    with refused("AccessDenied", HeadersNotSigned="x-amz-security-token") as caught:
        check(request("PUT", "/b/k", headers | {"x-amz-security-token": made.token}))
    assert caught.value.message == "There were headers present in the request which were not signed"


@pytest.mark.parametrize("target", ["/b/k?X-Amz-Security-Token=a", "/b/k?x-amz-security-token=a"])
def test_a_token_alone_is_a_fragment_of_credentials(made, target):
    for asked in (request("GET", target), request("GET", "/b/k", {"x-amz-security-token": made.token})):
        with refused("InvalidToken"):
            check(asked)


def test_a_token_in_the_query_beside_a_header_signature_does_not_count(made):
    headers = sigv4.sign_headers(
        "PUT",
        f"{URL}?X-Amz-Security-Token={made.token}",
        {},
        Credential(made.access_key, made.secret_key),
        region=REGION,
        now=NOW,
    )
    with refused("InvalidArgument"):
        check(request("PUT", f"/b/k?X-Amz-Security-Token={made.token}", headers))


@pytest.mark.parametrize("name", ["X-Amz-Security-Token", "x-amz-security-token", "X-AMZ-SECURITY-TOKEN"])
@pytest.mark.parametrize("token", ["", "junk"])
def test_no_spelling_hides_a_token(name, token):
    target = sigv4.presign("GET", f"{URL}?{name}={token}", KEY, region=REGION, now=NOW)
    with refused("InvalidToken"):
        check(request("GET", target.removeprefix("http://localhost:9900")))


def test_the_chunks_of_a_session_are_signed_with_its_secret(made):
    payload = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
    key = Credential(made.access_key, made.secret_key)
    given = {"x-amz-security-token": made.token}
    headers = sigv4.sign_headers("PUT", URL, given, key, region=REGION, now=NOW, payload=payload)
    chunks = check(request("PUT", "/b/k", headers)).body.chunks
    seed, digest = headers["authorization"].rpartition("=")[2], hashlib.sha256(b"data").hexdigest()
    text = (
        f"AWS4-HMAC-SHA256-PAYLOAD\n{headers['x-amz-date']}\n{DAY}/{REGION}/s3/aws4_request\n"
        f"{seed}\n{sigv4.EMPTY_SHA256}\n{digest}"
    )
    with refused("SignatureDoesNotMatch"):
        wrong = sigv4.sign(sigv4.signing_key(PARENT.secret_key, DAY, REGION), text)
        chunks.chunk(digest, wrong)
    chunks.chunk(digest, sigv4.sign(sigv4.signing_key(made.secret_key, DAY, REGION), text))


def test_a_signature_for_one_service_is_none_for_the_other():
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    url = "http://localhost:9900/"
    secret = (KEY.access_key, KEY.secret_key)
    for_sts = from_boto(boto(SigV4Auth, secret, None, "POST", "sts", url=url, **form))
    for_s3 = from_boto(boto(SigV4Auth, secret, None, "POST", "s3", url=url, **form))
    options = {"region": REGION, "now": NOW}
    digest = hashlib.sha256(b"body").hexdigest()
    verify_sts(for_sts, KEYS.get, **options).body.deferred(digest)
    verify(for_s3, KEYS.get, **options).body.deferred(digest)
    for verifier, asked in ((verify, for_sts), (verify_sts, for_s3)):
        with refused("AuthorizationHeaderMalformed"):
            verifier(asked, KEYS.get, **options)
    renamed = dict(for_s3.headers)
    renamed["authorization"] = renamed["authorization"].replace("/s3/", "/sts/")
    with refused("SignatureDoesNotMatch"):
        verify_sts(request("POST", "/", renamed), KEYS.get, **options).body.deferred(digest)


@pytest.mark.parametrize(
    "payload",
    ["UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"],
)
def test_a_signature_for_sts_covers_the_body(payload):
    asked = AWSRequest("POST", "http://localhost:9900/", headers={"x-amz-content-sha256": payload})
    asked.context["payload_signing_enabled"] = True
    SigV4Auth(Credentials(KEY.access_key, KEY.secret_key), "sts", REGION).add_auth(asked)
    with refused("InvalidRequest"):
        verify_sts(from_boto(asked), KEYS.get, region=REGION, now=NOW)


def test_sts_knows_no_other_scheme():
    url = "http://localhost:9900/?Action=GetCallerIdentity&Version=2011-06-15"
    secret = (KEY.access_key, KEY.secret_key)
    v2 = boto(HmacV1Auth, secret, None, "GET", data=b"", url=url)
    with refused("InvalidArgument"):
        verify_sts(from_boto(v2), KEYS.get, region=REGION, now=NOW)
    for scheme in (HmacV1QueryAuth, S3SigV4QueryAuth):
        asked = from_boto(boto(scheme, secret, None, "GET", data=b"", url=url))
        assert verify_sts(asked, KEYS.get, region=REGION, now=NOW).identity.anonymous


def test_no_log_shows_a_token(made, caplog):
    """CVE-2018-16889: what refuses a request at debug level tells neither token nor secret."""
    caplog.set_level(logging.DEBUG, "auth")
    for scheme in ROUTES:
        for key, secret in ((made.access_key, "wrong-wrong"), (KEY.access_key, KEY.secret_key)):
            with pytest.raises(Exception, match=r"SignatureDoesNotMatch|InvalidToken"):
                check(from_boto(boto(scheme, (key, secret), made.token)))
    assert caplog.text.count("refused") == 2 * len(ROUTES)
    for secret in (made.token, made.token[:40], made.secret_key, PARENT.secret_key):
        assert secret not in caplog.text


def test_tokens_that_fail_take_no_place_in_the_cache(made):
    before = sessions._opened.cache_info().currsize
    for number in range(10):
        with refused("InvalidToken"):
            opened(made, token=made.token[:-4] + f"{number:04d}")
    assert sessions._opened.cache_info().currsize == before
