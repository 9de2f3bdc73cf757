"""CORS: what a configuration may say, and what a browser is told."""

import pytest
from refusals import refused
from scopes import request

from backends.base import Doc, Ref
from backends.memory import MemoryBackend
from gateway.configurations.cors import MAX_BYTES, Cors, Rule, load, read
from gateway.cors import VARY, allowed_headers, answer_headers, matches, preflight, requested_headers

ANY = "<AllowedMethod>GET</AllowedMethod><AllowedOrigin>*</AllowedOrigin>"


def rule(inner=ANY):
    return f"<CORSRule>{inner}</CORSRule>"


def document(*rules):
    return f"<CORSConfiguration>{''.join(rules)}</CORSConfiguration>".encode()


def test_what_is_kept_is_what_was_put():
    inner = (
        "<ID>one &amp; only</ID><AllowedHeader>X-Amz-*</AllowedHeader><AllowedMethod>GET</AllowedMethod>"
        "<AllowedMethod>PUT</AllowedMethod><AllowedOrigin>https://*.example.com</AllowedOrigin>"
        "<ExposeHeader>ETag</ExposeHeader><MaxAgeSeconds>3000</MaxAgeSeconds>"
    )
    kept = read(document(rule(inner), rule()))
    assert kept.endswith(f"{rule(inner)}{rule()}</CORSConfiguration>")
    assert load(kept) == Cors(
        (
            Rule(("https://*.example.com",), ("GET", "PUT"), ("X-Amz-*",), ("ETag",), 3000, "one & only"),
            Rule(("*",), ("GET",)),
        )
    )
    assert read(kept.encode()) == kept


MALFORMED = {
    "no rule": "",
    "empty rule": rule(""),
    "no origin": rule("<AllowedMethod>GET</AllowedMethod>"),
    "no method": rule("<AllowedOrigin>*</AllowedOrigin>"),
    "unknown element": rule(f"{ANY}<Else>1</Else>"),
    "unknown child": f"{rule()}<Else/>",
    "nested": rule("<AllowedMethod><b>GET</b></AllowedMethod><AllowedOrigin>*</AllowedOrigin>"),
    "two IDs": rule(f"{ANY}<ID>1</ID><ID>2</ID>"),
    "negative age": rule(f"{ANY}<MaxAgeSeconds>-1</MaxAgeSeconds>"),
    "age in words": rule(f"{ANY}<MaxAgeSeconds>an hour</MaxAgeSeconds>"),
    "age beyond an int": rule(f"{ANY}<MaxAgeSeconds>2147483648</MaxAgeSeconds>"),
    "age in other digits": rule(f"{ANY}<MaxAgeSeconds>٣</MaxAgeSeconds>"),
}


@pytest.mark.parametrize("inner", MALFORMED.values(), ids=MALFORMED)
def test_malformed(inner):
    with refused("MalformedXML"):
        read(document(inner))


INVALID = {
    "Found unsupported HTTP method in CORS config. Unsupported method is OPTIONS": (
        "<AllowedMethod>OPTIONS</AllowedMethod><AllowedOrigin>*</AllowedOrigin>"
    ),
    "Found unsupported HTTP method in CORS config. Unsupported method is get": (
        "<AllowedMethod>get</AllowedMethod><AllowedOrigin>*</AllowedOrigin>"
    ),
    'AllowedOrigin "*a*" can not have more than one wildcard.': (
        "<AllowedMethod>GET</AllowedMethod><AllowedOrigin>*a*</AllowedOrigin>"
    ),
    'AllowedHeader "x-*-*" can not have more than one wildcard.': (
        f"{ANY}<AllowedHeader>x-*-*</AllowedHeader>"
    ),
    'AllowedHeader "a b" contains invalid character.': f"{ANY}<AllowedHeader>a b</AllowedHeader>",
    'ExposeHeader "x-*" contains wildcard. We currently do not support wildcard for ExposeHeader.': (
        f"{ANY}<ExposeHeader>x-*</ExposeHeader>"
    ),
    "The ID of a CORS rule should not exceed 255 characters.": f"{ANY}<ID>{'i' * 256}</ID>",
}


@pytest.mark.parametrize(("message", "inner"), INVALID.items())
def test_invalid(message, inner):
    with refused("InvalidRequest") as caught:
        read(document(rule(inner)))
    assert caught.value.message == message


def test_limits():
    assert len(load(read(document(*[rule()] * 100))).rules) == 100
    assert load(read(document(rule(f"{ANY}<ID>{'i' * 255}</ID><MaxAgeSeconds>0</MaxAgeSeconds>"))))
    with refused("InvalidRequest"):
        read(document(*[rule()] * 101))
    with refused("MaxMessageLengthExceeded"):
        read(document(rule()).ljust(MAX_BYTES + 1))


@pytest.mark.parametrize("value", ["X&#10;Evil: 1", "X&#13;&#10;Evil: 1", "X\nEvil: 1", "X:", "X\u2028", ""])
def test_cve_2020_10753_no_line_break_in_an_exposed_header(value):
    with refused("InvalidRequest"):
        read(document(rule(f"{ANY}<ExposeHeader>{value}</ExposeHeader>")))


MATCHES = [
    ("*", "https://a.example", True),
    ("*", "", True),
    ("https://a.example", "https://a.example", True),
    ("https://a.example", "https://a.example/", False),
    ("https://a.example", "https://A.example", False),
    ("https://*.example", "https://a.b.example", True),
    ("https://*.example", "https://.example", True),
    ("https://*.example", "https://example", False),
    ("https://*.example", "https://a.example.evil", False),
    ("start*end", "startend", True),
    ("start*end", "0startend", False),
    ("aba*aba", "aba", False),
    ("https://a.example", "https://aXexample", False),
    ("", "", True),
]


@pytest.mark.parametrize(("pattern", "value", "fits"), MATCHES)
def test_wildcards(pattern, value, fits):
    assert matches(pattern, value) is fits


def test_requested_headers():
    assert requested_headers({}) == ()
    assert requested_headers({"access-control-request-headers": "X-A,x-b ,, C"}) == ("x-a", "x-b", "c")


TRUSTED = Rule(
    ("https://a.example", "https://*.b.example"), ("GET", "PUT"), ("X-Amz-*", "etag"), ("ETag", "x-id"), 60
)
PUBLIC = Rule(("*",), ("GET", "HEAD"))
RULES = Cors((TRUSTED, PUBLIC))


def told(method, headers, configuration=RULES):
    return allowed_headers(configuration, request(method, "/b/k", headers))


def test_a_named_origin_gets_credentials():
    assert told("PUT", {"origin": "https://x.b.example"}) == {
        "access-control-allow-origin": "https://x.b.example",
        "access-control-allow-methods": "GET, PUT",
        "access-control-allow-credentials": "true",
        "access-control-expose-headers": "ETag, x-id",
        "access-control-max-age": "60",
        "vary": VARY,
    }


def test_rustfs_x5xv_any_origin_never_gets_credentials():
    found = told("GET", {"origin": "https://evil.example"})
    assert found == {
        "access-control-allow-origin": "*",
        "access-control-allow-methods": "GET, HEAD",
        "vary": VARY,
    }
    assert told("PUT", {"origin": "https://evil.example"}) is None


def test_requested_headers_are_allowed_one_by_one():
    headers = {
        "origin": "https://a.example",
        "access-control-request-method": "PUT",
        "access-control-request-headers": "X-AMZ-Date, ETag",
    }
    assert told("OPTIONS", headers)["access-control-allow-headers"] == "x-amz-date, etag"
    headers["access-control-request-headers"] += ", authorization"
    assert told("OPTIONS", headers) is None


def test_nothing_but_names_of_headers_is_written_into_an_answer():
    everything = Cors((Rule(("*",), ("GET",), ("*",)),))
    headers = {"origin": "https://a.example", "access-control-request-headers": "x-a, bad name"}
    assert told("GET", headers, everything) is None


def test_the_announced_method_counts():
    headers = {"origin": "https://a.example", "access-control-request-method": "DELETE"}
    assert told("GET", headers) is None


@pytest.fixture
async def backend():
    store = MemoryBackend()
    await store.create_bucket("plain")
    await store.create_bucket("cors")
    await store.put_doc(Ref("cors", ""), Doc.CORS, CONFIGURED)
    return store


CONFIGURED = read(
    document(rule("<AllowedMethod>PUT</AllowedMethod><AllowedOrigin>https://a.example</AllowedOrigin>"))
)
ORIGIN = {"origin": "https://a.example"}
PUT = {"access-control-request-method": "PUT"}

REFUSALS = [
    ("/cors/k", {}, "BadRequest", {}),
    ("/nowhere", {}, "BadRequest", {}),
    ("/plain/k", {"origin": ""} | PUT, "BadRequest", {}),
    ("/nowhere", ORIGIN, "AccessForbidden", {"Method": "OPTIONS", "ResourceType": "BUCKET"}),
    ("/", ORIGIN | PUT, "AccessForbidden", {"Method": "PUT", "ResourceType": "BUCKET"}),
    ("/plain/k", ORIGIN | PUT, "AccessForbidden", {"Method": "PUT", "ResourceType": "BUCKET"}),
    ("/cors/k", ORIGIN, "BadRequest", {}),
    ("/cors/k", ORIGIN | {"access-control-request-method": "PATCH"}, "BadRequest", {}),
    ("/cors/k", {"origin": "https://b.example"} | PUT, "AccessForbidden", {"ResourceType": "OBJECT"}),
    ("/cors", {"origin": "https://b.example"} | PUT, "AccessForbidden", {"ResourceType": "BUCKET"}),
]


@pytest.mark.parametrize(("target", "headers", "code", "fields"), REFUSALS)
async def test_refused_preflights(backend, target, headers, code, fields):
    with refused(code, **fields):
        await preflight(request("OPTIONS", target, headers), backend)


async def test_the_messages_of_refused_preflights(backend):
    messages = []
    for target, headers in [
        ("/cors", {}),
        ("/no", ORIGIN),
        ("/plain", ORIGIN),
        ("/cors", ORIGIN),
        ("/cors", PUT | {"origin": "b"}),
    ]:
        with pytest.raises(Exception) as caught:
            await preflight(request("OPTIONS", target, headers), backend)
        messages.append(caught.value.message)
    assert messages[:4] == [
        "Insufficient information. Origin request header needed.",
        "CORSResponse: Bucket not found",
        "CORSResponse: CORS is not enabled for this bucket.",
        "Invalid Access-Control-Request-Method: null",
    ]
    assert messages[4].startswith("CORSResponse: This CORS request is not allowed.")


async def test_answers(backend):
    reply = await preflight(request("OPTIONS", "/cors/k", ORIGIN | PUT), backend)
    assert (reply.status, reply.body, reply.headers["access-control-allow-methods"]) == (200, b"", "PUT")
    assert (await answer_headers(request("PUT", "/cors/k", ORIGIN), backend)) == reply.headers
    assert await answer_headers(request("GET", "/cors/k", ORIGIN), backend) == {"vary": VARY}
    for target, headers in [("/cors/k", {}), ("/plain/k", ORIGIN), ("/nowhere", ORIGIN), ("/", ORIGIN)]:
        assert await answer_headers(request("PUT", target, headers), backend) == {}
