"""Who may do what."""

import pytest

from auth.access import PUBLIC_READS, may
from auth.identity import ANONYMOUS, Identity
from gateway.errors import S3Error

SOMEBODY = Identity("AKIAIOSFODNN7EXAMPLE")
WRITES = ["s3:PutObject", "s3:DeleteObject", "s3:CreateBucket", "s3:PutObjectAcl", "s3express:CreateSession"]
OTHER_READS = ["s3:ListAllMyBuckets", "s3:ListBucketVersions", "s3:GetObjectVersion", "s3:GetBucketAcl"]


def allowed(identity, action, anonymous, public):
    try:
        may(identity, action, anonymous=anonymous, public=public)
    except S3Error as error:
        assert error.code == "AccessDenied"
        return False
    return True


@pytest.mark.parametrize("action", [*WRITES, *OTHER_READS, *sorted(PUBLIC_READS)])
@pytest.mark.parametrize("public", [False, True])
def test_a_credential_may_do_everything(action, public):
    for anonymous in ("none", "public-read", "full"):
        assert allowed(SOMEBODY, action, anonymous, public)


@pytest.mark.parametrize("action", [*WRITES, *OTHER_READS, *sorted(PUBLIC_READS)])
@pytest.mark.parametrize("public", [False, True])
def test_nobody_may_what_the_setting_says(action, public):
    assert not allowed(ANONYMOUS, action, "none", public)
    assert allowed(ANONYMOUS, action, "full", public)
    assert allowed(ANONYMOUS, action, "public-read", public) == (public and action in PUBLIC_READS)


@pytest.mark.parametrize(
    "action", ["", "s3:", "GetObject", "s3:*", "s3:Get Object", "iam:CreateUser", "S3:GetObject"]
)
def test_an_unknown_action_is_denied_to_all(action):
    for identity in (SOMEBODY, ANONYMOUS):
        assert not allowed(identity, action, "full", True)


def test_an_unknown_setting_denies():
    assert not allowed(ANONYMOUS, "s3:GetObject", "everything", True)
