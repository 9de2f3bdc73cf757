"""Requester Pays: the document, and who must agree to what."""

import pytest
from refusals import refused
from scopes import request

from auth.identity import ANONYMOUS, Identity, Verified, canonical_id
from backends.base import BucketInfo, Doc
from backends.memory import MemoryBackend
from gateway import payment
from gateway.configurations.request_payment import ABSENT, RequestPayment, load, read
from gateway.context import Context, Services
from gateway.operations import resolve
from gateway.spool import Spool

ALICE, BOB = (Identity(name.upper(), canonical_id(name), name) for name in ("alice", "bob"))
ROOT = Identity("ROOT")


def document(inner):
    return f"<RequestPaymentConfiguration>{inner}</RequestPaymentConfiguration>".encode()


def test_what_is_kept_is_what_was_put():
    kept = read(document("<Payer>Requester</Payer>"))
    assert kept.endswith("<Payer>Requester</Payer></RequestPaymentConfiguration>")
    assert load(kept) == RequestPayment(requester=True)
    assert load(read(document("<Payer>BucketOwner</Payer>"))) == load(ABSENT.decode()) == RequestPayment()


@pytest.mark.parametrize(
    "inner",
    ["", "<Payer/>", "<Payer>requester</Payer>", "<Payer>Nobody</Payer>", "<Payer>Requester</Payer><Else/>"],
)
def test_malformed(inner):
    with refused("MalformedXML"):
        read(document(inner))


@pytest.fixture
def make(tmp_path):
    services = Services(MemoryBackend(), None, Spool(1, 1, str(tmp_path)))

    def make(identity, payer="Requester", target="/b/k", headers=None):
        made = request("GET", target, headers)
        docs = {Doc.REQUEST_PAYMENT: read(document(f"<Payer>{payer}</Payer>"))} if payer else {}
        bucket = BucketInfo("b", 0, docs, ALICE.account)
        return Context(made, resolve(made), Verified(identity), services, bucket)

    return make


CHARGED = {"x-amz-request-charged": "requester"}
AGREES = {"x-amz-request-payer": "requester"}


@pytest.mark.parametrize("headers", [{}, AGREES])
@pytest.mark.parametrize("identity", [ALICE, ROOT])
def test_owners_are_never_charged(make, identity, headers):
    payment.check(context := make(identity, headers=headers))
    assert payment.headers(context) == {}


@pytest.mark.parametrize("payer", [None, "BucketOwner"])
@pytest.mark.parametrize("identity", [ALICE, BOB, ROOT, ANONYMOUS])
def test_nobody_else_is_charged_where_the_owner_pays(make, payer, identity):
    payment.check(context := make(identity, payer))
    assert payment.headers(context) == {}


def test_others_must_agree(make):
    for context in (make(BOB, headers=AGREES), make(BOB, target="/b/k?x-amz-request-payer=requester")):
        payment.check(context)
        assert payment.headers(context) == CHARGED
    for headers in ({}, {"x-amz-request-payer": "bucketowner"}, {"x-amz-request-payer": ""}):
        with refused("AccessDenied"):
            payment.check(make(BOB, headers=headers))


def test_an_anonymous_caller_cannot_agree(make):
    with refused("AccessDenied"):
        payment.check(make(ANONYMOUS, headers=AGREES))


def test_the_source_of_a_copy_counts_by_its_own_bucket(make):
    context = make(BOB, payer=None)
    payment.check(context)
    with refused("AccessDenied"):
        payment.check(context, make(BOB).bucket)
