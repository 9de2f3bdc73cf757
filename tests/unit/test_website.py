"""Websites: what a configuration may say, and where redirects lead."""

import pytest
from refusals import refused
from scopes import scope

from backends.memory import MemoryBackend
from gateway.configurations.website import MAX_BYTES, Redirect, RoutingRule, Website, load, read
from gateway.context import Services
from gateway.errors import MethodNotAllowed, NoSuchKey
from gateway.request import Request
from gateway.spool import Spool
from gateway.website import Websites, error_page, find_rule, object_location, rule_location

INDEX = "<IndexDocument><Suffix>index.html</Suffix></IndexDocument>"
TO_B = "<Redirect><HostName>b.example</HostName></Redirect>"


def document(inner):
    return f"<WebsiteConfiguration>{inner}</WebsiteConfiguration>".encode()


def rules(*inner):
    return (
        INDEX
        + f"<RoutingRules>{''.join(f'<RoutingRule>{rule}</RoutingRule>' for rule in inner)}</RoutingRules>"
    )


def test_what_is_kept_is_what_was_put():
    inner = (
        f"{INDEX}<ErrorDocument><Key>errors/404 &amp; more.html</Key></ErrorDocument><RoutingRules>"
        "<RoutingRule><Condition><KeyPrefixEquals>docs/</KeyPrefixEquals></Condition>"
        "<Redirect><ReplaceKeyPrefixWith>documents/</ReplaceKeyPrefixWith></Redirect></RoutingRule>"
        "<RoutingRule><Condition><KeyPrefixEquals></KeyPrefixEquals>"
        "<HttpErrorCodeReturnedEquals>404</HttpErrorCodeReturnedEquals></Condition>"
        "<Redirect><HostName>b.example:8080</HostName><Protocol>https</Protocol>"
        "<HttpRedirectCode>302</HttpRedirectCode><ReplaceKeyWith>lost.html</ReplaceKeyWith></Redirect></RoutingRule>"
        f"<RoutingRule>{TO_B}</RoutingRule></RoutingRules>"
    )
    kept = read(document(inner))
    assert kept.endswith(f"{inner}</WebsiteConfiguration>")
    assert load(kept) == Website(
        "index.html",
        "errors/404 & more.html",
        (
            RoutingRule(Redirect(prefix="documents/"), "docs/"),
            RoutingRule(Redirect("b.example:8080", "https", 302, key="lost.html"), "", 404),
            RoutingRule(Redirect("b.example")),
        ),
    )
    everything = "<RedirectAllRequestsTo><HostName>b.example/base</HostName><Protocol>http</Protocol></RedirectAllRequestsTo>"
    kept = read(document(everything))
    assert kept.endswith(f"{everything}</WebsiteConfiguration>")
    assert load(kept) == Website(redirect_all=Redirect("b.example/base", "http"))


MALFORMED = {
    "unknown": f"{INDEX}<Else/>",
    "twice": INDEX + INDEX,
    "index without suffix element": "<IndexDocument><Else>a</Else></IndexDocument>",
    "error without key": f"{INDEX}<ErrorDocument/>",
    "error with an empty key": f"{INDEX}<ErrorDocument><Key></Key></ErrorDocument>",
    "redirect all to nobody": "<RedirectAllRequestsTo><Protocol>http</Protocol></RedirectAllRequestsTo>",
    "redirect all with a key": (
        "<RedirectAllRequestsTo><HostName>b</HostName><ReplaceKeyWith>k</ReplaceKeyWith></RedirectAllRequestsTo>"
    ),
    "no rule": f"{INDEX}<RoutingRules/>",
    "something else than a rule": f"{INDEX}<RoutingRules><Else/></RoutingRules>",
    "rule without redirect": rules("<Condition><KeyPrefixEquals>a</KeyPrefixEquals></Condition>"),
    "empty redirect": rules("<Redirect/>"),
    "two redirects": rules(TO_B + TO_B),
    "unknown in a rule": rules(f"{TO_B}<Else/>"),
    "unknown in a redirect": rules("<Redirect><Else>1</Else></Redirect>"),
    "unknown in a condition": rules(f"<Condition><Else>1</Else></Condition>{TO_B}"),
}


@pytest.mark.parametrize("inner", MALFORMED.values(), ids=MALFORMED)
def test_malformed(inner):
    with refused("MalformedXML"):
        read(document(inner))


ARGUMENTS = {
    "": "A value for IndexDocument Suffix must be provided if RedirectAllRequestsTo is empty",
    "<ErrorDocument><Key>k</Key></ErrorDocument>": (
        "A value for IndexDocument Suffix must be provided if RedirectAllRequestsTo is empty"
    ),
    "<IndexDocument><Suffix>a/b</Suffix></IndexDocument>": "The IndexDocument Suffix is not well formed",
    "<IndexDocument><Suffix/></IndexDocument>": "The IndexDocument Suffix is not well formed",
    f"{INDEX}<RedirectAllRequestsTo><HostName>b</HostName></RedirectAllRequestsTo>": (
        "RedirectAllRequestsTo cannot be provided in conjunction with other Routing Rules."
    ),
}


@pytest.mark.parametrize(("inner", "message"), ARGUMENTS.items())
def test_wrong_arguments(inner, message):
    with refused("InvalidArgument") as caught:
        read(document(inner))
    assert caught.value.message == message


PROTOCOL = "Invalid protocol, protocol can be http or https. If not defined the protocol will be selected automatically."
REQUESTS = {
    rules("<Redirect><Protocol>javascript</Protocol></Redirect>"): PROTOCOL,
    "<RedirectAllRequestsTo><HostName>b</HostName><Protocol>ftp</Protocol></RedirectAllRequestsTo>": PROTOCOL,
    rules("<Redirect><HttpRedirectCode>300</HttpRedirectCode></Redirect>"): (
        "The provided HTTP redirect code (300) is not valid. Valid codes are 3XX except 300."
    ),
    rules("<Redirect><HttpRedirectCode>200</HttpRedirectCode></Redirect>"): (
        "The provided HTTP redirect code (200) is not valid. Valid codes are 3XX except 300."
    ),
    rules(f"<Condition><HttpErrorCodeReturnedEquals>302</HttpErrorCodeReturnedEquals></Condition>{TO_B}"): (
        "The provided HTTP error code (302) is not valid. Valid codes are 4XX or 5XX."
    ),
    rules(
        "<Redirect><ReplaceKeyWith>a</ReplaceKeyWith><ReplaceKeyPrefixWith>b</ReplaceKeyPrefixWith></Redirect>"
    ): ("You can only define ReplaceKeyPrefix or ReplaceKey but not both."),
    rules(f"<Condition/>{TO_B}"): (
        "Condition cannot be empty. To redirect all requests without a condition, the condition element shouldn't be "
        "present."
    ),
    rules(*[TO_B] * 51): (
        "51 routing rules provided, the number of routing rules in a website configuration is limited to 50."
    ),
}


@pytest.mark.parametrize(("inner", "message"), REQUESTS.items())
def test_wrong_requests(inner, message):
    with refused("InvalidRequest") as caught:
        read(document(inner))
    assert caught.value.message == message


def test_limits():
    assert len(load(read(document(rules(*[TO_B] * 50)))).rules) == 50
    with refused("MaxMessageLengthExceeded"):
        read(document(INDEX).ljust(MAX_BYTES + 1))


@pytest.mark.parametrize(
    "host", ["", "a b", "a&#13;&#10;Set-Cookie:x=1", "a\\b", 'a"b', "user@evil", "a?b", "a#b", "é"]
)
def test_no_host_name_splits_a_header_or_is_none(host):
    with refused("InvalidRequest"):
        read(document(rules(f"<Redirect><HostName>{host}</HostName></Redirect>")))


RULES = (
    RoutingRule(Redirect(key="a"), "images/"),
    RoutingRule(Redirect(key="b"), "images/old/"),
    RoutingRule(Redirect(key="c"), None, 404),
    RoutingRule(Redirect(key="d"), "docs/", 403),
)


@pytest.mark.parametrize(
    ("key", "status", "found"),
    [
        ("images/x", None, "a"),
        ("images/old/x", None, "a"),
        ("image", None, None),
        ("images/x", 404, "c"),
        ("docs/x", 403, "d"),
        ("other", 403, None),
        ("docs/x", None, None),
    ],
)
def test_the_first_rule_that_fits(key, status, found):
    rule = find_rule(RULES, key, status)
    assert (rule.redirect.key if rule else None) == found


LOCATIONS = [
    (RoutingRule(Redirect(prefix="documents/"), "docs/"), "/docs/a%20b", "/documents/a%20b"),
    (RoutingRule(Redirect(prefix=""), "docs/"), "/docs/a", "/a"),
    (RoutingRule(Redirect(prefix="#!/")), "/a/b", "/#!/a/b"),
    (RoutingRule(Redirect(key="lost?k=1")), "/a?q=2", "/lost?k=1"),
    (RoutingRule(Redirect(key="lost.html")), "/a?q=2", "/lost.html?q=2"),
    (RoutingRule(Redirect("b.example")), "/a/%C3%A9?q=%20", "http://b.example/a/%C3%A9?q=%20"),
    (RoutingRule(Redirect("b.example/base/")), "/a", "http://b.example/base/a"),
    (RoutingRule(Redirect("b.example", "https", prefix="x/"), "a/"), "/a/b", "https://b.example/x/b"),
    (RoutingRule(Redirect(protocol="https")), "/a", "https://site.web.example:8080/a"),
    (RoutingRule(Redirect("b.example")), "/a%3Fb%23c%25", "http://b.example/a%3Fb%23c%25"),
]


def website_request(target):
    return Request(scope("GET", target, {"host": "site.web.example:8080"}), None, ("web.example",))


@pytest.mark.parametrize(("rule", "target", "location"), LOCATIONS)
def test_locations(rule, target, location):
    assert rule_location(rule, website_request(target)) == location


@pytest.mark.parametrize(
    "rest",
    ["/evil.example/", "%2Fevil.example/", "\\evil.example", "%5Cevil.example", "%0D%0Ax:y", "%09/evil"],
)
def test_no_rule_redirects_to_a_host_that_the_request_names(rest):
    """A browser reads `//host` and `/\\host` as another host."""
    location = rule_location(RoutingRule(Redirect(prefix=""), "docs/"), website_request(f"/docs/{rest}"))
    assert location[0] == "/"
    assert location[1] not in "/\\"
    assert not {"\r", "\n", "\t", "\\"} & set(location)


@pytest.mark.parametrize(
    ("value", "location"),
    [
        ("/other", "/other"),
        ("/other?q=1#part", "/other?q=1#part"),
        ("/a%20b", "/a%20b"),
        ("https://b.example/x?y", "https://b.example/x?y"),
        ("//evil.example/", "/%2Fevil.example/"),
        ("/\\evil.example", "/%5Cevil.example"),
        ("/\xc3\xa9", "/%C3%A9"),
        ("/a b\t", "/a%20b%09"),
    ],
)
def test_redirect_locations_of_objects(value, location):
    assert object_location(value) == location


def test_error_pages_escape_everything():
    error = NoSuchKey(Key="<script>alert('\"&')</script>")
    reply = error_page(error, "ID", NoSuchKey(Key="</ul><b>"))
    text = reply.body.decode()
    assert (reply.status, reply.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "<script" not in text
    assert "<b>" not in text
    assert "<li>Key: &lt;script&gt;alert(&#x27;&quot;&amp;&#x27;)&lt;/script&gt;</li>" in text
    assert "<h1>404 Not Found</h1>" in text
    assert "<h3>An Error Occurred While Attempting to Retrieve a Custom Error Document</h3>" in text
    assert reply.headers["x-amz-error-code"] == "NoSuchKey"
    assert error_page(MethodNotAllowed(), "ID").status == 405


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        ("site.web.example", True),
        ("SITE.WEB.EXAMPLE:8080", True),
        ("a.b.web.example", True),
        ("web.example", False),
        ("siteweb.example", False),
        ("site.web.example.evil", False),
        ("site.web.example:80@evil", False),
        ("evil/.web.example", False),
        ("", False),
    ],
)
def test_whose_requests(tmp_path, host, ours):
    services = Services(MemoryBackend(), None, Spool(1, 1, str(tmp_path)), website_domains=("web.example",))
    websites = Websites(services)
    asked = scope("GET", "/", {"host": host})
    assert websites.serves(asked) is ours
    asked["headers"].append((b"host", b"other"))
    assert not websites.serves(asked)
