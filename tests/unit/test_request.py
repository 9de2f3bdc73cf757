"""Parsing of requests: bucket and key from the raw path, decoded once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scopes import request

from gateway.errors import S3Error
from gateway.request import Request, host_bucket, parse_headers, parse_query, split_path

KEYS = st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=40)


def encode(key: str) -> str:
    return "".join(f"%{byte:02X}" for byte in key.encode())


@given(KEYS)
def test_a_key_survives(key):
    assert split_path(f"/bucket/{encode(key)}") == ("bucket", key)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", ("", "")),
        ("/bucket", ("bucket", "")),
        ("/bucket/", ("bucket", "")),
        ("/bucket//", ("bucket", "/")),
        ("/bucket/a//b", ("bucket", "a//b")),
        ("/bucket/a/../b", ("bucket", "a/../b")),
        ("/bucket/%2e%2e/other/key", ("bucket", "../other/key")),
        ("/bucket/a%2Fb", ("bucket", "a/b")),
        ("/bucket/a%252Fb", ("bucket", "a%2Fb")),
        ("/bucket/a+b", ("bucket", "a+b")),
        ("/bucket/..%5c..%5c", ("bucket", "..\\..\\")),
    ],
)
def test_paths_are_opaque(path, expected):
    assert split_path(path) == expected


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/bucket/%00", "InvalidURI"),
        ("/bucket/%ff", "InvalidURI"),
        ("bucket/key", "InvalidURI"),
        ("//key", "InvalidBucketName"),
        ("/bucket/" + "k" * 1025, "KeyTooLongError"),
        ("/bucket/" + "%C3%A9" * 513, "KeyTooLongError"),
    ],
)
def test_bad_paths(path, code):
    with pytest.raises(S3Error) as caught:
        split_path(path)
    assert caught.value.code == code
    assert caught.value.status == 400


def test_the_longest_key_passes():
    assert split_path("/b/" + "%C3%A9" * 512) == ("b", "é" * 512)


def test_query_decodes_once_and_first_wins():
    assert parse_query("a=1&a=2&b=%2526+c&d") == {"a": "1", "b": "%26 c", "d": ""}


def test_headers_join_duplicates():
    assert parse_headers([(b"a", b"1"), (b"b", b"x"), (b"a", b"2")]) == {"a": "1,2", "b": "x"}


@pytest.mark.parametrize(
    ("host", "bucket"),
    [
        ("photos.s3.local:9900", "photos"),
        ("a.b.s3.local", "a.b"),
        ("s3.local", ""),
        ("xs3.local", ""),
        ("127.0.0.1:9900", ""),
        ("[::1]", ""),
    ],
)
def test_host_style(host, bucket):
    assert host_bucket(host, ("s3.local",)) == bucket


def test_host_style_takes_the_whole_path_as_key():
    scope = {**request("GET", "/a/b").scope, "headers": [(b"host", b"photos.s3.local")]}
    found = Request(scope, None, ("s3.local",))
    assert (found.bucket, found.key, found.host_style) == ("photos", "a/b", True)


@pytest.mark.parametrize("value", ["-1", "1e3", "٣", "", "9" * 19])
def test_bad_content_length(value):
    scope = {
        **request("PUT", "/b/k").scope,
        "headers": [(b"host", b"h"), (b"content-length", value.encode("utf-8"))],
    }
    with pytest.raises(S3Error):
        _ = Request(scope, None).content_length


def test_missing_host_is_refused_but_for_http_1_0():
    scope = {**request("GET", "/").scope, "headers": []}
    with pytest.raises(S3Error):
        Request(scope, None)
    assert Request({**scope, "http_version": "1.0"}, None).bucket == ""
