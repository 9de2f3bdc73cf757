"""docs/compatibility.md says what the operations table says, and every refusal has its reason."""

import json
from pathlib import Path

import pytest

from gateway.__main__ import main
from gateway.cli.operations import markdown_lines
from gateway.context import not_implemented
from gateway.operations import OPERATIONS
from gateway.unserved import REASONS, reason

PAGE = Path(__file__).resolve().parents[2] / "docs" / "compatibility.md"
UNSERVED = [row for row in OPERATIONS if row.handler is not_implemented]


def test_the_table_of_the_page_is_that_of_the_gateway():
    """Write it anew with `s3gw operations --markdown`."""
    assert "\n".join(markdown_lines()) in PAGE.read_text()


@pytest.mark.parametrize("row", UNSERVED, ids=lambda row: row.name)
def test_every_refusal_has_a_reason(row):
    assert reason(row.selector)


def test_no_reason_is_left_over():
    assert REASONS.keys() <= {row.selector.partition(" ")[0] for row in UNSERVED}


def shown(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main(["operations", *arguments])
    assert not ended.value.code
    return capsys.readouterr().out


def test_the_command(capsys):
    rows = {row["operation"]: row for row in json.loads(shown(capsys, "--json"))}
    assert rows["GetObject"] == {
        "operation": "GetObject",
        "method": "GET",
        "level": "object",
        "served": True,
        "actions": ["s3:GetObject", "s3:GetObjectVersion"],
        "answer": "yes",
    }
    assert not rows["GetObjectTorrent"]["served"]
    assert "501: AWS itself gave it up" in shown(capsys)
