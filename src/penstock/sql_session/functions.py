"""The functions that statements of a session may call beside those of SQL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlglot import exp

from penstock.errors import PlanError
from penstock.sql_plan.dialect import refuse
from penstock.sql_plan.user_functions import (
    UserFunction,
    calls,
    created_function,
    given_function,
    with_functions,
)
from penstock.sql_session.relations import View
from penstock.sql_session.upkeep import Upkeep


class SessionFunctions:
    """Functions by their names in small letters, written down with what else the session holds."""

    def __init__(self, upkeep: Upkeep) -> None:
        self._upkeep = upkeep
        self._known: dict[str, UserFunction] = {}

    def noted(self, node: exp.Expr) -> exp.Expr:
        """Note at each call in a statement which function it means; returns the same statement."""
        return with_functions(node, self._known)

    def give(self, name: str, function: Callable[..., Any], types: Sequence[Any]) -> None:
        """Add a function of Python, which no log can hold."""
        if self._upkeep.log is not None:
            raise PlanError(
                f"function {name!r} would be gone when the session is opened again",
                step="function",
                hint="write CREATE FUNCTION ... LANGUAGE python AS $$ its text $$",
            )
        if name.lower() in self._known:
            raise PlanError(f"function {name!r} exists already", step="function", value=name)
        self._known[name.lower()] = given_function(name, function, types)

    def create(self, node: exp.Create, text: str) -> None:
        """``CREATE [OR REPLACE] FUNCTION [IF NOT EXISTS] ...``."""
        function = created_function(node)
        if function.name.lower() in self._known:
            if node.args.get("exists"):
                return
            if not node.args.get("replace"):
                raise refuse(node, f"function {function.name!r} exists already")
            self._refuse_if_called(function.name, node)
        self._upkeep.commit(text)
        self._known[function.name.lower()] = function

    def named(self, node: exp.Drop) -> UserFunction | None:
        """Return the function that ``DROP FUNCTION [IF EXISTS] name`` means."""
        name = (node.args.get("tables") or [node.this])[0].name
        found = self._known.get(name.lower())
        if found is None and not node.args.get("exists"):
            known = [function.name for function in self._known.values()]
            raise PlanError(f"no function {name!r}", step="sql", value=name, alternatives=known)
        return found

    def forget(self, name: str) -> None:
        """Let go of a function."""
        del self._known[name.lower()]

    @property
    def names(self) -> list[str]:
        """The names of all functions."""
        return [function.name for function in self._known.values()]

    def callers(self, name: str) -> list[str]:
        """Return the views and sinks that call a function."""
        views = [r for r in self._upkeep.relations.values() if isinstance(r, View)]
        views += [flow.view for flow in self._upkeep.outflows.values()]
        return [v.name for v in views if name.lower() in (c.name.lower() for c in calls(v.query))]

    def _refuse_if_called(self, name: str, node: exp.Expr) -> None:
        above = self.callers(name)
        if above:
            raise refuse(node, f"{', '.join(above)} calls it", hint="DROP the view first")
