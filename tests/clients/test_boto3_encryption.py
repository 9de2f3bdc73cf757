"""Encryption at rest with boto3: SSE-S3, SSE-KMS, SSE-C, the bucket's default; and what lies on the disk."""

import hashlib
import json
from base64 import b64encode
from contextlib import suppress
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from forms import form, post, signed_v4
from harness import MIB, Gateway, eventually, noise, refusal
from wire import UNSIGNED, connect, read_answer, request_bytes, send

from backends.frames import FRAME

MARKER = b"this text must never be on the disk in plain, " * 20
KEY, OTHER = bytes(range(32)), bytes(32)
SIZES = [0, 1, FRAME - 1, FRAME, FRAME + 1, MIB + 1, 20 * MIB]
S3 = {"ServerSideEncryption": "AES256"}
KMS = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "for-tests"}


def customer(key=KEY, prefix=""):
    return {f"{prefix}SSECustomerAlgorithm": "AES256", f"{prefix}SSECustomerKey": key}


def source(key=KEY):
    return customer(key, "CopySource")


def spelled(key=KEY):
    """The same for operations where boto3 does not encode the key."""
    md5 = hashlib.md5(key, usedforsecurity=False).digest()
    return customer(b64encode(key).decode()) | {"SSECustomerKeyMD5": b64encode(md5).decode()}


MODES = {"S3": (S3, {}), "KMS": (KMS, {}), "C": (customer(), customer())}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A gateway with a KMS key."""
    directory = tmp_path_factory.mktemp("encrypted")
    gateway = Gateway(directory, settings={"encryption": {"key_file": str(directory / "keys.jsonl")}})
    try:
        gateway.start()
        added = gateway.command("keys", "add", "--id", "for-tests")
        assert added.returncode == 0, added.stderr
        yield gateway
    except BaseException:
        gateway.stop(clean=False)
        raise
    gateway.stop()


@pytest.fixture
def s3(server):
    return server.s3()


@pytest.fixture
def bucket(s3, name):
    s3.create_bucket(Bucket=name)
    return name


def get(s3, bucket, key, **options):
    return s3.get_object(Bucket=bucket, Key=key, **options)["Body"].read()


def on_disk(server, text):
    """The files of the store, spool included, that hold a text."""
    places = [place for place in (server.data, server.temp) if place.exists()]
    return [
        file for place in places for file in place.rglob("*") if file.is_file() and text in file.read_bytes()
    ]


def told(answer):
    names = (
        "ServerSideEncryption",
        "SSEKMSKeyId",
        "SSECustomerAlgorithm",
        "SSECustomerKeyMD5",
        "BucketKeyEnabled",
    )
    return {name: answer[name] for name in names if name in answer}


TOLD = {
    "S3": S3,
    "KMS": KMS,
    "C": {
        "SSECustomerAlgorithm": "AES256",
        "SSECustomerKeyMD5": b64encode(hashlib.md5(KEY, usedforsecurity=False).digest()).decode(),
    },
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mode", MODES)
def test_put_get_head(server, s3, bucket, mode, size):
    write, read = MODES[mode]
    data = noise(size)
    put = s3.put_object(Bucket=bucket, Key="k", Body=data, ChecksumAlgorithm="SHA256", **write)
    assert told(put) == TOLD[mode]
    found = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED", **read)
    assert found["Body"].read() == data
    head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED", **read)
    for answer in (found, head):
        assert told(answer) == TOLD[mode]
        assert answer["ContentLength"] == size
        assert answer["ChecksumSHA256"] == put["ChecksumSHA256"]
        assert answer["ETag"] == put["ETag"] == f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'
    assert s3.list_objects_v2(Bucket=bucket)["Contents"][0]["Size"] == size


@pytest.mark.parametrize("mode", MODES)
def test_ranges(s3, bucket, mode):
    write, read = MODES[mode]
    data = noise(3 * MIB + 100)
    s3.put_object(Bucket=bucket, Key="k", Body=data, **write)
    for first, last in [
        (0, 0),
        (FRAME - 1, FRAME),
        (FRAME, 2 * FRAME - 1),
        (100, 2 * MIB),
        (0, len(data) - 1),
    ]:
        found = s3.get_object(Bucket=bucket, Key="k", Range=f"bytes={first}-{last}", **read)
        assert found["Body"].read() == data[first : last + 1]
        assert found["ContentRange"] == f"bytes {first}-{last}/{len(data)}"
    assert get(s3, bucket, "k", Range="bytes=-7", **read) == data[-7:]
    assert get(s3, bucket, "k", Range=f"bytes={3 * MIB}-", **read) == data[3 * MIB :]


@pytest.mark.parametrize("mode", MODES)
def test_multipart(s3, bucket, mode):
    write, read = MODES[mode]
    parts = [noise(5 * MIB, 1), noise(5 * MIB + 17, 2), noise(100, 3)]
    made = s3.create_multipart_upload(Bucket=bucket, Key="k", **write)
    assert told(made) == TOLD[mode]
    upload = {"Bucket": bucket, "Key": "k", "UploadId": made["UploadId"]}
    s3.upload_part(**upload, PartNumber=2, Body=noise(5 * MIB, 9), **read)
    sent = [s3.upload_part(**upload, PartNumber=n, Body=part, **read) for n, part in enumerate(parts, 1)]
    assert all(told(answer) == TOLD[mode] for answer in sent)
    chosen = [{"PartNumber": n, "ETag": answer["ETag"]} for n, answer in enumerate(sent, 1)]
    done = s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": chosen}, **read)
    assert told(done) == ({} if mode == "C" else TOLD[mode])
    data = b"".join(parts)
    assert get(s3, bucket, "k", **read) == data
    edge = 10 * MIB
    for first, last in [(5 * MIB - 3, 5 * MIB + 3), (edge, edge + 40), (5, len(data) - 5)]:
        assert get(s3, bucket, "k", Range=f"bytes={first}-{last}", **read) == data[first : last + 1]
    for number, part in enumerate(parts, 1):
        assert get(s3, bucket, "k", PartNumber=number, **read) == part
    attributes = s3.get_object_attributes(
        Bucket=bucket, Key="k", ObjectAttributes=["ObjectSize"], **(spelled() if read else {})
    )
    assert attributes["ObjectSize"] == len(data)


@pytest.mark.parametrize("target", ["plain", *MODES])
@pytest.mark.parametrize("origin", ["plain", *MODES])
def test_copy(s3, bucket, origin, target):
    """Every pair. A copy for which nothing is asked is encrypted if its source is."""
    plain = ({}, {})
    (write, _), (asked, read) = MODES.get(origin, plain), MODES.get(target, plain)
    data = noise(2 * MIB)
    s3.put_object(Bucket=bucket, Key="a", Body=data, Metadata={"x": "y"}, **write)
    opened = source() if origin == "C" else {}
    made = s3.copy_object(Bucket=bucket, Key="b", CopySource=f"{bucket}/a", **asked, **opened)
    expected = S3 if target == "plain" and origin != "plain" else TOLD.get(target, {})
    assert told(made) == expected
    head = s3.head_object(Bucket=bucket, Key="b", **read)
    assert told(head) == expected
    assert head["Metadata"] == {"x": "y"}
    assert get(s3, bucket, "b", **read) == data


def test_a_copy_onto_itself_changes_the_encryption(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"data")
    assert refusal(s3.copy_object, Bucket=bucket, Key="k", CopySource=f"{bucket}/k") == (
        400,
        "InvalidRequest",
    )
    s3.copy_object(Bucket=bucket, Key="k", CopySource=f"{bucket}/k", **customer())
    s3.copy_object(Bucket=bucket, Key="k", CopySource=f"{bucket}/k", **customer(OTHER), **source())
    assert get(s3, bucket, "k", **customer(OTHER)) == b"data"
    s3.copy_object(Bucket=bucket, Key="k", CopySource=f"{bucket}/k", **S3, **source(OTHER))
    assert get(s3, bucket, "k") == b"data"


@pytest.mark.parametrize("mode", MODES)
def test_upload_part_copy(s3, bucket, mode):
    write, read = MODES[mode]
    data = noise(11 * MIB)
    s3.put_object(Bucket=bucket, Key="a", Body=data, **write)
    opened = source() if mode == "C" else {}
    made = s3.create_multipart_upload(Bucket=bucket, Key="b", **write)
    upload = {"Bucket": bucket, "Key": "b", "UploadId": made["UploadId"]}
    ranges = [f"bytes=0-{6 * MIB - 1}", f"bytes={6 * MIB}-{11 * MIB - 1}"]
    sent = [
        s3.upload_part_copy(
            **upload, PartNumber=n, CopySource=f"{bucket}/a", CopySourceRange=span, **read, **opened
        )
        for n, span in enumerate(ranges, 1)
    ]
    assert all(told(answer) == TOLD[mode] for answer in sent)
    chosen = [{"PartNumber": n, "ETag": answer["CopyPartResult"]["ETag"]} for n, answer in enumerate(sent, 1)]
    s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": chosen})
    assert get(s3, bucket, "b", **read) == data


def test_customer_keys_are_asked_for_and_checked(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"data", **customer())
    s3.put_object(Bucket=bucket, Key="plain", Body=b"data")
    at, plain = {"Bucket": bucket, "Key": "k"}, {"Bucket": bucket, "Key": "plain"}
    for call in (s3.get_object, lambda **o: s3.get_object_attributes(ObjectAttributes=["ETag"], **o)):
        assert refusal(call, **at) == (400, "InvalidRequest")
        assert refusal(call, **at, **spelled(OTHER)) == (403, "AccessDenied")
        assert refusal(call, **plain, **spelled()) == (400, "InvalidRequest")
    assert refusal(s3.head_object, **at)[0] == 400
    assert refusal(s3.head_object, **at, **customer(OTHER))[0] == 403
    with pytest.raises(ClientError, match="The correct parameters must be provided to retrieve the object"):
        s3.get_object(**at)
    copied = {"Bucket": bucket, "Key": "c", "CopySource": f"{bucket}/k"}
    assert refusal(s3.copy_object, **copied) == (400, "InvalidRequest")
    assert refusal(s3.copy_object, **copied, **source(OTHER)) == (403, "AccessDenied")
    assert refusal(s3.copy_object, **(copied | {"CopySource": f"{bucket}/plain"}), **source()) == (
        400,
        "InvalidRequest",
    )


def test_parts_need_the_key_of_the_upload(s3, bucket):
    made = s3.create_multipart_upload(Bucket=bucket, Key="k", **customer())
    part = {"Bucket": bucket, "Key": "k", "UploadId": made["UploadId"], "PartNumber": 1, "Body": b"data"}
    assert refusal(s3.upload_part, **part) == (400, "InvalidRequest")
    assert refusal(s3.upload_part, **part, **customer(OTHER)) == (400, "InvalidRequest")
    etag = s3.upload_part(**part, **customer())["ETag"]
    done = {"Bucket": bucket, "Key": "k", "UploadId": made["UploadId"]}
    done["MultipartUpload"] = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
    assert refusal(s3.complete_multipart_upload, **done, **customer(OTHER)) == (400, "InvalidRequest")
    s3.complete_multipart_upload(**done)
    s3.complete_multipart_upload(**done, **customer())
    assert get(s3, bucket, "k", **customer()) == b"data"
    for asked in ({}, S3):
        made = s3.create_multipart_upload(Bucket=bucket, Key="k", **asked)
        assert refusal(s3.upload_part, **(part | {"UploadId": made["UploadId"]}), **customer()) == (
            400,
            "InvalidRequest",
        )


def rule(algorithm, **more):
    return {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": algorithm, **more}}]}


def set_default(s3, bucket, configuration):
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=configuration)
    found = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]
    assert found == configuration


def test_the_default_of_a_bucket(s3, bucket):
    assert refusal(s3.get_bucket_encryption, Bucket=bucket) == (
        404,
        "ServerSideEncryptionConfigurationNotFoundError",
    )
    s3.put_object(Bucket=bucket, Key="before", Body=b"data")
    set_default(s3, bucket, rule("AES256"))
    assert told(s3.put_object(Bucket=bucket, Key="k", Body=b"data")) == S3
    assert told(s3.create_multipart_upload(Bucket=bucket, Key="k")) == S3
    assert told(s3.copy_object(Bucket=bucket, Key="c", CopySource=f"{bucket}/before")) == S3
    assert told(s3.head_object(Bucket=bucket, Key="c")) == S3
    assert told(s3.put_object(Bucket=bucket, Key="k", Body=b"data", **KMS)) == KMS
    kms = rule("aws:kms", KMSMasterKeyID="for-tests")
    kms["Rules"][0]["BucketKeyEnabled"] = True
    set_default(s3, bucket, kms)
    expected = KMS | {"BucketKeyEnabled": True}
    assert told(s3.put_object(Bucket=bucket, Key="k", Body=b"data")) == expected
    assert told(s3.get_object(Bucket=bucket, Key="k")) == expected
    s3.delete_bucket_encryption(Bucket=bucket)
    assert told(s3.put_object(Bucket=bucket, Key="k", Body=b"data")) == {}


def test_a_bucket_that_blocks_customers_keys(s3, bucket):
    s3.put_object(Bucket=bucket, Key="before", Body=b"data", **customer())
    blocking = {"Rules": [{"BlockedEncryptionTypes": {"EncryptionType": ["SSE-C"]}}]}
    set_default(s3, bucket, blocking)
    for call in (
        lambda: s3.put_object(Bucket=bucket, Key="k", Body=b"data", **customer()),
        lambda: s3.create_multipart_upload(Bucket=bucket, Key="k", **customer()),
        lambda: s3.copy_object(
            Bucket=bucket, Key="k", CopySource=f"{bucket}/before", **customer(), **source()
        ),
    ):
        assert refusal(call) == (403, "AccessDenied")
    assert get(s3, bucket, "before", **customer()) == b"data", "what is there can be read"
    s3.put_object(Bucket=bucket, Key="k", Body=b"data")
    set_default(s3, bucket, {"Rules": [{"BlockedEncryptionTypes": {"EncryptionType": ["NONE"]}}]})
    s3.put_object(Bucket=bucket, Key="k", Body=b"data", **customer())


def test_kms(s3, bucket):
    context = b64encode(json.dumps({"team": "a"}).encode()).decode()
    put = s3.put_object(
        Bucket=bucket, Key="k", Body=b"data", SSEKMSEncryptionContext=context, BucketKeyEnabled=True, **KMS
    )
    assert (put["SSEKMSEncryptionContext"], put["BucketKeyEnabled"]) == (context, True)
    copied = s3.copy_object(
        Bucket=bucket,
        Key="c",
        CopySource=f"{bucket}/k",
        SSEKMSEncryptionContext=context,
        BucketKeyEnabled=True,
        **KMS,
    )
    assert (copied["SSEKMSEncryptionContext"], copied["BucketKeyEnabled"]) == (context, True)
    assert get(s3, bucket, "k") == get(s3, bucket, "c") == b"data"
    made = s3.put_object(Bucket=bucket, Key="d", Body=b"data", ServerSideEncryption="aws:kms")
    assert made["SSEKMSKeyId"] == "aws/s3"
    arn = "arn:aws:kms:us-east-1:123456789012:key/for-tests"
    assert (
        s3.put_object(Bucket=bucket, Key="d", Body=b"data", **(KMS | {"SSEKMSKeyId": arn}))["SSEKMSKeyId"]
        == arn
    )
    for name in ("unknown", arn + "x"):
        missing = KMS | {"SSEKMSKeyId": name}
        assert refusal(s3.put_object, Bucket=bucket, Key="k", Body=b"", **missing) == (
            400,
            "KMS.NotFoundException",
        )


REFUSED = {
    "dsse": ({"ServerSideEncryption": "aws:kms:dsse"}, 501, "NotImplemented"),
    "unknown mode": ({"ServerSideEncryption": "AES128"}, 400, "InvalidArgument"),
    "key without mode": ({"SSEKMSKeyId": "for-tests"}, 400, "InvalidArgument"),
    "key with AES256": ({"SSEKMSKeyId": "for-tests", **S3}, 400, "InvalidArgument"),
    "both": ({**S3, **customer()}, 400, "InvalidArgument"),
    "context is no base64": ({"SSEKMSEncryptionContext": "{}", **KMS}, 400, "InvalidArgument"),
    "context is no map": ({"SSEKMSEncryptionContext": "W10=", **KMS}, 400, "InvalidArgument"),
    "algorithm": ({**customer(), "SSECustomerAlgorithm": "AES128"}, 400, "InvalidArgument"),
    "short key": (customer(b"short"), 400, "InvalidArgument"),
    "MD5 of another key": (
        {**spelled(), "SSECustomerKeyMD5": spelled(OTHER)["SSECustomerKeyMD5"]},
        400,
        "InvalidArgument",
    ),
    "MD5 that is none": (
        {**spelled(), "SSECustomerKeyMD5": "no base64"},
        400,
        "InvalidArgument",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(s3, bucket, case):
    options, status, code = REFUSED[case]
    for call, more in ((s3.put_object, {"Body": b"data"}), (s3.create_multipart_upload, {})):
        assert refusal(call, Bucket=bucket, Key="k", **more, **options) == (status, code)
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


DOCUMENTS = {
    "two rules": ({"Rules": rule("AES256")["Rules"] * 2}, 400, "MalformedXML"),
    "no rule": ({"Rules": []}, 400, "MalformedXML"),
    "empty rule": ({"Rules": [{}]}, 400, "MalformedXML"),
    "unknown mode": (rule("DES"), 400, "MalformedXML"),
    "dsse": (rule("aws:kms:dsse"), 501, "NotImplemented"),
    "key with AES256": (rule("AES256", KMSMasterKeyID="for-tests"), 400, "InvalidArgument"),
    "unknown block": (
        {"Rules": [{"BlockedEncryptionTypes": {"EncryptionType": ["SSE-S3"]}}]},
        400,
        "MalformedXML",
    ),
    "both": (
        {"Rules": [{"BlockedEncryptionTypes": {"EncryptionType": ["SSE-C", "NONE"]}}]},
        400,
        "InvalidArgument",
    ),
}


@pytest.mark.parametrize("case", DOCUMENTS)
def test_refused_configurations(s3, bucket, case):
    configuration, status, code = DOCUMENTS[case]
    call = s3.put_bucket_encryption
    assert refusal(call, Bucket=bucket, ServerSideEncryptionConfiguration=configuration) == (status, code)


SSE = "x-amz-server-side-encryption"
WIRE = {
    "S3": {SSE: "AES256"},
    "KMS": {SSE: "aws:kms", f"{SSE}-aws-kms-key-id": "for-tests"},
    "C": {
        f"{SSE}-customer-algorithm": "AES256",
        f"{SSE}-customer-key": b64encode(KEY).decode(),
        f"{SSE}-customer-key-md5": TOLD["C"]["SSECustomerKeyMD5"],
    },
}


@pytest.mark.parametrize("mode", MODES)
def test_nothing_plain_is_on_the_disk(server, s3, signer, bucket, mode):
    """Neither while an upload is in flight, nor afterwards. The spool file has no name: it is read through the process."""
    write, read = MODES[mode]
    unique = f"{bucket} {mode}".encode() + MARKER
    data = unique * (6 * MIB // len(unique))
    target, host = f"/{bucket}/large", f"127.0.0.1:{server.port}"
    headers = signer.headers("PUT", target, host, UNSIGNED, WIRE[mode])
    with connect(server.port) as connection:
        connection.sendall(request_bytes("PUT", target, headers | {"content-length": str(len(data))}))
        connection.sendall(data[: 5 * MIB])
        eventually(
            lambda: [held for held in spool_files(server) if len(held) > 2 * MIB], "most of it is spooled"
        )
        assert not [held for held in spool_files(server) if unique in held]
        assert on_disk(server, unique) == []
        connection.sendall(data[5 * MIB :])
        assert read_answer(connection).status == 200
    for size in (10, 60_000, 200_000):
        s3.put_object(Bucket=bucket, Key=f"k{size}", Body=(unique * 300)[:size], **write)
    assert on_disk(server, unique) == []
    assert get(s3, bucket, "large", **read) == data
    s3.put_object(Bucket=bucket, Key="plain", Body=unique * 300)
    assert on_disk(server, unique), "the search finds what is plain"


def spool_files(server):
    """The contents of the files without a name that the workers hold open below the gateway's directory."""
    found = []
    for pid in server.workers():
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                target = str(entry.readlink())
                if target.startswith(str(server.directory)) and target.endswith("(deleted)"):
                    found.append(entry.read_bytes())
    return found


def test_fsck_is_content(server, s3, bucket):
    for number, (write, _) in enumerate(MODES.values()):
        s3.put_object(Bucket=bucket, Key=f"small{number}", Body=b"data", **write)
        s3.put_object(Bucket=bucket, Key=f"large{number}", Body=noise(3 * MIB), **write)
    checked = server.command("fsck", "--verify")
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_versions_keep_their_own_keys(s3, bucket):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    made = {}
    for mode, (write, _) in MODES.items():
        made[mode] = s3.put_object(Bucket=bucket, Key="k", Body=mode.encode(), **write)["VersionId"]
    for mode, (_, read) in MODES.items():
        assert get(s3, bucket, "k", VersionId=made[mode], **read) == mode.encode()


@pytest.mark.parametrize("mode", MODES)
def test_a_form(server, s3, signer, bucket, mode):
    fields = {"key": "k", "bucket": bucket, **WIRE[mode]}
    sent = fields | signed_v4(signer, [{name: value} for name, value in fields.items()])
    answer = post(server.port, f"/{bucket}", form(sent, MARKER))
    assert answer.status == 204, answer.body
    assert get(s3, bucket, "k", **MODES[mode][1]) == MARKER
    assert told(s3.head_object(Bucket=bucket, Key="k", **MODES[mode][1])) == TOLD[mode]


def test_a_mode_cannot_be_asked_of_what_is_there(server, s3, signer, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"data")
    upload = s3.create_multipart_upload(Bucket=bucket, Key="m")["UploadId"]
    part = f"/{bucket}/m?uploadId={upload}"
    for method, target in (
        ("GET", f"/{bucket}/k"),
        ("HEAD", f"/{bucket}/k"),
        ("PUT", f"{part}&partNumber=1"),
        ("POST", part),
    ):
        body = b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>a</ETag></Part></CompleteMultipartUpload>"
        answer = send(server.port, method, target, signer=signer, body=body, signed=WIRE["S3"])
        assert answer.status == 400, method
        assert method == "HEAD" or answer.code == "InvalidArgument"


def test_an_upload_may_be_told_its_own_mode_again(server, s3, signer, bucket):
    """mc names the mode when it completes; another one than the upload's is refused."""
    upload = s3.create_multipart_upload(Bucket=bucket, Key="m", **S3)["UploadId"]
    target = f"/{bucket}/m?uploadId={upload}"
    part = {"signer": signer, "body": b"data", "signed": WIRE["S3"]}
    etag = send(server.port, "PUT", f"{target}&partNumber=1", **part).headers["etag"]
    parts = f"<Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>"
    done = {"signer": signer, "body": f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()}
    assert send(server.port, "POST", target, **done, signed=WIRE["KMS"]).code == "InvalidArgument"
    assert send(server.port, "POST", target, **done, signed=WIRE["S3"]).status == 200
    assert get(s3, bucket, "m") == b"data"


def test_customers_keys_are_in_no_log_and_no_answer(server, s3, signer, bucket):
    secret = b64encode(bytes(reversed(KEY))).decode()
    for wrong in ({f"{SSE}-customer-key-md5": "AAAA"}, {f"{SSE}-customer-algorithm": "DES"}, {SSE: "AES256"}):
        headers = WIRE["C"] | {f"{SSE}-customer-key": secret} | wrong
        answer = send(server.port, "PUT", f"/{bucket}/k", signer=signer, body=b"data", signed=headers)
        assert answer.code == "InvalidArgument"
        assert secret not in answer.body.decode()
    assert secret not in server.log.read_text()
