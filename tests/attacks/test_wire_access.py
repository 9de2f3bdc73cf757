"""Ways to what was not granted, over the wire: by other versions, copies, renames, bodies, uploads, headers."""

import base64
import json
import secrets
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from harness import ALICE, BOB, KEY, Gateway, eventually, refusal
from wire import Answer, Signer, request_bytes, send
from wire import exchange as exchange_bytes

SECRET_BYTES = b"classified"
DENIED = (403, "AccessDenied")
NO_VERSION = "A" * 32
"""An id that a version could have, and none has."""
SETTINGS = {"s3_gateway": {"workers": 1}}


def told(answer: Answer) -> tuple[int, str]:
    code = answer.body.partition(b"<Code>")[2].partition(b"</Code>")[0]
    return answer.status, code.decode()


def statement(effect: str = "Allow", action: Any = "s3:*", resource: Any = "*", **elements: Any) -> Any:
    return {"Effect": effect, "Action": action, "Resource": resource, **elements}


def policy(*statements: Any) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def for_alice(*statements: Any) -> str:
    return json.dumps(policy(*({**one, "Principal": {"AWS": "alice"}} for one in statements)))


def arns(bucket: str, *keys: str) -> list[str]:
    return [f"arn:aws:s3:::{bucket}{'/' * bool(key)}{key}" for key in keys or ("", "*")]


@dataclass
class Attacker:
    """Sends requests with one key."""

    gateway: Gateway
    signer: Signer

    def __call__(
        self, method: str, target: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        return send(self.gateway.port, method, target, signer=self.signer, body=body, signed=headers)


@pytest.fixture
def attacker(gateway: Gateway) -> Attacker:
    """The account alice, who owns nothing here."""
    return Attacker(gateway, Signer(*ALICE))


@pytest.fixture
def narrowed(gateway: Gateway) -> Callable[..., Attacker]:
    """Makes a key of an account (none: the owner of everything) with a policy."""

    def make(*statements: Any, account: str = "") -> Attacker:
        key, secret = f"NARROW{secrets.token_hex(6).upper()}", secrets.token_hex(16)
        owner = {"account": account} if account else {}
        gateway.add_credential(key, secret, policy=policy(*statements), **owner)
        made = Attacker(gateway, Signer(key, secret))
        eventually(lambda: told(made("GET", "/"))[1] != "InvalidAccessKeyId", "the key is known")
        return made

    return make


def grant(s3: Any, bucket: str, *permissions: str, account: str = "alice") -> None:
    """Let the ACL of a bucket give an account permissions."""
    owner = s3.get_bucket_acl(Bucket=bucket)["Owner"]["ID"]
    wanted = {f"Grant{name}": f'id="{account}"' for name in permissions}
    s3.put_bucket_acl(Bucket=bucket, GrantFullControl=f'id="{owner}"', **wanted)


# Versions and copies.


@pytest.mark.parametrize("query", [f"versionId={NO_VERSION}", "versionId=null"])
def test_cve_2026_39360_a_version_of_the_target_opens_no_source(
    s3: Any, acl_bucket: str, attacker: Attacker, query: str
) -> None:
    """RustFS mx42, wfxj: who may list and write copies what he may not read, helped by a `versionId` that is not the source's."""
    s3.put_object(Bucket=acl_bucket, Key="secret", Body=SECRET_BYTES)
    grant(s3, acl_bucket, "Read", "Write")
    source = {"x-amz-copy-source": f"/{acl_bucket}/secret"}
    assert told(attacker("PUT", f"/{acl_bucket}/stolen", headers=source)) == DENIED
    assert told(attacker("PUT", f"/{acl_bucket}/stolen?{query}", headers=source)) == DENIED
    upload = s3.create_multipart_upload(Bucket=acl_bucket, Key="stolen")["UploadId"]
    part = f"/{acl_bucket}/stolen?uploadId={upload}&partNumber=1&{query}"
    assert told(attacker("PUT", part, headers=source)) == DENIED
    assert [one["Key"] for one in s3.list_objects_v2(Bucket=acl_bucket)["Contents"]] == ["secret"]


def test_rustfs_wfxj_an_open_version_opens_no_closed_one(
    s3: Any, acl_bucket: str, attacker: Attacker
) -> None:
    """The ACL of a public old version lets nobody copy the private current one."""
    s3.put_bucket_versioning(Bucket=acl_bucket, VersioningConfiguration={"Status": "Enabled"})
    old = s3.put_object(Bucket=acl_bucket, Key="k", Body=b"open", ACL="public-read")["VersionId"]
    s3.put_object(Bucket=acl_bucket, Key="k", Body=SECRET_BYTES)
    grant(s3, acl_bucket, "Read", "Write")
    source = {"x-amz-copy-source": f"/{acl_bucket}/k"}
    assert told(attacker("PUT", f"/{acl_bucket}/stolen?versionId={old}", headers=source)) == DENIED
    assert told(attacker("GET", f"/{acl_bucket}/k")) == DENIED
    assert attacker("GET", f"/{acl_bucket}/k?versionId={old}").body == b"open"


def test_rustfs_3ppv_reading_a_version_needs_the_right_to_versions(
    s3: Any, bucket: str, attacker: Attacker
) -> None:
    """GetObject, HEAD, tags, attributes, Select and copies of `?versionId` are not authorised as GetObject."""
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    old = s3.put_object(Bucket=bucket, Key="k", Body=b"a,b\n1,2\n")["VersionId"]
    s3.put_object(Bucket=bucket, Key="k", Body=b"x,y\n3,4\n")
    plain = [
        "s3:GetObject",
        "s3:PutObject",
        "s3:GetObjectTagging",
        "s3:GetObjectAttributes",
        "s3:GetObjectAcl",
    ]
    s3.put_bucket_policy(Bucket=bucket, Policy=for_alice(statement(action=plain, resource=arns(bucket, "*"))))
    assert attacker("GET", f"/{bucket}/k").body == b"x,y\n3,4\n"
    version = f"versionId={old}"
    for method, target in (
        ("GET", f"k?{version}"),
        ("GET", f"k?tagging&{version}"),
        ("GET", f"k?acl&{version}"),
    ):
        assert told(attacker(method, f"/{bucket}/{target}")) == DENIED, target
    assert attacker("HEAD", f"/{bucket}/k?{version}").status == 403
    wanted = {"x-amz-object-attributes": "ETag"}
    assert told(attacker("GET", f"/{bucket}/k?attributes&{version}", headers=wanted)) == DENIED
    source = {"x-amz-copy-source": f"/{bucket}/k?{version}"}
    assert told(attacker("PUT", f"/{bucket}/copy", headers=source)) == DENIED
    assert told(attacker("POST", f"/{bucket}/k?select&select-type=2", SELECT))[0] == 200
    assert told(attacker("POST", f"/{bucket}/k?select&select-type=2&{version}", SELECT)) == DENIED


SELECT = b"""<SelectObjectContentRequest><Expression>SELECT * FROM S3Object</Expression>
<ExpressionType>SQL</ExpressionType><InputSerialization><CSV/></InputSerialization>
<OutputSerialization><CSV/></OutputSerialization></SelectObjectContentRequest>"""


def test_rustfs_x298_versions_are_not_listed_by_who_may_list_objects(
    s3: Any, bucket: str, gateway: Gateway
) -> None:
    """ListObjectVersions is an action of its own, and a restricted public policy opens neither."""
    public = statement(action="s3:ListBucket", resource=arns(bucket, ""), Principal="*")
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy(public)))
    assert send(gateway.port, "GET", f"/{bucket}").status == 200
    assert told(send(gateway.port, "GET", f"/{bucket}?versions")) == DENIED
    public["Action"] = ["s3:ListBucket", "s3:ListBucketVersions"]
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy(public)))
    assert send(gateway.port, "GET", f"/{bucket}?versions").status == 200
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration={"RestrictPublicBuckets": True})
    for target in (f"/{bucket}", f"/{bucket}?versions", f"/{bucket}?list-type=2"):
        assert told(send(gateway.port, "GET", target)) == DENIED


def test_no_way_of_reading_tells_a_missing_key_to_who_may_not_list(
    s3: Any, bucket: str, attacker: Attacker
) -> None:
    """All answers for a missing key are the same as those for one that is not granted: also Select's, and a copy's."""
    readable = statement(action=["s3:GetObject*", "s3:PutObject"], resource=arns(bucket, "*"))
    s3.put_bucket_policy(Bucket=bucket, Policy=for_alice(readable))
    gone = f"/{bucket}/not-there"
    assert told(attacker("GET", gone)) == DENIED
    assert attacker("HEAD", gone).status == 403
    assert told(attacker("GET", f"{gone}?versionId=null")) == DENIED
    assert told(attacker("GET", f"{gone}?tagging")) == DENIED
    assert told(attacker("POST", f"{gone}?select&select-type=2", SELECT)) == DENIED
    assert told(attacker("PUT", f"/{bucket}/copy", headers={"x-amz-copy-source": gone})) == DENIED


def test_cve_2016_7031_authenticated_is_not_anonymous(
    s3: Any, acl_bucket: str, attacker: Attacker, gateway: Gateway
) -> None:
    """What ACLs give everybody with a key, nobody without one gets."""
    s3.put_object(Bucket=acl_bucket, Key="k", Body=SECRET_BYTES, ACL="authenticated-read")
    s3.put_bucket_acl(Bucket=acl_bucket, ACL="authenticated-read")
    for target in (f"/{acl_bucket}", f"/{acl_bucket}?list-type=2", f"/{acl_bucket}/k"):
        assert told(send(gateway.port, "GET", target)) == DENIED
        assert attacker("GET", target).status == 200


def test_a_version_that_is_not_there_hides_no_denial(s3: Any, bucket: str, attacker: Attacker) -> None:
    """What a policy denies by an object's tags stays denied beside a `versionId` that a write has no use for."""
    s3.put_object(Bucket=bucket, Key="k", Body=SECRET_BYTES, Tagging="locked=yes")
    locked = {"StringEquals": {"s3:ExistingObjectTag/locked": "yes"}}
    s3.put_bucket_policy(
        Bucket=bucket,
        Policy=for_alice(
            statement(resource=arns(bucket)),
            statement("Deny", "s3:PutObject", arns(bucket, "*"), Condition=locked),
        ),
    )
    for query in ("", f"?versionId={NO_VERSION}", "?versionId=null"):
        assert told(attacker("PUT", f"/{bucket}/k{query}", b"overwritten")) == DENIED, query
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == SECRET_BYTES


def test_a_rename_reads_and_deletes_its_source(s3: Any, bucket: str, attacker: Attacker) -> None:
    """Who may do everything below one prefix moves nothing there from another, and learns nothing of it."""
    s3.put_object(Bucket=bucket, Key="secret", Body=SECRET_BYTES)
    s3.put_object(Bucket=bucket, Key="mine/a", Body=b"a")
    s3.put_bucket_policy(
        Bucket=bucket,
        Policy=for_alice(
            statement(action="s3express:CreateSession", resource=arns(bucket, "")),
            statement(resource=arns(bucket, "mine/*")),
        ),
    )
    for source in ("secret", "not-there"):
        headers = {"x-amz-rename-source": f"/{bucket}/{source}"}
        assert told(attacker("PUT", f"/{bucket}/mine/stolen?renameObject", headers=headers)) == DENIED
    missing = {"x-amz-rename-source": f"/{bucket}/mine/not-there"}
    assert told(attacker("PUT", f"/{bucket}/mine/b?renameObject", headers=missing)) == DENIED
    own = {"x-amz-rename-source": f"/{bucket}/mine/a"}
    assert told(attacker("PUT", f"/{bucket}/elsewhere?renameObject", headers=own)) == DENIED
    assert attacker("PUT", f"/{bucket}/mine/b?renameObject", headers=own).status == 200
    assert [one["Key"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["mine/b", "secret"]


# Policies of keys and sessions.


def test_rustfs_566f_a_narrowed_key_makes_nothing_public(
    s3: Any, acl_bucket: str, narrowed: Callable[..., Attacker], gateway: Gateway
) -> None:
    """RustFS xgr5, 5354: what a key's policy does not allow (an ACL), no ACL of the bucket brings back."""
    grant(s3, acl_bucket, "Read")
    key = narrowed(statement(action="s3:PutObject", resource=arns(acl_bucket, "*")))
    assert key("PUT", f"/{acl_bucket}/plain", b"x").status == 200
    public = {"x-amz-acl": "public-read"}
    assert told(key("PUT", f"/{acl_bucket}/public", SECRET_BYTES, public)) == DENIED
    assert told(send(gateway.port, "GET", f"/{acl_bucket}/public")) == DENIED


def test_cve_2025_62506_a_session_gains_nothing(gateway: Gateway, s3: Any, bucket: str) -> None:
    """CVE-2024-55949, CVE-2024-24747, CVE-2021-43858, CVE-2022-24842: a session does at most what its key and its policy do."""
    s3.put_object(Bucket=bucket, Key="mine/a", Body=b"a")
    s3.put_object(Bucket=bucket, Key="secret", Body=SECRET_BYTES)
    key, secret = f"NARROW{secrets.token_hex(6).upper()}", secrets.token_hex(16)
    reads = statement(action="s3:GetObject", resource=arns(bucket, "mine/*"))
    gateway.add_credential(key, secret, policy=policy(reads, statement(action="sts:*")))
    import boto3

    sts = boto3.client(
        "sts",
        endpoint_url=gateway.url,
        region_name="us-east-1",
        aws_access_key_id=key,
        aws_secret_access_key=secret,
    )
    eventually(lambda: _works(sts.get_caller_identity), "the key is known")
    wide = json.dumps(policy(statement(action="*")))
    made = sts.assume_role(RoleArn="arn:aws:iam:::role/s3gw", RoleSessionName="wide", Policy=wide)
    session = _client(gateway, made["Credentials"])
    assert session.get_object(Bucket=bucket, Key="mine/a")["Body"].read() == b"a"
    assert refusal(session.get_object, Bucket=bucket, Key="secret") == DENIED
    assert refusal(session.put_object, Bucket=bucket, Key="mine/a", Body=b"") == DENIED
    assert refusal(session.list_buckets) == DENIED
    again = boto3.client(
        "sts",
        endpoint_url=gateway.url,
        region_name="us-east-1",
        **_names(made["Credentials"]),
    )
    assert refusal(again.get_session_token) == DENIED
    role = {"RoleArn": "arn:aws:iam::alice:role/s3gw", "RoleSessionName": "alice"}
    assert refusal(sts.assume_role, **role) == DENIED, "a narrowed key becomes no other account"
    gateway.add_credential(key, secret, enabled=False)
    eventually(lambda: not _works(lambda: session.get_object(Bucket=bucket, Key="mine/a")), "it ends")
    assert refusal(session.get_object, Bucket=bucket, Key="mine/a")[1] == "InvalidToken"


def _works(call: Callable[[], Any]) -> bool:
    from botocore.exceptions import ClientError

    try:
        call()
    except ClientError:
        return False
    return True


def _names(credentials: Mapping[str, str]) -> dict[str, str]:
    return {
        "aws_access_key_id": credentials["AccessKeyId"],
        "aws_secret_access_key": credentials["SecretAccessKey"],
        "aws_session_token": credentials["SessionToken"],
    }


def _client(gateway: Gateway, credentials: Mapping[str, str]) -> Any:
    import boto3

    return boto3.client("s3", endpoint_url=gateway.url, region_name="us-east-1", **_names(credentials))


def test_a_session_policy_counts_for_each_of_many(gateway: Gateway, s3: Any, bucket: str) -> None:
    """DeleteObjects asks a session's policy for each key, and only for those."""
    import boto3

    for name in ("mine/a", "secret"):
        s3.put_object(Bucket=bucket, Key=name, Body=b"x")
    sts = boto3.client(
        "sts",
        endpoint_url=gateway.url,
        region_name="us-east-1",
        aws_access_key_id=KEY,
        aws_secret_access_key=_secret(),
    )
    below = json.dumps(policy(statement(resource=arns(bucket, "mine/*"))))
    made = sts.assume_role(RoleArn="arn:aws:iam:::role/s3gw", RoleSessionName="some", Policy=below)
    session = _client(gateway, made["Credentials"])
    outcome = session.delete_objects(
        Bucket=bucket, Delete={"Objects": [{"Key": "mine/a"}, {"Key": "secret"}]}
    )
    assert [one["Key"] for one in outcome["Deleted"]] == ["mine/a"]
    assert [(one["Key"], one["Code"]) for one in outcome["Errors"]] == [("secret", "AccessDenied")]
    assert [one["Key"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["secret"]


def _secret() -> str:
    from harness import SECRET

    return SECRET


# Conditions that bodies and signatures fulfil or not.


def test_rustfs_v9cp_tags_in_a_body_are_seen_by_policies(s3: Any, bucket: str, attacker: Attacker) -> None:
    """`ForAllValues` holds for no value: so the tags of PutObjectTagging must be there when the policy is asked."""
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    only = {"ForAllValues:StringEquals": {"s3:RequestObjectTagKeys": ["colour"]}}
    s3.put_bucket_policy(
        Bucket=bucket,
        Policy=for_alice(statement(action="s3:PutObjectTagging", resource=arns(bucket, "*"), Condition=only)),
    )

    def tags(name: str) -> bytes:
        return f"<Tagging><TagSet><Tag><Key>{name}</Key><Value>1</Value></Tag></TagSet></Tagging>".encode()

    assert told(attacker("PUT", f"/{bucket}/k?tagging", tags("clearance"))) == DENIED
    assert attacker("PUT", f"/{bucket}/k?tagging", tags("colour")).status == 200
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == [{"Key": "colour", "Value": "1"}]


def test_a_retention_in_a_body_is_seen_by_policies(s3: Any, name: str, attacker: Attacker) -> None:
    """Who may retain for ten days at most does not retain for a hundred years; and holds are told apart."""
    s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    s3.put_object(Bucket=name, Key="k", Body=b"x")
    long = {"NumericGreaterThan": {"s3:object-lock-remaining-retention-days": "10"}}
    lifts = {"StringEquals": {"s3:object-lock-legal-hold": "OFF"}}
    s3.put_bucket_policy(
        Bucket=name,
        Policy=for_alice(
            statement(resource=arns(name, "*")),
            statement("Deny", ["s3:PutObjectRetention", "s3:PutObject"], arns(name, "*"), Condition=long),
            statement("Deny", "s3:PutObjectLegalHold", arns(name, "*"), Condition=lifts),
        ),
    )
    now = datetime.now(UTC)
    for days, outcome in ((3650, DENIED), (11, DENIED), (10, (200, ""))):
        until = (now + timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")
        body = f"<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>{until}</RetainUntilDate></Retention>"
        assert told(attacker("PUT", f"/{name}/k?retention", body.encode())) == outcome, days
        headers = {"x-amz-object-lock-mode": "GOVERNANCE", "x-amz-object-lock-retain-until-date": until}
        assert told(attacker("PUT", f"/{name}/new", b"x", _md5(b"x") | headers)) == outcome, days
    for status, outcome in (("ON", (200, "")), ("OFF", DENIED)):
        body = f"<LegalHold><Status>{status}</Status></LegalHold>"
        assert told(attacker("PUT", f"/{name}/k?legal-hold", body.encode())) == outcome


def _md5(body: bytes) -> dict[str, str]:
    import hashlib

    digest = hashlib.md5(body, usedforsecurity=False).digest()
    return {"content-md5": base64.b64encode(digest).decode()}


def test_conditions_about_the_signature_are_kept(s3: Any, bucket: str, gateway: Gateway) -> None:
    """A policy that denies old signatures, or requests that make an object, is not a rule that nobody keeps."""
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    old = {"NumericGreaterThan": {"s3:signatureAge": "60000"}}
    creating = {"Bool": {"s3:ObjectCreationOperation": "true"}}
    s3.put_bucket_policy(
        Bucket=bucket,
        Policy=for_alice(
            statement(resource=arns(bucket)),
            statement("Deny", "s3:GetObject", arns(bucket, "*"), Condition=old),
            statement("Deny", "s3:PutObject", arns(bucket, "*"), Condition=creating),
        ),
    )
    host = f"127.0.0.1:{gateway.port}"
    fresh, aged = Signer(*ALICE), Signer(*ALICE, skew=timedelta(seconds=-120))
    target = f"/{bucket}/k"
    assert send(gateway.port, "GET", fresh.presign("GET", target, host)).status == 200
    assert told(send(gateway.port, "GET", aged.presign("GET", target, host))) == DENIED
    dated = {"date": datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")}
    assert told(send(gateway.port, "GET", aged.presign("GET", target, host), extra=dated)) == DENIED
    assert told(send(gateway.port, "GET", target, signer=aged)) == DENIED
    assert told(send(gateway.port, "PUT", target, signer=fresh, body=b"y")) == DENIED
    assert send(gateway.port, "POST", f"{target}?uploads", signer=fresh).status == 200


def test_rustfs_6r96_no_header_fills_a_condition_key(s3: Any, bucket: str, attacker: Attacker) -> None:
    """Headers named like keys of the caller or of a session change nothing."""
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    names = {"aws:username": "root", "aws:PrincipalType": "Account", "aws:SourceVpc": "vpc-1"}
    for name, value in names.items():
        condition = {"StringEquals": {name: value}}
        s3.put_bucket_policy(
            Bucket=bucket,
            Policy=for_alice(statement(resource=arns(bucket), Condition=condition)),
        )
        word = name.partition(":")[2].lower()
        for header in (name.replace(":", "-"), word, f"x-amz-{word}", f"aws{word}"):
            assert told(attacker("GET", f"/{bucket}/k", headers={header: value})) == DENIED, header


def test_an_unproved_caller_learns_nothing_of_rights(s3: Any, bucket: str, gateway: Gateway) -> None:
    """A signature that is proved by the body only: without proof the answer is the same, whatever the key may do."""
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    s3.put_bucket_policy(
        Bucket=bucket, Policy=for_alice(statement(action="s3:GetObject", resource=arns(bucket, "open/*")))
    )
    forged, host = Signer(ALICE[0], "not-the-secret"), f"127.0.0.1:{gateway.port}"
    answers = []
    for target in (f"/{bucket}/open/k", f"/{bucket}/k"):
        headers = forged.headers("GET", target, host) | {"content-length": "4"}
        del headers["x-amz-content-sha256"]
        headers["authorization"] = headers["authorization"].replace("x-amz-content-sha256;", "")
        answers.append(told(exchange_bytes(gateway.port, request_bytes("GET", target, headers, b"body"))))
    assert answers == [(403, "SignatureDoesNotMatch")] * 2


# Uploads, ACLs, locks.


def test_an_upload_of_another_account_is_its_own(
    s3: Any, acl_bucket: str, attacker: Attacker, bob: Any
) -> None:
    """Where only an ACL lets both write, nobody adds to, reads, ends or completes what another account began."""
    owner = s3.get_bucket_acl(Bucket=acl_bucket)["Owner"]["ID"]
    grants = {"GrantWrite": 'id="alice",id="bob"', "GrantRead": 'id="alice"'}
    s3.put_bucket_acl(Bucket=acl_bucket, GrantFullControl=f'id="{owner}"', **grants)
    for begins in (bob, s3):
        upload = begins.create_multipart_upload(Bucket=acl_bucket, Key="k")["UploadId"]
        named = {"Bucket": acl_bucket, "Key": "k", "UploadId": upload}
        etag = begins.upload_part(**named, PartNumber=1, Body=b"bob's")["ETag"]
        target = f"/{acl_bucket}/k?uploadId={upload}"
        parts = f"<Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>"
        done = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
        assert told(attacker("GET", target)) == DENIED
        assert told(attacker("PUT", f"{target}&partNumber=1", b"alice's")) == DENIED
        assert told(attacker("POST", target, done)) == DENIED
        assert told(attacker("DELETE", target)) == DENIED
        assert len(begins.list_parts(**named)["Parts"]) == 1
        begins.complete_multipart_upload(
            **named, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]}
        )
        assert begins.get_object(Bucket=acl_bucket, Key="k")["Body"].read() == b"bob's"
        s3.delete_object(Bucket=acl_bucket, Key="k")


def test_a_huge_acl_is_refused(s3: Any, acl_bucket: str, signer: Signer, gateway: Gateway) -> None:
    """A hundred grants are the most, in headers too: they are read with each request."""
    s3.put_object(Bucket=acl_bucket, Key="k", Body=b"x")
    grants = {"x-amz-grant-read": ",".join(['id="bob"'] * 101)}
    for target in (f"/{acl_bucket}?acl", f"/{acl_bucket}/k?acl"):
        answer = send(gateway.port, "PUT", target, signer=signer, signed=grants)
        assert told(answer) == (400, "InvalidArgument")


def test_cve_2023_25812_no_way_around_a_lock(
    s3: Any, name: str, attacker: Attacker, gateway: Gateway
) -> None:
    """The header without the permission, unsigned, in a query, in a DeleteObjects: a governed version stays."""
    s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    until = datetime.now(UTC) + timedelta(days=1)
    kept = s3.put_object(
        Bucket=name, Key="k", Body=SECRET_BYTES, ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=until
    )["VersionId"]
    bypass = "s3:BypassGovernanceRetention"
    s3.put_bucket_policy(
        Bucket=name,
        Policy=for_alice(statement(resource=arns(name)), statement("Deny", bypass, arns(name, "*"))),
    )
    header = {"x-amz-bypass-governance-retention": "true"}
    target = f"/{name}/k?versionId={kept}"
    assert told(attacker("DELETE", target)) == DENIED
    assert told(attacker("DELETE", target, headers=header)) == DENIED
    assert told(attacker("DELETE", f"{target}&x-amz-bypass-governance-retention=true")) == DENIED
    assert told(send(gateway.port, "DELETE", target, signer=attacker.signer, extra=header)) == DENIED
    many = f"<Delete><Object><Key>k</Key><VersionId>{kept}</VersionId></Object></Delete>".encode()
    answer = attacker("POST", f"/{name}?delete", many, _md5(many) | header)
    assert b"AccessDenied" in answer.body
    assert b"<Deleted>" not in answer.body
    empty = b"<Retention/>"
    assert told(attacker("PUT", f"/{name}/k?retention&versionId={kept}", empty, header)) == DENIED
    suspended = b"<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>"
    assert attacker("PUT", f"/{name}?versioning", suspended).status == 409
    for _ in range(2):  # newer versions and delete markers leave the locked one alone
        attacker("PUT", f"/{name}/k", b"new", _md5(b"new"))
        attacker("DELETE", f"/{name}/k")
    assert s3.get_object(Bucket=name, Key="k", VersionId=kept)["Body"].read() == SECRET_BYTES


def test_expected_owners_are_checked_on_both_sides(s3: Any, bucket: str) -> None:
    """A bucket that somebody else took under the expected name is neither read nor written."""
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    mine, other = "s3gw", "alice"
    assert refusal(s3.get_object, Bucket=bucket, Key="k", ExpectedBucketOwner=other) == DENIED
    copy = {"Bucket": bucket, "Key": "c", "CopySource": f"{bucket}/k"}
    assert refusal(s3.copy_object, **copy, ExpectedSourceBucketOwner=other) == DENIED
    assert refusal(s3.copy_object, **copy, ExpectedBucketOwner=BOB[0]) == DENIED
    s3.copy_object(**copy, ExpectedBucketOwner=mine, ExpectedSourceBucketOwner=mine)


# What the operator's files say.


def test_a_key_whose_last_line_is_broken_is_out_of_use(gateway: Gateway, s3: Any, bucket: str) -> None:
    """A line that was to narrow a key, and cannot be read, does not leave the key as wide as it was."""
    key, secret = f"WIDE{secrets.token_hex(6).upper()}", secrets.token_hex(16)
    gateway.add_credential(key, secret)
    client = gateway.s3(f"wide {key}", key=key, secret=secret)
    eventually(lambda: _works(lambda: client.head_bucket(Bucket=bucket)), "the key is known")
    gateway.add_credential(key, secret, policy={"Version": "2012-10-17", "Statement": [{"Effect": "Alow"}]})
    eventually(lambda: not _works(lambda: client.head_bucket(Bucket=bucket)), "the key is out of use")
    assert refusal(client.list_objects_v2, Bucket=bucket) == (403, "InvalidAccessKeyId")
    gateway.add_credential(key, secret, policy=policy(statement(action="s3:ListBucket")))
    eventually(lambda: _works(lambda: client.list_objects_v2(Bucket=bucket)), "a good line mends it")
    assert refusal(client.put_object, Bucket=bucket, Key="k", Body=b"") == DENIED


def test_rustfs_j548_a_lock_that_cannot_be_read_holds(start: Callable[..., Gateway], name: str) -> None:
    """A retention that is damaged on the disk, in whichever way, never counts as none."""
    gateway = start(**SETTINGS)
    s3 = gateway.s3()
    s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    until = datetime.now(UTC) + timedelta(days=1)
    lock = {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": until}
    version = s3.put_object(Bucket=name, Key="k", Body=SECRET_BYTES, **lock)["VersionId"]
    (index,) = gateway.data.rglob("index.sqlite")
    named = {"Bucket": name, "Key": "k", "VersionId": version}
    for damaged in ("GOVERNANCE", "GOVERNANCE soon", "none 0", "", "GOVERNANCE -1"):
        with closing(sqlite3.connect(index, timeout=30)) as connection, connection:
            (text,) = connection.execute("SELECT docs FROM objects WHERE key = 'k'").fetchone()
            docs = json.loads(text)
            (kept,) = (doc for doc, content in docs.items() if doc == "retention")
            docs[kept] = damaged
            connection.execute("UPDATE objects SET docs = ? WHERE key = 'k'", (json.dumps(docs),))
        for bypass in (False, True):
            outcome = refusal(s3.delete_object, **named, BypassGovernanceRetention=bypass)
            assert outcome == DENIED, damaged
    assert s3.get_object(**named)["Body"].read() == SECRET_BYTES
