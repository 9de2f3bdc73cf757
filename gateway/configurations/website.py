"""`?website`: how a bucket is served as a website. Kept as the XML that GET answers; `gateway.website` serves it.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketWebsite.html
"""

import functools
import re
from dataclasses import dataclass

from gateway import xml
from gateway.context import Context
from gateway.errors import InvalidArgument, InvalidRequest, MalformedXML, MaxMessageLengthExceeded

MAX_BYTES = 64 * 1024
"""Size of a document: it is read with its bucket by every request."""
MAX_RULES = 50
_PROTOCOLS = ("http", "https")
_HOST = re.compile(r"[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?")
_CHILDREN = frozenset({"ErrorDocument", "IndexDocument", "RedirectAllRequestsTo", "RoutingRules"})
_REDIRECT = frozenset({"HostName", "HttpRedirectCode", "Protocol", "ReplaceKeyPrefixWith", "ReplaceKeyWith"})
_REDIRECT_ALL = frozenset({"HostName", "Protocol"})
_CONDITION = frozenset({"HttpErrorCodeReturnedEquals", "KeyPrefixEquals"})


@dataclass(frozen=True, slots=True)
class Redirect:
    """Where to: what is None stays as in the request. `key` replaces the key, `prefix` the prefix that the rule names."""

    host: str | None = None
    protocol: str | None = None
    status: int | None = None
    prefix: str | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class RoutingRule:
    """A redirect for keys that begin with `prefix`, if `status` is None before the object is looked for, else after
    that error; None: whatever key.
    """

    redirect: Redirect
    prefix: str | None = None
    status: int | None = None


@dataclass(frozen=True, slots=True)
class Website:
    """A website: either `redirect_all`, or an index document's name, perhaps an error document's key, and rules."""

    index: str = ""
    error: str | None = None
    rules: tuple[RoutingRule, ...] = ()
    redirect_all: Redirect | None = None


def read(data: bytes, _: Context | None = None) -> str:
    """The document to keep. Raises MalformedXML, InvalidArgument, InvalidRequest, MaxMessageLengthExceeded (64 KiB)."""
    if len(data) > MAX_BYTES:
        raise MaxMessageLengthExceeded()
    return _show(_parse(data)).decode()


@functools.lru_cache(maxsize=256)
def load(text: str) -> Website:
    """The kept configuration."""
    return _parse(text.encode())


def _parse(data: bytes) -> Website:
    found: dict[str, xml.Element] = {}
    for child in xml.parse(data, "WebsiteConfiguration").children:
        if child.name in found or child.name not in _CHILDREN:
            raise MalformedXML()
        found[child.name] = child
    if "RedirectAllRequestsTo" in found:
        if len(found) > 1:
            raise InvalidArgument(
                "RedirectAllRequestsTo cannot be provided in conjunction with other Routing Rules.",
                ArgumentName="RedirectAllRequestsTo",
                ArgumentValue="not null",
            )
        return Website(redirect_all=_redirect_all(found["RedirectAllRequestsTo"]))
    return Website(
        index=_index(found.get("IndexDocument")),
        error=_error(found.get("ErrorDocument")),
        rules=_rules(found.get("RoutingRules")),
    )


def _redirect_all(element: xml.Element) -> Redirect:
    redirect = _redirect(_fields(element, _REDIRECT_ALL))
    if redirect.host is None:
        raise MalformedXML()
    return redirect


def _index(element: xml.Element | None) -> str:
    if element is None:
        raise InvalidArgument(
            "A value for IndexDocument Suffix must be provided if RedirectAllRequestsTo is empty",
            ArgumentName="IndexDocument",
            ArgumentValue="null",
        )
    suffix = _fields(element, {"Suffix"}).get("Suffix", "")
    if not suffix or "/" in suffix:
        raise InvalidArgument(
            "The IndexDocument Suffix is not well formed",
            ArgumentName="IndexDocument",
            ArgumentValue=suffix[:256],
        )
    return suffix


def _error(element: xml.Element | None) -> str | None:
    if element is None:
        return None
    key = _fields(element, {"Key"}).get("Key")
    if not key:
        raise MalformedXML()
    return key


def _rules(element: xml.Element | None) -> tuple[RoutingRule, ...]:
    if element is None:
        return ()
    rules = element.children
    if not rules or any(rule.name != "RoutingRule" for rule in rules):
        raise MalformedXML()
    if len(rules) > MAX_RULES:
        raise InvalidRequest(
            f"{len(rules)} routing rules provided, the number of routing rules in a website configuration is limited "
            f"to {MAX_RULES}."
        )
    return tuple(map(_rule, rules))


def _rule(element: xml.Element) -> RoutingRule:
    redirects, conditions = xml.children(element, "Redirect"), xml.children(element, "Condition")
    if len(redirects) != 1 or len(conditions) > 1 or len(element.children) > 1 + len(conditions):
        raise MalformedXML()
    fields = _fields(redirects[0], _REDIRECT)
    if not fields:
        raise MalformedXML()
    prefix, status = _condition(conditions[0]) if conditions else (None, None)
    return RoutingRule(_redirect(fields), prefix, status)


def _condition(element: xml.Element) -> tuple[str | None, int | None]:
    fields = _fields(element, _CONDITION)
    if not fields:
        raise InvalidRequest(
            "Condition cannot be empty. To redirect all requests without a condition, the condition element shouldn't "
            "be present."
        )
    code = fields.get("HttpErrorCodeReturnedEquals")
    if code is not None and not re.fullmatch("[45][0-9][0-9]", code):
        raise InvalidRequest(
            f"The provided HTTP error code ({code[:16]}) is not valid. Valid codes are 4XX or 5XX."
        )
    return fields.get("KeyPrefixEquals"), int(code) if code else None


def _redirect(fields: dict[str, str]) -> Redirect:
    host, protocol, code = (fields.get(name) for name in ("HostName", "Protocol", "HttpRedirectCode"))
    if protocol is not None and protocol not in _PROTOCOLS:
        raise InvalidRequest(
            "Invalid protocol, protocol can be http or https. If not defined the protocol will be selected automatically."
        )
    if host is not None and not _HOST.fullmatch(host):
        raise InvalidRequest(f"The provided host name ({host[:256]}) is not valid.")
    if code is not None and (not re.fullmatch("3[0-9][0-9]", code) or code == "300"):
        raise InvalidRequest(
            f"The provided HTTP redirect code ({code[:16]}) is not valid. Valid codes are 3XX except 300."
        )
    if "ReplaceKeyWith" in fields and "ReplaceKeyPrefixWith" in fields:
        raise InvalidRequest("You can only define ReplaceKeyPrefix or ReplaceKey but not both.")
    return Redirect(
        host,
        protocol,
        int(code) if code else None,
        fields.get("ReplaceKeyPrefixWith"),
        fields.get("ReplaceKeyWith"),
    )


def _fields(element: xml.Element, known: frozenset[str] | set[str]) -> dict[str, str]:
    fields = xml.fields(element)
    if fields.keys() - known:
        raise MalformedXML()
    return fields


def _show(website: Website) -> bytes:
    return xml.document(
        "WebsiteConfiguration",
        _show_redirect("RedirectAllRequestsTo", website.redirect_all) if website.redirect_all else None,
        xml.element("IndexDocument", xml.element("Suffix", website.index)) if website.index else None,
        xml.element("ErrorDocument", xml.element("Key", website.error)) if website.error else None,
        xml.element("RoutingRules", *map(_show_rule, website.rules)) if website.rules else None,
    )


def _show_rule(rule: RoutingRule) -> xml.Markup:
    condition = (
        xml.optional("KeyPrefixEquals", rule.prefix),
        xml.optional("HttpErrorCodeReturnedEquals", rule.status),
    )
    return xml.element(
        "RoutingRule",
        xml.element("Condition", *condition) if any(condition) else None,
        _show_redirect("Redirect", rule.redirect),
    )


def _show_redirect(name: str, redirect: Redirect) -> xml.Markup:
    return xml.element(
        name,
        xml.optional("HostName", redirect.host),
        xml.optional("Protocol", redirect.protocol),
        xml.optional("HttpRedirectCode", redirect.status),
        xml.optional("ReplaceKeyPrefixWith", redirect.prefix),
        xml.optional("ReplaceKeyWith", redirect.key),
    )
