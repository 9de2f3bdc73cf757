"""Logging: `S3GW_LOG` says how much, one line for each event goes to stderr.

The grammar is a level, or a list of `module=level`, or both: `debug`, `auth=debug,backends=info`, `warn,auth=trace`.
A module is the name of a logger (`auth`, `backends`, `gateway.app`) and holds for all below it.
"""

import logging
import re
import sys
import time
from dataclasses import dataclass, field

TRACE = 5
"""Below DEBUG: what happens inside one request."""

LEVELS = {
    "trace": TRACE,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}
NAMES = {number: name.upper() for name, number in LEVELS.items()} | {logging.CRITICAL: "FATAL"}

DEFAULT = "info"
MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


class LogSpecError(ValueError):
    """`S3GW_LOG` is not of its grammar."""


@dataclass(frozen=True, slots=True)
class LogSpec:
    """The level of everything, and those of single modules."""

    level: int = logging.INFO
    modules: dict[str, int] = field(default_factory=dict)


def parse(text: str) -> LogSpec:
    """Read the grammar; nothing means `info`. Raises LogSpecError."""
    level, modules = LEVELS[DEFAULT], {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        module, separator, name = (side.strip() for side in part.rpartition("="))
        if name.lower() not in LEVELS:
            raise LogSpecError(f'S3GW_LOG: "{name}" in "{part}" is no level; levels are {", ".join(LEVELS)}')
        if not separator:
            level = LEVELS[name.lower()]
        elif MODULE.fullmatch(module):
            modules[module] = LEVELS[name.lower()]
        else:
            raise LogSpecError(f'S3GW_LOG: "{module}" in "{part}" is no module; an example is auth=debug')
    return LogSpec(level, modules)


CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class LineFormatter(logging.Formatter):
    """`2026-11-21T07:02:02.123Z INFO  4711 gateway.serve message`: UTC, process id, logger.

    Control characters of a message are escaped, so that no client can forge a line.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line, and a traceback below it if there is one."""
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        level = NAMES.get(record.levelno, record.levelname)
        message = CONTROL.sub(_escape, record.getMessage())
        line = f"{seconds}.{int(record.msecs):03d}Z {level:<5} {record.process} {record.name} {message}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")


def configure(text: str = "") -> LogSpec:
    """Send all logging to stderr at the levels of `text`. Raises LogSpecError, and then changes nothing."""
    spec = parse(text)
    logging.addLevelName(TRACE, "TRACE")
    root = logging.getLogger()
    root.handlers = [handler for handler in root.handlers if not isinstance(handler.formatter, LineFormatter)]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter())
    root.addHandler(handler)
    root.setLevel(spec.level)
    logging.captureWarnings(True)
    for module, level in spec.modules.items():
        logging.getLogger(module).setLevel(level)
    # The gateway writes its own line for a request; uvicorn's would cost as much as a small GET, and what it
    # writes at `trace` holds whole presigned URLs.
    # The watcher of the credentials would log each line of a log that lies beside them, and so for ever.
    for name in ("uvicorn.access", "uvicorn.asgi", "watchfiles.main"):
        logging.getLogger(name).disabled = True
    return spec
