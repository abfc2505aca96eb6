"""Random queries and random tables for them: every answer is the same whatever the order of rows.

No float is compared or grouped by, nothing is divided, and what depends on an order has a total one.
"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

import polars as pl

from penstock.operators.deltas import consolidate, weighted

Row = tuple[object, ...]
Typed = tuple[str, str]
"""An expression or a column, and its type."""

KINDS = ("int", "num", "text", "bool", "date", "ts")
POLARS: dict[str, pl.DataType] = {
    "int": pl.Int32(),
    "num": pl.Decimal(10, 2),
    "text": pl.String(),
    "bool": pl.Boolean(),
    "date": pl.Date(),
    "ts": pl.Datetime("us"),
}
TABLES: dict[str, dict[str, str]] = {
    "a": {"k": "int", "v": "int", "n": "num", "s": "text", "p": "bool", "d": "date"},
    "b": {"k": "int", "w": "int", "s": "text", "t": "ts"},
    "c": {"k": "int", "m": "num", "d": "date", "p": "bool"},
}
CELLS: dict[str, list[object]] = {
    "int": [0, 1, 2, 3, 7, -4],
    "num": [Decimal("0.00"), Decimal("1.00"), Decimal("2.50"), Decimal("-7.25")],
    "text": ["", "x", "y", "Xy", "z_é"],
    "bool": [True, False],
    "date": [dt.date(2020, 1, 31), dt.date(2020, 2, 29), dt.date(2021, 12, 1)],
    "ts": [dt.datetime(2020, 1, 31, 23, 59, 59), dt.datetime(2020, 2, 1), dt.datetime(1969, 7, 20)],
}
LITERALS: dict[str, list[str]] = {
    "int": ["0", "1", "2", "3", "-4"],
    "num": ["1.00", "2.50", "-7.25"],
    "text": ["''", "'x'", "'y'", "'Xy'"],
    "bool": ["true", "false"],
    "date": ["date '2020-01-31'", "date '2020-02-29'"],
    "ts": ["timestamp '2020-02-01 00:00:00'", "timestamp '1969-07-20 00:00:00'"],
}
SQL_TYPES = {"int": "INTEGER", "num": "NUMERIC(10, 2)", "text": "VARCHAR", "bool": "BOOLEAN",
             "date": "DATE", "ts": "TIMESTAMP"}  # fmt: skip
JOINS = ("JOIN", "JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "CROSS JOIN", ",")
COMPARISONS = ("=", "=", "<>", "<", "<=", ">", ">=")


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


@dataclass(frozen=True)
class Env:
    """What an expression can name, and how deep it and the queries in it may still get."""

    leaves: tuple[Typed, ...]
    outer: tuple[Typed, ...] = ()
    common: tuple[tuple[str, tuple[Typed, ...]], ...] = ()
    queries: int = 2
    grouped_from: tuple[Typed, ...] | None = None
    """The columns below GROUP BY, which aggregates read."""

    def inside(self) -> Env:
        """Return what a query in an expression here sees around it."""
        return Env((), self.leaves + self.outer, self.common, self.queries - 1)


@dataclass
class Queries:
    """Draws queries; every choice comes from ``chance``."""

    chance: random.Random
    names: int = field(default=0)

    def statement(self) -> str:
        """Return a query over the tables, sometimes with common table expressions used in it."""
        env = Env((), queries=self.chance.choice((0, 1, 1, 1, 2, 2, 3)))
        if self._one_in(4):
            return self._with_common(env)
        return self.query(env, self._kinds())

    def _with_common(self, env: Env) -> str:
        parts = []
        for _ in range(self.chance.randint(1, 2)):
            name, kinds = self._name("q"), self._kinds()
            columns = tuple((f"c{i}", kind) for i, kind in enumerate(kinds))
            listed = ", ".join(column for column, _ in columns)
            parts.append(f"{name}({listed}) AS ({self.query(replace(env, queries=1), kinds)})")
            env = replace(env, common=(*env.common, (name, columns)))
        return f"WITH {', '.join(parts)} {self.query(env, self._kinds())}"

    def query(self, env: Env, kinds: Sequence[str], *, limited: bool = True) -> str:
        """Return a query with columns of these types named ``c0``, ``c1``, and so on."""
        if self._one_in(7) and env.queries > 0:
            made = self._set_operation(env, kinds)
        else:
            made = self._select(env, kinds)
        if limited and self._one_in(7):
            order = [f"{i + 1}{self.chance.choice(('', ' DESC', ' NULLS FIRST', ' DESC NULLS LAST'))}"
                     for i in range(len(kinds))]  # fmt: skip
            made = f"SELECT * FROM ({made}) {self._name('l')} ORDER BY {', '.join(order)}"
            alone = self._one_in(4)
            made += "" if alone else f" LIMIT {self.chance.randint(0, 4)}"
            made += f" OFFSET {self.chance.randint(0, 2)}" if alone or self._one_in(3) else ""
        return made

    def _set_operation(self, env: Env, kinds: Sequence[str]) -> str:
        word = self.chance.choice(("UNION", "INTERSECT", "EXCEPT")) + self.chance.choice(
            ("", " ALL")
        )
        smaller = replace(env, queries=env.queries - 1)
        sides = [self.query(smaller, kinds, limited=False) for _ in range(2)]
        return f"({sides[0]}) {word} ({sides[1]})"

    # -- one SELECT ------------------------------------------------------------------------------

    def _select(self, env: Env, kinds: Sequence[str]) -> str:
        source, columns = self._from(env)
        env = replace(env, leaves=tuple(columns))
        where = f" WHERE {self.condition(env, 3)}" if self._one_in(2) else ""
        if self._one_in(3):
            return self._grouped(env, kinds, source, where)
        cells = [self.expr(env, kind, 2) for kind in kinds]
        if self._one_in(6) and columns:
            at = self.chance.randrange(len(kinds))
            cells[at] = self._window(env, kinds[at])
        distinct = "DISTINCT " if self._one_in(7) else ""
        return f"SELECT {distinct}{_named(cells)} FROM {source}{where}"

    def _grouped(self, env: Env, kinds: Sequence[str], source: str, where: str) -> str:
        keys = self.chance.sample(env.leaves, min(len(env.leaves), self.chance.randint(0, 2)))
        above = replace(env, leaves=tuple(keys), grouped_from=env.leaves)
        cells = [self.expr(above, kind, 2) for kind in kinds]
        cells[0] = self.aggregate(above, kinds[0]) if not keys else cells[0]
        having = f" HAVING {self.condition(above, 2)}" if self._one_in(3) else ""
        listed = ", ".join(sql for sql, _ in keys)
        if keys and self._one_in(4):
            listed = f"{self.chance.choice(('ROLLUP', 'CUBE'))}({listed})"
        group = f" GROUP BY {listed}" if keys else ""
        return f"SELECT {_named(cells)} FROM {source}{where}{group}{having}"

    def _from(self, env: Env, *, commas: bool = True) -> tuple[str, list[Typed]]:
        text, columns = self._item(env, [])
        for _ in range(self.chance.choice((0, 0, 0, 1, 1, 2))):
            kind = self.chance.choice(JOINS if commas else JOINS[:-1])
            lateral = columns if kind in ("JOIN", "LEFT JOIN", "CROSS JOIN", ",") else []
            item, more = self._item(env, lateral)
            both = columns + more
            text += f", {item}" if kind == "," else f" {kind} {item}"
            if kind not in (",", "CROSS JOIN"):
                text += f" ON {self._on(env, columns, more, both, plain=kind != 'JOIN')}"
            columns = both
        return text, columns

    def _item(self, env: Env, beside: list[Typed]) -> tuple[str, list[Typed]]:
        alias = self._name("t")
        choice = self.chance.random()
        if env.queries > 0 and choice < 0.2:
            kinds = self._kinds()
            lateral = beside and self._one_in(2)
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
            text, columns = self._from(replace(env, outer=(), queries=0), commas=False)
            return f"({text})" if " JOIN " in text else text, columns
        table = self.chance.choice(sorted(TABLES))
        return f"{table} {alias}", [(f"{alias}.{c}", kind) for c, kind in TABLES[table].items()]

    def _on(
        self, env: Env, left: list[Typed], right: list[Typed], both: list[Typed], *, plain: bool
    ) -> str:
        parts = []
        for _ in range(self.chance.choice((1, 1, 1, 2))):
            pairs = [(one, two) for one, k1 in left for two, k2 in right if k1 == k2]
            if pairs and not self._one_in(5):
                one, two = self.chance.choice(pairs)
                word = self.chance.choice(("=", "=", "=", "<", ">=", "IS NOT DISTINCT FROM"))
                parts.append(f"{one} {word} {two}")
            elif self._one_in(4):
                parts.append(self.chance.choice(("true", "false", "1 = 1", "1 > 2")))
            else:
                queries = 0 if plain else env.queries
                parts.append(self.condition(replace(env, leaves=tuple(both), queries=queries), 1))
        return " AND ".join(f"({part})" for part in parts)

    # -- expressions -----------------------------------------------------------------------------

    def expr(self, env: Env, kind: str, depth: int) -> str:
        """Return an expression of a type."""
        if kind == "bool" and depth > 0 and not self._one_in(3):
            return f"({self.condition(env, depth)})"
        if depth <= 0 or self._one_in(3):
            return self._leaf(env, kind)
        if env.queries > 0 and self._one_in(9):
            return self._scalar_query(env, kind)
        if env.grouped_from is not None and self._one_in(2):
            return self.aggregate(env, kind)
        make = self.chance.choice(
            [self._case, self._coalesce, self._nullif, *self._of_kind(kind), *self._of_kind(kind)]
        )
        return make(env, kind, depth - 1)

    def _of_kind(self, kind: str) -> list[Callable[[Env, str, int], str]]:
        def of(template: str, *kinds: str) -> Callable[[Env, str, int], str]:
            return lambda env, _, depth: template.format(*(self.expr(env, k, depth) for k in kinds))

        known = {
            "int": [of("({} + {})", "int", "int"), of("({} - {})", "int", "int"),
                    of("({} * {})", "int", "int"), of("abs({})", "int"), of("(- {})", "int"),
                    of("length({})", "text"), of("({} % 3)", "int"), of("greatest({}, {})", "int", "int"),
                    of("extract(month from {})", "date"), of("sign({})", "int"),
                    of("({} - {})", "date", "date")],
            "num": [of("({} + {})", "num", "num"), of("({} - {})", "num", "int"),
                    of("({} * {})", "num", "int"), of("abs({})", "num"), of("round({}, 1)", "num"),
                    of("trunc({}, 1)", "num"),
                    of("least({}, {})", "num", "num"), of("(- {})", "num")],
            "text": [of("({} || {})", "text", "text"), of("upper({})", "text"), of("lower({})", "text"),
                     of("concat({}, {})", "text", "text"), of("substring({} from 1 for 1)", "text"),
                     of("replace({}, 'x', 'yy')", "text"), of("lpad({}, 3, 'ab')", "text"),
                     of("replace({}, {}, '-')", "text", "text"), of("repeat({}, 2)", "text"),
                     of("regexp_replace({}, '[xy]', '<\\0>')", "text"), of("md5({})", "text"),
                     of("cast({} as varchar)", "int"),
                     of("trim({})", "text")],
            "date": [of("({} + 1)", "date"), of("cast({} as date)", "ts"),
                     of("greatest({}, {})", "date", "date")],
            "ts": [of("({} + interval '1 month')", "ts"), of("date_trunc('month', {})", "ts"),
                   of("({} - interval '90 minutes')", "ts"), of("cast({} as timestamp)", "date")],
        }  # fmt: skip
        return known.get(kind, [])

    def _leaf(self, env: Env, kind: str) -> str:
        if env.grouped_from is not None and self._one_in(3):
            return self.aggregate(env, kind)
        here = [sql for sql, of in env.leaves if of == kind]
        around = [sql for sql, of in env.outer if of == kind]
        if around and (not here or self._one_in(4)):
            return self.chance.choice(around)
        if here and not self._one_in(6):
            return self.chance.choice(here)
        if self._one_in(6):
            return f"cast(null as {SQL_TYPES[kind]})"
        return self.chance.choice(LITERALS[kind])

    def _case(self, env: Env, kind: str, depth: int) -> str:
        test, one, two = self.condition(env, depth), *(self.expr(env, kind, depth) for _ in "ab")
        return f"CASE WHEN {test} THEN {one} ELSE {two} END"

    def _coalesce(self, env: Env, kind: str, depth: int) -> str:
        return f"coalesce({self.expr(env, kind, depth)}, {self.expr(env, kind, depth)})"

    def _nullif(self, env: Env, kind: str, depth: int) -> str:
        return f"nullif({self.expr(env, kind, depth)}, {self.expr(env, kind, depth)})"

    def condition(self, env: Env, depth: int) -> str:
        """Return a condition."""
        if depth > 1 and self._one_in(3):
            word = self.chance.choice(("AND", "OR"))
            return f"({self.condition(env, depth - 1)} {word} {self.condition(env, depth - 1)})"
        if depth > 1 and self._one_in(6):
            return f"NOT ({self.condition(env, depth - 1)})"
        if env.queries > 0 and self._one_in(4):
            return self._asked(env)
        kind = self.chance.choice(KINDS)
        one, two = self.expr(env, kind, depth - 1), self.expr(env, kind, depth - 1)
        form = self.chance.randrange(9)
        if form == 0:
            return f"{one} IS {self.chance.choice(('', 'NOT '))}NULL"
        if form == 1:
            return f"{one} IS {self.chance.choice(('', 'NOT '))}DISTINCT FROM {two}"
        if form == 2 and kind != "bool":
            return f"{one} BETWEEN {two} AND {self.expr(env, kind, depth - 1)}"
        if form == 3:
            listed = ", ".join(self.expr(env, kind, 0) for _ in range(self.chance.randint(1, 3)))
            return f"{one} {self.chance.choice(('', 'NOT '))}IN ({listed})"
        if form == 4 and kind == "text":
            return f"{one} LIKE '{self.chance.choice(('%y', 'x_', '%'))}'"
        if form == 5:
            test = f"({one} = {two})"
            return f"{test} IS {self.chance.choice(('TRUE', 'NOT TRUE', 'FALSE', 'NOT FALSE'))}"
        return f"{one} {self.chance.choice(COMPARISONS)} {two}"

    def _asked(self, env: Env) -> str:
        """Return a condition on a query."""
        kind = self.chance.choice(KINDS)
        query = self.query(env.inside(), [kind])
        form = self.chance.randrange(4)
        if form == 0:
            return f"{self.chance.choice(('', 'NOT '))}EXISTS ({query})"
        operand = self.expr(replace(env, queries=0), kind, 1)
        if form in (1, 2):
            return f"{operand} {self.chance.choice(('', 'NOT '))}IN ({query})"
        word, quantifier = self.chance.choice(COMPARISONS), self.chance.choice(("ANY", "ALL"))
        return f"{operand} {word} {quantifier} ({query})"

    def _scalar_query(self, env: Env, kind: str) -> str:
        inside = env.inside()
        if self._one_in(3):
            return f"(SELECT * FROM ({self.query(inside, [kind])}) {self._name('s')} ORDER BY 1 LIMIT 1)"
        source, columns = self._from(inside)
        inside = replace(inside, leaves=tuple(columns))
        where = f" WHERE {self.condition(inside, 2)}" if self._one_in(2) else ""
        above = replace(inside, leaves=(), grouped_from=tuple(columns))
        return f"(SELECT {self.aggregate(above, kind)} FROM {source}{where})"

    def aggregate(self, env: Env, kind: str) -> str:
        """Return an aggregate of a type over the rows below GROUP BY."""
        below = replace(env, leaves=env.grouped_from or (), grouped_from=None, outer=(), queries=0)

        def argument(of: str) -> str:
            return self.expr(below, of, 1)

        filtered = f" FILTER (WHERE {self.condition(below, 1)})" if self._one_in(4) else ""
        forms = [f"min({argument(kind)})", f"max({argument(kind)})"] if kind != "bool" else []
        distinct = self.chance.choice(("", "", "DISTINCT "))
        forms += {
            "int": ["count(*)", f"count({distinct}{argument(self.chance.choice(KINDS))})",
                    f"cast(sum({distinct}{argument('int')}) as bigint)"],
            "num": [f"cast(sum({distinct}{argument('num')}) as NUMERIC(18, 2))"],
            "bool": [f"bool_and({argument('bool')})", f"bool_or({argument('bool')})"],
        }.get(kind, [])  # fmt: skip
        form = self.chance.choice(forms)
        if form.startswith("cast(sum"):  # of one width, whatever DuckDB makes of sums
            call, _, rest = form.rpartition(") as ")
            return f"{call}){filtered} as {rest}"
        return form + filtered

    def _window(self, env: Env, kind: str) -> str:
        everything = ", ".join(sql for sql, _ in env.leaves)
        part = self.chance.choice(env.leaves)[0]
        some = self.chance.choice(env.leaves)[0]
        by = self.chance.choice((f"PARTITION BY {part} ", ""))
        column = self._leaf(replace(env, outer=()), kind)
        total = f"({by}ORDER BY {self.chance.choice(('', f'{some} DESC, '))}{everything})"
        peers = f"({by}ORDER BY {some}{self.chance.choice(('', ' DESC'))})"
        forms = [f"lag({column}) OVER {total}", f"lead({column}, 2) OVER {total}",
                 f"first_value({column}) OVER {total}", f"last_value({column}) OVER {total}"]  # fmt: skip
        if kind == "int":
            forms += [f"row_number() OVER {total}", f"rank() OVER {peers}", f"dense_rank() OVER {peers}",
                      f"ntile(3) OVER {total}", f"count(*) OVER {peers}",
                      f"cast(sum({column}) OVER {peers} as bigint)",
                      f"count({column}) OVER ({by})"]  # fmt: skip
        if kind in ("int", "num", "date"):
            frame = total[:-1] + " ROWS 2 PRECEDING)"
            forms += [f"max({column}) OVER {peers}", f"min({column}) OVER ({by})",
                      f"max({column}) OVER {frame}"]  # fmt: skip
            forms += [
                f"{f}({column}) OVER {self._frame(env, by, total)}" for f in ("max", "min", "count")
            ]
        if kind == "int":
            condition = self.condition(replace(env, outer=(), queries=0), 1)
            forms += [f"count(*) FILTER (WHERE {condition}) OVER {self._frame(env, by, total)}",
                      f"cast(sum({column}) OVER {self._frame(env, by, total)} as bigint)"]  # fmt: skip
        forms += [f"{self.chance.choice(('lag', 'lead'))}({column} IGNORE NULLS) OVER {total}",
                  f"nth_value({column}, 2) OVER {total}"]  # fmt: skip
        return self.chance.choice(
            [form for form in forms if not form.startswith("count") or kind == "int"]
        )

    def _frame(self, env: Env, by: str, total: str) -> str:
        """Return a window with a frame: by distance where a column allows it, by rows or groups else."""
        distances = {
            "int": ("1", "3"),
            "num": ("1.5", "3"),
            "date": ("INTERVAL 1 DAY", "INTERVAL 1 MONTH"),
        }
        measured = [(sql, kind) for sql, kind in env.leaves if kind in distances]
        exclude = self.chance.choice(
            ("", "", " EXCLUDE CURRENT ROW", " EXCLUDE TIES", " EXCLUDE GROUP")
        )
        if measured and self._one_in(2):
            some, kind = self.chance.choice(measured)
            ends = [f"{self.chance.choice(distances[kind])} PRECEDING", "CURRENT ROW",
                    f"{self.chance.choice(distances[kind])} FOLLOWING", "UNBOUNDED FOLLOWING"]  # fmt: skip
            ends.insert(0, "UNBOUNDED PRECEDING")
            order, unit = f"{some}{self.chance.choice(('', ' DESC'))}", "RANGE"
        else:
            ends = ["UNBOUNDED PRECEDING", "2 PRECEDING", "1 PRECEDING", "CURRENT ROW", "1 FOLLOWING",
                    "UNBOUNDED FOLLOWING"]  # fmt: skip
            order, unit = (
                total.partition("ORDER BY ")[2][:-1],
                self.chance.choice(("ROWS", "GROUPS")),
            )
        first = self.chance.randrange(len(ends) - 1)
        last = self.chance.randrange(max(first, 1), len(ends))
        return f"({by}ORDER BY {order} {unit} BETWEEN {ends[first]} AND {ends[last]}{exclude})"

    def _kinds(self) -> list[str]:
        return [self.chance.choice(KINDS) for _ in range(self.chance.randint(1, 3))]

    def _name(self, hint: str) -> str:
        self.names += 1
        return f"{hint}{self.names}"

    def _one_in(self, n: int) -> bool:
        return self.chance.randrange(n) == 0


def _named(cells: Sequence[str]) -> str:
    return ", ".join(f"{cell} AS c{i}" for i, cell in enumerate(cells))
