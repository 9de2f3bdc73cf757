"""Notification configurations: what is read, kept, answered and refused."""

from types import SimpleNamespace

import pytest

from gateway.configurations import notification
from gateway.configurations.notification import EVENTS, OCCURRING
from gateway.errors import S3Error
from gateway.events import messages

ARNS = {
    "Topic": "arn:aws:sns:us-east-1:111122223333:hook",
    "Queue": "arn:aws:sqs:us-east-1:111122223333:hook",
    "CloudFunction": "arn:aws:lambda:us-east-1:111122223333:function:hook",
}


def context(targets=("hook", "other"), eventbridge=True):
    return SimpleNamespace(
        services=SimpleNamespace(events=SimpleNamespace(targets=targets, eventbridge=eventbridge))
    )


def document(*inner):
    return f'<NotificationConfiguration xmlns="urn:x">{"".join(inner)}</NotificationConfiguration>'.encode()


def rule(*events, kind="Queue", arn=None, name="", filters=()):
    identifier = f"<Id>{name}</Id>" if name else ""
    named = "".join(f"<Event>{event}</Event>" for event in events)
    rules = "".join(
        f"<FilterRule><Name>{part}</Name><Value>{value}</Value></FilterRule>" for part, value in filters
    )
    filtered = f"<Filter><S3Key>{rules}</S3Key></Filter>" if filters else ""
    return f"<{kind}Configuration>{identifier}<{kind}>{arn or ARNS[kind]}</{kind}>{named}{filtered}</{kind}Configuration>"


def read(*inner, **options):
    return notification.load(notification.read(document(*inner), context(**options)))


def refused(*inner, **options):
    with pytest.raises(S3Error) as caught:
        notification.read(document(*inner), context(**options))
    return caught.value.code, caught.value.message


@pytest.mark.parametrize("kind", list(ARNS))
def test_every_kind_of_destination(kind):
    (found,) = read(rule("s3:ObjectCreated:*", "s3:ObjectRemoved:Delete", kind=kind, name="mine")).rules
    assert (found.id, found.target, found.arn) == ("mine", "hook", ARNS[kind])
    assert found.names == ("s3:ObjectCreated:*", "s3:ObjectRemoved:Delete")
    assert found.applies("s3:ObjectCreated:Copy", "any/key")
    assert found.applies("s3:ObjectRemoved:Delete", "any/key")
    assert not found.applies("s3:ObjectRemoved:DeleteMarkerCreated", "any/key")
    assert found.tested is (kind != "CloudFunction")


def test_what_is_kept_is_a_document_that_reads_the_same():
    sent = document(
        rule("s3:ObjectCreated:*", filters=[("PREFIX", "in/"), ("suffix", ".jpg")]),
        rule("s3:ObjectTagging:*", kind="Topic", name="t"),
        "<EventBridgeConfiguration/>",
    )
    text = notification.read(sent, context())
    kept = notification.load(text)
    assert notification.show(kept) == text
    assert kept.eventbridge
    assert "<Name>prefix</Name><Value>in/</Value>" in text
    assert [found.id for found in kept.rules if found.id] == ["t", kept.rules[1].id]


def test_filters():
    (found,) = read(rule("s3:ObjectCreated:*", filters=[("prefix", "in/"), ("suffix", ".jpg")])).rules
    assert found.applies("s3:ObjectCreated:Put", "in/a.jpg")
    assert not found.applies("s3:ObjectCreated:Put", "in/a.png")
    assert not found.applies("s3:ObjectCreated:Put", "a.jpg")


def test_an_empty_configuration_is_none():
    assert notification.read(document(), context()) is None


def test_every_event_that_happens_has_a_form_and_a_name():
    assert set(messages.FORMS) == set(OCCURRING)
    assert set(OCCURRING) <= EVENTS.keys()


def test_the_names_of_events_are_those_of_the_model():
    import botocore.session

    model = botocore.session.get_session().get_service_model("s3")
    assert EVENTS.keys() == set(model.shape_for("Event").enum)


@pytest.mark.parametrize(
    "inner",
    [
        "<Topic/>",
        "<QueueConfiguration/>",
        rule(),
        rule("s3:ObjectCreated:*").replace("<Event>", "<Bad/><Event>"),
        rule("s3:ObjectCreated:*", filters=[("prefix", "a")]).replace("S3Key", "Key"),
        rule("s3:ObjectCreated:*", filters=[("prefix", "a")]).replace("FilterRule", "Rule"),
        "<EventBridgeConfiguration/><EventBridgeConfiguration/>",
    ],
)
def test_what_is_no_configuration(inner):
    assert refused(inner)[0] == "MalformedXML"


@pytest.mark.parametrize("event", ["s3:ObjectCreated", "ObjectCreated:Put", "s3:*", "s3:TestEvent", ""])
def test_unknown_events(event):
    assert refused(rule(event)) == (
        "InvalidArgument",
        "A specified event is not supported for notifications.",
    )


@pytest.mark.parametrize(
    "arn",
    [
        "hook",
        "http://127.0.0.1/hook",
        "arn:aws:sqs:us-east-1:1:http://169.254.169.254/",
        "arn:aws:sqs:us-east-1:1:a/../b",
        "arn:aws:sqs:us-east-1:1:a.b",
        "arn:aws:sns:us-east-1:1:hook",
        "arn:aws:s3:::hook",
        "arn:aws:sqs:us-east-1:1:hook\n",
        "arn:aws:sqs:us-east-1:1:",
    ],
)
def test_what_is_no_arn_of_a_queue(arn):
    assert refused(rule("s3:ObjectCreated:*", arn=arn)) == ("InvalidArgument", "The ARN could not be parsed")


def test_a_destination_must_be_configured():
    expected = ("InvalidArgument", "Unable to validate the following destination configurations")
    assert refused(rule("s3:ObjectCreated:*"), targets=()) == expected
    assert refused("<EventBridgeConfiguration/>", eventbridge=False) == expected
    eventbridge = ARNS["Queue"].replace("hook", "eventbridge")
    assert refused(rule("s3:ObjectCreated:*", arn=eventbridge)) == expected


def test_ids_are_unique():
    both = rule("s3:ObjectCreated:*", name="a"), rule("s3:ObjectRemoved:*", name="a")
    assert refused(*both)[1] == "Same ID used for multiple configurations. IDs must be unique"


@pytest.mark.parametrize(
    ("filters", "why"),
    [
        ([("infix", "a")], "filter rule name must be either prefix or suffix"),
        ([("prefix", "a"), ("Prefix", "b")], "Cannot specify more than one prefix rule in a filter."),
        ([("suffix", "é" * 513)], "Size of filter rule value cannot exceed 1024 bytes in UTF-8"),
    ],
)
def test_bad_filters(filters, why):
    assert refused(rule("s3:ObjectCreated:*", filters=filters)) == ("InvalidArgument", why)


def test_an_event_is_told_once():
    whole = "Configurations overlap. Configurations on the same bucket cannot share a common event type."
    both = rule("s3:ObjectCreated:*", name="a"), rule("s3:ObjectCreated:Put", name="b", kind="Topic")
    assert refused(*both) == ("InvalidArgument", whole)


OVERLAPS = [
    ([("prefix", "a")], [("prefix", "ab")], True),
    ([("prefix", "a")], [], True),
    ([("prefix", "a")], [("suffix", "b")], True),
    ([("suffix", ".jpg")], [("suffix", "g")], True),
    ([("prefix", "a"), ("suffix", "x")], [("prefix", "a"), ("suffix", "y")], False),
    ([("prefix", "a")], [("prefix", "b")], False),
    ([("suffix", ".jpg")], [("suffix", ".png")], False),
]


@pytest.mark.parametrize(("one", "other", "overlap"), OVERLAPS)
def test_filters_of_the_same_event_may_not_overlap(one, other, overlap):
    both = rule("s3:ObjectCreated:Put", filters=one), rule("s3:ObjectCreated:*", filters=other)
    if overlap:
        assert refused(*both)[1].startswith("Configuration is ambiguously defined.")
    else:
        assert len(read(*both).rules) == 2


def test_different_events_may_overlap():
    assert len(read(rule("s3:ObjectCreated:Put"), rule("s3:ObjectCreated:Copy")).rules) == 2


def test_a_bucket_has_no_more_than_100_rules():
    rules = [rule("s3:ObjectCreated:*", filters=[("prefix", f"{number:03}/")]) for number in range(101)]
    assert len(read(*rules[:100]).rules) == 100
    assert refused(*rules)[0] == "InvalidArgument"
