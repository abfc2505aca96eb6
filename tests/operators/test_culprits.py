"""Rows at fault, against each row tried alone by plain code."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable
from datetime import date, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.gallop import gallop
from penstock.letter_rows import unpacked
from penstock.lowering.table import lower
from penstock.operators.contract import Operator, Tick
from penstock.plan.sinks import SinkNode
from penstock.stream import Stream
from penstock.testing import DrivenSink, scripted

SCHEMA: dict[str, Any] = {"at": pl.Int64, "v": pl.String, "n": pl.Int64, "l": pl.List(pl.Int64)}
V = pl.col("v")
Row = tuple[int, str | None, int | None, list[int] | None]
Outcome = list[Any] | None
"""The rows that become of a row, or None if it is refused."""


def whole(text: str | None, low: int, high: int) -> int | None:
    """Read a number as a strict cast does; a ``ValueError`` if it does not fit."""
    if text is None:
        return None
    if not re.fullmatch(r"[+-]?[0-9]+", text) or not low <= int(text) <= high:
        raise ValueError(text)
    return int(text)


def day(text: str | None) -> date | None:
    return None if text is None else datetime.strptime(text, "%Y-%m-%d").date()


def second(values: list[int] | None) -> int | None:
    return None if values is None else values[1]


def long(text: str | None) -> int | None:
    return whole(text, -(2**63), 2**63 - 1)


def chain(row: Row) -> list[Any]:
    number = long(row[1])
    if number is None or number < 2:
        return []
    return [(row[0], number, None if row[2] is None else whole(str(row[2]), -128, 127))]


def either(row: Row) -> list[Any]:
    return [(row[0], None if row[1] == "x" else long(row[1]))]


CASES: dict[str, tuple[Callable[[Stream], Stream], Callable[[Row], list[Any]]]] = {
    "cast": (lambda s: s.select("at", x=V.cast(pl.Int64)), lambda r: [(r[0], long(r[1]))]),
    "small": (
        lambda s: s.select("at", x=pl.col("n").cast(pl.Int8).cast(pl.Int64) + 1),
        lambda r: [(r[0], r[2] if r[2] is None else whole(str(r[2]), -128, 127) + 1)],  # type: ignore[operator]
    ),
    "to_integer": (
        lambda s: s.select("at", x=V.str.to_integer()),
        lambda r: [(r[0], long(r[1]))],
    ),
    "to_date": (
        lambda s: s.select("at", x=V.str.to_date("%Y-%m-%d")),
        lambda r: [(r[0], day(r[1]))],
    ),
    "list.get": (
        lambda s: s.select("at", x=pl.col("l").list.get(1)),
        lambda r: [(r[0], second(r[3]))],
    ),
    "filter": (
        lambda s: s.filter(V.cast(pl.Int64) > 1).select("at"),
        lambda r: [(r[0],)] if (long(r[1]) or 0) > 1 else [],
    ),
    "when": (
        lambda s: s.select("at", x=pl.when(V != "x").then(V.cast(pl.Int64))),
        either,
    ),
    "chain": (
        lambda s: (
            s.with_columns(x=V.cast(pl.Int64))
            .filter(pl.col("x") >= 2)
            .select("at", "x", y=pl.col("n").cast(pl.Int8))
        ),
        chain,
    ),
    "explode": (
        lambda s: s.explode("l").select("at", x=pl.col("l").cast(pl.Int8)),
        lambda r: [
            (r[0], None if e is None else whole(str(e), -128, 127))
            for e in ([None] if r[3] is None else r[3])
        ],
    ),
    "map_batches": (
        lambda s: s.map_batches(
            lambda f: f.select("at", x=V.cast(pl.Int64)), {"at": pl.Int64, "x": pl.Int64}
        ),
        lambda r: [(r[0], long(r[1]))],
    ),
}

TEXTS = st.sampled_from(
    [
        None,
        "1",
        "2",
        "-7",
        "+3",
        "x",
        "y",
        "",
        "-",
        "9" * 30,
        "-" + "9" * 30,
        "2024-02-29",
        "2023-02-29",
    ]
    + ["a\nb", 'é"q', "1" * 250, "[x]"]
)
ROWS = st.lists(
    st.tuples(
        TEXTS,
        st.sampled_from([None, 1, 127, 128, -300]),
        st.sampled_from([None, [], [1], [1, 300]]),
    ),
    min_size=1,
    max_size=12,
)


def operators(stream: Stream) -> list[Operator]:
    graph = lower([SinkNode(input=stream.node, spec=DrivenSink())])
    return [vertex.operator for vertex in graph.vertices if vertex.operator is not None]


def outcome(stream: Stream, frame: pl.DataFrame) -> tuple[list[Any], dict[int, str]]:
    """Run the steps of a stream on a frame; return the rows, and the reasons of those refused."""
    delta: pl.DataFrame | None = frame
    reasons: dict[int, str] = {}
    for operator in operators(stream):
        tick = Tick(1, 0, (0,))
        delta = operator.step([delta], tick)
        for letters in tick.sides.dead:
            for data, reason in letters.select("row", "reason").rows():
                assert reasons.setdefault(unpacked(data)["at"].item(), reason) == reason
        if delta is None:
            break
    return ([] if delta is None else delta.rows()), reasons


@pytest.mark.parametrize("case", [*CASES])
@given(rows=ROWS, seed=st.integers(0, 1_000), height=st.integers(1, 120))
@settings(max_examples=12)
def test_each_row_is_judged_as_if_alone(case: str, rows: list[Any], seed: int, height: int) -> None:
    build, oracle = CASES[case]
    many = random.Random(seed).choices(rows, k=height)
    frame = pl.DataFrame([(at, *row) for at, row in enumerate(many)], schema=SCHEMA, orient="row")
    stream = build(scripted("rows", SCHEMA))
    found, reasons = outcome(stream, frame)
    wanted, bad = [], []
    for row in frame.rows():
        try:
            wanted += oracle(row)
        except (ValueError, IndexError):
            bad.append(row[0])
    assert found == wanted
    assert sorted(reasons) == bad
    for at in bad[:40]:
        assert outcome(stream, frame[at : at + 1])[1] == {at: reasons[at]}


def test_a_group_by_refuses_a_flood_of_rows_each_for_its_own_reason() -> None:
    stream = scripted("rows", SCHEMA).group_by("n").agg(x=V.cast(pl.Int64).sum())
    texts = [str(i) if i % 3 else f"x{i}" for i in range(300)]
    frame = pl.DataFrame({"at": range(300), "v": texts, "n": 1, "l": [[1]] * 300}, schema=SCHEMA)
    _, reasons = outcome(stream, frame)
    assert sorted(reasons) == [*range(0, 300, 3)]
    assert all(f'["x{at}"]' in reason for at, reason in reasons.items())


@given(
    height=st.integers(1, 300),
    share=st.sampled_from([0.0, 0.02, 0.3, 1.0]),
    seed=st.integers(0, 1_000),
    known=st.booleans(),
)
def test_gallop_finds_all_culprits_and_nobody_else(
    height: int, share: float, seed: int, *, known: bool
) -> None:
    draw = random.Random(seed)
    bad = {i for i in range(height) if draw.random() < share}
    error, calls = ValueError("bad"), 0

    def attempt(start: int, end: int) -> BaseException | None:
        nonlocal calls
        calls += 1
        return error if bad & {*range(start, end)} else None

    failed = error if bad and known else None
    spans = [*gallop(height, attempt, failed)]
    assert [i for start, end, _ in spans for i in range(start, end)] == [*range(height)]
    assert {start for start, _, found in spans if found is not None} == bad
    assert all(end == start + 1 for start, end, found in spans if found is not None)
    each = 3 * math.log2(height / len(bad) + 1) + 3 if bad else 0
    assert calls <= len(bad) * each + 2 * math.log2(height) + 3


def test_where_all_rows_fail_each_is_tried_once() -> None:
    calls = []

    def attempt(start: int, end: int) -> BaseException | None:
        calls.append(end - start)
        return ValueError("bad")

    assert len([*gallop(4_096, attempt, ValueError("bad"))]) == 4_096
    assert len(calls) <= 4_096 + 12
