"""Reading `?lifecycle`: what S3 refuses and how, and what is kept."""

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import xml
from gateway.configurations import lifecycle
from gateway.configurations.lifecycle import Filter, Rule
from gateway.errors import S3Error

DAYS = "<Expiration><Days>3</Days></Expiration>"
ABORT = "<AbortIncompleteMultipartUpload><DaysAfterInitiation>2</DaysAfterInitiation></AbortIncompleteMultipartUpload>"
MARKER = "<Expiration><ExpiredObjectDeleteMarker>{}</ExpiredObjectDeleteMarker></Expiration>"
TAG = "<Tag><Key>{}</Key><Value>v</Value></Tag>"


def rule(
    *actions: str, where: str = "<Filter/>", status: str = "<Status>Enabled</Status>", name: str = ""
) -> str:
    return f"<Rule>{name}{where}{status}{''.join(actions)}</Rule>"


def configuration(*rules: str) -> bytes:
    return f'<LifecycleConfiguration xmlns="{xml.XMLNS}">{"".join(rules)}</LifecycleConfiguration>'.encode()


def context(**headers: str) -> Any:
    return SimpleNamespace(header=lambda name, default="": headers.get(name.replace("-", "_"), default))


def read(*rules: str) -> str:
    return lifecycle.read(configuration(*rules), context())


def only(*rules: str) -> Rule:
    (found,) = lifecycle.load(read(*rules)).rules
    return found


def noncurrent(days: str, newer: str = "") -> str:
    more = f"<NewerNoncurrentVersions>{newer}</NewerNoncurrentVersions>" if newer else ""
    return f"<NoncurrentVersionExpiration><NoncurrentDays>{days}</NoncurrentDays>{more}</NoncurrentVersionExpiration>"


def days(text: str) -> str:
    return f"<Expiration><Days>{text}</Days></Expiration>"


def date(text: str) -> str:
    return f"<Expiration><Date>{text}</Date></Expiration>"


def one_of(predicates: str) -> str:
    return f"<Filter>{predicates}</Filter>"


def all_of(predicates: str) -> str:
    return f"<Filter><And>{predicates}</And></Filter>"


def size(greater: object = None, less: object = None) -> str:
    parts = (("ObjectSizeGreaterThan", greater), ("ObjectSizeLessThan", less))
    return "".join(f"<{name}>{value}</{name}>" for name, value in parts if value is not None)


MALFORMED = ("MalformedXML", "The XML you provided was not well-formed")

REFUSED: dict[str, tuple[str, tuple[str, str]]] = {
    "no rule": ("", ("InvalidRequest", "At least one lifecycle rule must be specified.")),
    "too many rules": (rule(DAYS) * 1001, ("InvalidRequest", "must not exceed the allowed limit of 1000")),
    "unknown element of the root": ("<Other/>", MALFORMED),
    "unknown element of a rule": (rule(DAYS, "<Other/>"), MALFORMED),
    "two expirations": (rule(DAYS, DAYS), MALFORMED),
    "no status": (rule(DAYS, status=""), MALFORMED),
    "status in lower case": (rule(DAYS, status="<Status>enabled</Status>"), MALFORMED),
    "status with children": (rule(DAYS, status="<Status><A/></Status>"), MALFORMED),
    "neither filter nor prefix": (rule(DAYS, where=""), MALFORMED),
    "filter and prefix": (rule(DAYS, where="<Filter/><Prefix/>"), MALFORMED),
    "forms mixed, old first": (
        rule(DAYS, where="<Prefix>a</Prefix>") + rule(DAYS),
        ("InvalidRequest", "Filter element can only be used in Lifecycle V2."),
    ),
    "forms mixed, new first": (
        rule(DAYS) + rule(DAYS, where="<Prefix>a</Prefix>"),
        ("InvalidRequest", "Base level prefix cannot be used in Lifecycle V2"),
    ),
    "no action": (rule(), ("InvalidRequest", "At least one action needs to be specified in a rule")),
    "long id": (
        rule(DAYS, name=f"<ID>{'i' * 256}</ID>"),
        ("InvalidArgument", "ID length should not exceed allowed limit of 255"),
    ),
    "same id": (rule(DAYS, name="<ID>i</ID>") * 2, ("InvalidArgument", "Rule ID must be unique.")),
    "long prefix": (
        rule(DAYS, where=one_of(f"<Prefix>{'é' * 513}</Prefix>")),
        ("InvalidRequest", "The maximum size of a prefix is 1024."),
    ),
    "two predicates": (rule(DAYS, where=one_of("<Prefix>a</Prefix>" + TAG.format("k"))), MALFORMED),
    "two tags without And": (rule(DAYS, where=one_of(TAG.format("k") + TAG.format("l"))), MALFORMED),
    "And of one": (rule(DAYS, where=all_of("<Prefix>a</Prefix>")), MALFORMED),
    "empty And": (rule(DAYS, where=all_of("")), MALFORMED),
    "And in And": (rule(DAYS, where=all_of("<And/><Prefix/>")), MALFORMED),
    "And beside a prefix": (rule(DAYS, where="<Filter><Prefix/><And/></Filter>"), MALFORMED),
    "same tag twice": (
        rule(DAYS, where=all_of(TAG.format("k") * 2)),
        ("InvalidRequest", "Duplicate Tag Keys are not allowed."),
    ),
    "tag without a key": (rule(DAYS, where=one_of("<Tag><Value>v</Value></Tag>")), ("InvalidTag", "TagKey")),
    "tag with a long key": (rule(DAYS, where=one_of(TAG.format("k" * 129))), ("InvalidTag", "TagKey")),
    "tag with a long value": (
        rule(DAYS, where=one_of(f"<Tag><Key>k</Key><Value>{'v' * 257}</Value></Tag>")),
        ("InvalidTag", "TagValue"),
    ),
    "size below zero": (rule(DAYS, where=one_of(size(greater=-1))), ("InvalidRequest", "between 0 and")),
    "size less than 0": (
        rule(DAYS, where=one_of(size(less=0))),
        ("InvalidRequest", "'ObjectSizeLessThan' should be between 1 and 1099511627776000."),
    ),
    "size beyond all": (rule(DAYS, where=one_of(size(greater=2**60))), ("InvalidRequest", "between")),
    "size no number": (rule(DAYS, where=one_of(size(greater="1e3"))), MALFORMED),
    "sizes that exclude each other": (
        rule(DAYS, where=all_of(size(10, 10))),
        ("InvalidRequest", "'ObjectSizeLessThan' has to be a value greater than 'ObjectSizeGreaterThan'."),
    ),
    "empty expiration": (rule("<Expiration/>"), MALFORMED),
    "days and date": (
        rule("<Expiration><Days>1</Days><Date>2030-01-01T00:00:00Z</Date></Expiration>"),
        MALFORMED,
    ),
    "days and marker": (
        rule(
            "<Expiration><Days>1</Days><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>"
        ),
        MALFORMED,
    ),
    "days 0": (
        rule(days("0")),
        ("InvalidArgument", "'Days' for Expiration action must be a positive integer"),
    ),
    "days below 0": (rule(days("-1")), ("InvalidArgument", "'Days' for Expiration")),
    "days no number": (rule(days("one")), MALFORMED),
    "days empty": (rule(days("")), MALFORMED),
    "days fraction": (rule(days("1.5")), MALFORMED),
    "days in other digits": (rule(days("٣")), MALFORMED),
    "days beyond all": (rule(days(str(2**31))), MALFORMED),
    "date at noon": (
        rule(date("2030-01-01T12:00:00Z")),
        ("InvalidArgument", "'Date' must be at midnight GMT"),
    ),
    "date at somebody's midnight": (
        rule(date("2030-01-01T00:00:00+01:00")),
        ("InvalidArgument", "'Date' must be at midnight GMT"),
    ),
    "date of HTTP": (rule(date("Fri, 01 Jan 2016 00:00:00 GMT")), MALFORMED),
    "date that is none": (rule(date("2030-02-30T00:00:00Z")), MALFORMED),
    "marker no boolean": (rule(MARKER.format("yes")), MALFORMED),
    "marker by tag": (
        rule(MARKER.format("false"), where=one_of(TAG.format("k"))),
        ("InvalidRequest", "ExpiredObjectDeleteMarker cannot be specified with Tags."),
    ),
    "marker by size": (
        rule(MARKER.format("true"), where=one_of(size(less=1))),
        ("InvalidRequest", "ExpiredObjectDeleteMarker cannot be specified with Object Size."),
    ),
    "empty noncurrent": (rule("<NoncurrentVersionExpiration/>"), MALFORMED),
    "noncurrent 0": (
        rule(noncurrent("0")),
        (
            "InvalidArgument",
            "'NoncurrentDays' for NoncurrentVersionExpiration action must be a positive integer",
        ),
    ),
    "newer without days": (
        rule(
            "<NoncurrentVersionExpiration><NewerNoncurrentVersions>1</NewerNoncurrentVersions></NoncurrentVersionExpiration>"
        ),
        MALFORMED,
    ),
    "newer 0": (
        rule(noncurrent("1", "0")),
        ("InvalidArgument", "'NewerNoncurrentVersions' for NoncurrentVersionExpiration"),
    ),
    "newer 101": (rule(noncurrent("1", "101")), ("InvalidArgument", "between 1 and 100")),
    "newer in the old form": (
        rule(noncurrent("1", "1"), where="<Prefix/>"),
        ("InvalidRequest", "NewerNoncurrentVersions element can only be used in Lifecycle V2."),
    ),
    "empty abort": (rule("<AbortIncompleteMultipartUpload/>"), MALFORMED),
    "abort 0": (
        rule(ABORT.replace("2", "0")),
        (
            "InvalidArgument",
            "'DaysAfterInitiation' for AbortIncompleteMultipartUpload action must be a positive integer",
        ),
    ),
    "abort by tag": (
        rule(ABORT, where=one_of(TAG.format("k"))),
        ("InvalidRequest", "AbortIncompleteMultipartUpload cannot be specified with Tags."),
    ),
    "abort by size": (
        rule(ABORT, where=one_of(size(greater=1))),
        ("InvalidRequest", "AbortIncompleteMultipartUpload cannot be specified with Object Size."),
    ),
    "transition": (
        rule("<Transition><Days>1</Days><StorageClass>GLACIER</StorageClass></Transition>", DAYS),
        ("NotImplemented", "Transitions are not implemented"),
    ),
    "transition of noncurrent versions": (
        rule(DAYS)
        + rule(
            "<NoncurrentVersionTransition><NoncurrentDays>1</NoncurrentDays>"
            "<StorageClass>GLACIER</StorageClass></NoncurrentVersionTransition>"
        ),
        ("NotImplemented", "Transitions are not implemented"),
    ),
    "transition without another action": (
        rule("<Transition><Days>0</Days><StorageClass>GLACIER</StorageClass></Transition>"),
        ("NotImplemented", "Transitions are not implemented"),
    ),
    "transition to no storage class": (
        rule("<Transition><Days>1</Days><StorageClass>CELLAR</StorageClass></Transition>"),
        ("MalformedXML", ""),
    ),
    "transition without a time": (
        rule("<Transition><StorageClass>GLACIER</StorageClass></Transition>"),
        ("MalformedXML", ""),
    ),
    "transition before the beginning": (
        rule("<Transition><Days>-1</Days><StorageClass>GLACIER</StorageClass></Transition>"),
        ("InvalidArgument", "'Days' for Transition action must be nonnegative"),
    ),
    "transition at noon": (
        rule(
            "<Transition><Date>2030-01-01T12:00:00Z</Date><StorageClass>GLACIER</StorageClass></Transition>"
        ),
        ("InvalidArgument", "'Date' must be at midnight GMT"),
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    rules, (code, message) = REFUSED[case]
    with pytest.raises(S3Error) as caught:
        read(rules)
    assert caught.value.code == code
    assert message in caught.value.message


@pytest.mark.parametrize(
    "data",
    [b"x", b"<Other/>", b"<LifecycleConfiguration>", configuration(rule(DAYS)).replace(b"Days", b"Day", 1)],
)
def test_no_such_document(data: bytes) -> None:
    with pytest.raises(S3Error) as caught:
        lifecycle.read(data, context())
    assert caught.value.code == "MalformedXML"


ACCEPTED: dict[str, tuple[str, Rule]] = {
    "days": (rule(days(" 3 ")), Rule("", True, Filter(), days=3)),
    "the most days": (rule(days(str(2**31 - 1))), Rule("", True, Filter(), days=2**31 - 1)),
    "disabled": (rule(DAYS, status="<Status>Disabled</Status>"), Rule("", False, Filter(), days=3)),
    "date": (rule(date("1970-01-03T00:00:00.000Z")), Rule("", True, Filter(), date=2 * 86_400_000)),
    "date alone": (rule(date("1970-01-03")), Rule("", True, Filter(), date=2 * 86_400_000)),
    "midnight told from elsewhere": (
        rule(date("1970-01-03T01:00:00+01:00")),
        Rule("", True, Filter(), date=2 * 86_400_000),
    ),
    "marker": (rule(MARKER.format("true")), Rule("", True, Filter(), expired_marker=True)),
    "no marker": (rule(MARKER.format("false")), Rule("", True, Filter())),
    "noncurrent": (
        rule(noncurrent("5", "100")),
        Rule("", True, Filter(), noncurrent_days=5, newer_noncurrent=100),
    ),
    "abort": (
        rule(ABORT, where=one_of("<Prefix>a/</Prefix>")),
        Rule("", True, Filter("a/"), abort_days=2),
    ),
    "old form": (rule(DAYS, where="<Prefix> a</Prefix>"), Rule("", True, Filter(" a"), days=3)),
    "tag": (rule(DAYS, where=one_of(TAG.format("k"))), Rule("", True, Filter(tags=(("k", "v"),)), days=3)),
    "tag without a value": (
        rule(DAYS, where=one_of("<Tag><Key>k</Key></Tag>")),
        Rule("", True, Filter(tags=(("k", ""),)), days=3),
    ),
    "all": (
        rule(DAYS, where=all_of(f"{TAG.format('k')}<Prefix>a</Prefix>{TAG.format('l')}{size(1, 9)}")),
        Rule("", True, Filter("a", (("k", "v"), ("l", "v")), 1, 9), days=3),
    ),
    "And with an empty prefix": (
        rule(DAYS, where=all_of("<Prefix/>" + size(greater=0))),
        Rule("", True, Filter(larger_than=0), days=3),
    ),
    "several actions": (
        rule(DAYS, noncurrent("1"), ABORT),
        Rule("", True, Filter(), days=3, noncurrent_days=1, abort_days=2),
    ),
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_accepted(case: str) -> None:
    text, expected = ACCEPTED[case]
    found = only(text)
    assert found == Rule(found.id, *(getattr(expected, name) for name in Rule.__slots__ if name != "id"))


def test_a_thousand_rules_and_only_the_enabled_are_active() -> None:
    rules = [
        rule(DAYS, status=f"<Status>{'Enabled' if number % 2 else 'Disabled'}</Status>")
        for number in range(1000)
    ]
    loaded = lifecycle.load(read(*rules))
    assert len(loaded.rules) == 1000
    assert len({found.id for found in loaded.rules}) == 1000
    assert loaded.active == tuple(found for found in loaded.rules if found.enabled)
    assert len(loaded.active) == 500


def test_an_id_is_made_where_there_is_none_and_stays() -> None:
    for name in ("", "<ID/>"):
        text = read(rule(DAYS, name=name))
        assert len(lifecycle.load(text).rules[0].id) == 48
        assert lifecycle.load(text).rules[0].id in lifecycle.show(text).decode()
    assert only(rule(DAYS, name="<ID>Delete after 3 days</ID>")).id == "Delete after 3 days"


def test_the_document_that_get_answers_has_the_order_of_s3_and_nothing_else() -> None:
    sent = configuration(
        "\n<Rule> <Expiration>\n<Days>3</Days></Expiration><Status>Enabled</Status>"
        "<Filter><And><Tag><Value>&lt;</Value><Key>k</Key></Tag><Prefix>a&#13;</Prefix></And></Filter>"
        "<ID>1</ID></Rule>"
    )
    assert lifecycle.show(lifecycle.read(sent, context())) == xml.document(
        "LifecycleConfiguration",
        xml.Markup(
            "<Rule><ID>1</ID><Filter><And><Prefix>a&#13;</Prefix><Tag><Key>k</Key><Value>&lt;</Value></Tag></And></Filter>"
            "<Status>Enabled</Status><Expiration><Days>3</Days></Expiration></Rule>"
        ),
    )


def test_what_is_shown_may_be_put_again() -> None:
    shown = lifecycle.show(
        read(rule(DAYS, ABORT, where=one_of("<Prefix>a</Prefix>")), rule(noncurrent("1", "2")))
    )
    assert lifecycle.show(lifecycle.read(shown, context())) == shown


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff")))
def test_any_prefix_survives(prefix: str) -> None:
    where = one_of(xml.element("Prefix", prefix))
    if len(prefix.encode()) <= 1024:
        assert only(rule(DAYS, where=where)).filter.prefix == prefix


def test_the_minimum_size_of_transitions_is_told_again() -> None:
    def headers(**sent: str) -> dict[str, str]:
        return lifecycle.headers(lifecycle.read(configuration(rule(DAYS)), context(**sent)))

    name = "x-amz-transition-default-minimum-object-size"
    assert headers() == {name: "all_storage_classes_128K"}
    assert headers(**{name.replace("-", "_"): "varies_by_storage_class"}) == {name: "varies_by_storage_class"}
    with pytest.raises(S3Error) as caught:
        headers(**{name.replace("-", "_"): "a\r\nb: c"})
    assert caught.value.code == "InvalidRequest"
