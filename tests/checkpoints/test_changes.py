"""What a changed pipeline keeps of a checkpoint."""

from __future__ import annotations

import polars as pl
import pytest

import penstock as ps
from penstock.checkpoints.changes import Fate, StepChange
from penstock.testing import scripted
from tests.checkpoints.changing import compared, kinds, lost

SCHEMA = {"k": pl.String, "a": pl.Int64, "b": pl.Int64, "ts": pl.Datetime("us")}
ROWS = scripted("rows", SCHEMA)
OTHER = scripted("other", SCHEMA)


def sums(stream: ps.Stream) -> ps.Stream:
    return stream.group_by("k").agg(pl.col("a").sum())


def best(stream: ps.Stream) -> ps.Stream:
    return stream.top_k(3, by="a")


def only(changes: tuple[StepChange, ...], fate: Fate) -> StepChange:
    (found,) = [change for change in changes if change.fate is fate]
    return found


def test_the_same_pipeline_keeps_everything() -> None:
    found = compared(best(sums(ROWS)), best(sums(ROWS)))
    assert {change.fate for change in found.changes} == {Fate.KEPT}
    assert all(new == old for new, old in found.taken.items())


def test_state_stays_when_only_row_wise_steps_above_rows_change() -> None:
    old, new = sums(ROWS.filter(pl.col("a") > 1)), sums(ROWS.filter(pl.col("a") > 2))
    found = compared(old, new)
    assert not lost(found)
    (change,) = [c for c in found.changes if c.kind == "running-aggregate"]
    assert change.fate is Fate.KEPT or change.fate is Fate.MOVED
    assert "came through Filter" in change.notes[0]
    assert "from now on come through Filter" in change.notes[1]


def test_steps_put_in_between_or_taken_out_leave_the_others() -> None:
    plain, longer = sums(ROWS), sums(ROWS.with_columns(pl.col("b") + 1).unique("b"))
    found = compared(plain, longer)
    assert not lost(found)
    assert kinds(found, Fate.NEW) == ["map", "distinct"]
    assert kinds(found, Fate.MOVED) == ["running-aggregate"]
    assert lost(compared(longer, plain)) == ["distinct"]


def test_the_order_of_the_queries_does_not_matter() -> None:
    other = ROWS.group_by("b").agg(pl.col("a").max())
    one = {"sums": sums(ROWS), "others": other}
    found = compared(one, dict(reversed(one.items())))
    assert {change.fate for change in found.changes} == {Fate.KEPT}
    assert found.names["running-aggregate-1"] == "running-aggregate-2"


def test_changed_options_of_its_own_lose_the_state() -> None:
    found = compared(sums(ROWS), ROWS.group_by("k").agg(pl.col("a").max()))
    change = only(found.changes, Fate.LOST)
    assert change.kind == "running-aggregate"
    assert change.reason.startswith("its own options changed; now: Aggregate by [k]")


def test_other_types_lose_the_state() -> None:
    found = compared(sums(ROWS), sums(ROWS.with_columns(pl.col("k").cast(pl.Categorical))))
    assert "columns or types that it holds are others now" in only(found.changes, Fate.LOST).reason


def test_a_column_more_matters_only_to_who_keeps_whole_rows() -> None:
    more = ROWS.with_columns(c=pl.col("b") * 2)
    assert not lost(compared(sums(ROWS), sums(more)))
    assert lost(compared(best(ROWS), best(more))) == ["top-rows"]


@pytest.mark.parametrize("ttls", [("1h", "2h"), (None, "1h"), ("1h", None)])
def test_tuning_keeps_the_state(ttls: tuple[str | None, str | None]) -> None:
    def timed(lateness: str, ttl: str | None) -> ps.Stream:
        return ROWS.with_watermark("ts", lateness).group_by("k", ttl=ttl).agg(pl.col("a").sum())

    assert not lost(compared(timed("1s", ttls[0]), timed("5s", ttls[1])))


def test_windows_keep_their_state_unless_they_change() -> None:
    def windowed(stream: ps.Stream, size: str) -> ps.Stream:
        timed = stream.with_watermark("ts")
        return timed.group_by("k", ps.tumbling(size)).agg(pl.col("a").sum())

    changed = ROWS.filter(pl.col("b") > 0)
    assert not lost(compared(windowed(ROWS, "1m"), windowed(changed, "1m")))
    assert lost(compared(windowed(ROWS, "1m"), windowed(ROWS, "2m"))) == ["window-aggregate"]


# Along a changelog


def test_a_step_between_changes_loses_the_whole_chain() -> None:
    def chain(least: int) -> ps.Stream:
        return best(sums(ROWS).filter(pl.col("a") > least))

    found = compared(chain(1), chain(2))
    assert lost(found) == ["running-aggregate", "best-rows"]
    assert "is new and would get changes of rows that it has never seen" in str(found)


def test_a_new_step_cannot_start_in_the_middle_of_changes() -> None:
    found = compared({"sums": sums(ROWS)}, {"sums": sums(ROWS), "best": best(sums(ROWS))})
    assert lost(found) == ["running-aggregate"]


def test_a_step_with_state_may_be_taken_away_below() -> None:
    found = compared({"sums": sums(ROWS), "best": best(sums(ROWS))}, {"sums": sums(ROWS)})
    assert lost(found) == ["best-rows"]


def test_row_wise_steps_before_a_sink_may_change() -> None:
    found = compared(sums(ROWS), sums(ROWS).filter(pl.col("a") > 1))
    assert not lost(found)
    (sink,) = [change for change in found.changes if change.kind == "sink"]
    assert sink.notes == ("rows written before stay as they are until a change replaces them",)


def test_final_rows_end_the_chain() -> None:
    def chain(least: int) -> ps.Stream:
        timed = ROWS.with_watermark("ts", allowed_lateness=None)
        inner = timed.group_by("k", ps.tumbling("1m")).agg(pl.col("a").sum())
        return sums(inner.filter(pl.col("a") > least))

    assert not lost(compared(chain(1), chain(2)))


def test_answers_of_a_changed_function_stay_valid() -> None:
    def asked(plus: int) -> ps.Stream:
        function = (lambda row: {"a": row["a"] + 1}) if plus else (lambda row: {"a": row["a"]})
        return best(sums(ROWS).map_rows(function, {"a": pl.Int64}))

    assert not lost(compared(asked(0), asked(1)))


# Alike steps and names


def test_of_steps_that_are_alike_the_sink_tells_which_is_which() -> None:
    def two(least: int, most: int) -> dict[str, ps.Stream]:
        return {
            "low": sums(ROWS.filter(pl.col("b") < least)),
            "high": sums(ROWS.filter(pl.col("b") > most)),
        }

    found = compared(two(1, 5), dict(reversed(two(2, 6).items())))
    assert not lost(found)
    assert found.taken["running-aggregate-1"] == "running-aggregate-2"
    assert found.taken["running-aggregate-2"] == "running-aggregate-1"


def test_another_step_that_is_written_alike_does_not_inherit() -> None:
    found = compared(
        {"low": sums(ROWS.filter(pl.col("b") < 1)), "all": ROWS},
        {"high": sums(ROWS.filter(pl.col("b") > 5)), "all": ROWS},
    )
    assert lost(found) == ["running-aggregate"]


def both(low: pl.Expr, high: pl.Expr, names: tuple[str, str] | None = None) -> ps.Stream:
    parts = [sums(ROWS.filter(low)), sums(ROWS.filter(high))]
    if names is not None:
        parts = [part.named(name) for part, name in zip(parts, names, strict=True)]
    return ps.concat([part.select("k", "a") for part in parts])


def test_what_is_ambiguous_is_lost_and_names_help() -> None:
    b = pl.col("b")
    found = compared(both(b < 1, b > 5), both(b > 6, b < 2))
    assert lost(found) == ["running-aggregate", "running-aggregate"]
    reasons = [change.reason for change in found.changes if change.fate is Fate.LOST]
    assert all("name them" in reason for reason in reasons)
    named = compared(both(b < 1, b > 5, ("low", "high")), both(b > 6, b < 2, ("high", "low")))
    assert not lost(named)
    assert named.taken["low"] == "low"


def test_a_step_can_be_given_a_name_later_and_lose_it_again() -> None:
    there = compared(sums(ROWS), sums(ROWS).named("totals"))
    assert there.taken["totals"] == "running-aggregate-1"
    assert kinds(there, Fate.MOVED) == ["running-aggregate"]
    back = compared(sums(ROWS).named("totals"), sums(ROWS))
    assert back.names["running-aggregate-1"] == "totals"
    assert not lost(back)


def test_another_name_is_another_step() -> None:
    assert lost(compared(sums(ROWS).named("x"), sums(ROWS).named("y"))) == ["running-aggregate"]


def test_a_name_does_not_make_other_options_fit() -> None:
    other = ROWS.group_by("k").agg(pl.col("a").max()).named("x")
    found = compared(sums(ROWS).named("x"), other)
    assert "its own options changed" in only(found.changes, Fate.LOST).reason


# Sources and sinks


def test_a_replaced_source_loses_its_position_and_nothing_else() -> None:
    found = compared(sums(ROWS), sums(OTHER))
    assert lost(found) == ["source"]
    assert "position" in only(found.changes, Fate.LOST).reason


def test_the_order_within_a_union_does_not_matter() -> None:
    parts = [sums(ROWS.filter(pl.col("b") > n)).select("k", "a") for n in range(3)]
    found = compared(ps.concat(parts[:2]).unique("k"), ps.concat(parts[1::-1]).unique("k"))
    assert not lost(found)
    assert lost(compared(ps.concat(parts[:2]).unique("k"), ps.concat(parts).unique("k")))


def test_a_source_put_before_another_one_changes_nothing_for_it() -> None:
    one, two = {"sums": sums(ROWS)}, {"all": OTHER, "sums": sums(ROWS)}
    found = compared(one, two)
    assert not lost(found)
    assert found.taken["source-2"] == "source-1"


def test_an_added_sink_says_where_it_starts() -> None:
    found = compared({"a": sums(ROWS)}, {"a": sums(ROWS), "b": sums(ROWS), "c": ROWS})
    notes = [change.notes for change in found.changes if change.fate is Fate.NEW]
    assert [note[0].split(";")[0] for note in notes] == [
        "gets only what changes from now on",
        "starts with the rows from now on",
    ]


def test_a_sink_may_be_taken_out_once_it_has_all_its_output() -> None:
    two = {"a": sums(ROWS), "b": sums(ROWS)}
    assert not lost(compared(two, {"a": sums(ROWS)}))
    found = compared(two, {"a": sums(ROWS)}, staged=["sink-2"])
    assert only(found.changes, Fate.LOST).name == "sink-2"


def test_steps_that_become_shared_or_are_no_longer_keep_their_state() -> None:
    base = ROWS.filter(pl.col("a") > 1).with_columns(c=pl.col("b") + 1)
    alone = {"sums": sums(base)}
    together = {"rows": ROWS.filter(pl.col("a") > 1), "sums": sums(base), "more": best(base)}
    assert not lost(compared(alone, together))
    assert lost(compared(together, alone)) == ["top-rows"]
