"""`s3gw fsck`: compare the store's index with its bodies."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.common import Conf, Exit, Failure, Json, load, print_json

if TYPE_CHECKING:
    from pathlib import Path

    from backends.local.fsck import Report

SHOWN = 20
"""Findings of one kind that are shown to people; --json shows all."""


def fsck(
    repair: Annotated[bool, typer.Option("--repair", help="Remove litter, and correct what can be.")] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read every byte and compare with the ETags.")
    ] = False,
    conf: Conf = None,
    as_json: Json = False,
) -> None:
    """Check the store: what is missing, what is damaged, what is litter. A gateway may run meanwhile.

    Without --repair nothing is changed. Exit code 0: all is well (or was put right); 1: something is wrong.
    """
    report = _check(load(conf).settings.backend.path, repair=repair, verify=verify)
    if as_json:
        print_json({"ok": report.ok, **asdict(report)})
    else:
        typer.echo("\n".join(_lines(report, repair)))
    if not report.ok:
        raise typer.Exit(Exit.FAILED)


def _check(path: "Path", *, repair: bool, verify: bool) -> "Report":
    import sqlite3

    from backends.local.fsck import check
    from backends.local.schema import UnknownSchema

    try:
        with progress_bar("checking") as progress:
            return check(path, repair=repair, verify=verify, progress=progress)
    except (FileNotFoundError, UnknownSchema, sqlite3.DatabaseError) as error:
        raise Failure(str(error)) from None


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int], None] | None]:
    """A bar on stderr, moved by calls with (done, total); None where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _lines(report: "Report", repair: bool) -> Iterator[str]:
    yield f"{report.objects} objects, {report.bodies} files of bodies"
    for what, found in (
        ("missing", report.missing),
        ("damaged", report.damaged),
        ("litter", report.litter),
    ):
        yield from (f"{what}: {name}" for name in found[:SHOWN])
        if len(found) > SHOWN:
            yield f"{what}: {len(found) - SHOWN} more (--json shows all)"
    if not report.alone:
        yield "a gateway uses the store: reference counts and young files were not checked"
    if report.repaired:
        yield f"{report.repaired} put right"
    if report.ok:
        yield "all is well"
    elif not repair and (report.litter or report.damaged):
        yield "--repair removes litter and corrects the index; lost bytes come only from a backup"
