"""Signature version 2 on a request: in the Authorization header, and in the query (a presigned URL).

All `x-amz-*` headers are part of what version 2 signs. They count as headers only: a parameter of the same name in a
presigned URL does not stand in for one, for nothing here would act on it. The session token is the exception: it is
signed as the header that it stands for.

Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/RESTAuthentication.html
"""

from collections.abc import Iterator, Mapping
from itertools import product

from auth import sigv2, sigv4
from auth.checks import (
    TOKEN,
    Rules,
    SignedRequest,
    check_skew,
    iso,
    known,
    query_token,
    request_time,
    shown,
)
from auth.credential import Caller
from auth.identity import Verified
from auth.payload import is_streaming, verified
from gateway.errors import AccessDenied, InvalidArgument, InvalidRequest, SignatureDoesNotMatch

_REQUIRED = ("Signature", "Expires", "AWSAccessKeyId")


def verify_header(request: SignedRequest, rules: Rules) -> Verified:
    """Verify `Authorization: AWS key:signature`."""
    headers = request.headers
    access_key, colon, signature = headers["authorization"].partition(" ")[2].strip().rpartition(":")
    if not (colon and access_key and signature):
        raise InvalidArgument(
            "AWS authorization header is invalid.  Expected AwsAccessKeyId:signature",
            ArgumentName="Authorization",
        )
    caller = known(rules, access_key, headers.get(TOKEN))
    check_skew(request_time(headers), rules)
    date = "" if "x-amz-date" in headers else headers["date"].strip()
    return _prove(request, headers, caller, (signature, date), presigned=False)


def verify_query(request: SignedRequest, rules: Rules) -> Verified:
    """Verify a presigned URL."""
    params = request.params
    if not all(params.get(name) for name in _REQUIRED):
        raise AccessDenied(
            "Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters"
        )
    token = query_token(request)
    caller = known(rules, params["AWSAccessKeyId"], token)
    expires = params["Expires"]
    if not (expires.isascii() and expires.isdigit()) or len(expires) > 15:
        raise AccessDenied(f"Invalid date (should be seconds since epoch): {shown(expires)}")
    if rules.now > int(expires):
        raise AccessDenied("Request has expired", Expires=iso(int(expires)), ServerTime=iso(rules.now))
    signature = params["Signature"].replace(" ", "+")
    headers = request.headers if token is None else {**request.headers, TOKEN: token}
    return _prove(request, headers, caller, (signature, expires), presigned=True)


def _prove(
    request: SignedRequest,
    headers: Mapping[str, str],
    caller: Caller,
    signed: tuple[str, str],
    *,
    presigned: bool,
) -> Verified:
    """`signed`: the signature and the date that it was made with."""
    if is_streaming(headers.get("x-amz-content-sha256")):
        raise InvalidRequest("A STREAMING payload needs signature version 4.")
    (signature, date), text = signed, ""
    for resource in _resources(request, presigned=presigned):
        text = sigv2.string_to_sign(request.method, headers, date, resource)
        if sigv4.same(sigv2.sign(caller.secret_key, text), signature):
            return verified(caller, "v2", presigned, sigv4.UNSIGNED_PAYLOAD)
    raise SignatureDoesNotMatch(
        AWSAccessKeyId=caller.identity.access_key, SignatureProvided=shown(signature), StringToSign=text
    )


def _resources(request: SignedRequest, *, presigned: bool) -> Iterator[str]:
    """The canonical resource as different clients understand it.

    Older clients know fewer subresources. That is borne in the header, which its sender made for this very request,
    but not in a presigned URL, which somebody else completes.
    """
    known_words = (sigv2.SUBRESOURCES,) if presigned else (sigv2.SUBRESOURCES, sigv2.ALWAYS_SIGNED)
    seen = set[str]()
    for path, words, plus in product(_paths(request), known_words, (False, True)):
        resource = sigv2.canonical_resource(path, request.raw_query, words, plus=plus)
        if resource not in seen:
            seen.add(resource)
            yield resource


def _paths(request: SignedRequest) -> tuple[str, ...]:
    """The signed path. boto3 sends `/bucket` and signs `/bucket/`, which names the same bucket."""
    path = request.raw_path
    if request.host_style:
        return (sigv2.bucket_path(request.bucket) + path,)
    return (path,) if "/" in path[1:] or path == "/" else (path, path + "/")
