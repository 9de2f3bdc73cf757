"""The Security Token Service: temporary keys for clients that should not hold a permanent one.

Requests to the service level in AWS's query protocol: a form, or the parameters of a GET, signed by version 4 for the
service `sts`. No roles are stored: a session has the rights of the key that it was made with, narrowed by the policy that
it was asked for with.

Sources: https://docs.aws.amazon.com/STS/latest/APIReference/API_Operations.html,
https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html
"""

import json
import logging
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from auth import policy
from auth.accounts import Accounts
from auth.checks import iso, shown
from auth.identity import Identity, account_number, canonical_id
from auth.principals import EVERYBODY, identity_keys, principal_arn
from auth.sessions import MAX_POLICY_CHARACTERS, Minted, PackedPolicyTooLarge, Terms, mint
from auth.verify import verify_sts
from gateway import xml
from gateway.context import Context, Level, Operation, Services
from gateway.errors import (
    AccessDenied,
    EntityTooLarge,
    InvalidAccessKeyId,
    Kind,
    MissingContentLength,
    S3Error,
)
from gateway.policy_keys import request_keys
from gateway.reply import Reply
from gateway.request import Request, parse_query

log = logging.getLogger(__name__)

VERSION = "2011-06-15"
NAMESPACE = f"https://sts.amazonaws.com/doc/{VERSION}/"
FORM_TYPE = "application/x-www-form-urlencoded"
MAX_FORM_BYTES = 64 * 1024

MissingAuthenticationToken = Kind(
    "MissingAuthenticationToken", 403, "Request is missing Authentication Token"
)
InvalidAction = Kind("InvalidAction", 400, "Could not find the operation.")
MissingAction = Kind("MissingAction", 400, "The request must contain the parameter Action.")
ValidationError = Kind("ValidationError", 400, "1 validation error detected")
MalformedPolicyDocument = Kind("MalformedPolicyDocument", 400, "The policy is not in the correct format.")

Params = Mapping[str, str]


class Call(NamedTuple):
    """One proved request. `now` in Unix seconds."""

    context: Context
    params: Params
    now: int

    @property
    def identity(self) -> Identity:
        """The caller."""
        return self.context.identity

    @property
    def accounts(self) -> Accounts:
        """Whom the gateway knows."""
        return self.context.services.accounts


@dataclass(frozen=True, slots=True)
class Action:
    """A row of the table of actions: who answers (with the content of the result), and what it understands."""

    answer: Callable[[Call], tuple[xml.Markup, ...]]
    params: frozenset[str] = frozenset()


def is_asked(request: Request) -> bool:
    """Whether a request is for this service, and not for S3."""
    if request.raw_path != "/" or request.bucket:
        return False
    if request.method == "POST":
        return request.headers.get("content-type", "").partition(";")[0].strip().lower() == FORM_TYPE
    return request.method == "GET" and "Action" in request.params and request.params.get("Version") == VERSION


async def answer(request: Request, services: Services, request_id: str) -> Reply:
    """Answer a request for which `is_asked`; errors too are told in the form of this service."""
    try:
        context = _verified(request, services)
        params = await _params(context)
        return _reply(_action_of(params), Call(context, params, int(time.time())), request_id)
    except S3Error as error:
        log.debug("%s %s: %s", request_id, request.method, error)
        return render_error(error, request_id)


def _verified(request: Request, services: Services) -> Context:
    """Who asks. Unless the hash of the body was sent, nobody is known before `_params`."""
    verified = verify_sts(
        request,
        services.accounts.lookup,
        region=services.region,
        now=time.time(),
        clock_skew=services.clock_skew,
    )
    if verified.identity.anonymous:
        raise MissingAuthenticationToken()
    return Context(request, OPERATION, verified, services)


async def _params(context: Context) -> Params:
    """The parameters. The body is always read, also that of a GET: it is what a signature without a hash is held against."""
    request = context.request
    if request.content_length is None and "transfer-encoding" in request.headers:
        raise MissingContentLength()
    if (request.content_length or 0) > MAX_FORM_BYTES:
        raise EntityTooLarge(MaxSizeAllowed=MAX_FORM_BYTES)
    body = await context.document(checksum=False)
    return parse_query(body.decode("latin-1")) if request.method == "POST" else request.params


def _action_of(params: Params) -> str:
    name = params.get("Action")
    if not name:
        raise MissingAction()
    if name not in ACTIONS or params.get("Version") != VERSION:
        version = shown(params.get("Version", ""))
        raise InvalidAction(f"Could not find operation {shown(name)} for version {version}")
    return name


def _reply(name: str, call: Call, request_id: str) -> Reply:
    action = ACTIONS[name]
    unknown = sorted(call.params.keys() - action.params - {"Action", "Version"})
    if unknown:
        raise ValidationError(f"{name} does not support the parameter {shown(unknown[0])} here.")
    return _document(
        xml.document(
            f"{name}Response",
            xml.element(f"{name}Result", *action.answer(call)),
            xml.element("ResponseMetadata", xml.element("RequestId", request_id)),
            namespace=NAMESPACE,
        ),
        request_id,
    )


def _document(body: bytes, request_id: str, status: int = 200) -> Reply:
    return Reply(
        status,
        {"content-type": "text/xml", "cache-control": "no-store", "x-amzn-requestid": request_id},
        body,
    )


# Errors: what the signature's check says, in the words of this service.


class _Told(NamedTuple):
    code: str
    status: int
    message: str = ""
    """Empty: the error's own."""


_INVALID_TOKEN = _Told("InvalidClientTokenId", 403, "The security token included in the request is invalid")
_ERRORS: Mapping[str, _Told] = {
    "AuthorizationHeaderMalformed": _Told("SignatureDoesNotMatch", 403),
    "ExpiredToken": _Told("ExpiredToken", 403, "The security token included in the request is expired"),
    "InternalError": _Told("InternalFailure", 500),
    "InvalidAccessKeyId": _INVALID_TOKEN,
    "InvalidArgument": _Told("IncompleteSignature", 400),
    "InvalidToken": _INVALID_TOKEN,
    "InvalidURI": _Told("MalformedQueryString", 400, "The query string contains a syntax error"),
    "RequestTimeTooSkewed": _Told("SignatureDoesNotMatch", 403),
    "XAmzContentSHA256Mismatch": _Told("SignatureDoesNotMatch", 403),
}


def render_error(error: S3Error, request_id: str) -> Reply:
    """The error in the query protocol's form."""
    told = _ERRORS.get(error.code, _Told(error.code, error.status))
    content = xml.element(
        "Error",
        xml.element("Type", "Sender" if told.status < 500 else "Receiver"),
        xml.element("Code", told.code),
        xml.element("Message", told.message or error.message),
    )
    body = xml.document("ErrorResponse", content, xml.element("RequestId", request_id), namespace=NAMESPACE)
    return _document(body, request_id, told.status)


# The actions.


def _assume_role(call: Call) -> tuple[xml.Markup, ...]:
    role, name = _text(call.params, "RoleArn"), _text(call.params, "RoleSessionName")
    seconds = _duration(call.params, 3600, 43_200)
    narrowed = _session_policy(call.params)
    _authorise(call, "sts:AssumeRole", role)
    account = _account_of(role, call)
    made = _mint(call, Terms(call.now, call.now + seconds, name, narrowed, account))
    account = account or call.identity.name
    session = Identity(made.access_key, canonical_id(account), account, session=name)
    user = xml.element(
        "AssumedRoleUser",
        xml.element("AssumedRoleId", *identity_keys(session)["aws:userid"]),
        xml.element("Arn", principal_arn(session)),
    )
    return _credentials(made), user, _packed_size(narrowed)


def _get_session_token(call: Call) -> tuple[xml.Markup, ...]:
    seconds = _duration(call.params, 43_200, 129_600)
    _authorise(call, "sts:GetSessionToken", EVERYBODY)
    return (_credentials(_mint(call, Terms(call.now, call.now + seconds))),)


def _get_caller_identity(call: Call) -> tuple[xml.Markup, ...]:
    """Everybody may ask this, whatever policies say, as on AWS."""
    identity = call.identity
    return (
        xml.element("Arn", principal_arn(identity)),
        xml.element("UserId", *identity_keys(identity)["aws:userid"]),
        xml.element("Account", account_number(identity.name)),
    )


ACTIONS: Mapping[str, Action] = {
    "AssumeRole": Action(
        _assume_role,
        # Nobody stored what an ExternalId would be held against; the other parameters would be promises.
        frozenset({"RoleArn", "RoleSessionName", "DurationSeconds", "Policy", "ExternalId"}),
    ),
    "GetSessionToken": Action(_get_session_token, frozenset({"DurationSeconds"})),
    "GetCallerIdentity": Action(_get_caller_identity),
}
"""What this service does."""

OPERATION = Operation("SecurityTokenService", "POST", Level.SERVICE, "", "sts:GetCallerIdentity")
"""What requests to this service are among the operations; who may do what is decided by action."""


_TO_BE_ALLOWED = frozenset({"sts:AssumeRole"})
"""What the policy of a key must allow; the rest it may deny. The name of a session is its maker's choice, and policies of
buckets may name it."""


def _authorise(call: Call, action: str, resource: str) -> None:
    """Raise AccessDenied for a session, which cannot make others, and where the key's policy is against the action."""
    identity = call.identity
    if identity.parent:
        raise AccessDenied(f"Cannot call {action.partition(':')[2]} with session credentials")
    if identity.policy is None:
        return
    context = call.context
    asked = policy.Request(
        identity,
        action,
        resource,
        lambda: request_keys(context.request, context.verified, context.services.trusted_proxies),
    )
    said = policy.evaluate(policy.parse(identity.policy), asked)
    if said is policy.Effect.DENY or (said is None and action in _TO_BE_ALLOWED):
        raise _not_authorised(identity, action, resource)


def _account_of(role: str, call: Call) -> str:
    """The name of the account that a role narrows the owner of everything to; empty: the session is the caller's own account's.

    Raises AccessDenied for a role of another account than the caller's. A key with a policy stays where it is: what the
    other account's buckets grant it there would come on top of the policy.
    """
    identity = call.identity
    named = role.split(":")[4]
    account = call.accounts.account_of(named) if named else None
    if account is None or account == identity.account:
        return ""
    if not identity.owns_everything or identity.policy is not None:
        raise _not_authorised(identity, "sts:AssumeRole", role)
    return call.accounts.account_name(account) or ""


def _not_authorised(identity: Identity, action: str, resource: str) -> S3Error:
    return AccessDenied(
        f"User: {principal_arn(identity)} is not authorized to perform: {action} on resource: {shown(resource)}"
    )


def _mint(call: Call, terms: Terms) -> Minted:
    parent = call.accounts.lookup(call.identity.access_key)
    if parent is None:  # disabled while the body came
        raise InvalidAccessKeyId()
    return mint(parent, terms)


def _credentials(made: Minted) -> xml.Markup:
    return xml.element(
        "Credentials",
        xml.element("AccessKeyId", made.access_key),
        xml.element("SecretAccessKey", made.secret_key),
        xml.element("SessionToken", made.token),
        xml.element("Expiration", iso(made.expires)),
    )


def _packed_size(narrowed: str | None) -> xml.Markup:
    """How much of its limit the session policy takes, in percent."""
    percent = None if narrowed is None else -(-len(narrowed) * 100 // MAX_POLICY_CHARACTERS)
    return xml.optional("PackedPolicySize", percent)


# Parameters, and how AWS says that one of them is wrong.


class _Rule(NamedTuple):
    least: int
    most: int
    pattern: str


_ARN = r"arn:[^:\s]*:[^:\s]*:[^:\s]*:[^:\s]*(:[!-~]*)?"
_TEXTS: Mapping[str, _Rule] = {
    "RoleArn": _Rule(20, 2048, _ARN),
    "RoleSessionName": _Rule(2, 64, r"[\w+=,.@-]*"),
}
_SHORTEST_SECONDS = 900


def _text(params: Params, name: str) -> str:
    value, rule = params.get(name), _TEXTS[name]
    if value is None:
        raise _invalid(name, None, "Member must not be null")
    if len(value) < rule.least:
        raise _invalid(name, value, f"Member must have length greater than or equal to {rule.least}")
    if len(value) > rule.most:
        raise _invalid(name, value, f"Member must have length less than or equal to {rule.most}")
    if not re.fullmatch(rule.pattern, value, re.ASCII):
        raise _invalid(name, value, f"Member must satisfy regular expression pattern: {rule.pattern}")
    return value


def _duration(params: Params, default: int, most: int) -> int:
    name = "DurationSeconds"
    value = params.get(name)
    if value is None:
        return default
    if not (value.isascii() and value.isdigit()) or len(value) > 9:
        raise _invalid(name, value, "Member must be an integer")
    if int(value) < _SHORTEST_SECONDS:
        raise _invalid(name, value, f"Member must have value greater than or equal to {_SHORTEST_SECONDS}")
    if int(value) > most:
        raise _invalid(name, value, f"Member must have value less than or equal to {most}")
    return int(value)


def _session_policy(params: Params) -> str | None:
    """The policy of a session, without blanks. Raises PackedPolicyTooLarge, MalformedPolicyDocument."""
    text = params.get("Policy")
    if text is None:
        return None
    if len(text) > MAX_POLICY_CHARACTERS:
        raise PackedPolicyTooLarge()
    try:
        return json.dumps(json.loads(policy.validate_identity_policy(text)), separators=(",", ":"))
    except ValueError as error:
        raise MalformedPolicyDocument(shown(str(error))) from None


def _invalid(name: str, value: str | None, constraint: str) -> S3Error:
    member = name[0].lower() + name[1:]
    given = "null" if value is None else f"'{shown(value)}'"
    return ValidationError(
        f"1 validation error detected: Value {given} at '{member}' failed to satisfy constraint: {constraint}"
    )
