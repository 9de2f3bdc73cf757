"""Stands for versitygw's admin command: makes, changes and removes users in our credential store.

`admin.py DIRECTORY URL ARGUMENTS...`, the arguments as the suite gives them. A change has taken effect when it returns.
"""

import json
import sys
from pathlib import Path

from botocore.exceptions import ClientError
from harness import boto, eventually


def value(arguments: list[str], *names: str) -> str:
    """The value after the last of the options of these names."""
    found = [arguments[place + 1] for place, word in enumerate(arguments[:-1]) if word in names]
    return found[-1] if found else ""


def append(directory: Path, **line: object) -> None:
    """Append a line to the credential store."""
    with (directory / "credentials.jsonl").open("a") as store:
        store.write(json.dumps({"created_at": 1640995200, "enabled": True, **line}) + "\n")


def code(url: str, key: str, secret: str) -> str:
    """What a request signed by a key is answered."""
    client = boto(url, key, secret)
    try:
        client.list_buckets()
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    finally:
        client.close()
    return ""


def main(directory: str, url: str, *arguments: str) -> None:
    """Carry out one command."""
    words = list(arguments)
    with (Path(directory) / "admin.log").open("a") as log:
        log.write(" ".join(words) + "\n")
    command = next((word for word in words if word.endswith("-user")), "")
    tail = words[words.index(command) + 1 :] if command else []
    key, secret = value(tail, "-a", "--access"), value(tail, "-s", "--secret")
    if command in ("create-user", "update-user"):
        role = value(tail, "-r", "--role")
        append(
            Path(directory),
            access_key=key,
            secret_key=secret,
            **({} if role == "admin" else {"account": key}),
        )
        eventually(lambda: code(url, key, secret) not in ("InvalidAccessKeyId", "SignatureDoesNotMatch"), key)
    elif command == "delete-user":
        append(Path(directory), access_key=key, secret_key="deleted-user", enabled=False)
        eventually(lambda: code(url, key, "deleted-user") == "InvalidAccessKeyId", key)
    else:
        sys.exit(f"no such command here: {words}")


if __name__ == "__main__":
    main(*sys.argv[1:])
