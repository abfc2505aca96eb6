"""Random window functions: over a total order wherever their answer depends on it."""

from __future__ import annotations

from dataclasses import replace

from tests.sql_plan.random_expressions import Env, Expressions, ordered


class Windows(Expressions):
    """Draws calls with OVER."""

    def window(self, env: Env, kind: str) -> str:
        """Return a call over the rows of a query."""
        everything = ", ".join(map(ordered, env.leaves))
        part, some = self.chance.choice(env.leaves)[0], ordered(self.chance.choice(env.leaves))
        by = self.chance.choice((f"PARTITION BY {part} ", ""))
        column = self.leaf(replace(env, outer=()), kind)
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
        if measured and self.one_in(2):
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

    def window_of_groups(self, env: Env, kind: str, keys: list[str]) -> str:
        """Return a call over groups: an aggregate of aggregates, or a rank by one."""
        inner = self.aggregate(env, kind)
        by = f"PARTITION BY {self.chance.choice(keys)} " if keys and self.one_in(2) else ""
        forms = {
            "int": [f"rank() OVER ({by}ORDER BY {inner}{self.direction()})",
                    f"dense_rank() OVER ({by}ORDER BY {inner})",
                    f"cast(sum(count(*)) OVER ({by}) as bigint)",
                    f"cast(sum({inner}) OVER ({by}) as bigint)",
                    f"count({inner}) OVER ({by})"],
        }.get(kind, [f"max({inner}) OVER ({by})", f"min({inner}) OVER ({by})"])  # fmt: skip
        return self.chance.choice(forms)
