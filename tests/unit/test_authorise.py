"""What is decided on is what is told: an object that was replaced meanwhile, or comes meanwhile, is not read."""

from dataclasses import replace

import pytest
from payloads import put
from refusals import refused
from scopes import request

from auth import acl
from auth.identity import Identity, Verified, canonical_id
from backends.base import BucketInfo, Doc, NewBucket, ObjectInfo, Ref
from backends.memory import MemoryBackend
from gateway.authorise import authorise, confirm
from gateway.context import Context, Services
from gateway.handlers.objects import get_object, head_object
from gateway.operations import resolve
from gateway.spool import Spool

OWNER, EVE = canonical_id("owner"), Identity("EVE", canonical_id("eve"), "eve")
PUBLIC = {Doc.ACL: acl.dump(acl.canned("public-read", OWNER, OWNER))}
OPEN = ObjectInfo("k", 1, "open", 0, docs=PUBLIC)
CLOSED = ObjectInfo("k", 1, "closed", 1)


@pytest.fixture
async def context(tmp_path):
    backend = MemoryBackend()
    await backend.create_bucket("b", NewBucket(OWNER))
    asked = request("GET", "/b/k")
    bucket = BucketInfo("b", 0, {Doc.OWNERSHIP: "ObjectWriter"}, OWNER)
    services = Services(backend, None, Spool(1, 1, str(tmp_path)))
    return Context(asked, resolve(asked), Verified(EVE, "v4"), services, bucket)


@pytest.mark.parametrize("opened", [OPEN, replace(OPEN, etag="other"), replace(CLOSED, docs=PUBLIC)])
def test_what_everybody_may_read_may_be_replaced(context, opened):
    context.judged = OPEN
    confirm(context, opened)


def test_a_private_object_in_the_place_of_a_public_one_is_refused(context):
    context.judged = OPEN
    with refused("AccessDenied"):
        confirm(context, CLOSED)


async def test_a_key_that_comes_after_the_decision_is_not_read(context):
    """Who may list learns that there is none, and the handler is never asked."""
    listing = {Doc.ACL: acl.dump(acl.canned("public-read", OWNER, OWNER))}
    context.bucket = replace(context.bucket, docs={**context.bucket.docs, **listing})
    with refused("NoSuchKey"):
        await authorise(context)


@pytest.mark.parametrize("handler", [get_object, head_object])
async def test_the_handlers_confirm_what_they_open(context, handler):
    """Between the decision and the reading another object took the place: a private one."""
    context.judged = OPEN
    await put(context.backend, Ref("b", "k"), b"secret")
    with refused("AccessDenied"):
        await handler(context)
