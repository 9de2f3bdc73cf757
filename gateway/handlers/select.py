"""SelectObjectContent: the records of an object that an SQL expression chooses."""

from dataclasses import replace
from importlib.util import find_spec

from gateway.authorise import confirm
from gateway.context import Context
from gateway.encryption.service import opening_of
from gateway.errors import EmptyRequestBody, InvalidRequest, NotImplemented_
from gateway.handlers.parameters import object_ref
from gateway.reply import Reply


async def select_object_content(context: Context) -> Reply:
    """Answer an event stream; what is wrong before its first message is an error as everywhere."""
    if find_spec("duckdb") is None:
        raise NotImplemented_("SelectObjectContent needs the optional library duckdb.")
    # Only where it is used: nothing of this is needed to serve objects.
    from gateway.select.request import read_selection
    from gateway.select.runner import SELECTS
    from gateway.select.sql import parse

    if context.param("select-type") != "2":
        raise InvalidRequest("The parameter select-type must be 2.")
    data = await context.document()
    if not data:
        raise EmptyRequestBody()
    selection = read_selection(data)
    parse(selection.expression)
    content = await context.backend.open_object(object_ref(context))
    async with content:
        confirm(context, content.info)
        opening = opening_of(context, content.info)
        plain = content if opening is None else await opening.decrypted(content)
        query = await SELECTS.start(plain, selection, context.services.spool.directory)
    headers = {"content-type": "application/octet-stream", **(opening.headers if opening else {})}
    return Reply(200, headers, query.messages(), content=replace(content, close=query.close))
