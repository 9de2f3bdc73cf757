"""The operations table against botocore's model, and how requests find their row."""

import re

import botocore.session
import pytest
from scopes import request

from auth.access import Question, may
from auth.acl import canned
from auth.identity import ANONYMOUS, Identity
from gateway.context import Level, not_implemented
from gateway.errors import S3Error
from gateway.operations import OPERATIONS, UNKNOWN, resolve

MODEL = botocore.session.get_session().get_service_model("s3")
ROWS = {name: row for row in OPERATIONS for name in (row.name, *row.aliases)}
NOT_IN_MODEL = {"PostObject"}


def test_every_operation_of_the_model_has_a_row():
    assert set(MODEL.operation_names) - set(ROWS) == set()


def test_every_row_is_an_operation_of_the_model():
    assert set(ROWS) - set(MODEL.operation_names) == NOT_IN_MODEL


@pytest.mark.parametrize("name", MODEL.operation_names)
def test_method_and_level_are_those_of_the_model(name):
    http = MODEL.operation_model(name).http
    path = http["requestUri"].partition("?")[0]
    level = Level.OBJECT if "{Key+}" in path else Level.SERVICE if path == "/" else Level.BUCKET
    assert (ROWS[name].method, ROWS[name].level) == (http["method"], level)


@pytest.mark.parametrize("name", MODEL.operation_names)
def test_the_models_own_request_finds_the_row(name):
    operation = MODEL.operation_model(name)
    shape = operation.input_shape
    target = re.sub(r"\{Key\+\}", "key", operation.http["requestUri"].replace("{Bucket}", "bucket"))
    query, headers = [], {}
    for member in shape.required_members if shape else ():
        where = shape.members[member].serialization
        if where.get("location") == "querystring":
            query.append(f"{where['name']}=1")
        elif where.get("location") == "header":
            headers[where["name"].lower()] = "x"
    if query:
        target += ("&" if "?" in target else "?") + "&".join(query)
    row = resolve(request(operation.http["method"], target, headers))
    assert row is ROWS[name]


def test_selectors_are_unique():
    keys = [(row.method, row.level, row.selector) for row in OPERATIONS]
    assert len(keys) == len(set(keys))


WRITES = [
    row
    for row in OPERATIONS
    if row.method in ("PUT", "POST", "DELETE") and row.selector not in ("", "copy", "route")
]


@pytest.mark.parametrize("row", WRITES, ids=lambda row: row.name)
def test_a_subresource_never_falls_through_to_the_plain_operation(row):
    plain = {"PutObject", "CreateBucket", "DeleteObject", "DeleteBucket", "CopyObject"} - {row.name}
    path = "/bucket/key" if row.level is Level.OBJECT else "/bucket"
    query = "&".join(f"{word}=1" for word in row.selector.split() if word != "copy")
    for method in ("PUT", "POST", "DELETE"):
        try:
            found = resolve(
                request(method, f"{path}?{query}" if query else path, {"x-amz-copy-source": "b/k"})
            )
        except S3Error as error:
            assert error.status in (400, 405)
        else:
            assert found.name not in plain


@pytest.mark.parametrize(
    "target", ["/bucket/key?newThing", "/bucket/key?newThing=1&versionId=null", "/bucket?newThing"]
)
@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_an_unknown_parameter_on_a_write_is_not_implemented(method, target):
    assert resolve(request(method, target)).handler is not_implemented


@pytest.mark.parametrize(
    "target", ["/bucket/key?x-id=PutObject", "/bucket/key?X-Amz-Expires=5&X-Amz-Signature=0"]
)
def test_parameters_of_sdks_and_signatures_refine_nothing(target):
    assert resolve(request("PUT", target)).name == "PutObject"


@pytest.mark.parametrize(
    ("method", "target", "code"),
    [
        ("GET", "/bucket?acl&tagging", "InvalidArgument"),
        ("PATCH", "/bucket/key", "MethodNotAllowed"),
        ("DELETE", "/", "MethodNotAllowed"),
        ("PUT", "/", "MethodNotAllowed"),
        ("PUT", "/bucket?location", "MethodNotAllowed"),
        ("PUT", "/bucket/key?uploads", "MethodNotAllowed"),
    ],
)
def test_requests_without_a_row(method, target, code):
    with pytest.raises(S3Error) as caught:
        resolve(request(method, target))
    assert caught.value.code == code


@pytest.mark.parametrize("row", [*OPERATIONS, UNKNOWN], ids=lambda row: row.name)
def test_the_account_may_do_every_operation(row):
    """A row whose action is no action would answer 403 where 501 is meant."""
    may(Question(Identity("AKIAIOSFODNN7EXAMPLE"), row.action))


def test_nobody_learns_what_is_not_implemented():
    with pytest.raises(S3Error, match="AccessDenied"):
        public = canned("public-read", "owner", "owner")
        may(
            Question(ANONYMOUS, UNKNOWN.action, anonymous="public-read", bucket_acl=public, object_acl=public)
        )


def refused(method, target, headers=None):
    with pytest.raises(S3Error) as caught:
        resolve(request(method, target, headers))
    return caught.value


@pytest.mark.parametrize(("target", "level"), [("/", "SERVICE"), ("/b", "BUCKET"), ("/b/k", "OBJECT")])
def test_a_method_that_is_not_allowed_names_the_resource(target, level):
    error = refused("PATCH", target)
    assert (error.status, error.fields) == (405, {"Method": "PATCH", "ResourceType": level})
    assert "PUT" in error.headers["allow"]


@pytest.mark.parametrize("headers", [{}, {"x-amz-copy-source": "b/k"}])
def test_a_part_needs_its_number_and_an_upload(headers):
    error = refused("PUT", "/b/k?uploadId=u", headers)
    assert (error.status, error.fields) == (405, {"Method": "PUT", "ResourceType": "UPLOAD"})
    assert error.headers["allow"] == "DELETE, GET, POST"
    error = refused("PUT", "/b/k?partNumber=1", headers)
    assert (error.status, error.code, error.fields["ArgumentName"]) == (400, "InvalidArgument", "partNumber")


@pytest.mark.parametrize("word", ["uploads", "versions"])
def test_a_key_has_no_lists(word):
    error = refused("GET", f"/b/k?{word}")
    assert (error.status, error.code) == (400, "InvalidRequest")
    assert f"?{word} sub" in error.message


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/b"),
        ("GET", "/b/k"),
        ("HEAD", "/b/k"),
        ("DELETE", "/b/k?versionId=null"),
        ("POST", "/b/k?uploadId=u"),
        ("POST", "/b?uploadId=u"),
        ("PUT", "/b/k?acl"),
    ],
)
def test_a_copy_source_is_for_copies(method, target):
    error = refused(method, target, {"x-amz-copy-source": "b/k"})
    assert (error.status, error.code) == (400, "InvalidArgument")
    assert error.fields == {"ArgumentName": "x-amz-copy-source", "ArgumentValue": "b/k"}
