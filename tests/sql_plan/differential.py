"""One random query over random tables against DuckDB: whole, and after every epoch of changes.

``python -m tests.sql_plan.differential SECONDS [SEED]`` goes on with new seeds, and shows what fails
made as small as it gets.
"""

from __future__ import annotations

import random
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

import duckdb
import polars as pl
from sqlglot import exp, parse_one

import penstock as ps
from penstock.errors import PlanError
from penstock.operators.deltas import consolidate, repeat_rows, weighted
from penstock.sql_session.maintenance import Maintained
from penstock.sql_session.relations import Column, Table, reading
from penstock.testing.deltas import Integral
from tests.sql_plan.oracle import DuckDB, same_rows
from tests.sql_plan.random_queries import Queries
from tests.sql_plan.random_tables import TABLES, history, schema

Tables = dict[str, pl.DataFrame]
_QUOTED = re.compile(r" at line .*|: .*|'[^']*'|\d+", re.DOTALL)

_KIND = 12
"""How much of what is said of a wrong case tells its kind."""


_REPORT = 500
"""After how many queries it is said how many there were."""


@dataclass(frozen=True)
class Case:
    """A query, and the epochs of changes of the tables it reads."""

    query: str
    epochs: list[Tables]
    whole_too: bool = True
    """Whether the query is run over the whole tables as well."""


@dataclass(frozen=True)
class Outcome:
    """``same``, ``refused`` by us, ``skipped`` as DuckDB fails, or ``wrong``; and why."""

    verdict: str
    why: str = ""

    @property
    def wrong(self) -> bool:
        """Whether something is to be mended."""
        return self.verdict == "wrong"


def drawn(seed: int) -> Case:
    """Return the case of a seed."""
    chance = random.Random(seed)
    query = Queries(chance).statement()
    return Case(query, history(chance, chance.randint(1, 3)), whole_too=chance.randrange(4) == 0)


def run(case: Case) -> Outcome:
    """Compare with DuckDB."""
    wanted, now = [], {name: weighted(pl.DataFrame(schema=schema(name)), 1) for name in TABLES}
    for deltas in case.epochs:
        now = {name: consolidate(pl.concat([now[name], deltas[name]])) for name in now}
        tables = {name: repeat_rows(frame) for name, frame in now.items()}
        try:
            wanted.append((tables, DuckDB(tables).answer(case.query)))
        except duckdb.Error as error:
            return Outcome("skipped", str(error).partition("\n")[0][:100])
    try:
        return _compared(case, wanted)
    except PlanError as error:
        return Outcome("refused", _QUOTED.sub("", error.message).strip()[:80])
    except Exception as error:  # noqa: BLE001 - whatever is raised is a find
        return Outcome("wrong", f"{type(error).__name__}: {str(error)[:300]}")
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # of Polars, and not an Exception
            raise
        return Outcome("wrong", f"panic: {str(error)[:300]}")


def _compared(case: Case, wanted: list[tuple[Tables, list[tuple[object, ...]]]]) -> Outcome:
    if case.whole_too:
        tables, answer = wanted[-1]
        found = ps.sql(case.query, **tables).collect().rows()
        if not same_rows(found, answer):
            return Outcome("wrong", _difference("once", found, answer))
    streams = {name: _changing(name) for name in TABLES}
    stream = ps.sql(case.query, **streams)
    integral, maintained = Integral(stream), Maintained(stream)
    for number, (deltas, (_, answer)) in enumerate(zip(case.epochs, wanted, strict=True), 1):
        integral.add(maintained.step(deltas))
        found = repeat_rows(integral.table).rows()
        if not same_rows(found, answer):
            return Outcome("wrong", _difference(f"after epoch {number}", found, answer))
    if maintained.dead_letters.height:
        return Outcome("wrong", f"dead letters: {maintained.dead_letters.rows()[:2]}")
    return Outcome("same")


def _changing(name: str) -> ps.Stream:
    columns = tuple(Column(column, dtype) for column, dtype in schema(name).items())
    return reading(Table(name, columns))


def _difference(
    when: str, found: list[tuple[object, ...]], wanted: list[tuple[object, ...]]
) -> str:
    more, less = Counter(map(repr, found)), Counter(map(repr, wanted))
    only = [list((one - two).items())[:3] for one, two in ((more, less), (less, more))]
    return f"{when}: {len(found)} rows, not {len(wanted)}; too many {only[0]}, too few {only[1]}"


def shrunk(case: Case, seconds: float = 8) -> Case:
    """Return a smaller case that is wrong too."""
    until, kind = time.monotonic() + seconds, run(case).why[:_KIND]
    going = True
    while going:
        going = False
        for smaller in _smaller(case):
            if time.monotonic() > until:
                return case
            outcome = run(smaller)
            if outcome.wrong and outcome.why[:_KIND] == kind:
                case, going = smaller, True
                break
    return case


def _smaller(case: Case) -> Iterator[Case]:
    if len(case.epochs) > 1:
        together = {
            name: consolidate(pl.concat([epoch[name] for epoch in case.epochs])) for name in TABLES
        }
        yield replace(case, epochs=[together])
    for query in _simpler(case.query):
        yield replace(case, query=query)
    for number, epoch in enumerate(case.epochs):
        for name, frame in epoch.items():
            if not frame.height:
                continue
            for kept in ([] if frame.height > 1 else [frame.clear()], _without_rows(frame)):
                for less in kept:
                    changed = {**epoch, name: less}
                    epochs = [*case.epochs[:number], changed, *case.epochs[number + 1 :]]
                    yield replace(case, epochs=epochs)


def _without_rows(frame: pl.DataFrame) -> Iterator[pl.DataFrame]:
    if frame.height > 3:
        yield frame.head(frame.height // 2)
        yield frame.tail(frame.height // 2)
    for at in range(frame.height):
        yield frame.filter(pl.int_range(pl.len()) != at)


def _simpler(query: str) -> Iterator[str]:
    whole = parse_one(query, dialect="duckdb")
    for at in range(len(list(whole.walk()))):
        for change in range(12):
            copy = whole.copy()
            target = list(copy.walk())[at]
            if not _simplify(target, change):
                continue
            text = copy.sql(dialect="duckdb")
            if len(text) < len(query):
                yield text


def _simplify(node: exp.Expr, change: int) -> bool:
    """Make one of the possible changes; False if there is no such one."""
    if change == 0:
        optional = ("where", "having", "group", "distinct", "limit", "order", "offset", "with_")
        found = next((name for name in optional if node.args.get(name)), None)
        if isinstance(node, (exp.Select, exp.SetOperation)) and found:
            node.set(found, None)
            return True
        return False
    if change == 1 and isinstance(node, exp.Select) and node.args.get("joins"):
        node.set("joins", node.args["joins"][:-1] or None)
        return True
    if change == 2 and isinstance(node, exp.Select) and node.args.get("where"):
        node.set("where", None)
        return True
    if change == 3 and isinstance(node, exp.Select) and len(node.expressions) > 1:
        node.set("expressions", node.expressions[1:])
        return True
    if change == 4 and isinstance(node, exp.Select) and len(node.expressions) > 1:
        node.set("expressions", node.expressions[:-1])
        return True
    if change == 5 and isinstance(node, exp.Condition) and not isinstance(node, exp.Literal):
        if node.parent is not None and not isinstance(node.parent, (exp.Table, exp.TableAlias)):
            node.replace(exp.Null())
            return True
        return False
    children = [c for c in node.iter_expressions() if isinstance(c, (exp.Condition, exp.Query))]
    if change >= 6 and node.parent is not None and change - 6 < len(children):
        node.replace(children[change - 6].copy())
        return True
    return False


def main(seconds: float, seed: int) -> int:
    """Run until the time is over; return how many cases were wrong."""
    until, counts, why = time.monotonic() + seconds, Counter[str](), Counter[str]()
    first: dict[str, int] = {}
    while time.monotonic() < until:
        case = drawn(seed)
        outcome = run(case)
        counts[outcome.verdict] += 1
        if outcome.verdict in ("refused", "skipped"):
            reason = f"{outcome.verdict}: {outcome.why}"
            why[reason] += 1
            first.setdefault(reason, seed)
        if outcome.wrong:
            small = shrunk(case)
            print(f"-- seed {seed}: {outcome.why}\n{case.query}\n-- smaller: {run(small).why}")
            tables = [{n: f.rows() for n, f in epoch.items() if f.height} for epoch in small.epochs]
            print(f"{small.query}\n-- tables: {tables}", flush=True)
        seed += 1
        if counts.total() % _REPORT == 0:
            print(dict(counts), f"next seed {seed}", flush=True)
    print(dict(counts), f"next seed {seed}")
    for reason, count in why.most_common(25):
        print(f"{count:6} {reason} (first of seed {first[reason]})")
    return counts["wrong"]


if __name__ == "__main__":
    start = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(1 << 40)
    sys.exit(main(float(sys.argv[1]), start) > 0)
