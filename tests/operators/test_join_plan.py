"""What is known of a join before it runs: errors, unique keys, bounds."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

import penstock.windows as ps
from penstock.errors import PlanError
from penstock.stream import Stream
from penstock.testing import scripted
from tests.operators.histories import Weighed, changing

LEFT: dict[str, Any] = {"id": pl.Int64, "k": pl.Int64, "v": pl.String}
RIGHT: dict[str, Any] = {"k": pl.Int64, "w": pl.Int64}


def sides() -> tuple[Stream, Stream]:
    return scripted("l", LEFT), scripted("r", RIGHT)


ERRORS: list[tuple[dict[str, Any], str]] = [
    ({"on": "kk"}, "did you mean 'k'"),
    ({"on": "k", "how": "inne"}, "did you mean 'inner'"),
    ({"on": "k", "how": "outer"}, "available: inner, left, right, full"),
    ({"left_on": "k"}, "go together"),
    ({"on": "k", "left_on": "k", "right_on": "k"}, "both on="),
    ({"left_on": ["k", "id"], "right_on": "k"}, "2 keys on the left, 1 on the right"),
    ({"left_on": "v", "right_on": "w"}, "'v' is String on the left, 'w' is Int64 on the right"),
    ({"left_on": "v", "right_on": "w"}, r'pl.col\("w"\).cast\(pl.String'),
    ({"on": pl.col("k").sum()}, "looks at other rows"),
    ({"left_on": pl.col("v").alias("k"), "right_on": "k"}, "has an alias"),
    ({}, "no keys given"),
    ({"on": "k", "how": "cross"}, "a cross join has no keys"),
    ({"on": "k", "ttl": "soon"}, "ttl is not a duration"),
]


@pytest.mark.parametrize(("options", "message"), ERRORS)
def test_errors_come_when_the_line_is_written(options: dict[str, Any], message: str) -> None:
    one, two = sides()
    with pytest.raises(Exception, match=message) as caught:
        one.join(two, **options)
    assert "test_join_plan.py" in str(caught.value)


def test_other_errors() -> None:
    one, two = sides()
    with pytest.raises(PlanError, match="not a Stream"):
        one.join(pl.DataFrame({"k": [1]}), on="k")  # type: ignore[arg-type]
    with pytest.raises(PlanError, match="did you mean 'backward'"):
        one.join_asof(two, on="k", strategy="backwards")
    with pytest.raises(PlanError, match="exactly one time column"):
        one.join_asof(two, by="k")
    with pytest.raises(PlanError, match="tolerance is negative"):
        one.join_asof(two, on="k", tolerance=-1)
    with pytest.raises(PlanError, match="no event-time column"):
        one.join_interval(two, on="k", lower=0, upper="1s")
    with pytest.raises(PlanError, match="not a Datetime or Date"):
        one.join_interval(two, on="k", left_time="id", right_time="w", lower=0, upper="1s")
    three = scripted("t", {"t": pl.Datetime("ms"), "u": pl.Datetime("us")})
    with pytest.raises(PlanError, match=r"(?s)is Datetime\(time_unit='ms'.*cast one of them"):
        three.join_interval(three, left_time="t", right_time="u", lower=0, upper=1)
    with pytest.raises(PlanError, match="above upper"):
        three.join_interval(three, left_time="t", right_time="t", lower=1, upper=0)
    clash = scripted("c", {"k": pl.Int64, "w": pl.Int64, "w_right": pl.Int64})
    with pytest.raises(PlanError, match="choose another suffix"):
        clash.join(two, on="k", coalesce=False).join(two, on="k").join(two, on="k")


def test_unique_keys_are_derived() -> None:
    left = Stream(_keyed("l", LEFT, ("id",)))
    right = Stream(_keyed("r", RIGHT, ("k",)))
    assert left.join(right, on="k").node.properties.keys == (("id",),)
    assert left.join(right, on="k", how="left").node.properties.keys == (("id",),)
    assert left.join(right, on="k", how="right").node.properties.keys == (("id", "k"),)
    assert left.join(right, on="k", how="full").node.properties.keys == ()
    assert left.join(right, on="k", how="semi").node.properties.keys == (("id",),)
    assert left.join(right, how="cross").node.properties.keys == (("id", "k_right"),)
    assert right.join(left, on="k", how="right").node.properties.keys == (("id",),)
    many = left.join(right, left_on="k", right_on="w")
    assert many.node.properties.keys == (("id", "k_right"),)


def _keyed(name: str, schema: dict[str, Any], key: tuple[str, ...]) -> Any:
    node = changing(name, schema).node
    assert isinstance(node, Weighed)
    return Weighed(input=node.input, keys=(key,))


def test_keys_bounded_on_both_sides_stay_bounded() -> None:
    schema: dict[str, Any] = {"t": pl.Datetime("ms"), "k": pl.Int64}

    def windows(name: str, late: str) -> Stream:
        stream = scripted(name, schema).with_watermark("t", late)
        return stream.group_by("k", ps.tumbling("10s")).agg(pl.len().alias(f"n_{name}"))

    on = ["k", "window_start", "window_end"]
    for how in ("inner", "left", "right", "semi", "anti"):
        found = windows("l", "1s").join(windows("r", "2s"), on=on, how=how)
        assert set(found.node.properties.times) == {"window_start", "window_end"}
        assert found.node.properties.event_time == "window_start"
    full = windows("l", "1s").join(windows("r", "2s"), on=on, how="full")
    assert not full.node.properties.times
    merged = windows("l", "1s").join(windows("r", "2s"), on=on, how="full", coalesce=True)
    assert set(merged.node.properties.times) == {"window_start", "window_end"}
