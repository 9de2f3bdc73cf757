"""`s3gw lifecycle`: carry out the lifecycle rules of buckets now."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.common import Conf, Exit, Failure, Json, examples, group, load, print_json, show, table

if TYPE_CHECKING:
    from backends.local import LocalBackend
    from gateway.config import Settings
    from gateway.lifecycle.worker import Notify, Progress, Report

app = group("Carry out the lifecycle rules of buckets.")

SHARE = 0.5
"""The part of the time that a pass works: a gateway may serve beside it."""


@app.command(epilog=examples("s3gw lifecycle run --dry-run", "s3gw lifecycle run --dry-run --at 2030-01-01"))
def run(
    bucket: Annotated[str | None, typer.Option(help="This bucket only.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Change nothing, tell what would be done.")
    ] = False,
    at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="As if it were that time, ISO 8601 (UTC); with --dry-run."),
    ] = None,
    conf: Conf = None,
    as_json: Json = False,
) -> None:
    """Make one pass over the buckets that have rules, and say what each rule did. A gateway may run meanwhile.

    Exit code 0: done; 1: something failed, or another pass is being made.
    """
    if at is not None and not dry_run:
        raise Failure("--at only goes with --dry-run: nothing is removed before its time", Exit.USAGE)
    moment = None if at is None else _milliseconds(at)
    settings = load(conf).settings
    report = asyncio.run(_pass(settings, bucket, dry_run=dry_run, moment=moment))
    if as_json:
        print_json(_as_json(report, dry_run))
    else:
        _show(report, dry_run)
    if report.failed:
        raise typer.Exit(Exit.FAILED)


def _milliseconds(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Failure(f"--at {text}: not a time, for example 2030-01-01T00:00:00Z", Exit.USAGE) from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


async def _pass(settings: "Settings", bucket: str | None, *, dry_run: bool, moment: int | None) -> "Report":
    from backends import clock
    from gateway.errors import S3Error
    from gateway.lifecycle import task
    from gateway.lifecycle.evaluation import Calendar
    from gateway.lifecycle.worker import Pass

    day = round(settings.lifecycle.day_seconds * 1000)
    calendar = Calendar(clock.now() if moment is None else moment, day)
    share = 1 if dry_run else SHARE
    async with _store(settings) as store, _notify(settings) as notify:
        with _turn(settings.backend.path / task.LOCK, dry_run), _status() as progress:
            try:
                return await Pass(store, calendar, dry_run, share, notify, progress).run(bucket)
            except S3Error as error:
                raise Failure(f"{bucket}: {error.message}") from None


@asynccontextmanager
async def _notify(settings: "Settings") -> "AsyncIterator[Notify]":
    """What queues notifications; a gateway that serves delivers them."""
    from auth.store import CredentialStore
    from gateway.app import open_events
    from gateway.lifecycle import task
    from gateway.options import app_options

    options = app_options(settings)
    accounts = CredentialStore(options.credentials)
    accounts.load()
    events = open_events(options, accounts)
    try:
        yield task.notifier(events)
    finally:
        if events is not None:
            await events.stop()


@asynccontextmanager
async def _store(settings: "Settings") -> "AsyncIterator[LocalBackend]":
    from backends.local import LocalBackend, UnknownSchema

    _check_there(settings.backend.path)
    try:
        store = LocalBackend.open(settings.backend.path, durability=settings.backend.durability)
    except UnknownSchema as error:
        raise Failure(str(error)) from None
    async with aclosing(store):
        yield store


def _check_there(path: Path) -> None:
    """Opening a store would make one."""
    from backends.local import Layout

    if not Path(Layout(str(path)).index).exists():
        raise Failure(f"there is no store in {path}")


@contextmanager
def _turn(lock: Path, dry_run: bool) -> Iterator[None]:
    """The right to remove, for the time of a `with`."""
    from gateway.background import turn

    if dry_run:
        yield
        return
    with turn(lock) as ours:
        if not ours:
            raise Failure("another pass is being made right now; try again later")
        yield


@contextmanager
def _status() -> Iterator["Progress"]:
    """What was looked at so far, on a terminal."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console

    with Console(stderr=True).status("looking") as status:
        yield lambda examined: status.update(f"{examined} versions and uploads looked at")


def _as_json(report: "Report", dry_run: bool) -> dict[str, object]:
    return {
        "dry_run": dry_run,
        "examined": report.examined,
        "outcomes": [
            {**line._asdict(), "count": count, "bytes": report.bytes[line]}
            for line, count in sorted(report.counts.items())
        ],
    }


def _show(report: "Report", dry_run: bool) -> None:
    rows = [(*line, str(count), str(report.bytes[line])) for line, count in sorted(report.counts.items())]
    if rows:
        title = "What would be done" if dry_run else None
        show(table(("bucket", "rule", "outcome", "count", "bytes"), rows, title))
    done = "" if rows else "; nothing is due"
    typer.echo(f"{report.examined} versions and uploads looked at{done}")
