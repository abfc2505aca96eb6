"""CREATE SOURCE: a connector, the columns it is to bring, and its watermark."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from sqlglot import exp

from penstock.columns import is_reserved
from penstock.errors import ConfigError, PlanError
from penstock.sql_plan.clauses import Clauses, OptionValue
from penstock.sql_plan.dialect import refuse, require_only, statements
from penstock.sql_session.connecting import source_stream
from penstock.sql_session.definitions import checks_of, column_of, watermark_of
from penstock.sql_session.relations import Column
from penstock.stream import Stream

TIMING = ("idle_timeout", "max_ahead", "allowed_lateness")
"""Options of ``with_watermark``, given beside those of the connector."""


def source_of(node: exp.Create, clauses: Clauses) -> tuple[Stream, tuple[str, int] | None]:
    """Return a source's rows, and the column and lateness (nanoseconds) of its watermark."""
    require_only(node, "this", "kind", "exists")
    columns, watermark = declared(node)
    options, timing = _without_timing(clauses)
    if timing and watermark is None:
        raise refuse(node, f"{next(iter(timing))} is for a watermark, and there is none")
    stream = source_stream(options, {column.name: column.dtype for column in columns})
    if watermark is None:
        return stream, None
    if watermark[0] not in stream.columns:
        raise PlanError(
            f"no column {watermark[0]!r}",
            step="sql",
            value=watermark[0],
            alternatives=stream.columns,
        )
    return stream, watermark


def stream_at(url: str, options: Mapping[str, OptionValue], columns: str | None = None) -> Stream:
    """Return the stream of a URL whose options are texts, as ``WITH`` takes them.

    ``columns``: those of the source as SQL declares them (``"id INT, name TEXT"``), where it does not
    know them itself.
    """
    declared = f" ({columns})" if columns else ""
    found = statements(f"CREATE SOURCE source{declared} WITH (connector = 'rate')")
    node = found[0].node
    if len(found) > 1 or not isinstance(node, exp.Create):
        raise ConfigError(
            "not a list of columns", step="columns", value=columns, hint="id INT, name TEXT"
        )
    return source_of(node, Clauses(kind="SOURCE", options=options, url=url))[0]


def watermarked(stream: Stream, watermark: tuple[str, int] | None, clauses: Clauses) -> Stream:
    """Return the rows of a source with its watermark, by the clock where it is quiet."""
    if watermark is None:
        return stream
    column, lateness_ns = watermark
    return stream.with_watermark(column, lateness=f"{lateness_ns}ns", **_without_timing(clauses)[1])


def _without_timing(clauses: Clauses) -> tuple[Clauses, dict[str, Any]]:
    timing = {name: value for name, value in clauses.options.items() if name in TIMING}
    rest = {name: value for name, value in clauses.options.items() if name not in TIMING}
    return dataclasses.replace(clauses, options=rest), timing


def declared(node: exp.Create) -> tuple[list[Column], tuple[str, int] | None]:
    """Return the columns in the statement's parentheses, none if there are none, and the watermark."""
    columns: list[Column] = []
    watermark = None
    for part in node.this.expressions if isinstance(node.this, exp.Schema) else ():
        if isinstance(part, exp.ColumnDef):
            column, is_key = column_of(part)
            if is_key or column != Column(column.name, column.dtype) or checks_of(part):
                raise refuse(part, "a source has columns and types only")
            if is_reserved(column.name):
                raise refuse(part, f"column name {column.name!r} is reserved")
            if column.name.lower() in (known.name.lower() for known in columns):
                raise refuse(part, f"column {column.name!r} is given twice")
            columns.append(column)
        elif isinstance(part, exp.WatermarkColumnConstraint) and watermark is None:
            watermark = watermark_of(part)
        else:
            raise refuse(part, "a source takes columns and one WATERMARK FOR")
    return columns, watermark
