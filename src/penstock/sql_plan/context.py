"""What the parts of the planner share: the catalogue, unique names, and the way to plan a query."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from sqlglot import exp

from penstock.errors import PlanError
from penstock.scans import scan
from penstock.sql_plan.dialect import plain_name, position
from penstock.sql_plan.relations import Names, Relation, Scope, relation_of
from penstock.stream import Stream

_ADDRESS = re.compile(r"[./:]")
"""What a quoted name has that stands for a file or URL: ``FROM 'access.log'``."""


OuterName = tuple[int, str | None, str]
"""A field of a query further out: how many scopes away, and the table and name it goes by."""


class Plan(Protocol):
    """Plans a query: ``(context, query, scope around it, outer values it is computed for)``."""

    def __call__(
        self, context: Context, query: exp.Expr, parent: Scope | None, outer: Relation | None
    ) -> Relation:
        """Return the query's result; its fields are the output columns."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a query is planned in.

    ``tables`` returns the stream of a table, or None; ``known`` lists their names for suggestions.
    ``queries`` returns the stream of the query of a view that is kept up to date, or None.
    """

    tables: Callable[[str], Stream | None]
    known: Callable[[], list[str]]
    plan: Plan
    queries: Callable[[str], Stream | None] = lambda _: None
    names: Names = field(default_factory=Names)
    common: Mapping[str, Relation] = field(default_factory=dict)
    free: dict[int, tuple[OuterName, ...]] = field(default_factory=dict)
    """What the nested queries of the statement name of the queries around them, once it is known."""

    def with_common(self, name: str, relation: Relation) -> Context:
        """Add a common table expression."""
        return replace(self, common={**self.common, name.lower(): relation})

    def with_queries(self) -> Context:
        """Read views by their queries, which know of more than the rows that are there now."""
        return replace(self, tables=lambda name: self.queries(name) or self.tables(name))

    def table(self, node: exp.Table) -> Relation:
        """Return a table or common table expression as it is; its fields have no table yet."""
        if node.name.lower() in self.common and not node.db:
            return self.common[node.name.lower()]
        stream = self.tables(plain_name(node))
        if stream is None and node.this.args.get("quoted") and _ADDRESS.search(node.name):
            stream = scan(node.name)
        if stream is None:
            raise PlanError(
                f"no table {node.name!r}{position(node)}",
                step="sql",
                value=node.name,
                alternatives=sorted({*self.known(), *self.common}),
            )
        return relation_of(stream, node.name, self.names)
