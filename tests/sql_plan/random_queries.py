"""Random queries: every answer is the same whatever the order of rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tests.sql_plan.random_expressions import Env, Typed, ordered
from tests.sql_plan.random_tables import KINDS, TABLES
from tests.sql_plan.random_windows import Windows

JOINS = ("JOIN", "JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "CROSS JOIN", ",")
SETS = ("UNION", "UNION ALL", "INTERSECT", "INTERSECT ALL", "EXCEPT", "EXCEPT ALL")


class Queries(Windows):
    """Draws queries over the random tables."""

    def statement(self) -> str:
        """Return a query over the tables, sometimes with common table expressions used in it."""
        env = Env((), queries=self.chance.choice((0, 1, 1, 1, 2, 2, 3)))
        if self.one_in(10):
            return self._of_floats(env)
        if self.one_in(4):
            return self._with_common(env, self._kinds())
        return self.query(env, self._kinds())

    def query(self, env: Env, kinds: Sequence[str], *, limited: bool = True) -> str:
        """Return a query with columns of these types named ``c0``, ``c1``, and so on."""
        if env.queries > 0 and self.one_in(25):
            return f"{self._with_common(replace(env, queries=env.queries - 1), kinds)}"
        if self.one_in(7) and env.queries > 0:
            made = self._set_operation(env, kinds)
        else:
            made = self._select(env, kinds)
        if limited and self.one_in(7):
            columns = [(f"c{i}", kind) for i, kind in enumerate(kinds)]
            order = [f"{ordered(column)}{self.direction()}" for column in columns]
            made = f"SELECT * FROM ({made}) {self.name('l')} ORDER BY {', '.join(order)}"
            made += self._limit()
        return made

    def _limit(self) -> str:
        alone = self.one_in(4)
        made = "" if alone else f" LIMIT {self.chance.randint(0, 4)}"
        return made + (f" OFFSET {self.chance.randint(0, 2)}" if alone or self.one_in(3) else "")

    def _with_common(self, env: Env, kinds: Sequence[str]) -> str:
        parts = []
        for _ in range(self.chance.randint(1, 2)):
            name, own = self.name("q"), self._kinds()
            columns = tuple((f"c{i}", kind) for i, kind in enumerate(own))
            listed = ", ".join(column for column, _ in columns)
            parts.append(f"{name}({listed}) AS ({self.query(replace(env, queries=1), own)})")
            env = replace(env, common=(*env.common, (name, columns)))
        return f"WITH {', '.join(parts)} {self.query(env, kinds)}"

    def _set_operation(self, env: Env, kinds: Sequence[str]) -> str:
        smaller = replace(env, queries=env.queries - 1)
        made = f"({self.query(smaller, kinds, limited=False)})"
        for _ in range(self.chance.choice((1, 1, 1, 2))):
            side = self.query(smaller, kinds, limited=False)
            made += f" {self.chance.choice(SETS)} ({side})"
        return made

    def _of_floats(self, env: Env) -> str:
        """Return groups with aggregates that give floats, of which nothing else is made."""
        source, columns = self.source(env)
        env = replace(env, leaves=tuple(columns))
        where = f" WHERE {self.condition(env, 2)}" if self.one_in(2) else ""
        below = replace(env, queries=0)
        one, two = (f"cast({self.expr(below, 'int', 1)} as bigint)" for _ in "ab")
        filtered = f" FILTER (WHERE {self.condition(below, 1)})" if self.one_in(4) else ""
        calls = [f"avg({one})", f"avg(DISTINCT {one})", f"stddev_samp({one})", f"stddev_pop({one})",
                 f"var_samp({one})", f"var_pop({one})", f"median({one})", f"covar_pop({one}, {two})",
                 f"regr_slope({one}, {two})", f"regr_count({one}, {two})",
                 f"regr_r2({one}, {two})", f"regr_intercept({one}, {two})",
                 f"avg({self.expr(below, 'num', 1)})"]  # fmt: skip
        chosen = (self.chance.choice(calls) + filtered for _ in range(2))
        cells = [f"nullif({call}, cast('nan' as double precision))" for call in chosen]
        share = f"{self.chance.choice((0, 0.25, 0.5, 1))}"
        call = self.chance.choice(("percentile_cont", "percentile_disc"))
        cells.append(
            f"{call}({share}) WITHIN GROUP (ORDER BY {one}{self.chance.choice(('', ' DESC'))})"
        )
        keys = [
            sql
            for sql, _ in self.chance.sample(columns, min(len(columns), self.chance.randint(0, 1)))
        ]
        group = f" GROUP BY {keys[0]}" if keys else ""
        return f"SELECT {_named([*cells, *keys])} FROM {source}{where}{group}"

    # -- one SELECT ------------------------------------------------------------------------------

    def _select(self, env: Env, kinds: Sequence[str]) -> str:
        source, columns = self.source(env)
        env = replace(env, leaves=tuple(columns))
        where = f" WHERE {self.condition(env, 3)}" if self.one_in(2) else ""
        if self.one_in(3):
            return self._grouped(env, kinds, source, where)
        cells = [self.expr(env, kind, 2) for kind in kinds]
        windows = ""
        if self.one_in(5):
            at = self.chance.randrange(len(kinds))
            cells[at] = self.window(env, kinds[at])
            call, over, window = cells[at].rpartition(" OVER ")
            if self.one_in(4) and not call.startswith("cast("):
                name = self.name("w")
                cells[at], windows = f"{call}{over}{name}", f" WINDOW {name} AS {window}"
        if self.one_in(12):
            return self._first_of_each(env, cells, f" FROM {source}{where}{windows}")
        if self.one_in(12):
            order = ", ".join(f"{ordered(column)}{self.direction()}" for column in columns)
            return f"(SELECT {_named(cells)} FROM {source}{where}{windows} ORDER BY {order}{self._limit()})"
        distinct = "DISTINCT " if self.one_in(7) else ""
        return f"SELECT {distinct}{_named(cells)} FROM {source}{where}{windows}"

    def _first_of_each(self, env: Env, cells: list[str], rest: str) -> str:
        """Return ``DISTINCT ON`` some columns, the rows ordered by all."""
        plain = [column for column in env.leaves if column[1] != "list"]
        some = self.chance.sample(plain, min(len(plain), self.chance.randint(1, 2)))
        by = [sql for sql, _ in some]
        rest_of = [column for column in env.leaves if column[0] not in by]
        order = by + [f"{ordered(column)}{self.direction()}" for column in rest_of]
        return f"(SELECT DISTINCT ON ({', '.join(by)}) {_named(cells)}{rest} ORDER BY {', '.join(order)})"

    def _grouped(self, env: Env, kinds: Sequence[str], source: str, where: str) -> str:
        keys = self.chance.sample(env.leaves, min(len(env.leaves), self.chance.randint(0, 3)))
        keys = [self._computed_key(env, key) for key in keys]
        above = replace(env, leaves=tuple(keys), grouped_from=env.leaves)
        cells = [self.expr(above, kind, 2) for kind in kinds]
        cells[0] = self.aggregate(above, kinds[0]) if not keys else cells[0]
        names = [sql for sql, _ in keys]
        if self.one_in(8):
            at = self.chance.randrange(len(kinds))
            cells[at] = self.window_of_groups(above, kinds[at], names)
        listed = self._sets(names) if keys and self.one_in(3) else ", ".join(names)
        if listed != ", ".join(names) and kinds[-1] == "int" and self.one_in(2):
            cells[-1] = (
                f"grouping({', '.join(self.chance.sample(names, self.chance.randint(1, len(names))))})"
            )
        having = f" HAVING {self.condition(above, 2)}" if self.one_in(3) else ""
        group = f" GROUP BY {listed}" if keys else ""
        return f"SELECT {_named(cells)} FROM {source}{where}{group}{having}"

    def _computed_key(self, env: Env, key: Typed) -> Typed:
        """Return a key of GROUP BY, sometimes an expression over the column."""
        sql, kind = key
        if kind == "int" and self.one_in(5):
            return f"({sql} % 2)", kind
        if kind == "text" and self.one_in(5):
            return f"lower({sql})", kind
        if kind == "ts" and self.one_in(3):
            return f"date_trunc('month', {sql})", kind
        return key

    def _sets(self, names: list[str]) -> str:
        """Return grouping sets over all of some keys."""
        whole = ", ".join(names)
        form = self.chance.randrange(5)
        if form == 0:
            return f"ROLLUP({whole})"
        if form == 1:
            return f"CUBE({whole})"
        if form == 2 and len(names) > 1:
            return f"{names[0]}, {self.chance.choice(('ROLLUP', 'CUBE'))}({', '.join(names[1:])})"
        some = [f"({', '.join(self.chance.sample(names, self.chance.randint(0, len(names))))})"
                for _ in range(self.chance.randint(1, 2))]  # fmt: skip
        return f"GROUPING SETS (({whole}), {', '.join(some)})"

    # -- FROM ------------------------------------------------------------------------------------

    def source(self, env: Env, *, commas: bool = True) -> tuple[str, list[Typed]]:
        """Return what may stand after FROM, and the columns that can be named then."""
        if self.one_in(14):
            return self._by_names()
        text, columns = self._item(env, [])
        for _ in range(self.chance.choice((0, 0, 0, 1, 1, 2))):
            if self.one_in(8):
                item, more = self._unnested(env, columns)
                text, columns = text + item, columns + more
                continue
            kind = self.chance.choice(JOINS if commas else JOINS[:-1])
            lateral = columns if kind in ("JOIN", "LEFT JOIN", "CROSS JOIN", ",") else []
            item, more = self._item(env, lateral)
            both = columns + more
            text += f", {item}" if kind == "," else f" {kind} {item}"
            if kind not in (",", "CROSS JOIN"):
                text += f" ON {self._on(env, columns, more, both, plain=kind != 'JOIN')}"
            columns = both
        return text, columns

    def _by_names(self) -> tuple[str, list[Typed]]:
        """Return two tables joined by columns of equal names, which need no table before them."""
        one, two = self.chance.sample(sorted(TABLES), 2)
        left, right = self.name("t"), self.name("t")
        shared = [name for name in TABLES[one] if name in TABLES[two]]
        kind = self.chance.choice(("JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"))
        if self.one_in(2):
            text = f"{one} {left} NATURAL {kind} {two} {right}"
        else:
            shared = self.chance.sample(shared, self.chance.randint(1, len(shared)))
            text = f"{one} {left} {kind} {two} {right} USING ({', '.join(shared)})"
        columns = [(name, TABLES[one][name]) for name in shared]
        for table, alias in ((one, left), (two, right)):
            columns += [(f"{alias}.{name}", of) for name, of in TABLES[table].items()]
        return text, columns

    def _unnested(self, env: Env, beside: list[Typed]) -> tuple[str, list[Typed]]:
        """Return an array of the row beside it, or a series, as rows."""
        alias, below = self.name("u"), Env(tuple(beside))
        if self.one_in(3):
            last = self.chance.choice(("2", f"abs({self.leaf(below, 'int')}) % 3"))
            return f" CROSS JOIN generate_series(1, {last}) {alias}(i)", [(f"{alias}.i", "int")]
        array = self.expr(below, "list", 1)
        if self.one_in(3):
            return f" LEFT JOIN LATERAL unnest({array}) {alias}(x) ON true", [(f"{alias}.x", "int")]
        if self.one_in(3):
            columns = [(f"{alias}.x", "int"), (f"{alias}.o", "int")]
            return f" CROSS JOIN unnest({array}) WITH ORDINALITY {alias}(x, o)", columns
        return f" CROSS JOIN unnest({array}) {alias}(x)", [(f"{alias}.x", "int")]

    def _item(self, env: Env, beside: list[Typed]) -> tuple[str, list[Typed]]:
        alias = self.name("t")
        choice = self.chance.random()
        if env.queries > 0 and choice < 0.2:
            kinds = self._kinds()
            lateral = beside and self.one_in(2)
            around = env.outer + (tuple(beside) if lateral else ())
            query = self.query(
                replace(env, leaves=(), outer=around, queries=env.queries - 1), kinds
            )
            columns = [(f"{alias}.c{i}", kind) for i, kind in enumerate(kinds)]
            return f"{'LATERAL ' if lateral else ''}({query}) {alias}", columns
        if env.common and choice < 0.6:
            name, known = self.chance.choice(env.common)
            return f"{name} {alias}", [(f"{alias}.{column}", kind) for column, kind in known]
        if choice < 0.25:
            values = ", ".join(f"({i}, '{s}')" for i, s in ((1, "x"), (2, "y"), (1, "x")))
            listed = [(f"{alias}.i", "int"), (f"{alias}.u", "text")]
            return f"(VALUES {values}) {alias}(i, u)", listed
        if choice > 0.95 and beside:
            text, columns = self.source(replace(env, outer=(), queries=0), commas=False)
            joined = " JOIN " in text and "unnest" not in text and "generate_series" not in text
            if joined:
                return f"({text})", columns
        return self._table(alias)

    def _table(self, alias: str) -> tuple[str, list[Typed]]:
        table = self.chance.choice(sorted(TABLES))
        return f"{table} {alias}", [(f"{alias}.{c}", kind) for c, kind in TABLES[table].items()]

    def _on(
        self, env: Env, left: list[Typed], right: list[Typed], both: list[Typed], *, plain: bool
    ) -> str:
        parts = []
        for _ in range(self.chance.choice((1, 1, 1, 2))):
            pairs = [(one, two) for one, k1 in left for two, k2 in right if k1 == k2]
            if pairs and not self.one_in(5):
                one, two = self.chance.choice(pairs)
                word = self.chance.choice(("=", "=", "=", "<", ">=", "IS NOT DISTINCT FROM"))
                parts.append(f"{one} {word} {two}")
            elif self.one_in(4):
                parts.append(self.chance.choice(("true", "false", "1 = 1", "1 > 2")))
            else:
                queries = 0 if plain else env.queries
                parts.append(self.condition(replace(env, leaves=tuple(both), queries=queries), 1))
        return " AND ".join(f"({part})" for part in parts)

    def _kinds(self) -> list[str]:
        kinds = [self.chance.choice(KINDS) for _ in range(self.chance.randint(1, 3))]
        return ["list", *kinds[1:]] if self.one_in(15) else kinds


def _named(cells: Sequence[str]) -> str:
    return ", ".join(f"{cell} AS c{i}" for i, cell in enumerate(cells))
