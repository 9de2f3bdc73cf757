"""`s3gw config`: is the configuration good, and what holds."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from gateway.cli.common import (
    Conf,
    Exit,
    Json,
    Listen,
    Region,
    Workers,
    examples,
    group,
    load,
    print_json,
    show,
    table,
)

if TYPE_CHECKING:
    from gateway.config import Loaded

app = group("Look at the configuration.")

HIDDEN = re.compile(r"secret|token|password")


@app.command(epilog=examples("s3gw config check", "s3gw config check --conf /etc/s3gw/gateway.toml"))
def check(
    conf: Conf = None,
    listen: Listen = None,
    region: Region = None,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Say whether the configuration can be used, and everything that is wrong with it.

    Exit code 0: it can; 2: it cannot.
    """
    from gateway.config import ConfigError

    try:
        loaded = load(conf, listen=listen, region=region, workers=workers)
    except ConfigError as error:
        if not as_json:
            raise
        print_json({"ok": False, "problems": error.messages})
        raise typer.Exit(Exit.USAGE) from None
    if as_json:
        print_json({"ok": True, "problems": [], "file": loaded.path})
    else:
        typer.echo(f"The configuration is good: {_name(loaded.path)}")


def _name(path: Path | None) -> str:
    return str(path) if path else "defaults and environment, no file"


@app.command(
    "show",
    epilog=examples(
        "s3gw config show",
        "s3gw config show --listen 127.0.0.1:9000",
        "s3gw config show --json | jq '.[\"s3_gateway.listen\"]'",
    ),
)
def show_(
    conf: Conf = None,
    listen: Listen = None,
    region: Region = None,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Show every key, its value, and where the value comes from: default, file, environment or option."""
    loaded = load(conf, listen=listen, region=region, workers=workers)
    values = effective(loaded)
    if as_json:
        print_json({key: {"value": value, "from": origin} for key, (value, origin) in values.items()})
        return
    rows = [(key, _text(value), origin) for key, (value, origin) in values.items()]
    show(table(["key", "value", "from"], rows, title=f"Configuration: {_name(loaded.path)}"))


def effective(loaded: "Loaded") -> dict[str, tuple[object, str]]:
    """Every key with its value, as JSON has it, and its origin. Secrets are hidden."""
    dump = loaded.settings.model_dump(mode="json")
    tables = {name: section for name, section in dump.items() if isinstance(section, dict)}
    tables |= {f"backends[{position}]": backend for position, backend in enumerate(dump["backends"])}
    return {
        f"{name}.{key}": (
            "********" if HIDDEN.search(key) else value,
            loaded.origins.get(f"{name}.{key}", "default"),
        )
        for name, section in tables.items()
        for key, value in section.items()
    }


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
