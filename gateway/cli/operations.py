"""`s3gw operations`: which operations of S3 this version serves, and what each needs."""

from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.common import Json, print_json

if TYPE_CHECKING:
    from gateway.context import Operation


def operations(
    markdown: Annotated[
        bool, typer.Option("--markdown", help="As the table of docs/compatibility.md.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List every operation of S3: whether it is served, and the policy action that a caller needs."""
    from gateway.operations import OPERATIONS

    if as_json:
        print_json([_facts(row) for row in OPERATIONS])
    else:
        typer.echo("\n".join(markdown_lines() if markdown else map(_line, OPERATIONS)))


def markdown_lines() -> list[str]:
    """The table for the documentation."""
    from gateway.operations import OPERATIONS

    rows = [f"| {row.name} | {_answer(row)} | `{_actions(row)}` |" for row in OPERATIONS]
    return ["| operation | answer | policy action |", "|---|---|---|", *rows]


def _served(row: "Operation") -> bool:
    from gateway.context import not_implemented

    return row.handler is not not_implemented


def _answer(row: "Operation") -> str:
    from gateway.unserved import reason

    return "yes" if _served(row) else f"501: {reason(row.selector)}"


def _actions(row: "Operation") -> str:
    return ", ".join(filter(None, (row.action, row.versioned_action)))


def _line(row: "Operation") -> str:
    return f"{row.name:50} {_answer(row)}"


def _facts(row: "Operation") -> dict[str, object]:
    return {
        "operation": row.name,
        "method": row.method,
        "level": row.level.value,
        "served": _served(row),
        "actions": [action for action in (row.action, row.versioned_action) if action],
        "answer": _answer(row),
    }
