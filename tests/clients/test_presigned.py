"""Presigned URLs of boto3, V2 (its default for an endpoint of one's own) and V4, used by a plain HTTP client."""

import base64
import urllib.error
import urllib.parse
import urllib.request
import zlib
from email.message import Message
from typing import Any

import pytest
from harness import MIB, REGION, Gateway, noise
from wire import Answer, Signer, send

VERSIONS = ["s3", "s3v4"]
KEY = "dir/a b+ü%2F.txt"


@pytest.fixture
def presigner(gateway: Gateway, version: str) -> Any:
    """A client that presigns by a version of the signature."""
    return gateway.s3(f"presign {version}", signature_version=version)


def fetch(
    url: str, method: str = "GET", body: bytes | None = None, **headers: str
) -> tuple[int, bytes, Message]:
    """Status, body and headers."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, data=body, method=method, headers=names)
    try:
        with urllib.request.urlopen(request) as reply:
            return reply.status, reply.read(), reply.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(), error.headers


@pytest.mark.parametrize("version", VERSIONS)
def test_get_head_and_delete(presigner: Any, s3: Any, bucket: str, version: str) -> None:
    s3.put_object(Bucket=bucket, Key=KEY, Body=noise(70_000))
    where = {"Bucket": bucket, "Key": KEY}
    url = presigner.generate_presigned_url("get_object", where)
    assert ("X-Amz-Signature" in url) == (version == "s3v4")
    assert fetch(url)[:2] == (200, noise(70_000))
    assert fetch(url, Range="bytes=5-9")[:2] == (206, noise(70_000)[5:10])
    assert fetch(url, "HEAD")[0] == 403, "a GET was signed"
    head = presigner.generate_presigned_url("head_object", where)
    assert fetch(head, "HEAD")[2]["content-length"] == "70000"
    listing = presigner.generate_presigned_url("list_objects_v2", {"Bucket": bucket, "Prefix": "dir/"})
    assert b"<KeyCount>1</KeyCount>" in fetch(listing)[1]
    delete = presigner.generate_presigned_url("delete_object", where)
    assert fetch(delete, "DELETE")[0] == 204
    assert fetch(url)[0] == 404


@pytest.mark.parametrize("version", VERSIONS)
def test_overrides(presigner: Any, s3: Any, bucket: str, version: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"v")
    overrides = {"ResponseContentType": "text/x", "ResponseContentDisposition": 'attachment; filename="ü b"'}
    url = presigner.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "k", **overrides})
    status, _, headers = fetch(url)
    assert (status, headers["content-type"]) == (200, "text/x")
    assert fetch(url.replace("text%2Fx", "text%2Fhtml"))[0] == 403


@pytest.mark.parametrize("version", VERSIONS)
def test_put(presigner: Any, s3: Any, bucket: str, version: str) -> None:
    for size in (0, 10, 2 * MIB):
        url = presigner.generate_presigned_url("put_object", {"Bucket": bucket, "Key": KEY})
        headers = {"Content_Type": ""} if version == "s3" else {}
        assert fetch(url, "PUT", noise(size), **headers)[0] == 200
        with s3.get_object(Bucket=bucket, Key=KEY)["Body"] as stream:
            assert stream.read() == noise(size)
    typed = presigner.generate_presigned_url(
        "put_object", {"Bucket": bucket, "Key": "typed", "ContentType": "text/a", "Metadata": {"m": "1"}}
    )
    extra = {"x_amz_meta_m": "1"}
    assert fetch(typed, "PUT", b"v", Content_Type="text/a", **extra)[0] == 200
    head = s3.head_object(Bucket=bucket, Key="typed")
    assert (head["ContentType"], head["Metadata"]) == ("text/a", {"m": "1"})
    assert fetch(typed, "PUT", b"w", Content_Type="text/b", **extra)[0] == 403


@pytest.mark.parametrize("version", VERSIONS)
def test_parts(presigner: Any, s3: Any, bucket: str, version: str) -> None:
    where = {
        "Bucket": bucket,
        "Key": "k",
        "UploadId": s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"],
    }
    url = presigner.generate_presigned_url("upload_part", where | {"PartNumber": 1})
    status, _, headers = fetch(url, "PUT", b"part", **({"Content_Type": ""} if version == "s3" else {}))
    assert status == 200
    parts = {"Parts": [{"PartNumber": 1, "ETag": headers["etag"]}]}
    s3.complete_multipart_upload(**where, MultipartUpload=parts)
    assert s3.head_object(Bucket=bucket, Key="k")["ContentLength"] == 4


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_changed_is_refused(presigner: Any, s3: Any, bucket: str, version: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"v")
    s3.put_object(Bucket=bucket, Key="other", Body=b"secret")
    url = presigner.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "k"})
    path, _, query = url.partition("?")
    values = urllib.parse.parse_qs(query)
    (signature,) = values.get("X-Amz-Signature") or values["Signature"]
    forged = signature[:-3] + ("AA=" if version == "s3" else "000")
    changes = [
        (path[:-1] + "other?" + query, "GET"),
        (url + "&response-content-type=text%2Fhtml", "GET"),
        (url + "&acl", "GET"),
        (url, "PUT"),
        (url, "DELETE"),
        (url.replace(urllib.parse.quote(signature, safe=""), urllib.parse.quote(forged, safe="")), "GET"),
        (path, "GET"),
    ]
    for changed, method in changes:
        assert fetch(changed, method, b"x" if method == "PUT" else None)[0] == 403, changed
    assert fetch(url)[1] == b"v"


def test_expired(gateway: Gateway, s3: Any, bucket: str) -> None:
    """Of V2; V4 is in the attacks, because boto3 refuses to sign the past."""
    s3.put_object(Bucket=bucket, Key="k", Body=b"v")
    presigner = gateway.s3("presign s3", signature_version="s3")
    url = presigner.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "k"}, ExpiresIn=-1)
    status, body, _ = fetch(url)
    assert status == 403
    assert b"<Code>AccessDenied</Code><Message>Request has expired</Message>" in body


def test_headers_in_the_query(gateway: Gateway, s3: Any, acl_bucket: str, signer: Signer) -> None:
    """The JavaScript kit moves headers into the query before it signs (V4): there they count as headers."""

    def put(key: str, *parameters: str) -> Answer:
        target = f"/{acl_bucket}/{key}?{'&'.join(parameters)}"
        return send(
            gateway.port, "PUT", signer.presign("PUT", target, f"127.0.0.1:{gateway.port}"), body=b"v"
        )

    crc = (
        base64.b64encode(zlib.crc32(b"v").to_bytes(4, "big")).decode().replace("=", "%3D").replace("/", "%2F")
    )
    assert (
        put("k", "x-amz-acl=public-read", "x-amz-meta-m=a%20b", f"x-amz-checksum-crc32={crc}").status == 200
    )
    assert s3.head_object(Bucket=acl_bucket, Key="k")["Metadata"] == {"m": "a b"}
    assert send(gateway.port, "GET", f"/{acl_bucket}/k").status == 200
    assert put("l", "x-amz-checksum-crc32=AAAAAA%3D%3D").code == "BadDigest"
    assert put("e", "x-amz-server-side-encryption=AES256").status == 200
    assert s3.head_object(Bucket=acl_bucket, Key="e")["ServerSideEncryption"] == "AES256", (
        "a promise is not dropped"
    )
    assert put("l", f"x-amz-copy-source=/{acl_bucket}/k").status in {400, 501}
    for evil in (
        "x-amz-meta-a=b%0d%0aset-cookie:c",
        "x-amz-meta-a%0d%0ab=c",
        "x-amz-meta-a%3ab=c",
        "x-amz-meta-a=%00",
    ):
        assert put("l", evil).status == 400, evil
    assert s3.list_objects_v2(Bucket=acl_bucket)["KeyCount"] == 2
    v2 = gateway.s3("presign s3", signature_version="s3")
    url = v2.generate_presigned_url("put_object", {"Bucket": acl_bucket, "Key": "v2"})
    assert fetch(f"{url}&x-amz-acl=public-read", "PUT", b"v", Content_Type="")[0] in {200, 400, 403}
    assert send(gateway.port, "GET", f"/{acl_bucket}/v2").status == 403, "V2 does not sign its query"


def test_other_region_is_named(gateway: Gateway, s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"v")
    client = gateway.s3("presign s3v4", signature_version="s3v4")
    url = client.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "k"})
    status, body, _ = fetch(url.replace(REGION, "eu-west-1"))
    assert status == 400
    assert b"<Code>AuthorizationQueryParametersError</Code>" in body
    assert REGION.encode() in body
