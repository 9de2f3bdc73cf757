"""Websites: configured through boto3, visited as browsers do, by the Host header."""

import json
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from harness import Gateway, refusal, running, tool
from wire import Answer, send

DOMAIN = "web.example"
INDEX = {"IndexDocument": {"Suffix": "index.html"}}
CONFIGURATION: dict[str, Any] = {
    **INDEX,
    "ErrorDocument": {"Key": "errors/error.html"},
    "RoutingRules": [
        {"Condition": {"KeyPrefixEquals": "docs/"}, "Redirect": {"ReplaceKeyPrefixWith": "documents/"}},
        {
            "Condition": {"KeyPrefixEquals": "shop/", "HttpErrorCodeReturnedEquals": "404"},
            "Redirect": {"HostName": "shop.example", "Protocol": "https", "HttpRedirectCode": "302"},
        },
        {"Condition": {"HttpErrorCodeReturnedEquals": "416"}, "Redirect": {"ReplaceKeyWith": "range.html"}},
    ],
}
PAGES = {
    "index.html": "home",
    "about.html": "about",
    "blog/index.html": "blog",
    "both": "object",
    "both/index.html": "directory",
    "shop/here.html": "shop",
    "errors/error.html": "our error",
}


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with websites."""
    settings = {"website": {"domains": [DOMAIN]}, "s3_gateway": {"workers": 1}}
    with running(tmp_path_factory.mktemp("web"), settings=settings) as gateway:
        yield gateway


def publish(s3: Any, bucket: str, prefix: str = "", actions: tuple[str, ...] = ("s3:GetObject",)) -> None:
    """Let everybody read the keys that begin with the prefix."""
    s3.delete_public_access_block(Bucket=bucket)
    resources = [f"arn:aws:s3:::{bucket}/{prefix}*", f"arn:aws:s3:::{bucket}"]
    statements = [
        {"Effect": "Allow", "Principal": "*", "Action": action, "Resource": resources["Object" not in action]}
        for action in actions
    ]
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": statements}))


@pytest.fixture
def empty(web: Gateway, name: str) -> str:
    web.s3().create_bucket(Bucket=name)
    return name


@pytest.fixture
def site(web: Gateway, empty: str) -> str:
    """A public website whose missing pages may be told as missing."""
    s3 = web.s3()
    publish(s3, empty, actions=("s3:GetObject", "s3:ListBucket"))
    for key, text in PAGES.items():
        s3.put_object(Bucket=empty, Key=key, Body=text.encode(), ContentType="text/html")
    s3.put_bucket_website(Bucket=empty, WebsiteConfiguration=CONFIGURATION)
    return empty


def visit(gateway: Gateway, site: str, target: str, method: str = "GET", **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return send(gateway.port, method, target, extra={"host": f"{site}.{DOMAIN}", **named})


def test_the_configuration(web: Gateway, empty: str) -> None:
    s3 = web.s3()
    assert refusal(s3.get_bucket_website, Bucket=empty) == (404, "NoSuchWebsiteConfiguration")
    s3.put_bucket_website(Bucket=empty, WebsiteConfiguration=CONFIGURATION)
    found = s3.get_bucket_website(Bucket=empty)
    assert {name: found[name] for name in CONFIGURATION} == CONFIGURATION
    everything = {"RedirectAllRequestsTo": {"HostName": "other.example", "Protocol": "https"}}
    s3.put_bucket_website(Bucket=empty, WebsiteConfiguration=everything)
    found = s3.get_bucket_website(Bucket=empty)
    assert found["RedirectAllRequestsTo"] == everything["RedirectAllRequestsTo"]
    assert "IndexDocument" not in found
    wrong = {"IndexDocument": {"Suffix": "a/b"}}
    refused = refusal(s3.put_bucket_website, Bucket=empty, WebsiteConfiguration=wrong)
    assert refused == (400, "InvalidArgument")
    s3.delete_bucket_website(Bucket=empty)
    s3.delete_bucket_website(Bucket=empty)
    assert refusal(s3.get_bucket_website, Bucket=empty) == (404, "NoSuchWebsiteConfiguration")


@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("/", b"home"),
        ("/index.html", b"home"),
        ("/about.html", b"about"),
        ("/about.html?utm=1&versionId=x&acl&response-content-type=a", b"about"),
        ("/blog/", b"blog"),
        ("/both", b"object"),
        ("/both/", b"directory"),
        ("/shop/here.html", b"shop"),
    ],
)
def test_pages(web: Gateway, site: str, target: str, body: bytes) -> None:
    answer = visit(web, site, target)
    assert (answer.status, answer.body, answer.headers["content-type"]) == (200, body, "text/html")
    head = visit(web, site, target, "HEAD")
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", str(len(body)))
    assert head.headers["etag"] == answer.headers["etag"]


def test_curl(web: Gateway, site: str) -> None:
    host = f"{site}.{DOMAIN}"
    command = [tool("curl"), "-sS", "-L", "--resolve", f"{host}:{web.port}:127.0.0.1"]
    done = subprocess.run(
        [*command, f"http://{host}:{web.port}/blog"], capture_output=True, timeout=60, check=True
    )
    assert done.stdout == b"blog"


def test_conditions_and_ranges(web: Gateway, site: str) -> None:
    etag = visit(web, site, "/about.html").headers["etag"]
    answer = visit(web, site, "/about.html", if_none_match=etag)
    assert (answer.status, answer.body) == (304, b"")
    answer = visit(web, site, "/about.html", range="bytes=1-3")
    assert (answer.status, answer.body, answer.headers["content-range"]) == (206, b"bou", "bytes 1-3/5")
    assert visit(web, site, "/about.html", if_match='"other"').status == 412
    assert visit(web, site, "/about.html", range="bytes=99-").headers["location"] == "/range.html"


@pytest.mark.parametrize(
    ("target", "status", "location"),
    [
        ("/blog", 302, "/blog/"),
        ("/blog?q=1", 302, "/blog/?q=1"),
        ("/docs/a%20b.html?q=1", 301, "/documents/a%20b.html?q=1"),
        ("/shop/gone.html", 302, "https://shop.example/shop/gone.html"),
    ],
)
def test_redirects(web: Gateway, site: str, target: str, status: int, location: str) -> None:
    for method in ("GET", "HEAD"):
        answer = visit(web, site, target, method)
        assert (answer.status, answer.headers["location"], answer.body) == (status, location, b"")


def test_redirect_everything(web: Gateway, empty: str) -> None:
    everything = {"RedirectAllRequestsTo": {"HostName": "other.example", "Protocol": "https"}}
    web.s3().put_bucket_website(Bucket=empty, WebsiteConfiguration=everything)
    for target in ("/", "/a/b%20c?q=1", "//x"):
        answer = visit(web, empty, target)
        assert (answer.status, answer.headers["location"]) == (301, f"https://other.example{target}")


def test_redirect_locations_of_objects(web: Gateway, site: str) -> None:
    s3 = web.s3()
    s3.put_object(Bucket=site, Key="old", Body=b"old", WebsiteRedirectLocation="/about.html")
    assert s3.head_object(Bucket=site, Key="old")["WebsiteRedirectLocation"] == "/about.html"
    assert s3.get_object(Bucket=site, Key="old")["Body"].read() == b"old"
    answer = visit(web, site, "/old")
    assert (answer.status, answer.headers["location"], answer.body) == (301, "/about.html", b"")
    upload = s3.create_multipart_upload(Bucket=site, Key="mp", WebsiteRedirectLocation="https://a.example/b")[
        "UploadId"
    ]
    part = s3.upload_part(Bucket=site, Key="mp", UploadId=upload, PartNumber=1, Body=b"x")
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    s3.complete_multipart_upload(Bucket=site, Key="mp", UploadId=upload, MultipartUpload=parts)
    assert visit(web, site, "/mp").headers["location"] == "https://a.example/b"


def test_a_redirect_location_is_not_copied(web: Gateway, site: str) -> None:
    s3 = web.s3()
    s3.put_object(
        Bucket=site,
        Key="old",
        Body=b"o",
        ContentType="text/x",
        Metadata={"m": "1"},
        WebsiteRedirectLocation="/a",
    )
    source = {"Bucket": site, "Key": "old"}
    s3.copy_object(Bucket=site, Key="copy", CopySource=source)
    s3.copy_object(Bucket=site, Key="other", CopySource=source, WebsiteRedirectLocation="/b")
    s3.copy_object(Bucket=site, Key="old", CopySource=source, WebsiteRedirectLocation="/c")
    found = {key: s3.head_object(Bucket=site, Key=key) for key in ("copy", "other", "old")}
    assert [head.get("WebsiteRedirectLocation") for head in found.values()] == [None, "/b", "/c"]
    for head in found.values():
        assert (head["ContentType"], head["Metadata"]) == ("text/x", {"m": "1"})


@pytest.mark.parametrize("value", ["about.html", "javascript:alert(1)", "ftp://a", "", f"/{'x' * 2048}"])
def test_wrong_redirect_locations(web: Gateway, site: str, value: str) -> None:
    s3 = web.s3()
    for call in (s3.put_object, s3.create_multipart_upload):
        refused = refusal(call, Bucket=site, Key="new", WebsiteRedirectLocation=value)
        assert refused == (400, "InvalidRedirectLocation")


def test_the_error_document(web: Gateway, site: str) -> None:
    answer = visit(web, site, "/missing", if_none_match="*", range="bytes=0-1")
    assert (answer.status, answer.body, answer.headers["content-type"]) == (404, b"our error", "text/html")
    assert answer.headers["x-amz-error-code"] == "NoSuchKey"
    assert not {"etag", "last-modified", "content-range"} & answer.headers.keys()
    head = visit(web, site, "/missing", "HEAD")
    assert (head.status, head.body, head.headers["content-length"]) == (404, b"", "9")


def test_without_an_error_document(web: Gateway, site: str) -> None:
    s3 = web.s3()
    s3.put_bucket_website(Bucket=site, WebsiteConfiguration=INDEX)
    answer = visit(web, site, "/missing")
    assert (answer.status, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert b"<li>Code: NoSuchKey</li>" in answer.body
    assert b"<li>Key: missing</li>" in answer.body
    assert b"Custom Error Document" not in answer.body
    s3.put_bucket_website(Bucket=site, WebsiteConfiguration={**INDEX, "ErrorDocument": {"Key": "nowhere"}})
    answer = visit(web, site, "/missing")
    assert answer.status == 404
    assert b"Custom Error Document" in answer.body
    assert b"<li>Key: nowhere</li>" in answer.body


def test_private_objects(web: Gateway, empty: str) -> None:
    s3 = web.s3()
    publish(s3, empty, "open/")
    for key in ("open/index.html", "secret", "secret/index.html"):
        s3.put_object(Bucket=empty, Key=key, Body=b"text")
    s3.put_bucket_website(Bucket=empty, WebsiteConfiguration=INDEX)
    assert visit(web, empty, "/open/").status == 200
    assert visit(web, empty, "/open").headers["location"] == "/open/"
    for target in ("/secret", "/secret/", "/missing", "/"):
        answer = visit(web, empty, target)
        assert (answer.status, answer.headers["content-type"]) == (403, "text/html; charset=utf-8")
        assert b"<li>Code: AccessDenied</li>" in answer.body
        assert "etag" not in answer.headers


def test_public_by_acl(web: Gateway, empty: str) -> None:
    s3 = web.s3()
    s3.put_bucket_ownership_controls(
        Bucket=empty, OwnershipControls={"Rules": [{"ObjectOwnership": "ObjectWriter"}]}
    )
    s3.delete_public_access_block(Bucket=empty)
    s3.put_object(Bucket=empty, Key="index.html", Body=b"home", ACL="public-read")
    s3.put_object(Bucket=empty, Key="private.html", Body=b"private")
    s3.put_bucket_website(Bucket=empty, WebsiteConfiguration=INDEX)
    assert visit(web, empty, "/").body == b"home"
    assert visit(web, empty, "/private.html").status == 403


def test_requester_pays(web: Gateway, site: str) -> None:
    """Nobody who visits a website can be charged."""
    web.s3().put_bucket_request_payment(Bucket=site, RequestPaymentConfiguration={"Payer": "Requester"})
    assert visit(web, site, "/about.html", x_amz_request_payer="requester").status == 403


def test_only_get_and_head(web: Gateway, site: str) -> None:
    for method in ("PUT", "POST", "DELETE"):
        answer = visit(web, site, "/new", method)
        assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
        assert b"<li>Code: MethodNotAllowed</li>" in answer.body
    assert refusal(web.s3().head_object, Bucket=site, Key="new")[0] == 404


def test_no_website(web: Gateway, empty: str, name: str) -> None:
    answer = visit(web, empty, "/")
    assert (answer.status, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert b"<li>Code: NoSuchWebsiteConfiguration</li>" in answer.body
    answer = visit(web, f"{name}-missing", "/")
    assert answer.status == 404
    assert b"<li>Code: NoSuchBucket</li>" in answer.body


def test_cors(web: Gateway, site: str) -> None:
    rule = {"AllowedMethods": ["GET"], "AllowedOrigins": ["https://app.example"]}
    web.s3().put_bucket_cors(Bucket=site, CORSConfiguration={"CORSRules": [rule]})
    origin = "https://app.example"
    for target in ("/about.html", "/missing", "/blog"):
        assert visit(web, site, target, origin=origin).headers["access-control-allow-origin"] == origin
    asked = visit(web, site, "/about.html", "OPTIONS", origin=origin, access_control_request_method="GET")
    assert (asked.status, asked.headers["access-control-allow-methods"]) == (200, "GET")
    asked = visit(web, site, "/about.html", "OPTIONS", origin=origin, access_control_request_method="PUT")
    assert asked.status == 403
    assert "access-control-allow-origin" not in visit(web, site, "/about.html").headers


def test_other_hosts_are_s3(web: Gateway, site: str) -> None:
    answer = send(web.port, "GET", f"/{site}/about.html")
    assert (answer.status, answer.body) == (200, b"about")
    answer = send(web.port, "GET", f"/{site}/missing", extra={"host": DOMAIN})
    assert (answer.status, answer.code) == (404, "NoSuchKey")


def test_nothing_is_shown_where_anonymous_callers_may_do_nothing(start: Callable[..., Gateway]) -> None:
    gateway = start(auth={"anonymous": "none"}, website={"domains": [DOMAIN]}, s3_gateway={"workers": 1})
    s3 = gateway.s3()
    s3.create_bucket(Bucket="site")
    publish(s3, "site")
    s3.put_object(Bucket="site", Key="index.html", Body=b"home")
    s3.put_bucket_website(Bucket="site", WebsiteConfiguration=INDEX)
    for site in ("site", "missing"):
        answer = visit(gateway, site, "/")
        assert answer.status == 403
        assert b"<li>Code: AccessDenied</li>" in answer.body


def test_everything_is_shown_where_anonymous_callers_may_do_everything(start: Callable[..., Gateway]) -> None:
    gateway = start(auth={"anonymous": "full"}, website={"domains": [DOMAIN]}, s3_gateway={"workers": 1})
    s3 = gateway.s3()
    s3.create_bucket(Bucket="site")
    s3.put_object(Bucket="site", Key="index.html", Body=b"home")
    s3.put_bucket_website(Bucket="site", WebsiteConfiguration=INDEX)
    assert visit(gateway, "site", "/").body == b"home"
    assert visit(gateway, "site", "/new", "PUT").status == 405
