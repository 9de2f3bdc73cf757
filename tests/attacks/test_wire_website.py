"""Attacks on websites: scripts in keys, redirects to elsewhere, ways around who may read."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from harness import Gateway, refusal, running
from wire import Answer, Signer, connect, read_all, send

DOMAIN = "web.example"
SITE = "site"
PRIVATE = b"classified"


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with a website whose keys below `private/` are nobody's."""
    settings = {
        "website": {"domains": [DOMAIN]},
        "s3_gateway": {"workers": 1, "domains": ["s3.example"]},
    }
    with running(tmp_path_factory.mktemp("web"), settings=settings) as gateway:
        s3 = gateway.s3()
        s3.create_bucket(Bucket=SITE)
        s3.delete_public_access_block(Bucket=SITE)
        statement = {
            "Effect": "Allow",
            "Principal": "*",
            "Action": "s3:GetObject",
            "NotResource": f"arn:aws:s3:::{SITE}/private/*",
        }
        listing = {
            "Effect": "Allow",
            "Principal": "*",
            "Action": "s3:ListBucket",
            "Resource": f"arn:aws:s3:::{SITE}",
        }
        policy = {"Version": "2012-10-17", "Statement": [statement, listing]}
        s3.put_bucket_policy(Bucket=SITE, Policy=json.dumps(policy))
        rules = [
            {"Condition": {"KeyPrefixEquals": "docs/"}, "Redirect": {"ReplaceKeyPrefixWith": ""}},
            {"Condition": {"KeyPrefixEquals": "tls/"}, "Redirect": {"Protocol": "https"}},
        ]
        configuration = {"IndexDocument": {"Suffix": "index.html"}, "RoutingRules": rules}
        s3.put_bucket_website(Bucket=SITE, WebsiteConfiguration=configuration)
        s3.put_object(Bucket=SITE, Key="private/k", Body=PRIVATE)
        s3.put_object(Bucket=SITE, Key="private/dir/index.html", Body=PRIVATE)
        yield gateway


def visit(
    web: Gateway, target: str, method: str = "GET", host: str = f"{SITE}.{DOMAIN}", **headers: str
) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return send(web.port, method, target, extra={"host": host, **named})


@pytest.mark.parametrize(
    "key",
    [
        "<script>alert(1)</script>",
        "\"'><img src=x onerror=alert(1)>",
        "</title><script>",
        "&lt;script&gt;",
        "a\u2028<b>",
    ],
)
def test_no_key_becomes_markup(web: Gateway, key: str) -> None:
    for target in (f"/{quote(key)}", f"/{key}".replace(" ", "%20") if key.isascii() else f"/{quote(key)}"):
        answer = visit(web, target)
        assert answer.status == 404
        text = answer.body.decode()
        assert not [tag for tag in ("<script", "<img", "<b>", "</title><s") if tag in text.lower()]
        assert answer.headers["content-type"] == "text/html; charset=utf-8"


@pytest.mark.parametrize("name", ["host", "referer", "user-agent", "x-forwarded-host"])
def test_no_header_becomes_markup(web: Gateway, name: str) -> None:
    answer = visit(web, "/missing", **{name: "<script>"} if name != "host" else {})
    assert b"<script" not in answer.body


@pytest.mark.parametrize(
    "directory",
    ["/evil.example", "\\evil.example", "/\\evil.example", "//evil.example", "\tevil.example", "\r\nevil: 1"],
)
def test_the_redirect_to_a_directory_stays_here(web: Gateway, directory: str) -> None:
    """`Location: //evil.example/` is another host."""
    web.s3().put_object(Bucket=SITE, Key=f"{directory}/index.html", Body=b"x")
    answer = visit(web, f"/{quote(directory, safe='/')}")
    location = answer.headers["location"]
    assert answer.status == 302
    assert location[0] == "/"
    assert location[1] not in "/\\"
    assert "evil" not in answer.headers
    assert visit(web, location).body == b"x"


@pytest.mark.parametrize(
    "rest", ["/evil.example/", "%2Fevil.example/", "%5Cevil.example", "%0d%0aevil:1", "%09/evil"]
)
def test_the_redirect_of_a_rule_stays_here(web: Gateway, rest: str) -> None:
    answer = visit(web, f"/docs/{rest}")
    location = answer.headers["location"]
    assert answer.status == 301
    assert location[0] == "/"
    assert location[1] not in "/\\"
    assert "evil" not in answer.headers


@pytest.mark.parametrize("value", ["//evil.example/", "/\\evil.example", "/%0d%0aevil:1"])
def test_a_redirect_location_that_is_a_path_stays_here(web: Gateway, value: str) -> None:
    web.s3().put_object(Bucket=SITE, Key="moved", WebsiteRedirectLocation=value)
    location = visit(web, "/moved").headers["location"]
    assert location[0] == "/"
    assert location[1] not in "/\\"


@pytest.mark.parametrize(
    "host",
    [
        f"evil.example/.{DOMAIN}",
        f"{SITE}.{DOMAIN}:80@evil.example",
        f"evil@{SITE}.{DOMAIN}",
        f"{SITE}.{DOMAIN}.evil.example",
    ],
)
def test_no_redirect_repeats_a_host_that_is_not_ours(web: Gateway, host: str) -> None:
    answer = visit(web, "/tls/x", host=host)
    assert "location" not in answer.headers
    assert answer.status >= 400


def test_our_own_host_may_be_repeated(web: Gateway) -> None:
    answer = visit(web, "/tls/x", host=f"{SITE}.{DOMAIN}:8080")
    assert answer.headers["location"] == f"https://{SITE}.{DOMAIN}:8080/tls/x"


@pytest.mark.parametrize(
    "target",
    [
        "/private/k",
        "/private%2Fk",
        "/./private/k",
        "/x/../private/k",
        "//private/k",
        "/private/k?x-id=GetObject",
        "/private/k?X-Amz-Algorithm=AWS4-HMAC-SHA256",
        "/private/dir/",
        "/private/dir",
    ],
)
def test_no_way_leads_around_who_may_read(web: Gateway, target: str) -> None:
    for method in ("GET", "HEAD"):
        answer = visit(web, target, method)
        assert answer.status in (403, 404), target
        assert PRIVATE not in answer.body
        assert not {"etag", "location", "last-modified"} & answer.headers.keys()


def test_a_signature_opens_nothing_here(web: Gateway, signer: Signer) -> None:
    host = f"{SITE}.{DOMAIN}"
    signed = signer.headers("GET", "/private/k", host)
    assert send(web.port, "GET", "/private/k", extra=signed).status == 403
    assert visit(web, signer.presign("GET", "/private/k", host)).status == 403


def test_an_error_document_must_be_public_too(web: Gateway) -> None:
    s3, name = web.s3(), "closed-error"
    s3.create_bucket(Bucket=name)
    configuration = {"IndexDocument": {"Suffix": "i"}, "ErrorDocument": {"Key": "private"}}
    s3.put_bucket_website(Bucket=name, WebsiteConfiguration=configuration)
    s3.put_object(Bucket=name, Key="private", Body=PRIVATE)
    answer = visit(web, "/any", host=f"{name}.{DOMAIN}")
    assert answer.status == 403
    assert PRIVATE not in answer.body


def test_a_website_never_writes(web: Gateway) -> None:
    s3 = web.s3()
    before = s3.list_objects_v2(Bucket=SITE)["KeyCount"]
    for method, target in (
        ("PUT", "/evil"),
        ("PUT", "/?acl"),
        ("PUT", "/?website"),
        ("POST", "/?delete"),
        ("POST", "/"),
        ("DELETE", "/private/k"),
        ("DELETE", "/"),
        ("PATCH", "/"),
    ):
        assert visit(web, target, method).status in (405, 501, 400), (method, target)
    assert s3.list_objects_v2(Bucket=SITE)["KeyCount"] == before


def test_a_website_never_lists_nor_configures(web: Gateway) -> None:
    for target in ("/?list-type=2", "/?policy", "/?website", "/?acl", "/?uploads", "/?versions", "/healthz"):
        answer = visit(web, target)
        assert answer.status == 404, target
        assert answer.headers["content-type"].startswith("text/html")


def test_broken_requests_are_pages_too(web: Gateway) -> None:
    for target in ("/%ff", f"/{'k' * 1025}"):
        answer = visit(web, target)
        assert answer.status == 400
        assert answer.headers["content-type"].startswith("text/html")


def test_two_host_headers_are_no_website(web: Gateway) -> None:
    with connect(web.port) as connection:
        connection.sendall(
            f"GET /private/k HTTP/1.1\r\nHost: {SITE}.{DOMAIN}\r\nHost: {SITE}.s3.example\r\nConnection: close\r\n\r\n".encode()
        )
        answer = read_all(connection)
    assert answer.split()[1][:1] == b"4"
    assert PRIVATE not in answer


def test_a_redirect_location_splits_no_header(web: Gateway, signer: Signer) -> None:
    value = quote("/a\r\nSet-Cookie: x=y")
    target = f"/{SITE}/split?x-amz-website-redirect-location={value}"
    answer = send(web.port, "PUT", signer.presign("PUT", target, f"127.0.0.1:{web.port}"), body=b"x")
    assert answer.status == 400
    assert refusal(web.s3().head_object, Bucket=SITE, Key="split")[0] == 404


def test_a_large_configuration_is_refused(web: Gateway) -> None:
    """It would be read by every request of the bucket."""
    s3: Any = web.s3()
    rule = {"Redirect": {"ReplaceKeyWith": "k" * 2000}}
    large = {"IndexDocument": {"Suffix": "i"}, "RoutingRules": [rule] * 50}
    refused = refusal(s3.put_bucket_website, Bucket=SITE, WebsiteConfiguration=large)
    assert refused == (400, "MaxMessageLengthExceeded")
