"""Event notifications with boto3 and real webhooks: every event that happens, filters, refusals."""

import json
import urllib.request
from contextlib import ExitStack

import pytest
from harness import eventually, refusal, running
from webhooks import webhook

EVERYTHING = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*", "s3:ObjectTagging:*", "s3:ObjectAcl:Put"]


def queue(*events, name="hook", **more):
    return {"QueueArn": f"arn:aws:sqs:us-east-1:000000000000:{name}", "Events": list(events), **more}


@pytest.fixture(scope="module")
def hooks():
    with ExitStack() as stack:
        yield stack.enter_context(webhook()), stack.enter_context(webhook())


@pytest.fixture(scope="module")
def told(hooks, tmp_path_factory):
    """A gateway that notifies two webhooks and an EventBridge."""
    one, other = hooks
    settings = {
        "auth": {"object_ownership": "ObjectWriter"},
        "notifications": {"eventbridge_url": other.url},
        "notifications.targets.hook": {"url": one.url, "secret": "${HOOK_SECRET}"},
        "notifications.targets.other": {"url": other.url, "timeout_seconds": 5},
    }
    place = tmp_path_factory.mktemp("gateway")
    with running(place, settings=settings, environment={"HOOK_SECRET": "s3cret"}) as gateway:
        yield gateway


@pytest.fixture
def s3(told):
    return told.s3()


def configure(s3, bucket, *queues, **more):
    s3.put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"QueueConfigurations": list(queues), **more}
    )


def test_a_configuration_is_read_back(s3, bucket):
    read = s3.get_bucket_notification_configuration
    assert "QueueConfigurations" not in read(Bucket=bucket)
    rules = [{"Name": "prefix", "Value": "a/"}, {"Name": "suffix", "Value": ".jpg"}]
    filtered = {"Key": {"FilterRules": rules}}
    wanted = queue("s3:ObjectCreated:*", "s3:ObjectRemoved:Delete", Id="mine", Filter=filtered)
    configure(s3, bucket, wanted, EventBridgeConfiguration={})
    found = read(Bucket=bucket)
    assert found["EventBridgeConfiguration"] == {}
    (kept,) = found["QueueConfigurations"]
    assert kept == wanted
    configure(s3, bucket)
    assert "QueueConfigurations" not in read(Bucket=bucket)


def test_every_change_is_told(s3, bucket, hooks):
    hook = hooks[0]
    configure(s3, bucket, queue(*EVERYTHING))
    tests = eventually(
        lambda: [message for message in hook.messages if message.get("Bucket") == bucket], "a test event"
    )
    assert [message["Event"] for message in tests] == ["s3:TestEvent"]
    put = s3.put_object(Bucket=bucket, Key="a b", Body=b"hello")
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/a b")
    s3.put_object_tagging(Bucket=bucket, Key="copy", Tagging={"TagSet": [{"Key": "k", "Value": "v"}]})
    s3.delete_object_tagging(Bucket=bucket, Key="copy")
    s3.put_object_acl(Bucket=bucket, Key="copy", ACL="public-read")
    upload = s3.create_multipart_upload(Bucket=bucket, Key="large")["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key="large", UploadId=upload, PartNumber=1, Body=b"x")
    s3.complete_multipart_upload(
        Bucket=bucket,
        Key="large",
        UploadId=upload,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]},
    )
    s3.delete_object(Bucket=bucket, Key="a b")
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "copy"}, {"Key": "large"}]})
    records = hook.wait_for_records(bucket, 9)
    assert hook.names(bucket) == [
        "ObjectCreated:Put a+b",
        "ObjectCreated:Copy copy",
        "ObjectTagging:Put copy",
        "ObjectTagging:Delete copy",
        "ObjectAcl:Put copy",
        "ObjectCreated:CompleteMultipartUpload large",
        "ObjectRemoved:Delete a+b",
        "ObjectRemoved:Delete copy",
        "ObjectRemoved:Delete large",
    ]
    record = records[0]
    assert record["s3"]["object"]["size"] == 5
    assert record["s3"]["object"]["eTag"] == put["ETag"].strip('"')
    assert record["s3"]["bucket"]["arn"] == f"arn:aws:s3:::{bucket}"
    assert record["requestParameters"] == {"sourceIPAddress": "127.0.0.1"}
    assert record["responseElements"]["x-amz-request-id"] == put["ResponseMetadata"]["RequestId"]
    assert record["responseElements"]["x-amz-id-2"] == put["ResponseMetadata"]["HostId"]
    assert all(headers["x-s3gw-signature"].startswith("sha256=") for headers in hook.headers)


def test_a_form_is_told_as_a_post(s3, bucket, hooks):
    hook = hooks[0]
    configure(s3, bucket, queue("s3:ObjectCreated:*"))
    form = s3.generate_presigned_post(bucket, "posted")
    lines = "".join(
        f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in form["fields"].items()
    )
    body = f'{lines}--x\r\nContent-Disposition: form-data; name="file"\r\n\r\nhello\r\n--x--\r\n'.encode()
    request = urllib.request.Request(
        form["url"], body, {"content-type": "multipart/form-data; boundary=x"}, method="POST"
    )
    with urllib.request.urlopen(request) as reply:
        assert reply.status == 204
    hook.wait_for_records(bucket, 1)
    assert hook.names(bucket) == ["ObjectCreated:Post posted"]


def test_versions_are_told(s3, bucket, hooks):
    hook = hooks[0]
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    configure(s3, bucket, queue(*EVERYTHING))
    version = s3.put_object(Bucket=bucket, Key="k", Body=b"1")["VersionId"]
    marker = s3.delete_object(Bucket=bucket, Key="k")["VersionId"]
    s3.delete_object(Bucket=bucket, Key="k", VersionId=version)
    records = hook.wait_for_records(bucket, 3)
    told_of = [(record["eventName"], record["s3"]["object"]["versionId"]) for record in records]
    assert told_of == [
        ("ObjectCreated:Put", version),
        ("ObjectRemoved:DeleteMarkerCreated", marker),
        ("ObjectRemoved:Delete", version),
    ]
    counts = [record["s3"]["object"]["sequencer"] for record in records]
    assert counts == sorted(counts)


def of_bucket(bus, bucket, count):
    found = [event for event in bus.messages if event.get("resources") == [f"arn:aws:s3:::{bucket}"]]
    return found if len(found) >= count else None


def test_filters_choose_and_eventbridge_gets_everything(s3, bucket, hooks):
    hook, bus = hooks
    rules = [{"Name": "prefix", "Value": "in/"}]
    configure(
        s3,
        bucket,
        queue("s3:ObjectCreated:*", Filter={"Key": {"FilterRules": rules}}),
        EventBridgeConfiguration={},
    )
    for key in ("out/a", "in/b"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    hook.wait_for_records(bucket, 1)
    events = eventually(lambda: of_bucket(bus, bucket, 2), "two events")
    assert hook.names(bucket) == ["ObjectCreated:Put in/b"]
    assert [event["detail"]["object"]["key"] for event in events] == ["out/a", "in/b"]
    assert events[0]["detail-type"] == "Object Created"


def test_what_fails_is_not_told(s3, bucket, hooks):
    hook = hooks[0]
    configure(s3, bucket, queue(*EVERYTHING))
    assert refusal(s3.put_object, Bucket=bucket, Key="k", Body=b"", IfMatch='"x"')[0] in (404, 412)
    s3.put_object(Bucket=bucket, Key="last", Body=b"")
    hook.wait_for_records(bucket, 1)
    assert hook.names(bucket) == ["ObjectCreated:Put last"]


def test_a_test_event_may_be_skipped(s3, bucket, hooks):
    hook = hooks[0]
    s3.put_bucket_notification_configuration(
        Bucket=bucket,
        NotificationConfiguration={"QueueConfigurations": [queue("s3:ObjectCreated:*")]},
        SkipDestinationValidation=True,
    )
    s3.put_object(Bucket=bucket, Key="k", Body=b"")
    hook.wait_for_records(bucket, 1)
    assert hook.names(bucket) == ["ObjectCreated:Put k"]


@pytest.mark.parametrize(
    "arn",
    [
        "arn:aws:sqs:us-east-1:0:elsewhere",
        "arn:aws:sqs:us-east-1:0:http://127.0.0.1:1/",
        "http://127.0.0.1:1/",
        "arn:aws:sqs:us-east-1:0:eventbridge",
    ],
)
def test_clients_name_no_addresses(s3, bucket, arn):
    """CVE-2021-21287, CVE-2026-73080: a server that calls what a client names is a way into the network behind it."""
    wanted = {"QueueConfigurations": [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}]}
    code = refusal(
        s3.put_bucket_notification_configuration,
        Bucket=bucket,
        NotificationConfiguration=wanted,
        SkipDestinationValidation=True,
    )
    assert code == (400, "InvalidArgument")
    assert "QueueConfigurations" not in s3.get_bucket_notification_configuration(Bucket=bucket)


def test_without_targets_nothing_can_be_configured(gateway, name):
    s3, bucket = gateway.s3(), name
    s3.create_bucket(Bucket=bucket)
    wanted = {"QueueConfigurations": [queue("s3:ObjectCreated:*")]}
    code = refusal(s3.put_bucket_notification_configuration, Bucket=bucket, NotificationConfiguration=wanted)
    assert code == (400, "InvalidArgument")
    bus = {"EventBridgeConfiguration": {}}
    code = refusal(s3.put_bucket_notification_configuration, Bucket=bucket, NotificationConfiguration=bus)
    assert code == (400, "InvalidArgument")
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={})


def test_secrets_of_targets_are_not_shown(told):
    shown = told.command("config", "show", "--json")
    assert "s3cret" not in shown.stdout
    assert "notifications.targets" in json.loads(shown.stdout)


def test_a_target_that_is_down_fails_no_request(start):
    with webhook() as gone:
        url, port = gone.url, gone.port
    gateway = start(**{"notifications.targets.hook": {"url": url}})
    s3, bucket = gateway.s3(), "photos"
    s3.create_bucket(Bucket=bucket)
    configure(s3, bucket, queue("s3:ObjectCreated:*"))
    s3.put_object(Bucket=bucket, Key="k", Body=b"")
    with webhook(port) as back:
        eventually(lambda: len(back.bodies) >= 2, "what was queued arrives", 30)
        assert back.names() == ["ObjectCreated:Put k"]
