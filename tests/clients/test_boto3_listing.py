"""ListObjects V1 and V2 through boto3, at every page size, against a model of a few lines."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.handlers import set_list_objects_encoding_type_url
from harness import Gateway, refusal

KEYS = [
    " lead",
    "a",
    "a//b",
    "a/b",
    "a/b/c",
    "a/b/d",
    "a/c",
    "ab",
    "b--x--1",
    "b--x--2",
    "b--y",
    "b-z",
    "c%2Fd",
    "c/",
    "c/+ &<>\"'",
    "d\t\n\x01",
    "é/1",
    "é/2",
    "日本/1",
    "￿",
    "\U0001d4b3",
    "😀/a",
    "😀b",
]


def in_order(keys: Any) -> list[str]:
    """UTF-8 byte order, which is not the order of UTF-16 nor of a locale."""
    return sorted(keys, key=str.encode)


def model(prefix: str, delimiter: str, after: str = "") -> list[str]:
    """Keys and common prefixes (the latter marked) in the order of a listing."""
    found: dict[str, str] = {}
    for key in in_order(KEYS):
        rest = key.removeprefix(prefix)
        if not key.startswith(prefix) or key.encode() <= after.encode():
            continue
        if delimiter and delimiter in rest:
            group = prefix + rest[: rest.index(delimiter) + len(delimiter)]
            if not (after and after.startswith(group) and after == group):
                found[group] = f"PREFIX {group}"
        else:
            found[key] = key
    return [found[one] for one in in_order(found)]


@pytest.fixture(scope="module")
def filled(gateway: Gateway) -> str:
    """A bucket with all the keys; nobody writes to it."""
    name = f"listing-{uuid.uuid4().hex[:12]}"
    s3 = gateway.s3()
    s3.create_bucket(Bucket=name)
    for key in KEYS:
        s3.put_object(Bucket=name, Key=key, Body=key.encode())
    return name


def merged(page: Any) -> list[str]:
    """The entries of a page, keys and prefixes in one order."""
    keys = {one["Key"]: one["Key"] for one in page.get("Contents", [])}
    groups = {one["Prefix"]: f"PREFIX {one['Prefix']}" for one in page.get("CommonPrefixes", [])}
    return [(keys | groups)[one] for one in in_order(keys | groups)]


def pages(call: Any, **parameters: Any) -> list[Any]:
    """All pages of a V2 listing."""
    found = [call(**parameters)]
    while found[-1]["IsTruncated"]:
        found.append(call(**parameters, ContinuationToken=found[-1]["NextContinuationToken"]))
        assert len(found) <= 2 * len(KEYS), "the listing does not end"
    return found


SHAPES = [
    ("", ""),
    ("", "/"),
    ("", "--"),
    ("", "--x--"),
    ("a/", "/"),
    ("a/b", "/"),
    ("a", ""),
    ("b-", "--"),
    ("", "/b"),
    ("😀", "/"),
    ("é/", ""),
    ("none", "/"),
    ("", "%2F"),
    ("", "日本/"),
]


@pytest.mark.parametrize(("prefix", "delimiter"), SHAPES)
def test_every_page_size_gives_the_model(s3: Any, filled: str, prefix: str, delimiter: str) -> None:
    expected = model(prefix, delimiter)
    for size in sorted({1, 2, 3, 5, len(expected) - 1, len(expected), len(expected) + 1} - {0, -1}):
        found = pages(s3.list_objects_v2, Bucket=filled, Prefix=prefix, Delimiter=delimiter, MaxKeys=size)
        assert [one for page in found for one in merged(page)] == expected
        assert all(page["KeyCount"] == len(merged(page)) for page in found)
        assert all(len(merged(page)) == size for page in found[:-1])
        assert "NextContinuationToken" not in found[-1]


@pytest.mark.parametrize(("prefix", "delimiter"), SHAPES)
def test_version_1_pages_by_marker(s3: Any, filled: str, prefix: str, delimiter: str) -> None:
    expected, found, marker = model(prefix, delimiter), [], ""
    for _ in range(2 * len(KEYS)):
        page = s3.list_objects(Bucket=filled, Prefix=prefix, Delimiter=delimiter, MaxKeys=2, Marker=marker)
        found += merged(page)
        assert page["Marker"] == marker
        if not page["IsTruncated"]:
            break
        assert ("NextMarker" in page) == bool(delimiter), (
            "only a listing with a delimiter names the next marker"
        )
        marker = page.get("NextMarker") or page["Contents"][-1]["Key"]
    assert found == expected


@pytest.mark.parametrize("after", ["", "a", "a/b/c", "a/zzz", "b", "c/", "zzz", "\x7f", "😀/a", "￿"])
def test_start_after(s3: Any, filled: str, after: str) -> None:
    for size in (1, 4, 1000):
        found = pages(s3.list_objects_v2, Bucket=filled, StartAfter=after, MaxKeys=size)
        assert [one for page in found for one in merged(page)] == model("", "", after)
    assert found[0].get("StartAfter", "") == after


def test_a_marker_inside_a_group_still_shows_it(s3: Any, filled: str) -> None:
    """A key after the marker is in the group, so the group is listed; a marker that is the group itself skips it."""
    inside = s3.list_objects(Bucket=filled, Delimiter="/", Marker="a/b")
    assert inside["CommonPrefixes"][0]["Prefix"] == "a/"
    skipped = s3.list_objects(Bucket=filled, Delimiter="/", Marker="a/")
    assert "a/" not in [one["Prefix"] for one in skipped["CommonPrefixes"]]


def test_max_keys(s3: Any, filled: str) -> None:
    none = s3.list_objects_v2(Bucket=filled, MaxKeys=0)
    assert (none["KeyCount"], none["IsTruncated"], none["MaxKeys"]) == (0, False, 0)
    many = s3.list_objects_v2(Bucket=filled, MaxKeys=5000)
    assert (many["KeyCount"], many["MaxKeys"]) == (len(KEYS), 1000)
    assert refusal(s3.list_objects_v2, Bucket=filled, MaxKeys=-1) == (400, "InvalidArgument")
    assert refusal(s3.list_objects, Bucket=filled, MaxKeys=-1) == (400, "InvalidArgument")


def test_more_than_a_page(s3: Any, bucket: str) -> None:
    """1,000 keys to a page by default, whatever is asked for."""
    keys = [f"{number:04}" for number in range(1003)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: s3.put_object(Bucket=bucket, Key=key, Body=b""), keys))
    for call in (s3.list_objects, s3.list_objects_v2):
        first = call(Bucket=bucket)
        assert (len(first["Contents"]), first["IsTruncated"]) == (1000, True)
    found = pages(s3.list_objects_v2, Bucket=bucket)
    assert [one["Key"] for page in found for one in page["Contents"]] == keys


def test_a_bad_token(s3: Any, filled: str) -> None:
    for token in ("nonsense", "", "AAAA", "%%%"):
        assert refusal(s3.list_objects_v2, Bucket=filled, ContinuationToken=token) == (400, "InvalidArgument")


def test_a_token_works_with_a_deleted_key(s3: Any, bucket: str) -> None:
    for key in "abc":
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    token = s3.list_objects_v2(Bucket=bucket, MaxKeys=1)["NextContinuationToken"]
    s3.delete_object(Bucket=bucket, Key="a")
    s3.delete_object(Bucket=bucket, Key="b")
    rest = s3.list_objects_v2(Bucket=bucket, ContinuationToken=token)
    assert [one["Key"] for one in rest["Contents"]] == ["c"]
    assert rest["ContinuationToken"] == token


def test_fields_of_an_entry(s3: Any, bucket: str) -> None:
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"hello", ChecksumAlgorithm="CRC32C")
    for call, parameters in ((s3.list_objects, {}), (s3.list_objects_v2, {"FetchOwner": True})):
        (entry,) = call(Bucket=bucket, **parameters)["Contents"]
        assert (entry["Key"], entry["Size"], entry["ETag"]) == ("k", 5, put["ETag"])
        assert entry["StorageClass"] == "STANDARD"
        assert entry["ChecksumAlgorithm"] == ["CRC32C"]
        assert entry["Owner"]["ID"]
    assert "Owner" not in s3.list_objects_v2(Bucket=bucket)["Contents"][0]


def test_encoding_type_url_is_asked_for_and_undone_by_boto3(gateway: Gateway, filled: str) -> None:
    """What goes over the wire is encoded; without encoding-type, what XML 1.0 cannot hold is an error or an escape."""
    s3 = gateway.s3("no encoding")
    handlers = "before-parameter-build.s3.ListObjectsV2"
    s3.meta.events.unregister(handlers, set_list_objects_encoding_type_url)
    plain = s3.list_objects_v2(Bucket=filled, Prefix="c/")
    assert "EncodingType" not in plain
    assert [one["Key"] for one in plain["Contents"]] == ["c/", "c/+ &<>\"'"]
    encoded = s3.list_objects_v2(Bucket=filled, Prefix="c/", EncodingType="url", Delimiter="+ ")
    assert encoded["EncodingType"] == "url"
    assert encoded["CommonPrefixes"] == [{"Prefix": "c/%2B+"}] or encoded["CommonPrefixes"] == [
        {"Prefix": "c/%2B%20"}
    ]
    assert refusal(s3.list_objects_v2, Bucket=filled, EncodingType="base64") == (400, "InvalidArgument")
