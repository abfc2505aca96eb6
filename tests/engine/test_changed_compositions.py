"""Random compositions of all operators, changed between two epochs, against one query over all rows."""

from __future__ import annotations

import dataclasses
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

import penstock as ps
from penstock.checkpoints.changes import Fate, compare
from penstock.lowering.table import lower
from penstock.plan.node import Node, options, walk
from penstock.plan.rows import Filter
from penstock.plan.sinks import SinkNode
from penstock.plan.sources import Scan
from penstock.runtime.adoption import adopt, records
from penstock.testing import Driven, difference, integrate, scripted
from penstock.testing.driving import DrivenSink
from tests.checkpoints.changing import checkpoint

from .arrivals import Script, replay, scripts
from .pipelines import pipelines

CASES = settings().max_examples // 2


def filtered(stream: ps.Stream) -> ps.Stream:
    """Return the same plan with a filter that lets everything through after each source."""
    made: dict[int, Node] = {}

    def rewired(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(map(rewired, value))
        if not isinstance(value, Node):
            return value
        return made[id(value)] if id(value) in made else rebuilt(value)

    def rebuilt(node: Node) -> Node:
        return dataclasses.replace(node, **{name: rewired(value) for name, value in options(node)})

    for node in walk(stream.node):
        if isinstance(node, Scan):
            first = pl.col(next(iter(node.schema)))
            made[id(node)] = Filter(input=node, predicate=first.is_null() | first.is_not_null())
        else:
            made[id(node)] = rebuilt(node)
    return ps.Stream(made[id(stream.node)])


class Changing(Driven):
    """A plan that is changed between two epochs, and goes on from its former state."""

    def change(self, *streams: ps.Stream) -> list[str]:
        """Go on with other streams; return what was lost."""
        self.save()
        old = records(self._lowered())
        self.streams = list(streams)
        manifest = checkpoint(old)
        comparison = compare(manifest, records(self._lowered()))
        self.executor = self._built()
        adopt(self.executor.graph, manifest, comparison)
        for key, primitive in self._states():
            if self._saved.get(key):
                primitive.load(self._saved[key])
        return [c.name for c in comparison.changes if c.fate is Fate.LOST]

    def _lowered(self) -> Any:
        return lower([SinkNode(input=s.node, spec=DrivenSink()) for s in self.streams])


@settings(max_examples=CASES)
@given(st.data())
def test_a_composition_changed_between_two_epochs_goes_on_as_it_was(data: st.DataObject) -> None:
    script: Script = data.draw(scripts(), label="script")
    pair, clocks = data.draw(pipelines(script))
    at = data.draw(st.integers(0, len(script.epochs)), label="changed after")
    where = " -> ".join(pair.steps)
    beside = scripted("beside", {"n": pl.Int64}).group_by("n").agg(pl.len())
    driven = Changing(pair.stream)
    deltas: list[pl.DataFrame | None] = []
    known = replay(script, clocks)
    for number, epoch in enumerate(script.driven()):
        deltas.append(driven.step(epoch)[-1])
        if number == at:
            assert driven.change(beside, filtered(pair.stream)) == [], where
        if pair.at_end and not known[number].over:
            continue
        wanted = pair.query(known[number]).collect()
        differs = difference(integrate(pair.stream, deltas), wanted)
        assert differs is None, f"epoch {number} of {where}: {differs}"
