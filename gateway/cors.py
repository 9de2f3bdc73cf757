"""Cross-origin requests: preflights, and what a browser must be told with any answer to a script of another origin.

The protocol is pure; `preflight` and `answer_headers` alone look up the bucket. Nothing is done for requests without
an Origin header.

Sources: https://fetch.spec.whatwg.org/#http-cors-protocol,
https://docs.aws.amazon.com/AmazonS3/latest/userguide/cors.html
"""

from collections.abc import Mapping

from backends.base import Backend, Doc
from gateway.configurations import cors
from gateway.configurations.cors import METHODS, Cors, Rule
from gateway.errors import AccessForbidden, BadRequest, NoSuchBucket, S3Error
from gateway.reply import Reply
from gateway.request import TOKEN, Request

VARY = "Origin, Access-Control-Request-Headers, Access-Control-Request-Method"
_METHOD = "access-control-request-method"
_HEADERS = "access-control-request-headers"
MAX_NAMES = 100
"""Headers that one request may ask for: each is compared with each that is allowed."""
_NOT_ALLOWED = (
    "CORSResponse: This CORS request is not allowed. This is usually because the evalution of Origin, request method / "
    "Access-Control-Request-Method or Access-Control-Request-Headers are not whitelisted by the resource's CORS spec."
)


async def preflight(request: Request, backend: Backend) -> Reply:
    """Answer OPTIONS of a bucket or object, whoever asks. Raises BadRequest, AccessForbidden."""
    if not request.headers.get("origin"):
        raise BadRequest("Insufficient information. Origin request header needed.")
    found = allowed_headers(await _configuration(request, backend), request)
    if found is None:
        raise _forbidden(request, _NOT_ALLOWED, "OBJECT" if request.key else "BUCKET")
    return Reply(200, found)


async def answer_headers(request: Request, backend: Backend) -> dict[str, str]:
    """What any answer to the request carries beyond its own headers; nothing without an Origin header."""
    if "origin" not in request.headers or not request.bucket:
        return {}
    try:
        text = (await backend.head_bucket(request.bucket)).docs.get(Doc.CORS)
    except S3Error:  # no such bucket
        return {}
    if text is None:
        return {}
    # A cache must not show to one origin what was answered to another, so Vary is told to those not allowed too.
    return allowed_headers(cors.load(text), request) or {"vary": VARY}


def allowed_headers(configuration: Cors, request: Request) -> dict[str, str] | None:
    """The headers that allow the request (or, for a preflight, the request that it announces); None: not allowed."""
    origin = request.headers["origin"]
    method = request.headers.get(_METHOD, request.method)
    wanted = requested_headers(request.headers)
    for rule in configuration.rules:
        pattern = _matching_origin(rule, origin)
        if pattern is not None and method in rule.methods and _allows(rule, wanted):
            return _headers(rule, origin if pattern != "*" else "*", wanted)
    return None


def requested_headers(headers: Mapping[str, str]) -> tuple[str, ...]:
    """The names in Access-Control-Request-Headers, in lower case, each once."""
    value = headers.get(_HEADERS, "").lower()
    return tuple(dict.fromkeys(name for name in (name.strip() for name in value.split(",")) if name))


def matches(pattern: str, value: str) -> bool:
    """Whether the value is the pattern, in which one `*` stands for any characters or none."""
    before, star, after = pattern.partition("*")
    if not star:
        return pattern == value
    return len(value) >= len(before) + len(after) and value.startswith(before) and value.endswith(after)


def _matching_origin(rule: Rule, origin: str) -> str | None:
    return next((pattern for pattern in rule.origins if matches(pattern, origin)), None)


def _allows(rule: Rule, wanted: tuple[str, ...]) -> bool:
    """Whether each name, which must be one, is allowed: what is allowed is written into the answer."""
    if len(wanted) > MAX_NAMES:
        return False
    patterns = [pattern.lower() for pattern in rule.headers] if wanted else []
    return all(
        TOKEN.fullmatch(name) and any(matches(pattern, name) for pattern in patterns) for name in wanted
    )


def _headers(rule: Rule, origin: str, wanted: tuple[str, ...]) -> dict[str, str]:
    headers = {
        "access-control-allow-origin": origin,
        "access-control-allow-methods": ", ".join(rule.methods),
        "vary": VARY,
    }
    if origin != "*":  # credentials go only with an origin that the configuration names
        headers["access-control-allow-credentials"] = "true"
    if wanted:
        headers["access-control-allow-headers"] = ", ".join(wanted)
    if rule.expose:
        headers["access-control-expose-headers"] = ", ".join(rule.expose)
    if rule.max_age is not None:
        headers["access-control-max-age"] = str(rule.max_age)
    return headers


async def _configuration(request: Request, backend: Backend) -> Cors:
    """The configuration that a preflight is about, once the request makes sense. Raises BadRequest, AccessForbidden."""
    try:
        text = (await backend.head_bucket(request.bucket)).docs.get(Doc.CORS) if request.bucket else None
    except S3Error as error:
        if error.kind is not NoSuchBucket:
            raise
        raise _forbidden(request, "CORSResponse: Bucket not found", "BUCKET") from None
    if text is None:
        raise _forbidden(request, "CORSResponse: CORS is not enabled for this bucket.", "BUCKET")
    method = request.headers.get(_METHOD, "null")
    if method not in METHODS:
        raise BadRequest(f"Invalid Access-Control-Request-Method: {method[:256]}")
    return cors.load(text)


def _forbidden(request: Request, message: str, resource: str) -> S3Error:
    return AccessForbidden(
        message, Method=request.headers.get(_METHOD, "OPTIONS")[:256], ResourceType=resource
    )
