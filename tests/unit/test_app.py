"""The way of a request through the application, on the memory backend and without a server."""

import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from lxml import etree
from scopes import scope

from auth.identity import OWNER_ID
from auth.store import CredentialStore
from backends.base import Doc, Ref
from backends.memory import MemoryBackend
from gateway.app import App
from gateway.context import Services
from gateway.spool import Spool

KEY, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


class Client:
    """Sends requests to an application in process; `signed` requests carry a V4 header signature."""

    def __init__(self, app):
        self.app = app
        self.received = 0

    async def send(self, method, target, body=b"", headers=None, *, signed=True):
        sent = {"host": "localhost", **(headers or {})}
        if signed:
            sent |= self.sign(method, target, body, headers or {})
        if body:
            sent["content-length"] = str(len(body))
        messages = []

        async def receive():
            self.received += 1
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message):
            messages.append(message)

        await self.app(scope(method, target, sent), receive, send)
        status = messages[0]["status"]
        found = {name.decode(): value.decode("latin-1") for name, value in messages[0]["headers"]}
        return status, found, b"".join(message["body"] for message in messages[1:])

    @staticmethod
    def sign(method, target, body, headers, scheme=S3SigV4Auth):
        request = AWSRequest(method, f"http://localhost{target}", data=body, headers=dict(headers))
        scheme(Credentials(KEY, SECRET), "s3", "us-east-1").add_auth(request)
        return {name.lower(): value for name, value in request.headers.items()}


def code(body):
    return etree.fromstring(body).findtext("Code")


@pytest.fixture
async def make(tmp_path):
    apps = []

    async def start(**options):
        store = CredentialStore(tmp_path / "credentials.jsonl", environment={})
        store.add(KEY, SECRET)
        store.load()
        backend = MemoryBackend()
        services = Services(backend, backend, Spool(65536, 1 << 20, str(tmp_path)), "us-east-1", **options)
        apps.append(App(services, store))
        client = Client(apps[-1])
        assert (await client.send("PUT", "/photos"))[0] == 200
        assert (await client.send("PUT", "/photos/key", b"hello"))[0] == 200
        return client

    yield start
    for app in apps:
        await app.aclose()


async def test_put_then_get(make):
    client = await make()
    status, headers, body = await client.send("GET", "/photos/key")
    assert (status, body, headers["content-length"]) == (200, b"hello", "5")


async def test_an_unknown_caller_costs_nothing(make):
    client = await make()
    client.received = 0
    sent = {"authorization": "AWS4-HMAC-SHA256 Credential=nobody/20260101/us-east-1/s3/aws4_request"}
    for headers in ({}, sent):
        status, _, _ = await client.send("PUT", "/photos/key", b"x" * 100, headers, signed=False)
        assert status in (400, 403)
    assert client.received == 0


@pytest.mark.parametrize(
    ("method", "target"),
    [("DELETE", "/photos/key"), ("GET", "/photos/key"), ("DELETE", "/photos"), ("PUT", "/other")],
)
async def test_a_signature_over_an_unnamed_hash_is_checked_also_where_no_body_is_wanted(make, method, target):
    """Otherwise any known access key with a body of one byte would pass for a signature."""
    client = await make()
    headers = client.sign(method, target, b"the signed body", {}, SigV4Auth)
    status, _, body = await client.send(method, target, b"another body", headers, signed=False)
    assert (status, code(body)) == (403, "SignatureDoesNotMatch")
    assert (await client.send("GET", "/photos/key"))[0] == 200
    assert (await client.send("HEAD", "/other"))[0] == 404


async def test_a_body_whose_hash_was_signed_but_not_sent(make):
    client = await make()
    signed = client.sign("PUT", "/photos/curl", b"curl", {}, SigV4Auth)
    assert "x-amz-content-sha256" not in signed
    assert (await client.send("PUT", "/photos/curl", b"curl", signed, signed=False))[0] == 200
    status, _, body = await client.send("PUT", "/photos/curl", b"other", signed, signed=False)
    assert (status, code(body)) == (403, "SignatureDoesNotMatch")
    assert (await client.send("GET", "/photos/curl"))[2] == b"curl"


ANONYMOUS_READS = [
    ("GET", "/photos/key"),
    ("HEAD", "/photos/key"),
    ("GET", "/photos"),
    ("GET", "/photos/missing"),
]


@pytest.mark.parametrize(("method", "target"), ANONYMOUS_READS)
@pytest.mark.parametrize("mode", ["none", "public-read"])
async def test_unsigned_reads_of_private_things_are_denied(make, mode, method, target):
    client = await make(anonymous=mode)
    status, headers, _ = await client.send(method, target, headers={"if-none-match": "*"}, signed=False)
    assert status == 403
    assert "etag" not in headers


async def test_unsigned_reads_of_public_objects(make):
    client = await make(object_ownership="ObjectWriter")
    assert (await client.send("PUT", "/photos/open", b"x", {"x-amz-acl": "public-read"}))[0] == 200
    assert (await client.send("GET", "/photos/open", signed=False))[0] == 200
    assert (await client.send("GET", "/photos", signed=False))[0] == 403
    assert (await client.send("GET", "/photos/open?acl", signed=False))[0] == 403
    assert (await client.send("DELETE", "/photos/open", signed=False))[0] == 403
    assert (await client.send("PUT", "/photos/open", b"y", signed=False))[0] == 403


async def test_only_who_may_list_learns_that_a_key_is_missing(make):
    client = await make(object_ownership="ObjectWriter")
    await client.app.services.backend.put_doc(Ref("photos", ""), Doc.ACL, "public-read")
    assert (await client.send("GET", "/photos", signed=False))[0] == 200
    assert (await client.send("GET", "/photos/missing", signed=False))[0] == 404
    assert (await client.send("GET", "/photos/key", signed=False))[0] == 403


async def test_full_anonymous_access(make):
    client = await make(anonymous="full")
    assert (await client.send("PUT", "/photos/key", b"y", signed=False))[0] == 200
    assert (await client.send("GET", "/", signed=False))[0] == 200


async def test_response_overrides_need_a_signature(make):
    client = await make(anonymous="full")
    target = "/photos/key?response-content-type=text/html"
    assert (await client.send("GET", target, signed=False))[0] == 400
    assert (await client.send("GET", target))[1]["content-type"] == "text/html"


async def test_health_is_for_the_unsigned(make):
    client = await make()
    assert (await client.send("GET", "/healthz", signed=False))[::2] == (200, b"ok\n")
    status, _, body = await client.send("GET", "/healthz")
    assert (status, code(body)) == (404, "NoSuchBucket")
    assert (await client.send("PUT", "/healthz"))[0] == 400


async def test_expected_bucket_owner(make):
    client = await make()
    assert (await client.send("GET", "/photos/key", headers={"x-amz-expected-bucket-owner": "1"}))[0] == 403
    assert (await client.send("GET", "/photos/key", headers={"x-amz-expected-bucket-owner": OWNER_ID}))[
        0
    ] == 200


async def test_a_bug_is_an_internal_error_and_nothing_more(make, monkeypatch, caplog):
    client = await make()

    async def broken(*args):
        raise RuntimeError("secret detail")

    monkeypatch.setattr(client.app.services.backend, "head_object", broken)
    status, headers, body = await client.send(
        "GET", "/photos/key?attributes", headers={"x-amz-object-attributes": "ETag"}
    )
    assert (status, code(body)) == (500, "InternalError")
    assert b"secret" not in body
    assert headers["x-amz-request-id"] in caplog.text
