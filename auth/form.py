"""The signature on a POST form: version 4 and version 2 over the form's policy, as the browser sends it (base64).

A signature says that somebody wanted uploads which fulfil this policy. Whether this upload does, and whether the policy
has expired, is for the form's handler to judge.

Sources: https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-authentication-HTTPPOST.html,
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTForms.html
"""

import logging
from collections.abc import Callable, Mapping

from auth import sigv2, sigv4
from auth.check_v4 import Place, Scope, check_scope, parse_scope
from auth.checks import TOKEN, Moment, Rules, known, moment, shown
from auth.credential import Caller, Lookup
from auth.identity import ANONYMOUS, Verified
from gateway.errors import InvalidArgument, InvalidRequest, NotImplemented_, S3Error, SignatureDoesNotMatch

log = logging.getLogger(__name__)

Fields = Mapping[str, str]
"""The fields of a form by lower-case name."""

FORM = Place(presigned=False, error=InvalidArgument, prefix="", date_prefix="")

_V4 = {
    "policy": "Policy",
    "x-amz-algorithm": "X-Amz-Algorithm",
    "x-amz-credential": "X-Amz-Credential",
    "x-amz-date": "X-Amz-Date",
    "x-amz-signature": "X-Amz-Signature",
}
_V2 = {"policy": "Policy", "awsaccesskeyid": "AWSAccessKeyId", "signature": "Signature"}
"""The fields that each version needs, and how S3 spells them where one is missing."""
_V4_FIELDS, _V2_FIELDS = _V4.keys() - {"policy"}, _V2.keys() - {"policy"}
_FRAGMENTS = frozenset(_V4.keys() | _V2.keys() | {TOKEN})
"""Fields of which one alone makes a form signed: it then verifies or is refused."""


def verify_form(fields: Fields, lookup: Lookup, *, region: str, now: float) -> Verified:
    """Say who signed a form, by its fields (lower-case names). A form without any fragment of credentials is anonymous.

    `now` in Unix seconds. Raises InvalidArgument (a field is missing or malformed), InvalidRequest (two versions at once),
    InvalidAccessKeyId, InvalidToken, ExpiredToken, SignatureDoesNotMatch, NotImplemented (version 4A).
    """
    if _FRAGMENTS.isdisjoint(fields):
        return Verified(ANONYMOUS)
    try:
        return _choose(fields)(fields, Rules(lookup, region, now))
    except S3Error as error:
        log.debug("refused a form: %s %r", error.code, error.message)
        raise


def _choose(fields: Fields) -> Callable[[Fields, Rules], Verified]:
    version_2, version_4 = not _V2_FIELDS.isdisjoint(fields), not _V4_FIELDS.isdisjoint(fields)
    if version_2 and version_4:
        raise InvalidRequest("A form must be signed by one version of the signature only.")
    return _version_2 if version_2 else _version_4


def _version_4(fields: Fields, rules: Rules) -> Verified:
    _require(fields, _V4)
    algorithm = fields["x-amz-algorithm"]
    if algorithm == "AWS4-ECDSA-P256-SHA256":
        raise NotImplemented_("Signature version 4A is not supported; use AWS4-HMAC-SHA256.")
    if algorithm != sigv4.ALGORITHM:
        raise _malformed(
            'X-Amz-Algorithm only supports "AWS4-HMAC-SHA256"', ("X-Amz-Algorithm", shown(algorithm))
        )
    scope = _scope(fields, rules)
    caller = known(rules, scope.access_key, fields.get(TOKEN))
    key = sigv4.signing_key(caller.secret_key, scope.date, scope.region)
    expected = sigv4.sign(key, _signed(fields))
    return _proved(caller, "v4", expected, fields["x-amz-signature"])


def _version_2(fields: Fields, rules: Rules) -> Verified:
    _require(fields, _V2)
    caller = known(rules, fields["awsaccesskeyid"], fields.get(TOKEN))
    expected = sigv2.sign(caller.secret_key, _signed(fields))
    return _proved(caller, "v2", expected, fields["signature"])


def _proved(caller: Caller, scheme: str, expected: str, provided: str) -> Verified:
    if sigv4.same(expected, provided):
        return Verified(caller.identity, scheme)
    raise SignatureDoesNotMatch(AWSAccessKeyId=caller.identity.access_key, SignatureProvided=shown(provided))


def _scope(fields: Fields, rules: Rules) -> Scope:
    credential, when = fields["x-amz-credential"], _date(fields["x-amz-date"])
    try:
        scope = parse_scope(credential, "policy", FORM)
        check_scope(scope, when, FORM, rules.region)
    except S3Error as error:
        error.fields |= {"ArgumentName": "X-Amz-Credential", "ArgumentValue": shown(credential)}
        raise
    return scope


def _date(text: str) -> Moment:
    found = moment(text) if len(text) == 16 else None
    if found is None:
        raise _malformed(
            "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"",
            ("X-Amz-Date", shown(text)),
        )
    return found


def _signed(fields: Fields) -> str:
    """What is signed: the policy as it came, its UTF-8 as latin-1 like everything else that is signed."""
    return fields["policy"].encode(errors="surrogatepass").decode("latin-1")


def _require(fields: Fields, names: Mapping[str, str]) -> None:
    for name, spelling in names.items():
        if not fields.get(name):
            raise _missing(spelling)


def _missing(spelling: str) -> S3Error:
    return _malformed(
        f"Bucket POST must contain a field named '{spelling}'.  If it is specified, please check the order of the fields.",
        (spelling, ""),
    )


def _malformed(message: str, argument: tuple[str, str]) -> S3Error:
    name, value = argument
    return InvalidArgument(message, ArgumentName=name, ArgumentValue=value)
