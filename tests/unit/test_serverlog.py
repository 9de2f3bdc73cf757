"""Gathering and writing access logs, in process and on the memory backend."""

import re
from dataclasses import replace

import pytest
from payloads import get
from scopes import request

from auth.identity import ANONYMOUS, Identity, Verified
from backends.base import Doc, ListQuery, NewBucket, Ref
from backends.memory import MemoryBackend
from gateway import serverlog
from gateway.configurations import logging as configuration
from gateway.configurations.logging import EVENT_TIME, Logging
from gateway.context import NO_BUCKET, Context, Level, Operation, Services
from gateway.reply import Reply
from gateway.request import TLS
from gateway.serverlog import Ending, ServerLog
from gateway.spool import Spool

SECOND = 1_000_000_000
NOON = 1_549_411_238 * SECOND
GET = Operation("GetObject", "GET", Level.OBJECT, "", "s3:GetObject")


@pytest.fixture
async def services(tmp_path):
    backend = MemoryBackend()
    for name in ("photos", "logs"):
        await backend.create_bucket(name)
    await configure(backend, Logging("logs", "a/"))
    yield Services(backend, None, Spool(65536, 1 << 20, str(tmp_path)))
    await backend.aclose()


async def configure(backend, settings):
    await backend.put_doc(Ref("photos", ""), Doc.LOGGING, configuration.show(settings))


async def note(log, services, *, target="/photos/k", headers=None, at=NOON, known=True, **ending):
    made = request("GET", target, headers)
    bucket = await services.backend.head_bucket("photos") if known else NO_BUCKET
    verified = Verified(Identity("KEY"), "v4") if known else Verified(ANONYMOUS)
    log.begin(Context(made, GET, verified, services, bucket))
    assert log.concerns(made.scope)
    made.scope["s3gw.logged"] = (made.scope["s3gw.logged"][0], at)
    defaults = {
        "request_id": "ID",
        "error_code": "",
        "reply": Reply(200, {}, b"hello"),
        "answered": at,
        "finished": at,
    }
    await log.note(made.scope, Ending(**(defaults | ending)))


async def written(services, bucket="logs"):
    """Log objects by key."""
    page = await services.backend.list_objects(bucket, ListQuery())
    return {
        entry.key: (await get(services.backend, Ref(bucket, entry.key))).decode() for entry in page.entries
    }


def split(text):
    return [re.findall(r'\[[^]]*\]|"[^"]*"|\S+', line) for line in text.splitlines()]


async def test_lines_of_a_bucket_are_one_object(services):
    log = ServerLog()
    for number in range(3):
        await note(log, services, target=f"/photos/{number}")
    assert await written(services) == {}
    await log.stop()
    ((key, text),) = (await written(services)).items()
    assert key.startswith("a/")
    assert [fields[7] for fields in split(text)] == ["0", "1", "2"]


async def test_times(services):
    log = ServerLog()
    await note(log, services, answered=NOON + 5_000_000, finished=NOON + 9_900_000)
    await note(log, services, headers={"content-length": "5"}, finished=NOON + SECOND)
    await log.stop()
    (text,) = (await written(services)).values()
    assert [fields[13:15] for fields in split(text)] == [["9", "5"], ["1000", "-"]]


async def test_what_is_known_of_tls(services):
    log = ServerLog()
    made = request("GET", "/photos/k")
    made.scope["extensions"] = {TLS: ("TLS_AES_256_GCM_SHA384", "TLSv1.3", 256)}
    bucket = await services.backend.head_bucket("photos")
    log.begin(Context(made, GET, Verified(ANONYMOUS), services, bucket))
    await log.note(made.scope, Ending("ID", "", Reply(), NOON, NOON))
    await log.stop()
    (text,) = (await written(services)).values()
    assert tuple(split(text)[0][20:24:3]) == ("TLS_AES_256_GCM_SHA384", "TLSv1.3")


async def test_a_refused_request_is_logged_if_its_bucket_is(services):
    log = ServerLog()
    await note(log, services, known=False, error_code="SignatureDoesNotMatch", reply=Reply(403))
    await note(log, services, known=False, target="/logs/k", error_code="SignatureDoesNotMatch")
    await note(log, services, known=False, target="/missing/k", error_code="SignatureDoesNotMatch")
    await log.stop()
    (text,) = (await written(services)).values()
    assert len(text.splitlines()) == 1
    assert " 403 SignatureDoesNotMatch " in text


async def test_days_are_apart_where_keys_tell_the_day_of_events(services):
    await configure(services.backend, Logging("logs", "", format=EVENT_TIME))
    log = ServerLog()
    for days in (0, 1, 1):
        await note(log, services, at=NOON + days * 86_400 * SECOND)
    await log.stop()
    found = await written(services)
    assert sorted(key.split("/", 3)[3][:30] for key in found) == [
        "2019/02/06/2019-02-06-00-00-00",
        "2019/02/07/2019-02-07-00-00-00",
    ]
    assert sorted(text.count("\n") for text in found.values()) == [1, 2]


async def test_memory_is_bounded(services, monkeypatch, caplog):
    monkeypatch.setattr(serverlog, "_MOST_BYTES", 1000)
    log = ServerLog()
    for _ in range(50):
        await note(log, services)
    assert log._size <= 1000
    await log.flush()
    assert "lines of server access logs are lost" in caplog.text
    await note(log, services)
    await log.stop()
    assert len(await written(services)) == 2


async def test_many_lines_are_written_before_their_time(services, monkeypatch):
    monkeypatch.setattr(serverlog, "_OBJECT_BYTES", 1000)
    log = ServerLog(3600)
    for _ in range(20):
        await note(log, services)
    assert log._full.is_set()
    await log.stop()


@pytest.mark.parametrize("owner", [None, "somebody else"])
async def test_a_target_that_is_gone_takes_nothing(services, owner, caplog):
    await services.backend.delete_bucket("logs")
    if owner:
        await services.backend.create_bucket("logs", NewBucket(owner))
    log = ServerLog()
    await note(log, services)
    await log.stop()
    assert "the access log of photos" in caplog.text
    if owner:
        assert await written(services) == {}


async def test_a_deleted_bucket_is_logged_to_its_end(services):
    log = ServerLog()
    await note(log, services)
    await services.backend.delete_bucket("photos")
    await log.stop()
    assert len(await written(services)) == 1


async def test_a_bucket_that_is_not_logged_costs_nothing(services):
    made = request("GET", "/logs/k")
    assert not ServerLog().concerns(made.scope)


async def test_a_log_object_is_an_event(services):
    published = []

    class Events:
        async def publish(self, bucket, changes, origin):
            published.append((bucket.name, changes[0].event, changes[0].size, origin.principal))

    await services.backend.put_doc(Ref("logs", ""), Doc.NOTIFICATION, "<x/>")
    log = ServerLog()
    await note(log, replace(services, events=Events()))
    await log.stop()
    ((_, text),) = (await written(services)).items()
    assert published == [("logs", "s3:ObjectCreated:Put", len(text), "s3.amazonaws.com")]
