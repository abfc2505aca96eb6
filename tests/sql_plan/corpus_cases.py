"""Reads the SQL cases of ``corpus/<group>/<name>.sql``.

The first line says what the case shows; then comes SQL with marks on lines of their own.
Before the first mark stand the tables and views;
after each ``-- step`` every view must equal the oracle's.

``-- postgres``           PostgreSQL is the oracle of this case, not DuckDB
``-- waits``              rows of its views wait for the watermark: a query asked once gives more
``-- oracle v: SELECT 1`` the oracle's query for a view that it has no words for
``-- step``               begins statements that change rows
``-- check v, w``         only these views are compared after the step
``-- rows v: [(1, 'a')]`` the rows of a view after the step, where no oracle has them
``-- refused: words``     the statement that follows is refused with these words
``-- alone``              no oracle knows the statements of this case: all rows are written down
``-- answers q => [...]`` the rows of a query after the step, in any order
``{folder}`` in a statement is a folder of the case's own.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "corpus"
_MARK = re.compile(r"^-- (postgres|alone|waits|oracle|step|check|rows|answers|refused)\b:?\s*(.*)$")
VIEW = re.compile(r"CREATE MATERIALIZED VIEW (\w+)(?:\s*\([^)]*\))?\s+AS\s+(.*?);\s*$", re.S | re.M)


@dataclass(slots=True)
class Step:
    """Statements, and what must be true after them; ``views`` are those it compares, by name."""

    text: str = ""
    views: dict[str, str] = field(default_factory=dict)
    rows: dict[str, list[tuple[Any, ...]]] = field(default_factory=dict)
    refused: str | None = None
    answers: list[tuple[str, list[tuple[Any, ...]]]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Case:
    """One file: ``steps[0]`` makes tables and views; ``views`` holds the query of every view.

    ``oracles`` are the oracle's own queries for some of them.
    """

    name: str
    postgres: bool
    steps: list[Step]
    views: dict[str, str]
    oracles: dict[str, str]
    waits: bool
    alone: bool


def cases() -> Iterator[Case]:
    """Yield every case of the corpus."""
    for path in sorted(FOLDER.glob("*/*.sql")):
        yield read(f"{path.parent.name}/{path.stem}", path.read_text())


def read(name: str, text: str) -> Case:
    """Return the case that a text describes."""
    steps, marks = [Step()], set[str]()
    oracles: dict[str, str] = {}
    checked: dict[int, list[str]] = {}
    for line in text.splitlines()[1:]:
        mark = _MARK.match(line)
        if mark is None:
            steps[-1].text += line + "\n"
        elif mark[1] in ("postgres", "waits", "alone"):
            marks.add(mark[1])
        elif mark[1] == "oracle":
            view, _, query = mark[2].partition(":")
            oracles[view] = query.strip()
        elif mark[1] in ("step", "refused"):
            steps.append(Step(refused=mark[2] or None))
        elif mark[1] == "check":
            checked[len(steps) - 1] = mark[2].split(", ")
        else:
            _note(steps[-1], mark[1], mark[2])
    made: dict[str, str] = {}
    for number, step in enumerate(steps):
        if step.refused is None:
            made |= dict(VIEW.findall(step.text))
        wanted = checked.get(number, list(made))
        if "alone" in marks:
            wanted = list(step.rows)
        step.views = {view: query for view, query in made.items() if view in wanted}
    return Case(name, "postgres" in marks, steps, made, oracles, "waits" in marks, "alone" in marks)


def _note(step: Step, kind: str, text: str) -> None:
    """Keep what a mark says of the answers after a step."""
    if kind == "answers":
        query, _, rows = text.rpartition(" => ")
        step.answers.append((query, ast.literal_eval(rows)))
    elif kind == "rows":
        view, _, rows = text.partition(":")
        step.rows[view] = ast.literal_eval(rows.strip())
