"""S3 Select's SQL as DuckDB gets it: columns, literals, known functions, and nothing else."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from refusals import refused

from gateway.errors import S3Error
from gateway.select.sql import FlatTable, JsonTable, Name, compile_statement, parse

CSV = FlatTable("source", ["name", "Age", 'odd "x"'], ["c1", "c2", "c3"], untyped=True)
TYPED = FlatTable("source", ["id"], ["id"], untyped=False)
JSON = JsonTable("source")


@pytest.mark.parametrize(
    ("text", "table", "written"),
    [
        ("SELECT * FROM S3Object", CSV, 'SELECT "c1", "c2", "c3" FROM source'),
        ("SELECT s.age FROM S3Object s", CSV, 'SELECT "c2" FROM source'),
        ('SELECT "odd ""x""" FROM S3Object', CSV, 'SELECT "c3" FROM source'),
        ("SELECT _1 FROM S3Object LIMIT 5", CSV, 'SELECT "c1" FROM source LIMIT 5'),
        (
            "SELECT name FROM S3Object WHERE age > 5",
            CSV,
            'SELECT "c1" FROM source WHERE (TRY_CAST("c2" AS DOUBLE) > 5)',
        ),
        ("SELECT name FROM S3Object WHERE age = '5'", CSV, 'SELECT "c1" FROM source WHERE ("c2" = \'5\')'),
        ("SELECT 1 FROM S3Object WHERE id > 5", TYPED, 'SELECT 1 FROM source WHERE ("id" > 5)'),
        ("SELECT 'it''s' FROM S3Object", CSV, "SELECT 'it''s' FROM source"),
        ("SELECT s.a.b[0] FROM S3Object s", JSON, 'SELECT json_extract(json, \'$."a"."b"[0]\') FROM source'),
        ("SELECT 1 FROM S3Object WHERE a OR NOT NOT b AND c", CSV, None),
    ],
)
def test_what_is_written(text, table, written):
    if written is None:
        with refused("MissingHeaders"):
            compile_statement(parse(text), table)
    else:
        assert compile_statement(parse(text), table) == written


def test_precedence():
    text = "SELECT 1 FROM S3Object WHERE 1 + 2 * 3 = 7 AND NOT 1 = 2 OR 'a' || 'b' = 'ab'"
    where = compile_statement(parse(text), CSV).partition("WHERE ")[2]
    assert where == "((((1 + (2 * 3)) = 7) AND (NOT (1 = 2))) OR (('a' || 'b') = 'ab'))"


def test_names_of_the_outcome():
    items = parse('SELECT a.b, c AS d, e f, 1, UPPER(g) "h i" FROM S3Object').items
    assert [item.name for item in items] == ["b", "d", "f", "_4", "h i"]


def test_paths_of_the_source():
    assert parse("SELECT * FROM S3Object[*].a['b c'][*] t").source == (
        None,
        Name("a", False),
        Name("b c", True),
        None,
    )


@pytest.mark.parametrize("path", ['"a*b"', '"a""b"', '"a\\b"', '"a[0]"'])
def test_names_that_a_json_path_cannot_hold(path):
    with refused("ParseInvalidPathComponent"):
        compile_statement(parse(f"SELECT s.{path} FROM S3Object s"), JSON)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "ParseUnexpectedToken"),
        ("SELECT * FROM", "InvalidDataSource"),
        ("SELECT FROM S3Object", "ParseUnsupportedSyntax"),
        ("SELECT * FROM S3Object LIMIT x", "ParseUnexpectedToken"),
        ("SELECT * FROM S3Object s t", "ParseUnexpectedToken"),
        ("SELECT * FROM S3Object ORDER BY a", "ParseUnsupportedSyntax"),
        ("SELECT DISTINCT a FROM S3Object", "ParseUnsupportedSyntax"),
        ("SELECT a FROM S3Object WHERE COUNT(*) > 1", "UnsupportedFunction"),
        ("SELECT SUM(SUM(a)) FROM S3Object", "UnsupportedFunction"),
        ("SELECT CAST(a AS BLOB) FROM S3Object", "ParseUnsupportedSyntax"),
        ("SELECT LOWER(a, b) FROM S3Object", "ParseUnsupportedSyntax"),
        ("SELECT a FROM S3Object WHERE a LIKE", "ParseUnexpectedToken"),
        ("SELECT 'open FROM S3Object", "LexerInvalidChar"),
        ("SELECT a FROM S3Object;", "LexerInvalidChar"),
        ("SELECT a['b FROM S3Object", "LexerInvalidChar"),
    ],
)
def test_refusals(text, code):
    with refused(code):
        parse(text)


WORDS = st.sampled_from(
    "SELECT FROM S3Object WHERE LIMIT a.b s AS ( ) [ ] * , . + - = <> || 'x' '' \"q\" 1 2.5 AND OR NOT IN LIKE IS NULL "
    "MISSING BETWEEN CASE WHEN THEN ELSE END CAST INT COUNT SUM LOWER SUBSTRING TRIM EXTRACT DATE_ADD YEAR FOR [*]".split()
)


@given(st.lists(WORDS, max_size=25))
def test_near_misses(words):
    """Whatever is written out holds only names that are ours."""
    try:
        written = compile_statement(parse("SELECT " + " ".join(words) + " FROM S3Object"), JSON)
    except S3Error as error:
        assert error.status == 400
        return
    bare = re.sub(r"'(?:[^']|'')*'", "", written)
    assert ";" not in bare
    assert set(re.findall(r"([a-z_0-9]+)\(", bare)) <= {
        "avg", "coalesce", "count", "date_diff", "date_part", "json_extract", "json_extract_string", "length", "lower",
        "ltrim", "max", "min", "now", "nullif", "rtrim", "substring", "sum", "trim", "unnest", "upper",
    }  # fmt: skip


@given(st.text(max_size=100))
def test_garbage(text):
    try:
        compile_statement(parse(text), CSV)
    except S3Error as error:
        assert error.status == 400
