"""`s3gw keys`: the key ring of the encryption at rest."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from gateway.cli.common import Conf, Exit, Failure, Json, examples, group, load, print_json, show, table
from gateway.cli.fsck import progress_bar

if TYPE_CHECKING:
    from backends.base import Backend
    from gateway.config import Settings
    from gateway.encryption.keyring import Key, KeyRing

app = group(
    "Manage the keys of the encryption at rest.\n\n"
    "Master keys protect what is encrypted with SSE-S3: the newest one that is enabled encrypts, all decrypt. KMS keys "
    "are those that requests name with aws:kms. A running gateway knows a change at once. Without the key file what is "
    "encrypted is lost: keep a copy of it, apart from the store."
)

Id = Annotated[str, typer.Option("--id", help="The key's id.", show_default=False)]
Description = Annotated[str, typer.Option("--description", help="What the key is for.")]
T = TypeVar("T")


@app.command("list", epilog=examples("s3gw keys list", "s3gw keys list --json"))
def list_(conf: Conf = None, as_json: Json = False) -> None:
    """Show all keys of the ring, oldest first, without their secrets."""
    records = [_record(key) for key in use(lambda: open_ring(load(conf).settings).all())]
    if as_json:
        print_json(records)
    elif not records:
        typer.echo(
            "There is no key yet: the first is made when something is encrypted, or by s3gw keys rotate"
        )
    else:
        show(table(["id", "kind", "enabled", "created", "description"], map(_row, records)))


def _record(key: "Key") -> dict[str, object]:
    return {
        "id": key.id,
        "kind": key.kind,
        "enabled": key.enabled,
        "created_at": key.created_at,
        "description": key.description,
    }


def _row(record: dict[str, object]) -> list[str]:
    created = time.strftime("%Y-%m-%d %H:%M", time.localtime(int(str(record["created_at"]))))
    enabled = "yes" if record["enabled"] else "no"
    return [str(record["id"]), str(record["kind"]), enabled, created, str(record["description"])]


@app.command(epilog=examples("s3gw keys add --id backups --description 'Nightly backups'"))
def add(name: Id, description: Description = "", conf: Conf = None, as_json: Json = False) -> None:
    """Add a KMS key, for requests with `x-amz-server-side-encryption: aws:kms`."""
    ring = open_ring(load(conf).settings)
    try:
        made = use(lambda: ring.add_kms(name, description))
    except ValueError as error:
        raise Failure(str(error), Exit.USAGE) from None
    _tell(made, f"Added {made.id} to {ring.path}", as_json)


@app.command(epilog=examples("s3gw keys rotate", "s3gw keys rotate --resume"))
def rotate(
    resume: Annotated[
        bool, typer.Option("--resume", help="Make no key: go on with the newest one, after an interruption.")
    ] = False,
    conf: Conf = None,
    as_json: Json = False,
) -> None:
    """Make a new master key, and protect the data keys of all objects and versions with it. Bodies are not touched.

    A gateway may run meanwhile. Uploads in flight keep the older key: run it again with --resume once they have ended.
    With $S3GW_MASTER_KEY no key is made: its first key is the new one.
    """
    from gateway.encryption.keyring import environment_keys
    from gateway.encryption.rotation import rewrap

    settings = load(conf).settings
    ring = open_ring(settings)
    if not resume and not use(lambda: environment_keys(os.environ)):
        use(lambda: ring.add_master("made by rotate"))
    with progress_bar("objects") as bar:
        done = _with_store(settings, lambda store: rewrap(store, ring, _moving(bar)))
    found = {
        "id": use(ring.master).id,
        "objects": done.seen,
        "wrapped": done.wrapped,
        "uploads": done.uploads,
    }
    if as_json:
        print_json(found)
        return
    typer.echo(f"{done.wrapped} of {done.seen} objects and versions wrapped anew with {found['id']}")
    if done.uploads:
        typer.echo(f"{done.uploads} uploads in flight keep an older key; run s3gw keys rotate --resume later")


@app.command(epilog=examples("s3gw keys disable --id m-0123456789abcdef"))
def disable(
    name: Id,
    force: Annotated[bool, typer.Option("--force", help="Also if something needs it to be read.")] = False,
    conf: Conf = None,
    as_json: Json = False,
) -> None:
    """Make a key stop working; it stays in the ring. Refused while an object or an upload needs it."""
    from gateway.encryption.rotation import uses

    settings = load(conf).settings
    ring = open_ring(settings)
    if not force:
        with progress_bar("objects") as bar:
            count = _with_store(settings, lambda store: uses(store, name, _moving(bar)))
        if count:
            raise Failure(
                f"{count} objects, versions or uploads need {name} to be read; s3gw keys rotate frees a master key, "
                "--force makes them unreadable"
            )
    _switch(ring, name, False, as_json)


@app.command(epilog=examples("s3gw keys enable --id backups"))
def enable(name: Id, conf: Conf = None, as_json: Json = False) -> None:
    """Make a disabled key work again."""
    _switch(open_ring(load(conf).settings), name, True, as_json)


def _switch(ring: "KeyRing", name: str, enabled: bool, as_json: bool) -> None:
    try:
        changed = use(lambda: ring.set_enabled(name, enabled))
    except KeyError:
        raise Failure(f"there is no key {name} in {ring.path}") from None
    _tell(changed, f"{name} is {'enabled' if enabled else 'disabled'}", as_json)


def _tell(key: "Key", line: str, as_json: bool) -> None:
    if as_json:
        print_json(_record(key))
    else:
        typer.echo(line)


def open_ring(settings: "Settings") -> "KeyRing":
    """The configured key ring; nothing is read yet."""
    from gateway.encryption.keyring import KeyRing

    return KeyRing(settings.encryption.key_file)


def use(call: Callable[[], T]) -> T:
    """The call, a failure of the key ring as a message."""
    from gateway.encryption.keyring import KeyRingError

    try:
        return call()
    except KeyRingError as error:
        raise Failure(str(error)) from None


def _with_store(settings: "Settings", work: "Callable[[Backend], Awaitable[T]]") -> T:
    """Work on the configured store, beside a gateway that may run."""
    from backends.local import LocalBackend

    async def run() -> T:
        store = LocalBackend.open(settings.backend.path, durability=settings.backend.durability)
        try:
            return await work(store)
        finally:
            await store.aclose()

    return use(lambda: asyncio.run(run()))


def _moving(bar: "Callable[[int, int], None] | None") -> Callable[[int], None]:
    """How many objects there are is not known before the end: the bar shows how many were seen."""
    return (lambda _: None) if bar is None else (lambda seen: bar(seen, seen))
