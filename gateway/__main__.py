"""The `s3gw` command. Exit codes: 0 done, 1 failed, 2 wrong usage or configuration."""

import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import typer

from gateway.cli import common, config, credential, keys, lifecycle
from gateway.cli.common import Exit, Json, examples
from gateway.cli.doctor import doctor
from gateway.cli.fsck import fsck
from gateway.cli.operations import operations
from gateway.cli.ping import ping
from gateway.cli.serve import serve

app = typer.Typer(
    name="s3gw",
    help="An S3 gateway: any S3 client, your own disk.",
    epilog=examples("s3gw serve", "s3gw credential list", "s3gw doctor"),
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(config.app, name="config")
app.add_typer(credential.app, name="credential")
app.add_typer(keys.app, name="keys")
app.add_typer(lifecycle.app, name="lifecycle")
app.command(epilog=examples("s3gw serve", "s3gw serve --listen 127.0.0.1:9000 --log auth=debug"))(serve)
app.command(epilog=examples("s3gw fsck", "s3gw fsck --verify --repair"))(fsck)
app.command(epilog=examples("s3gw doctor", "s3gw doctor --conf /etc/s3gw/gateway.toml --json"))(doctor)
app.command(epilog=examples("s3gw ping --wait 30"))(ping)
app.command(epilog=examples("s3gw operations", "s3gw operations --json"))(operations)


@app.command()
def version(as_json: Json = False) -> None:
    """Show the version of s3gw and of Python."""
    from importlib.metadata import version as distribution_version

    found = {"s3gw": distribution_version("s3gw"), "python": sys.version.split()[0]}
    if as_json:
        common.print_json(found)
    else:
        typer.echo(f"s3gw {found['s3gw']} (Python {found['python']})")


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command and exit. An expected failure is one message and no traceback."""
    try:
        run: Any = app
        run(args=arguments, prog_name="s3gw")
        raise SystemExit(Exit.OK)
    except Exception as error:
        message, code = _explain(error)
        typer.secho(f"s3gw: {message}", err=True, fg=typer.colors.RED)
        raise SystemExit(code) from None


def _explain(error: Exception) -> tuple[str, Exit]:
    """The message and exit code of an expected failure; an unexpected one goes on."""
    from gateway.config import ConfigError
    from gateway.log import LogSpecError

    match error:
        case ConfigError():
            return "the configuration cannot be used\n" + "\n".join(
                f"  {line}" for line in error.messages
            ), Exit.USAGE
        case LogSpecError():
            return str(error), Exit.USAGE
        case common.Failure():
            return str(error), error.code
        case OSError():
            return f"{error.strerror}: {error.filename}" if error.filename else str(error), Exit.FAILED
    raise error


if __name__ == "__main__":
    main()
