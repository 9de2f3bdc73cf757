"""`s3gw credential`: the keys that clients sign with."""

import json
import shlex
import sys
import time
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.common import (
    Conf,
    Exit,
    Failure,
    Json,
    Listen,
    Region,
    examples,
    group,
    load,
    print_json,
    show,
    table,
)
from gateway.cli.first_key import client_variables, ensure_first, load_store, welcome

if TYPE_CHECKING:
    from auth.store import Credential, CredentialStore

app = group(
    "Manage the keys that clients sign with.\n\n"
    "A running gateway knows a change at once where files can be watched, "
    "at the latest after cache_refresh_interval_secs."
)

AccessKey = Annotated[str, typer.Option("--access-key", help="3 to 128 characters.", show_default=False)]
Description = Annotated[str, typer.Option("--description", help="What the key is for.")]
Account = Annotated[
    str | None,
    typer.Option(
        "--account",
        metavar="NAME",
        help="The account that the key belongs to; without it, or empty, a new key is the owner's of everything.",
    ),
]
Policy = Annotated[
    str | None,
    typer.Option(
        "--policy", metavar="FILE", help="JSON policy that narrows what the key may do; empty: none."
    ),
]


@app.command(
    epilog=examples(
        "s3gw credential add --access-key AKIAEXAMPLEKEY123 --description 'Backup host'",
        "pass show s3/backup | s3gw credential add --access-key AKIAEXAMPLEKEY123",
        "s3gw credential add --access-key AKIAEXAMPLEKEY123 --account alice --policy read-only.json",
    )
)
def add(
    access_key: AccessKey,
    secret_key: Annotated[
        str | None,
        typer.Option("--secret-key", help="8 to 128 characters. Without it: asked for, or read from stdin."),
    ] = None,
    *,
    description: Description = "",
    account: Account = None,
    policy: Policy = None,
    conf: Conf = None,
    as_json: Json = False,
) -> None:
    """Add a key, or give a key a new secret; it keeps its account and policy unless others are given.

    A secret on the command line can be seen by others on this machine (ps) and stays in the shell's history.
    """
    store, text = open_store(conf), _read_policy(policy)
    secret = _ask_secret() if secret_key is None else secret_key
    try:
        added = store.add(access_key, secret, description, account=account, policy=text)
    except ValueError as error:
        raise Failure(str(error), Exit.USAGE) from None
    if as_json:
        print_json(_record(added, secrets=False))
    else:
        typer.echo(f"Added {added.access_key} to {store.path}")


def _read_policy(path: str | None) -> str | None:
    """The text of a policy's file; as it is where there is no file to read."""
    if not path:
        return path
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"{path}: {getattr(error, 'strerror', None) or 'not a text'}", Exit.USAGE) from None
    if not text.strip():
        raise Failure(f"{path}: the file is empty", Exit.USAGE)
    return text


def _ask_secret() -> str:
    if sys.stdin.isatty():
        return str(typer.prompt("Secret key", hide_input=True, confirmation_prompt=True))
    secret = sys.stdin.readline().rstrip("\r\n")
    if not secret:
        raise Failure("no secret key: give --secret-key, or the secret as one line on stdin", Exit.USAGE)
    return secret


@app.command(
    epilog=examples(
        "s3gw credential generate --description 'Continuous integration'",
        "s3gw credential generate --account alice",
    )
)
def generate(
    description: Description = "",
    account: Account = None,
    policy: Policy = None,
    conf: Conf = None,
    as_json: Json = False,
) -> None:
    """Make a random key and secret, store them, and show both."""
    text = _read_policy(policy)
    try:
        made = open_store(conf).generate(description, account=account, policy=text)
    except ValueError as error:
        raise Failure(str(error), Exit.USAGE) from None
    if as_json:
        print_json(_record(made, secrets=True))
    else:
        typer.echo(f"access key  {made.access_key}\nsecret key  {made.secret_key}")


@app.command("list", epilog=examples("s3gw credential list", "s3gw credential list --show-secrets --json"))
def list_(
    show_secrets: Annotated[bool, typer.Option("--show-secrets", help="Show the secrets too.")] = False,
    conf: Conf = None,
    as_json: Json = False,
) -> None:
    """Show all keys, without their secrets."""
    records = [_record(credential, show_secrets) for credential in open_store(conf).credentials()]
    if as_json:
        print_json(records)
    elif not records:
        typer.echo("There is no key yet. Make one: s3gw credential generate")
    else:
        show(
            table(
                ["access key", "secret key", "enabled", "account", "created", "description"],
                map(_row, records),
            )
        )


def _record(credential: "Credential", secrets: bool) -> dict[str, object]:
    return {
        "access_key": credential.access_key,
        "secret_key": credential.secret_key if secrets else "********",
        "created_at": credential.created_at,
        "enabled": credential.enabled,
        "description": credential.description,
        "account": credential.account,
        "policy": None if credential.policy is None else json.loads(credential.policy),
    }


def _row(record: dict[str, object]) -> list[str]:
    created = time.strftime("%Y-%m-%d %H:%M", time.localtime(int(str(record["created_at"]))))
    enabled = "yes" if record["enabled"] else "no"
    return [
        str(record["access_key"]),
        str(record["secret_key"]),
        enabled,
        str(record["account"]),
        created,
        str(record["description"]),
    ]


@app.command(epilog=examples("s3gw credential stats"))
def stats(conf: Conf = None, as_json: Json = False) -> None:
    """Show the store: where it is, how large, how old, and how many keys work."""
    found = open_store(conf).stats()
    if as_json:
        print_json(asdict(found))
        return
    age = "" if found.age is None else f"{timedelta(seconds=int(found.age))} since the last change"
    rows = [
        ("path", found.path),
        ("state", found.state),
        ("size", f"{found.size} bytes"),
        ("age", age),
        ("keys", f"{found.entries}: {found.enabled} enabled, {found.disabled} disabled"),
        ("bad lines", str(found.bad_lines)),
        ("key pair in the environment", "yes" if found.environment else "no"),
    ]
    show(table(["credential store", ""], rows))


@app.command(epilog=examples("s3gw credential disable --access-key AKIAEXAMPLEKEY123"))
def disable(access_key: AccessKey, conf: Conf = None, as_json: Json = False) -> None:
    """Make a key stop working. It stays in the store."""
    _switch(conf, access_key, False, as_json)


@app.command(epilog=examples("s3gw credential enable --access-key AKIAEXAMPLEKEY123"))
def enable(access_key: AccessKey, conf: Conf = None, as_json: Json = False) -> None:
    """Make a disabled key work again."""
    _switch(conf, access_key, True, as_json)


def _switch(conf: Path | None, access_key: str, enabled: bool, as_json: bool) -> None:
    store = open_store(conf)
    try:
        changed = store.set_enabled(access_key, enabled)
    except KeyError:
        raise Failure(f"there is no key {access_key} in {store.path}") from None
    if as_json:
        print_json(_record(changed, secrets=False))
    else:
        typer.echo(f"{access_key} is {'enabled' if enabled else 'disabled'}")


@app.command(epilog=examples("s3gw credential ensure --listen 127.0.0.1:9000"))
def ensure(conf: Conf = None, listen: Listen = None, region: Region = None, as_json: Json = False) -> None:
    """Make the first key if there is none, and show it once, with lines to paste. Else do nothing."""
    found = load(conf, listen=listen, region=region).settings.s3_gateway
    made = ensure_first(load_store(found.credentials_path))
    if as_json:
        print_json(_record(made, secrets=True) if made else None)
    elif made:
        typer.echo(welcome(made, found))


def open_store(conf: Path | None) -> "CredentialStore":
    """The configured store, loaded. Raises ConfigError."""
    return load_store(load(conf).settings.s3_gateway.credentials_path)


@app.command(
    epilog=examples('eval "$(s3gw credential env)"', "s3gw credential env --access-key AKIAEXAMPLEKEY123")
)
def env(
    access_key: Annotated[
        str | None, typer.Option("--access-key", help="The key; without it the first that is enabled.")
    ] = None,
    conf: Conf = None,
    listen: Listen = None,
    region: Region = None,
    as_json: Json = False,
) -> None:
    """Print a key, its secret, region and address as variables for aws cli and the SDKs, for a shell to evaluate."""
    found = load(conf, listen=listen, region=region).settings.s3_gateway
    variables = client_variables(_chosen(load_store(found.credentials_path), access_key), found)
    if as_json:
        print_json(variables)
    else:
        typer.echo("\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items()))


def _chosen(store: "CredentialStore", access_key: str | None) -> "Credential":
    """The enabled key of this name, or the first one."""
    for credential in store.credentials():
        if credential.enabled and access_key in {None, credential.access_key}:
            return credential
    raise Failure(f"there is no enabled key{f' {access_key}' if access_key else ''} in {store.path}")
