"""A bucket under attack: whatever a test tries, afterwards it holds what it held, and the gateway is well."""

from collections.abc import Iterator
from typing import Any

import pytest
from harness import Gateway

SECRET_BYTES = b"classified"


@pytest.fixture
def victim(gateway: Gateway, s3: Any, bucket: str) -> Iterator[str]:
    """A bucket with one private object under `secret`."""
    etag = s3.put_object(Bucket=bucket, Key="secret", Body=SECRET_BYTES, Metadata={"m": "1"})["ETag"]
    yield bucket
    assert gateway.healthy()
    held = [(one["Key"], one["ETag"]) for one in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert held == [("secret", etag)], "an attack changed the bucket"
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)
    assert len(s3.get_object_acl(Bucket=bucket, Key="secret")["Grants"]) == 1
    assert len(s3.get_bucket_acl(Bucket=bucket)["Grants"]) == 1
