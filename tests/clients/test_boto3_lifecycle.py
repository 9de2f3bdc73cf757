"""Lifecycle rules through boto3: configuration, headers, and a gateway that carries them out."""

import json
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest
from harness import Gateway, eventually, refusal

RULE = {
    "ID": "Delete after 1 day",
    "Filter": {"Prefix": "old/"},
    "Status": "Enabled",
    "Expiration": {"Days": 1},
}


def configure(s3: Any, bucket: str, *rules: dict[str, Any], **more: str) -> Any:
    return s3.put_bucket_lifecycle_configuration(
        Bucket=bucket, LifecycleConfiguration={"Rules": list(rules)}, **more
    )


def keys(s3: Any, bucket: str) -> list[str]:
    return [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket).get("Contents", ())]


def test_configuration_is_put_read_and_removed(s3: Any, bucket: str) -> None:
    assert refusal(s3.get_bucket_lifecycle_configuration, Bucket=bucket) == (
        404,
        "NoSuchLifecycleConfiguration",
    )
    rules = [
        RULE,
        {
            "ID": "all",
            "Filter": {
                "And": {
                    "Prefix": "a",
                    "Tags": [{"Key": "k", "Value": "v"}],
                    "ObjectSizeGreaterThan": 1,
                    "ObjectSizeLessThan": 9,
                }
            },
            "Status": "Disabled",
            "Expiration": {"Date": datetime(2030, 1, 1, tzinfo=UTC)},
            "NoncurrentVersionExpiration": {"NoncurrentDays": 3, "NewerNoncurrentVersions": 2},
        },
        {
            "ID": "rest",
            "Filter": {},
            "Status": "Enabled",
            "Expiration": {"ExpiredObjectDeleteMarker": True},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
        },
    ]
    answer = configure(s3, bucket, *rules)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
    found = s3.get_bucket_lifecycle_configuration(Bucket=bucket)
    assert found["Rules"] == rules
    assert found["TransitionDefaultMinimumObjectSize"] == "all_storage_classes_128K"
    configure(s3, bucket, RULE, TransitionDefaultMinimumObjectSize="varies_by_storage_class")
    found = s3.get_bucket_lifecycle_configuration(Bucket=bucket)
    assert found["Rules"] == [RULE]
    assert found["TransitionDefaultMinimumObjectSize"] == "varies_by_storage_class"
    assert s3.delete_bucket_lifecycle(Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert s3.delete_bucket_lifecycle(Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert refusal(s3.get_bucket_lifecycle_configuration, Bucket=bucket)[0] == 404


def test_a_refused_configuration_leaves_the_one_before(s3: Any, bucket: str) -> None:
    configure(s3, bucket, RULE)
    transition = RULE | {"Transitions": [{"Days": 1, "StorageClass": "GLACIER"}]}
    for rules, expected in (
        ([transition], (501, "NotImplemented")),
        ([RULE, RULE], (400, "InvalidArgument")),
        ([RULE | {"Expiration": {"Days": 0}}], (400, "InvalidArgument")),
        ([RULE | {"Status": "enabled"}], (400, "MalformedXML")),
        ([], (400, "InvalidRequest")),
    ):
        put = s3.put_bucket_lifecycle_configuration
        assert refusal(put, Bucket=bucket, LifecycleConfiguration={"Rules": rules}) == expected
    assert s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"] == [RULE]


def test_a_bucket_that_is_not_there(s3: Any, name: str) -> None:
    assert refusal(s3.get_bucket_lifecycle_configuration, Bucket=name) == (404, "NoSuchBucket")


def expiry(answer: dict[str, Any]) -> tuple[datetime, str] | None:
    if "Expiration" not in answer:
        return None
    match = re.fullmatch(r'expiry-date="(.+ GMT)", rule-id="(.+)"', answer["Expiration"])
    assert match is not None
    return parsedate_to_datetime(match[1]), match[2]


def test_the_expiration_header_of_all_that_answer_it(s3: Any, bucket: str) -> None:
    tagged = {
        "ID": "tagged",
        "Filter": {"Tag": {"Key": "k", "Value": "v"}},
        "Status": "Enabled",
        "Expiration": {"Date": datetime(2020, 1, 1, tzinfo=UTC)},
    }
    configure(s3, bucket, RULE, tagged)
    before = datetime.now(UTC)
    put = s3.put_object(Bucket=bucket, Key="old/a", Body=b"a")
    copy = s3.copy_object(Bucket=bucket, Key="old/b", CopySource={"Bucket": bucket, "Key": "old/a"})
    upload = s3.create_multipart_upload(Bucket=bucket, Key="old/c")["UploadId"]
    part = {"Bucket": bucket, "Key": "old/c", "UploadId": upload}
    etag = s3.upload_part(**part, PartNumber=1, Body=b"c")["ETag"]
    complete = s3.complete_multipart_upload(
        **part, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]}
    )
    answers = [put, copy, complete]
    answers += [read(Bucket=bucket, Key="old/a") for read in (s3.get_object, s3.head_object)]
    after = datetime.now(UTC)
    for answer in answers:
        found = expiry(answer)
        assert found is not None
        when, rule = found
        assert rule == "Delete after 1 day"
        assert (when.hour, when.minute, when.second) == (0, 0, 0)
        assert before + timedelta(days=1) - timedelta(seconds=1) <= when <= after + timedelta(days=2)
    s3.put_object(Bucket=bucket, Key="new", Body=b"a")
    assert expiry(s3.head_object(Bucket=bucket, Key="new")) is None
    s3.put_object_tagging(Bucket=bucket, Key="new", Tagging={"TagSet": [{"Key": "k", "Value": "v"}]})
    assert expiry(s3.head_object(Bucket=bucket, Key="new")) == (datetime(2020, 1, 1, tzinfo=UTC), "tagged")
    assert expiry(s3.head_object(Bucket=bucket, Key="old/a", VersionId="null")) is None


def test_the_id_of_a_rule_makes_no_header_of_its_own(s3: Any, bucket: str) -> None:
    configure(s3, bucket, RULE | {"ID": 'a"\nx-evil: 1\n\né'})
    answer = s3.put_object(Bucket=bucket, Key="old/a", Body=b"a")
    assert "x-evil" not in answer["ResponseMetadata"]["HTTPHeaders"]
    assert answer["Expiration"].endswith('rule-id="a%22%0Ax-evil: 1%0A%0A%C3%A9"')


def test_the_abort_date_of_uploads(s3: Any, bucket: str) -> None:
    abort = {
        "ID": "abort",
        "Filter": {"Prefix": "up/"},
        "Status": "Enabled",
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 2},
    }
    configure(s3, bucket, abort)
    made = s3.create_multipart_upload(Bucket=bucket, Key="up/a")
    listed = s3.list_parts(Bucket=bucket, Key="up/a", UploadId=made["UploadId"])
    for answer in (made, listed):
        assert answer["AbortRuleId"] == "abort"
        assert answer["AbortDate"].time().isoformat() == "00:00:00"
        assert timedelta(days=1) < answer["AbortDate"] - datetime.now(UTC) <= timedelta(days=3)
    assert "AbortDate" not in s3.create_multipart_upload(Bucket=bucket, Key="other")


SHORT = {"lifecycle": {"interval_seconds": 0.2, "day_seconds": 1}, "auth": {"anonymous": "none"}}


@pytest.fixture
def quick(start: Any) -> Gateway:
    """A gateway of two workers where a day lasts a second."""
    gateway: Gateway = start(**SHORT)
    return gateway


def test_a_gateway_carries_out_the_rules(quick: Gateway, name: str) -> None:
    s3 = quick.s3()
    s3.create_bucket(Bucket=name)
    tagged = {
        "ID": "t",
        "Filter": {"Tag": {"Key": "k", "Value": "v"}},
        "Status": "Enabled",
        "Expiration": {"Days": 1},
    }
    abort = {
        "ID": "u",
        "Filter": {"Prefix": ""},
        "Status": "Enabled",
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
    }
    configure(s3, name, RULE, tagged, abort)
    for key, tags in (("old/a", ""), ("tagged", "k=v"), ("kept", "k=w"), ("plain", "")):
        s3.put_object(Bucket=name, Key=key, Body=b"x", **({"Tagging": tags} if tags else {}))
    upload = s3.create_multipart_upload(Bucket=name, Key="up")["UploadId"]
    s3.upload_part(Bucket=name, Key="up", UploadId=upload, PartNumber=1, Body=b"x" * 100_000)
    eventually(lambda: keys(s3, name) == ["kept", "plain"], "what is old or tagged is gone")
    eventually(lambda: "Uploads" not in s3.list_multipart_uploads(Bucket=name), "the upload is gone")
    assert s3.get_object(Bucket=name, Key="kept")["Body"].read() == b"x"


def test_versions_go_and_locked_ones_stay(quick: Gateway, name: str) -> None:
    s3 = quick.s3()
    s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    for _ in range(3):
        s3.put_object(Bucket=name, Key="free", Body=b"x")
    held = s3.put_object(Bucket=name, Key="held", Body=b"x", ObjectLockLegalHoldStatus="ON")["VersionId"]
    s3.put_object(Bucket=name, Key="held", Body=b"x")
    s3.delete_object(Bucket=name, Key="marked")
    rule = {"ID": "n", "Filter": {}, "Status": "Enabled"}
    rule |= {"NoncurrentVersionExpiration": {"NoncurrentDays": 1}}
    configure(s3, name, rule | {"Expiration": {"ExpiredObjectDeleteMarker": True}})

    def versions() -> tuple[list[str], list[str]]:
        page = s3.list_object_versions(Bucket=name)
        return [v["Key"] for v in page.get("Versions", ())], [m["Key"] for m in page.get("DeleteMarkers", ())]

    eventually(lambda: versions() == (["free", "held", "held"], []), "all but the locked one is gone")
    assert s3.get_object(Bucket=name, Key="held", VersionId=held)["Body"].read() == b"x"
    assert not quick.complaints()


def test_one_worker_at_a_time_makes_a_pass(start: Any, name: str) -> None:
    """If two did, one of them would find objects gone that it has listed: `kept: changed meanwhile`."""
    settings = {"interval_seconds": 0.02, "day_seconds": 3}
    gateway: Gateway = start(lifecycle=settings, environment={"S3GW_LOG": "info"})
    s3 = gateway.s3()
    s3.create_bucket(Bucket=name)
    configure(s3, name, RULE | {"Filter": {"Prefix": ""}})
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda n: s3.put_object(Bucket=name, Key=f"k{n:03}", Body=b"x"), range(400)))
    eventually(lambda: keys(s3, name) == [], "all of them are gone")

    def told() -> list[int]:
        return [int(count) for count in re.findall(r": (\d+) expired", gateway.log.read_text())]

    eventually(lambda: sum(told()) == 400, "each was removed once")
    assert len(gateway.workers()) == 2
    assert "kept:" not in gateway.log.read_text()


def test_the_command_makes_a_pass_beside_a_live_gateway(start: Any, name: str) -> None:
    gateway: Gateway = start(lifecycle={"interval_seconds": 0, "day_seconds": 0.001})
    s3 = gateway.s3()
    s3.create_bucket(Bucket=name)
    configure(s3, name, RULE)
    s3.put_object(Bucket=name, Key="old/a", Body=b"four")
    s3.put_object(Bucket=name, Key="new", Body=b"x")
    dry = gateway.command("lifecycle", "run", "--dry-run", "--json")
    assert dry.returncode == 0, dry.stderr
    expected = f'"bucket": "{name}"'
    assert expected in dry.stdout
    assert '"bytes": 4' in dry.stdout
    assert keys(s3, name) == ["new", "old/a"]
    past = gateway.command("lifecycle", "run", "--dry-run", "--at", "2020-01-01")
    assert "nothing is due" in past.stdout
    done = gateway.command("lifecycle", "run", "--bucket", name)
    assert done.returncode == 0, done.stderr
    assert "Delete after 1 day" in done.stdout
    assert "expired" in done.stdout
    assert keys(s3, name) == ["new"]
    missing = gateway.command("lifecycle", "run", "--bucket", "nowhere")
    assert missing.returncode == 1
    assert "nowhere" in missing.stderr


class Webhook(BaseHTTPRequestHandler):
    """Keeps what it is told."""

    told: ClassVar[list[dict[str, Any]]] = []

    def do_POST(self) -> None:
        self.told += json.loads(self.rfile.read(int(self.headers["content-length"]))).get("Records", ())
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def webhook() -> Iterator[str]:
    """The URL of a webhook."""
    Webhook.told.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Webhook) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/events"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("by_command", [False, True])
def test_what_expires_is_told(start: Any, name: str, webhook: str, by_command: bool) -> None:
    lifecycle = {"interval_seconds": 0 if by_command else 0.2, "day_seconds": 0.001}
    gateway: Gateway = start(lifecycle=lifecycle, **{"notifications.targets.hook": {"url": webhook}})
    s3 = gateway.s3()
    queue = {
        "QueueArn": "arn:aws:sqs:us-east-1:000000000000:hook",
        "Events": ["s3:LifecycleExpiration:*"],
    }
    for bucket in (name, f"{name}-v"):
        s3.create_bucket(Bucket=bucket)
        s3.put_bucket_notification_configuration(
            Bucket=bucket, NotificationConfiguration={"QueueConfigurations": [queue]}
        )
        s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    s3.put_bucket_versioning(Bucket=f"{name}-v", VersioningConfiguration={"Status": "Enabled"})
    for bucket in (name, f"{name}-v"):
        configure(s3, bucket, RULE | {"Filter": {"Prefix": ""}})
    if by_command:
        assert gateway.command("lifecycle", "run").returncode == 0

    def told() -> list[tuple[str, str]]:
        return sorted((record["eventName"], record["s3"]["bucket"]["name"]) for record in Webhook.told)

    expected = [
        ("LifecycleExpiration:Delete", name),
        ("LifecycleExpiration:DeleteMarkerCreated", f"{name}-v"),
    ]
    eventually(lambda: told()[:2] == expected, "both expirations are told")
