"""Fixtures of the tests that speak to a running gateway."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from harness import ALICE, BOB, KEY, SECRET, Gateway, running, shared_gateway
from wire import Signer


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with the defaults, one per test process: take a bucket of your own."""
    server = shared_gateway(tmp_path_factory.mktemp("gateway"))
    try:
        yield server.start()
    except BaseException:
        server.stop(clean=False)
        raise
    server.stop()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Gateway]]:
    """Start gateways with settings of your own: `start(auth={"anonymous": "none"}).s3()`."""
    with ExitStack() as stack:

        def begin(
            environment: dict[str, str] | None = None, scheme: str = "http", **settings: Any
        ) -> Gateway:
            place = tmp_path / f"gateway-{uuid.uuid4().hex[:6]}"
            options = {"settings": settings, "environment": environment or {}, "scheme": scheme}
            return stack.enter_context(running(place, **options))

        yield begin


@pytest.fixture
def s3(gateway: Gateway) -> Any:
    """boto3's client of the shared gateway."""
    return gateway.s3()


@pytest.fixture
def name() -> str:
    """A bucket's name that nobody else uses."""
    return f"test-{uuid.uuid4().hex[:16]}"


@pytest.fixture
def bucket(s3: Any, name: str) -> str:
    """An empty bucket of the shared gateway."""
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture
def acl_bucket(s3: Any, name: str) -> str:
    """An empty bucket of the shared gateway in which ACLs count."""
    s3.create_bucket(Bucket=name, ObjectOwnership="ObjectWriter")
    return name


@pytest.fixture
def alice(gateway: Gateway) -> Any:
    """boto3's client of the shared gateway for an account of its own."""
    return gateway.s3("alice", key=ALICE[0], secret=ALICE[1])


@pytest.fixture
def bob(gateway: Gateway) -> Any:
    """The same for another account."""
    return gateway.s3("bob", key=BOB[0], secret=BOB[1])


@pytest.fixture
def signer() -> Signer:
    """Signs requests byte by byte as they will be sent."""
    return Signer(KEY, SECRET)
