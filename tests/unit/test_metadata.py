"""Metadata between headers and values."""

import pytest
from scopes import request

from auth.identity import Identity, Verified
from backends.base import UNCONDITIONAL, BucketInfo, Checksum, Content, Doc, ObjectInfo, PartInfo, Span
from backends.memory import MemoryBackend
from gateway.context import Context, Services
from gateway.errors import S3Error
from gateway.metadata import (
    object_headers,
    overrides,
    refuse_unsupported,
    user_metadata,
    write_of,
)
from gateway.operations import resolve
from gateway.spool import Spool


def context(method, target, headers=None, **docs):
    asked = request(method, target, headers)
    services = Services(MemoryBackend(), None, Spool(0, 0, ""))
    bucket = BucketInfo("b", 0, {Doc[name]: text for name, text in docs.items()})
    return Context(asked, resolve(asked), Verified(Identity("KEY")), services, bucket)


def write(headers, **docs):
    return write_of(context("PUT", "/b/k", headers, **docs), UNCONDITIONAL)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("aws-chunked", None),
        ("aws-chunked,gzip", "gzip"),
        ("gzip, aws-chunked", "gzip"),
        ("gzip", "gzip"),
        ("AWS-CHUNKED", None),
    ],
)
def test_aws_chunked_is_never_kept(sent, kept):
    assert write({"content-encoding": sent}).headers.get("content-encoding") == kept


def test_user_metadata_loses_its_prefix_and_keeps_its_bytes():
    assert user_metadata({"x-amz-meta-a": "1", "x-amz-meta-b-c": "\xe9", "x-amz-date": "d"}) == {
        "a": "1",
        "b-c": "\xe9",
    }


def test_user_metadata_is_bounded():
    assert user_metadata({"x-amz-meta-a": "x" * 2047})
    with pytest.raises(S3Error, match="MetadataTooLarge"):
        user_metadata({"x-amz-meta-a": "x" * 2048})


@pytest.mark.parametrize("name", ["x-amz-write-offset-bytes"])
def test_promises_that_nobody_would_keep_are_refused(name):
    with pytest.raises(S3Error) as caught:
        refuse_unsupported({name: "x"})
    assert caught.value.status == 501


@pytest.mark.parametrize("name", ["GLACIER", "DEEP_ARCHIVE", "nonsense"])
def test_storage_classes_that_need_a_restore_are_refused(name):
    with pytest.raises(S3Error, match="InvalidStorageClass"):
        write({"x-amz-storage-class": name})


WHOLE = Span(0, 10)
INFO = ObjectInfo(
    "k", 10, "e", 0, {"content-type": "a/b"}, {"m": "v"}, checksum=Checksum("CRC32", "AAAAAA==")
)


def shown(target="/b/k", headers=None, span=WHOLE, info=INFO):
    return object_headers(Content(info, span), context("GET", target, headers))


def test_headers_of_an_object():
    found = shown()
    assert found["etag"] == '"e"'
    assert found["last-modified"] == "Thu, 01 Jan 1970 00:00:00 GMT"
    assert found["content-type"] == "a/b"
    assert found["x-amz-meta-m"] == "v"
    assert not any(name.startswith("x-amz-checksum") for name in found)


def test_the_checksum_only_on_request_and_never_on_a_range():
    asked = {"x-amz-checksum-mode": "ENABLED"}
    assert shown(headers=asked)["x-amz-checksum-crc32"] == "AAAAAA=="
    assert shown("/b/k?X-Amz-Checksum-Mode=ENABLED")["x-amz-checksum-type"] == "FULL_OBJECT"
    assert "x-amz-checksum-crc32" not in shown(headers={**asked, "range": "bytes=0-1"}, span=Span(0, 2, True))


def test_content_range_and_parts_count():
    assert shown(span=Span(3, 4, True))["content-range"] == "bytes 3-6/10"
    parts = ObjectInfo("k", 10, "e-2", 0, parts=(PartInfo(1, 5), PartInfo(2, 5)))
    assert shown("/b/k?partNumber=2", span=Span(5, 5, True), info=parts)["x-amz-mp-parts-count"] == "2"


def test_overrides():
    target = (
        "/b/k?response-content-type=text/plain&response-content-disposition=attachment;%20filename=%C3%A9"
    )
    assert overrides(request("GET", target)) == {
        "content-type": "text/plain",
        "content-disposition": "attachment; filename=\xc3\xa9",
    }


@pytest.mark.parametrize("value", ["a%0d%0aSet-Cookie:x", "a%0ab", "%7f"])
def test_an_override_cannot_split_the_header(value):
    with pytest.raises(S3Error, match="InvalidArgument"):
        overrides(request("GET", f"/b/k?response-content-type={value}"))
