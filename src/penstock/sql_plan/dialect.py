"""SQL text to syntax trees: a PostgreSQL-like dialect with sources, sinks, watermarks and windows."""

from __future__ import annotations

import contextlib
import itertools
import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from sqlglot import exp
from sqlglot.dialects.risingwave import RisingWave
from sqlglot.errors import ParseError, TokenError
from sqlglot.parsers.risingwave import RisingWaveParser
from sqlglot.tokenizer_core import Token, TokenType

from penstock.errors import PlanError, closest
from penstock.sql_plan.array_queries import array_of
from penstock.sql_plan.clauses import Clauses, column_of, taken_out
from penstock.sql_plan.parameter_marks import dollars_kept, named, word

logging.getLogger("sqlglot").setLevel(logging.ERROR)  # it warns of every statement of ours

_BOUND = re.compile(r'"([^"]+)#\d+"')

_OURS = ("TO_CHAR", "TO_DATE", "TO_TIMESTAMP", "TO_NUMBER", "MAKE_INTERVAL", "DATE_ADD",
         "REGEXP_REPLACE", "REGEXP_SUBSTR", "REGEXP_INSTR", "REGEXP_COUNT",
         "REGEXP_LIKE", "LPAD", "RPAD", "CONCAT_WS", "TO_HEX", "DIV")  # fmt: skip
"""Functions whose arguments the parser would read as those of another database."""

_NAMED = {
    "TUMBLE": ("DATA", "TIMECOL", "SIZE", "OFFSET"),
    "HOP": ("DATA", "TIMECOL", "SLIDE", "SIZE", "OFFSET"),
    "CUMULATE": ("DATA", "TIMECOL", "STEP", "SIZE", "OFFSET"),
    "SESSION": ("DATA", "TIMECOL", "GAP"),
}
"""Flink's names of the arguments of window functions, in their order."""


def _by_name(name: str) -> Callable[[list[exp.Expr]], exp.Expr]:
    """Read a call as one of a function that only we know."""
    return lambda args: exp.Anonymous(this=name, expressions=args)


def _quantifier(name: str) -> Callable[[list[exp.Expr]], exp.Expr]:
    """Read ``ALL ((SELECT ...))``, in which the parser sees a function, as what it is."""
    kind = exp.All if name == "ALL" else exp.Any
    by_name = _by_name(name)
    return lambda args: kind(this=args[0]) if len(args) == 1 else by_name(args)


class PenstockSQL(RisingWave):
    """PostgreSQL expressions, RisingWave's streaming statements, Flink's window functions."""

    class Tokenizer(RisingWave.Tokenizer):
        """Knows Snowflake's ``ASOF JOIN t MATCH_CONDITION (a.ts >= t.ts) ON ...`` as well."""

        KEYWORDS = {
            **RisingWave.Tokenizer.KEYWORDS,
            "MATCH_CONDITION": TokenType.MATCH_CONDITION,
        }
        KEYWORDS.pop("?::", None)  # in ``?::int`` the mark is a parameter

    INDEX_OFFSET = 0  # an index stays as it is written: the parser would shift some and not others

    class Parser(RisingWaveParser):
        """Reads ``TUMBLE(TABLE t, DESCRIPTOR(ts), ...)`` as ``TUMBLE(t, ts, ...)``."""

        LAMBDAS = {  # in PostgreSQL ``f(j -> 'a')`` reads JSON
            token: read
            for token, read in RisingWaveParser.LAMBDAS.items()
            if token is not TokenType.ARROW
        }
        FUNCTION_PARSERS = {
            **RisingWaveParser.FUNCTION_PARSERS,
            **{name: (lambda self, name=name: self._read_window(name)) for name in _NAMED},
        }

        TABLE_ALIAS_TOKENS = {*RisingWaveParser.TABLE_ALIAS_TOKENS} - {TokenType.MATCH_CONDITION}
        FUNC_TOKENS = {*RisingWaveParser.FUNC_TOKENS, TokenType.SESSION}
        FUNCTIONS = {
            **RisingWaveParser.FUNCTIONS,
            "REGEXP_EXTRACT": lambda args: _regexp_extract(*args),
            **{name: _by_name(name) for name in _OURS},
            **{name: _quantifier(name) for name in ("ANY", "SOME", "ALL")},
            "ARRAY": array_of,
        }

        def _parse_interval(self, *given: bool, **named: bool) -> exp.Expr | None:  # type: ignore[override]
            """Read ``INTERVAL '2 days 03:02:47'`` whole: the parser would drop the time."""
            clock = self._next is not None and self._next.token_type is TokenType.STRING
            if self._curr.token_type is TokenType.INTERVAL and clock and ":" in self._next.text:
                self._advance(2)
                return exp.Interval(this=exp.Literal.string(self._prev.text))
            found: exp.Expr | None = super()._parse_interval(*given, **named)
            return found

        def _read_window(self, name: str) -> exp.Expr:
            partition: list[exp.Expr] = []
            named: dict[str, exp.Expr] = {}
            arguments = self._parse_csv(lambda: self._read_window_argument(partition, named))
            if named and set(named) <= set(_NAMED[name]) and len(named) == len(arguments):
                arguments = [named[part] for part in _NAMED[name] if part in named]
            elif named:
                self.raise_error(f"{name} takes {', '.join(_NAMED[name])}, all of them by name")
            found = exp.Anonymous(this=name, expressions=arguments)
            if partition:
                found.set("partition_by", partition)
            return found

        def _read_window_argument(
            self, partition: list[exp.Expr], named: dict[str, exp.Expr]
        ) -> exp.Expr | None:
            if self._next and self._next.token_type is TokenType.FARROW:
                name = self._curr.text.upper()
                self._advance(2)
                found = self._read_window_argument(partition, named)
                if found is not None:
                    named[name] = found
                return found
            self._match_text_seq("TABLE")
            if self._match_text_seq("DESCRIPTOR"):
                column: exp.Expr | None = self._parse_wrapped(self._parse_column)
                return column
            argument: exp.Expr | None = self._parse_lambda()
            if self._match(TokenType.PARTITION_BY):
                by = self._parse_disjunction()
                if by is None:
                    self.raise_error("PARTITION BY names a column")
                else:
                    partition += by.expressions if isinstance(by, exp.Tuple) else [by.unnest()]
            return argument


def _regexp_extract(text: exp.Expr, regex: exp.Expr, *group: exp.Expr) -> exp.Expr:
    """The third argument is a group, as in Flink and DuckDB."""
    return exp.RegexpExtract(this=text, expression=regex, group=group[0] if group else None)


@dataclass(frozen=True, slots=True)
class Marked:
    """A statement, its text, and the clauses around it that are ours alone."""

    node: exp.Expr
    text: str
    append_only: bool = False
    on_close: bool = False
    emits_changes: bool = False
    changelog: bool = False
    clauses: Clauses = field(default_factory=Clauses)
    line: int = 1
    column: int = 1

    @property
    def title(self) -> str:
        """``CREATE SINK name``: the statement without anything that may be secret."""
        if not isinstance(self.node, exp.Create):
            return type(self.node).__name__.upper()
        kind = self.clauses.kind or str(self.node.args.get("kind")).upper()
        return f"CREATE {kind} {created_name(self.node)}"

    def refuse_clauses(self) -> None:
        """Refuse the clauses that say how a view's results leave, where they say nothing."""
        if self.append_only or self.on_close or self.emits_changes or self.changelog:
            raise refuse(self.node, "this clause belongs to a CREATE statement")


_SUFFIXES = {
    "append_only": ("APPEND", "ONLY"),
    "on_close": ("EMIT", "ON", "WINDOW", "CLOSE"),
    "emits_changes": ("EMIT", "CHANGES"),
}
_CHANGELOG = ("AS", "CHANGELOG", "FROM")


def statements(text: str) -> list[Marked]:
    """Return the statements of a text; a ``PlanError`` with the position where one cannot be read."""
    try:
        tokens = list(named(PenstockSQL().tokenize(dollars_kept(text))))
    except TokenError as error:
        raise PlanError(f"cannot read the SQL: {_unclosed(error)}", step="sql") from None
    _refuse_joined_numbers(tokens)
    with nesting_limited():
        return [_statement(text, part) for part in _split(tokens)]


def _refuse_joined_numbers(tokens: list[Token]) -> None:
    """Refuse ``1_000``, which would be 1 under the name ``_000``."""
    for number, name in itertools.pairwise(tokens):
        joined = number.token_type is TokenType.NUMBER and name.token_type is TokenType.VAR
        if joined and name.start == number.end + 1:
            text = number.text + name.text
            raise PlanError(
                f"{text!r} at line {number.line}, column {column_of(number)} is no number",
                step="sql",
                value=text,
                hint="a name after a number is set off by a blank",
            )


@contextlib.contextmanager
def nesting_limited() -> Iterator[None]:
    """Turn the end of Python's stack into an error that says what to write instead."""
    try:
        yield
    except RecursionError:
        raise PlanError(
            "the SQL is nested too deeply",
            step="sql",
            hint="write a IN (1, 2, ...) for many ORs, and split what is longer into views",
        ) from None


def parse(text: str) -> list[exp.Expr]:
    """Return the statements of a text without clauses of ours."""
    found = statements(text)
    for marked in found:
        marked.refuse_clauses()
    return [marked.node for marked in found]


def created_name(node: exp.Create) -> str:
    """Return the name that a CREATE statement gives."""
    return plain_name(node.this.this if isinstance(node.this, exp.Schema) else node.this)


def plain_name(node: exp.Expr) -> str:
    """Return the name of a table; ``public`` is the one schema there is."""
    schema = node.args.get("db")
    if schema is not None and schema.name.lower() != "public":
        raise refuse(node, "there are no schemas, other than public")
    return str(node.name)


def _unclosed(error: TokenError) -> str:
    """Say what the tokenizer missed, without the text around it, which may hold a password."""
    said = str(error)
    return said if said.startswith("Missing") else "a quote or a comment is not closed"


def _split(tokens: list[Token]) -> Iterator[list[Token]]:
    part: list[Token] = []
    for token in tokens:
        if token.token_type is TokenType.SEMICOLON:
            if part:
                yield part
            part = []
        else:
            part.append(token)
    if part:
        yield part


def _statement(text: str, tokens: list[Token]) -> Marked:
    whole = text[tokens[0].start : tokens[-1].end + 1]
    first = tokens[0]
    clauses, tokens = taken_out(tokens)
    marks: set[str] = set()
    while suffix := next((m for m, words in _SUFFIXES.items() if _ends(tokens, words)), None):
        tokens = tokens[: -len(_SUFFIXES[suffix])]
        marks.add(suffix)
    if {"on_close", "emits_changes"} <= marks:
        raise PlanError(
            f"EMIT ON WINDOW CLOSE and EMIT CHANGES are both given at line {first.line}", step="sql"
        )
    at = _changelog_at(tokens)
    if at is not None:
        source = tokens[at + 3]
        tokens = [
            *tokens[: at + 1],
            *PenstockSQL().tokenize("SELECT * FROM"),
            source,
            *tokens[at + 4 :],
        ]
    node = _parsed(tokens, text)
    return Marked(
        node,
        whole,
        append_only="append_only" in marks,
        on_close="on_close" in marks,
        emits_changes="emits_changes" in marks,
        changelog=at is not None,
        clauses=clauses,
        line=first.line,
        column=column_of(first),
    )


def _changelog_at(tokens: list[Token]) -> int | None:
    """Return where ``AS CHANGELOG FROM`` stands in ``CREATE ... AS CHANGELOG FROM v``."""
    at = next((i for i, token in enumerate(tokens) if word(token) == "AS"), len(tokens))
    words = tuple(map(word, tokens[at : at + len(_CHANGELOG)]))
    if word(tokens[0]) != "CREATE" or words != _CHANGELOG or len(tokens) < at + 4:
        return None
    return at


def _ends(tokens: list[Token], words: tuple[str, ...]) -> bool:
    return tuple(map(word, tokens[-len(words) :])) == words


def _parsed(tokens: list[Token], text: str) -> exp.Expr:
    try:
        found = PenstockSQL().parser().parse(tokens, text)
    except ParseError as error:
        first = error.errors[0]
        near = str(first.get("highlight") or "")
        raise PlanError(
            f"cannot read the SQL at line {first.get('line')}, column {first.get('col')}, "
            f"near {near!r}: {_plainly(str(first.get('description')))}",
            step="sql",
            value=near,
            hint=_advice(tokens, near),
        ) from None
    if len(found) != 1 or found[0] is None:
        raise PlanError("cannot read the SQL: no statement", step="sql", value=text)
    return found[0]


_STATEMENTS = ("SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "DROP", "WITH", "VALUES", "EXPLAIN",
               "SHOW", "DESCRIBE", "TRUNCATE")  # fmt: skip
_MISSING = re.compile(r"Required keyword: '\w+' missing for <class '[\w.]*\.(\w+)'>")


def _plainly(said: str) -> str:
    """Say what the parser says without the names of its classes."""
    missing = _MISSING.search(said)
    if missing:
        return f"something is missing in {missing[1].upper()}"
    if "SENTINEL" in said:
        return f"{said.partition(' but got')[0]}, but the text ends"
    if said.startswith("Invalid expression"):
        return "this does not fit here"
    return said.partition(" <Token")[0]


def _advice(tokens: list[Token], near: str) -> str | None:
    """Return what is likely meant, for mistakes that many make."""
    words = list(map(word, tokens))
    close = closest(words[0], _STATEMENTS)
    if words[0] not in _STATEMENTS and close:
        return f"did you mean {close}?"
    if near == "`":
        return 'names are quoted with ": "id"'
    if "TOP" in words[:3]:
        return "LIMIT 5 stands at the end"
    if "FORM" in words and "FROM" not in words:
        return "did you mean FROM?"
    return None


def position(node: exp.Expr) -> str:
    """Return where a construct stands in the text, as far as the parser remembers it."""
    for part in node.walk():
        if "line" in part.meta:
            column = part.meta["col"] - (part.meta["end"] - part.meta["start"])
            return f" at line {part.meta['line']}, column {column}"
    return ""


def refuse(node: exp.Expr, what: str, *, hint: str | None = None) -> PlanError:
    """Return the error for a construct that cannot be planned; bound names are shown as written."""
    text = _BOUND.sub(r"\1", node.sql(dialect=PenstockSQL))
    return PlanError(f"{what}{position(node)}: {text}", step="sql", value=text, hint=hint)


def require_only(node: exp.Expr, *known: str) -> None:
    """Refuse a construct with a part that the caller does not read, rather than ignore that part."""
    for name, value in node.args.items():
        if name not in known and value not in (None, False, []):
            said = name.rstrip("_").replace("_", " ").upper()
            raise refuse(node, f"{said} is not supported here")


def conjuncts(condition: exp.Expr | None) -> Iterator[exp.Expr]:
    """Yield the parts of a condition that must all hold, factoring out what alternatives share."""
    if condition is None:
        return
    condition = condition.unnest()
    if isinstance(condition, exp.And):
        yield from conjuncts(condition.left)
        yield from conjuncts(condition.right)
    elif isinstance(condition, exp.Or):
        yield from _factored(condition)
    else:
        yield condition


def _factored(condition: exp.Or) -> Iterator[exp.Expr]:
    """``(a AND b) OR (a AND c)`` is ``a AND (b OR c)``: a then serves as a key of a join."""
    branches = [list(conjuncts(branch)) for branch in _alternatives(condition)]
    shared = [part for part in branches[0] if all(part in branch for branch in branches[1:])]
    yield from shared
    rests = [[part for part in branch if part not in shared] for branch in branches]
    if all(rests):
        yield exp.or_(*(exp.and_(*rest, copy=False) for rest in rests), copy=False)


def _alternatives(condition: exp.Expr) -> Iterator[exp.Expr]:
    condition = condition.unnest()
    if isinstance(condition, exp.Or):
        yield from _alternatives(condition.left)
        yield from _alternatives(condition.right)
    else:
        yield condition
