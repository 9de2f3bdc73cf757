"""The file under the credential store: read if changed, append one line under a lock."""

import errno
import fcntl
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from auth.credential import Credential, check_account, check_pair

log = logging.getLogger(__name__)

FILE_MODE = 0o600
DIRECTORY_MODE = 0o700


class Stamp(NamedTuple):
    """What tells one state of a file from another."""

    mtime_ns: int
    size: int
    inode: int


def stamp_of(status: os.stat_result) -> Stamp:
    """The stamp of a file's status."""
    return Stamp(status.st_mtime_ns, status.st_size, status.st_ino)


def read(path: Path, unless: Stamp | None) -> tuple[Stamp, bytes] | None:
    """Stamp and content of a file; None if its stamp is still `unless`. Raises OSError.

    The stamp is taken before the content, so that a line appended meanwhile shows as a change next time.
    """
    if unless is not None and stamp_of(path.stat()) == unless:
        return None
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        if status.st_mode & 0o077:
            log.warning("%s: others than its owner may read it; use chmod 600", path)
        return stamp_of(status), file.read()


def parse(data: bytes, path: Path | None = None) -> tuple[dict[str, Credential], int]:
    """The credentials of a file by access key, and the number of its bad lines; with a path, each of them is warned of.

    A bad line that names a key puts it out of use, until a later line (`UNUSABLE`).
    """
    entries: dict[str, Credential] = {}
    bad_lines = 0
    for number, line in enumerate(data.split(b"\n"), 1):
        if not line.strip():
            continue
        document: object = None
        try:
            document = json.loads(line)
            entry: Credential | None = _credential(document)
        except (ValueError, RecursionError):
            entry = _closed(document)
            bad_lines += 1
            if path is not None:
                log.warning("%s:%d: not a credential, skipped", path, number)
        if entry is not None:
            entries[entry.access_key] = entry
    return entries, bad_lines


UNUSABLE = "{}"
"""The policy of a key whose last line is no credential: no policy at all, so that the key may do nothing."""


def _closed(document: object) -> Credential | None:
    """What an unusable line leaves of the key that it names: what it should have narrowed must not stay as wide as it was."""
    key = document.get("access_key") if isinstance(document, dict) else None
    if not (isinstance(document, dict) and isinstance(key, str)):
        return None
    secret = document.get("secret_key")
    return Credential(key, secret if isinstance(secret, str) else "", enabled=False, policy=UNUSABLE)


_FIELDS: Mapping[str, tuple[type, Any]] = {
    "access_key": (str, None),
    "secret_key": (str, None),
    "created_at": (int, 0),
    "enabled": (bool, True),
    "description": (str, ""),
    "account": (str, ""),
}
"""Type and default of each field; without a default it must be there. Other fields are left alone."""


def _credential(document: object) -> Credential:
    if not isinstance(document, dict):
        raise ValueError("not an object")
    values = {name: document.get(name, default) for name, (_, default) in _FIELDS.items()}
    if any(type(values[name]) is not kind for name, (kind, _) in _FIELDS.items()):
        raise ValueError("a field is missing or of the wrong type")
    entry = Credential(**values, policy=_policy(document.get("policy")))
    check_pair(entry.access_key, entry.secret_key)
    check_account(entry.account)
    return entry


def _policy(document: object) -> str | None:
    """A policy in a line → its canonical text. Raises ValueError: a key whose policy cannot be read must not work."""
    if document is None:
        return None
    if not isinstance(document, dict):
        raise ValueError("the policy is not an object")
    return check_policy(json.dumps(document))


def check_policy(text: str) -> str:
    """The canonical JSON text of a policy. Raises ValueError, in a sentence for people, if it cannot be one."""
    from auth.policy import validate_identity_policy  # only where there are policies

    try:
        return json.dumps(json.loads(validate_identity_policy(text)), separators=(",", ":"))
    except ValueError as error:
        raise ValueError(f"The policy is not valid: {error}") from None


def record(credential: Credential) -> dict[str, object]:
    """A credential as the document of a line; what it does not have is left out."""
    document: dict[str, object] = asdict(credential)
    if not credential.account:
        del document["account"]
    if credential.policy is None:
        del document["policy"]
    else:
        document["policy"] = json.loads(credential.policy)
    return document


def append(
    path: Path, document: Mapping[str, object], *, unless: Callable[[bytes], bool] | None = None
) -> bool:
    """Append a line, whole or not at all, and wait until it is on the disk. Raises OSError.

    `unless` sees the content under the lock, and prevents the line by saying True. Says whether it was written.
    """
    make_directory(path.parent)
    with _locked(path) as file:
        content = _read_all(file)
        if unless is not None and unless(content):
            return False
        line = json.dumps(document).encode() + b"\n"
        if content and not content.endswith(b"\n"):
            line = b"\n" + line
        _write(file, line, len(content))
    return True


def make_directory(path: Path) -> None:
    """Make a directory and its parents, each for its owner only. Those that exist stay as they are."""
    for directory in (*reversed(path.parents), path):
        if not directory.exists():
            directory.mkdir(mode=DIRECTORY_MODE, exist_ok=True)


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """The open file under an exclusive lock; opened again if it was replaced while we waited."""
    while True:
        file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            if _is_at(file, path):
                yield file
                return
        finally:
            os.close(file)


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


def _read_all(file: int) -> bytes:
    content = bytearray()
    while piece := os.pread(file, 1 << 20, len(content)):
        content += piece
    return bytes(content)


def _write(file: int, line: bytes, end: int) -> None:
    """Write in one piece; what a full disk cut short is taken back."""
    try:
        if os.write(file, line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(file)
    except OSError:
        os.ftruncate(file, end)
        raise
