"""The Security Token Service through the application, in process: actions, refusals, and that nobody gains by it."""

import json
import logging
import time
from urllib.parse import urlencode

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from lxml import etree
from scopes import scope

from auth.identity import account_number, canonical_id
from auth.sessions import open_token
from auth.store import CredentialStore
from backends.memory import MemoryBackend
from gateway.app import App
from gateway.context import Services
from gateway.spool import Spool
from gateway.sts import NAMESPACE, VERSION

KEY, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
FORM = "application/x-www-form-urlencoded"
ROLE = "arn:aws:iam::000000000000:role/uploader"
ASSUME = {"Action": "AssumeRole", "RoleArn": ROLE, "RoleSessionName": "photos"}
POLICY = {"Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]}
ROLES = {"Statement": [{"Effect": "Allow", "Action": ["s3:*", "sts:AssumeRole"], "Resource": "*"}]}
DENY = {"Statement": [{"Effect": "Deny", "Action": "sts:*", "Resource": "*"}]}


class Answer:
    """Status, headers, and the texts of the document by the name of their elements."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body
        self.root = etree.fromstring(body)
        self.texts = {etree.QName(one).localname: one.text for one in self.root.iter() if not len(one)}

    @property
    def code(self):
        return self.status, self.texts.get("Code")


class Client:
    """Sends requests to an application; signed as aws cli signs them, the hash of the body unnamed."""

    def __init__(self, app, store):
        self.app = app
        self.store = store

    async def ask(self, params, key=KEY, secret=SECRET, token=None, **options):
        params = {"Version": VERSION, **params}
        return await self.send("POST", "/", urlencode(params).encode(), (key, secret, token), **options)

    async def send(self, method, target, body, key=None, headers=None, service="sts", other_body=None):
        sent = {"host": "localhost", "content-type": FORM, **(headers or {})}
        if key:
            request = AWSRequest(method, f"http://localhost{target}", data=body, headers=sent)
            SigV4Auth(Credentials(*key), service, "us-east-1").add_auth(request)
            sent = {name.lower(): value for name, value in request.headers.items()}
        body = body if other_body is None else other_body
        sent["content-length"] = str(len(body))
        messages = []

        async def receive():
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message):
            messages.append(message)

        await self.app(scope(method, target, sent), receive, send)
        found = {name.decode(): value.decode() for name, value in messages[0]["headers"]}
        return Answer(messages[0]["status"], found, b"".join(one["body"] for one in messages[1:]))

    async def session(self, params=ASSUME, **options):
        """The temporary credentials that an action answers."""
        answer = await self.ask(params, **options)
        assert answer.status == 200, answer.body
        return tuple(answer.texts[name] for name in ("AccessKeyId", "SecretAccessKey", "SessionToken"))

    def identity(self, session):
        return open_token(session[2], session[0], self.store.lookup, time.time()).identity


@pytest.fixture
async def client(tmp_path):
    store = CredentialStore(tmp_path / "credentials.jsonl", environment={})
    store.add(KEY, SECRET)
    store.add("ALICE", SECRET, account="alice")
    store.add("BOB", SECRET, account="bob", policy=json.dumps(POLICY))
    store.add("ROLES", SECRET, policy=json.dumps(ROLES))
    store.add("DENIED", SECRET, policy=json.dumps(DENY))
    backend = MemoryBackend()
    app = App(Services(backend, backend, Spool(65536, 1 << 20, str(tmp_path)), accounts=store), store)
    yield Client(app, store)
    await app.aclose()


async def test_assume_role(client):
    answer = await client.ask(ASSUME | {"Policy": json.dumps(POLICY, indent=4), "ExternalId": "id"})
    assert answer.status == 200
    assert answer.root.tag == f"{{{NAMESPACE}}}AssumeRoleResponse"
    assert answer.headers["content-type"] == "text/xml"
    assert (
        answer.headers["x-amzn-requestid"] == answer.headers["x-amz-request-id"] == answer.texts["RequestId"]
    )
    texts = answer.texts
    number = account_number("")
    assert texts["Arn"] == f"arn:aws:sts::{number}:assumed-role/s3gw/photos"
    assert texts["AssumedRoleId"] == f"{texts['AccessKeyId']}:photos"
    assert int(texts["PackedPolicySize"]) in range(1, 10)
    expires = time.mktime(time.strptime(texts["Expiration"], "%Y-%m-%dT%H:%M:%SZ")) - time.timezone
    assert abs(expires - time.time() - 3600) < 60
    session = (texts["AccessKeyId"], texts["SecretAccessKey"], texts["SessionToken"])
    identity = client.identity(session)
    assert json.loads(identity.session_policy) == POLICY
    assert (identity.owns_everything, identity.session) == (True, "photos")
    who = await client.ask({"Action": "GetCallerIdentity"}, *session)
    assert (who.texts["Arn"], who.texts["UserId"]) == (texts["Arn"], texts["AssumedRoleId"])


async def test_get_session_token(client):
    session = await client.session({"Action": "GetSessionToken", "DurationSeconds": "900"}, key="BOB")
    identity = client.identity(session)
    assert (identity.account, identity.session_policy) == (canonical_id("bob"), None)
    assert json.loads(identity.policy) == POLICY
    own, its = [await client.ask({"Action": "GetCallerIdentity"}, *key) for key in (("BOB",), session)]
    for name in ("Arn", "UserId", "Account"):
        assert own.texts[name] == its.texts[name], "the session is the same user"


async def test_get_caller_identity(client):
    for key, account in ((KEY, ""), ("ALICE", "alice"), ("DENIED", "")):
        texts = (await client.ask({"Action": "GetCallerIdentity"}, key)).texts
        assert texts["Arn"] == f"arn:aws:iam::{account_number(account)}:user/{key}"
        assert (texts["UserId"], texts["Account"]) == (key, account_number(account))


async def test_a_get_will_do(client):
    target = f"/?Action=GetCallerIdentity&Version={VERSION}"
    answer = await client.send("GET", target, b"", (KEY, SECRET))
    assert (answer.status, answer.texts["UserId"]) == (200, KEY)


async def test_an_account_is_assumed_by_the_owner_only(client):
    for named in (account_number("alice"), "alice"):
        role = ASSUME | {"RoleArn": f"arn:aws:iam::{named}:role/any-name"}
        identity = client.identity(await client.session(role))
        assert (identity.account, identity.name, identity.parent) == (canonical_id("alice"), "alice", KEY)
        assert client.identity(await client.session(role, key="ALICE")).account == canonical_id("alice")
        answer = await client.ask(role, key="BOB")
        assert answer.code == (403, "AccessDenied")
        assert f"perform: sts:AssumeRole on resource: {role['RoleArn']}" in answer.texts["Message"]
    for named in (account_number(""), "s3gw"):
        role = ASSUME | {"RoleArn": f"arn:aws:iam::{named}:role/any-name"}
        assert (await client.ask(role, key="ALICE")).code == (403, "AccessDenied"), "nobody becomes the owner"


@pytest.mark.parametrize(
    "role", [ROLE, "arn:xxx:xxx:xxx:xxxx", "arn:minio:iam:::role/readonly", "arn:aws:iam::nobody:role/a"]
)
async def test_a_role_of_no_known_account_is_ones_own(client, role):
    session = await client.session(ASSUME | {"RoleArn": role}, key="ALICE")
    assert client.identity(session).account == canonical_id("alice")


@pytest.mark.parametrize("action", [ASSUME, {"Action": "GetSessionToken"}])
async def test_a_session_makes_no_session(client, action):
    """RustFS class of session policies: nothing that narrows a session is ever left behind by making another."""
    for params in (ASSUME | {"Policy": json.dumps(POLICY)}, {"Action": "GetSessionToken"}):
        answer = await client.ask(action, *(await client.session(params)))
        assert answer.code == (403, "AccessDenied")


async def test_a_policy_may_forbid_sessions(client):
    for action in (ASSUME, {"Action": "GetSessionToken"}):
        assert (await client.ask(action, key="DENIED")).code == (403, "AccessDenied")


async def test_a_policy_must_allow_to_assume_a_role(client):
    """RustFS class of session policies: whoever chooses the name of a session could choose one that a bucket trusts."""
    assert (await client.ask(ASSUME, key="BOB")).code == (403, "AccessDenied")
    identity = client.identity(await client.session(ASSUME, key="ROLES"))
    assert json.loads(identity.policy) == ROLES, "which the session keeps"


async def test_a_narrowed_key_of_the_owner_stays_in_its_account(client):
    role = {"RoleArn": f"arn:aws:iam::{account_number('alice')}:role/any-name"}
    assert (await client.ask(ASSUME | role, key=KEY)).status == 200
    assert (await client.ask(ASSUME | role, key="ROLES")).code == (403, "AccessDenied")


WRONG = [
    ({"RoleArn": None}, "ValidationError"),
    ({"RoleArn": "arn:short"}, "ValidationError"),
    ({"RoleArn": "arn:" + "x" * 2045}, "ValidationError"),
    ({"RoleArn": "no role at all, but long enough"}, "ValidationError"),
    ({"RoleArn": "arn:aws:iam::1:role/a\nb-and-more"}, "ValidationError"),
    ({"RoleSessionName": None}, "ValidationError"),
    ({"RoleSessionName": "x"}, "ValidationError"),
    ({"RoleSessionName": "x" * 65}, "ValidationError"),
    ({"RoleSessionName": "a b"}, "ValidationError"),
    ({"RoleSessionName": "é-name"}, "ValidationError"),
    ({"DurationSeconds": "899"}, "ValidationError"),
    ({"DurationSeconds": "43201"}, "ValidationError"),
    ({"DurationSeconds": "1e3"}, "ValidationError"),
    ({"DurationSeconds": "-900"}, "ValidationError"),
    ({"DurationSeconds": ""}, "ValidationError"),
    ({"DurationSeconds": "9" * 5000}, "ValidationError"),
    ({"Policy": ""}, "MalformedPolicyDocument"),
    ({"Policy": "{"}, "MalformedPolicyDocument"),
    ({"Policy": "[" * 2000}, "MalformedPolicyDocument"),
    ({"Policy": '{"Statement":[{"Effect":"Allow"}]}'}, "MalformedPolicyDocument"),
    ({"Policy": json.dumps(POLICY) + " " * 2048}, "PackedPolicyTooLarge"),
    ({"Tags.member.1.Key": "a", "Tags.member.1.Value": "b"}, "ValidationError"),
    ({"PolicyArns.member.1.arn": "arn:aws:iam::aws:policy/ReadOnlyAccess"}, "ValidationError"),
    ({"SourceIdentity": "me"}, "ValidationError"),
    ({"SerialNumber": "mfa", "TokenCode": "123456"}, "ValidationError"),
    ({"Action": "AssumeRoleWithWebIdentity"}, "InvalidAction"),
    ({"Action": "<&>"}, "InvalidAction"),
    ({"Action": None}, "MissingAction"),
    ({"Version": "2011-06-16"}, "InvalidAction"),
    ({"Version": None}, "InvalidAction"),
]


@pytest.mark.parametrize(("changes", "code"), WRONG)
async def test_what_is_malformed_is_refused(client, changes, code):
    params = {name: value for name, value in (ASSUME | changes).items() if value is not None}
    if "Version" in changes and changes["Version"] is None:
        body = urlencode(params).encode()
        answer = await client.send("POST", "/", body, (KEY, SECRET))
    else:
        answer = await client.ask(params)
    assert answer.code == (400, code)
    assert answer.root.tag == f"{{{NAMESPACE}}}ErrorResponse"
    assert answer.texts["Type"] == "Sender"
    assert answer.texts["RequestId"] == answer.headers["x-amzn-requestid"]


async def test_a_constraint_reads_as_on_aws(client):
    answer = await client.ask(ASSUME | {"DurationSeconds": "1"})
    assert answer.texts["Message"] == (
        "1 validation error detected: Value '1' at 'durationSeconds' failed to satisfy constraint: "
        "Member must have value greater than or equal to 900"
    )


async def test_a_session_token_may_live_longer(client):
    params = {"Action": "GetSessionToken", "DurationSeconds": "129600"}
    assert (await client.ask(params)).status == 200
    assert (await client.ask(params | {"DurationSeconds": "129601"})).code == (400, "ValidationError")
    assert (await client.ask(params | {"Policy": json.dumps(POLICY)})).code == (400, "ValidationError")


async def test_who_proves_nothing_gets_nothing(client):
    """CVE-2020-11012: an access key without its secret is nobody."""
    body = urlencode({"Version": VERSION, **ASSUME}).encode()
    assert (await client.send("POST", "/", body)).code == (403, "MissingAuthenticationToken")
    for key, secret in ((KEY, "another-secret"), ("ALICE", ""), (KEY, KEY)):
        assert (await client.ask(ASSUME, key, secret)).code == (403, "SignatureDoesNotMatch")
    for key in ("NOBODY", ""):
        assert (await client.ask(ASSUME, key or "x")).code == (403, "InvalidClientTokenId")
    other = urlencode({"Version": VERSION, "Action": "GetSessionToken"}).encode()
    answer = await client.send("POST", "/", body, (KEY, SECRET), other_body=other)
    assert answer.code == (403, "SignatureDoesNotMatch"), "another body than the signed one"
    answer = await client.send("POST", "/", body, (KEY, SECRET), service="s3")
    assert answer.code == (403, "SignatureDoesNotMatch")
    named = {"x-amz-content-sha256": "0" * 64}
    assert (await client.send("POST", "/", body, (KEY, SECRET), named)).code == (403, "SignatureDoesNotMatch")
    unsigned = {"x-amz-content-sha256": "UNSIGNED-PAYLOAD"}
    assert (await client.send("POST", "/", body, (KEY, SECRET), unsigned)).code[0] in (400, 403)
    target = f"/?Action=GetCallerIdentity&Version={VERSION}"
    answer = await client.send("GET", target, b"", (KEY, "another-secret"))
    assert answer.code == (403, "SignatureDoesNotMatch")
    answer = await client.send("GET", target, b"signed", (KEY, SECRET), other_body=b"other")
    assert answer.code == (403, "SignatureDoesNotMatch"), "also where the body has no use"


async def test_a_disabled_parent_ends_its_sessions(client):
    session = await client.session()
    assert (await client.ask({"Action": "GetCallerIdentity"}, *session)).status == 200
    client.store.set_enabled(KEY, False)
    answer = await client.ask({"Action": "GetCallerIdentity"}, *session)
    assert answer.code == (403, "InvalidClientTokenId")


async def test_a_large_form_is_refused_before_it_is_read(client):
    answer = await client.ask(ASSUME | {"Policy": "x" * 70_000})
    assert answer.code == (400, "EntityTooLarge")


async def test_bytes_that_are_no_text_are_refused(client):
    answer = await client.send("POST", "/", b"Action=%ff", (KEY, SECRET))
    assert answer.code == (400, "MalformedQueryString")


async def test_other_requests_to_the_service_are_s3s(client):
    listing = await client.send("GET", "/", b"", (KEY, SECRET), service="s3")
    assert etree.QName(listing.root).localname == "ListAllMyBucketsResult"
    post = await client.send("POST", "/", b"x", (KEY, SECRET), {"content-type": "text/plain"}, service="s3")
    assert etree.QName(post.root).localname == "Error"
    form = await client.send("POST", "/bucket", b"Action=GetCallerIdentity", (KEY, SECRET))
    assert etree.QName(form.root).localname == "Error"


async def test_the_log_shows_no_token(client, caplog):
    session = await client.session()
    for name in ("auth", "gateway"):
        caplog.set_level(logging.DEBUG, name)
    caplog.clear()
    await client.ask({"Action": "GetSessionToken"}, *session)
    await client.ask({"Action": "GetCallerIdentity"}, session[0], "another-secret", session[2])
    await client.session()
    assert "AccessDenied" in caplog.text
    assert "SignatureDoesNotMatch" in caplog.text
    records = [record for record in caplog.records if not record.name.startswith("botocore")]
    for secret in (*session[1:], session[2][:40], SECRET):
        assert all(secret not in record.getMessage() for record in records)
