"""The verb of Stream that runs a user's code per key."""

from __future__ import annotations

from typing import Any, Self

from penstock.errors import PlanError
from penstock.instants import Duration
from penstock.plan.process import AnyProcessor, Process
from penstock.stream.base import StreamBase
from penstock.stream.bounds import lifetime_ns


class ProcessVerbs(StreamBase):
    """``process``: a Python class per key."""

    __slots__ = ()

    def process(self, processor: AnyProcessor, *, by: Any, ttl: Duration | None = None) -> Self:
        """Call a processor for each key that an epoch touches, with the key's rows and state.

        ``processor`` is a subclass of ``ps.Processor`` (one key at a time, with timers) or of
        ``ps.BatchProcessor`` (all touched keys as frames, fast), or an object of one: attributes of
        an object are not state and are lost at a restart. ``by`` names the key columns. ``ttl``
        frees state and timers of a key that nothing has touched for that long.

        Rows come in order of arrival, then the timers that are due. When the code raises, the rows
        it was given become dead letters with the exception's text, the key's state stays as it was,
        and the query goes on. State is the declared columns; a key is freed by ``state.clear()``.
        The new rows are append-only; event times are not followed through it: declare the watermark
        of what follows after it. Changes are taken by a processor that says ``changes = True``.

        >>> import penstock as ps, polars as pl
        >>> class Count(ps.Processor):
        ...     state = {"n": pl.Int64}
        ...     output = {"user": pl.String, "n": pl.Int64}
        ...
        ...     def process(self, key, rows, state, timers):
        ...         state["n"] = state.get("n", 0) + rows.height
        ...         return {"user": key["user"], "n": state["n"]}
        >>> s = ps.scan_batches([pl.DataFrame({"user": ["ann", "bob", "ann"]})])
        >>> s.process(Count, by="user").collect().rows()
        [('ann', 2), ('bob', 1)]
        """
        names = self._names("process", by)
        if not names:
            raise PlanError("no key given", step="process", alternatives=self.columns)
        ttl_ns = lifetime_ns(ttl, "process")
        return self._derived(
            Process, input=self._node, processor=processor, keys=names, ttl_ns=ttl_ns
        )
