"""Every backend, for the one suite that runs on all of them."""

from collections.abc import AsyncIterator, Callable

import pytest

from backends.local import LocalBackend
from backends.memory import MemoryBackend

BACKENDS: dict[str, Callable] = {
    "memory": lambda path: MemoryBackend(),
    "local-full": lambda path: LocalBackend.open(path, durability="full"),
    "local-relaxed": lambda path: LocalBackend.open(path, durability="relaxed"),
}


@pytest.fixture(params=BACKENDS)
async def empty(request, tmp_path) -> AsyncIterator:
    """A backend without a bucket."""
    backend = BACKENDS[request.param](tmp_path / "store")
    yield backend
    await backend.aclose()


@pytest.fixture
async def store(empty):
    """A backend with the bucket `b`."""
    await empty.create_bucket("b")
    return empty
