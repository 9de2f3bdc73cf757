"""How the suite says which error it expects."""

import contextlib
from collections.abc import Iterator

import pytest

from gateway.errors import S3Error


@contextlib.contextmanager
def refused(code: str, **fields: object) -> Iterator[pytest.ExceptionInfo]:
    """The block raises this S3 error, with these fields among others."""
    with pytest.raises(S3Error) as caught:
        yield caught
    assert caught.value.code == code
    assert caught.value.fields.items() >= {name: str(value) for name, value in fields.items()}.items()
