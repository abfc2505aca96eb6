"""Which rows a DuckDB table is likely to refuse, asked of DuckDB in one query for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from penstock.connectors.poison import Likely
from penstock.connectors.sql_text import quoted

if TYPE_CHECKING:
    import duckdb

_OWN = "a row is there with the same key"


def likely(
    live: duckdb.DuckDBPyConnection,
    table: str,
    frame: str,
    columns: list[str],
    key: tuple[str, ...],
) -> list[Likely]:
    """Return the rows of ``frame`` that do not fit a type, or break a constraint: by cause.

    A row with several causes is in none. ``columns`` are those of the frame; a row that is there with
    the same ``key`` is replaced, so it is no cause, but what else seems taken may be its own.
    """
    types = {
        name: sql_type
        for name, sql_type, *_ in live.execute(f"DESCRIBE {quoted(table)}").fetchall()
        if name in columns
    }
    casts = {name: f"TRY_CAST({quoted(name)} AS {types[name]})" for name in types}
    tests = {
        f"{name} does not fit {types[name]}": f"{quoted(name)} IS NOT NULL AND {cast} IS NULL"
        for name, cast in casts.items()
    }
    kept = ", ".join(f"{cast} AS {quoted(name)}" for name, cast in casts.items())
    unsuited = _asked(live, tests, frame)
    sound = ~np.any([*unsuited.values()], axis=0)
    broken, taken = _broken(live, table, set(types), key)
    cast = f"(SELECT {kept} FROM {frame}) AS f"  # noqa: S608 - quoted names
    masks = {text: mask & sound for text, mask in _asked(live, broken | taken, cast).items()}
    masks |= unsuited
    count = np.sum([*masks.values()], axis=0)
    found = []
    for text, mask in masks.items():
        if text == _OWN:
            continue
        rows = np.flatnonzero(mask & (count == 1)).tolist()
        found.append(Likely(rows, None if text in broken else f"DuckDB would refuse: {text}"))
    return [one for one in found if one.rows]


def _broken(
    live: duckdb.DuckDBPyConnection, table: str, columns: set[str], key: tuple[str, ...]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the tests of NOT NULL and CHECK, and of what is unique and there already."""
    constraints = live.execute(
        "SELECT constraint_type, expression, constraint_column_names FROM duckdb_constraints() "
        "WHERE table_name = ? AND schema_name = current_schema()",
        [table],
    ).fetchall()
    tests, taken = {}, {}
    for number, (kind, expression, names) in enumerate(constraints):
        if set(names) <= columns and kind == "NOT NULL":
            tests[f"{number}"] = f"{quoted(names[0])} IS NULL"
        elif set(names) <= columns and kind == "CHECK":
            tests[f"{number}"] = f"NOT ({expression})"
        elif set(names) <= columns and kind in ("UNIQUE", "PRIMARY KEY"):
            same = " AND ".join(f"t.{quoted(name)} = f.{quoted(name)}" for name in names)
            there = f"SELECT 1 FROM {quoted(table)} AS t WHERE {same}"  # noqa: S608 - quoted names
            text = f"a row is there with the same {', '.join(names)}"
            taken[_OWN if _folded(names) == _folded(key) else text] = f"EXISTS ({there})"
    return tests, taken


def _folded(names: Sequence[str]) -> list[str]:
    return sorted(name.lower() for name in names)


def _asked(
    live: duckdb.DuckDBPyConnection, tests: dict[str, str], source: str
) -> dict[str, np.ndarray]:
    if not tests:
        return {}
    wanted = ", ".join(f"COALESCE({test}, false) AS t{n}" for n, test in enumerate(tests.values()))
    found = live.execute(f"SELECT {wanted} FROM {source}").fetchnumpy()  # noqa: S608 - quoted names
    return {text: np.asarray(found[f"t{n}"], bool) for n, text in enumerate(tests)}
