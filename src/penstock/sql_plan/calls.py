"""Functions known by name: how many arguments they take, and what they do with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlglot import exp

from penstock.sql_plan.dialect import refuse
from penstock.sql_plan.scalars import Scalars
from penstock.sql_plan.values import Value


@dataclass(frozen=True, slots=True)
class Call:
    """A function of ``least`` to ``most`` arguments, whatever node the parser has made of it."""

    least: int
    most: int
    apply: Callable[[Scalars, list[exp.Expr]], Value]

    def __call__(self, scalars: Scalars, node: exp.Expr) -> Value:
        """Translate a call; refuses another number of arguments."""
        arguments = given(node)
        if not self.least <= len(arguments) <= self.most:
            counts = sorted({self.least, self.most})
            raise refuse(node, f"{' to '.join(map(str, counts))} arguments are needed")
        return self.apply(scalars, arguments)


def given(node: exp.Expr) -> list[exp.Expr]:
    """Return the arguments of a call in the order in which they are written."""
    if isinstance(node, exp.Anonymous):
        return list(node.expressions)
    found: list[exp.Expr] = []
    for name in node.arg_types:
        value = node.args.get(name)
        items = value if isinstance(value, list) else [value]
        found += [item for item in items if isinstance(item, exp.Expr)]
    return found
