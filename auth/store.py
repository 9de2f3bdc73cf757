"""The credential store: a JSONL file of key pairs, the last line of a key counting, read again when it changes.

A line: `{"access_key": "...", "secret_key": "...", "created_at": 1640995200, "enabled": true, "description": "..."}`, and
optionally `"account": "name"` (without it the key is the owner's of everything) and `"policy": {...}`.
Lines are only ever appended, so that several processes may write, and a reader needs no lock.
"""

import logging
import os
import secrets
import string
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path

from auth.credential import Credential, check_account, check_pair
from auth.identity import OWNER_ID, OWNER_NAME, account_number, canonical_id
from auth.jsonl import UNUSABLE, Stamp, append, check_policy, parse, read, record

__all__ = ["Credential", "CredentialStore", "StoreStats"]

log = logging.getLogger(__name__)

ENVIRONMENT = "Environment Variable"
ACCESS_KEY_NAMES = ("S3_ACCESS_KEY", "AWS_ACCESS_KEY_ID")
SECRET_KEY_NAMES = ("S3_SECRET_KEY", "AWS_SECRET_ACCESS_KEY")
_KEY_ALPHABET = string.ascii_uppercase + "234567"
_SECRET_ALPHABET = string.ascii_letters + string.digits + "+/"


@dataclass(frozen=True, slots=True)
class StoreStats:
    """The store at a glance. Times in Unix seconds, `age` in seconds since the last change, `size` in bytes.

    `state`: `ok`, `missing` (an empty store) or `unreadable` (what was read last still counts).
    """

    path: str
    state: str
    size: int
    entries: int
    enabled: int
    disabled: int
    bad_lines: int
    modified: float | None
    age: float | None
    loaded: float | None
    environment: bool


class CredentialStore:
    """All credentials of one process, and so its `Accounts`. Look-ups are dictionaries; everything else may touch the file."""

    def __init__(self, path: Path, *, environment: Mapping[str, str] = os.environ) -> None:
        self.path = path
        self._environment = environment
        self._own: Credential | None = None
        self._entries: dict[str, Credential] = {}
        self._enabled: dict[str, Credential] = {}
        self._names: dict[str, str] = {OWNER_ID: OWNER_NAME}
        self._principals: dict[str, str] = _principals_of("")
        self._bad_lines = 0
        self._stamp: Stamp | None = None
        self._loaded: float | None = None
        self._state = "missing"
        self._refreshing = threading.Lock()

    def load(self) -> None:
        """Read the file, and enter the environment's key pair into it if it is new. An unusable file is only logged."""
        self._own = own = environment_pair(self._environment)
        if own is not None:
            self._enabled = {**self._enabled, own.access_key: own}
        self.refresh(force=True)
        if own is not None:
            self._enter(own)

    def refresh(self, *, force: bool = False) -> bool:
        """Read the file if it changed; says whether it was read."""
        with self._refreshing:
            return self._refresh(force)

    def lookup(self, access_key: str) -> Credential | None:
        """The enabled credential of an access key, or None. No I/O."""
        return self._enabled.get(access_key)

    def account_name(self, canonical_id: str) -> str | None:
        """See `Accounts`."""
        return self._names.get(canonical_id)

    def account_id(self, name: str) -> str | None:
        """See `Accounts`."""
        found = self._principals.get(name)
        return found if found is not None and self._names.get(found) == name else None

    def account_of(self, principal: str) -> str | None:
        """See `Accounts`."""
        return self._principals.get(principal)

    def known_account(self, principal: str) -> bool:
        """See `Accounts`."""
        return principal in self._principals

    def credentials(self) -> list[Credential]:
        """All credentials of the file, in the order in which their keys first appeared, disabled ones too."""
        return list(self._entries.values())

    def add(
        self,
        access_key: str,
        secret_key: str,
        description: str = "",
        *,
        account: str | None = None,
        policy: str | None = None,
    ) -> Credential:
        """Add a pair, or replace the secret of a key. Raises ValueError (a pair that cannot be), OSError.

        `account` and `policy` (JSON): None keeps what the key has, empty is none. A new secret alone never widens what a
        key may do.
        """
        check_pair(access_key, secret_key)
        self.refresh()
        before = self._entries.get(access_key, Credential(access_key, secret_key))
        added = Credential(
            access_key,
            secret_key,
            int(time.time()),
            True,
            description,
            before.account if account is None else account,
            before.policy if policy is None else check_policy(policy) if policy else None,
        )
        check_account(added.account)
        return self._append(added)

    def generate(
        self, description: str = "", *, account: str | None = None, policy: str | None = None
    ) -> Credential:
        """Make a random pair and add it. Raises ValueError (account, policy), OSError."""
        access_key = "AKIA" + "".join(secrets.choice(_KEY_ALPHABET) for _ in range(16))
        secret_key = "".join(secrets.choice(_SECRET_ALPHABET) for _ in range(40))
        return self.add(access_key, secret_key, description, account=account, policy=policy)

    def set_enabled(self, access_key: str, enabled: bool) -> Credential:
        """Enable or disable a key. Raises KeyError if the store lacks it, OSError."""
        self.refresh()
        return self._append(replace(self._entries[access_key], enabled=enabled))

    def stats(self) -> StoreStats:
        """The store as it was read last."""
        stamp, entries = self._stamp, self._entries.values()
        enabled = sum(entry.enabled for entry in entries)
        modified = stamp.mtime_ns / 1e9 if stamp else None
        return StoreStats(
            path=str(self.path),
            state=self._state,
            size=stamp.size if stamp else 0,
            entries=len(entries),
            enabled=enabled,
            disabled=len(entries) - enabled,
            bad_lines=self._bad_lines,
            modified=modified,
            age=None if modified is None else max(0.0, time.time() - modified),
            loaded=self._loaded,
            environment=self._own is not None,
        )

    async def watch(self, interval_seconds: float) -> None:
        """Keep the store fresh until cancelled: at once where files can be watched, else every `interval_seconds`."""
        from auth.watch import changes

        async with aclosing(changes(self.path, interval_seconds)) as events:
            async for _ in events:
                self.refresh()

    def _refresh(self, force: bool) -> bool:
        try:
            found = read(self.path, None if force else self._stamp)
        except FileNotFoundError:
            return self._take({}, 0, None, "missing") if force or self._state != "missing" else False
        except OSError as error:
            if force or self._state != "unreadable":
                log.warning(
                    "%s: cannot be read (%s); what was read before still counts", self.path, error.strerror
                )
            self._state = "unreadable"
            return False
        if found is None:
            self._state = "ok"
            return False
        stamp, data = found
        entries, bad_lines = parse(data, self.path)
        return self._take(entries, bad_lines, stamp, "ok")

    def _take(self, entries: dict[str, Credential], bad_lines: int, stamp: Stamp | None, state: str) -> bool:
        enabled = {key: entry for key, entry in entries.items() if entry.enabled}
        if self._own is not None:
            own = _as_filed(self._own, entries)
            if own.policy != UNUSABLE:
                enabled[own.access_key] = own
        self._entries, self._enabled = entries, enabled
        self._know_accounts([*entries.values(), *enabled.values()])
        self._bad_lines, self._stamp, self._state, self._loaded = bad_lines, stamp, state, time.time()
        return True

    def _know_accounts(self, credentials: Iterable[Credential]) -> None:
        """Whatever a principal may be called by, disabled keys too."""
        names, principals = {OWNER_ID: OWNER_NAME}, {}
        for credential in credentials:
            if credential.policy == UNUSABLE:  # whose it is, is not known
                continue
            account = canonical_id(credential.account)
            names.setdefault(account, credential.account)
            principals[credential.access_key] = account
        for account, name in names.items():
            principals |= _principals_of("" if account == OWNER_ID else name)
        self._names, self._principals = names, principals

    def _append(self, credential: Credential) -> Credential:
        append(self.path, record(credential))
        self.refresh(force=True)
        return credential

    def _enter(self, own: Credential) -> None:
        """Write the environment's pair down, unless the file has it: decided under the lock, as several workers start at once."""

        def is_new(data: bytes) -> bool:
            entry = parse(data)[0].get(own.access_key)
            return entry is None or entry.secret_key != own.secret_key

        try:
            append(self.path, record(_as_filed(own, self._entries)), unless=lambda data: not is_new(data))
        except OSError as error:
            log.warning(
                "%s: cannot be written (%s); the key pair of the environment works all the same",
                self.path,
                error.strerror,
            )
        self.refresh(force=True)


def _as_filed(own: Credential, entries: Mapping[str, Credential]) -> Credential:
    """The environment's pair with the account and the policy that the file gives the key."""
    entry = entries.get(own.access_key, own)
    return replace(own, account=entry.account, policy=entry.policy)


def _principals_of(name: str) -> dict[str, str]:
    """What an account goes by → its canonical user id; an empty name is the owner of everything."""
    account = canonical_id(name)
    return {name or OWNER_NAME: account, account: account, account_number(name): account}


def environment_pair(environment: Mapping[str, str]) -> Credential | None:
    """The key pair in the environment, `S3_...` before `AWS_...`; None, with a warning, if it is half or cannot be one."""
    access_key = _first(environment, ACCESS_KEY_NAMES)
    secret_key = _first(environment, SECRET_KEY_NAMES)
    if access_key and secret_key:
        try:
            check_pair(access_key, secret_key)
        except ValueError as error:
            log.warning("The key pair of the environment is not used: %s", error)
            return None
        return Credential(access_key, secret_key, int(time.time()), True, ENVIRONMENT)
    if access_key or secret_key:
        present, missing = (
            (ACCESS_KEY_NAMES, SECRET_KEY_NAMES) if access_key else (SECRET_KEY_NAMES, ACCESS_KEY_NAMES)
        )
        given = next(name for name in present if environment.get(name))
        log.warning("%s is set but %s is missing (or %s): the environment gives no key pair", given, *missing)
    return None


def _first(environment: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((value for name in names if (value := environment.get(name))), "")
