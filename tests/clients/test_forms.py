"""Uploads from forms, by boto3's presigned posts, curl and by hand: what is stored, and what is answered."""

import base64
import hashlib
import json
import subprocess
import urllib.error
import urllib.request
import zlib
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit
from xml.etree import ElementTree as ET

import pytest
from botocore.exceptions import ClientError
from forms import BOUNDARY, form, post, signed_v2, signed_v4
from harness import MIB, eventually, noise, open_files, tool
from wire import connect, request_bytes

ODD_KEYS = ["a b+c&d=é%2F", "/lead//double/", "../up", "日本/🙂", 'quote"<>\\', "new\nline"]


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


def upload(url, fields, file=b"content", filename="a.txt"):
    """Send a presigned post as a web page would, with urllib."""
    request = urllib.request.Request(url, form(fields, file, filename))
    request.add_header("content-type", f"multipart/form-data; boundary={BOUNDARY}")
    opener = urllib.request.build_opener(NoRedirect)
    try:
        with opener.open(request, timeout=20) as reply:
            return reply.status, reply.headers, reply.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


def code(body):
    return ET.fromstring(body).findtext("Code")


@pytest.fixture(params=["s3v4", "s3"])
def presign(request, gateway, bucket):
    client = gateway.s3(signature_version=request.param)

    def make(key, fields=None, conditions=(), **options):
        conditions = [*conditions, *({name: value} for name, value in (fields or {}).items())]
        made = client.generate_presigned_post(bucket, key, Fields=fields, Conditions=conditions, **options)
        return made["url"], made["fields"]

    return make


def test_boto3_presigned_post(presign, s3, bucket):
    url, fields = presign("dir/a.txt")
    status, headers, body = upload(url, fields, b"hello")
    assert (status, body) == (204, b"")
    assert headers["etag"] == f'"{hashlib.md5(b"hello").hexdigest()}"'
    assert urlsplit(headers["location"]).path == f"/{bucket}/dir/a.txt"
    stored = s3.get_object(Bucket=bucket, Key="dir/a.txt")
    assert (stored["Body"].read(), stored["ContentType"]) == (b"hello", "binary/octet-stream")


def test_every_field_is_kept(presign, s3, bucket):
    sent = {
        "acl": "bucket-owner-full-control",
        "Content-Type": "text/x-test",
        "Cache-Control": "max-age=7",
        "Content-Disposition": "attachment",
        "Content-Encoding": "identity",
        "Content-Language": "de",
        "Expires": "Wed, 21 Oct 2026 07:28:00 GMT",
        "x-amz-meta-colour": "grün",
        "x-amz-storage-class": "STANDARD_IA",
        "x-amz-website-redirect-location": "/other",
        "x-amz-checksum-crc32": base64.b64encode(zlib.crc32(b"hello").to_bytes(4, "big")).decode(),
        "tagging": "<Tagging><TagSet><Tag><Key>a b</Key><Value>c+d</Value></Tag></TagSet></Tagging>",
    }
    url, fields = presign("k", sent)
    assert upload(url, fields, b"hello")[0] == 204
    stored = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    headers = stored["ResponseMetadata"]["HTTPHeaders"]
    assert (stored["ContentType"], stored["CacheControl"], stored["ContentLanguage"]) == (
        "text/x-test",
        "max-age=7",
        "de",
    )
    assert (stored["ContentDisposition"], stored["ContentEncoding"]) == ("attachment", "identity")
    assert headers["x-amz-meta-colour"].encode("latin-1").decode() == "grün"
    assert (stored["StorageClass"], stored["WebsiteRedirectLocation"]) == ("STANDARD_IA", "/other")
    assert stored["ChecksumCRC32"] == sent["x-amz-checksum-crc32"]
    tags = s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"]
    assert tags == [{"Key": "a b", "Value": "c+d"}]


def test_the_headers_of_the_form_are_not_the_files(gateway, s3, bucket, signer):
    fields = signed_v4(signer, [{"bucket": bucket}, {"key": "k"}]) | {"key": "k"}
    body = form(fields)
    assert post(gateway.port, f"/{bucket}", body, cache_control="no-cache", x_amz_meta_a="b").status == 204
    stored = s3.head_object(Bucket=bucket, Key="k")
    assert "CacheControl" not in stored
    assert (stored["Metadata"], stored["ContentType"]) == ({}, "binary/octet-stream")


@pytest.mark.parametrize("key", ODD_KEYS)
def test_odd_keys(gateway, s3, bucket, signer, key):
    fields = signed_v4(signer, [{"bucket": bucket}, {"key": key}, {"success_action_status": "201"}])
    fields |= {"key": key, "success_action_status": "201"}
    answer = post(gateway.port, f"/{bucket}/", form(fields, key.encode()))
    assert answer.status == 201, answer
    told = {element.tag: element.text for element in ET.fromstring(answer.body)}
    assert (told["Bucket"], told["Key"]) == (bucket, key)
    assert told["ETag"] == answer.headers["etag"]
    assert told["Location"] == f"http://127.0.0.1:{gateway.port}/{bucket}/{quote(key)}"
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode()


def test_the_filename_in_the_key(presign, s3, bucket):
    url, fields = presign("user/${filename}")
    assert upload(url, fields, filename="C:\\photos\\ä 1.jpg")[0] == 204
    assert s3.head_object(Bucket=bucket, Key="user/ä 1.jpg")["ContentLength"] == 7


@pytest.mark.parametrize(
    ("wanted", "status"), [("200", 200), ("201", 201), ("204", 204), ("404", 204), ("", 204)]
)
def test_success_action_status(presign, wanted, status):
    url, fields = presign("k", {"success_action_status": wanted})
    found, _, body = upload(url, fields)
    assert found == status
    assert bool(body) == (status == 201)


@pytest.mark.parametrize("field", ["success_action_redirect", "redirect"])
def test_success_action_redirect(presign, bucket, field):
    url, fields = presign("a b", {field: "https://example.com/done?x=1#top"})
    status, headers, _ = upload(url, fields)
    assert status == 303
    parts = urlsplit(headers["location"])
    assert (parts.hostname, parts.path, parts.fragment) == ("example.com", "/done", "top")
    etag = f'"{hashlib.md5(b"content").hexdigest()}"'
    assert parse_qs(parts.query) == {"x": ["1"], "bucket": [bucket], "key": ["a b"], "etag": [etag]}


@pytest.mark.parametrize(
    "target",
    ["javascript:alert(1)", "//evil.example", "ftp://x/", "http://", "http://[", "/local", "http://a/ b"],
)
def test_other_redirects_are_ignored(presign, target):
    url, fields = presign("k", {"success_action_redirect": target})
    assert upload(url, fields)[0] == 204


@pytest.mark.parametrize(
    ("condition", "passing", "failing"),
    [
        (
            ["eq", "$Content-Type", "text/plain"],
            {"Content-Type": "text/plain"},
            {"Content-Type": "text/html"},
        ),
        (["starts-with", "$x-amz-meta-a", "b"], {"x-amz-meta-a": "bc"}, {"x-amz-meta-a": "cb"}),
        ({"acl": "private"}, {"acl": "private"}, {"acl": "public-read"}),
        (["content-length-range", 7, 7], {}, None),
    ],
)
def test_conditions(gateway, bucket, condition, passing, failing):
    made = gateway.s3().generate_presigned_post(bucket, "k", Conditions=[condition])
    assert upload(made["url"], made["fields"] | passing)[0] == 204
    if failing is not None:
        status, _, body = upload(made["url"], made["fields"] | failing)
        assert (status, code(body)) == (403, "AccessDenied")
        assert b"Policy Condition failed" in body


def test_the_length_range(presign, s3, bucket):
    url, fields = presign("k", conditions=[["content-length-range", 3, 5]])
    for file, wanted in (
        (b"12", "EntityTooSmall"),
        (b"123456", "EntityTooLarge"),
        (bytes(MIB), "EntityTooLarge"),
    ):
        status, _, body = upload(url, fields, file)
        assert (status, code(body)) == (400, wanted)
        with pytest.raises(ClientError):
            s3.head_object(Bucket=bucket, Key="k")
    assert upload(url, fields, b"1234")[0] == 204


def test_wrong_checksums(presign, s3, bucket):
    for field, value in (
        ("x-amz-checksum-sha256", base64.b64encode(bytes(32)).decode()),
        ("Content-MD5", base64.b64encode(bytes(16)).decode()),
    ):
        url, fields = presign("k", {field: value})
        status, _, body = upload(url, fields)
        assert (status, code(body)) == (400, "BadDigest")
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"x-amz-meta-a": "b\r\nx: y"}, "InvalidArgument"),
        ({"x-amz-meta-a b": "c"}, "InvalidArgument"),
        ({"x-amz-copy-source": "/other/key"}, "NotImplemented"),
        ({"x-amz-storage-class": "LUKEWARM"}, "InvalidStorageClass"),
        ({"tagging": "<Tagging>"}, "MalformedXML"),
        ({"acl": "everybody"}, "InvalidArgument"),
        ({"x-amz-meta-a": "v" * 3000}, "MetadataTooLarge"),
    ],
)
def test_fields_that_cannot_be(presign, s3, bucket, fields, wanted):
    url, made = presign("k", fields)
    _, _, body = upload(url, made)
    assert code(body) == wanted
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [({}, "InvalidArgument"), ({"key": ""}, "InvalidArgument"), ({"key": "k" * 1025}, "KeyTooLongError"),
     ({"key": "a\0b"}, "InvalidURI")],
)  # fmt: skip
def test_keys_that_cannot_be(gateway, bucket, signer, fields, wanted):
    signed = signed_v4(signer, [{"bucket": bucket}, ["starts-with", "$key", ""]])
    answer = post(gateway.port, f"/{bucket}", form(fields | signed))
    assert (answer.status, answer.code) == (400, wanted)


def test_no_form_and_no_bucket(gateway, bucket):
    answer = post(gateway.port, f"/{bucket}", b"a=b", content_type="application/x-www-form-urlencoded")
    assert (answer.status, answer.code) == (412, "PreconditionFailed")
    assert (
        post(gateway.port, f"/{bucket}", b"", content_type="multipart/form-data").code
        == "MalformedPOSTRequest"
    )
    assert post(gateway.port, f"/{bucket}x", form({"key": "k"})).code == "NoSuchBucket"


def test_versions(presign, s3, bucket):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    url, fields = presign("k")
    versions = [upload(url, fields, file)[1]["x-amz-version-id"] for file in (b"1", b"2")]
    assert len(set(versions)) == 2
    read = [s3.get_object(Bucket=bucket, Key="k", VersionId=one)["Body"].read() for one in versions]
    assert read == [b"1", b"2"]


def test_curl(presign, s3, bucket, tmp_path: Path):
    (tmp_path / "data file.txt").write_bytes(noise(MIB + 3))
    url, fields = presign("up/${filename}", {"Content-Type": "text/plain"})
    arguments = [f"{name}={value}" for name, value in fields.items()]
    command = [tool("curl"), "-sS", "-o", "-", "-w", "%{http_code}"]
    for argument in [*arguments, f"file=@{tmp_path / 'data file.txt'}"]:
        command += ["-F", argument]
    done = subprocess.run([*command, url], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "204"), done
    stored = s3.get_object(Bucket=bucket, Key="up/data file.txt")
    assert (stored["Body"].read(), stored["ContentType"]) == (noise(MIB + 3), "text/plain")


def test_host_style(start, signer, name):
    gateway = start(s3_gateway={"domains": ["s3.example.com"]})
    gateway.s3().create_bucket(Bucket=name)
    fields = signed_v2(signer, [{"bucket": name}, {"key": "k"}]) | {"key": "k"}
    answer = post(gateway.port, "/", form(fields), host=f"{name}.s3.example.com")
    assert answer.status == 204
    assert answer.headers["location"] == f"http://{name}.s3.example.com/k"
    assert gateway.s3().get_object(Bucket=name, Key="k")["Body"].read() == b"content"


def test_a_large_file_takes_little_memory(start, signer, name):
    gateway = start(s3_gateway={"workers": 1})
    s3 = gateway.s3()
    s3.create_bucket(Bucket=name)
    fields = signed_v4(signer, [{"bucket": name}, {"key": "k"}]) | {"key": "k"}
    assert post(gateway.port, f"/{name}", form(fields, bytes(MIB))).status == 204
    before, file = gateway.memory(), noise(64 * MIB)
    assert post(gateway.port, f"/{name}", form(fields, file)).status == 204
    assert gateway.memory() - before < 16 * MIB
    assert (
        hashlib.md5(s3.get_object(Bucket=name, Key="k")["Body"].read()).digest() == hashlib.md5(file).digest()
    )


def test_a_cut_connection_leaves_nothing(start, signer, name):
    gateway = start(s3_gateway={"workers": 1})
    s3 = gateway.s3()
    s3.create_bucket(Bucket=name)
    fields = signed_v4(signer, [{"bucket": name}, {"key": "k"}]) | {"key": "k"}
    body = form(fields, noise(4 * MIB))
    headers = {
        "host": f"127.0.0.1:{gateway.port}",
        "content-type": f"multipart/form-data; boundary={BOUNDARY}",
        "content-length": str(len(body)),
    }
    ends = (len(body) // 2, len(body) - len(BOUNDARY) - 8, len(body) - 3)
    for end in ends:
        with connect(gateway.port) as connection:
            connection.sendall(request_bytes("POST", f"/{name}", headers, body[:end]))
    (worker,) = gateway.workers()
    eventually(
        lambda: not any(str(gateway.temp) in file or "deleted" in file for file in open_files(worker)),
        "all temporary files are closed",
    )
    assert "Contents" not in s3.list_objects_v2(Bucket=name)
    assert not gateway.temp.exists() or not any(gateway.temp.iterdir())
    assert post(gateway.port, f"/{name}", body).status == 204


def test_unsigned_where_anybody_may_write(gateway, s3, bucket):
    """By the bucket's policy, for these keys only, and not with an ACL or tags, which need actions of their own."""
    allowed = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{bucket}/inbox/*",
    }
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration={"BlockPublicPolicy": False})
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [allowed]}))
    tags = "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>"
    assert post(gateway.port, f"/{bucket}", form({"key": "inbox/${filename}"})).status == 204
    assert s3.get_object(Bucket=bucket, Key="inbox/a.txt")["Body"].read() == b"content"
    for fields in (
        {"key": "other"},
        {"key": "inbox/x", "acl": "public-read"},
        {"key": "inbox/x", "tagging": tags},
    ):
        assert post(gateway.port, f"/{bucket}", form(fields)).code == "AccessDenied"


def test_unsigned_by_the_acl_of_the_bucket(gateway, s3, name):
    s3.create_bucket(Bucket=name, ACL="public-read-write", ObjectOwnership="ObjectWriter")
    assert post(gateway.port, f"/{name}", form({"key": "k"})).status == 204
    assert s3.list_objects_v2(Bucket=name)["KeyCount"] == 1


def test_encryption(presign, s3, bucket):
    url, fields = presign("k", {"x-amz-server-side-encryption": "AES256"})
    status, headers, _ = upload(url, fields, b"hello")
    assert (status, headers["x-amz-server-side-encryption"]) == (204, "AES256")
    stored = s3.get_object(Bucket=bucket, Key="k")
    assert (stored["Body"].read(), stored["ServerSideEncryption"]) == (b"hello", "AES256")
