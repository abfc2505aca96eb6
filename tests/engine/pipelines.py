"""Random pipelines, each written twice: as a Penstock stream and as a query over all rows so far.

A ``Pair`` holds both. The query never sees the engine: late rows were taken out and the time was
told by ``arrivals``, windows are assigned by integer arithmetic, as-of joins and users' functions are
loops in plain Python, the rest is Polars in one go.
Columns whose name begins with ``x`` hold inexact floats and are only ever carried along: a key or a
predicate on them would turn on the last bit. All other floats are small multiples of 1/4.
"""

from __future__ import annotations

from hypothesis import strategies as st

import penstock as ps
from penstock.stream import Stream
from penstock.testing import scripted

from .arrivals import SCHEMA, Clock, Script
from .code_steps import mapped_batches, mapped_rows, processed, timed
from .group_steps import counted, grouped, session, sliding, totalled, windowed
from .join_steps import joined, joined_asof, joined_near, joined_where, united
from .order_steps import best, distinct, held_back, limited, over, running, sorted_first
from .pairs import Drawn, Pair, Step
from .row_steps import (
    exploded,
    filled,
    filtered,
    indexed,
    moved,
    rounded,
    selected,
    unnested,
    with_columns,
)

STEPS: list[Step] = [
    filtered,
    with_columns,
    selected,
    moved,
    rounded,
    filled,
    grouped,
    grouped,
    totalled,
    windowed,
    windowed,
    windowed,
    session,
    sliding,
    best,
    best,
    sorted_first,
    exploded,
    unnested,
    mapped_batches,
    mapped_rows,
    joined_near,
    joined_asof,
    joined_where,
    distinct,
    distinct,
    over,
    over,
    joined,
    joined,
    united,
    held_back,
]
IN_ORDER: list[Step] = [
    counted,
    counted,
    counted,
    processed,
    processed,
    timed,
    timed,
    indexed,
    limited,
    running,
]
"""Steps over rows in order of arrival."""


def bases(d_lateness: int, script: Script) -> tuple[list[Pair], dict[str, Clock]]:
    """Return the sources: with a watermark, without one, and two read together."""
    streams = {
        name: scripted(name, SCHEMA, partitioned=count > 1)
        for name, count in script.partitions.items()
    }

    def timed(stream: Stream) -> Stream:
        return stream.with_watermark("ts", f"{d_lateness}s", idle_timeout=None, max_ahead=None)

    made = {
        "a": (timed(streams["a"]), Clock(("a",), d_lateness)),
        "b": (timed(streams["b"]), Clock(("b",), d_lateness)),
        "a+b": (
            timed(ps.concat([streams["a"], streams["b"]])),
            Clock(("a", "b"), d_lateness),
        ),
        "c": (streams["c"], Clock(("c",), -1)),
    }

    def pair(name: str, stream: Stream) -> Pair:
        return Pair(
            stream,
            lambda seen: seen.rows[name].lazy(),
            frozenset([name]),
            ordered=True,
            steps=(name,),
        )

    pairs = [pair(name, stream) for name, (stream, _) in made.items()]
    return pairs, {name: clock for name, (_, clock) in made.items()}


@st.composite
def pipelines(draw: st.DrawFn, script: Script) -> tuple[Pair, dict[str, Clock]]:
    """Draw a pipeline of two to five steps over the sources of a script."""
    pairs, clocks = bases(draw(st.sampled_from([0, 0, 2, 5])), script)
    drawn = Drawn(draw, pairs, STEPS, IN_ORDER)
    return drawn.pipeline(draw(st.integers(2, 5))), clocks
