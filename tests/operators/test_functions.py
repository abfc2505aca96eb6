"""map_batches, map_rows and expressions that are not deterministic, against plain Python."""

from __future__ import annotations

import importlib.util
import itertools
from collections import Counter
from typing import Any

import polars as pl
import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.errors import ConfigError, PlanError
from penstock.stream import Stream
from penstock.testing import Epoch, drive, integrate, outputs, scripted

SCHEMA = {"k": pl.String, "v": pl.Int64}
ROW = st.tuples(st.sampled_from(["a", "b", "c"]), st.one_of(st.none(), st.integers(-3, 5)))
EPOCHS = st.lists(st.lists(ROW, max_size=5), min_size=1, max_size=6)
RESTARTS = st.sets(st.integers(0, 5))


def frame(rows: list[Any]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def epochs_of(batches: list[list[Any]]) -> list[Epoch]:
    last = len(batches) - 1
    ended = frozenset({"s"})
    return [
        Epoch({"s": frame(b)}, ended if i == last else frozenset()) for i, b in enumerate(batches)
    ]


def source() -> Stream:
    return scripted("s", SCHEMA)


def changes() -> Stream:
    """A changelog: the largest v of each k, the old one retracted."""
    return source().group_by("k").agg(v=pl.col("v").max())


def bag(total: pl.DataFrame) -> Counter[Any]:
    return Counter({row[:-1]: row[-1] for row in total.rows()})


def doubled(k: str, v: int | None) -> list[tuple[str, int | None]]:
    """The oracle's function: nothing for v < 0, two rows for v > 2."""
    if v is not None and v < 0:
        return []
    return [(k, v)] * (2 if v is not None and v > 2 else 1)


def doubled_rows(row: dict[str, Any]) -> Any:
    found = doubled(row["k"], row["v"])
    dicts = [{"k": k, "v": v} for k, v in found]
    return None if not dicts else dicts[0] if len(dicts) == 1 else dicts


def doubled_frame(rows: Any) -> pl.DataFrame:
    kept = rows.filter(pl.col("v").is_null() | (pl.col("v") >= 0))
    found: pl.DataFrame = pl.concat([kept, kept.filter(pl.col("v") > 2)])
    return found


MAPPED = [
    lambda s: s.map_batches(doubled_frame),
    lambda s: s.map_rows(doubled_rows, SCHEMA),
    lambda s: s.map_batches(
        lambda t: doubled_frame(pl.from_arrow(t)).to_arrow(), SCHEMA, kind="arrow"
    ),
]


@pytest.mark.parametrize("mapped", MAPPED)
@given(batches=EPOCHS, restarts=RESTARTS)
@settings(max_examples=15)
def test_append_only(mapped: Any, batches: list[list[Any]], restarts: set[int]) -> None:
    stream = mapped(source())
    assert not stream.is_changelog
    found = outputs(stream, epochs_of(batches), restart_after=restarts)
    wanted = Counter(r for b in batches for row in b for r in doubled(*row))
    assert bag(integrate(stream, found)) == wanted


@pytest.mark.parametrize("mapped", MAPPED)
@given(batches=EPOCHS, restarts=RESTARTS)
@settings(max_examples=15)
def test_changes(mapped: Any, batches: list[list[Any]], restarts: set[int]) -> None:
    """After every epoch the result is the function of the maxima so far."""
    stream = mapped(changes())
    seen: list[Any] = []
    sofar: list[Any] = []
    for number, deltas in enumerate(drive(stream, epochs_of(batches), restart_after=restarts)):
        sofar.append(deltas[0])
        seen += batches[number]
        wanted = Counter(r for row in maxima(seen).items() for r in doubled(*row))
        assert bag(integrate(stream, sofar)) == wanted


def maxima(rows: list[Any]) -> dict[str, int | None]:
    best: dict[str, int | None] = {}
    for k, v in rows:
        old = best.get(k)
        best[k] = v if old is None else old if v is None else max(old, v)
    return best


class Tickets:
    """Not deterministic: answers every call with numbers never given before."""

    def __init__(self) -> None:
        self.numbers = itertools.count(1)

    def rows(self, row: dict[str, Any]) -> dict[str, Any]:
        return {"k": row["k"], "v": next(self.numbers)}

    def frame(self, rows: pl.DataFrame) -> pl.DataFrame:
        numbers = [next(self.numbers) for _ in range(rows.height)]
        return rows.with_columns(v=pl.Series(numbers, dtype=pl.Int64))

    def value(self, value: int) -> int:
        return next(self.numbers)

    def expr(self) -> pl.Expr:
        return pl.col("v").map_elements(self.value, return_dtype=pl.Int64, skip_nulls=False)


UNREPEATABLE = [
    lambda s, t: s.map_rows(t.rows, SCHEMA),
    lambda s, t: s.map_batches(t.frame),
    lambda s, t: s.map_batches(t.frame, rows="same"),
    lambda s, t: s.with_columns(t.expr()),
    lambda s, t: s.select("k", v=t.expr()),
]


@pytest.mark.parametrize("mapped", UNREPEATABLE)
@given(batches=EPOCHS, restarts=RESTARTS)
@settings(max_examples=15)
def test_a_deletion_takes_back_what_was_given(
    mapped: Any, batches: list[list[Any]], restarts: set[int]
) -> None:
    """``integrate`` asserts that nothing is deleted that was not inserted."""
    stream = mapped(changes(), Tickets())
    seen: list[Any] = []
    sofar: list[Any] = []
    for number, deltas in enumerate(drive(stream, epochs_of(batches), restart_after=restarts)):
        sofar.append(deltas[0])
        seen += batches[number]
        total = integrate(stream, sofar)
        assert sorted(total["k"]) == sorted(maxima(seen))
        assert total["v"].n_unique() == total.height


@pytest.mark.parametrize("mapped", UNREPEATABLE[1:3])
@given(batches=EPOCHS, restarts=RESTARTS)
@settings(max_examples=15)
def test_equal_rows_share_an_answer(
    mapped: Any, batches: list[list[Any]], restarts: set[int]
) -> None:
    """Rows are a bag: the answer is asked for once, and counts as often as the row is there."""
    stream = mapped(changes().with_columns(k=pl.lit("x"), old=pl.col("v")), Tickets())
    seen: list[Any] = []
    sofar: list[Any] = []
    for number, deltas in enumerate(drive(stream, epochs_of(batches), restart_after=restarts)):
        sofar.append(deltas[0])
        seen += batches[number]
        total = integrate(stream, sofar)
        found = dict(zip(total["old"], total["_weight"], strict=True))
        assert total["old"].n_unique() == total.height
        assert found == Counter(maxima(seen).values())


@given(batches=EPOCHS, restarts=RESTARTS)
@settings(max_examples=15)
def test_an_unrepeatable_filter_keeps_its_word(
    batches: list[list[Any]], restarts: set[int]
) -> None:
    numbers = itertools.count()
    odd = pl.col("k").map_elements(lambda _: next(numbers) % 2 == 1, return_dtype=pl.Boolean)
    stream = changes().filter(odd)
    seen: list[Any] = []
    sofar: list[Any] = []
    for number, deltas in enumerate(drive(stream, epochs_of(batches), restart_after=restarts)):
        sofar.append(deltas[0])
        seen += batches[number]
        assert set(bag(integrate(stream, sofar))) <= set(maxima(seen).items())


def test_state_is_freed_with_the_row() -> None:
    calls: list[Any] = []

    def remember(row: dict[str, Any]) -> dict[str, Any]:
        calls.append(row["v"])
        return row

    stream = changes().map_rows(remember, SCHEMA)
    found = outputs(stream, epochs_of([[("a", 1)], [("a", 2)], [("a", 2)], [("a", 3)]]))
    assert calls == [1, 2, 3]
    assert found[2] is None
    assert found[3] is not None
    assert found[3].rows() == [("a", 2, -1), ("a", 3, 1)]


def refuse_three(rows: pl.DataFrame) -> pl.DataFrame:
    if (rows["v"] == 3).any():
        raise ValueError("three!")
    return rows


@pytest.mark.parametrize("above", [source, changes])
def test_rows_that_raise_are_dead_letters(above: Any) -> None:
    stream = above().map_batches(refuse_three)
    batches = [[("a", 1), ("b", 3), ("c", 4)], [("b", 5)]]
    results = list(drive([stream, stream.dead_letters], epochs_of(batches)))
    total = integrate(stream, [deltas[0] for deltas in results])
    assert set(bag(total)) == {("a", 1), ("c", 4), ("b", 5)}
    dead = pl.concat([deltas[1] for deltas in results if deltas[1] is not None])
    assert dead.rows() == [("map_batches", "", b'{"k":"b","v":3}', "three!")]


def test_map_rows_refuses_a_value_of_another_type() -> None:
    stream = source().map_rows(lambda r: {"n": r["k"] if r["v"] == 2 else r["v"]}, {"n": pl.Int64})
    results = list(
        drive([stream, stream.dead_letters], epochs_of([[("a", 1), ("b", 2), ("c", 3)]]))
    )
    good, dead = results[0]
    assert good is not None
    assert good["n"].to_list() == [1, 3]
    assert dead is not None
    assert dead["reason"].to_list() == ["column 'n' is declared Int64, got str 'b'"]


@pytest.mark.parametrize(
    ("given_back", "message"),
    [
        (
            lambda f: f.with_columns(pl.col("v").cast(pl.Float64)),
            "declared Int64.*returned Float64",
        ),
        (lambda f: f.drop("v"), "no column 'v'"),
        (lambda f: f.with_columns(w=1), "column 'w', which is not in the schema"),
        (lambda f: f.rows(), "returned list, not a frame"),
    ],
)
def test_a_wrong_schema_is_an_error(given_back: Any, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        outputs(source().map_batches(given_back), epochs_of([[("a", 1)]]))


def test_rows_same_is_checked() -> None:
    with pytest.raises(PlanError, match="returned 0 rows for 1"):
        outputs(source().map_batches(lambda f: f.clear(), rows="same"), epochs_of([[("a", 1)]]))


def test_pandas_brings_back_what_it_cannot_hold() -> None:
    """pandas turns integers with a null into floats; the declared type is restored."""
    stream = source().map_batches(lambda f: f.assign(v=f["v"] + 1), SCHEMA, kind="pandas")
    found = outputs(stream, epochs_of([[("a", 1), ("b", None)]]))
    assert found[0] is not None
    assert found[0].rows() == [("a", 2), ("b", None)]
    halves = source().map_batches(lambda f: f.assign(v=f["v"] / 2), SCHEMA, kind="pandas")
    with pytest.raises(PlanError, match="declared Int64, the function returned Float64"):
        outputs(halves, epochs_of([[("a", 1)]]))


def test_arrow_gets_a_table() -> None:
    def check(table: pa.Table) -> pa.Table:
        assert isinstance(table, pa.Table)
        return table.select(["v"])

    stream = source().map_batches(check, {"v": pl.Int64}, kind="arrow")
    found = outputs(stream, epochs_of([[("a", 1)]]))
    assert found[0] is not None
    assert found[0].rows() == [(1,)]


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"penstock\[pandas\]"):
        source().map_batches(lambda f: f, kind="pandas")


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(PlanError, match="did you mean 'pandas'"):
        source().map_batches(lambda f: f, kind="panda")  # type: ignore[arg-type]
    with pytest.raises(PlanError, match="not a function"):
        source().map_batches(3)  # type: ignore[arg-type]
    with pytest.raises(PlanError, match="no typed column"):
        source().map_rows(lambda r: r, {})


def test_a_key_that_may_change_its_mind_is_refused() -> None:
    key = pl.col("k").map_elements(str.upper, return_dtype=pl.String)
    with pytest.raises(PlanError, match="may differ when a row is deleted"):
        changes().group_by(key)


def test_partitions_stay_apart_up_to_a_watermark_below() -> None:
    """A row is late behind its own partition only, also below a function."""
    at: Any = {"ts": pl.Datetime("us"), "v": pl.Int64}
    rows: Any = lambda *seconds: pl.DataFrame(  # noqa: E731
        {"ts": [s * 1_000_000 for s in seconds], "v": list(seconds)}
    ).cast(at)
    source_rows = scripted("p", at, partitioned=True)
    mapped = source_rows.map_batches(lambda f: f.select(pl.all()))
    stream = mapped.with_watermark("ts", max_ahead=None)
    epoch = Epoch({("p", 0): rows(100), ("p", 1): rows(5)})
    later = Epoch({("p", 1): rows(6), ("p", 0): rows(50)}, frozenset({"p"}))
    results = list(drive([stream, stream.late], [epoch, later]))
    late = [f["v"].to_list() for _, f in results if f is not None]
    assert late == [[50]]
