"""Random tables: few values, many nulls and duplicates, and what is written of each type in SQL."""

from __future__ import annotations

import datetime as dt
import random
from decimal import Decimal

import polars as pl

from penstock.operators.deltas import consolidate, weighted

Row = tuple[object, ...]

KINDS = ("int", "num", "text", "bool", "date", "ts")
"""Types of columns and expressions; ``list`` and ``json`` are drawn by name only."""
POLARS: dict[str, pl.DataType] = {
    "int": pl.Int32(),
    "num": pl.Decimal(10, 2),
    "text": pl.String(),
    "bool": pl.Boolean(),
    "date": pl.Date(),
    "ts": pl.Datetime("us"),
    "list": pl.List(pl.Int32()),
    "json": pl.String(),
}
TABLES: dict[str, dict[str, str]] = {
    "a": {"k": "int", "v": "int", "n": "num", "s": "text", "p": "bool", "d": "date"},
    "b": {"k": "int", "w": "int", "s": "text", "t": "ts", "l": "list"},
    "c": {"k": "int", "m": "num", "d": "date", "p": "bool", "j": "json"},
}
DOCUMENTS: list[object] = [
    '{"a": 1, "b": ["x", null], "c": {"d": "y"}}',
    '{"a": -7, "b": [], "c": {}}',
    '{"b": ["z"], "c": {"d": null}}',
    '{"a": null, "c": {"d": ""}}',
    "{}",
]
CELLS: dict[str, list[object]] = {
    "int": [0, 1, 2, 3, 7, -4],
    "num": [Decimal("0.00"), Decimal("1.00"), Decimal("2.50"), Decimal("-7.25")],
    "text": ["", "x", "y", "Xy", "z_é"],
    "bool": [True, False],
    "date": [dt.date(2020, 1, 31), dt.date(2020, 2, 29), dt.date(2021, 12, 1)],
    "ts": [dt.datetime(2020, 1, 31, 23, 59, 59), dt.datetime(2020, 2, 1), dt.datetime(1969, 7, 20)],
    "list": [[], [1], [2, 1], [1, None, 3], [None]],
    "json": DOCUMENTS,
}
LITERALS: dict[str, list[str]] = {
    "int": ["0", "1", "2", "3", "-4"],
    "num": ["1.00", "2.50", "-7.25"],
    "text": ["''", "'x'", "'y'", "'Xy'"],
    "bool": ["true", "false"],
    "date": ["date '2020-01-31'", "date '2020-02-29'"],
    "ts": ["timestamp '2020-02-01 00:00:00'", "timestamp '1969-07-20 00:00:00'"],
    "list": ["ARRAY[1]", "ARRAY[2, 1]", "ARRAY[3, 3, NULL]"],
    "json": [f"'{document}'" for document in DOCUMENTS],
}
SQL_TYPES = {"int": "INTEGER", "num": "NUMERIC(10, 2)", "text": "VARCHAR", "bool": "BOOLEAN",
             "date": "DATE", "ts": "TIMESTAMP", "list": "INTEGER[]", "json": "VARCHAR"}  # fmt: skip


def schema(table: str) -> pl.Schema:
    """Return the Polars schema of a table."""
    return pl.Schema({name: POLARS[kind] for name, kind in TABLES[table].items()})


def rows(chance: random.Random, table: str, most: int) -> list[Row]:
    """Return rows with nulls and duplicates."""
    made: list[Row] = []
    for _ in range(chance.randint(0, most)):
        if made and chance.random() < 0.2:
            made.append(chance.choice(made))
        else:
            made.append(tuple(_cell(chance, kind) for kind in TABLES[table].values()))
    return made


def _cell(chance: random.Random, kind: str) -> object:
    return None if chance.random() < 0.2 else chance.choice(CELLS[kind])


def history(chance: random.Random, epochs: int) -> list[dict[str, pl.DataFrame]]:
    """Return epochs of insertions, and of deletions of rows that are there."""
    present: dict[str, list[Row]] = {name: [] for name in TABLES}
    return [
        {name: _changes(chance, name, there) for name, there in present.items()}
        for _ in range(epochs)
    ]


def _changes(chance: random.Random, table: str, there: list[Row]) -> pl.DataFrame:
    gone = [
        there.pop(chance.randrange(len(there)))
        for _ in range(chance.randint(0, min(3, len(there))))
    ]
    added = rows(chance, table, 5)
    there += added
    frames = [
        weighted(pl.DataFrame(some, schema=schema(table), orient="row"), weight)
        for some, weight in ((gone, -1), (added, 1))
    ]
    return consolidate(pl.concat(frames))
