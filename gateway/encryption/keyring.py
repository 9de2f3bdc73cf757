"""The key ring: a JSONL file of keys, the last line of an id counting, read again when it changes.

A line: `{"id": "...", "key": "BASE64 OF 32 BYTES", "created_at": 1790000000, "enabled": true, "kind": "master",
"description": ""}`. Lines are only ever appended, under a lock, so that several processes may write, and a reader needs
none. Whatever cannot be read is an error: nothing is encrypted or decrypted by half of a key ring.

The newest enabled master key wraps data keys, the older ones only unwrap. $S3GW_MASTER_KEY takes the place of the
master keys in the file: several with commas between them, the first of which wraps.
"""

import hashlib
import json
import os
import re
import secrets
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from auth.jsonl import Stamp, append, read
from gateway.encryption.record import Mode, Record
from gateway.errors import KMSDisabledException, KMSNotFoundException

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

ENVIRONMENT = "S3GW_MASTER_KEY"
DEFAULT_KMS = "aws/s3"
"""The KMS key of requests that name none; made at its first use, as on AWS."""
KEY_BYTES = 32
_SALT_BYTES = 16
_WRAP = b"s3gw wrap v1"
_NONCE = bytes(12)  # each wrap has a key of its own
_ID = "[A-Za-z0-9][A-Za-z0-9_-]{0,127}"
_NAME = re.compile(rf"(?:arn:aws[a-z-]*:kms:[^:]*:[^:]*:)?(?:key/|alias/)?(aws/s3|{_ID})")

Kind = Literal["master", "kms"]
_KINDS: Mapping[Mode, Kind] = {Mode.S3: "master", Mode.KMS: "kms"}


class KeyRingError(Exception):
    """The key ring cannot do what is asked: it is unreadable, or lacks the key. The request fails, nothing is stored."""


@dataclass(frozen=True, slots=True)
class Key:
    """One line: `key` is base64 of 32 bytes, `created_at` Unix seconds."""

    id: str
    key: str = field(repr=False)
    created_at: int
    enabled: bool
    kind: Kind
    description: str = ""

    @property
    def secret(self) -> bytes:
        """The 32 bytes."""
        return b64decode(self.key)


class KeyRing:
    """The keys of one process. Making one costs nothing; the file and the library are touched at the first use."""

    def __init__(self, path: Path, environment: Mapping[str, str] = os.environ) -> None:
        self.path = path
        self._environment = environment
        self._stamp: Stamp | None = None
        self._keys: dict[str, Key] = {}

    def all(self) -> list[Key]:
        """All keys, oldest first; those of the environment at the end, the one that wraps last. Raises KeyRingError."""
        self._refresh()
        return [*self._keys.values(), *reversed(environment_keys(self._environment))]

    def master(self) -> Key:
        """The master key that wraps; made if there is none. Raises KeyRingError."""
        own = environment_keys(self._environment)
        if own:
            return own[0]
        self._refresh()
        return _newest(self._keys) or self._first_master()

    def kms(self, name: str) -> Key:
        """The KMS key of an id or ARN (empty: the default one). Raises KMS.NotFoundException, KMS.DisabledException."""
        match = _NAME.fullmatch(name or DEFAULT_KMS)
        key = self._find(match[1]) if match else None
        if key is None and match and match[1] == DEFAULT_KMS:
            key = self._add_unless_there(_new(DEFAULT_KMS, "kms", "made at its first use"))
        if key is None or key.kind != "kms":
            raise KMSNotFoundException(f"Key '{name}' does not exist")
        if not key.enabled:
            raise KMSDisabledException(f"{name or DEFAULT_KMS} is disabled.")
        return key

    def wrap(self, record: Record, data_key: bytes) -> Record:
        """The record with its data key, wrapped by the KMS key that it names or by the newest master key.

        Raises KeyRingError, KMS.NotFoundException, KMS.DisabledException.
        """
        key = self.kms(record.kms) if record.mode is Mode.KMS else self.master()
        record = replace(record, id=key.id)
        salt = secrets.token_bytes(_SALT_BYTES)
        wrapped = _cipher(key, salt).encrypt(_NONCE, data_key, record.bound())
        return replace(record, key=b64encode(salt + wrapped).decode())

    def unwrap(self, record: Record) -> bytes:
        """The data key of a record. Raises KeyRingError, KMS.DisabledException."""
        from cryptography.exceptions import InvalidTag

        wrapped = b64decode(record.key)
        salt, sealed = wrapped[:_SALT_BYTES], wrapped[_SALT_BYTES:]
        try:
            return _cipher(self._of(record), salt).decrypt(_NONCE, sealed, record.bound())
        except InvalidTag:
            raise KeyRingError(f"key {record.id} does not open what it should have wrapped") from None

    def add_master(self, description: str = "") -> Key:
        """Make a master key, which wraps from now on. Raises KeyRingError, OSError."""
        return self._append(_new(f"m-{secrets.token_hex(8)}", "master", description))

    def add_kms(self, name: str, description: str = "") -> Key:
        """Add a KMS key. Raises ValueError for an id that is taken or cannot be one, KeyRingError, OSError."""
        if not re.fullmatch(_ID, name):
            raise ValueError("an id has 1 to 128 letters, digits, - and _, and begins with a letter or digit")
        key = _new(name, "kms", description)
        if self._add_unless_there(key) != key:
            raise ValueError(f"there is a key {name} already")
        return key

    def set_enabled(self, name: str, enabled: bool) -> Key:
        """Enable or disable a key of the file. Raises KeyError, KeyRingError, OSError."""
        self._refresh()
        return self._append(replace(self._keys[name], enabled=enabled))

    def _of(self, record: Record) -> Key:
        key = self._find(record.id)
        if key is None or key.kind != _KINDS.get(record.mode):
            raise KeyRingError(f"the key ring {self.path} has no {record.mode} key {record.id}")
        if key.enabled:
            return key
        if key.kind == "kms":
            raise KMSDisabledException(f"{record.kms} is disabled.")
        raise KeyRingError(f"master key {record.id} is disabled")

    def _find(self, name: str) -> Key | None:
        own = next((key for key in environment_keys(self._environment) if key.id == name), None)
        if own is not None:
            return own
        self._refresh()
        return self._keys.get(name)

    def _refresh(self) -> None:
        """Read the file if it changed. A missing one is empty, unless it was there before."""
        try:
            found = read(self.path, self._stamp)
        except FileNotFoundError:
            if self._stamp is not None:
                raise KeyRingError(f"the key ring {self.path} has vanished") from None
            return
        except OSError as error:
            raise KeyRingError(f"the key ring {self.path} cannot be read: {error.strerror}") from error
        if found is not None:
            stamp, data = found
            self._keys = parse(data, self.path)
            self._stamp = stamp

    def _first_master(self) -> Key:
        """Several processes may be here at once: the lock decides whose key it is."""
        key = _new(f"m-{secrets.token_hex(8)}", "master", "made at the first use")
        self._append(key, unless=lambda keys: _newest(keys) is not None)
        newest = _newest(self._keys)
        assert newest is not None
        return newest

    def _add_unless_there(self, key: Key) -> Key:
        self._append(key, unless=lambda keys: key.id in keys)
        return self._keys[key.id]

    def _append(self, key: Key, unless: Callable[[Mapping[str, Key]], bool] = lambda _: False) -> Key:
        try:
            append(self.path, asdict(key), unless=lambda data: unless(parse(data, self.path)))
            _sync_directory(self.path.parent)
        except OSError as error:
            raise KeyRingError(f"the key ring {self.path} cannot be written: {error.strerror}") from error
        self._refresh()
        return key


def parse(data: bytes, path: Path) -> dict[str, Key]:
    """The keys of a file by id, in the order in which they were made. Raises KeyRingError for a line that is none."""
    keys: dict[str, Key] = {}
    for number, line in enumerate(data.split(b"\n"), 1):
        if line.strip():
            try:
                key = _key(json.loads(line))
            except (ValueError, TypeError, RecursionError):
                raise KeyRingError(f"{path}:{number}: not a key") from None
            keys[key.id] = key
    return keys


def _key(found: object) -> Key:
    if not isinstance(found, dict):
        raise ValueError("not an object")
    key = Key(**found)
    _check_secret(key.key)
    texts = all(isinstance(value, str) for value in (key.id, key.description))
    if not texts or key.kind not in ("master", "kms") or type(key.enabled) is not bool:
        raise ValueError("a field is missing or of the wrong type")
    return key


def environment_keys(environment: Mapping[str, str]) -> list[Key]:
    """The master keys of the environment, the one that wraps first. Raises KeyRingError."""
    value = environment.get(ENVIRONMENT)
    if not value:
        return []
    try:
        secret_keys = [_check_secret(text.strip()) for text in value.split(",")]
    except ValueError as error:
        raise KeyRingError(f"{ENVIRONMENT}: {error}") from None
    return [
        Key(_fingerprint(key), b64encode(key).decode(), 0, True, "master", "of the environment")
        for key in secret_keys
    ]


def _check_secret(text: str) -> bytes:
    """The 32 bytes of base64. Raises ValueError."""
    try:
        secret = b64decode(text, validate=True)
    except ValueError:
        secret = b""
    if len(secret) != KEY_BYTES:
        raise ValueError("expected base64 of 32 bytes")
    return secret


def _fingerprint(key: bytes) -> str:
    """The id of a key that has no line: the same in every process, and no help to find the key."""
    return f"e-{hashlib.sha256(b's3gw key id' + key).hexdigest()[:16]}"


def _newest(keys: Mapping[str, Key]) -> Key | None:
    masters = [key for key in keys.values() if key.kind == "master" and key.enabled]
    return masters[-1] if masters else None


def _new(name: str, kind: Kind, description: str) -> Key:
    secret = b64encode(secrets.token_bytes(KEY_BYTES)).decode()
    return Key(name, secret, int(time.time()), True, kind, description)


def _cipher(key: Key, salt: bytes) -> "AESGCM":
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    from gateway.encryption.frames import derive

    return AESGCM(derive(key.secret, salt, _WRAP))


def _sync_directory(path: Path) -> None:
    """A key that is in use must not be lost with the entry of its file."""
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
