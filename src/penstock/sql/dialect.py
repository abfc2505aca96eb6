"""SQL text to syntax trees: a PostgreSQL-like dialect with sources, sinks, watermarks and windows."""

from __future__ import annotations

from collections.abc import Iterator

import sqlglot
from sqlglot import exp
from sqlglot.dialects.risingwave import RisingWave
from sqlglot.errors import ParseError, TokenError

from penstock.errors import PlanError

_WINDOWS = ("TUMBLE", "HOP", "CUMULATE", "SESSION")


class PenstockSQL(RisingWave):
    """PostgreSQL expressions, RisingWave's streaming statements, Flink's window functions."""

    class Parser(RisingWave.Parser):
        """Reads ``TUMBLE(TABLE t, DESCRIPTOR(ts), ...)`` as ``TUMBLE(t, ts, ...)``."""

        FUNCTION_PARSERS = {
            **RisingWave.Parser.FUNCTION_PARSERS,
            **{name: (lambda self, name=name: self._read_window(name)) for name in _WINDOWS},
        }

        def _read_window(self, name: str) -> exp.Expression:
            arguments = self._parse_csv(self._read_window_argument)
            return exp.Anonymous(this=name, expressions=arguments)

        def _read_window_argument(self) -> exp.Expression | None:
            self._match_text_seq("TABLE")
            if self._match_text_seq("DESCRIPTOR"):
                return self._parse_wrapped(self._parse_column)
            return self._parse_lambda()


def parse(text: str) -> list[exp.Expression]:
    """Return the statements of a text; a ``PlanError`` with the position where it cannot be read."""
    try:
        found = sqlglot.parse(text, dialect=PenstockSQL)
    except ParseError as error:
        first = error.errors[0]
        near = str(first.get("highlight") or "")
        raise PlanError(
            f"cannot read the SQL at line {first.get('line')}, column {first.get('col')}, "
            f"near {near!r}: {first.get('description')}",
            step="sql",
            value=near,
        ) from None
    except TokenError as error:
        raise PlanError(f"cannot read the SQL: {error}", step="sql") from None
    return [statement for statement in found if statement is not None]


def position(node: exp.Expression) -> str:
    """Return where a construct stands in the text, as far as the parser remembers it."""
    for part in node.walk():
        if "line" in part.meta:
            return f" at line {part.meta['line']}, column {part.meta['col']}"
    return ""


def refuse(node: exp.Expression, what: str, *, hint: str | None = None) -> PlanError:
    """Return the error for a construct that cannot be planned."""
    text = node.sql(dialect=PenstockSQL)
    return PlanError(f"{what}{position(node)}: {text}", step="sql", value=text, hint=hint)


def require_only(node: exp.Expression, *known: str) -> None:
    """Refuse a construct with a part that the caller does not read, rather than ignore that part."""
    for name, value in node.args.items():
        if name not in known and value not in (None, False, []):
            said = name.rstrip("_").replace("_", " ").upper()
            raise refuse(node, f"{said} is not supported here")


def conjuncts(condition: exp.Expression | None) -> Iterator[exp.Expression]:
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


def _factored(condition: exp.Or) -> Iterator[exp.Expression]:
    """``(a AND b) OR (a AND c)`` is ``a AND (b OR c)``: a then serves as a key of a join."""
    branches = [list(conjuncts(branch)) for branch in _alternatives(condition)]
    shared = [part for part in branches[0] if all(part in branch for branch in branches[1:])]
    yield from shared
    rests = [[part for part in branch if part not in shared] for branch in branches]
    if all(rests):
        yield exp.or_(*(exp.and_(*rest, copy=False) for rest in rests), copy=False)


def _alternatives(condition: exp.Expression) -> Iterator[exp.Expression]:
    condition = condition.unnest()
    if isinstance(condition, exp.Or):
        yield from _alternatives(condition.left)
        yield from _alternatives(condition.right)
    else:
        yield condition
