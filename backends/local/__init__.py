"""The local backend: an ordered index and bodies in one directory."""

from backends.local.index import Layout
from backends.local.schema import UnknownSchema
from backends.local.store import LocalBackend

__all__ = ["Layout", "LocalBackend", "UnknownSchema"]
