"""The queue of events and their delivery to a real webhook: order, repetition, refusals, restarts, two processes' worth."""

import asyncio
import hashlib
import hmac
import json
import sqlite3
import time

import pytest
from webhooks import webhook

from backends.base import BucketInfo, Doc
from gateway.events import EVENTBRIDGE, Change, Events, Origin, delivery
from gateway.events.queue import Queue
from gateway.options import NotificationOptions, TargetOptions

ORIGIN = Origin("AWS:KEY", "111122223333", "127.0.0.1", "REQUEST", "host")
CONFIGURATION = (
    "<NotificationConfiguration><QueueConfiguration><Id>c</Id><Queue>arn:aws:sqs:us-east-1:1:hook</Queue>"
    "<Event>s3:ObjectCreated:*</Event></QueueConfiguration></NotificationConfiguration>"
)
BUCKET = BucketInfo("photos", 0, {Doc.NOTIFICATION: CONFIGURATION})


@pytest.fixture
def make_queue(tmp_path):
    queues = []

    def make():
        queues.append(Queue(tmp_path, durable=False))
        return queues[-1]

    yield make
    for queue in queues:
        queue.close()


@pytest.fixture
async def start(tmp_path, monkeypatch):
    """Start the events of one worker; pauses are short."""
    monkeypatch.setattr(delivery, "_FIRST_PAUSE", 0.02)
    monkeypatch.setattr(delivery, "_POLL_SECONDS", 0.05)
    running = []

    def begin(hook, deliver=True, **options):
        target = TargetOptions(hook.url, options.pop("secret", ""), options.pop("timeout", 5.0))
        targets = {"hook": target, EVENTBRIDGE: target}
        events = Events(NotificationOptions(targets, **options), tmp_path, durable=False)
        running.append(events)
        if deliver:
            events.start()
        return events

    yield begin
    for events in running:
        await stop(events)


async def stop(events):
    """End them, once."""
    if not events._delivery._stopping:
        await events.stop()


async def put(events, *keys, bucket=BUCKET):
    await events.publish(bucket, [Change("s3:ObjectCreated:Put", key, 1, "e") for key in keys], ORIGIN)


async def until(holds, what, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        await asyncio.sleep(0.005)


async def test_a_queued_message_is_there_for_every_process(make_queue):
    one, other = make_queue(), make_queue()
    await one.put([("hook", "first"), ("hook", "second"), ("else", "x")], 1)
    message = other.first("hook", 1)
    assert (message.body, message.tries, other.count("hook")) == ("first", 0, 2)
    await other.done("hook", message)
    assert one.first("hook", 1).body == "second"
    assert one.first("nobody", 1) is None


async def test_a_message_that_is_not_wanted_lets_others_pass(make_queue):
    queue = make_queue()
    await queue.put([("hook", "bad"), ("hook", "good")], 1)
    await queue.refused(queue.first("hook", 1), due=100)
    assert queue.first("hook", 50).body == "good"
    assert queue.first("hook", 100)[1:] == ("bad", 1)


async def test_a_target_that_does_not_work_is_left_alone(make_queue):
    queue = make_queue()
    await queue.put([("hook", "a"), ("else", "b")], 1)
    await queue.pause("hook", 100)
    await queue.pause("hook", 200)
    assert queue.first("hook", 199) is None
    assert queue.first("else", 199).body == "b"
    assert queue.paused("hook") == (200, 2)
    message = queue.first("hook", 200)
    assert message.body == "a"
    await queue.done("hook", message)
    assert queue.paused("hook") == (0, 0)


async def test_old_messages_and_too_many_are_given_up(make_queue):
    queue = make_queue()
    await queue.put([("hook", "old")], 1)
    await queue.put([("hook", str(number)) for number in range(5)], 10)
    await queue.put([("else", "x")], 10)
    assert await queue.trim(5, 3) == {"hook": 3}
    assert (queue.first("hook", 10).body, queue.count("hook"), queue.count("else")) == ("2", 3, 1)
    assert await queue.trim(5, 3) == {}


async def test_a_thousand_at_once_are_committed_together(make_queue):
    queue = make_queue()
    await asyncio.gather(*(queue.put([("hook", str(number))], 1) for number in range(1000)))
    assert queue.count("hook") == 1000


async def test_what_cannot_be_queued_is_an_error(make_queue):
    queue = make_queue()
    await queue.put([("hook", "a")], 1)

    def broken(_):
        raise sqlite3.OperationalError("disk full")

    outcomes = await asyncio.gather(
        queue._change(broken), queue.put([("hook", "b")], 1), return_exceptions=True
    )
    assert isinstance(outcomes[0], sqlite3.Error)
    await queue.put([("hook", "c")], 1)
    assert queue.count("hook") in (2, 3)


async def test_events_arrive_once_and_in_order(start):
    with webhook() as hook:
        events = start(hook)
        for number in range(20):
            await put(events, f"k{number}")
        await until(lambda: len(hook.bodies) >= 20, "20 events")
        await until(lambda: events._queue.count("hook") == 0, "an empty queue")
        assert hook.names() == [f"ObjectCreated:Put k{number}" for number in range(20)]
        assert len({headers["x-s3gw-event-id"] for headers in hook.headers}) == 20


async def test_two_workers_never_send_the_same(start):
    with webhook() as hook:
        one, other = start(hook), start(hook)
        keys = [f"k{number}" for number in range(60)]
        await asyncio.gather(*(put(one if number % 2 else other, key) for number, key in enumerate(keys)))
        await until(lambda: one._queue.count("hook") == 0, "an empty queue")
        assert sorted(hook.names()) == sorted(f"ObjectCreated:Put {key}" for key in keys)


async def test_a_body_is_signed(start):
    with webhook() as hook:
        await put(start(hook, secret="s3cret"), "k")
        await until(lambda: hook.headers, "an event")
        expected = hmac.new(b"s3cret", hook.bodies[0], hashlib.sha256).hexdigest()
        assert hook.headers[0]["x-s3gw-signature"] == f"sha256={expected}"
        assert hook.headers[0]["content-type"] == "application/json"
        assert hook.paths == ["/hook?token=x"]


async def test_without_a_secret_nothing_is_signed(start):
    with webhook() as hook:
        await put(start(hook), "k")
        await until(lambda: hook.headers, "an event")
        assert "x-s3gw-signature" not in hook.headers[0]


@pytest.mark.parametrize("status", [500, 503, 404, 403, 429, -1])
async def test_a_failing_target_gets_everything_later_in_order(start, status):
    answers = [status, status, status]
    with webhook(answer=lambda _: (answers.pop() if answers else 200, {})) as hook:
        await put(start(hook), "a", "b", "c")
        await until(lambda: len(hook.bodies) == 6, "three attempts that fail, and three events")
        assert [name[-1] for name in hook.names()] == ["a", "a", "a", "a", "b", "c"]
        assert len({headers["x-s3gw-event-id"] for headers in hook.headers}) == 3


async def test_an_event_that_is_not_wanted_stops_nobody(start):
    with webhook(answer=lambda body: (400 if b'"key":"bad"' in body else 200, {})) as hook:
        await put(start(hook), "bad", "good")
        await until(lambda: len(hook.bodies) >= 4, "attempts")
        assert [name.split()[1] for name in hook.names()][:2] == ["bad", "good"]


async def test_a_target_that_is_silent_is_left_after_its_time(start):
    def slow(_):
        time.sleep(0.5)
        return 200, {}

    with webhook(answer=slow) as hook:
        events = start(hook, timeout=0.05)
        await put(events, "k")
        await until(lambda: len(hook.bodies) >= 2, "a second attempt")
        assert events._queue.count("hook") == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(start, status):
    """RustFS m479, CVE-2021-21287: a webhook that redirects makes the server call what it should not."""
    with webhook() as inner, webhook(answer=lambda _: (status, {"location": inner.url})) as outer:
        await put(start(outer), "k")
        await until(lambda: len(outer.bodies) >= 2, "a second attempt")
        assert inner.bodies == []


async def test_an_endless_answer_is_not_read(start):
    with webhook(answer=lambda _: (200, {"content-length": str(10**12)})) as hook:
        events = start(hook, timeout=0.2)
        await put(events, "k")
        await until(
            lambda: hook.bodies and events._queue.count("hook") == 0, "the event is taken by its status"
        )
        assert len(hook.bodies) == 1


async def test_what_was_queued_survives_a_restart(start):
    with webhook() as hook:
        await put(start(hook, deliver=False), "a", "b")
        assert hook.bodies == []
        start(hook)
        await until(lambda: len(hook.bodies) == 2, "both events")
        assert hook.names() == ["ObjectCreated:Put a", "ObjectCreated:Put b"]


async def test_the_end_of_a_worker_waits_for_what_is_being_sent(start):
    def slow(_):
        time.sleep(0.2)
        return 200, {}

    with webhook(answer=slow) as hook:
        events = start(hook)
        await put(events, "k")
        await until(lambda: hook.bodies, "an attempt")
        await stop(events)
        other = start(hook)
        await until(lambda: other._queue.count("hook") == 0, "an empty queue")
        assert len(hook.bodies) == 1


async def test_eventbridge_gets_every_event(start):
    text = "<NotificationConfiguration><EventBridgeConfiguration/></NotificationConfiguration>"
    with webhook() as hook:
        events = start(hook)
        bucket = BucketInfo("photos", 0, {Doc.NOTIFICATION: text})
        await events.publish(bucket, [Change("s3:ObjectRemoved:Delete", "a b")], ORIGIN)
        await until(lambda: hook.bodies, "an event")
        assert hook.messages[0]["detail-type"] == "Object Deleted"
        assert hook.messages[0]["detail"]["object"]["key"] == "a b"


async def test_events_that_nobody_asked_for_are_not_queued(start):
    with webhook() as hook:
        events = start(hook, deliver=False)
        await events.publish(BUCKET, [Change("s3:ObjectRemoved:Delete", "k")], ORIGIN)
        await events.publish(BucketInfo("plain", 0), [Change("s3:ObjectCreated:Put", "k")], ORIGIN)
        assert events._queue.count("hook") == 0


async def test_an_event_for_a_target_that_is_gone_is_told_to_the_operator(start, caplog):
    text = CONFIGURATION.replace(":hook", ":gone")
    with webhook() as hook:
        events = start(hook, deliver=False)
        await put(events, "k", bucket=BucketInfo("photos", 0, {Doc.NOTIFICATION: text}))
        assert "gone is no longer configured" in caplog.text


async def test_what_is_given_up_is_told_to_the_operator(start, caplog):
    with webhook(answer=lambda _: (500, {})) as hook:
        events = start(hook, deliver=False, max_queued=1)
        await put(events, "a", "b", "c")
        events.start()
        await until(lambda: "2 events for hook are given up" in caplog.text, "a line in the log")


async def test_a_test_event_goes_to_topics_and_queues(start):
    text = CONFIGURATION.replace(
        "</NotificationConfiguration>",
        "<CloudFunctionConfiguration><Id>d</Id><CloudFunction>arn:aws:lambda:us-east-1:1:function:hook</CloudFunction>"
        "<Event>s3:ObjectRemoved:*</Event></CloudFunctionConfiguration></NotificationConfiguration>",
    )
    with webhook() as hook:
        events = start(hook, deliver=False)
        await events.test(BUCKET, text, ORIGIN)
        assert events._queue.count("hook") == 1
        assert json.loads(events._queue.first("hook", 2**60).body)["Event"] == "s3:TestEvent"
