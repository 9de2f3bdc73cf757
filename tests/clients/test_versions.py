"""Versioning through boto3: ids, markers, listings, and what each operation does with a version."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from harness import Gateway, refusal
from wire import send


@pytest.fixture
def versioned(s3: Any, bucket: str) -> str:
    """A bucket with versioning enabled."""
    enable(s3, bucket)
    return bucket


def enable(s3: Any, bucket: str, status: str = "Enabled") -> None:
    """Set the state of versioning."""
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": status})


def put(s3: Any, bucket: str, key: str = "k", body: bytes = b"v") -> str | None:
    """Write, and return the version's id."""
    answer: dict[str, str] = s3.put_object(Bucket=bucket, Key=key, Body=body)
    return answer.get("VersionId")


def read(s3: Any, bucket: str, key: str = "k", **where: str) -> bytes:
    """The bytes of an object or a version."""
    with s3.get_object(Bucket=bucket, Key=key, **where)["Body"] as stream:
        return stream.read()


def listed(s3: Any, bucket: str, **query: Any) -> list[tuple[str, str, bool]]:
    """Key, id and latest of all versions, newest first within a key; of markers the id is in brackets."""
    found: list[tuple[str, str, bool]] = []
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, **query):
        found += [(one["Key"], one["VersionId"], one["IsLatest"]) for one in page.get("Versions", ())]
        found += [
            (one["Key"], f"[{one['VersionId']}]", one["IsLatest"]) for one in page.get("DeleteMarkers", ())
        ]
    return found


def test_the_state(s3: Any, bucket: str) -> None:
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)
    for status in ("Enabled", "Suspended", "Enabled"):
        enable(s3, bucket, status)
        assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == status


@pytest.mark.parametrize(
    ("configuration", "expected"),
    [
        ({}, (400, "IllegalVersioningConfigurationException")),
        ({"Status": "enabled"}, (400, "MalformedXML")),
        ({"Status": "Enabled", "MFADelete": "Enabled"}, (501, "NotImplemented")),
        ({"Status": "Enabled", "MFADelete": "Yes"}, (400, "MalformedXML")),
    ],
)
def test_states_that_are_none(
    s3: Any, bucket: str, configuration: dict[str, str], expected: tuple[int, str]
) -> None:
    call = {"Bucket": bucket, "VersioningConfiguration": configuration}
    assert refusal(s3.put_bucket_versioning, **call) == expected
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)


def test_every_write_is_a_version(s3: Any, versioned: str) -> None:
    ids = [put(s3, versioned, body=body) for body in (b"one", b"two", b"three")]
    assert len(set(ids)) == 3
    assert read(s3, versioned) == b"three"
    for version, body in zip(ids, (b"one", b"two", b"three"), strict=True):
        assert version is not None
        assert read(s3, versioned, VersionId=version) == body
        assert s3.head_object(Bucket=versioned, Key="k", VersionId=version)["VersionId"] == version
    expected = [("k", version, version == ids[-1]) for version in reversed(ids)]
    assert listed(s3, versioned) == expected
    assert s3.list_objects_v2(Bucket=versioned)["KeyCount"] == 1


def test_what_was_there_before_is_null(s3: Any, bucket: str) -> None:
    assert put(s3, bucket, body=b"old") is None
    enable(s3, bucket)
    assert s3.get_object(Bucket=bucket, Key="k")["VersionId"] == "null"
    new = put(s3, bucket, body=b"new")
    assert listed(s3, bucket) == [("k", new, True), ("k", "null", False)]
    assert read(s3, bucket, VersionId="null") == b"old"
    enable(s3, bucket, "Suspended")
    assert put(s3, bucket, body=b"suspended") == "null"
    assert listed(s3, bucket) == [("k", "null", True), ("k", new, False)]
    assert read(s3, bucket, VersionId="null") == b"suspended"


def test_delete_markers(s3: Any, versioned: str) -> None:
    version = put(s3, versioned)
    marker = s3.delete_object(Bucket=versioned, Key="k")
    assert marker["DeleteMarker"] is True
    assert listed(s3, versioned) == [("k", version, False), ("k", f"[{marker['VersionId']}]", True)]
    assert refusal(s3.get_object, Bucket=versioned, Key="k") == (404, "NoSuchKey")
    assert "Contents" not in s3.list_objects_v2(Bucket=versioned)
    call = {"Bucket": versioned, "Key": "k", "VersionId": marker["VersionId"]}
    assert refusal(s3.get_object, **call) == (405, "MethodNotAllowed")
    removed = s3.delete_object(**call)
    assert (removed["DeleteMarker"], removed["VersionId"]) == (True, marker["VersionId"])
    assert read(s3, versioned) == b"v", "what the marker hid is back"


def test_headers_of_a_marker(gateway: Gateway, signer: Any, s3: Any, versioned: str) -> None:
    put(s3, versioned)
    marker = s3.delete_object(Bucket=versioned, Key="k")["VersionId"]
    for target, status in ((f"/{versioned}/k", 404), (f"/{versioned}/k?versionId={marker}", 405)):
        answer = send(gateway.port, "GET", target, signer=signer)
        assert answer.status == status
        assert answer.headers["x-amz-delete-marker"] == "true"
    assert answer.headers["allow"] == "DELETE"
    assert "last-modified" in answer.headers


def test_deleting_a_version_uncovers_the_one_below(s3: Any, versioned: str) -> None:
    first, second = put(s3, versioned, body=b"one"), put(s3, versioned, body=b"two")
    answer = s3.delete_object(Bucket=versioned, Key="k", VersionId=second)
    assert (answer["VersionId"], answer.get("DeleteMarker")) == (second, None)
    assert read(s3, versioned) == b"one"
    s3.delete_object(Bucket=versioned, Key="k", VersionId=first)
    assert listed(s3, versioned) == []
    assert refusal(s3.get_object, Bucket=versioned, Key="k") == (404, "NoSuchKey")


def test_ids_that_are_none(s3: Any, versioned: str) -> None:
    put(s3, versioned)
    missing = "0" * 32
    assert refusal(s3.get_object, Bucket=versioned, Key="k", VersionId=missing) == (404, "NoSuchVersion")
    for call in (s3.get_object, s3.delete_object, s3.get_object_tagging):
        assert refusal(call, Bucket=versioned, Key="k", VersionId="no id") == (400, "InvalidArgument")
    assert s3.delete_object(Bucket=versioned, Key="k", VersionId=missing)["VersionId"] == missing
    assert read(s3, versioned) == b"v"


def test_delete_objects(s3: Any, versioned: str) -> None:
    kept, doomed = put(s3, versioned, "a"), put(s3, versioned, "a")
    put(s3, versioned, "b")
    listing = [{"Key": "a", "VersionId": doomed}, {"Key": "b"}, {"Key": "c", "VersionId": "no id"}]
    answer = s3.delete_objects(Bucket=versioned, Delete={"Objects": listing})
    by_key = {one["Key"]: one for one in answer["Deleted"]}
    assert by_key["a"] == {"Key": "a", "VersionId": doomed}
    assert by_key["b"]["DeleteMarker"] is True
    assert [error["Code"] for error in answer["Errors"]] == ["InvalidArgument"]
    marker = by_key["b"]["DeleteMarkerVersionId"]
    assert s3.get_object(Bucket=versioned, Key="a")["VersionId"] == kept
    again = s3.delete_objects(Bucket=versioned, Delete={"Objects": [{"Key": "b", "VersionId": marker}]})
    assert again["Deleted"] == [
        {"Key": "b", "VersionId": marker, "DeleteMarker": True, "DeleteMarkerVersionId": marker}
    ]


def test_listing_in_pages(s3: Any, versioned: str) -> None:
    for key in ("a", "b/1", "b/2", "c"):
        put(s3, versioned, key)
        put(s3, versioned, key)
    s3.delete_object(Bucket=versioned, Key="c")
    everything = sorted(listed(s3, versioned))
    assert len(everything) == 9
    for size in (1, 2, 4):
        assert sorted(listed(s3, versioned, PaginationConfig={"PageSize": size})) == everything
    page = s3.list_object_versions(Bucket=versioned, Delimiter="/", MaxKeys=3)
    assert [one["Prefix"] for one in page["CommonPrefixes"]] == ["b/"]
    assert [one["Key"] for one in page["Versions"]] == ["a", "a"]
    assert page["IsTruncated"]
    rest = s3.list_object_versions(
        Bucket=versioned, Delimiter="/", KeyMarker=page["NextKeyMarker"], Prefix=""
    )
    assert [one["Key"] for one in rest["Versions"]] == ["c", "c"]
    assert "CommonPrefixes" not in rest
    assert refusal(s3.list_object_versions, Bucket=versioned, VersionIdMarker="0" * 32) == (
        400,
        "InvalidArgument",
    )


def test_copies_of_a_version(s3: Any, versioned: str) -> None:
    first = put(s3, versioned, body=b"one")
    put(s3, versioned, body=b"two")
    source = {"Bucket": versioned, "Key": "k", "VersionId": first}
    copied = s3.copy_object(Bucket=versioned, Key="k", CopySource=source)
    assert copied["CopySourceVersionId"] == first
    assert s3.get_object(Bucket=versioned, Key="k")["VersionId"] == copied["VersionId"]
    assert read(s3, versioned) == b"one"
    upload = s3.create_multipart_upload(Bucket=versioned, Key="m")["UploadId"]
    where = {"Bucket": versioned, "Key": "m", "UploadId": upload}
    part = s3.upload_part_copy(**where, PartNumber=1, CopySource=source)
    assert part["CopySourceVersionId"] == first
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["CopyPartResult"]["ETag"]}]}
    done = s3.complete_multipart_upload(**where, MultipartUpload=parts)
    assert read(s3, versioned, "m", VersionId=done["VersionId"]) == b"one"
    marker = s3.delete_object(Bucket=versioned, Key="k")["VersionId"]
    call = {"Bucket": versioned, "Key": "x", "CopySource": {**source, "VersionId": marker}}
    assert refusal(s3.copy_object, **call) == (400, "InvalidRequest")
    call["CopySource"] = {"Bucket": versioned, "Key": "k"}
    assert refusal(s3.copy_object, **call) == (404, "NoSuchKey")


def test_conditions_look_at_the_current_version(s3: Any, versioned: str) -> None:
    first = s3.put_object(Bucket=versioned, Key="k", Body=b"one")["ETag"]
    second = s3.put_object(Bucket=versioned, Key="k", Body=b"two")["ETag"]
    assert refusal(s3.put_object, Bucket=versioned, Key="k", IfMatch=first) == (412, "PreconditionFailed")
    s3.put_object(Bucket=versioned, Key="k", IfMatch=second)
    s3.delete_object(Bucket=versioned, Key="k")
    s3.put_object(Bucket=versioned, Key="k", IfNoneMatch="*")
    assert refusal(s3.put_object, Bucket=versioned, Key="k", IfNoneMatch="*") == (412, "PreconditionFailed")


def test_a_bucket_with_markers_is_not_empty(s3: Any, versioned: str) -> None:
    s3.delete_object(Bucket=versioned, Key="never")
    assert refusal(s3.delete_bucket, Bucket=versioned) == (409, "BucketNotEmpty")
    ((_, marker, _),) = listed(s3, versioned)
    s3.delete_object(Bucket=versioned, Key="never", VersionId=marker.strip("[]"))
    s3.delete_bucket(Bucket=versioned)


def test_documents_belong_to_a_version(s3: Any, versioned: str) -> None:
    first, second = put(s3, versioned), put(s3, versioned)
    where = {"Bucket": versioned, "Key": "k"}
    s3.put_object_tagging(**where, VersionId=first, Tagging={"TagSet": [{"Key": "a", "Value": "1"}]})
    assert s3.get_object_tagging(**where)["TagSet"] == []
    tags = s3.get_object_tagging(**where, VersionId=first)
    assert (tags["TagSet"], tags["VersionId"]) == ([{"Key": "a", "Value": "1"}], first)
    assert s3.head_object(**where, VersionId=second).get("TagCount") is None


def test_renaming_is_refused(gateway: Gateway, signer: Any, s3: Any, versioned: str) -> None:
    put(s3, versioned)
    target = f"/{versioned}/new?renameObject"
    source = {"x-amz-rename-source": f"/{versioned}/k"}
    assert send(gateway.port, "PUT", target, signer=signer, signed=source).code == "InvalidRequest"
    assert read(s3, versioned) == b"v"


def test_writers_at_once_lose_no_version(start: Callable[..., Gateway]) -> None:
    gateway = start(s3_gateway={"workers": 2})
    s3 = gateway.s3(max_pool_connections=8)
    s3.create_bucket(Bucket="many")
    enable(s3, "many")
    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(lambda n: put(s3, "many", body=b"%d" % n), range(64)))
    found = listed(s3, "many")
    assert {version for _, version, _ in found} == ids
    assert sum(latest for _, _, latest in found) == 1
    assert found[0][2], "the newest comes first"
