"""What all commands share: options, output for people and for programs, exit codes, expected failures."""

import json
import os
from collections.abc import Iterable, Sequence
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import RenderableType

    from gateway.config import Loaded


class Exit(IntEnum):
    """Exit codes of all commands."""

    OK = 0
    FAILED = 1
    USAGE = 2


class Failure(Exception):
    """An expected end: the message is all that is shown."""

    def __init__(self, message: str, code: Exit = Exit.FAILED) -> None:
        super().__init__(message)
        self.code = code


Conf = Annotated[
    Path | None,
    typer.Option(
        "--conf",
        "-c",
        envvar="S3GW_CONF",
        metavar="FILE",
        help="Configuration file. Without it: $S3GW_HOME/conf/gateway.toml if there is one, else the defaults.",
    ),
]
Listen = Annotated[str | None, typer.Option(help="Address and port, over the configured one.")]
Region = Annotated[str | None, typer.Option(help="Region, over the configured one.")]
Workers = Annotated[int | None, typer.Option(help="Processes, over the configured number; 0 = one per CPU.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def examples(*lines: str) -> str:
    """The end of a help page: lines to try."""
    return "\n\n".join(["[bold]Examples[/bold]", *(f"  [cyan]{_escaped(line)}[/cyan]" for line in lines)])


def _escaped(line: str) -> str:
    return line.replace("[", r"\[")


def group(text: str) -> typer.Typer:
    """A group of commands."""
    return typer.Typer(help=text, no_args_is_help=True, rich_markup_mode="rich")


def load(conf: Path | None, *, log: str = "", **options: object) -> "Loaded":
    """Start logging (as `log` or `S3GW_LOG` say, else warnings only) and load the configuration.

    `options` are those of `[s3_gateway]`; None = not given. Raises ConfigError, LogSpecError.
    """
    from gateway.config import load_with_origins
    from gateway.log import configure

    configure(log or os.environ.get("S3GW_LOG") or "warn")
    overrides = {f"s3_gateway.{name}": value for name, value in options.items() if value is not None}
    return load_with_origins(conf, overrides)


def print_json(value: object) -> None:
    """One JSON document on stdout."""
    typer.echo(json.dumps(value, indent=2, default=str))


def show(*things: "RenderableType") -> None:
    """Print for people: colours only on a terminal, no line broken where it is not one."""
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=1000)
    for thing in things:
        console.print(thing)


def table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], title: str | None = None
) -> "RenderableType":
    """A table; the text of the cells is shown as it is."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for position, column in enumerate(columns):
        made.add_column(column, overflow="fold", no_wrap=position == 0)
    for row in rows:
        made.add_row(*(Text(cell) for cell in row))
    return made
