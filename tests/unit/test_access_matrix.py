"""Operation by caller by state: who gets past the door, for every row of the operations table.

A caller who is let in may still be told that a body is malformed or a document missing; a caller who is not is told
AccessDenied and nothing else. The application runs in process on the memory backend.
"""

import json

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from lxml import etree
from scopes import scope

from auth.store import CredentialStore
from backends.base import Doc, NewBucket, Ref
from backends.memory import MemoryBackend
from gateway.app import App
from gateway.authorise import FURTHER_ACTIONS
from gateway.context import Level, Services
from gateway.operations import OPERATIONS
from gateway.spool import Spool

SECRET = "a-secret-of-the-tests"
KEYS = {
    "OWNER": {},
    "ALICE": {"account": "alice"},
    "ALICESREADER": {
        "account": "alice",
        "policy": {"Statement": [{"Effect": "Allow", "Action": "s3:Get*", "Resource": "arn:aws:s3:::*"}]},
    },
    "BOB": {"account": "bob"},
}
ACCOUNT_WIDE = {"ListBuckets", "CreateBucket"}
"""What every account may do by itself."""
ROWS = [row for row in OPERATIONS if not (row.form or row.per_item)]
"""Without forms, whose fields tell the caller, and DeleteObjects, which is answered key by key."""


def target_of(row, bucket="place"):
    """The request target that names a row, and the headers that it needs."""
    words = row.selector.split()
    headers = {}
    if "copy" in words:
        headers["x-amz-copy-source"] = "place/key"
    if "route" in words:
        headers["x-amz-request-route"] = "io-1"
    if words[:1] == ["renameObject"]:
        headers["x-amz-rename-source"] = f"/{bucket}/key"
    names = {
        "copy": "",
        "route": "",
        "uploadId": "uploadId=u&partNumber=1" if row.method == "PUT" else "uploadId=u",
        "list-type": "list-type=2",
        "id": "id=1",
        "annotationName": "annotationName=a",
    }
    query = "&".join(filter(None, (names.get(word, word) for word in words)))
    path = {Level.SERVICE: "/", Level.BUCKET: f"/{bucket}", Level.OBJECT: f"/{bucket}/key"}[row.level]
    return (f"{path}?{query}" if query else path), headers


class Door:
    """An application with a bucket of alice's, and ways to knock."""

    def __init__(self, tmp_path, **options):
        path = tmp_path / "credentials.jsonl"
        lines = ({"access_key": key, "secret_key": SECRET, **fields} for key, fields in KEYS.items())
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        path.chmod(0o600)
        store = CredentialStore(path, environment={})
        store.load()
        self.backend = MemoryBackend()
        spool = Spool(65536, 1 << 20, str(tmp_path))
        services = Services(
            self.backend, self.backend, spool, versioned=self.backend, accounts=store, **options
        )
        self.app = App(services, store)

    async def open(self, policy=None):
        owner = (self.app.services.accounts.account_id("alice")) or ""
        docs = {Doc.OWNERSHIP: "BucketOwnerEnforced"} | ({Doc.POLICY: policy} if policy else {})
        await self.backend.create_bucket("place", NewBucket(owner, docs))
        assert (await self.knock("OWNER", "PUT", "/place/key", {}))[0] in (200, 403)
        return self

    async def knock(self, key, method, target, headers):
        sent = {"host": "localhost", **headers}
        if key:
            request = AWSRequest(method, f"http://localhost{target}", headers=headers)
            S3SigV4Auth(Credentials(key, SECRET), "s3", "us-east-1").add_auth(request)
            sent |= {name.lower(): value for name, value in request.headers.items()}
        if method in ("PUT", "POST"):
            sent["content-length"] = "0"
        messages = []

        async def receive():
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message):
            messages.append(message)

        await self.app(scope(method, target, sent), receive, send)
        body = b"".join(message.get("body", b"") for message in messages[1:])
        code = etree.fromstring(body).findtext("Code") if body[:1] == b"<" and method != "HEAD" else None
        return messages[0]["status"], code


@pytest.fixture
async def door(tmp_path):
    made = []

    async def make(policy=None, **options):
        made.append(Door(tmp_path, **options))
        return await made[-1].open(policy)

    yield make
    for one in made:
        await one.app.aclose()


def statement(effect, row, principal="*", actions=None):
    wanted = actions or sorted({row.action, row.versioned_action} - {""})
    resource = ["arn:aws:s3:::place", "arn:aws:s3:::place/*"]
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [{"Effect": effect, "Principal": principal, "Action": wanted, "Resource": resource}],
        }
    )


def denied(answer):
    return answer[0] == 403 and answer[1] in (None, "AccessDenied")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
async def test_a_private_bucket(door, row):
    """Its owner and the owner of everything pass; another account and the anonymous do not."""
    gate = await door()
    target, headers = target_of(row)
    if row.name == "CreateBucket":
        target = "/another"
    for key in ("OWNER", "ALICE"):
        assert not denied(await gate.knock(key, row.method, target, headers)), key
        if row.name in ("DeleteBucket", "DeleteObject"):
            await gate.knock("OWNER", "PUT", "/place", {})
            await gate.knock("OWNER", "PUT", "/place/key", {})
    stranger = await gate.knock("BOB", row.method, target, headers)
    assert denied(stranger) is (row.name not in ACCOUNT_WIDE), stranger
    assert denied(await gate.knock("", row.method, target, headers))


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row.name not in ACCOUNT_WIDE], ids=lambda row: row.name
)
async def test_a_narrowed_key(door, row):
    """A key whose policy allows reading gets what begins with s3:Get, and nothing else, in its own account."""
    gate = await door()
    target, headers = target_of(row)
    expected = not row.action.startswith("s3:Get")
    assert denied(await gate.knock("ALICESREADER", row.method, target, headers)) is expected


POLICY_ROWS = [row for row in ROWS if row.level is not Level.SERVICE and row.name != "CreateBucket"]


@pytest.mark.parametrize("row", POLICY_ROWS, ids=lambda row: row.name)
async def test_a_policy_that_allows_the_action(door, row):
    """Just that action is enough, for another account and for the anonymous; with `none` not for the latter."""
    copies = {
        "CopyObject": ["s3:GetObject"],
        "RenameObject": ["s3:GetObject", "s3:DeleteObject"],
        "UploadPartCopy": ["s3:GetObject"],
    }.get(row.name, [])
    further = [*copies, *FURTHER_ACTIONS.get((row.name, False), ())]
    policy = statement("Allow", row, actions=[row.action, *further])
    gate = await door(policy)
    target, headers = target_of(row)
    for key in ("BOB", ""):
        answer = await gate.knock(key, row.method, target, headers)
        assert not denied(answer), (key, answer)
        await gate.knock("OWNER", "PUT", "/place/key", {})
        await gate.backend.put_doc(Ref("place", ""), Doc.POLICY, policy)


@pytest.mark.parametrize("row", POLICY_ROWS, ids=lambda row: row.name)
async def test_a_policy_that_allows_everything_else(door, row):
    """All actions but this one: the action's name in the table is the one that is asked for."""
    names = {row.action, row.versioned_action} - {""}
    text = json.loads(statement("Allow", row))
    text["Statement"][0]["NotAction"] = sorted(names)
    del text["Statement"][0]["Action"]
    gate = await door(json.dumps(text))
    target, headers = target_of(row)
    assert denied(await gate.knock("BOB", row.method, target, headers))


@pytest.mark.parametrize("row", POLICY_ROWS, ids=lambda row: row.name)
async def test_a_policy_that_denies_the_action(door, row):
    """A Deny binds everybody, the owner too, who keeps no more than the way to mend the policy."""
    gate = await door(statement("Deny", row))
    target, headers = target_of(row)
    for key in ("BOB", "ALICE", "OWNER", ""):
        mends = key in ("ALICE", "OWNER") and row.name.endswith("BucketPolicy")
        assert denied(await gate.knock(key, row.method, target, headers)) is not mends, key


@pytest.mark.parametrize("row", POLICY_ROWS, ids=lambda row: row.name)
async def test_nothing_for_the_anonymous(door, row):
    """`anonymous = "none"` holds whatever a policy says."""
    gate = await door(statement("Allow", row), anonymous="none")
    target, headers = target_of(row)
    assert denied(await gate.knock("", row.method, target, headers))


async def test_an_unreadable_policy_denies(door):
    gate = await door("nonsense")
    for key in ("BOB", "ALICE", "OWNER", ""):
        assert denied(await gate.knock(key, "GET", "/place/key", {}))


async def test_a_version_is_another_action(door):
    row = next(row for row in OPERATIONS if row.name == "GetObject")
    gate = await door(statement("Allow", row, actions=["s3:GetObject"]))
    assert (await gate.knock("BOB", "GET", "/place/key", {}))[0] == 200
    assert denied(await gate.knock("BOB", "GET", "/place/key?versionId=null", {}))
    assert (await gate.backend.head_object(Ref("place", "key"))).info.size == 0
