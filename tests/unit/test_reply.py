"""Rendering and sending of answers, on a server that offers files as files and on one that does not."""

import os
import re

import pytest
from lxml import etree

from backends.base import Content, FileSpan, ObjectInfo, Span
from gateway.errors import ERRORS, InvalidRange, NoSuchKey, NotModified, RequestTimeTooSkewed
from gateway.reply import Reply, new_request_id, read_span, render_error, send_reply


class Files:
    def __init__(self, *spans):
        self.spans = spans
        self.closed = 0

    def __iter__(self):
        return iter(self.spans)

    def close(self):
        self.closed += 1


def scope(method="GET", extensions=()):
    return {"type": "http", "method": method, "extensions": {name: {} for name in extensions}}


async def sent(reply, **kwargs):
    messages = []

    async def send(message):
        messages.append(message)

    await send_reply(reply, "ID", scope(**kwargs), send, 4)
    return messages


def headers(messages):
    return {name.decode(): value.decode() for name, value in messages[0]["headers"]}


@pytest.fixture
def file(tmp_path):
    (tmp_path / "f").write_bytes(b"0123456789")
    fd = os.open(tmp_path / "f", os.O_RDONLY)
    yield fd
    os.close(fd)


def test_an_error_is_a_document_with_its_fields():
    reply = render_error(NoSuchKey(Key="a<b&c"), "/b/a%3Cb", "ID")
    root = etree.fromstring(reply.body)
    assert reply.status == 404
    assert {child.tag: child.text for child in root}["Key"] == "a<b&c"
    assert [child.tag for child in root][:2] == ["Code", "Message"]
    assert root.findtext("RequestId") == "ID"


def test_errors_carry_own_fields_and_headers():
    reply = render_error(RequestTimeTooSkewed(RequestTime="x", MaxAllowedSkewMilliseconds=900000), "/", "ID")
    assert b"<MaxAllowedSkewMilliseconds>900000</MaxAllowedSkewMilliseconds>" in reply.body
    error = InvalidRange(ActualObjectSize=3)
    error.headers["content-range"] = "bytes */3"
    assert render_error(error, "/", "ID").headers["content-range"] == "bytes */3"


def test_not_modified_has_no_body():
    assert render_error(NotModified(), "/", "ID").body == b""


def test_the_table_of_errors_is_sound():
    for code, kind in ERRORS.items():
        assert code == kind.code
        assert re.fullmatch(r"[A-Za-z0-9]+(\.[A-Za-z]+)?", code)
        assert 300 <= kind.status <= 599
        assert kind.message


def test_request_ids_differ_and_look_like_s3s():
    ids = {new_request_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(re.fullmatch(r"[0-9A-F]{16}", one) for one in ids)


async def test_every_answer_names_request_and_host():
    found = headers(await sent(Reply(200, {"a": "b"}, b"xy")))
    assert found["x-amz-request-id"] == "ID"
    assert found["x-amz-id-2"]
    assert found["content-length"] == "2"


async def test_head_has_the_length_but_no_body():
    messages = await sent(Reply(200, {}, length=7), method="HEAD")
    assert headers(messages)["content-length"] == "7"
    assert messages[1]["body"] == b""


@pytest.mark.parametrize("status", [204, 304])
async def test_no_length_where_there_is_no_body(status):
    assert "content-length" not in headers(await sent(Reply(status)))


async def test_an_empty_object_has_length_zero():
    assert headers(await sent(Reply(200, {}, b"", 0)))["content-length"] == "0"


async def test_files_go_as_files_where_the_server_can(file):
    body = Files(FileSpan(file, 0, 6), FileSpan(file, 8, 2))
    messages = await sent(Reply(200, {}, body, 8), extensions=["http.response.zerocopysend"])
    assert [(m["offset"], m["count"], m["more_body"]) for m in messages[1:]] == [(0, 6, True), (8, 2, False)]


async def test_files_are_read_in_chunks_elsewhere(file):
    messages = await sent(Reply(200, {}, Files(FileSpan(file, 0, 6), FileSpan(file, 8, 2)), 8))
    assert [m["body"] for m in messages[1:]] == [b"0123", b"45", b"89", b""]
    assert [m["more_body"] for m in messages[1:]] == [True, True, True, False]


async def test_streams_are_passed_on():
    async def stream():
        yield b"ab"
        yield b"c"

    messages = await sent(Reply(200, {}, stream(), 3))
    assert b"".join(m["body"] for m in messages[1:]) == b"abc"


async def test_content_is_closed_also_when_the_client_is_gone(file):
    body = Files(FileSpan(file, 0, 6))
    content = Content(ObjectInfo("k", 6, "e", 0), Span(0, 6), body, body.close)

    async def send(message):
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        await send_reply(Reply(200, {}, body, 6, content), "ID", scope(), send)
    assert body.closed == 1


async def test_a_file_that_became_shorter_is_an_error_not_a_short_answer(file):
    with pytest.raises(OSError, match="early"):
        await read_span(FileSpan(file, 5, 10))
