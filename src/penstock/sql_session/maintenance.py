"""Keeping a query's result up to date: deltas of what it reads in, the delta of its result out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import polars as pl

from penstock.columns import DEAD_LETTER_SCHEMA
from penstock.connectors.contract import Accepts, Guarantee, Sink
from penstock.errors import ConnectorError, Fault
from penstock.lowering.table import lower
from penstock.plan.sinks import SinkNode
from penstock.runtime.executor import Executor, Fed, SourceState
from penstock.runtime.letters import shown
from penstock.sql_session.feeding import RelationSpec, whole
from penstock.stream import Stream


class ResultSpec:
    """Marks the end of a plan whose output the session takes itself."""

    name = "result"
    guarantee = Guarantee.EXACTLY_ONCE
    accepts = Accepts.CHANGES
    key: tuple[str, ...] = ()
    immediate = True

    def validate(self, schema: pl.Schema) -> None:
        """Take anything."""

    def open(self) -> Sink:
        """Refuse: the session takes the output from the executor."""
        raise ConnectorError("the result of a session is not opened", step="sql", fault=Fault.OURS)


class Maintained:
    """A plan with its state. ``step`` moves it by one epoch."""

    def __init__(self, stream: Stream) -> None:
        self._executor = Executor(lower([SinkNode(input=stream.node, spec=ResultSpec())]))
        self._epoch = 0
        self.complete: frozenset[str] = frozenset()
        """The relations it was told nothing more comes from."""
        self._once: dict[int, Sequence[tuple[int, pl.DataFrame]]] = {
            vertex.number: whole(vertex.source)
            for vertex in self._executor.graph.sources
            if vertex.source is not None and not isinstance(vertex.source, RelationSpec)
        }
        self.dead_letters = pl.DataFrame(schema=DEAD_LETTER_SCHEMA)

    def step(
        self,
        deltas: Mapping[str, pl.DataFrame],
        *,
        ended: bool = False,
        complete: Collection[str] = (),
        now: int = 0,
    ) -> pl.DataFrame | None:
        """Take the deltas of what is read, by name; return the delta of the result.

        ``ended``: nothing more comes; ``complete`` names the relations of which that is true.
        ``now`` is the processing time in nanoseconds since 1970 UTC, for queries that read it.
        """
        self.complete = frozenset(complete)
        fed: dict[int, Fed] = {}
        states: dict[int, SourceState] = {}
        for vertex in self._executor.graph.sources:
            assert vertex.source is not None
            frame = deltas.get(vertex.source.name)
            if vertex.number in self._once:
                states[vertex.number] = SourceState((0,), caught_up=True, ended=True)
            else:
                over = ended or vertex.source.name.lower() in complete
                states[vertex.number] = SourceState((0,), caught_up=True, ended=over)
                if frame is not None:
                    fed[vertex.number] = Fed([(0, frame)], None, [], (0,))
        fed |= {n: Fed(list(frames), None, [], (0,)) for n, frames in self._once.items() if frames}
        self._once = dict.fromkeys(self._once, ())
        self._epoch += 1
        output = self._executor.run(self._epoch, fed, states, now)
        self._keep_dead(output.dead)
        return next(iter(output.sinks.values()), None)

    def deadline(self) -> int | None:
        """Return when the result changes though nothing that it reads does; None: never."""
        return self._executor.deadline()

    def _keep_dead(self, frames: Iterable[pl.DataFrame]) -> None:
        found = list(frames)
        if found:
            self.dead_letters = pl.concat([self.dead_letters, *map(shown, found)])
