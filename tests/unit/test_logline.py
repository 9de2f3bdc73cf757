"""The format of access logs, held against the example that AWS documents, and against clients that would break it."""

import re
from dataclasses import replace

import pytest

from gateway.logline import Record, line, operation_name, redacted
from gateway.operations import OPERATIONS

EXAMPLE = (
    "79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be amzn-s3-demo-bucket1 "
    "[06/Feb/2019:00:00:38 +0000] 192.0.2.3 "
    "79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be 891CE47D2EXAMPLE REST.GET.LOGGING_STATUS - "
    '"GET /amzn-s3-demo-bucket1?logging HTTP/1.1" 200 - 242 - 11 - "-" "S3Console/0.4" - '
    "9vKBE6vMhrNiWHZmb2L0mXOcqPGzQOI5XLnCtZNPxev+Hf+7tpT6sxDwDty4LHBUOZJG96N1234= SigV4 "
    "ECDHE-RSA-AES128-GCM-SHA256 AuthHeader amzn-s3-demo-bucket1.s3.us-west-1.amazonaws.com TLSV1.2 - -"
)
"""https://docs.aws.amazon.com/AmazonS3/latest/userguide/LogFormat.html"""
RECORD = Record(
    bucket_owner="79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be",
    bucket="amzn-s3-demo-bucket1",
    time=1_549_411_238_000_000_000,
    remote_ip="192.0.2.3",
    requester="79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be",
    request_id="891CE47D2EXAMPLE",
    operation="REST.GET.LOGGING_STATUS",
    key="",
    request_uri="GET /amzn-s3-demo-bucket1?logging HTTP/1.1",
    status=200,
    error_code="",
    bytes_sent=242,
    object_size="",
    total_time=11_000_000,
    turn_around_time=None,
    referer="",
    user_agent="S3Console/0.4",
    version_id="",
    host_id="9vKBE6vMhrNiWHZmb2L0mXOcqPGzQOI5XLnCtZNPxev+Hf+7tpT6sxDwDty4LHBUOZJG96N1234=",
    signature_version="SigV4",
    cipher_suite="ECDHE-RSA-AES128-GCM-SHA256",
    auth_type="AuthHeader",
    host_header="amzn-s3-demo-bucket1.s3.us-west-1.amazonaws.com",
    tls_version="TLSV1.2",
    acl_required=False,
)
FIELDS = re.compile(r'\[[^\]]*\]|"[^"]*"|\S+')


def fields(record):
    text = line(record)
    found = FIELDS.findall(text)
    assert " ".join(found) == text
    assert len(found) == 26
    return found


def test_the_example_of_aws():
    assert line(RECORD) == EXAMPLE


def test_what_is_known_of_an_object():
    record = replace(
        RECORD,
        key="photos/a b.jpg",
        status=404,
        error_code="NoSuchKey",
        bytes_sent=0,
        object_size="3462992",
        turn_around_time=10_999_999,
        version_id="3HL4kqtJvjVBH40Nrjfkd",
        acl_required=True,
    )
    found = fields(record)
    assert found[7] == "photos/a%20b.jpg"
    assert found[9:15] == ["404", "NoSuchKey", "-", "3462992", "11", "10"]
    assert (found[17], found[25]) == ("3HL4kqtJvjVBH40Nrjfkd", "Yes")


HOSTILE = ['a"b', "a\r\nb", "a\nb", "a\x00b", "a\x85b", "é\xff", '" "', "\u2028", "-", " "]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize(
    "name", ["key", "user_agent", "referer", "request_uri", "host_header", "object_size", "version_id"]
)
def test_no_client_breaks_a_line(name, text):
    """CR, LF and quotes in user agents and keys: one request is one line of 26 fields of ASCII."""
    found = line(replace(RECORD, **{name: text}))
    assert found.isascii()
    assert found.isprintable()
    assert len(fields(replace(RECORD, **{name: text}))) == 26


def test_a_key_called_like_nothing_differs_from_nothing():
    assert fields(replace(RECORD, key="-"))[7] == "%2D"
    assert fields(replace(RECORD, key=""))[7] == "-"


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("/b/k", "/b/k"),
        ("/b/k?versionId=a&x", "/b/k?versionId=a&x"),
        ("/b/k?X-Amz-Signature=s3cret&a=b", "/b/k?X-Amz-Signature=REDACTED&a=b"),
        ("/b/k?x-amz-security-TOKEN=s3cret", "/b/k?x-amz-security-TOKEN=REDACTED"),
        ("/b/k?X-Amz-%53ignature=s3cret", "/b/k?X-Amz-%53ignature=REDACTED"),
        (
            "/b/k?AWSAccessKeyId=A&Signature=s3cret&Expires=1",
            "/b/k?AWSAccessKeyId=A&Signature=REDACTED&Expires=1",
        ),
        (
            "/b/k?x-amz-server-side-encryption-customer-key=s3cret",
            "/b/k?x-amz-server-side-encryption-customer-key=REDACTED",
        ),
        ("https://h/b?Signature=s3cret", "https://h/b?Signature=REDACTED"),
    ],
)
def test_secrets_of_a_query_are_not_told(target, told):
    assert redacted(target) == told


@pytest.mark.parametrize("row", OPERATIONS, ids=lambda row: row.name)
def test_every_operation_has_a_name(row):
    assert re.fullmatch(r"REST\.(GET|PUT|POST|DELETE|HEAD|COPY)\.[A-Z_]+", _name(row))


def _name(row):
    return operation_name(row.name, row.method, row.level, row.selector)


NAMES = {
    "GetObject": "REST.GET.OBJECT",
    "HeadObject": "REST.HEAD.OBJECT",
    "PutObject": "REST.PUT.OBJECT",
    "PostObject": "REST.POST.OBJECT",
    "DeleteObject": "REST.DELETE.OBJECT",
    "CopyObject": "REST.COPY.OBJECT",
    "UploadPart": "REST.PUT.PART",
    "UploadPartCopy": "REST.COPY.PART",
    "CreateMultipartUpload": "REST.POST.UPLOADS",
    "CompleteMultipartUpload": "REST.POST.UPLOAD",
    "AbortMultipartUpload": "REST.DELETE.UPLOAD",
    "ListParts": "REST.GET.UPLOAD",
    "ListMultipartUploads": "REST.GET.UPLOADS",
    "ListObjectsV2": "REST.GET.BUCKET",
    "ListObjectVersions": "REST.GET.BUCKETVERSIONS",
    "DeleteObjects": "REST.POST.MULTI_OBJECT_DELETE",
    "GetBucketVersioning": "REST.GET.VERSIONING",
    "GetBucketPolicy": "REST.GET.BUCKETPOLICY",
    "GetBucketLogging": "REST.GET.LOGGING_STATUS",
    "GetObjectTagging": "REST.GET.OBJECT_TAGGING",
    "GetBucketTagging": "REST.GET.TAGGING",
    "GetObjectAcl": "REST.GET.ACL",
}


@pytest.mark.parametrize(("name", "told"), NAMES.items())
def test_names_that_are_known_from_logs_of_aws(name, told):
    assert _name(next(row for row in OPERATIONS if row.name == name)) == told
