"""The rows of a table that a statement is about, by number, so that equal rows stay apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import polars as pl
from sqlglot import exp

from penstock.sql_plan.clock import statement_time
from penstock.sql_plan.dialect import refuse
from penstock.sql_session.execute import answer, contents_of, planned, rows_of
from penstock.sql_session.relations import Catalogue, Column, Table

_NUMBER = "#row"
_BESIDE = "#beside"
"""Names that stand for nothing a user writes without quotes."""


@dataclass(frozen=True, slots=True)
class Picked:
    """What a condition picks: numbers of rows, cells computed for each, and what stood beside it.

    ``beside`` has the columns of the other tables of the statement, by the names it calls them.
    """

    numbers: pl.Series
    cells: pl.DataFrame
    beside: Mapping[str, pl.DataFrame]

    def first_of_each(self) -> Picked:
        """Keep one line for each row of the table, where several matched it."""
        kept = self.numbers.is_first_distinct()
        beside = {name: frame.filter(kept) for name, frame in self.beside.items()}
        cells = self.cells.filter(kept) if self.cells.width else self.cells
        return Picked(self.numbers.filter(kept), cells, beside)


def picked(
    catalogue: Catalogue,
    rows: Table,
    query: exp.Select,
    cells: Sequence[exp.Expr],
    beside: Sequence[str] = (),
) -> Picked:
    """Run a query over a table that ``numbered`` made and others; what it selects is given here."""
    name = exp.Identifier(this=_alias(query), quoted=True)
    marks = [exp.alias_(exp.Null(), f"{_BESIDE}{at}", quoted=True) for at in range(len(beside))]
    query.set(
        "expressions",
        [
            exp.Column(this=exp.Identifier(this=_number(rows), quoted=True), table=name),
            *(exp.alias_(cell, f"#cell{at}", quoted=True) for at, cell in enumerate(cells)),
            *(part for pair in zip(marks, map(_star, beside), strict=True) for part in pair),
        ],
    )
    relation, read = planned(catalogue, query, once=True)
    found = rows_of(relation, contents_of(catalogue, read), statement_time())
    behind = 1 + len(cells)
    names = [field.name for field in relation.fields]
    return Picked(
        found.to_series(0),
        found[:, 1:behind],
        dict(_split(found[:, behind:], names[behind:], beside)),
    )


def _split(
    frame: pl.DataFrame, names: list[str], beside: Sequence[str]
) -> Iterator[tuple[str, pl.DataFrame]]:
    starts = [names.index(f"{_BESIDE}{at}") for at in range(len(beside))]
    for name, start, end in zip(beside, starts, [*starts, len(names)][1:], strict=True):
        part = frame[:, start + 1 : end]
        yield name, part.rename(dict(zip(part.columns, names[start + 1 : end], strict=True)))


def numbered(name: str, columns: Sequence[Column], rows: pl.DataFrame) -> Table:
    """Return rows as a table of a catalogue, with their number in a column more."""
    number = _NUMBER
    while number in rows.columns:
        number += "#"
    table = Table(name, (*columns, Column(number, pl.UInt32())))
    index = pl.int_range(rows.height, dtype=pl.UInt32, eager=True).alias(number)
    table.contents.apply(rows.with_columns(index))
    return table


def target(table: str, alias: str) -> exp.Table:
    """Return a table as a FROM item under the name by which the statement calls it."""
    return exp.Table(
        this=exp.Identifier(this=table, quoted=True),
        alias=exp.TableAlias(this=exp.Identifier(this=alias, quoted=True)),
    )


def same_number(left: Table, one: str, right: Table, two: str) -> exp.Expr:
    """Return the condition that two numbered tables show the same line."""
    sides = [
        exp.Column(
            this=exp.Identifier(this=_number(table), quoted=True),
            table=exp.Identifier(this=alias, quoted=True),
        )
        for table, alias in ((left, one), (right, two))
    ]
    return exp.EQ(this=sides[0], expression=sides[1])


def _number(table: Table) -> str:
    return table.columns[-1].name


def _alias(query: exp.Select) -> str:
    return str(query.args["from_"].this.alias)


def _star(table: str) -> exp.Expr:
    return exp.Column(this=exp.Star(), table=exp.Identifier(this=table, quoted=True))


def names_beside(items: Sequence[exp.Expr]) -> list[str]:
    """Return the names of FROM items, and of what is joined to them."""
    found = []
    for item in items:
        found.append(item.alias_or_name)
        found += names_beside([join.this for join in item.args.get("joins") or []])
    return found


def shown(
    catalogue: Catalogue,
    clause: exp.Returning,
    alias: str,
    columns: Sequence[Column],
    rows: pl.DataFrame,
    beside: Mapping[str, pl.DataFrame],
) -> pl.DataFrame:
    """Return what RETURNING asks of changed rows, and of what stood beside them."""
    pieces = {alias: numbered("#0", columns, rows)}
    for at, (name, frame) in enumerate(beside.items(), 1):
        kinds = [Column(c, dtype) for c, dtype in frame.schema.items()]
        pieces[name] = numbered(f"#{at}", kinds, frame)
    first = pieces[alias]
    query = exp.Select(
        expressions=[part for item in clause.expressions for part in _expanded(item, pieces)],
        from_=exp.From(this=target(first.name, alias)),
        joins=[
            exp.Join(this=target(piece.name, name), on=same_number(first, alias, piece, name))
            for name, piece in pieces.items()
            if piece is not first
        ],
    )
    world = {**catalogue, **{piece.name: piece for piece in pieces.values()}}
    return answer(world, query)


def _expanded(item: exp.Expr, pieces: Mapping[str, Table]) -> Iterator[exp.Expr]:
    """Return the columns that a star stands for: all but the numbers."""
    star = isinstance(item, exp.Star)
    if not star and not (isinstance(item, exp.Column) and isinstance(item.this, exp.Star)):
        yield item
        return
    wanted = item.table.lower() if isinstance(item, exp.Column) else ""
    meant = {name: t for name, t in pieces.items() if not wanted or name.lower() == wanted}
    if not meant:
        raise refuse(item, "there is no table of that name here")
    for name, piece in meant.items():
        for column in piece.columns[:-1]:
            yield exp.Column(
                this=exp.Identifier(this=column.name, quoted=True),
                table=exp.Identifier(this=name, quoted=True),
            )
