"""The condition keys of a request: what policies may ask about it. Pure.

A key's name is lower-case; its values are texts. A key that the request does not have is not in the mapping. Nothing is
ever taken from a header but by the table here, so that no client can fill a key of its choice.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html (s3: keys),
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html (aws: keys)
"""

import ipaddress
import math
import time
from collections.abc import Mapping, Sequence
from urllib.parse import unquote

from auth.checks import iso, moment
from auth.identity import Verified
from backends import clock
from gateway.configurations import object_lock
from gateway.request import TLS, Request

Keys = dict[str, tuple[str, ...]]

_FROM_QUERY = {
    "prefix": "s3:prefix",
    "delimiter": "s3:delimiter",
    "max-keys": "s3:max-keys",
    "versionId": "s3:versionid",
}
_FROM_HEADERS = {
    "referer": "aws:referer",
    "user-agent": "aws:useragent",
    "x-amz-acl": "s3:x-amz-acl",
    "x-amz-content-sha256": "s3:x-amz-content-sha256",
    "x-amz-grant-full-control": "s3:x-amz-grant-full-control",
    "x-amz-grant-read": "s3:x-amz-grant-read",
    "x-amz-grant-read-acp": "s3:x-amz-grant-read-acp",
    "x-amz-grant-write": "s3:x-amz-grant-write",
    "x-amz-grant-write-acp": "s3:x-amz-grant-write-acp",
    "x-amz-metadata-directive": "s3:x-amz-metadata-directive",
    "x-amz-object-lock-legal-hold": "s3:object-lock-legal-hold",
    "x-amz-object-lock-mode": "s3:object-lock-mode",
    "x-amz-object-lock-retain-until-date": "s3:object-lock-retain-until-date",
    "x-amz-object-ownership": "s3:x-amz-object-ownership",
    "x-amz-server-side-encryption": "s3:x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id": "s3:x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-server-side-encryption-customer-algorithm": "s3:x-amz-server-side-encryption-customer-algorithm",
    "x-amz-storage-class": "s3:x-amz-storage-class",
    "x-amz-website-redirect-location": "s3:x-amz-website-redirect-location",
    "if-match": "s3:if-match",
    "if-none-match": "s3:if-none-match",
}
_SIGNATURES = {"v4": "AWS4-HMAC-SHA256", "v2": "AWS"}
_CREATING = frozenset({"CompleteMultipartUpload", "CopyObject", "PostObject", "PutObject", "RenameObject"})
"""Operations after which there is an object; those of an upload before its end make none."""


def request_keys(request: Request, verified: Verified, trusted_proxies: Sequence[str]) -> Keys:
    """The keys that the request itself gives: time, address, headers, parameters. Those of the caller are `auth`'s."""
    now = time.time()
    keys: Keys = {
        "aws:currenttime": (iso(now),),
        "aws:epochtime": (str(int(now)),),
        "aws:securetransport": (str(is_secure(request, trusted_proxies)).lower(),),
        "aws:viaawsservice": ("false",),
    }
    address = source_ip(request, trusted_proxies)
    if address:
        keys["aws:sourceip"] = (address,)
    keys |= {key: (request.headers[name],) for name, key in _FROM_HEADERS.items() if name in request.headers}
    keys |= {key: (request.params[name],) for name, key in _FROM_QUERY.items() if name in request.params}
    keys |= _tls_keys(request) | _retention_keys_of(request) | _copy_keys(request)
    if not verified.identity.anonymous:
        keys |= _age_keys(request, verified, now)
        keys["s3:authtype"] = ("REST-QUERY-STRING" if verified.presigned else "REST-HEADER",)
        keys["s3:signatureversion"] = (_SIGNATURES.get(verified.scheme, verified.scheme),)
    return keys


def tag_keys(existing: Mapping[str, str] | None, requested: Mapping[str, str] | None) -> Keys:
    """The keys of the object's tags, and of those that the request would give it; None: there are none."""
    keys: Keys = {f"s3:existingobjecttag/{name}": (value,) for name, value in (existing or {}).items()}
    keys |= {f"s3:requestobjecttag/{name}": (value,) for name, value in (requested or {}).items()}
    if requested is not None:
        keys["s3:requestobjecttagkeys"] = tuple(requested)
    return keys


def resource_keys(account: str, region: str) -> Keys:
    """The keys of what the request is about: the number of the bucket's account, the region."""
    return {
        "aws:requestedregion": (region,),
        "aws:resourceaccount": (account,),
        "s3:resourceaccount": (account,),
    }


def creation_keys(operation: str) -> Keys:
    """Whether an operation that needs s3:PutObject makes an object."""
    return {"s3:objectcreationoperation": (str(operation in _CREATING).lower(),)}


def retention_keys(mode: str, until: int) -> Keys:
    """The keys of a retention until a time in ms since 1970."""
    return {
        "s3:object-lock-mode": (mode,),
        "s3:object-lock-retain-until-date": (iso(min(until // 1000, clock.LAST_SECOND)),),
    } | _remaining(until)


def _copy_keys(request: Request) -> Keys:
    """What is copied, in one spelling (`bucket/key`): else a rule could be passed by writing `/bucket/%6Bey`."""
    source = request.headers.get("x-amz-copy-source")
    return {} if source is None else {"s3:x-amz-copy-source": (unquote(source).removeprefix("/"),)}


def _remaining(until: int) -> Keys:
    """The days of a retention until a time in ms since 1970, one that has begun counting whole."""
    return {
        "s3:object-lock-remaining-retention-days": (str(math.ceil((until - clock.now()) / clock.DAY_MS)),)
    }


def _retention_keys_of(request: Request) -> Keys:
    """How long a write wants its object retained. A date that is none is refused where it is read."""
    until = object_lock.moment(request.headers.get(object_lock.UNTIL, ""))
    return {} if until is None else _remaining(until)


def _age_keys(request: Request, verified: Verified, now: float) -> Keys:
    """How old the signature is, in ms, where a date was signed: not in a URL by version 2, nor with a form."""
    headers, text = request.headers, ""
    if verified.presigned:
        text = request.params.get("X-Amz-Date", "") if verified.scheme == "v4" else ""
    elif "authorization" in headers:
        text = headers.get("x-amz-date") or headers.get("date", "")
    signed = moment(text) if 0 < len(text) <= 64 else None
    return {} if signed is None else {"s3:signatureage": (str(max(0, int((now - signed.seconds) * 1000))),)}


def _tls_keys(request: Request) -> Keys:
    """The version of TLS that the client speaks with us."""
    _, version, _ = request.scope.get("extensions", {}).get(TLS) or ("", "", 0)
    return {"s3:tlsversion": (version.removeprefix("TLSv"),)} if version else {}


def source_ip(request: Request, trusted_proxies: Sequence[str]) -> str:
    """The client's address: the peer's, or what trusted proxies say in X-Forwarded-For; empty if it is not known.

    The header is read from its end, past the proxies that are trusted: what a client puts in front of it counts nothing.
    """
    address = request.client
    hops = [hop.strip() for hop in request.headers.get("x-forwarded-for", "").split(",") if hop.strip()]
    while hops and _is_trusted(address, trusted_proxies):
        address = hops.pop()
    return address if _address(address) else ""


def is_secure(request: Request, trusted_proxies: Sequence[str]) -> bool:
    """Whether the client speaks TLS, with us or with a proxy that is trusted."""
    forwarded = request.headers.get("x-forwarded-proto", "")
    if forwarded and _is_trusted(request.client, trusted_proxies):
        return forwarded.lower() == "https"
    return request.scheme == "https"


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _is_trusted(text: str, trusted_proxies: Sequence[str]) -> bool:
    address = _address(text) if trusted_proxies else None
    if address is None:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return any(address in ipaddress.ip_network(network) for network in trusted_proxies)
