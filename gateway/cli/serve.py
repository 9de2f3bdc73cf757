"""`s3gw serve`: run the gateway in the foreground."""

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.common import Conf, Failure, Listen, Region, Workers, load
from gateway.cli.first_key import ensure_first, load_store, welcome
from gateway.cli.keys import open_ring, use

if TYPE_CHECKING:
    from gateway.config import Settings

logger = logging.getLogger("gateway.serve")


def serve(
    conf: Conf = None,
    listen: Listen = None,
    region: Region = None,
    workers: Workers = None,
    log: Annotated[
        str | None,
        typer.Option(
            envvar="S3GW_LOG", help="trace, debug, info, warn, error; or module=level, with commas."
        ),
    ] = None,
) -> None:
    """Serve S3 until SIGTERM or Ctrl-C; requests in flight finish first.

    At the very first start, a key is made and shown with lines to paste.
    """
    loaded = load(conf, log=log or "info", listen=listen, region=region, workers=workers)
    logger.info("configuration: %s", loaded.path or "defaults and environment, no file")
    warn_if_open(loaded.settings)
    _prepare(loaded.settings)
    raise typer.Exit(_run(loaded.settings, log or "info"))


def warn_if_open(settings: "Settings") -> None:
    """Say loudly that everybody who reaches the port may do everything."""
    from gateway.cli.checks import is_loopback

    if settings.auth.anonymous == "full" and not is_loopback(settings.s3_gateway.host):
        logger.warning(
            'ANYONE WHO REACHES %s MAY READ AND DELETE EVERYTHING: [auth] anonymous = "full" on an address that is '
            "not loopback. Listen on 127.0.0.1, or use another value.",
            settings.s3_gateway.listen,
        )


def _prepare(settings: "Settings") -> None:
    """Make the first key and the directory of uploads; a key ring that is there must be readable."""
    gateway = settings.s3_gateway
    use(open_ring(settings).all)
    if gateway.put_temp_dir:
        Path(gateway.put_temp_dir).mkdir(mode=0o700, parents=True, exist_ok=True)
    made = ensure_first(load_store(gateway.credentials_path))
    if made is None:
        return
    if sys.stdout.isatty():
        typer.echo("\n" + welcome(made, gateway))
    else:  # a secret does not belong into a log
        logger.info("first key made: %s; its secret: s3gw credential list --show-secrets", made.access_key)


def _run(settings: "Settings", log_spec: str) -> int:
    from gateway.launch import app_factory, serve_options
    from gateway.serve import StartFailed
    from gateway.serve import serve as run

    try:
        return run(app_factory(settings, log_spec), serve_options(settings))
    except StartFailed as error:
        raise Failure(str(error)) from None
