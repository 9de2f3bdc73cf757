"""The messages of events, held against the examples that AWS documents."""

import json

import pytest

from gateway.events.messages import (
    FORMS,
    Change,
    Origin,
    Place,
    bridge_event,
    record,
    sequencer,
)
from gateway.events.messages import (
    test_event as make_test_event,
)

MOMENT = 1_636_675_200_123_456_789  # 2021-11-12T00:00:00.123456789Z
ORIGIN = Origin("AWS:AIDAJDPLRKLG7UEXAMPLE", "123456789012", "1.2.3.4", "N4N7GDK58NMKJ12R", "host")
PLACE = Place("amzn-s3-demo-bucket1", "A3NL1KOZZKExample", "111122223333", "ca-central-1")
PUT = Change(
    "s3:ObjectCreated:Put", "example-key", 5, "b1946ac92492d2347c6235b4d2611184", "IYV3p45BT0ac8hjHg1houS"
)


def test_a_record_is_what_aws_documents():
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html"""
    assert json.loads(record(PUT, ORIGIN, PLACE, MOMENT, "testConfigRule")) == {
        "Records": [
            {
                "eventVersion": "2.1",
                "eventSource": "aws:s3",
                "awsRegion": "ca-central-1",
                "eventTime": "2021-11-12T00:00:00.123Z",
                "eventName": "ObjectCreated:Put",
                "userIdentity": {"principalId": "AWS:AIDAJDPLRKLG7UEXAMPLE"},
                "requestParameters": {"sourceIPAddress": "1.2.3.4"},
                "responseElements": {"x-amz-request-id": "N4N7GDK58NMKJ12R", "x-amz-id-2": "host"},
                "s3": {
                    "s3SchemaVersion": "1.0",
                    "configurationId": "testConfigRule",
                    "bucket": {
                        "name": "amzn-s3-demo-bucket1",
                        "ownerIdentity": {"principalId": "A3NL1KOZZKExample"},
                        "arn": "arn:aws:s3:::amzn-s3-demo-bucket1",
                    },
                    "object": {
                        "key": "example-key",
                        "size": 5,
                        "eTag": "b1946ac92492d2347c6235b4d2611184",
                        "versionId": "IYV3p45BT0ac8hjHg1houS",
                        "sequencer": sequencer(MOMENT),
                    },
                },
            }
        ]
    }


def test_an_eventbridge_event_is_what_aws_documents():
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html"""
    event = json.loads(bridge_event(PUT, ORIGIN, PLACE, MOMENT))
    assert len(event.pop("id")) == 36
    assert event == {
        "version": "0",
        "detail-type": "Object Created",
        "source": "aws.s3",
        "account": "111122223333",
        "time": "2021-11-12T00:00:00Z",
        "region": "ca-central-1",
        "resources": ["arn:aws:s3:::amzn-s3-demo-bucket1"],
        "detail": {
            "version": "0",
            "bucket": {"name": "amzn-s3-demo-bucket1"},
            "object": {
                "key": "example-key",
                "size": 5,
                "etag": "b1946ac92492d2347c6235b4d2611184",
                "version-id": "IYV3p45BT0ac8hjHg1houS",
                "sequencer": sequencer(MOMENT),
            },
            "request-id": "N4N7GDK58NMKJ12R",
            "requester": "123456789012",
            "source-ip-address": "1.2.3.4",
            "reason": "PutObject",
        },
    }


def test_a_deletion_has_neither_size_nor_etag():
    gone = Change("s3:ObjectRemoved:Delete", "k")
    told = json.loads(record(gone, ORIGIN, PLACE, MOMENT, "c"))["Records"][0]["s3"]["object"]
    assert told == {"key": "k", "sequencer": sequencer(MOMENT)}
    detail = json.loads(bridge_event(gone, ORIGIN, PLACE, MOMENT))["detail"]
    assert (detail["reason"], detail["deletion-type"]) == ("DeleteObject", "Permanently Deleted")


def test_an_expiration_is_the_work_of_s3():
    origin = Origin(*["s3.amazonaws.com"] * 3, "id", "host")
    marker = Change("s3:LifecycleExpiration:DeleteMarkerCreated", "k", version="v")
    detail = json.loads(bridge_event(marker, origin, PLACE, MOMENT))["detail"]
    assert (detail["requester"], detail["reason"]) == ("s3.amazonaws.com", "Lifecycle Expiration")
    assert detail["deletion-type"] == "Delete Marker Created"
    assert "source-ip-address" not in detail


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("red flower.jpg", "red+flower.jpg"),
        ("a/b", "a/b"),
        ("a+b", "a%2Bb"),
        ("ä\n", "%C3%A4%0A"),
        ('"}', "%22%7D"),
    ],
)
def test_keys_are_encoded_for_targets_and_plain_for_eventbridge(key, told):
    change = Change("s3:ObjectCreated:Put", key)
    assert json.loads(record(change, ORIGIN, PLACE, MOMENT, "c"))["Records"][0]["s3"]["object"]["key"] == told
    assert json.loads(bridge_event(change, ORIGIN, PLACE, MOMENT))["detail"]["object"]["key"] == key


def test_what_does_not_change_the_bytes_has_no_place_in_the_sequence():
    for name, form in FORMS.items():
        told = json.loads(record(Change(name, "k"), ORIGIN, PLACE, MOMENT, "c"))["Records"][0]
        assert ("sequencer" in told["s3"]["object"]) is form.counted
        assert told["eventName"] == name.removeprefix("s3:")
        assert told["eventVersion"] == form.version


def test_sequencers_compare_like_times():
    moments = [0, 1, 15, 16, MOMENT, MOMENT + 1, 2**63]
    assert sorted(map(sequencer, moments)) == [sequencer(moment) for moment in moments]


def test_the_test_event_is_what_aws_documents():
    assert json.loads(make_test_event(PLACE, ORIGIN, MOMENT)) == {
        "Service": "Amazon S3",
        "Event": "s3:TestEvent",
        "Time": "2021-11-12T00:00:00.123Z",
        "Bucket": "amzn-s3-demo-bucket1",
        "RequestId": "N4N7GDK58NMKJ12R",
        "HostId": "host",
    }
