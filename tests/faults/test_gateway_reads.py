"""Downloads that are disturbed: the object replaced or deleted meanwhile, the client gone."""

import socket
from typing import Any

import pytest
from harness import MIB, Gateway, eventually, noise, open_files
from wire import Signer, connect, read_all, request_bytes, send

SIZE = 16 * MIB


@pytest.fixture(params=["plain", "multipart"])
def large(request: pytest.FixtureRequest, s3: Any, bucket: str) -> bytes:
    """A large object under `k`, of one file or of several."""
    data = noise(SIZE)
    if request.param == "plain":
        s3.put_object(Bucket=bucket, Key="k", Body=data)
        return data
    where = {
        "Bucket": bucket,
        "Key": "k",
        "UploadId": s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"],
    }
    parts = []
    for number, start in enumerate(range(0, SIZE, 5 * MIB), 1):
        part = s3.upload_part(**where, PartNumber=number, Body=data[start : start + 5 * MIB])
        parts.append({"PartNumber": number, "ETag": part["ETag"]})
    s3.complete_multipart_upload(**where, MultipartUpload={"Parts": parts})
    return data


def begin(gateway: Gateway, signer: Signer, bucket: str) -> tuple[socket.socket, bytes]:
    """A download of which only the beginning was read."""
    connection = connect(gateway.port, 30)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    headers = signer.headers("GET", f"/{bucket}/k", f"127.0.0.1:{gateway.port}") | {"connection": "close"}
    connection.sendall(request_bytes("GET", f"/{bucket}/k", headers))
    return connection, connection.recv(1000)


@pytest.mark.parametrize("disturb", ["replace", "delete", "delete and empty the bucket"])
def test_a_download_is_of_one_version(
    gateway: Gateway, s3: Any, bucket: str, signer: Signer, large: bytes, disturb: str
) -> None:
    """What began as the old object ends as the old object."""
    connection, first = begin(gateway, signer, bucket)
    with connection:
        if disturb == "replace":
            s3.put_object(Bucket=bucket, Key="k", Body=noise(SIZE, 2))
        else:
            s3.delete_object(Bucket=bucket, Key="k")
        if disturb == "delete and empty the bucket":
            s3.delete_bucket(Bucket=bucket)
        else:  # more changes, so that whatever collects old files has its chance
            for number in range(20):
                s3.put_object(Bucket=bucket, Key="other", Body=noise(100_000, number))
        received = first + read_all(connection)
    assert received.partition(b"\r\n\r\n")[2] == large
    now = send(gateway.port, "GET", f"/{bucket}/k", signer=signer)
    assert now.body == noise(SIZE, 2) if disturb == "replace" else now.status == 404


def test_downloads_that_are_cut_free_everything(
    gateway: Gateway, bucket: str, signer: Signer, large: bytes
) -> None:
    """CVE-2020-1700: forty clients leave in the middle; no socket and no file stays open."""
    before = gateway.connection_count()
    for number in range(40):
        connection, _ = begin(gateway, signer, bucket)
        if number % 2:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.close()

    def bodies() -> list[str]:
        return [name for pid in gateway.workers() for name in open_files(pid) if "/bodies/" in name]

    eventually(lambda: gateway.connection_count() <= before + 4, "the sockets are closed")
    eventually(lambda: not bodies(), "the files are closed")
    assert gateway.healthy()
