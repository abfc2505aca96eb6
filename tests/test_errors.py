"""The line that an error names is the user's own, however deep it was raised."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

import polars as pl
import pytest

import penstock as ps
from penstock.errors import ConnectorError, PenstockError, PlanError

FRAME = pl.DataFrame({"n": [1]})


def test_a_plan_error_names_the_line_it_was_written_on() -> None:
    with pytest.raises(PlanError) as error:
        ps.scan_batches([FRAME]).select("m")  # the wrong line
    assert error.value.line is not None
    assert error.value.line.startswith(f"{__file__}:")
    assert error.value.line.endswith('.select("m")  # the wrong line')


def test_frames_of_the_standard_library_are_passed_over() -> None:
    error = PenstockError("first")
    with contextlib.ExitStack() as stack:
        stack.callback(error.__init__, "second")  # type: ignore[misc]
    assert error.message == "second"
    assert error.line is not None
    assert error.line.startswith(f"{__file__}:")


def test_a_thread_without_user_code_has_no_line() -> None:
    error = PenstockError("here")
    assert error.line is not None
    thread = threading.Thread(target=error.__init__, args=("there",))  # type: ignore[misc]
    thread.start()
    thread.join()
    assert error.message == "there"
    assert error.line is None


def test_a_given_line_is_kept() -> None:
    assert str(ConnectorError("refused", step="s", line="a.py:1")) == "s: refused\n  at a.py:1"
    assert str(ConnectorError("refused", line="")) == "refused"


def test_an_error_of_a_reading_thread_names_no_driver() -> None:
    def frames() -> Iterator[pl.DataFrame]:
        yield FRAME
        yield pl.DataFrame({"m": ["x"]})

    with pytest.raises(ps.QueryFailed) as error:
        ps.scan_batches(frames()).collect()
    cause = error.value.__cause__
    assert isinstance(cause, ConnectorError)
    assert cause.line is None


KEYED = ps.scan_batches([pl.DataFrame({"k": ["a"], "n": [1]})])


@pytest.mark.parametrize(
    ("step", "write"),
    [
        ("select", lambda: KEYED.select(pl.col("n").str.to_uppercase())),
        ("select", lambda: KEYED.select(pl.col("m") + 1)),
        ("filter", lambda: KEYED.filter(pl.col("k") > 3)),
        ("filter", lambda: KEYED.filter(pl.col("n"))),
        ("filter", lambda: KEYED.filter(pl.col("m") > 3)),
        ("drop_nulls", lambda: KEYED.drop_nulls("m")),
        ("sort", lambda: KEYED.sort(pl.col("n").str.to_uppercase())),
        ("top_k", lambda: KEYED.top_k(0, by="n")),
        ("group_by", lambda: KEYED.group_by("m")),
        ("group_by", lambda: KEYED.group_by(pl.col("n").str.len_chars()).len()),
        ("agg", lambda: KEYED.group_by("k").agg("m")),
        ("join", lambda: KEYED.join(KEYED, on="m")),
        ("join_where", lambda: KEYED.join_where(KEYED, pl.col("m") > 1)),
        ("with_watermark", lambda: KEYED.with_watermark("k")),
    ],
)
def test_every_verb_names_itself_and_the_line(step: str, write: Callable[[], object]) -> None:
    with pytest.raises(PlanError) as error:
        write()
    assert error.value.step == step
    assert error.value.line is not None
    assert error.value.line.startswith(f"{__file__}:")
