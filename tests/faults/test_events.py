"""Events through crashes: what was answered is told, also after SIGKILL, and in the good case once."""

import fcntl
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from harness import eventually
from webhooks import webhook

CONFIGURATION = {
    "QueueConfigurations": [
        {"QueueArn": "arn:aws:sqs:us-east-1:000000000000:hook", "Events": ["s3:ObjectCreated:*"]}
    ]
}


def begin(start, hook, **options):
    gateway = start(**{"notifications.targets.hook": {"url": hook.url, "timeout_seconds": 2}}, **options)
    s3 = gateway.s3()
    s3.create_bucket(Bucket="photos")
    s3.put_bucket_notification_configuration(
        Bucket="photos", NotificationConfiguration=CONFIGURATION, SkipDestinationValidation=True
    )
    return gateway


def put_all(gateway, keys):
    s3 = gateway.s3("many", max_pool_connections=8)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: s3.put_object(Bucket="photos", Key=key, Body=b""), keys))


def expected(keys):
    return sorted(f"ObjectCreated:Put {key}" for key in keys)


@pytest.mark.parametrize("durability", ["full", "relaxed"])
def test_two_workers_tell_each_event_once(start, durability):
    keys = [f"k{number:03}" for number in range(200)]
    with webhook() as hook:
        gateway = begin(start, hook, backends={"durability": durability})
        put_all(gateway, keys)
        hook.wait_for(len(keys), 30)
        gateway.stop()
        assert sorted(hook.names()) == expected(keys)


def test_what_was_answered_is_told_after_a_kill(start):
    """Nothing is delivered before the kill: the webhook refuses everything."""
    keys = [f"k{number:03}" for number in range(50)]
    with webhook(answer=lambda _: (503, {})) as hook:
        gateway = begin(start, hook)
        put_all(gateway, keys)
        port = hook.port
        gateway.kill()
    with webhook(port) as hook:
        gateway.start()
        eventually(lambda: len(set(hook.names())) == len(keys), "all events", 60)
        assert sorted(hook.names()) == expected(keys)


def test_a_kill_amidst_delivery_loses_nothing(start):
    keys = [f"k{number:03}" for number in range(100)]

    def slow(_):
        time.sleep(0.01)
        return 200, {}

    with webhook(answer=slow) as hook:
        gateway = begin(start, hook)
        put_all(gateway, keys)
        hook.wait_for(10)
        gateway.kill()
        gateway.start()
        eventually(lambda: len(set(hook.names())) == len(keys), "all events", 60)
        repeated = len(hook.names()) - len(keys)
        assert repeated <= 1  # what was being sent when the process died
        ids = [headers["x-s3gw-event-id"] for headers in hook.headers]
        assert len(set(ids)) == len(keys)


def test_a_worker_that_dies_leaves_its_turn_to_the_other(start):
    with webhook() as hook:
        gateway = begin(start, hook)
        put_all(gateway, ["before"])
        hook.wait_for(1)
        for pid in gateway.workers()[:1]:
            os.kill(pid, signal.SIGKILL)
        eventually(gateway.healthy, "the gateway answers")
        s3 = gateway.s3("after", retries={"total_max_attempts": 5})
        s3.put_object(Bucket="photos", Key="after", Body=b"")
        hook.wait_for(2)
        assert hook.names() == ["ObjectCreated:Put before", "ObjectCreated:Put after"]
        gateway.stop(clean=False)


def test_a_change_is_answered_when_its_event_is_queued(start):
    """The object is there already, but its client waits until nothing can lose the event."""
    with webhook() as hook:
        gateway = begin(start, hook)
        reader = gateway.s3("reader")
        with ThreadPoolExecutor(1) as pool, (gateway.data / "events.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            answer = pool.submit(gateway.s3().put_object, Bucket="photos", Key="k", Body=b"")
            eventually(lambda: reader.list_objects_v2(Bucket="photos")["KeyCount"], "the object is there")
            assert not answer.done()
            assert hook.bodies == []
            fcntl.flock(lock, fcntl.LOCK_UN)
            assert answer.result(10)["ResponseMetadata"]["HTTPStatusCode"] == 200
        hook.wait_for(1)
        assert hook.names() == ["ObjectCreated:Put k"]


def test_what_the_end_writes_is_told_after_the_next_start(start):
    """Log objects that are written when a worker ends are events too."""
    with webhook() as hook:
        gateway = begin(start, hook, logging={"flush_seconds": 3600})
        s3 = gateway.s3()
        settings = {"TargetBucket": "photos", "TargetPrefix": "log/"}
        s3.put_bucket_logging(Bucket="photos", BucketLoggingStatus={"LoggingEnabled": settings})
        s3.head_bucket(Bucket="photos")
        gateway.stop()
        gateway.start()
        hook.wait_for(1)
        assert all(name.startswith("ObjectCreated:Put log/") for name in hook.names())
        assert hook.records()[0]["userIdentity"] == {"principalId": "s3.amazonaws.com"}
