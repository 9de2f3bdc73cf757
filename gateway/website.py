"""Buckets as websites: requests whose Host is BUCKET.DOMAIN, for one of `[website] domains`.

A website is for browsers: it knows GET and HEAD only, everybody is anonymous, answers are pages, errors too. What may
be read is decided as for S3, and read by the same handler.

Sources: https://docs.aws.amazon.com/AmazonS3/latest/userguide/WebsiteHosting.html,
https://docs.aws.amazon.com/AmazonS3/latest/userguide/how-to-page-redirect.html
"""

import copy
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from http import HTTPStatus
from urllib.parse import quote

from auth.identity import ANONYMOUS, Verified
from backends.base import BucketInfo, Doc
from gateway import cors, payment
from gateway.authorise import authorise, told
from gateway.configurations.website import RoutingRule, Website, load
from gateway.context import Context, Services
from gateway.errors import (
    AccessDenied,
    InternalError,
    MethodNotAllowed,
    NoSuchKey,
    NoSuchWebsiteConfiguration,
    S3Error,
)
from gateway.metadata import REDIRECT_LOCATION
from gateway.operations import resolve
from gateway.reply import HOST_ID, Reply
from gateway.request import NO_PARAMS, Receive, Request, Scope, host_bucket
from gateway.serverlog import NOBODY, PAGE

logger = logging.getLogger("gateway.website")

_HOST = re.compile(rb"[A-Za-z0-9.-]+(:[0-9]{1,5})?")
_METHODS = ("GET", "HEAD")
_NOT_HERE = (NoSuchKey, AccessDenied)
"""What an object answers that is missing: the second to those who may not list."""
_ENTITY = ("content-type", "cache-control", "content-disposition", "content-encoding", "content-language")
"""The headers of an error document that go with it. The others tell of a request that succeeded."""
_IN_PATH = "/!$&'()*+,;=:@~"
_IN_URL = _IN_PATH + "?#[]%"
_MORE = "An Error Occurred While Attempting to Retrieve a Custom Error Document"


class Websites:
    """All websites of a gateway."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def serves(self, scope: Scope) -> bool:
        """Whether the request is for a website."""
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1 or not _HOST.fullmatch(hosts[0]):
            return False
        return bool(host_bucket(hosts[0].decode(), self._services.website_domains))

    async def answer(self, scope: Scope, receive: Receive, request_id: str) -> Reply:
        """A page, a redirect, or an error as a page; raises nothing."""
        try:
            return await self._answer(Request(scope, receive, self._services.website_domains), request_id)
        except S3Error as error:
            return error_page(error, request_id)
        except Exception:
            logger.exception("%s %s %s failed", request_id, scope["method"], scope["raw_path"])
            return error_page(InternalError(), request_id)

    async def _answer(self, request: Request, request_id: str) -> Reply:
        backend = self._services.backend
        if request.method == "OPTIONS":
            return await cors.preflight(request, backend)
        try:
            reply = await self._page(request, request_id)
        except S3Error as error:
            reply = error_page(error, request_id)
        reply.headers |= await cors.answer_headers(request, backend)
        return reply

    async def _page(self, request: Request, request_id: str) -> Reply:
        if request.method not in _METHODS:
            error = MethodNotAllowed(Method=request.method, ResourceType="OBJECT")
            error.headers["allow"] = ", ".join(_METHODS)
            raise error
        if self._services.anonymous == "none":
            raise AccessDenied()
        bucket = await self._services.backend.head_bucket(request.bucket)
        if Doc.LOGGING in bucket.docs and self._services.server_log is not None:
            self._services.server_log.begin(Context(request, PAGE, NOBODY, self._services, bucket))
        text = bucket.docs.get(Doc.WEBSITE)
        if text is None:
            raise NoSuchWebsiteConfiguration(BucketName=bucket.name)
        return await _Visit(self._services, request, bucket, load(text), request_id).page()


@dataclass(frozen=True, slots=True)
class _Visit:
    """One request of a website."""

    services: Services
    request: Request
    bucket: BucketInfo
    website: Website
    request_id: str

    async def page(self) -> Reply:
        """The object, a redirect, or the error document."""
        key, website = self.request.key, self.website
        if website.redirect_all is not None:
            return _redirect(RoutingRule(website.redirect_all), self.request)
        rule = find_rule(website.rules, key)
        if rule is not None:
            return _redirect(rule, self.request)
        try:
            reply = await self._fetch(key if key and key[-1] != "/" else key + website.index)
        except S3Error as error:
            return await self._failed(error)
        location = reply.headers.pop(REDIRECT_LOCATION, None)
        if location is None:
            return reply
        _free(reply)
        return Reply(301, {"location": object_location(location)})

    async def _failed(self, error: S3Error) -> Reply:
        """What is answered instead of the object: its directory, a redirect, the error document, or the error."""
        key, website = self.request.key, self.website
        if (
            error.kind in _NOT_HERE
            and key
            and key[-1] != "/"
            and await self._is_readable(f"{key}/{website.index}")
        ):
            return Reply(302, {"location": _here(quote(key, safe=_IN_PATH) + "/" + _query(self.request))})
        rule = find_rule(website.rules, key, error.status)
        if rule is not None:
            return _redirect(rule, self.request)
        if website.error is None or not 400 <= error.status < 500:
            raise error
        return await self._error_document(error, website.error)

    async def _error_document(self, error: S3Error, key: str) -> Reply:
        try:
            reply = await self._fetch(key, whole=True)
        except S3Error as second:
            return error_page(error, self.request_id, second)
        kept = {name: reply.headers[name] for name in _ENTITY if name in reply.headers}
        reply.headers = kept | _error_headers(error)
        reply.status = error.status
        return reply

    async def _is_readable(self, key: str) -> bool:
        """Whether everybody may read an object, which is there."""
        try:
            _free(await self._fetch(key, whole=True))
        except S3Error:
            return False
        return True

    async def _fetch(self, key: str, *, whole: bool = False) -> Reply:
        """The answer of S3 to everybody who asks for a key; `whole`: without the request's conditions and range."""
        request = copy.copy(self.request)
        request.key, request.params = key, NO_PARAMS
        request.headers = _plain(request.headers, whole=whole)
        context = Context(request, resolve(request), Verified(ANONYMOUS), self.services, self.bucket)
        await authorise(context)
        payment.check(context)
        try:
            return await context.operation.handler(context)
        except S3Error as error:
            raise await told(context, error) from None


def find_rule(rules: Sequence[RoutingRule], key: str, status: int | None = None) -> RoutingRule | None:
    """The first rule for a key: before the object is looked for, or after an error of that status."""
    return next((rule for rule in rules if rule.status == status and key.startswith(rule.prefix or "")), None)


def rule_location(rule: RoutingRule, request: Request) -> str:
    """Where a rule sends a request. Replacements may hold a query or a fragment, the rest is the key, encoded."""
    redirect = rule.redirect
    if redirect.key is not None:
        path = quote(redirect.key, safe=_IN_URL)
    elif redirect.prefix is not None:
        rest = request.key[len(rule.prefix or "") :]
        path = quote(redirect.prefix, safe=_IN_URL) + quote(rest, safe=_IN_PATH)
    else:
        path = quote(request.key, safe=_IN_PATH)
    if "?" not in path and "#" not in path:
        path += _query(request)
    if redirect.host is None and redirect.protocol is None:
        return _here(path)
    host = (redirect.host or request.headers["host"]).rstrip("/")
    return f"{redirect.protocol or request.scheme}://{host}/{path}"


def object_location(value: str) -> str:
    """The Location of an object's `x-amz-website-redirect-location`: another key of the website, or a URL."""
    location = quote(value.encode("latin-1"), safe=_IN_URL)
    return _here(location[1:]) if location.startswith("/") else location


def _here(path: str) -> str:
    """An encoded path as a reference that never leaves this host: a browser takes `//name` for another host."""
    return f"/%2F{path[1:]}" if path.startswith("/") else f"/{path}"


def _query(request: Request) -> str:
    return "?" + quote(request.raw_query.encode("latin-1"), safe=_IN_URL) if request.raw_query else ""


def _redirect(rule: RoutingRule, request: Request) -> Reply:
    return Reply(rule.redirect.status or 301, {"location": rule_location(rule, request)})


def _free(reply: Reply) -> None:
    if reply.content is not None:
        reply.content.close()


def _plain(headers: Mapping[str, str], *, whole: bool) -> dict[str, str]:
    """The headers that a website knows: nothing of S3's own, nor of who is calling."""
    return {
        name: value
        for name, value in headers.items()
        if name != "authorization"
        and not name.startswith("x-amz-")
        and not (whole and (name == "range" or name.startswith("if-")))
    }


def _error_headers(error: S3Error) -> dict[str, str]:
    return {**error.headers, "x-amz-error-code": error.code, "x-amz-error-message": error.kind.message}


def error_page(error: S3Error, request_id: str, second: S3Error | None = None) -> Reply:
    """The error as a page; `second` is why the website's own error document could not be shown. 304 has none."""
    if error.status == 304:
        return Reply(304, error.headers)
    title = f"{error.status} {HTTPStatus(error.status).phrase}"
    ids = {"RequestId": request_id, "HostId": HOST_ID}
    more = f"<h3>{_MORE}</h3>\n{_list(second, {})}" if second is not None else ""
    body = (
        f"<html>\n<head><title>{title}</title></head>\n<body>\n<h1>{title}</h1>\n"
        f"{_list(error, ids)}{more}<hr/>\n</body>\n</html>\n"
    )
    headers = _error_headers(error) | {"content-type": "text/html; charset=utf-8"}
    return Reply(error.status, headers, body.encode())


def _list(error: S3Error, more: Mapping[str, str]) -> str:
    fields = {"Code": error.code, "Message": error.message, **error.fields, **more}
    items = "".join(f"<li>{name}: {escape(value)}</li>\n" for name, value in fields.items())
    return f"<ul>\n{items}</ul>\n"
