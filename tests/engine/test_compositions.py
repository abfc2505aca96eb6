"""Random compositions of operators over random streams, against one query over all rows so far."""

from __future__ import annotations

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.columns import WEIGHT
from penstock.testing import difference, drive, integrate

from .arrivals import Script, replay, scripts
from .pipelines import pipelines

CASES = settings().max_examples * 3


@settings(max_examples=CASES)
@given(st.data())
def test_any_composition_equals_one_query_after_every_epoch(data: st.DataObject) -> None:
    script: Script = data.draw(scripts(), label="script")
    pair, clocks = data.draw(pipelines(script))
    restarts = data.draw(st.sets(st.integers(0, len(script.epochs)), max_size=2), label="restarts")
    stream, where = pair.stream, " -> ".join(pair.steps)
    deltas: list[pl.DataFrame | None] = []
    known = replay(script, clocks)
    for number, (delta,) in enumerate(drive(stream, script.driven(), restart_after=restarts)):
        deltas.append(delta)
        if delta is not None:
            assert delta.height, "an empty delta"
            assert (WEIGHT in delta.columns) == stream.is_changelog, where
            assert dict(delta.drop(WEIGHT, strict=False).schema) == dict(stream.schema), where
        if pair.at_end and not known[number].over:
            continue
        wanted = pair.query(known[number]).collect()
        assert dict(wanted.schema) == dict(stream.schema), where
        differs = difference(integrate(stream, deltas), wanted)
        assert differs is None, f"epoch {number} of {where}: {differs}"
