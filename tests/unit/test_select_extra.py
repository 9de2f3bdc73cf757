"""Without the library the operation says that it is not there."""

import asyncio

from refusals import refused

from gateway.handlers import select


def test_without_duckdb(monkeypatch):
    monkeypatch.setattr(select, "find_spec", lambda _: None)
    with refused("NotImplemented"):
        asyncio.run(select.select_object_content(None))
