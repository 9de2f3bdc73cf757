"""What requests and buckets ask for."""

from types import SimpleNamespace

import pytest

from gateway.encryption.document import NOTHING, BucketEncryption, load, read_encryption
from gateway.encryption.headers import CustomerKey, Wish, require_secure, wish_of
from gateway.encryption.record import Mode
from gateway.errors import S3Error

SSE = "x-amz-server-side-encryption"


@pytest.mark.parametrize(
    ("scheme", "client", "forwarded", "secure"),
    [
        ("https", "203.0.113.5", "", True),
        ("http", "203.0.113.5", "", False),
        ("http", "203.0.113.5", "https", False),
        ("http", "127.0.0.1", "", True),
        ("http", "::1", "", True),
        ("http", "10.0.0.7", "https", True),
        ("http", "10.0.0.7", "http", False),
        ("http", "", "", False),
        ("http", "localhost", "", False),
    ],
)
def test_customers_keys_travel_safely(scheme, client, forwarded, secure):
    headers = {"x-forwarded-proto": forwarded} if forwarded else {}
    request = SimpleNamespace(scheme=scheme, client=client, headers=headers)
    if secure:
        require_secure(request, ("10.0.0.0/8",))
    else:
        with pytest.raises(S3Error) as caught:
            require_secure(request, ("10.0.0.0/8",))
        assert (caught.value.status, caught.value.code) == (400, "InvalidRequest")


def test_a_proxy_on_this_machine_does_not_make_its_clients_local():
    headers = {"x-forwarded-for": "203.0.113.5", "x-forwarded-proto": "http"}
    request = SimpleNamespace(scheme="http", client="127.0.0.1", headers=headers)
    with pytest.raises(S3Error):
        require_secure(request, ("127.0.0.1",))


def test_wishes():
    assert wish_of({"content-type": "a"}) is None
    assert wish_of({SSE: "AES256"}) == Wish(Mode.S3)
    assert wish_of({SSE: "aws:kms"}) == Wish(Mode.KMS)
    flagged = {SSE: "aws:kms", f"{SSE}-bucket-key-enabled": "True", f"{SSE}-aws-kms-key-id": "a"}
    assert wish_of(flagged) == Wish(Mode.KMS, "a", bucket_key=True)
    for headers in (
        {SSE: ""},
        {SSE: "aws:kms", f"{SSE}-bucket-key-enabled": "yes"},
        {f"{SSE}-context": "e30="},
    ):
        with pytest.raises(S3Error):
            wish_of(headers)


def test_no_error_and_no_value_shows_a_customers_key():
    secret = "c2VjcmV0c2VjcmV0"
    headers = {
        f"{SSE}-customer-algorithm": "AES256",
        f"{SSE}-customer-key": secret,
        f"{SSE}-customer-key-md5": "AAAA",
    }
    with pytest.raises(S3Error) as caught:
        wish_of(headers)
    assert secret not in repr((caught.value.message, caught.value.fields))
    assert "xyz" not in repr(CustomerKey(b"xyz", "md5"))


def test_the_document_is_kept_as_s3_writes_it():
    sent = (
        b"<ServerSideEncryptionConfiguration><Rule> <BucketKeyEnabled>true</BucketKeyEnabled>"
        b"<ApplyServerSideEncryptionByDefault><KMSMasterKeyID>k</KMSMasterKeyID><SSEAlgorithm>aws:kms</SSEAlgorithm>"
        b"</ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>"
    )
    kept = read_encryption(sent, SimpleNamespace())
    assert read_encryption(kept.encode(), SimpleNamespace()) == kept
    assert load(kept) == BucketEncryption(Wish(Mode.KMS, "k", bucket_key=True))
    assert load(None) is NOTHING
