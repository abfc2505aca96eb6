"""Every public method of ``pl.Expr`` against our tables: what we call row-wise must be row-wise."""

from __future__ import annotations

import datetime as dt
import math
import random
import warnings
from collections.abc import Iterator
from functools import cache
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from penstock.plan.expressions import Shape, classify, is_deterministic, tables
from penstock.plan.expressions.tree import kind_of, raw_walk, tag_of, to_tree

NAMESPACES = ("str", "dt", "list", "arr", "bin", "cat", "struct", "ext", "name")
SKIPPED = {"meta", "deserialize", "inspect", *NAMESPACES}  # inspect prints; the rest are no methods
BASES = {
    "": ["i", "f", "k", "s", "b", "t", "l", "y", "u"],
    "str": ["s", "num", "hex", "json", "when"],
    "dt": ["t", "d", "u", "z", "clock"],
    "list": ["l", "ls"],
    "arr": ["r", "rs"],
    "bin": ["y"],
    "cat": ["c"],
    "struct": ["st"],
    "ext": ["i"],
    "name": ["i", "st"],
}
ARGUMENTS: list[tuple[Any, ...]] = [
    (), ("i",), (1,), (2,), (0.5,), ("f",), ("1h",), ("x",), (pl.Int64,), ([1, 2],),
    (pl.element().sum(),), (pl.element() > 1,), (lambda x: x,), ("k",), (1, 2), ("x", "y"),
    ("i", "1h"), ("t", "1h"), (0.5, 3), ({1: 2},), (pl.field("x") + 1,), (["x", "y"],),
    (pl.col("i"), pl.col("k")), ("us",), ("UTC",), ("%Y",), ("%Y-%m-%d",), (["x"], ["y"]),
    ("hex",), (dt.time(1), "us"), (r"(\w)",), (lambda s: s, 2), (pl.col("i") > 1,), ("l",),
    (pl.String,), ("s",), (pl.lit(1),), (lambda e, d: e,), (pl.UInt64,), (pl.Datetime, "%Y-%m-%d"),
    (pl.col("s"),), (pl.col("s"), pl.col("num")), (pl.col("k"),), (pl.col("k"), pl.col("k")),
    (pl.col("ls"),), (pl.col("k"), 1), ([0.25],), ("r",), ("num",), ("$.x",), ("x", 1),
    (pl.Date,), (pl.Duration,), ("ls",),
]  # fmt: skip


def frame() -> pl.DataFrame:
    rows = 12
    pick = [None, 3, 1, 2, 2, -5, 7, None, 0, 3, 9, 4]
    floats = [1.5, math.nan, None, -2.0, math.inf, 0.0, -0.0, -math.inf, 3.25, math.nan, None, 0.3]
    days = [dt.date(2020 + n % 3, 1 + n, 1 + n) for n in range(rows)]
    text = ["x1", "yx", "", None, "a-b", "Ünï", "10", "x", "zz top", "y", None, "x y"]
    base = pl.DataFrame(
        {
            "i": pick,
            "f": floats,
            "k": [1, 1, 2, 2, 3, 3, 1, 2, 3, 1, 2, 3],
            "s": text,
            "num": ["1", "22", None, "7", "0", "5", "9", "13", "4", None, "6", "2"],
            "hex": ["00", "ff", None, "ab", "01", "0a", "10", "22", "33", "44", "55", "66"],
            "json": ['{"x":1}', '{"x":null}', None, *(f'{{"x":{n}}}' for n in range(9))],
            "when": [str(d) for d in days],
            "b": [True, False, None] * 4,
            "t": [dt.datetime(2020, 1 + n, 3, n, 17, 5, 1000 * n) for n in range(11)] + [None],
            "d": days,
            "u": [dt.timedelta(hours=5 * n, microseconds=n) for n in range(rows)],
            "clock": [dt.time(n, 5, n) for n in range(rows)],
            "l": [[1, 2], [3], [], None, [5, None, 1], [2, 2]] * 2,
            "ls": [["x", "y"], ["z"], [], None, ["x", None], ["q"]] * 2,
            "st": [{"x": n, "w": "a" * n} for n in range(11)] + [None],
            "y": [b"ab", b"x", None, b"", b"\x00\x01", b"zz"] * 2,
        }
    )
    return base.with_columns(
        pl.Series("r", [[n, 7 - n] for n in range(11)] + [None], dtype=pl.Array(pl.Int64, 2)),
        pl.Series("rs", [["a", "b"]] * rows, dtype=pl.Array(pl.String, 2)),
        pl.Series("c", ["x", "y", None, "xz"] * 3, dtype=pl.Categorical),
        pl.col("t").dt.replace_time_zone("Europe/Vienna").alias("z"),
    )


FRAME = frame()
a, f, s, t, i = pl.col("i"), pl.col("f"), pl.col("s"), pl.col("t"), pl.col("k")


def explicit() -> list[pl.Expr]:
    """What plausible arguments do not reach."""
    return [
        pl.struct("i", "s"),
        pl.coalesce("i", "k"),
        pl.concat_str("s", "num"),
        pl.format("{}-{}", "s", "i"),
        pl.sum_horizontal("i", "k"),
        pl.mean_horizontal("i", "k"),
        pl.min_horizontal("i", "f"),
        pl.max_horizontal("i", "f"),
        pl.all_horizontal("b", a > 1),
        pl.any_horizontal("b", a > 1),
        pl.concat_list("i", "k"),
        pl.concat_arr("i", "k"),
        pl.arctan2("i", "k"),
        pl.int_ranges("k", pl.col("k") + 3),
        pl.date_ranges("d", pl.col("d").dt.offset_by("2d")),
        pl.datetime_ranges("t", pl.col("t").dt.offset_by("2d")),
        pl.time_ranges("clock", pl.lit(dt.time(23)), "1h"),
        pl.linear_spaces("k", "i", 3),
        pl.business_day_count("d", pl.lit(dt.date(2024, 1, 1))),
        pl.datetime(2020, "k", "k"),
        pl.duration(days="k", hours="i"),
        pl.date(2020, "k", 1),
        pl.time("k", 1),
        pl.corr("i", "k"),
        pl.cov("i", "k"),
        pl.when(a > 1).then(f).when(a < 0).then(0).otherwise(None),
        a.cut([1.0, 5.0]),
        a.bin_intervals([1, 5], labels=["x"]),
        a.bin_intervals([1, 5], labels=False),
        a.bin_ranks(2, labels=False),
        pl.col("y").bin.get(0, null_on_oob=True),
        pl.col("l").list.get(0, null_on_oob=True),
        pl.col("d").dt.add_business_days("k", roll="forward"),
        pl.col("d").dt.add_business_days(2, roll="forward", holidays=[dt.date(2020, 1, 1)]),
        pl.col("ls")
        .list.drop_nulls()
        .list.eval(pl.struct(key=pl.element(), value=pl.element()))
        .list.to_map(),
        pl.col("k").cast(pl.UInt32).cat.to(pl.Enum(["a", "b", "c", "d"])),
        pl.col("clock").cast(pl.String).str.to_time("%H:%M:%S%.f"),
        s.replace(["x"], ["y"]),
        s.replace(pl.col("num"), pl.col("hex")),
        a.fill_null(strategy="zero"),
        a.fill_null(strategy="one"),
        a.fill_null(strategy="mean"),
        a.fill_nan(math.nan),
        a.is_in([1, 2, None]),
        a.is_in(pl.Series([1, 2])),
        a.is_in(pl.col("l")),
        a.replace({1: 2}),
        a.replace_strict({1: 2}, default=None),
        a.reinterpret(signed=False),
        a.first(ignore_nulls=True),
        a.last(ignore_nulls=True),
        a.filter(i == 1).head(1).item(),
        a.map_elements(lambda x: x + 1, return_dtype=pl.Int64),
        a.map_batches(lambda x: x + 1, return_dtype=pl.Int64, is_elementwise=True),
        a.map_batches(lambda x: x.sort(), return_dtype=pl.Int64),
        a.map_batches(lambda x: x.sum(), return_dtype=pl.Int64, returns_scalar=True),
        a.cast(pl.Float64) / f,
        s.cast(pl.Categorical),
        s.cast(pl.Int64, strict=False),
        pl.col("when").cast(pl.Date, strict=False),
        pl.col("d").cast(pl.Datetime("ms")),
        pl.col("hex").str.decode("hex"),
        pl.lit("YWI=").str.decode("base64"),
        pl.col("s").str.encode("base64").str.decode("base64"),
        pl.col("s").str.encode("base64"),
        pl.col("hex").cast(pl.Binary).bin.decode("hex"),
        pl.col("s").str.encode("base64").cast(pl.Binary).bin.decode("base64"),
        pl.col("y").bin.encode("base64"),
        pl.col("y").bin.encode("hex"),
        pl.col("hex").cast(pl.Binary).bin.reinterpret(dtype=pl.UInt16),
        pl.col("num").str.to_decimal(scale=2),
        pl.col("num").str.to_integer(),
        pl.col("when").str.to_date("%Y-%m-%d"),
        pl.col("when").str.to_date(),
        pl.col("when").str.to_datetime(),
        pl.col("when").str.to_datetime("%Y-%m-%d"),
        pl.col("s").str.split_exact("x", 1),
        pl.col("s").str.splitn("x", 2),
        pl.col("json").str.json_path_match("$.x"),
        pl.col("z").dt.base_utc_offset(),
        pl.col("z").dt.dst_offset(),
        pl.col("l").list.gather([0], null_on_oob=True),
        pl.col("l").list.head(1).list.item(allow_empty=True),
        pl.col("l").list.slice(0, 1).list.to_struct(fields=["a"]),
        pl.col("ls").list.join("-"),
        pl.col("rs").arr.join("-"),
        pl.col("r").cast(pl.List(pl.Int64)).list.to_array(2),
        pl.col("r").arr.dot(pl.col("r")),
        pl.col("r").arr.slice(0, 1),
        pl.col("r").arr.eval(pl.element() + 1),
        pl.col("st").struct.rename_fields(["p", "q"]),
        pl.col("st").struct.drop(["x"]),
        pl.col("st").struct.with_fields(pl.field("x") * 2),
        pl.col("st").name.map_fields(str.upper),
        pl.col("st").name.prefix_fields("p_"),
        pl.col("st").name.suffix_fields("_s"),
        a.ewm_mean(com=1),
        a.rank(),
        a.shuffle(),
        a.sum().over("k"),
        a.rolling_mean(2),
        a - a.mean(),
        a.sum() / pl.len(),
        pl.lit(pl.Series([1] * FRAME.height)) + a,
        pl.int_range(pl.len()),
        pl.fold(0, lambda x, y: x + y.cum_sum(), ["i", "k"]),
        a.bitwise_and(),
        a.index_of(3),
        a.quantile(0.5),
        a.min_by("k"),
        a.max_by("k"),
        pl.col("s").str.join("-"),
    ]


def _variants() -> Iterator[tuple[str, pl.Expr]]:
    for namespace in ("", *NAMESPACES):
        owner = getattr(a, namespace) if namespace else a
        for name in dir(owner):
            if name.startswith("_") or (not namespace and name in SKIPPED):
                continue
            path = f"{namespace}.{name}" if namespace else name
            for base in BASES[namespace]:
                column = pl.col(base)
                for arguments in ARGUMENTS:
                    expr = _call(
                        getattr(column, namespace) if namespace else column, name, arguments
                    )
                    if expr is not None:
                        yield f"{path}({base})", expr


def _call(owner: Any, name: str, arguments: tuple[Any, ...]) -> pl.Expr | None:
    try:
        made = getattr(owner, name)(*arguments)
    except Exception:  # noqa: BLE001 - these arguments are not for this method
        return None
    return made if isinstance(made, pl.Expr) else None


@cache
def runnable() -> list[tuple[str, pl.Expr, pl.DataFrame]]:
    """Name, expression and what Polars makes of it, for all that Polars runs."""
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        candidates = [*_variants(), *((str(e), e) for e in explicit())]
        for name, expr in candidates:
            try:
                whole = FRAME.select(expr.alias("out"))
                to_tree(expr)
            except BaseException as error:  # Polars panics derive from it
                if isinstance(error, KeyboardInterrupt):
                    raise
                continue
            found.append((name, expr, whole))
    return found


def _select(rows: pl.DataFrame, expr: pl.Expr) -> pl.DataFrame:
    return rows.select(expr.alias("out"))


def _is_literal(expr: pl.Expr) -> bool:
    return not expr.meta.root_names()


def _rowwise(expr: pl.Expr, whole: pl.DataFrame) -> None:
    assert whole.height == FRAME.height
    for cut in (1, 3, 8):
        split = pl.concat([_select(FRAME[:cut], expr), _select(FRAME[cut:], expr)])
        assert_frame_equal(split, whole, check_exact=True)
    draw = random.Random(str(expr))
    drawn = [draw.randrange(FRAME.height) for _ in range(20)]
    assert_frame_equal(_select(FRAME[drawn], expr), whole[drawn], check_exact=True)
    assert _select(FRAME.clear(), expr).schema == whole.schema


@pytest.mark.filterwarnings("ignore")
def test_what_is_called_elementwise_is_elementwise() -> None:
    wrong = []
    for name, expr, whole in runnable():
        if classify(expr, FRAME.schema) is Shape.ELEMENTWISE and not _is_literal(expr):
            try:
                _rowwise(expr, whole)
            except (AssertionError, pl.exceptions.PolarsError) as error:
                wrong.append((name, str(expr), str(error)[:200]))
    assert wrong == []


@pytest.mark.filterwarnings("ignore")
def test_what_is_called_scalar_has_one_row() -> None:
    wrong = []
    for name, expr, whole in runnable():
        if classify(expr, FRAME.schema) is Shape.SCALAR:
            heights = {whole.height}
            for rows in (FRAME[:1], FRAME[:5], FRAME.clear()):
                try:
                    heights.add(_select(rows, expr).height)
                except pl.exceptions.PolarsError:  # get(3) of fewer rows
                    continue
            if heights != {1}:
                wrong.append((name, str(expr), heights))
    assert wrong == []


def test_every_entry_of_the_tables_is_exercised() -> None:
    seen: dict[Shape, set[str]] = {shape: set() for shape in Shape}
    for _, expr, _ in runnable():
        if not _is_literal(expr):
            seen[classify(expr, FRAME.schema)].update(tags(to_tree(expr)))
    assert sorted(tables.ELEMENTWISE - seen[Shape.ELEMENTWISE]) == []
    assert sorted(tables.AGGREGATIONS - seen[Shape.SCALAR]) == []


def tags(tree: Any) -> Iterator[str]:
    if kind_of(tree) in ("Function", "Agg"):
        yield tag_of(tree)
    for key, value in raw_walk(tree):
        if key in ("Function", "Agg"):
            yield tag_of({key: value})


def test_python_functions_by_their_declaration() -> None:
    elementwise = a.map_batches(len, return_dtype=pl.Int64, is_elementwise=True)
    scalar = a.map_batches(len, return_dtype=pl.Int64, returns_scalar=True)
    each = a.map_elements(abs, return_dtype=pl.Int64)
    shapes = [classify(e, FRAME.schema) for e in (elementwise, each, scalar, a.map_batches(len))]
    assert shapes == [Shape.ELEMENTWISE, Shape.ELEMENTWISE, Shape.SCALAR, Shape.OTHER]
    assert not any(is_deterministic(e) for e in (elementwise, each, scalar))
