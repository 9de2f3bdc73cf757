"""PostObject: a browser's upload from a form. It is a PutObject whose headers are the form's fields.

Who signed is told by the fields (`auth.form`), what was allowed by the policy among them (`gateway.post_policy`). Both,
and whether the caller may put this object, are settled before anything of the file is read.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/RESTObjectPOST.html
"""

import json
import re
import time
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from auth.form import verify_form
from auth.identity import PLAIN
from gateway import payment, xml
from gateway.authorise import authorise
from gateway.body import AsgiSource
from gateway.configurations import tagging
from gateway.context import Context
from gateway.errors import (
    InvalidArgument,
    InvalidRequest,
    MaxPostPreDataLengthExceeded,
    MethodNotAllowed,
    NotImplemented_,
)
from gateway.form import MAX_FIELDS_BYTES, Form, boundary_of
from gateway.handlers.objects import put_object
from gateway.handlers.parameters import object_url
from gateway.metadata import SYSTEM_HEADERS, USER_PREFIX
from gateway.post_policy import parse_post_policy
from gateway.reply import XML_TYPE, Reply
from gateway.request import CONTROL, TOKEN, Request

Fields = Mapping[str, str]
"""The fields of a form by lower-case name."""

_SIGNATURE = frozenset(
    "x-amz-algorithm x-amz-credential x-amz-date x-amz-security-token x-amz-signature".split()
)
_HEADERS = {"acl": "x-amz-acl"} | {
    name: name
    for name in (
        *SYSTEM_HEADERS,
        "content-md5",
        "x-amz-request-payer",
        "x-amz-sdk-checksum-algorithm",
        "x-amz-storage-class",
        "x-amz-website-redirect-location",
    )
}
"""The fields that stand for a header of PutObject, besides the families below. Of other `x-amz-` fields none is ignored."""
_FAMILIES = (USER_PREFIX, "x-amz-checksum-", "x-amz-object-lock-", "x-amz-server-side-encryption")

_OF_THE_FORM = frozenset({*SYSTEM_HEADERS, "content-length", "content-md5", "expect", "transfer-encoding"})
"""Headers of the request that are about the form, not about the file in it."""
_EXPECTED_OWNER = "x-amz-expected-bucket-owner"
_UNKNOWN_LENGTH = {"transfer-encoding": "chunked"}

_STATUS = {"200": 200, "201": 201}
_NO_CONTENT = 204
_FILENAME = "${filename}"
_URL = re.compile(r"https?://[!-~]+", re.IGNORECASE)


async def post_object(context: Context) -> Reply:
    """Store the file of a form, after all of the form was received and found right."""
    _check_unsigned(context)
    form = Form(AsgiSource(context.request.receive), boundary_of(context.header("content-type")))
    fields = _expanded(*await form.begin())
    _check_key(fields)
    now = time.time()
    services = context.services
    verified = verify_form(fields, services.accounts.lookup, region=services.region, now=now)
    if "policy" in fields:
        policy = parse_post_policy(fields["policy"])
        policy.check({**fields, "bucket": context.request.bucket}, now=now)
        form.limit(policy.length.least, policy.length.most)
    put = replace(context, request=_as_put(context, fields, form), verified=verified)
    context.verified, context.audit["key"] = verified, fields["key"]  # what the access log tells
    await authorise(put)
    payment.check(put)
    stored = await put_object(put)
    stored.headers |= payment.headers(put)
    return _answer(put, fields, stored)


def _check_unsigned(context: Context) -> None:
    """A form is signed by its fields. A request that is signed itself, or promises a digest of the form, is none."""
    if not context.identity.anonymous:
        raise MethodNotAllowed(Method="POST", ResourceType="BUCKET")
    if context.verified.body != PLAIN:
        raise InvalidRequest("x-amz-content-sha256 is not supported with a form.")


def _expanded(raw: Fields, filename: str) -> Fields:
    """The fields with the file's name for `${filename}`. Raises MaxPostPreDataLengthExceeded, as if they had come so."""
    added = sum(value.count(_FILENAME) for value in raw.values()) * len(filename)
    if added > MAX_FIELDS_BYTES:
        raise MaxPostPreDataLengthExceeded()
    return {name: value.replace(_FILENAME, filename) for name, value in raw.items()}


def _check_key(fields: Fields) -> None:
    if "key" not in fields:
        raise InvalidArgument(
            "Bucket POST must contain a field named 'key'.  If it is specified, please check the order of the fields.",
            ArgumentName="key",
            ArgumentValue="",
        )
    if not fields["key"]:
        raise InvalidArgument(
            "User key must have a length greater than 0.", ArgumentName="key", ArgumentValue=""
        )


def _as_put(context: Context, fields: Fields, form: Form) -> Request:
    """The PutObject that the form stands for."""
    request = context.request
    bucket = "" if request.host_style else "/" + quote(request.bucket, safe="")
    headers = {name: value for name, value in request.headers.items() if _concerns_caller(name)}
    headers |= _headers(fields) | _UNKNOWN_LENGTH
    scope = {
        **request.scope,
        "method": "PUT",
        "raw_path": f"{bucket}/{quote(fields['key'], safe='')}".encode(),
        "query_string": b"",
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers.items()],
    }
    return Request(scope, form.receive, context.services.domains)


def _concerns_caller(name: str) -> bool:
    """Whether a header of the request stays. Not one that gives the object something: no policy has seen it."""
    return name == _EXPECTED_OWNER or not (name in _OF_THE_FORM or name.startswith("x-amz-"))


def _headers(fields: Fields) -> dict[str, str]:
    """The headers that the fields stand for. Raises InvalidArgument, NotImplemented, MalformedXML, InvalidTag."""
    headers = {}
    for field, value in fields.items():
        name = field if field.startswith(_FAMILIES) else _HEADERS.get(field)
        if name is None:
            if field.startswith("x-amz-") and field not in _SIGNATURE:
                raise NotImplemented_(Header=field[:64])
        elif value or name not in SYSTEM_HEADERS:
            headers[name] = _header_value(name, value)
    if "tagging" in fields:
        tags = tagging.read_object(fields["tagging"].encode())
        headers["x-amz-tagging"] = urlencode(json.loads(tags))
    return headers


def _header_value(name: str, value: str) -> str:
    """The value as a header carries it: bytes of UTF-8, no line break."""
    if not TOKEN.fullmatch(name) or CONTROL.search(value):
        raise InvalidArgument(ArgumentName=name[:64], ArgumentValue=value[:256])
    return value.strip().encode().decode("latin-1")


def _answer(context: Context, fields: Fields, stored: Reply) -> Reply:
    """What the form asked to be answered: a redirection, a status, or a document that tells where the object is."""
    location, etag = object_url(context), stored.headers["etag"]
    wanted = fields.get("success_action_redirect") or fields.get("redirect", "")
    redirection = _redirection(wanted, {"bucket": context.request.bucket, "key": fields["key"], "etag": etag})
    if redirection:
        return Reply(303, stored.headers | {"location": redirection})
    headers = stored.headers | {"location": location}
    status = _STATUS.get(fields.get("success_action_status", ""), _NO_CONTENT)
    if status != 201:
        return Reply(status, headers)
    names = {"Location": location, "Bucket": context.request.bucket, "Key": fields["key"], "ETag": etag}
    elements = [xml.element(name, text) for name, text in names.items()]
    body = xml.document("PostResponse", *elements, namespace="")
    return Reply(201, headers | {"content-type": XML_TYPE}, body)


def _redirection(url: str, added: Mapping[str, str]) -> str:
    """The URL with what is added to its query; empty for what is no HTTP URL, which S3 ignores."""
    if not _URL.fullmatch(url):
        return ""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    query = "&".join(filter(None, [parts.query, urlencode(added, quote_via=quote)]))
    return urlunsplit(parts._replace(query=query)) if parts.hostname else ""
