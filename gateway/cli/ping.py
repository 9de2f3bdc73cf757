"""`s3gw ping`: does the gateway answer."""

import time
from http.client import HTTPException
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.common import Conf, Exit, Failure, Json, Listen, load, print_json

if TYPE_CHECKING:
    from gateway.config import S3GatewaySettings

POLL_SECONDS = 0.1


def ping(
    conf: Conf = None,
    listen: Listen = None,
    wait: Annotated[float, typer.Option(help="Seconds to ask again until it is well.")] = 0.0,
    as_json: Json = False,
) -> None:
    """Ask the gateway at the configured address whether it is well (GET /healthz).

    Exit code 0: it is; 1: it is not, or nothing answers. Fit for the health check of a container.
    """
    gateway = load(conf, listen=listen).settings.s3_gateway
    answer = _ask_until(gateway, time.monotonic() + wait)
    if as_json:
        print_json({"ok": answer == "200", "listen": gateway.listen, "answer": answer})
        raise typer.Exit(Exit.OK if answer == "200" else Exit.FAILED)
    if answer != "200":
        raise Failure(f"no gateway is well at {gateway.listen}: {answer}")
    typer.echo(f"well: {gateway.listen}")


def _ask_until(gateway: "S3GatewaySettings", deadline: float) -> str:
    """The status of /healthz, or why there is none; asked again until it is 200 or the time is over."""
    while (answer := _ask(gateway)) != "200" and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    return answer


def _ask(gateway: "S3GatewaySettings") -> str:
    from gateway.cli.checks import ask_healthz

    try:
        return str(ask_healthz(gateway))
    except (OSError, HTTPException) as error:
        return str(error) or type(error).__name__
