"""XML bodies over the wire: entities, bombs, floods, nonsense; 400, nothing done, memory flat."""

from typing import Any

import pytest
from harness import Gateway
from wire import Signer, send

NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
BOMB = (
    '<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9))
    + "]>"
)
XXE = '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
PARAMETER = '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY % p SYSTEM "http://127.0.0.1:9/x.dtd"> %p;]>'
PROLOGUES = {
    "CVE-2022-47950 XXE": (XXE, "&e;"),
    "billion laughs": (BOMB, "&j;"),
    "parameter entity": (PARAMETER, "x"),
}
ROUTES = {
    "DeleteObjects": ("POST", "?delete", "<Delete><Object><Key>{}</Key></Object></Delete>"),
    "CreateBucket": (
        "PUT",
        "-new",
        "<CreateBucketConfiguration><LocationConstraint>{}</LocationConstraint></CreateBucketConfiguration>",
    ),
    "CompleteMultipartUpload": (
        "POST",
        "/k?uploadId=UPLOAD",
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{}</ETag></Part></CompleteMultipartUpload>",
    ),
    "PutObjectAcl": (
        "PUT",
        "/secret?acl",
        "<AccessControlPolicy><Owner><ID>{}</ID></Owner><AccessControlList/></AccessControlPolicy>",
    ),
    "PutBucketAcl": (
        "PUT",
        "?acl",
        "<AccessControlPolicy><Owner><ID>{}</ID></Owner><AccessControlList/></AccessControlPolicy>",
    ),
}


@pytest.fixture
def upload(s3: Any, victim: str) -> Any:
    """An upload in flight in the attacked bucket, gone at the end."""
    where = {"Bucket": victim, "Key": "k"}
    made = s3.create_multipart_upload(**where)["UploadId"]
    s3.upload_part(**where, UploadId=made, PartNumber=1, Body=b"x")
    yield made
    s3.abort_multipart_upload(**where, UploadId=made)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("prologue", PROLOGUES)
def test_entities(
    gateway: Gateway, victim: str, upload: str, signer: Signer, route: str, prologue: str
) -> None:
    """Any DOCTYPE is refused, and no file's content comes back in an answer."""
    method, suffix, form = ROUTES[route]
    head, entity = PROLOGUES[prologue]
    target = f"/{victim}{suffix.replace('UPLOAD', upload)}"
    answer = send(gateway.port, method, target, signer=signer, body=(head + form.format(entity)).encode())
    assert (answer.status, answer.code) in {(400, "MalformedXML"), (400, "MalformedACLError")}
    assert b"root:" not in answer.body
    assert len(answer.body) < 2000


NONSENSE = {
    "nothing": b"",
    "no XML": b"hello",
    "cut": b"<Delete><Object><Key>a",
    "other root": b"<Other><Object><Key>secret</Key></Object></Other>",
    "no objects": b"<Delete></Delete>",
    "object without key": b"<Delete><Object/></Delete>",
    "bad UTF-8": b"<Delete><Object><Key>\xff</Key></Object></Delete>",
    "unknown encoding": b'<?xml version="1.0" encoding="x-evil"?><Delete/>',
    "NUL": b"<Delete><Object><Key>a\0</Key></Object></Delete>",
    "deep": b"<a>" * 100_000,
    "long attribute": b'<Delete a="' + b"a" * 2_000_000 + b'"></Delete>',
    "two roots": b"<Delete><Object><Key>x</Key></Object></Delete><Delete/>",
    "processing instruction": b'<?xml-stylesheet href="http://127.0.0.1:9/"?><Delete></Delete>',
    "XInclude": b'<Delete xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="file:///etc/passwd"/></Delete>',
}


@pytest.mark.parametrize("body", NONSENSE.values(), ids=NONSENSE)
def test_nonsense(gateway: Gateway, victim: str, signer: Signer, body: bytes) -> None:
    answer = send(gateway.port, "POST", f"/{victim}?delete", signer=signer, body=body)
    assert answer.status == 400
    assert answer.code in {"MalformedXML", "MissingRequestBodyError", "MaxMessageLengthExceeded"}
    assert b"root:" not in answer.body


def test_floods(gateway: Gateway, victim: str, upload: str, signer: Signer) -> None:
    """10 MB, and a million elements, in Delete and Complete (MinIO's cap: c5a00e5): refused, memory flat."""
    before = gateway.memory()
    element = b"<Object><Key>aaaaaaaaaa</Key></Object>"
    part = b"<Part><PartNumber>1</PartNumber><ETag>a</ETag></Part>"
    bodies = {
        f"/{victim}?delete": [
            b"<Delete>" + element * 1_000_000 + b"</Delete>",
            b"<Delete>" + b" " * 10_000_000 + b"</Delete>",
            b"<Delete>" + b"<a/>" * 700_000 + b"</Delete>",
        ],
        f"/{victim}/k?uploadId={upload}": [
            b"<CompleteMultipartUpload>" + part * 200_000 + b"</CompleteMultipartUpload>",
            b"<CompleteMultipartUpload>" + part * 10_001 + b"</CompleteMultipartUpload>",
        ],
    }
    for target, floods in bodies.items():
        for flood in floods:
            answer = send(gateway.port, "POST", target, signer=signer, body=flood)
            assert answer.status in {0, 400}, target
    assert gateway.memory() - before < 96 * 1024 * 1024


DELETE_ABSENT = "<Delete><Object><Key>absent</Key></Object></Delete>"
ODD = {
    "UTF-16": f'<?xml version="1.0" encoding="UTF-16"?>{DELETE_ABSENT}'.encode("utf-16"),
    "UTF-16 without saying so": DELETE_ABSENT.encode("utf-16-le"),
    "UTF-7": b'<?xml version="1.0" encoding="UTF-7"?><Delete><Object><Key>+AHM-</Key></Object></Delete>',
    "other namespace": b'<Delete xmlns="urn:other"><Object><Key>absent</Key></Object></Delete>',
}


@pytest.mark.parametrize("body", ODD.values(), ids=ODD)
def test_odd_documents_are_read_or_refused(
    gateway: Gateway, victim: str, signer: Signer, body: bytes
) -> None:
    """Never misread: what the document does not name is not touched."""
    answer = send(gateway.port, "POST", f"/{victim}?delete", signer=signer, body=body)
    assert answer.status in {200, 400}


def test_what_is_echoed_is_escaped(gateway: Gateway, victim: str, signer: Signer) -> None:
    """A key comes back inside an error document; it must not become markup."""
    answer = send(gateway.port, "GET", f"/{victim}/%3C/Key%3E%3Cevil%3E%22%26", signer=signer)
    assert (answer.status, answer.code) == (404, "NoSuchKey")
    assert b"<evil>" not in answer.body
    listing = send(gateway.port, "GET", f"/{victim}?list-type=2&prefix=%3Cevil%3E%26", signer=signer)
    assert listing.status == 200
    assert b"<evil>" not in listing.body
