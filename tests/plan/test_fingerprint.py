"""Equal expressions have equal fingerprints, here and in another process."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from penstock.errors import PlanError
from penstock.plan.expressions import fingerprint

a = pl.col("a")


def made() -> list[pl.Expr]:
    factor, names = 3, frozenset({"x", "yy", "zzz", "w"})
    return [
        a,
        a.alias("b"),
        a + 1,
        a + 1.0,
        a + 2,
        a + pl.lit(1, pl.Int8),
        a + math.nan,
        a + math.inf,
        a - math.inf,
        a.is_in([1, 2]),
        a.is_in([2, 1]),
        pl.lit(pl.Series([1, 2])),
        pl.lit(pl.Series("n", [1, 2])),
        a.var(ddof=0),
        a.var(),
        a.sum().over("k"),
        a.str.replace_many({"x": "y"}),
        a.map_elements(lambda x: x + 1, return_dtype=pl.Int64),
        a.map_elements(lambda x: x + 2, return_dtype=pl.Int64),
        a.map_elements(lambda x: x + 1, return_dtype=pl.Int32),
        a.map_elements(lambda x: x * factor, return_dtype=pl.Int64),
        a.map_elements(lambda x: x in names, return_dtype=pl.Boolean),
        a.map_elements(lambda x: x in {"x", "yy", "zzz"}, return_dtype=pl.Boolean),
        a.map_elements(abs, return_dtype=pl.Int64),
        a.map_elements(round, return_dtype=pl.Int64),
        a.name.map(lambda name: name + "!"),
        pl.fold(0, lambda x, y: x + y, ["a", "b"]),
        a.rolling_map(lambda s: s.sum(), 2),
        a.rolling_map(lambda s: s.max(), 2),
        a.name.map_fields(lambda name: name + "!"),
        a.name.map_fields(lambda name: name + "?"),
        a.cast(pl.Map(pl.String, pl.Int64)),
    ]


@pytest.mark.filterwarnings("ignore::polars.exceptions.PolarsInefficientMapWarning")
def test_different_expressions_differ_and_equal_ones_do_not() -> None:
    first, second = [fingerprint(e) for e in made()], [fingerprint(e) for e in made()]
    assert first == second
    assert len(set(first)) == len(first)


@pytest.mark.filterwarnings("ignore::polars.exceptions.PolarsInefficientMapWarning")
def test_another_process_finds_the_same() -> None:
    code = (
        "import warnings; warnings.simplefilter('ignore')\n"
        "import test_fingerprint as t\n"
        "print('\\n'.join(t.fingerprint(e) for e in t.made()))"
    )
    path = os.pathsep.join([*sys.path, str(Path(__file__).parent)])
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": seed}
        found = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert found.stdout.split() == [fingerprint(e) for e in made()]


def test_a_captured_value_counts() -> None:
    def scaled(by: int) -> pl.Expr:
        return a.map_batches(lambda s: s * by, return_dtype=pl.Int64)

    assert fingerprint(scaled(2)) == fingerprint(scaled(2))
    assert fingerprint(scaled(2)) != fingerprint(scaled(3))


def test_how_a_literal_series_is_chunked_does_not_count() -> None:
    whole = pl.Series([1, 2, 3])
    chunked = pl.concat([whole[:1], whole[1:]], rechunk=False)
    assert fingerprint(a.is_in(whole)) == fingerprint(a.is_in(chunked))


def test_a_function_that_cannot_be_pickled() -> None:
    stream = (n for n in range(3))
    with pytest.raises(PlanError, match="cannot be analysed"):
        fingerprint(a.map_elements(lambda _: next(stream), return_dtype=pl.Int64))
