"""Random expressions and conditions: every value is the same whatever the order of rows.

No float is compared or grouped by, nothing is divided, and what depends on an order has a total one.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from tests.sql_plan.random_tables import KINDS, LITERALS, SQL_TYPES

Typed = tuple[str, str]
"""An expression or a column, and its type."""

COMPARISONS = ("=", "=", "<>", "<", "<=", ">", ">=")
PATTERNS = ("LIKE '%y'", "LIKE 'x_'", "LIKE '%'", "NOT LIKE 'X%'", "ILIKE 'xY'", "NOT ILIKE '%Y'",
            "SIMILAR TO '[xy]*'", "~ '^[xX]'", "LIKE 'z!_%' ESCAPE '!'")  # fmt: skip


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
class Expressions(ABC):
    """Draws expressions; every choice comes from ``chance``."""

    chance: random.Random
    names: int = field(default=0)

    @abstractmethod
    def query(self, env: Env, kinds: Sequence[str], *, limited: bool = True) -> str:
        """Return a query with columns of these types named ``c0``, ``c1``, and so on."""

    @abstractmethod
    def source(self, env: Env, *, commas: bool = True) -> tuple[str, list[Typed]]:
        """Return what may stand after FROM, and the columns that can be named then."""

    def expr(self, env: Env, kind: str, depth: int) -> str:
        """Return an expression of a type."""
        if kind == "bool" and depth > 0 and not self.one_in(3):
            return f"({self.condition(env, depth)})"
        if depth <= 0 or self.one_in(3):
            return self.leaf(env, kind)
        if env.queries > 0 and self.one_in(9):
            return self._scalar_query(env, kind)
        if env.grouped_from is not None and self.one_in(2):
            return self.aggregate(env, kind)
        make = self.chance.choice(
            [self._case, self._coalesce, self._nullif, *self._of_kind(kind), *self._of_kind(kind)]
        )
        return make(env, kind, depth - 1)

    def _of_kind(self, kind: str) -> list[Callable[[Env, str, int], str]]:
        def of(template: str, *kinds: str) -> Callable[[Env, str, int], str]:
            return lambda env, _, depth: template.format(*(self.expr(env, k, depth) for k in kinds))

        return [of(template, *kinds) for template, *kinds in CALLS.get(kind, ())]

    def leaf(self, env: Env, kind: str) -> str:
        if env.grouped_from is not None and self.one_in(3):
            return self.aggregate(env, kind)
        here = [sql for sql, of in env.leaves if of == kind]
        around = [sql for sql, of in env.outer if of == kind]
        if around and (not here or self.one_in(4)):
            return self.chance.choice(around)
        if here and not self.one_in(6):
            return self.chance.choice(here)
        if self.one_in(6):
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
        if depth > 1 and self.one_in(3):
            word = self.chance.choice(("AND", "OR"))
            return f"({self.condition(env, depth - 1)} {word} {self.condition(env, depth - 1)})"
        if depth > 1 and self.one_in(6):
            return f"NOT ({self.condition(env, depth - 1)})"
        if env.queries > 0 and self.one_in(4):
            return self._asked(env)
        if self.one_in(12):
            return self._listed(env, depth - 1)
        return self._compared(env, self.chance.choice(KINDS), depth)

    def _compared(self, env: Env, kind: str, depth: int) -> str:
        """Return a condition on two values of a type."""
        one, two = self.expr(env, kind, depth - 1), self.expr(env, kind, depth - 1)
        form = self.chance.randrange(10)
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
            return f"{one} {self.chance.choice(PATTERNS)}"
        if form == 6 and kind not in ("bool", "text"):
            known = self.chance.choice(LITERALS[kind])
            pair = f"(coalesce({one}, {known}), coalesce({two}, {known}))"
            return f"{pair} {self.chance.choice(COMPARISONS)} ({known}, {known})"
        if form == 5:
            test = f"({one} = {two})"
            return f"{test} IS {self.chance.choice(('TRUE', 'NOT TRUE', 'FALSE', 'NOT FALSE'))}"
        return f"{one} {self.chance.choice(COMPARISONS)} {two}"

    def _listed(self, env: Env, depth: int) -> str:
        """Return a condition on an array."""
        array, other = self.expr(env, "list", depth), self.expr(env, "list", 0)
        one = self.expr(env, "int", 0)
        return self.chance.choice(
            (
                f"{one} {self.chance.choice(COMPARISONS)} ANY (coalesce({array}, ARRAY[1]))",
                f"{one} {self.chance.choice(COMPARISONS)} ALL (coalesce({array}, ARRAY[1]))",
                f"array_contains({array}, {one})",
                f"{array} = {other}",
                f"{array} IS NOT DISTINCT FROM {other}",
                f"{array} IS NULL",
            )
        )

    def _asked(self, env: Env) -> str:
        """Return a condition on a query."""
        if self.one_in(6):
            two = [self.chance.choice(KINDS) for _ in range(2)]
            pair = ", ".join(f"coalesce({self.leaf(env, k)}, {LITERALS[k][0]})" for k in two)
            name = self.name("p")
            known = ", ".join(f"coalesce(c{i}, {LITERALS[k][0]})" for i, k in enumerate(two))
            inside = (
                f"SELECT {known} FROM ({self.query(replace(env.inside(), outer=()), two)}) {name}"
            )
            return f"({pair}) {self.chance.choice(('', 'NOT '))}IN ({inside})"
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
        if self.one_in(3):
            return f"(SELECT * FROM ({self.query(inside, [kind])}) {self.name('s')} ORDER BY 1 LIMIT 1)"
        source, columns = self.source(inside)
        inside = replace(inside, leaves=tuple(columns))
        where = f" WHERE {self.condition(inside, 2)}" if self.one_in(2) else ""
        above = replace(inside, leaves=(), grouped_from=tuple(columns))
        return f"(SELECT {self.aggregate(above, kind)} FROM {source}{where})"

    def aggregate(self, env: Env, kind: str) -> str:
        """Return an aggregate of a type over the rows below GROUP BY."""
        below = replace(env, leaves=env.grouped_from or (), grouped_from=None, outer=(), queries=0)

        def argument(of: str) -> str:
            return self.expr(below, of, 1)

        filtered = f" FILTER (WHERE {self.condition(below, 1)})" if self.one_in(4) else ""
        plain = kind not in ("bool", "list", "json")
        forms = [f"min({argument(kind)})", f"max({argument(kind)})"] if plain else []
        distinct = self.chance.choice(("", "", "DISTINCT "))
        forms += {
            "int": ["count(*)", f"count({distinct}{argument(self.chance.choice(KINDS))})",
                    f"cast(sum({distinct}{argument('int')}) as bigint)"],
            "num": [f"cast(sum({distinct}{argument('num')}) as NUMERIC(18, 2))"],
            "bool": [f"bool_and({argument('bool')})", f"bool_or({argument('bool')})"],
            "text": [self._joined(argument(self.chance.choice(("text", "int", "date"))))],
            "list": [self._gathered(argument("int"))],
        }.get(kind, [])  # fmt: skip
        if not forms:
            return f"cast(max({argument('text')}) as {SQL_TYPES[kind]})"
        form = self.chance.choice(forms)
        if kind == "int" and self.one_in(8):
            form = f"{self.chance.choice(('bit_and', 'bit_or', 'bit_xor'))}({argument('int')})"
        if form.startswith("cast(sum"):  # of one width, whatever DuckDB makes of sums
            call, _, rest = form.rpartition(") as ")
            return f"{call}){filtered} as {rest}"
        return form + filtered

    def _joined(self, argument: str) -> str:
        text = f"cast({argument} as varchar)"
        return f"string_agg({text}, '{self.chance.choice((',', '-'))}' ORDER BY {text}{self.direction()})"

    def _gathered(self, argument: str) -> str:
        return f"array_agg({argument} ORDER BY {argument}{self.direction()})"

    def direction(self) -> str:
        """Return how an expression of ORDER BY is ordered."""
        return self.chance.choice(("", " DESC", " NULLS FIRST", " DESC NULLS LAST"))

    def name(self, hint: str) -> str:
        """Return a name that is new in this query."""
        self.names += 1
        return f"{hint}{self.names}"

    def one_in(self, n: int) -> bool:
        """Tell, once in n times."""
        return self.chance.randrange(n) == 0


def ordered(column: Typed) -> str:
    """Return what a column is ordered by: of an array its text, as arrays have no order."""
    sql, kind = column
    return f"cast({sql} as varchar)" if kind == "list" else sql


CALLS: dict[str, tuple[tuple[str, ...], ...]] = {
    "int": (
        ("({} + {})", "int", "int"), ("({} - {})", "int", "int"), ("({} * {})", "int", "int"),
        ("abs({})", "int"), ("(- {})", "int"), ("length({})", "text"), ("({} % 3)", "int"),
        ("greatest({}, {})", "int", "int"), ("least({}, {})", "int", "int"), ("sign({})", "int"),
        ("extract(month from {})", "date"), ("extract(isodow from {})", "date"),
        ("date_part('week', {})", "ts"), ("extract(quarter from {})", "ts"),
        ("extract(dow from {})", "date"), ("extract(doy from {})", "ts"), ("extract(hour from {})", "ts"),
        ("({} - {})", "date", "date"), ("strpos({}, {})", "text", "text"),
        ("position('y' in {})", "text"), ("ascii({})", "text"), ("({} & 5)", "int"), ("({} | 6)", "int"),
        ("(~ {})", "int"), ("gcd({}, 4)", "int"), ("cardinality({})", "list"), ("({})[1]", "list"),
        ("({})[{}]", "list", "int"), ("array_position({}, {})", "list", "int"),
        ("cast(cast({} as json) ->> 'a' as integer)", "json"), ("cast({} as integer)", "num"),
        ("cast({} as integer)", "bool"),
    ),
    "num": (
        ("({} + {})", "num", "num"), ("({} - {})", "num", "int"), ("({} * {})", "num", "int"),
        ("abs({})", "num"), ("round({}, 1)", "num"), ("trunc({}, 1)", "num"),
        ("least({}, {})", "num", "num"), ("(- {})", "num"), ("floor({})", "num"), ("ceil({})", "num"),
        ("({} % 2)", "num"), ("cast({} as NUMERIC(12, 2))", "int"), ("round({})", "num"),
    ),
    "text": (
        ("({} || {})", "text", "text"), ("upper({})", "text"), ("lower({})", "text"),
        ("concat({}, {})", "text", "text"), ("substring({} from 1 for 1)", "text"),
        ("replace({}, 'x', 'yy')", "text"), ("lpad({}, 3, 'ab')", "text"), ("rpad({}, 2, '-')", "text"),
        ("replace({}, {}, '-')", "text", "text"), ("repeat({}, 2)", "text"),
        ("regexp_replace({}, '[xy]', '<\\0>')", "text"), ("md5({})", "text"), ("reverse({})", "text"),
        ("cast({} as varchar)", "int"), ("cast({} as varchar)", "date"), ("cast({} as varchar)", "num"),
        ("cast({} as varchar)", "bool"), ("cast({} as varchar)", "ts"), ("trim({})", "text"),
        ("trim(both 'x' from {})", "text"), ("ltrim({}, 'xX')", "text"), ("left({}, -1)", "text"),
        ("right({}, 2)", "text"), ("left({}, {})", "text", "int"), ("split_part({}, 'y', 1)", "text"),
        ("split_part({}, 'y', -1)", "text"), ("translate({}, 'xy', 'a')", "text"),
        ("concat_ws('/', {}, {})", "text", "text"), ("overlay({} placing '#' from 1 for 1)", "text"),
        ("substring({}, 2)", "text"), ("array_to_string(array_append({}, 0), ',')", "list"),
        ("(cast({} as json) ->> 'a')", "json"), ("(cast({} as json) -> 'b' ->> 0)", "json"),
        ("(cast({} as json) -> 'c' ->> 'd')", "json"), ("(string_to_array({} || 'x', 'y'))[1]", "text"),
    ),
    "date": (
        ("({} + 1)", "date"), ("({} - 30)", "date"), ("cast({} as date)", "ts"),
        ("greatest({}, {})", "date", "date"), ("cast(({} + interval '1 month') as date)", "date"),
        ("cast(date_trunc('quarter', {}) as date)", "date"), ("make_date(2020, 2, 1 + abs({}) % 3)", "int"),
    ),
    "ts": (
        ("({} + interval '1 month')", "ts"), ("date_trunc('month', {})", "ts"),
        ("date_trunc('week', {})", "ts"), ("date_trunc('hour', {})", "ts"),
        ("({} - interval '90 minutes')", "ts"), ("cast({} as timestamp)", "date"),
        ("({} + interval '1 day')", "date"), ("({} - interval '1 year')", "ts"),
    ),
    "list": (
        ("array_append({}, {})", "list", "int"), ("array_prepend({}, {})", "int", "list"),
        ("array_cat({}, {})", "list", "list"), ("ARRAY[{}, {}]", "int", "int"), ("({})[1:2]", "list"),
        ("array_reverse({})", "list"),
    ),
}  # fmt: skip
"""Calls and operators by the type of what they give: a template, and the types of its arguments."""
