"""How to start s3gw and the peer on one disk."""

import os
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.load import Target
from bench.procs import Server, free_port, server

KEY, SECRET = "BENCHKEY0123456789AB", "bench-secret-0123456789-0123456789-01234"

DEFAULT_COMMAND = (
    f"{shlex.quote(sys.executable)} -m gateway serve --conf {{conf}} --listen 127.0.0.1:{{port}}"
)

_CONFIGURATION = """
[s3_gateway]
workers = {workers}
put_temp_dir = "{directory}/temp"
credentials_path = "{directory}/credentials.jsonl"

[[backends]]
name = "local"
kind = "local"
path = "{directory}/data"
durability = "{durability}"
is_primary = true
"""


@contextmanager
def s3gw(
    directory: Path, command: str = DEFAULT_COMMAND, workers: int = 2, durability: str = "relaxed"
) -> Iterator[Server]:
    """Run the gateway; `command` may hold `{conf}` and `{port}`."""
    directory.mkdir(parents=True, exist_ok=True)
    conf, port = directory / "gateway.toml", free_port()
    conf.write_text(_CONFIGURATION.format(workers=workers, directory=directory, durability=durability))
    words = [word.format(conf=conf, port=port) for word in shlex.split(command)]
    environment = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
    with server("s3gw", words, port, environment, directory / "log") as running:
        yield running


@contextmanager
def versitygw(directory: Path) -> Iterator[Server]:
    """Run versitygw of $VERSITYGW or the PATH on a directory. Raises FileNotFoundError without one."""
    program = os.environ.get("VERSITYGW") or shutil.which("versitygw")
    if program is None:
        raise FileNotFoundError("versitygw is neither in $VERSITYGW nor in $PATH")
    data, port = directory / "data", free_port()
    data.mkdir(parents=True, exist_ok=True)
    command = [program, "--port", f"127.0.0.1:{port}", "--quiet", "--keep-alive", "posix", str(data)]
    environment = {"ROOT_ACCESS_KEY": KEY, "ROOT_SECRET_KEY": SECRET}
    with server("versitygw", command, port, environment, directory / "log") as running:
        yield running


def target(running: Server) -> Target:
    """The endpoint of a server started here."""
    return Target(running.port, KEY, SECRET)
