"""A step's identity changes with anything that it does, and with nothing else."""

import subprocess
import sys

import polars as pl

import penstock as ps
from penstock.plan.identity import identity
from penstock.testing import scripted

SCHEMA = {"a": pl.Int64, "b": pl.String}


def _base() -> ps.Stream:
    return scripted("s", SCHEMA)


def _of(stream: ps.Stream) -> str:
    return identity(stream.node)


def test_equal_steps_are_equal_and_others_are_not() -> None:
    steps = [
        _base().filter(pl.col("a") > 1),
        _base().filter(pl.col("a") > 2),
        _base().filter(pl.col("b").is_in(["x"])),
        _base().filter(pl.col("b").is_in(["y"])),
        _base().group_by("b").agg(pl.col("a").sum()),
        _base().map_rows(lambda row: {"a": row["a"] + 1}, {"a": pl.Int64}),
        _base().map_rows(lambda row: {"a": row["a"] + 2}, {"a": pl.Int64}),
        _base().map_rows(lambda row: {"a": (lambda: row["a"])()}, {"a": pl.Int64}),
    ]
    assert len({_of(step) for step in steps}) == len(steps)
    assert _of(_base().filter(pl.col("a") > 1)) == _of(steps[0])


def test_what_only_tunes_a_step_leaves_its_identity() -> None:
    plain = _base().group_by("b").agg(pl.col("a").sum())
    tuned = _base().group_by("b", ttl="1h", max_group_rows=10).agg(pl.col("a").sum())
    assert _of(plain) == _of(tuned)
    assert _of(plain) == _of(plain.named("sums"))


def test_a_script_has_the_same_functions_whoever_runs_it() -> None:
    def function(row: dict[str, int]) -> dict[str, int]:
        return row

    found = set()
    for module in ("__main__", "penstock_program_counts"):
        function.__module__ = module
        found.add(_of(_base().map_rows(function, {"a": pl.Int64})))
    assert len(found) == 1


def test_the_same_in_another_process() -> None:
    program = (
        "import polars as pl, penstock as ps; from penstock.plan.identity import identity\n"
        "s = ps.scan_rate(10, total=1)\n"
        "print(identity(s.filter(pl.col('offset').is_in([1])).node),"
        " identity(s.map_rows(lambda r: [dict(x=1) for _ in (1,)], {'x': pl.Int64}).node))"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", program], check=True, capture_output=True, text=True
        ).stdout
        for _ in range(2)
    }
    assert len(runs) == 1
