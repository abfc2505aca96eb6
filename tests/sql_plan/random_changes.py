"""Random INSERT, UPDATE and DELETE in a session against DuckDB: tables, and a view of them.

``python -m tests.sql_plan.random_changes SECONDS [SEED]`` goes on with new seeds.
"""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, replace

import duckdb

import penstock as ps
from penstock.errors import PlanError
from tests.sql_plan.oracle import same_rows
from tests.sql_plan.random_expressions import Env
from tests.sql_plan.random_queries import Queries
from tests.sql_plan.random_tables import LITERALS, SQL_TYPES, TABLES


class Changes(Queries):
    """Draws statements that change the random tables."""

    def change(self) -> str:
        """Return one statement."""
        table = self.chance.choice(sorted(TABLES))
        columns = TABLES[table]
        env = Env(tuple((f"{table}.{name}", kind) for name, kind in columns.items()), queries=1)
        form = self.chance.randrange(6)
        if form == 0:
            return f"DELETE FROM {table} WHERE {self.condition(env, 2)}"
        if form == 1:
            other = self.chance.choice([name for name in TABLES if name != table])
            both = replace(env, leaves=env.leaves + ((f"{other}.k", "int"),), queries=0)
            where = f"{table}.k = {other}.k AND {self.condition(both, 1)}"
            return f"DELETE FROM {table} USING {other} WHERE {where}"
        if form == 2:
            kinds = list(columns.values())
            return f"INSERT INTO {table} {self.query(replace(env, leaves=()), kinds)}"
        if form == 3:
            cells = (", ".join(map(self._cell, columns.values())) for _ in "ab")
            return f"INSERT INTO {table} VALUES {', '.join(f'({row})' for row in cells)}"
        if form == 4:
            most = self.aggregate(Env((), queries=0, grouped_from=(("x.k", "int"),)), "int")
            source = f"(SELECT x.k, {most} AS c FROM {self.chance.choice(sorted(TABLES))} x GROUP BY x.k) y"
            return f"UPDATE {table} SET k = y.c FROM {source} WHERE y.k = {table}.k"
        chosen = self.chance.sample(sorted(columns), self.chance.randint(1, 2))
        pairs = ", ".join(f"{name} = {self.expr(env, columns[name], 1)}" for name in chosen)
        return f"UPDATE {table} SET {pairs} WHERE {self.condition(env, 2)}"

    def _cell(self, kind: str) -> str:
        return "NULL" if self.one_in(4) else self.chance.choice(LITERALS[kind])


@dataclass(frozen=True)
class Script:
    """Statements, and the query of the view that is compared after each of them."""

    view: str
    changes: tuple[str, ...]


def drawn(seed: int) -> Script:
    """Return the statements of a seed; the first fill the tables."""
    changes = Changes(random.Random(seed))
    filling = (
        f"INSERT INTO {table} VALUES ({', '.join(map(changes._cell, TABLES[table].values()))})"
        for table in sorted(TABLES) * 3
    )
    some = tuple(changes.change() for _ in range(changes.chance.randint(2, 6)))
    return Script(changes.statement(), (*filling, *some))


def run(script: Script) -> str:
    """Return ``same``, ``refused``, ``skipped``, or what is wrong after which statement."""
    oracle = duckdb.connect()
    oracle.execute("SET default_null_order = 'nulls_last_on_asc_first_on_desc'")
    with ps.Session() as session:
        try:
            for table, columns in TABLES.items():
                made = ", ".join(f"{name} {SQL_TYPES[kind]}" for name, kind in columns.items())
                oracle.execute(f"CREATE TABLE {table} ({made})")
                session.sql(f"CREATE TABLE {table} ({made})")
            oracle.execute(f"CREATE VIEW v AS {script.view}")
            session.sql(f"CREATE MATERIALIZED VIEW v AS {script.view}")
            for change in script.changes:
                oracle.execute(change)
                session.sql(change)
                wrong = _differing(session, oracle)
                if wrong:
                    return f"{wrong} after {change}"
        except PlanError as error:
            return f"refused: {error.message[:60]}"
        except duckdb.Error:
            return "skipped"
    return "same"


def _differing(session: ps.Session, oracle: duckdb.DuckDBPyConnection) -> str | None:
    for name in (*TABLES, "v"):
        wanted = oracle.execute(f"SELECT * FROM {name}").fetchall()
        found = session.table(name).rows()
        if not same_rows(found, wanted):
            return f"{name} is {found}, not {wanted},"
    return None


def main(seconds: float, seed: int) -> int:
    """Run until the time is over; return how many scripts were wrong."""
    until, counts = time.monotonic() + seconds, Counter[str]()
    while time.monotonic() < until:
        script = drawn(seed)
        verdict = run(script)
        kind = verdict.partition(":")[0] if verdict.split(":")[0] in _FINE else "wrong"
        counts[kind] += 1
        if kind == "wrong":
            print(f"-- seed {seed}: {verdict}\n{script}", flush=True)
        seed += 1
    print(dict(counts), f"next seed {seed}", flush=True)
    return counts["wrong"]


_FINE = ("same", "refused", "skipped")

if __name__ == "__main__":
    start = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(1 << 40)
    sys.exit(main(float(sys.argv[1]), start) > 0)
