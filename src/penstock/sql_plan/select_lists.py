"""Functions that give rows in the select list: ``SELECT id, unnest(a) FROM t``.

::

    SELECT id, unnest(a) FROM t WHERE c
    -> SELECT id, u.unnest FROM t, unnest(a) AS u(unnest) WHERE c
"""

from __future__ import annotations

from sqlglot import exp

from penstock.sql_plan.dialect import refuse

_TABLE = "_penstock_rows"
_GIVE_ROWS = (exp.Explode, exp.ExplodingGenerateSeries)


def with_rows(node: exp.Select) -> exp.Select:
    """Put what gives rows into FROM; returns a copy if there is any."""
    found = [item for item in node.expressions if isinstance(item.unalias(), _GIVE_ROWS)]
    if not found:
        return node
    if node.args.get("group") or node.args.get("having"):
        raise refuse(
            found[0], "what gives rows cannot stand beside GROUP BY", hint="put it into FROM"
        )
    node = node.copy()
    arrays: list[exp.Expr] = []
    names: list[str] = []
    for item in node.expressions:
        inside = item.unalias()
        if not isinstance(inside, _GIVE_ROWS):
            continue
        explodes = isinstance(inside, exp.Explode)
        name = f"c{len(names)}"
        shown = item.alias or ("unnest" if explodes else "generate_series")
        arrays.append(inside.this if explodes else inside)
        names.append(name)
        column = exp.column(name, table=_TABLE)
        item.replace(exp.alias_(column, shown))
    alias = exp.TableAlias(
        this=exp.to_identifier(_TABLE), columns=[exp.to_identifier(name) for name in names]
    )
    rows = exp.Unnest(expressions=arrays, alias=alias)
    if node.args.get("from_") is None:
        node.set("from_", exp.From(this=rows))
    else:
        node.set("joins", [*(node.args.get("joins") or []), exp.Join(this=rows, kind="CROSS")])
    return node
