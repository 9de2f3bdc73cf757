"""Stands for versitygw's admin command: makes, changes and removes users in our credential store, and gives buckets away.

`admin.py DIRECTORY URL ARGUMENTS...`, the arguments as the suite gives them. A change has taken effect, in all workers,
when it returns.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError
from harness import KEY, SECRET, boto, eventually

CONNECTIONS = 6
"""Held open together while a change is looked for: the launcher deals them to all workers."""
ALL_BUT_BUCKETS = {
    "Statement": [
        {"Effect": "Allow", "Action": "s3:*", "Resource": "*"},
        {"Effect": "Deny", "Action": "s3:CreateBucket", "Resource": "*"},
    ]
}
ROLES: dict[str, dict[str, Any]] = {
    "admin": {"account": ""},
    "user": {"policy": ALL_BUT_BUCKETS},
    "userplus": {},
}
"""What versitygw's roles are here. An admin is the owner of everything; others have an account of their key's name."""

COMMANDS = ("create-user", "update-user", "delete-user", "change-bucket-owner")


class Users:
    """The credential store of a gateway, and the gateway that reads it."""

    def __init__(self, directory: str, url: str) -> None:
        self._store = Path(directory) / "credentials.jsonl"
        self._url = url

    def put(self, key: str, **line: Any) -> None:
        """Add a line, and wait until it counts."""
        whole = {"access_key": key, "created_at": 1640995200, "enabled": True, **line}
        with self._store.open("a") as store:
            store.write(json.dumps(whole) + "\n")
        unknown = ("InvalidAccessKeyId", "SignatureDoesNotMatch") if whole["enabled"] else ("",)
        eventually(lambda: not set(unknown) & set(self._codes(key, whole["secret_key"])), key)

    def last(self, key: str) -> dict[str, Any]:
        """The line of a key that counts."""
        lines = [json.loads(line) for line in self._store.read_text().splitlines()]
        return next((line for line in reversed(lines) if line["access_key"] == key), {})

    def _codes(self, key: str, secret: str) -> list[str]:
        """What a request is answered over each of several connections."""
        clients = [boto(self._url, key, secret) for _ in range(CONNECTIONS)]
        try:
            return [_code(client) for client in clients]
        finally:
            for client in clients:
                client.close()

    @contextmanager
    def client(self, key: str) -> Iterator[Any]:
        """A client that may do everything in the account of a key."""
        account = self.last(key).get("account", "")
        helper = (f"{account}-helper", f"{account}-helper") if account else (KEY, SECRET)
        if account and not self.last(helper[0]):
            self.put(helper[0], secret_key=helper[1], account=account)
        client = boto(self._url, *helper)
        try:
            yield client
        finally:
            client.close()


def _code(client: Any) -> str:
    try:
        client.list_buckets()
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


def put_user(users: Users, key: str, secret: str, role: str) -> None:
    """`create-user`, `update-user`: what is not given stays as it is."""
    before = users.last(key)
    fields = (
        {"account": key, **ROLES[role]}
        if role
        else {name: before[name] for name in before if name in ("account", "policy")}
    )
    users.put(key, secret_key=secret or before["secret_key"], **fields)


def delete_user(users: Users, key: str) -> None:
    """`delete-user`."""
    users.put(key, secret_key="deleted-user", enabled=False)


def change_bucket_owner(users: Users, bucket: str, owner: str) -> None:
    """`change-bucket-owner`: the new owner makes the bucket and its few objects anew, with the same object ownership."""
    with users.client(KEY) as root, users.client(owner) as client:
        kept = root.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]["Rules"][0]
        bodies = {}
        for entry in root.list_objects_v2(Bucket=bucket).get("Contents", ()):
            bodies[entry["Key"]] = root.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read()
            root.delete_object(Bucket=bucket, Key=entry["Key"])
        root.delete_bucket(Bucket=bucket)
        client.create_bucket(Bucket=bucket, ObjectOwnership=kept["ObjectOwnership"])
        for key, body in bodies.items():
            client.put_object(Bucket=bucket, Key=key, Body=body)


def value(words: list[str], *names: str) -> str:
    """The value after the last of the options of these names."""
    found = [words[place + 1] for place, word in enumerate(words[:-1]) if word in names]
    return found[-1] if found else ""


def main(directory: str, url: str, *arguments: str) -> None:
    """Carry out one command."""
    words, users = list(arguments), Users(directory, url)
    with (Path(directory) / "admin.log").open("a") as log:
        log.write(" ".join(words) + "\n")
    command = next((word for word in words if word in COMMANDS), "")
    options = words[words.index(command) + 1 :] if command else []
    key, secret = value(options, "-a", "--access"), value(options, "-s", "--secret")
    match command:
        case "create-user" | "update-user":
            put_user(users, key, secret, value(options, "-r", "--role"))
        case "delete-user":
            delete_user(users, key)
        case "change-bucket-owner":
            change_bucket_owner(users, value(options, "-b", "--bucket"), value(options, "-o", "--owner"))
        case _:
            sys.exit(f"no such command here: {words}")


if __name__ == "__main__":
    main(*sys.argv[1:])
