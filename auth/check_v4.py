"""Signature version 4 on a request: in the Authorization header, and in the query (a presigned URL).

Sources: https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html,
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
"""

import logging
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from auth import sigv4
from auth.checks import (
    TOKEN,
    Moment,
    Rules,
    SignedRequest,
    check_skew,
    iso,
    known,
    log_refusal,
    moment,
    query_token,
    request_time,
    shown,
)
from auth.credential import Caller
from auth.identity import BodyMode, Verified
from auth.mac import Mac
from auth.payload import check_payload, chunked_mode, is_streaming, signs_chunks, verified
from auth.streaming import ChunkChain
from gateway.errors import (
    AccessDenied,
    AuthorizationHeaderMalformed,
    AuthorizationQueryParametersError,
    Kind,
    S3Error,
    SignatureDoesNotMatch,
)

log = logging.getLogger(__name__)

PAYLOAD_HEADER = "x-amz-content-sha256"
_REQUIRED = (
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    sigv4.SIGNATURE_PARAM,
    "X-Amz-Date",
    "X-Amz-SignedHeaders",
    "X-Amz-Expires",
)
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")


class Place(NamedTuple):
    """Where credentials stood, and so how their errors read."""

    presigned: bool
    error: Kind
    prefix: str
    date_prefix: str


_MALFORMED = "The authorization header is malformed; "
HEADER = Place(False, AuthorizationHeaderMalformed, _MALFORMED, _MALFORMED)
QUERY = Place(True, AuthorizationQueryParametersError, "Error parsing the X-Amz-Credential parameter; ", "")


class Scope(NamedTuple):
    """What a signature claims about itself: the key, the credential scope, the signed headers in order."""

    access_key: str
    date: str
    region: str
    service: str
    text: str
    names: str
    order: tuple[str, ...]
    signed: frozenset[str]


class Claim(NamedTuple):
    """A signature as it came with a request, with all that it needs to be proved but the body."""

    scope: Scope
    when: Moment
    signature: str
    place: Place


def verify_header(request: SignedRequest, rules: Rules) -> Verified:
    """Verify `Authorization: AWS4-HMAC-SHA256 ...`."""
    headers = request.headers
    scope, signature = parse_authorization(headers["authorization"], rules.service)
    caller = known(rules, scope.access_key, headers.get(TOKEN))
    when = request_time(headers)
    claim = Claim(scope, when, signature, HEADER)
    check_scope(scope, when, claim.place, rules.region)
    check_skew(when, rules)
    payload = headers.get(PAYLOAD_HEADER)
    _check_signed(headers, scope)
    if payload is None:
        if _has_body(headers):
            return _deferred(request, caller, claim)
        payload = sigv4.EMPTY_SHA256
    check_payload(payload)
    return _prove(request, caller, claim, payload)


def verify_query(request: SignedRequest, rules: Rules) -> Verified:
    """Verify a presigned URL."""
    params = request.params
    if not all(params.get(name) for name in _REQUIRED):
        raise AuthorizationQueryParametersError(
            "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, "
            "X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters."
        )
    if params["X-Amz-Algorithm"] != sigv4.ALGORITHM:
        raise AuthorizationQueryParametersError('X-Amz-Algorithm only supports "AWS4-HMAC-SHA256"')
    scope = parse_scope(params["X-Amz-Credential"], params["X-Amz-SignedHeaders"], QUERY, rules.service)
    when = moment(params["X-Amz-Date"]) if len(params["X-Amz-Date"]) == 16 else None
    if when is None:
        raise AuthorizationQueryParametersError(
            "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\""
        )
    caller = known(rules, scope.access_key, query_token(request))
    claim = Claim(scope, when, params[sigv4.SIGNATURE_PARAM], QUERY)
    check_scope(scope, when, claim.place, rules.region)
    _check_lifetime(when, _expires(params["X-Amz-Expires"]), rules)
    _check_signed(request.headers, scope)
    payload = _presigned_payload(request, scope)
    check_payload(payload)
    return _prove(request, caller, claim, payload)


def parse_authorization(header: str, service: str = sigv4.SERVICE) -> tuple[Scope, str]:
    """An Authorization header → its scope and signature. Raises AuthorizationHeaderMalformed.

    What stands before the signature is the same in all requests of a client in a day, so it is parsed once.
    """
    head, _, signature = header.rpartition("Signature=")
    if len(signature) == 64 and len(head) <= 1024:
        return _parse_head(head, service), signature
    fields = _fields(header)
    _check_count(len(fields))
    if "Signature" not in fields:
        raise AuthorizationHeaderMalformed(HEADER.prefix + "missing Signature.")
    return _scope_of(fields, service), fields["Signature"]


@lru_cache(maxsize=1024)
def _parse_head(head: str, service: str) -> Scope:
    fields = _fields(head)
    _check_count(len(fields) + 1)
    return _scope_of(fields, service)


def _check_count(count: int) -> None:
    if count != 3:
        raise AuthorizationHeaderMalformed(
            HEADER.prefix
            + "the authorization header requires three components: Credential, SignedHeaders, and Signature."
        )


def _fields(text: str) -> dict[str, str]:
    """`AWS4-HMAC-SHA256 A=b, C=d` → its fields; blanks after the commas are optional (mc sends none)."""
    fields: dict[str, str] = {}
    for part in filter(None, map(str.strip, text.partition(" ")[2].split(","))):
        name, equals, value = part.partition("=")
        if not equals or name in fields:
            raise AuthorizationHeaderMalformed(
                f'{HEADER.prefix}the authorization component "{shown(part)}" is malformed.'
            )
        fields[name] = value
    return fields


def _scope_of(fields: Mapping[str, str], service: str) -> Scope:
    for name in ("Credential", "SignedHeaders"):
        if not fields.get(name):
            raise AuthorizationHeaderMalformed(f"{HEADER.prefix}missing {name}.")
    return parse_scope(fields["Credential"], fields["SignedHeaders"], HEADER, service)


def parse_scope(credential: str, names: str, place: Place, service: str = sigv4.SERVICE) -> Scope:
    """`AKID/20130524/us-east-1/s3/aws4_request` and `host;x-amz-date` → a scope. Raises the place's error.

    An access key may contain slashes, so the scope is counted from its end. What is wrong for every key and time is
    refused here, before the key is looked up.
    """
    parts = credential.rsplit("/", 4)
    if len(parts) != 5 or not parts[0] or ("/" in parts[0] and parts[4] != sigv4.TERMINATOR):
        raise place.error(
            f"{place.prefix}the Credential is mal-formed; expecting "
            '"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".'
        )
    order = tuple(names.split(";"))
    if not all(_NAME.fullmatch(name) for name in order) or len(set(order)) != len(order):
        raise place.error(
            f"{place.prefix}SignedHeaders must be lower-case names, each once, separated by semicolons."
        )
    key, date, region, named, terminator = parts
    wrong = _wrong_part(date, named, terminator, service)
    if wrong:
        raise place.error(place.prefix + wrong)
    return Scope(key, date, region, service, "/".join(parts[1:]), names, order, frozenset(order))


def _wrong_part(date: str, named: str, terminator: str, service: str) -> str:
    """What is wrong with the parts of a scope that do not depend on the request; `service` is the one to be named."""
    if terminator != sigv4.TERMINATOR:
        return f'incorrect terminal "{shown(terminator)}". This endpoint uses "aws4_request".'
    if named != service:
        return f'incorrect service "{shown(named)}". This endpoint belongs to "{service}".'
    if len(date) != 8 or not (date.isascii() and date.isdigit()):
        return f'incorrect date format "{shown(date)}". This date in the credential must be in the format "yyyyMMdd".'
    return ""


def check_scope(scope: Scope, when: Moment, place: Place, region: str) -> None:
    """The region and the day must be ours and the request's own. Raises the place's error."""
    if scope.region != region:
        raise place.error(
            f"{place.prefix}the region '{shown(scope.region)}' is wrong; expecting '{region}'", Region=region
        )
    if not when.basic.startswith(scope.date):
        raise place.error(
            f'{place.date_prefix}Invalid credential date "{scope.date}". '
            f'This date is not the same as X-Amz-Date: "{when.basic[:8]}".'
        )


def _check_signed(headers: Mapping[str, str], scope: Scope) -> None:
    """The host and every `x-amz-*` header must be signed; the payload's hash is part of the signature anyway."""
    signed = scope.signed
    loose = [
        name for name in headers if name not in signed and name[:6] == "x-amz-" and name != PAYLOAD_HEADER
    ]
    if "host" not in signed:
        loose.append("host")
    if loose:
        raise AccessDenied(
            "There were headers present in the request which were not signed",
            HeadersNotSigned=shown(", ".join(sorted(loose))),
        )


def _has_body(headers: Mapping[str, str]) -> bool:
    return "transfer-encoding" in headers or headers.get("content-length", "0").strip("0") != ""


def _expires(text: str) -> int:
    if text[:1] == "-" and text[1:].isdigit():
        raise AuthorizationQueryParametersError("X-Amz-Expires must be non-negative")
    if not (text.isascii() and text.isdigit()):
        raise AuthorizationQueryParametersError("X-Amz-Expires should be a number")
    if len(text) > 9 or int(text) > sigv4.MAX_EXPIRES_SECONDS:
        raise AuthorizationQueryParametersError(
            "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than "
            "604800 seconds"
        )
    if int(text) < 1:
        raise AuthorizationQueryParametersError("X-Amz-Expires must be at least 1 second")
    return int(text)


def _check_lifetime(when: Moment, expires: int, rules: Rules) -> None:
    end = when.seconds + expires
    if rules.now > end:
        fields = {"Expires": iso(end), "ServerTime": iso(rules.now), "X-Amz-Expires": str(expires)}
        raise AccessDenied("Request has expired", **fields)
    if when.seconds - rules.now > rules.clock_skew:
        raise AccessDenied("Request is not yet valid", ServerTime=iso(rules.now))


def _presigned_payload(request: SignedRequest, scope: Scope) -> str:
    """What a presigned URL says of the body: the header if it is signed, else the parameter, else nothing."""
    header = request.headers.get(PAYLOAD_HEADER)
    if header is not None and PAYLOAD_HEADER in scope.signed:
        return header
    if is_streaming(header):
        raise AccessDenied(
            "There were headers present in the request which were not signed", HeadersNotSigned=PAYLOAD_HEADER
        )
    return request.params.get("X-Amz-Content-Sha256") or sigv4.UNSIGNED_PAYLOAD


def _prove(request: SignedRequest, caller: Caller, claim: Claim, payload: str) -> Verified:
    key = _check_signature(request, caller, claim, payload)
    scope, presigned = claim.scope, claim.place.presigned
    if not signs_chunks(payload):
        return verified(caller, "v4", presigned, payload)
    chain = ChunkChain(key, claim.when.basic, scope.text, claim.signature, scope.access_key)
    return Verified(caller.identity, "v4", presigned, chunked_mode(payload, chain))


def _deferred(request: SignedRequest, caller: Caller, claim: Claim) -> Verified:
    """The signature covers a hash that was not sent (curl 7.88): it is checked when the body is there."""

    def check(sha256: str) -> None:
        try:
            _check_signature(request, caller, claim, sha256)
        except S3Error as error:
            log_refusal(log, request, error)
            raise

    return Verified(caller.identity, "v4", False, BodyMode(deferred=check))


def _check_signature(request: SignedRequest, caller: Caller, claim: Claim, payload: str) -> Mac:
    """Give the signing key, or raise SignatureDoesNotMatch."""
    scope, when, signature, place = claim
    key = sigv4.signing_key(caller.secret_key, scope.date, scope.region, scope.service)
    lines = sigv4.canonical_headers(request.headers, scope.order)
    leave_out = sigv4.SIGNATURE_PARAM if place.presigned else ""
    first = ""
    for target in sigv4.canonical_targets(request.raw_path, request.raw_query, leave_out):
        canonical = sigv4.canonical_request(request.method, target, lines, scope.names, payload)
        text = sigv4.string_to_sign(when.basic, scope.text, canonical)
        if sigv4.same(sigv4.sign(key, text), signature):
            return key
        first = first or canonical
    raise SignatureDoesNotMatch(
        AWSAccessKeyId=scope.access_key,
        SignatureProvided=shown(signature),
        StringToSign=sigv4.string_to_sign(when.basic, scope.text, first),
        CanonicalRequest=first,
    )
