"""Where configuration values come from: options, the environment, a file. Each is a tree of tables with an origin.

Nothing here knows which keys exist; `gateway.config` does.
"""

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ENVIRONMENT_PREFIX = "S3GW_"

Location = tuple[int | str, ...]
"""The way to a value: section, position in an array of tables, key."""
Tree = dict[str, Any]


class ConfigError(Exception):
    """The configuration cannot be used; `messages` holds one line for each thing that is wrong."""

    def __init__(self, messages: list[str]) -> None:
        super().__init__("\n".join(messages))
        self.messages = messages


@dataclass(frozen=True, slots=True)
class Source:
    """Values of one origin (`option`, `environment`, `file`) as nested tables; `text` is the file's, for line numbers."""

    origin: str
    values: Tree
    path: Path | None = None
    text: str = ""

    def where(self, location: Location) -> str:
        """Where a key was set, for a message."""
        if self.path is not None:
            line = find_line(self.text, location)
            return f"{self.path}, line {line}" if line else str(self.path)
        if self.origin == "environment":
            return ENVIRONMENT_PREFIX + "__".join(str(step).upper() for step in location)
        return f"option --{location[-1]}"

    def holds(self, location: Location) -> bool:
        """Whether it sets this value."""
        value: Any = self.values
        try:
            for step in location:
                value = value[step]
        except (KeyError, IndexError, TypeError):
            return False
        return True


def dotted(location: Location) -> str:
    """A location as people write it: `backends[0].path`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in location).removeprefix(
        "."
    )


def from_options(overrides: Mapping[str, object]) -> Source:
    """Options by dotted key, `s3_gateway.listen`."""
    tree: Tree = {}
    for name, value in overrides.items():
        section, key = name.split(".")
        tree.setdefault(section, {})[key] = value
    return Source("option", tree)


def from_file(path: Path, problems: list[str]) -> Source:
    """A TOML file, its `${NAME}` replaced; adds unset variables to `problems`. Raises ConfigError if it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
        tree = tomllib.loads(text)
    except OSError as error:
        raise ConfigError([f"cannot read the configuration file {path}: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise ConfigError([f"the configuration file {path} is not UTF-8 text"]) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"the configuration file {path} is not valid TOML: {error}"]) from None
    raw = Source("file", tree, path, text)
    for location, name in unset_variables(tree):
        problems.append(
            f"{dotted(location)} ({raw.where(location)}): the environment variable {name} is not set"
        )
    return Source("file", {name: interpolated(value) for name, value in tree.items()}, path, text)


VARIABLE = re.compile(r"\$?\$\{(\w+)\}")


def interpolated(value: object) -> object:
    """The value with `${NAME}` replaced in all strings; unset variables become nothing, `$${` becomes `${`."""
    if isinstance(value, dict):
        return {key: interpolated(item) for key, item in value.items()}
    if isinstance(value, list):
        return [interpolated(item) for item in value]
    return VARIABLE.sub(_replacement, value) if isinstance(value, str) else value


def _replacement(match: re.Match[str]) -> str:
    return match[0][1:] if match[0].startswith("$$") else os.environ.get(match[1], "")


def unset_variables(value: object, location: Location = ()) -> Iterator[tuple[Location, str]]:
    """Each `${NAME}` whose variable is not set, with the place where it stands."""
    if isinstance(value, dict | list):
        for step, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from unset_variables(item, (*location, step))
    elif isinstance(value, str):
        for match in VARIABLE.finditer(value):
            if not match[0].startswith("$$") and match[1] not in os.environ:
                yield location, match[1]


def tables(section: str, content: object) -> Iterator[tuple[Location, Tree]]:
    """The tables of a section with their locations: one, or those of an array of tables."""
    if isinstance(content, dict):
        yield (section,), content
    elif isinstance(content, list):
        for position, table in enumerate(content):
            if isinstance(table, dict):
                yield (section, position), table


def merged(sources: list[Source]) -> Tree:
    """The values of all sources. Earlier ones win, key by key; an array of tables is taken whole."""
    tree: Tree = {}
    for source in reversed(sources):
        for section, content in source.values.items():
            below = tree.get(section)
            if isinstance(content, dict) and isinstance(below, dict):
                tree[section] = {**below, **content}
            else:
                tree[section] = content
    return tree


def origins(sources: list[Source]) -> dict[str, str]:
    """The origin of each value of `merged`, by dotted key."""
    found: dict[str, str] = {}
    for source in reversed(sources):
        for section, content in source.values.items():
            if isinstance(content, list):
                found = {key: origin for key, origin in found.items() if not key.startswith(f"{section}[")}
            for location, table in tables(section, content):
                found |= {dotted((*location, key)): source.origin for key in table}
    return found


HEADER = re.compile(r"\s*(\[\[?)\s*([\w.-]+)\s*\]")


def find_line(text: str, location: Location) -> int | None:
    """The 1-based line of a TOML text that sets a key, or begins a section. None if it cannot be told cheaply."""
    section, *keys = [step for step in location if isinstance(step, str)]
    wanted = location[1] if len(location) > 1 and isinstance(location[1], int) else 0
    assignment = re.compile(rf"\s*\"?{re.escape(keys[0])}\"?\s*=" if keys else r"\s*\[")
    table, position = "", -1
    for number, line in enumerate(text.splitlines(), 1):
        if header := HEADER.match(line):
            table = header[2]
            position += table == section
        if table == section and position == wanted and assignment.match(line):
            return number
    return None
