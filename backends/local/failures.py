"""What the client hears when the disk refuses."""

import errno
import logging
import sqlite3

from gateway.errors import InternalError, S3Error, ServiceUnavailable

log = logging.getLogger("backends.local")

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_SQLITE_NO_SPACE = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}


def is_storage(error: BaseException) -> bool:
    """Whether this is the disk's failure rather than a mistake in a single change."""
    if isinstance(error, sqlite3.Error):
        return _primary(error) in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_BUSY}
    return isinstance(error, OSError)


def refusal(error: BaseException) -> S3Error:
    """The S3 error for a failed change: 503 ServiceUnavailable when space is short (clients try again), else 500.

    A short write to the log looks like an I/O error to SQLite, so both count as a lack of space.
    """
    log.error("the store could not write: %r", error, exc_info=error)
    if isinstance(error, OSError) and error.errno in _NO_SPACE:
        return ServiceUnavailable("The store has no space left.")
    if isinstance(error, sqlite3.Error) and _primary(error) in _SQLITE_NO_SPACE:
        return ServiceUnavailable("The store cannot write at the moment.")
    return InternalError()


def _primary(error: sqlite3.Error) -> int:
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF
