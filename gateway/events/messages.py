"""What is told of a change: the message for topics, queues and functions, and that for EventBridge. Pure.

Sources: https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html,
https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
"""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote_plus

SERVICE = "s3.amazonaws.com"
"""Who does what nobody asked for (expires objects), and from where, in the words of S3."""


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to which object. `event` is the name with `s3:`; what is None is unknown or not applicable."""

    event: str
    key: str
    size: int | None = None
    etag: str | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """Who asked for it: `principal` as events name it, `requester` the account's number, `address` the client's."""

    principal: str
    requester: str
    address: str
    request_id: str
    host_id: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where it happened: the bucket, its owner's canonical id and account number, the region."""

    bucket: str
    owner: str
    account: str
    region: str

    @property
    def arn(self) -> str:
        """The bucket's ARN."""
        return f"arn:aws:s3:::{self.bucket}"


@dataclass(frozen=True, slots=True)
class _Form:
    """How an event is told: the version of the record, what EventBridge calls it, why it says it happened.

    `counted`: it carries a sequencer, by which events of one key can be put in order.
    """

    detail_type: str
    version: str = "2.1"
    reason: str | None = None
    deletion: str | None = None
    counted: bool = True


_CREATED, _DELETED = "Object Created", "Object Deleted"
_GONE, _MARKED = "Permanently Deleted", "Delete Marker Created"
_EXPIRED = "Lifecycle Expiration"
FORMS: Mapping[str, _Form] = {
    "s3:ObjectCreated:Put": _Form(_CREATED, reason="PutObject"),
    "s3:ObjectCreated:Post": _Form(_CREATED, reason="POST Object"),
    "s3:ObjectCreated:Copy": _Form(_CREATED, reason="CopyObject"),
    "s3:ObjectCreated:CompleteMultipartUpload": _Form(_CREATED, reason="CompleteMultipartUpload"),
    "s3:ObjectRemoved:Delete": _Form(_DELETED, reason="DeleteObject", deletion=_GONE),
    "s3:ObjectRemoved:DeleteMarkerCreated": _Form(_DELETED, reason="DeleteObject", deletion=_MARKED),
    "s3:LifecycleExpiration:Delete": _Form(_DELETED, "2.3", _EXPIRED, _GONE),
    "s3:LifecycleExpiration:DeleteMarkerCreated": _Form(_DELETED, "2.3", _EXPIRED, _MARKED),
    "s3:ObjectTagging:Put": _Form("Object Tags Added", "2.3", counted=False),
    "s3:ObjectTagging:Delete": _Form("Object Tags Deleted", "2.3", counted=False),
    "s3:ObjectAcl:Put": _Form("Object ACL Updated", "2.3", counted=False),
}
"""Every event that happens here."""


def sequencer(nanoseconds: int) -> str:
    """What orders the events of one key, as a string of hexadecimal digits that compares like the time."""
    return f"{nanoseconds:018X}"


def record(change: Change, origin: Origin, place: Place, nanoseconds: int, configuration: str) -> str:
    """The message for a target of the configuration of that id, as JSON. The time is since 1970, UTC."""
    form = FORMS[change.event]
    told = {
        "key": quote_plus(change.key, safe="/*"),
        "size": change.size,
        "eTag": change.etag,
        "versionId": change.version,
        "sequencer": sequencer(nanoseconds) if form.counted else None,
    }
    content = {
        "eventVersion": form.version,
        "eventSource": "aws:s3",
        "awsRegion": place.region,
        "eventTime": _time(nanoseconds, "milliseconds"),
        "eventName": change.event.removeprefix("s3:"),
        "userIdentity": {"principalId": origin.principal},
        "requestParameters": {"sourceIPAddress": origin.address},
        "responseElements": {"x-amz-request-id": origin.request_id, "x-amz-id-2": origin.host_id},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": configuration,
            "bucket": {
                "name": place.bucket,
                "ownerIdentity": {"principalId": place.owner},
                "arn": place.arn,
            },
            "object": _known(told),
        },
    }
    return _dump({"Records": [content]})


def bridge_event(change: Change, origin: Origin, place: Place, nanoseconds: int) -> str:
    """The message for EventBridge, as JSON."""
    form = FORMS[change.event]
    told = {
        "key": change.key,
        "size": change.size,
        "etag": change.etag,
        "version-id": change.version,
        "sequencer": sequencer(nanoseconds) if form.counted else None,
    }
    detail = {
        "version": "0",
        "bucket": {"name": place.bucket},
        "object": _known(told),
        "request-id": origin.request_id,
        "requester": origin.requester,
        "source-ip-address": None if origin.address == SERVICE else origin.address,
        "reason": form.reason,
        "deletion-type": form.deletion,
    }
    return _dump(
        {
            "version": "0",
            "id": str(uuid.uuid4()),
            "detail-type": form.detail_type,
            "source": "aws.s3",
            "account": place.account,
            "time": _time(nanoseconds, "seconds"),
            "region": place.region,
            "resources": [place.arn],
            "detail": _known(detail),
        }
    )


def test_event(place: Place, origin: Origin, nanoseconds: int) -> str:
    """What a topic or queue is sent when a configuration that names it is put."""
    return _dump(
        {
            "Service": "Amazon S3",
            "Event": "s3:TestEvent",
            "Time": _time(nanoseconds, "milliseconds"),
            "Bucket": place.bucket,
            "RequestId": origin.request_id,
            "HostId": origin.host_id,
        }
    )


def _known(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _time(nanoseconds: int, precision: str) -> str:
    moment = datetime.fromtimestamp(nanoseconds // 1_000_000_000, UTC)
    moment = moment.replace(microsecond=nanoseconds // 1000 % 1_000_000)
    return moment.isoformat(timespec=precision).replace("+00:00", "Z")


def _dump(content: Mapping[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))
