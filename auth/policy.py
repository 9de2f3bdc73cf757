"""Policies: reading them, what is wrong with them, and what they say to a request. Pure.

    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*",
     "Action": "s3:GetObject", "Resource": "arn:aws:s3:::photos/public/*"}]}

One reader serves the three kinds: the policy of a bucket names principals, that of a credential or of a session does not.
What a policy does not know, it refuses: an unknown field, operator or key would be a rule that nobody keeps.

Sources: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html,
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

from auth.actions import Kind, covered, kinds
from auth.identity import Identity
from auth.policy_conditions import Condition, read_conditions
from auth.policy_text import Keys, PolicyError, Resolved, Template, Wildcard, literal, matches, template
from auth.principals import EVERYBODY, all_names, identity_keys, is_valid, own_names, tells_identity
from gateway.errors import MalformedPolicy

__all__ = [
    "Effect",
    "Policy",
    "PolicyError",
    "Principal",
    "Request",
    "Statement",
    "evaluate",
    "parse",
    "uses_object_tags",
    "validate_bucket_policy",
    "validate_identity_policy",
]

MAX_BYTES = 20_480
"""The longest policy. Source: S3 user guide, bucket policies."""

S3_ARN = "arn:aws:s3:::"
_WITH_VARIABLES = "2012-10-17"
_VERSIONS = ("2008-10-17", _WITH_VARIABLES)
_POLICY_FIELDS = frozenset({"Version", "Id", "Statement"})
_STATEMENT_FIELDS = frozenset(
    "Sid Effect Principal NotPrincipal Action NotAction Resource NotResource Condition".split()
)
_PRINCIPAL_KINDS = frozenset({"AWS", "CanonicalUser", "Federated", "Service"})
_SYNTAX = "Invalid policy syntax."
_NO_OBJECT = "Policies must be valid JSON and the first byte must be '{'"
_LISTING_KEYS = frozenset({"s3:prefix", "s3:delimiter", "s3:max-keys"})
_JSON = "This policy contains invalid Json"


class Effect(StrEnum):
    """What a statement does to what it means."""

    ALLOW = "Allow"
    DENY = "Deny"


class Principal(NamedTuple):
    """One principal of a policy: `kind` is `AWS`, `CanonicalUser`, `Federated` or `Service`."""

    kind: str
    name: str

    def is_one_of(self, names: frozenset[str]) -> bool:
        """Whether it is everybody, or one of the names of a caller. No caller here is a service, or federated."""
        if self.kind == "AWS":
            return self.name == EVERYBODY or self.name in names
        return self.kind == "CanonicalUser" and self.name in names


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement. The `not_...` flags tell that what is listed is what is not meant.

    `principals` is None in policies that belong to a caller. `actions` are in lower case: case does not count there.
    """

    sid: str
    effect: Effect
    principals: tuple[Principal, ...] | None
    not_principals: bool
    actions: tuple[Resolved, ...]
    not_actions: bool
    resources: tuple[Template, ...]
    not_resources: bool
    conditions: tuple[Condition, ...]

    def applies(self, request: "Request") -> bool:
        """Whether the statement speaks of a request.

        Where that hangs on a variable without a value, a Deny does and an Allow does not.
        """
        if not (self._means_caller(request) and self._means_action(request.action)):
            return False
        undecided = False
        for answer in chain((self._means_resource(request),), self._hold(request)):
            if answer is False:
                return False
            undecided |= answer is None
        return not undecided or self.effect is Effect.DENY

    def _means_caller(self, request: "Request") -> bool:
        if self.principals is None:
            return True
        # Who is excepted under one of his names is excepted, whichever names a grant may go to.
        names = all_names(request.identity) if self.not_principals else request.names
        return self.not_principals != any(principal.is_one_of(names) for principal in self.principals)

    def _means_action(self, action: str) -> bool:
        name = action.lower()
        return self.not_actions != any(matches(text, name) for text in self.actions)

    def _means_resource(self, request: "Request") -> bool | None:
        texts = [text.constant or text.resolve(request.keys) for text in self.resources]
        found = any(text is not None and matches(text, request.resource) for text in texts)
        if self.not_resources and not found and None in texts:
            return None
        return self.not_resources != found

    def _hold(self, request: "Request") -> Iterable[bool | None]:
        return (condition.holds(request.keys) for condition in self.conditions)


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy as it was written."""

    version: str
    id: str
    statements: tuple[Statement, ...]


@dataclass(slots=True)
class Request:
    """What a policy is asked about.

    `resource` is an ARN, `conditions` gives the condition keys and is called at most once, if a policy has a use for them.
    `direct` asks for what is granted to this very key (or to everybody), not to its account.
    """

    identity: Identity
    action: str
    resource: str
    conditions: Callable[[], Keys] = dict
    direct: bool = False
    _keys: Keys | None = field(default=None, init=False, repr=False)

    @property
    def names(self) -> frozenset[str]:
        """The names under which a grant may reach the caller."""
        return own_names(self.identity) if self.direct else all_names(self.identity)

    @property
    def keys(self) -> Keys:
        """The condition keys, in lower case. Those that tell the caller are never taken from `conditions`."""
        if self._keys is None:
            keys: dict[str, tuple[str, ...]] = {}
            for name, values in self.conditions().items():
                key = name.lower()
                if not tells_identity(key):
                    keys[key] = keys.get(key, ()) + tuple(values)
            self._keys = {**keys, **identity_keys(self.identity)}
        return self._keys


def evaluate(policy: Policy, request: Request) -> Effect | None:
    """What a policy says to a request: a Deny before an Allow, and None if it says nothing."""
    found = None
    for statement in policy.statements:
        if statement.effect is found or not statement.applies(request):
            continue
        if statement.effect is Effect.DENY:
            return Effect.DENY
        found = Effect.ALLOW
    return found


def uses_object_tags(policy: Policy) -> bool:
    """Whether the policy asks for the tags that an object has, so that they must be loaded."""
    return any(
        key.startswith("s3:existingobjecttag/")
        for statement in policy.statements
        for key in _keys_of(statement)
    )


def _keys_of(statement: Statement) -> Iterable[str]:
    for text in statement.resources:
        yield from text.variables
    for condition in statement.conditions:
        yield condition.key
        yield from condition.variables


# Reading.


@lru_cache(maxsize=256)
def parse(text: str) -> Policy:
    """Read a policy of any kind. Raises PolicyError."""
    if not text.startswith("{"):
        raise PolicyError(_NO_OBJECT)
    try:
        document = json.loads(text, object_pairs_hook=_without_duplicates, parse_constant=_no_constant)
        json.dumps(document, ensure_ascii=False).encode()
    except PolicyError:
        raise
    except (ValueError, RecursionError) as error:  # not JSON; or characters that no encoding has
        raise PolicyError(_JSON) from error
    return _policy(document)


def _policy(document: Mapping[str, object]) -> Policy:
    _check_fields(document, _POLICY_FIELDS)
    version = document.get("Version", _VERSIONS[0])
    if version not in _VERSIONS:
        raise PolicyError("The policy must contain a valid version string")
    statements = _required(document, "Statement")
    if isinstance(statements, dict):
        statements = [statements]
    if not isinstance(statements, list):
        raise PolicyError(_SYNTAX)
    if not statements:
        raise PolicyError("Could not parse the policy: Statement is empty!")
    read = tuple(_statement(statement, version == _WITH_VARIABLES) for statement in statements)
    _check_sids(read)
    return Policy(str(version), _string(document.get("Id", "")), read)


def _statement(document: object, variables: bool) -> Statement:
    if not isinstance(document, dict):
        raise PolicyError(_SYNTAX)
    _check_fields(document, _STATEMENT_FIELDS)
    effect = _effect(_required(document, "Effect"))
    principals, not_principals = _either(document, "Principal", required=False)
    actions, not_actions = _either(document, "Action")
    resources, not_resources = _either(document, "Resource")
    return Statement(
        sid=_string(document.get("Sid", "")),
        effect=effect,
        principals=None if principals is None else _principals(principals),
        not_principals=not_principals,
        actions=tuple(_action(text) for text in _strings(actions, "Policy has invalid action")),
        not_actions=not_actions,
        resources=tuple(
            template(text, variables=variables) for text in _strings(resources, "Policy has invalid resource")
        ),
        not_resources=not_resources,
        conditions=read_conditions(document.get("Condition", {}), variables=variables),
    )


def _effect(value: object) -> Effect:
    for effect in Effect:
        if value == effect.value:
            return effect
    raise PolicyError(f"Invalid effect: {str(value)[:128]}")


def _action(text: str) -> Resolved:
    action = template(text.lower(), variables=False).constant
    assert action is not None
    return action


def _principals(value: object) -> tuple[Principal, ...]:
    """Besides AWS's forms, a bare name or a list of them, as versitygw writes what AWS puts under "AWS"."""
    invalid = PolicyError("Invalid principal in policy")
    if isinstance(value, str | list):
        value = {"AWS": value}
    if not isinstance(value, dict) or not value or not value.keys() <= _PRINCIPAL_KINDS:
        raise invalid
    return tuple(
        Principal(kind, name) for kind, names in value.items() for name in _strings(names, str(invalid))
    )


def _either(document: Mapping[str, object], name: str, *, required: bool = True) -> tuple[object, bool]:
    """The element `name` or `Not...`, of which a statement has one; and whether it is the latter."""
    present = [spelling for spelling in (name, f"Not{name}") if spelling in document]
    if len(present) > 1:
        raise PolicyError(_SYNTAX)
    if not present:
        if required:
            raise PolicyError(f"Missing required field {name}")
        return None, False
    return document[present[0]], present[0] != name


def _required(document: Mapping[str, object], name: str) -> object:
    if name not in document:
        raise PolicyError(f"Missing required field {name}")
    return document[name]


def _check_fields(document: Mapping[str, object], known: frozenset[str]) -> None:
    for name in document:
        if name not in known:
            raise PolicyError(f"Unknown field {name[:128]}")


def _check_sids(statements: Sequence[Statement]) -> None:
    sids = [statement.sid for statement in statements if statement.sid]
    if len(set(sids)) < len(sids):
        raise PolicyError("Statement IDs (SID) in a single policy must be unique.")


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise PolicyError(_SYNTAX)
    return value


def _strings(value: object, message: str) -> list[str]:
    values = value if isinstance(value, list) else [value]
    texts = [text for text in values if isinstance(text, str) and text]
    if not texts or len(texts) < len(values):
        raise PolicyError(message)
    return texts


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """A JSON object whose names are different: readers disagree on which of two counts."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise PolicyError("Policies must not contain duplicate keys")
    return found


def _no_constant(name: str) -> object:
    raise PolicyError(_JSON)


# Checking.


def validate_bucket_policy(data: bytes, bucket: str, known_account: Callable[[str], bool]) -> str:
    """The text of a policy that a bucket may have. Raises MalformedPolicy.

    `known_account` tells whether a name, number, canonical id or access key is one of ours.
    """
    try:
        if len(data) > MAX_BYTES:
            raise PolicyError(f"Policies must not exceed {MAX_BYTES} bytes")
        text = _decoded(data)
        for statement in parse(text).statements:
            _check_principals(statement, known_account)
            _check_actions(statement, ("s3:", "s3express:", "s3-object-lambda:"))
            _check_resources(statement, bucket)
            _check_keys(statement)
            _check_kinds(statement)
    except PolicyError as error:
        raise MalformedPolicy(str(error)) from error
    return text


def validate_identity_policy(data: str) -> str:
    """The text of a policy that a credential or a session may have. Raises ValueError, in a sentence for people."""
    if len(data.encode(errors="replace")) > MAX_BYTES:
        raise PolicyError(f"Policies must not exceed {MAX_BYTES} bytes")
    for statement in parse(data).statements:
        if statement.principals is not None:
            raise PolicyError(
                "A policy of a credential or a session must not name a Principal: it is about its caller."
            )
        _check_actions(statement, ("s3:", "s3express:", "s3-object-lambda:", "sts:"))
        for text in statement.resources:
            if not (_text_of(text) == EVERYBODY or _text_of(text).startswith(S3_ARN)):
                raise PolicyError(
                    f"Policy has invalid resource: not {EVERYBODY}, and not beginning with {S3_ARN}"
                )
    return data


def _decoded(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise PolicyError(_JSON) from error


def _check_principals(statement: Statement, known_account: Callable[[str], bool]) -> None:
    if statement.principals is None:
        raise PolicyError("Missing required field Principal")
    if statement.not_principals and statement.effect is Effect.ALLOW:
        # Everybody but a few is nearly everybody: AWS does not support it either.
        raise PolicyError("Allow with NotPrincipal is not allowed.")
    for principal in statement.principals:
        if not _PRINCIPAL_CHECKS[principal.kind](principal.name, known_account):
            raise PolicyError("Invalid principal in policy")


def _is_canonical_user(name: str, known_account: Callable[[str], bool]) -> bool:
    return len(name) == 64 and known_account(name)


def _is_foreign(name: str, known_account: Callable[[str], bool]) -> bool:
    """A service or a provider of identities: none of them ever calls here."""
    return True


_PRINCIPAL_CHECKS: Mapping[str, Callable[[str, Callable[[str], bool]], bool]] = {
    "AWS": is_valid,
    "CanonicalUser": _is_canonical_user,
    "Federated": _is_foreign,
    "Service": _is_foreign,
}


def _check_actions(statement: Statement, services: tuple[str, ...]) -> None:
    """Every action is one that there is, or means one, and begins with its service."""
    for action in statement.actions:
        named = literal(action) == EVERYBODY or literal(action).startswith(services)
        if not named or not any(name.startswith(services) for name in _actions(action)):
            raise PolicyError("Policy has invalid action")


def _check_resources(statement: Statement, bucket: str) -> None:
    whole = S3_ARN + bucket
    for text in statement.resources:
        if not (_text_of(text) == whole or _text_of(text).startswith(whole + "/")):
            raise PolicyError("Policy has invalid resource")


def _check_kinds(statement: Statement) -> None:
    """Each action can be done to one of the resources. What is excepted tells nothing about what is meant."""
    if statement.not_resources or statement.not_actions:
        return
    there = {
        Kind.OBJECT if "/" in _text_of(text)[len(S3_ARN) :] else Kind.BUCKET for text in statement.resources
    }
    for action in statement.actions:
        if there.isdisjoint(kinds(_actions(action))):
            raise PolicyError("Action does not apply to any resource(s) in statement")


def _check_keys(statement: Statement) -> None:
    """What only listings have is asked of a listing. A denial that hangs on anything else would never deny."""
    asked = {condition.key for condition in statement.conditions} & _LISTING_KEYS
    lists = any(name.startswith("s3:listbucket") for action in statement.actions for name in _actions(action))
    if asked and statement.actions and not lists:
        raise PolicyError("Conditions do not apply to combination of actions and resources in statement")


def _actions(action: Resolved) -> frozenset[str]:
    return covered(literal(action))


def _text_of(text: Template) -> str:
    """A resource as written; a variable is a character that no bucket's name has."""
    return "".join(
        piece if isinstance(piece, str) else piece.value if isinstance(piece, Wildcard) else "$"
        for piece in text.pieces
    )
