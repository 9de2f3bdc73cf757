"""Who sent this request? The table of signature schemes, and the choice among them.

Pure: no I/O, no clock. Any fragment of credentials makes a request signed; it then verifies or is refused, and never
falls back to being anonymous.
"""

import logging
from collections.abc import Callable, Mapping

from auth import check_v2, check_v4, sigv4
from auth.checks import TOKEN, Rules, SignedRequest, log_refusal, shown
from auth.credential import Credential, Lookup
from auth.identity import ANONYMOUS, Verified
from auth.payload import body_mode, check_payload, signs_chunks
from gateway.errors import InvalidArgument, InvalidRequest, InvalidToken, NotImplemented_, S3Error

__all__ = ["Credential", "Lookup", "SignedRequest", "verify"]

log = logging.getLogger(__name__)

Check = Callable[[SignedRequest, Rules], Verified]


def _sigv4a(request: SignedRequest, rules: Rules) -> Verified:
    raise NotImplemented_(
        "Signature version 4A (AWS4-ECDSA-P256-SHA256) is not supported; use AWS4-HMAC-SHA256."
    )


_BY_WORD: Mapping[str, Check] = {
    "AWS4-HMAC-SHA256": check_v4.verify_header,
    "AWS": check_v2.verify_header,
    "AWS4-ECDSA-P256-SHA256": _sigv4a,
}
"""By the first word of the Authorization header."""

_BY_ALGORITHM: Mapping[str, Check] = {"AWS4-ECDSA-P256-SHA256": _sigv4a}
"""By `X-Amz-Algorithm` in the query; everything else is version 4's to judge."""

_V2_PARAMS = frozenset({"awsaccesskeyid", "signature"})
_V4_PARAMS = frozenset(
    {
        "x-amz-algorithm",
        "x-amz-credential",
        "x-amz-date",
        "x-amz-expires",
        "x-amz-region-set",
        "x-amz-signature",
        "x-amz-signedheaders",
    }
)
"""Parameters, in any spelling, of which one alone makes a request signed. `Expires` alone is no credential."""


def verify(
    request: SignedRequest, lookup: Lookup, *, region: str, now: float, clock_skew: float = 900
) -> Verified:
    """Say who sent a request and what its signature promises about the body; nothing of the body is needed.

    `now` in Unix seconds, `clock_skew` in seconds. Raises AccessDenied, InvalidAccessKeyId, SignatureDoesNotMatch,
    RequestTimeTooSkewed, AuthorizationHeaderMalformed, AuthorizationQueryParametersError, InvalidArgument,
    InvalidRequest, InvalidToken, ExpiredToken, NotImplemented.
    """
    return _verify(_choose, request, Rules(lookup, region, now, clock_skew))


def verify_sts(
    request: SignedRequest, lookup: Lookup, *, region: str, now: float, clock_skew: float = 900
) -> Verified:
    """As `verify`, for a request to the Security Token Service: version 4 in the header, for the service `sts`.

    Raises the same errors. A signature for one service never verifies for the other: its name is in the signing key.
    """
    return _verify(_choose_sts, request, Rules(lookup, region, now, clock_skew, "sts"))


def _verify(choose: Callable[[SignedRequest], Check], request: SignedRequest, rules: Rules) -> Verified:
    try:
        return choose(request)(request, rules)
    except S3Error as error:
        log_refusal(log, request, error)
        raise


def _choose(request: SignedRequest) -> Check:
    headers = request.headers
    authorization = headers.get("authorization")
    in_query = _query_check(request.params) if request.params else None
    if authorization is None:
        return in_query or (_token_alone if TOKEN in headers else _anonymous)
    if in_query is not None:
        raise _too_many()
    return _BY_WORD.get(authorization.partition(" ")[0], _unsupported)


def _query_check(params: Mapping[str, str]) -> Check | None:
    """The scheme whose fragments are among the parameters, in whatever spelling."""
    names = {name.lower() for name in params}
    version_2, version_4 = not names.isdisjoint(_V2_PARAMS), not names.isdisjoint(_V4_PARAMS)
    if version_2 and version_4:
        raise _too_many()
    if version_4:
        return _BY_ALGORITHM.get(params.get("X-Amz-Algorithm", ""), check_v4.verify_query)
    if version_2:
        return check_v2.verify_query
    return _token_alone if TOKEN in names else None


def _choose_sts(request: SignedRequest) -> Check:
    authorization = request.headers.get("authorization")
    if authorization is None:
        return _anonymous
    return _sts_header if authorization.partition(" ")[0] == sigv4.ALGORITHM else _unsupported


def _sts_header(request: SignedRequest, rules: Rules) -> Verified:
    """The request is in the body, so the signature must cover that."""
    verified = check_v4.verify_header(request, rules)
    if verified.body.sha256 is None and verified.body.deferred is None:
        raise InvalidRequest("The signature must cover the request's body.")
    return verified


def _token_alone(request: SignedRequest, rules: Rules) -> Verified:
    """A token without a signature is a fragment of credentials too."""
    raise InvalidToken()


def _too_many() -> S3Error:
    return InvalidArgument(
        "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string "
        "parameter or the Authorization header should be specified"
    )


def _unsupported(request: SignedRequest, rules: Rules) -> Verified:
    """Of a header with a scheme only that is told: what stands behind it may be a secret."""
    authorization = request.headers["authorization"]
    scheme, blank, _ = authorization.partition(" ")
    if not blank:
        raise InvalidArgument(
            "Authorization header is invalid -- one and only one ' ' (space) required.",
            ArgumentName="Authorization",
            ArgumentValue=shown(authorization),
        )
    raise InvalidArgument(
        "Unsupported Authorization Type", ArgumentName="Authorization", ArgumentValue=shown(scheme)
    )


_NOBODY = Verified(ANONYMOUS)


def _anonymous(request: SignedRequest, rules: Rules) -> Verified:
    """No credentials. A body may be framed, but nothing could have signed its chunks."""
    payload = request.headers.get("x-amz-content-sha256")
    if payload is None:
        return _NOBODY
    check_payload(payload)
    if signs_chunks(payload):
        raise InvalidRequest(
            "Anonymous requests don't support this x-amz-content-sha256 value. "
            "Please use UNSIGNED-PAYLOAD or STREAMING-UNSIGNED-PAYLOAD-TRAILER."
        )
    return Verified(ANONYMOUS, body=body_mode(payload))
