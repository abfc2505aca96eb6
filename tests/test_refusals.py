"""What cannot work is refused on the line where it is written, by name, with the way out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import pytest

import penstock as ps
from penstock.errors import PenstockError, PlanError

FRAME = pl.DataFrame(
    {
        "k": ["a", "b"],
        "n": [1, 2],
        "numbers": [[1], [2]],
        "ts": [datetime(2026, 5, 17), datetime(2026, 5, 18)],
        "day": [date(2026, 5, 17), date(2026, 5, 18)],
    }
)
ROWS = ps.scan_batches([FRAME])
TIMED = ROWS.with_watermark("ts")
DAYS = ROWS.with_watermark("day")


@pytest.mark.parametrize(
    ("step", "says", "write"),
    [
        ("explode", "'n' is Int64, not a List", lambda: ROWS.explode("n")),
        ("explode", "no columns", lambda: ROWS.explode()),
        ("with_columns", "cannot be cast", lambda: ROWS.cast({"numbers": pl.Int8})),
        (
            "select",
            r"List\(Int64\) cannot be cast to String",
            lambda: ROWS.select(pl.col("numbers").list.head(1).cast(pl.String)),
        ),
        ("select", "cannot be cast", lambda: ROWS.select(pl.col("n").cast(pl.List(pl.Int8)))),
        ("cast", "not a type: 'int'", lambda: ROWS.cast({"n": "int"})),
        ("rename", "not a mapping", lambda: ROWS.rename("n")),  # type: ignore[arg-type]
        ("fill_null", "unknown strategy 'forwards'", lambda: ROWS.fill_null(strategy="forwards")),
        ("fill_null", "not a value", lambda: ROWS.fill_null(object())),
        ("unique", "ttl must be longer", lambda: ROWS.unique("k", ttl="-1s")),
        ("top_k", "ttl must be longer", lambda: ROWS.top_k(1, by="n", ttl=0)),
        ("join", "ttl must be longer", lambda: ROWS.join(ROWS, on="k", ttl=0)),
        ("group_by", "ttl must be longer", lambda: ROWS.group_by("k", ttl=0)),
        ("group_by", "max_group_rows", lambda: ROWS.group_by("k", max_group_rows=0)),
        ("top_k", "max_group_rows", lambda: ROWS.top_k(1, by="n", max_group_rows=-1)),
        ("group_by", "no order", lambda: ROWS.group_by("k", maintain_order=True)),
        (
            "group_by",
            "'window_start' has the name",
            lambda: TIMED.group_by(pl.col("k").alias("window_start"), ps.tumbling("1m")).len(),
        ),
        ("tumbling", "not a time zone", lambda: ps.tumbling("1d", time_zone="Mars/Olympus")),
        (
            "tumbling",
            "no local time",
            lambda: DAYS.group_by(ps.tumbling("1d", time_zone="Europe/Rome")).len(),
        ),
        ("concat", "a DataFrame is not", lambda: ps.concat([ROWS, FRAME])),  # type: ignore[list-item]
        ("concat", "one stream", lambda: ps.concat(ROWS)),  # type: ignore[arg-type]
        ("run", "a Stream is not a query", lambda: ps.run(ROWS)),  # type: ignore[arg-type]
        ("preview", "rows must be", lambda: ROWS.preview(0)),
        ("sort", "never ends", lambda: ps.scan_rate(1).sort("offset").sink_callback(print)),
        ("topic t", "partitions must be", lambda: ROWS.sink_topic("t", partitions=0)),
        ("batches", "'int8' is not a type", lambda: ps.scan_batches([FRAME], {"n": "int8"})),
        ("file", "no such file: absent.csv", lambda: ps.scan_csv("absent.csv")),
    ],
)
def test_it_is_refused_where_it_is_written(
    step: str, says: str, write: Callable[[], object]
) -> None:
    with pytest.raises(PenstockError, match=says) as error:
        write()
    assert error.value.step == step
    assert error.value.line is not None
    assert error.value.line.startswith(f"{__file__}:")


def test_literals_alone_are_one_row_however_epochs_are_cut() -> None:
    twice = ps.scan_batches([FRAME, FRAME])
    assert twice.select(pl.lit(1), two=2).collect().rows() == [(1, 2)]
    assert twice.filter(n=0).select(pl.lit(1)).collect().rows() == [(1,)]


def test_rename_takes_a_function() -> None:
    assert ROWS.rename(str.upper).columns == [name.upper() for name in FRAME.columns]


def test_casts_that_polars_can_do_are_left_alone() -> None:
    one = ROWS.select(pl.col("numbers").cast(pl.Array(pl.Int8, 1)).cast(pl.List(pl.String)))
    assert one.collect().rows() == [(["1"],), (["2"],)]
    null = ps.scan_batches([pl.DataFrame({"n": [None]})]).cast({"n": pl.List(pl.Int8)})
    assert null.collect().schema == {"n": pl.List(pl.Int8)}


def test_a_query_says_what_it_is_and_does() -> None:
    query = ROWS.sink_callback(lambda _: None)
    assert "not started: callback" in repr(query)
    query.start().wait()
    assert repr(query).startswith("<Query ended: callback")


def test_a_file_that_is_no_csv_is_not_printed(tmp_path: Path) -> None:
    FRAME.select("n").write_parquet(tmp_path / "n.parquet")
    with pytest.raises(ps.QueryFailed, match="has no column") as error:
        ps.scan_csv(tmp_path / "n.parquet", {"n": pl.Int64}).collect()
    assert len(str(error.value)) < 1500
    assert str(error.value).replace("\n", "").isprintable()


class Idle(ps.Processor):
    """A processor that does nothing."""

    output: ClassVar[dict[str, Any]] = {"k": pl.String}


def test_a_processor_that_does_nothing_is_refused() -> None:
    with pytest.raises(PlanError, match="Idle has no method process"):
        ROWS.process(Idle, by="k")


def test_a_query_that_fails_names_the_step_and_its_line() -> None:
    large = (pl.col("n").sum() * 100).cast(pl.Int8)  # of no single row
    days = TIMED.group_by(ps.tumbling("1d")).agg(large)  # the step
    with pytest.raises(ps.QueryFailed) as error:
        days.collect()
    assert "\n  in Aggregate" in str(error.value)
    assert str(error.value).endswith("# the step")
    other = ROWS.map_batches(lambda frame: frame.drop("k"))  # another step
    with pytest.raises(ps.QueryFailed, match="no column 'k'") as error:
        other.collect()
    assert str(error.value).endswith("# another step")


def test_the_error_of_a_missing_sink_is_a_plan_error() -> None:
    with pytest.raises(PlanError, match="sink first"):
        ps.start(ROWS)  # type: ignore[arg-type]
