"""S3 Select's SQL: read into a tree, and written again for DuckDB. Pure.

    SELECT * | expression [AS name], ... FROM S3Object[path] [alias] [WHERE condition] [LIMIT count]

What is written consists of columns, literals and the functions of the tables here, so it can do nothing but compute.
Values of CSV and JSON have no type of their own: each is read as the type that it is compared or calculated with.

Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/s3-select-sql-reference.html
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from gateway.errors import (
    InvalidColumnIndex,
    InvalidDataSource,
    LexerInvalidChar,
    MissingHeaders,
    ParseInvalidPathComponent,
    ParseUnexpectedToken,
    ParseUnsupportedSyntax,
    S3Error,
    UnsupportedFunction,
)

MAX_DEPTH = 100
"""Of the tree of an expression, which long chains of operators make deep."""
MAX_NESTING = 32
"""Of parentheses and calls: each takes some 17 frames to read."""
_TABLE = "s3object"
ANY, TEXT, NUMBER, BOOLEAN, TIME = "any", "text", "number", "boolean", "time"

_TOKENS = re.compile(
    r"""\s*(?:
        (?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)
      | (?P<string>'(?:[^'\0]|'')*')
      | (?P<quoted>"(?:[^"\0]|"")+")
      | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<sign><>|!=|<=|>=|\|\||[-+*/%=<>(),.\[\]])
    )""",
    re.VERBOSE,
)


class Token(NamedTuple):
    """`kind` is `number`, `string`, `quoted`, `word`, `sign` or `end`; `text` as written, words in upper case too."""

    kind: str
    text: str
    upper: str


class Name(NamedTuple):
    """A step of a path; a quoted one is compared exactly."""

    text: str
    quoted: bool


Path = tuple[Name | int | None, ...]
"""Steps from a record to a value; None stands for `[*]`."""


@dataclass(frozen=True, slots=True)
class Column:
    """A value of the record, as the expression names it."""

    path: Path
    type: str = ANY
    depth: int = 1


@dataclass(frozen=True, slots=True)
class Node:
    """An expression: DuckDB's text for it, with a place for each argument, and what each is to be read as."""

    template: str
    type: str
    arguments: "tuple[Expression, ...]" = ()
    wanted: tuple[str, ...] = ()
    depth: int = 1


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant, as DuckDB writes it."""

    text: str
    type: str
    depth: int = 1


Expression = Node | Column | Literal


@dataclass(frozen=True, slots=True)
class Item:
    """One column of the outcome."""

    expression: Expression
    name: str


@dataclass(frozen=True, slots=True)
class Statement:
    """A SELECT. `items` None is `*`; `source` is what follows S3Object."""

    items: Sequence[Item] | None
    source: Path
    where: Expression | None = None
    limit: int | None = None


class Table(Protocol):
    """The records of an object, as DuckDB reads them."""

    def source(self, path: Path) -> str:
        """DuckDB's text of what stands behind FROM."""

    def column(self, path: Path, wanted: str) -> str:
        """DuckDB's text for a value of the record. Raises MissingHeaders, InvalidColumnIndex, ParseInvalidPathComponent."""

    def everything(self) -> str:
        """What `*` is."""


def compile_statement(statement: Statement, table: Table) -> str:
    """The statement in DuckDB's SQL."""
    items = statement.items
    chosen = (
        table.everything() if items is None else ", ".join(_write(i.expression, ANY, table) for i in items)
    )
    text = f"SELECT {chosen} FROM {table.source(statement.source)}"  # noqa: S608 - all of it is written here
    if statement.where is not None:
        text += f" WHERE {_write(statement.where, BOOLEAN, table)}"
    return text if statement.limit is None else f"{text} LIMIT {statement.limit}"


def _write(expression: Expression, wanted: str, table: Table) -> str:
    if isinstance(expression, Literal):
        return expression.text
    if isinstance(expression, Column):
        return table.column(expression.path, wanted)
    pairs = zip(expression.arguments, expression.wanted, strict=True)
    return expression.template.format(*[_write(argument, want, table) for argument, want in pairs])


def quote_text(text: str) -> str:
    """A string of DuckDB's SQL."""
    return "'" + text.replace("'", "''") + "'"


def quote_name(name: str) -> str:
    """An identifier of DuckDB's SQL."""
    return '"' + name.replace('"', '""') + '"'


CASTS = {
    NUMBER: "TRY_CAST({} AS DOUBLE)",
    BOOLEAN: "TRY_CAST({} AS BOOLEAN)",
    TIME: "TRY_CAST({} AS TIMESTAMP)",
    TEXT: "{}",
    ANY: "{}",
}


@dataclass(frozen=True, slots=True)
class FlatTable:
    """CSV or Parquet: `names` by which an expression may call the columns, in their order; `_1` is the first.

    `columns` are DuckDB's names for them. Values of CSV are `untyped`.
    """

    reader: str
    names: Sequence[str]
    columns: Sequence[str]
    untyped: bool

    def source(self, path: Path) -> str:
        """See `Table`."""
        if path not in ((), (None,)):
            raise ParseInvalidPathComponent()
        return self.reader

    def everything(self) -> str:
        """See `Table`."""
        return ", ".join(map(quote_name, self.columns))

    def column(self, path: Path, wanted: str) -> str:
        """See `Table`."""
        if len(path) != 1 or not isinstance(path[0], Name):
            raise ParseInvalidPathComponent()
        text = quote_name(self.columns[self._index(path[0])])
        return CASTS[wanted].format(text) if self.untyped else text

    def _index(self, name: Name) -> int:
        for number, known in enumerate(self.names):
            if known == name.text or (not name.quoted and known.lower() == name.text.lower()):
                return number
        position = re.fullmatch(r"_([1-9][0-9]{0,5})", name.text)
        if position is None:
            raise MissingHeaders()
        if int(position[1]) > len(self.columns):
            raise InvalidColumnIndex()
        return int(position[1]) - 1


@dataclass(frozen=True, slots=True)
class JsonTable:
    """JSON: one value a record, in the column `json` of what `reader` gives."""

    reader: str

    def source(self, path: Path) -> str:
        """See `Table`: the records, or what each holds at a path; `[*]` takes a list apart."""
        steps = path[1:] if path[:1] == (None,) else path
        source = self.reader
        while steps:
            end = steps.index(None) if None in steps else len(steps)
            value = f"json_extract(json, {_json_path(steps[:end])})"
            if end < len(steps):
                value = f"unnest(json_extract({value}, '$[*]'))"
            source = f"(SELECT {value} AS json FROM {source})"  # noqa: S608 - paths are checked
            steps = steps[end + 1 :]
        if source == self.reader:
            return source
        return f"(SELECT json FROM {source} WHERE json IS NOT NULL)"  # noqa: S608 - as above

    def everything(self) -> str:
        """See `Table`."""
        return "json"

    def column(self, path: Path, wanted: str) -> str:
        """See `Table`."""
        if None in path:
            raise ParseInvalidPathComponent()
        if wanted == ANY:
            return f"json_extract(json, {_json_path(path)})"
        return CASTS[wanted].format(f"json_extract_string(json, {_json_path(path)})")


def _json_path(path: Path) -> str:
    steps = "".join(f"[{step}]" if isinstance(step, int) else _json_step(step) for step in path)
    return quote_text(f"${steps}")


def _json_step(step: Name | None) -> str:
    if step is None or re.search(r'["\\*\[\]]', step.text):
        raise ParseInvalidPathComponent()
    return f'."{step.text}"'


def parse(text: str) -> Statement:
    """Read one SELECT. Raises LexerInvalidChar, ParseUnexpectedToken, ParseUnsupportedSyntax, UnsupportedFunction, ..."""
    return _Parser(_tokens(text)).statement()


def _tokens(text: str) -> list[Token]:
    tokens, at, end = [], 0, len(text.rstrip())
    while at < end:
        match = _TOKENS.match(text, at)
        if match is None:
            raise LexerInvalidChar(f"The SQL expression contains a character that is not valid, at {at + 1}.")
        kind = match.lastgroup or ""
        word = match[kind]
        tokens.append(Token(kind, word, word.upper() if kind == "word" else word))
        at = match.end()
    return [*tokens, Token("end", "", "")]


class _Function(NamedTuple):
    template: str
    type: str
    wanted: tuple[str, ...]


_FUNCTIONS: Mapping[str, _Function] = {
    "CHAR_LENGTH": _Function("length({})", NUMBER, (TEXT,)),
    "CHARACTER_LENGTH": _Function("length({})", NUMBER, (TEXT,)),
    "LOWER": _Function("lower({})", TEXT, (TEXT,)),
    "UPPER": _Function("upper({})", TEXT, (TEXT,)),
    "TO_TIMESTAMP": _Function("CAST({} AS TIMESTAMP)", TIME, (TEXT,)),
    "UTCNOW": _Function("CAST(now() AS TIMESTAMP)", TIME, ()),
}
_AGGREGATES: Mapping[str, _Function] = {
    "AVG": _Function("avg({})", NUMBER, (NUMBER,)),
    "COUNT": _Function("count({})", NUMBER, (TEXT,)),
    "MAX": _Function("max({})", NUMBER, (NUMBER,)),
    "MIN": _Function("min({})", NUMBER, (NUMBER,)),
    "SUM": _Function("sum({})", NUMBER, (NUMBER,)),
}
_TYPES: Mapping[str, tuple[str, str]] = {
    "BOOL": ("BOOLEAN", BOOLEAN),
    "BOOLEAN": ("BOOLEAN", BOOLEAN),
    "INT": ("BIGINT", NUMBER),
    "INTEGER": ("BIGINT", NUMBER),
    "STRING": ("VARCHAR", TEXT),
    "VARCHAR": ("VARCHAR", TEXT),
    "CHAR": ("VARCHAR", TEXT),
    "FLOAT": ("DOUBLE", NUMBER),
    "DOUBLE": ("DOUBLE", NUMBER),
    "DECIMAL": ("DECIMAL(38,10)", NUMBER),
    "NUMERIC": ("DECIMAL(38,10)", NUMBER),
    "TIMESTAMP": ("TIMESTAMP", TIME),
}
_PARTS = frozenset({"YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND"})
_TRIMS = {"LEADING": "ltrim", "TRAILING": "rtrim", "BOTH": "trim"}
_LITERALS = {
    "TRUE": Literal("TRUE", BOOLEAN),
    "FALSE": Literal("FALSE", BOOLEAN),
    "NULL": Literal("NULL", ANY),
}
_RESERVED = frozenset(
    "SELECT FROM WHERE LIMIT AS AND OR NOT IN LIKE BETWEEN IS ESCAPE CASE WHEN THEN ELSE END GROUP ORDER HAVING JOIN "
    "UNION BY ON DISTINCT OFFSET".split()
)
_CONSTANTS: Mapping[str, Callable[[str], Literal]] = {
    "number": lambda text: Literal(text, NUMBER),
    "string": lambda text: Literal(quote_text(text[1:-1].replace("''", "'")), TEXT),
}
_COMPARISONS = {"=": "=", "<>": "<>", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}


def _node(template: str, kind: str, arguments: Sequence[Expression], wanted: Sequence[str]) -> Node:
    depth = 1 + max((argument.depth for argument in arguments), default=0)
    if depth > MAX_DEPTH:
        raise ParseUnsupportedSyntax(f"The SQL expression is nested more than {MAX_DEPTH} deep.")
    return Node(template, kind, tuple(arguments), tuple(wanted), depth)


def _alike(template: str, kind: str, arguments: Sequence[Expression]) -> Node:
    """Arguments that are compared with each other: all are read as the type that one of them has."""
    shared = _shared(arguments)
    return _node(template, kind, arguments, [shared] * len(arguments))


def _shared(arguments: Sequence[Expression]) -> str:
    return next((one.type for one in arguments if one.type not in (ANY, TEXT)), TEXT)


class _Parser:
    """Recursive descent, one method a rule."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._nesting = 0
        self._aggregates = False
        self._alias = ""

    def statement(self) -> Statement:
        self._expect("SELECT")
        start = self._at
        source = self._look_ahead_for_source()
        self._at = start
        self._aggregates = True
        items = self._items()
        self._aggregates = False
        self._skip_source()
        where = self._expression() if self._accept("WHERE") else None
        limit = self._limit() if self._accept("LIMIT") else None
        if self._token.kind != "end":
            raise self._unexpected()
        return Statement(items, source, where, limit)

    @property
    def _token(self) -> Token:
        return self._tokens[self._at]

    def _next(self) -> Token:
        token = self._token
        self._at += token.kind != "end"
        return token

    def _accept(self, *words: str) -> str:
        """The word or sign, if it is one of these and stands here."""
        token = self._token
        if token.kind in ("word", "sign") and token.upper in words:
            self._at += 1
            return token.upper
        return ""

    def _expect(self, word: str) -> None:
        if not self._accept(word):
            raise self._unexpected()

    def _unexpected(self) -> S3Error:
        token = self._token
        if token.kind == "word" and token.upper in _RESERVED and self._at:
            return ParseUnsupportedSyntax(f"The SQL expression contains unsupported syntax: {token.upper}.")
        return ParseUnexpectedToken(f"The SQL expression contains an unexpected token: '{token.text[:64]}'.")

    def _look_ahead_for_source(self) -> Path:
        """FROM and the alias, which the list of columns before it may use already."""
        depth = 0
        while self._token.kind != "end" and not (depth == 0 and self._token.upper == "FROM"):
            depth += {"(": 1, ")": -1}.get(self._token.upper, 0)
            self._at += 1
        self._expect("FROM")
        if self._next().upper != _TABLE.upper():
            raise InvalidDataSource("The table of a SELECT must be S3Object.")
        source = self._steps()
        self._accept("AS")
        if self._is_name():
            self._alias = self._name().text.lower()
        self._end_of_source = self._at
        return source

    def _skip_source(self) -> None:
        self._expect("FROM")
        self._at = self._end_of_source

    def _limit(self) -> int:
        token = self._next()
        if token.kind != "number" or not token.text.isdigit() or len(token.text) > 18:
            raise ParseUnexpectedToken("LIMIT needs a whole number.")
        return int(token.text)

    def _items(self) -> list[Item] | None:
        if self._accept("*"):
            return None
        items = [self._item(1)]
        while self._accept(","):
            items.append(self._item(len(items) + 1))
        return items

    def _item(self, number: int) -> Item:
        expression = self._expression()
        if self._accept("AS") or self._is_name():
            return Item(expression, self._name().text)
        last = expression.path[-1] if isinstance(expression, Column) and expression.path else None
        return Item(expression, last.text if isinstance(last, Name) else f"_{number}")

    def _is_name(self) -> bool:
        token = self._token
        return token.kind == "quoted" or (token.kind == "word" and token.upper not in _RESERVED)

    def _name(self) -> Name:
        if not self._is_name():
            raise self._unexpected()
        token = self._next()
        if token.kind == "quoted":
            return Name(token.text[1:-1].replace('""', '"'), True)
        return Name(token.text, False)

    def _expression(self) -> Expression:
        self._nesting += 1
        if self._nesting > MAX_NESTING:
            raise ParseUnsupportedSyntax(f"The SQL expression is nested more than {MAX_NESTING} deep.")
        found = self._binary(self._conjunction, {"OR": "({} OR {})"}, BOOLEAN, BOOLEAN)
        self._nesting -= 1
        return found

    def _conjunction(self) -> Expression:
        return self._binary(self._negation, {"AND": "({} AND {})"}, BOOLEAN, BOOLEAN)

    def _negation(self) -> Expression:
        count = 0
        while self._accept("NOT"):
            count += 1
        condition = self._condition()
        return _node("(NOT {})", BOOLEAN, [condition], [BOOLEAN]) if count % 2 else condition

    def _condition(self) -> Expression:
        left = self._concatenation()
        sign = self._accept(*_COMPARISONS)
        if sign:
            return _alike(f"({{}} {_COMPARISONS[sign]} {{}})", BOOLEAN, [left, self._concatenation()])
        if self._accept("IS"):
            return self._is(left)
        negated = "NOT " if self._accept("NOT") else ""
        word = self._accept("LIKE", "IN", "BETWEEN")
        if word:
            return _CONDITIONS[word](self, left, negated)
        if negated:
            raise self._unexpected()
        return left

    def _is(self, left: Expression) -> Expression:
        negated = "NOT " if self._accept("NOT") else ""
        word = self._accept("NULL", "MISSING")
        if not word:
            raise self._unexpected()
        return _node(f"({{}} IS {negated}NULL)", BOOLEAN, [left], [TEXT if word == "NULL" else ANY])

    def _like(self, left: Expression, negated: str) -> Expression:
        arguments, template = [left, self._concatenation()], f"({{}} {negated}LIKE {{}})"
        if self._accept("ESCAPE"):
            arguments.append(self._concatenation())
            template = f"({{}} {negated}LIKE {{}} ESCAPE {{}})"
        return _node(template, BOOLEAN, arguments, [TEXT] * len(arguments))

    def _in(self, left: Expression, negated: str) -> Expression:
        self._expect("(")
        values = self._list()
        places = ", ".join(["{}"] * len(values))
        return _alike(f"({{}} {negated}IN ({places}))", BOOLEAN, [left, *values])

    def _between(self, left: Expression, negated: str) -> Expression:
        low = self._concatenation()
        self._expect("AND")
        return _alike(f"({{}} {negated}BETWEEN {{}} AND {{}})", BOOLEAN, [left, low, self._concatenation()])

    def _concatenation(self) -> Expression:
        return self._binary(self._sum, {"||": "({} || {})"}, TEXT, TEXT)

    def _sum(self) -> Expression:
        return self._binary(self._product, {"+": "({} + {})", "-": "({} - {})"}, NUMBER, NUMBER)

    def _product(self) -> Expression:
        signs = {"*": "({} * {})", "/": "({} / {})", "%": "({} % {})"}
        return self._binary(self._signed, signs, NUMBER, NUMBER)

    def _binary(
        self, operand: Callable[[], Expression], signs: Mapping[str, str], kind: str, wanted: str
    ) -> Expression:
        left = operand()
        while sign := self._accept(*signs):
            left = _node(signs[sign], kind, [left, operand()], [wanted, wanted])
        return left

    def _signed(self) -> Expression:
        negative = False
        while sign := self._accept("-", "+"):
            negative ^= sign == "-"
        value = self._primary()
        return _node("(- {})", NUMBER, [value], [NUMBER]) if negative else value

    def _primary(self) -> Expression:
        token = self._token
        if token.kind in _CONSTANTS:
            return _CONSTANTS[token.kind](self._next().text)
        if self._accept("("):
            inner = self._expression()
            self._expect(")")
            return inner
        return self._word(token) if token.kind == "word" else self._column()

    def _word(self, token: Token) -> Expression:
        if token.upper == "CASE":
            return self._case()
        if self._tokens[self._at + 1].upper == "(":  # the last token is the end, never a word
            return self._call()
        if token.upper in _LITERALS:
            return _LITERALS[self._next().upper]
        return self._column()

    def _column(self) -> Column:
        first = self._name()
        path = (first, *self._steps())
        if first.text.lower() in (self._alias, _TABLE) and (
            len(path) > 1 or first.text.lower() == self._alias
        ):
            path = path[1:]
        return Column(path)

    def _steps(self) -> Path:
        """`.name`, `[0]`, `['name']`, `[*]`, as many as there are."""
        steps: list[Name | int | None] = []
        while sign := self._accept(".", "["):
            steps.append(self._name() if sign == "." else self._bracket())
        return tuple(steps)

    def _bracket(self) -> Name | int | None:
        token = self._next()
        self._expect("]")
        if token.kind == "number" and token.text.isdigit() and len(token.text) < 10:
            return int(token.text)
        if token.kind == "string":
            return Name(token.text[1:-1].replace("''", "'"), True)
        if token.upper == "*":
            return None
        raise ParseInvalidPathComponent()

    def _list(self) -> list[Expression]:
        """Expressions up to the closing parenthesis."""
        values = [self._expression()]
        while self._accept(","):
            values.append(self._expression())
        self._expect(")")
        return values

    def _case(self) -> Expression:
        self._expect("CASE")
        subject = None if self._token.upper == "WHEN" else self._expression()
        conditions, values = [], []
        while self._accept("WHEN"):
            condition = self._expression()
            conditions.append(
                condition if subject is None else _alike("({} = {})", BOOLEAN, [subject, condition])
            )
            self._expect("THEN")
            values.append(self._expression())
        if not conditions:
            raise self._unexpected()
        values.append(self._expression() if self._accept("ELSE") else _LITERALS["NULL"])
        self._expect("END")
        template = "(CASE" + " WHEN {} THEN {}" * len(conditions) + " ELSE {} END)"
        pairs = [one for pair in zip(conditions, values, strict=False) for one in pair]
        shared = _shared(values)
        return _node(template, shared, [*pairs, values[-1]], [*[BOOLEAN, shared] * len(conditions), shared])

    def _call(self) -> Expression:
        name = self._next().upper
        self._expect("(")
        special = _SPECIAL.get(name)
        if special is not None:
            return special(self)
        if name in _AGGREGATES and self._aggregates:
            return self._aggregate(name)
        if name not in _FUNCTIONS:
            raise UnsupportedFunction(f"The function {name[:64]} is not supported here.")
        return self._apply(_FUNCTIONS[name], [] if self._accept(")") else self._list())

    def _aggregate(self, name: str) -> Expression:
        if name == "COUNT" and self._accept("*"):
            self._expect(")")
            return Node("count(*)", NUMBER)
        self._aggregates = False  # one inside another has no meaning
        arguments = self._list()
        self._aggregates = True
        return self._apply(_AGGREGATES[name], arguments)

    def _apply(self, function: _Function, arguments: list[Expression]) -> Node:
        if len(arguments) != len(function.wanted):
            raise ParseUnsupportedSyntax("A function has the wrong number of arguments.")
        return _node(function.template, function.type, arguments, function.wanted)

    def _cast(self) -> Expression:
        value = self._expression()
        self._expect("AS")
        name = self._next().upper
        if name not in _TYPES:
            raise ParseUnsupportedSyntax(f"The type {name[:64]} is not supported.")
        if self._accept("("):  # a length or precision, which changes nothing here
            self._list()
        self._expect(")")
        written, kind = _TYPES[name]
        return _node(f"CAST({{}} AS {written})", kind, [value], [TEXT])

    def _coalesce(self) -> Expression:
        values = self._list()
        return _alike(f"coalesce({', '.join(['{}'] * len(values))})", _shared(values), values)

    def _nullif(self) -> Expression:
        values = self._list()
        if len(values) != 2:
            raise ParseUnsupportedSyntax("NULLIF needs two arguments.")
        return _alike("nullif({}, {})", _shared(values), values)

    def _substring(self) -> Expression:
        values = [self._expression()]
        while self._accept(",", "FROM", "FOR"):
            values.append(self._expression())
        self._expect(")")
        if len(values) not in (2, 3):
            raise ParseUnsupportedSyntax("SUBSTRING needs two or three arguments.")
        numbers = ", CAST({} AS BIGINT)" * (len(values) - 1)
        return _node("substring({}" + numbers + ")", TEXT, values, [TEXT, *[NUMBER] * (len(values) - 1)])

    def _trim(self) -> Expression:
        function = _TRIMS[self._accept(*_TRIMS) or "BOTH"]
        values = [] if self._token.upper == "FROM" else [self._expression()]
        if self._accept("FROM"):
            values.insert(0, self._expression())
        self._expect(")")
        return _node(f"{function}({', '.join(['{}'] * len(values))})", TEXT, values, [TEXT] * len(values))

    def _part(self) -> str:
        part = self._next().upper
        if part not in _PARTS:
            raise ParseUnsupportedSyntax(f"'{part[:64]}' is no part of a time.")
        return part.lower()

    def _extract(self) -> Expression:
        part = self._part()
        self._expect("FROM")
        moment = self._expression()
        self._expect(")")
        return _node(f"date_part('{part}', {{}})", NUMBER, [moment], [TIME])

    def _date_add(self) -> Expression:
        part = self._part()
        self._expect(",")
        template = f"({{1}} + CAST({{0}} AS BIGINT) * INTERVAL 1 {part})"
        return self._apply(_Function(template, TIME, (NUMBER, TIME)), self._list())

    def _date_diff(self) -> Expression:
        part = self._part()
        self._expect(",")
        return self._apply(_Function(f"date_diff('{part}', {{}}, {{}})", NUMBER, (TIME, TIME)), self._list())


_CONDITIONS: Mapping[str, Callable[[_Parser, Expression, str], Expression]] = {
    "LIKE": _Parser._like,
    "IN": _Parser._in,
    "BETWEEN": _Parser._between,
}
_SPECIAL: Mapping[str, Callable[[_Parser], Expression]] = {
    "CAST": _Parser._cast,
    "COALESCE": _Parser._coalesce,
    "DATE_ADD": _Parser._date_add,
    "DATE_DIFF": _Parser._date_diff,
    "EXTRACT": _Parser._extract,
    "NULLIF": _Parser._nullif,
    "SUBSTRING": _Parser._substring,
    "TRIM": _Parser._trim,
}
"""Functions whose arguments are not just a list."""
