"""Stream itself: all its verbs put together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from penstock.errors import NoSuchVerbError, PlanError
from penstock.instants import Duration, duration_ns
from penstock.plan.naming import named
from penstock.plan.sources import Channel, Side, Watermark
from penstock.stream.functions import FunctionVerbs
from penstock.stream.grouping import GroupVerbs
from penstock.stream.hints import VERBS
from penstock.stream.joins import JoinVerbs
from penstock.stream.ordering import OrderVerbs
from penstock.stream.outputs import Outputs
from penstock.stream.process import ProcessVerbs
from penstock.stream.reshaping import ReshapingVerbs

P = ParamSpec("P")
T = TypeVar("T")


class Stream(
    ReshapingVerbs, GroupVerbs, OrderVerbs, JoinVerbs, FunctionVerbs, ProcessVerbs, Outputs
):
    """A lazy, immutable table that never ends, shaped like ``polars.LazyFrame``.

    >>> import penstock as ps, polars as pl
    >>> ps.scan_batches([pl.DataFrame({"a": [1, 2, 3]})]).filter(pl.col("a") > 1).collect().height
    2
    """

    __slots__ = ()

    def with_watermark(
        self,
        column: str,
        lateness: Duration = 0,
        *,
        idle_timeout: Duration | None = "10s",
        max_ahead: Duration | None = "1d",
        allowed_lateness: Duration | None = None,
    ) -> Self:
        """Declare the event-time column and how late rows may be.

        A row behind the running maximum of its own partition by more than ``lateness`` is late: it
        leaves through ``.late``, or refines closed windows while it is within ``allowed_lateness``.
        A partition that is quiet for ``idle_timeout`` stops holding the others back. A null time,
        or one more than ``max_ahead`` ahead of the clock, is a dead letter. State: a maximum a
        partition.
        """

        def optional(value: Duration | None, option: str) -> int | None:
            if value is None:
                return None
            found = duration_ns(value, step="with_watermark", option=option)
            if found < 0:
                raise PlanError(f"{option} is negative: {value!r}", step="with_watermark")
            return found

        return self._derived(
            Watermark,
            input=self._node,
            column=column,
            lateness_ns=optional(lateness, "lateness") or 0,
            idle_timeout_ns=optional(idle_timeout, "idle_timeout"),
            max_ahead_ns=optional(max_ahead, "max_ahead"),
            allowed_lateness_ns=optional(allowed_lateness, "allowed_lateness"),
        )

    @property
    def late(self) -> Self:
        """The late rows of the nearest watermark step above, as a stream."""
        node = self._node
        while not isinstance(node, Watermark):
            if len(node.inputs) != 1:
                raise PlanError(
                    "no watermark above",
                    step="late",
                    hint="call .late on the stream that .with_watermark(...) returned",
                )
            node = node.inputs[0]
        return self._derived(Side, origin=node, channel=Channel.LATE)

    @property
    def dead_letters(self) -> Self:
        """The rows refused by this step and everything above it, as a stream.

        Columns: ``step``, ``position``, ``bytes``, ``reason``.
        """
        return self._derived(Side, origin=self._node, channel=Channel.DEAD_LETTERS)

    def named(self, name: str) -> Self:
        """Fix the name under which checkpoints keep the state of the step before it.

        Without a name a step is found again in a changed pipeline by what it does and where it
        stands; a name finds it wherever it stands. Row-wise steps (``filter``, ``select``, ...) keep
        no state, so the name goes to the first step above that is not one. The same name on two
        steps is a ``PlanError``. ``Query.named`` does the same for a sink.

        >>> import penstock as ps, polars as pl
        >>> s = ps.scan_batches([pl.DataFrame({"k": ["a", "a"], "v": [1, 2]})])
        >>> s.group_by("k").agg(pl.col("v").sum()).named("sums").collect().rows()
        [('a', 3)]
        """
        return type(self)(named(self._node, name))

    def pipe(
        self, function: Callable[Concatenate[Self, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Call ``function(self, ...)`` and return what it returns."""
        return function(self, *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        verbs = [verb for verb in dir(type(self)) if not verb.startswith("_")]
        hint = VERBS.get(name)
        raise NoSuchVerbError(
            f"Stream has no {name!r}",
            step="Stream",
            value=name,
            alternatives=() if hint else verbs,
            hint=hint,
        )
