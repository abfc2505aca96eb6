"""SHOW, DESCRIBE and EXPLAIN: what a session can tell of itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

import polars as pl
from sqlglot import exp

from penstock.errors import PlanError
from penstock.sql_plan.dialect import Marked, refuse, statements
from penstock.sql_plan.emission import emitted_once
from penstock.sql_plan.parameters import Parameters, given
from penstock.sql_plan.statements import shown
from penstock.sql_plan.types import sql_type
from penstock.sql_session.execute import planned
from penstock.sql_session.functions import SessionFunctions
from penstock.sql_session.inflow import Inflow
from penstock.sql_session.relations import Table, View, names_of
from penstock.sql_session.upkeep import Upkeep
from penstock.stream import Stream

HISTORY = "changelog"
"""What fills the table of ``CREATE MATERIALIZED VIEW v AS CHANGELOG FROM t``."""


def described(upkeep: Upkeep, node: exp.Expr) -> pl.DataFrame:
    """Return the columns of a table or view, and their types."""
    found = upkeep.relations.get(node.name.lower())
    if found is None:
        raise unknown(upkeep, node.name)
    return pl.DataFrame(
        {
            "column": found.schema.names(),
            "type": [sql_type(dtype) for dtype in found.schema.dtypes()],
        },
        schema={"column": pl.String, "type": pl.String},
    )


def unknown(upkeep: Upkeep, name: str) -> PlanError:
    """Return the error for a name that nothing has."""
    known = names_of(upkeep.relations) + [f.name for f in upkeep.outflows.values() if not f.history]
    return PlanError(f"no table or view {name!r}", step="sql", value=name, alternatives=known)


def listed(
    upkeep: Upkeep, functions: SessionFunctions, flows: Mapping[str, Inflow], what: str
) -> pl.DataFrame:
    """Return the names of all relations of a kind; of sources and sinks how they do, too."""
    if what == "SOURCES":
        return _states({flow.name: flow.state for flow in flows.values()})
    if what == "SINKS":
        return _states({f.name: f.state for f in upkeep.outflows.values() if not f.history})
    tables = [r for r in upkeep.relations.values() if isinstance(r, Table)]
    views = [r for r in upkeep.relations.values() if isinstance(r, View) and not r.followed]
    kinds = {
        "TABLES": [t.name for t in tables if t.filled_by is None],
        "VIEWS": [v.name for v in views if v.maintained is None],
        "MATERIALIZED VIEWS": [v.name for v in views if v.maintained is not None]
        + [t.name for t in tables if t.filled_by == HISTORY],
        "FUNCTIONS": functions.names,
    }
    if what not in kinds:
        raise PlanError(
            f"cannot show {what!r}",
            step="sql",
            value=what,
            alternatives=[*kinds, "SOURCES", "SINKS"],
        )
    return pl.DataFrame({"name": sorted(kinds[what])}, schema={"name": pl.String})


def _states(states: Mapping[str, str]) -> pl.DataFrame:
    rows = sorted(states.items())
    return pl.DataFrame(rows, schema={"name": pl.String, "state": pl.String}, orient="row")


def kind_of(upkeep: Upkeep, name: str) -> str:
    """Return what a name is: TABLE, VIEW, MATERIALIZED VIEW, SOURCE or SINK."""
    found = upkeep.relations.get(name)
    if found is None:
        return "SINK"
    if isinstance(found, View):
        return "VIEW" if found.maintained is None else "MATERIALIZED VIEW"
    return {"source": "SOURCE", HISTORY: "MATERIALIZED VIEW"}.get(found.filled_by or "", "TABLE")


def one(text: str) -> Marked:
    """Return the one statement that a text is to be."""
    found = statements(text)
    if len(found) != 1:
        raise PlanError(f"one query is needed, not {len(found)} statements", step="sql")
    return found[0]


_EXPLAIN = "EXPLAIN "
_PLAN_FOR = re.compile(r"plan\s+for\s+", re.IGNORECASE)
_NAME = re.compile(r'(?:(?:materialized\s+)?view\s+)?"?(\w+)"?\s*;?', re.IGNORECASE)
_OPTIONS = re.compile(r"(analyze|verbose|\()", re.IGNORECASE)


def explained(
    upkeep: Upkeep, functions: SessionFunctions, text: str, parameters: Parameters | None
) -> pl.DataFrame:
    """Return the plan of a query, of the one in a definition, or of a view by its name."""
    if _OPTIONS.match(text):
        raise PlanError(
            "EXPLAIN takes no options",
            step="sql",
            value=text.split()[0],
            hint="EXPLAIN SELECT ... shows the plan and its state; SHOW SOURCES and SHOW SINKS how they do",
        )
    view = _NAME.fullmatch(text)
    if view is not None:
        return _plan_of(_viewed(upkeep, view[1]))
    text = _PLAN_FOR.sub(lambda found: " " * len(found[0]), text, count=1)
    marked = one(" " * len(_EXPLAIN) + text)  # so that positions are those of the whole
    marked = replace(marked, node=given(marked.node, parameters))
    functions.noted(marked.node)
    node = marked.node.expression if isinstance(marked.node, exp.Create) else marked.node
    if not isinstance(node, exp.Query):
        raise refuse(marked.node, "EXPLAIN shows the plan of a query")
    relation, _ = planned(upkeep.relations, node, once=False)
    stream = shown(relation)
    return _plan_of(emitted_once(stream, node) if marked.on_close else stream)


def _viewed(upkeep: Upkeep, name: str) -> Stream:
    found = upkeep.relations.get(name.lower())
    if found is None:
        raise unknown(upkeep, name)
    if not isinstance(found, View):
        raise PlanError(f"{found.name} is no view", step="sql", value=name, hint=f"DESCRIBE {name}")
    return found.stream


def _plan_of(stream: Stream) -> pl.DataFrame:
    return pl.DataFrame({"plan": stream.explain().splitlines()})
