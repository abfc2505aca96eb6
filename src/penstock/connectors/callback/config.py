"""What a callback sink is told: the function, and when it is called."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import polars as pl

from penstock.connectors.callback.sink import CallbackSink
from penstock.connectors.contract import Accepts, Guarantee
from penstock.errors import ConfigError

Callback = Callable[..., Any]
"""``function(frame)`` or ``function(epoch, frame)``."""


@dataclass(frozen=True, slots=True)
class CallbackSinkSpec:
    """Call a Python function with each frame, or with ``(epoch, frame)`` if it takes two.

    It is called at once, before the checkpoint: after a crash an epoch may come again, with the
    same number, so a function that remembers the epoch can tell. A changelog frame has the column
    ``_weight``. With ``every_epoch``, it is called once per epoch that reaches the sink, with all
    rows of the epoch in one frame, which may be empty (and without columns before the first frame);
    otherwise once per frame that has rows. What it raises stops the query, as a ``ConnectorError``
    with the cause chained.

    >>> CallbackSinkSpec(print).name
    'callback print'
    """

    function: Callback
    every_epoch: bool = False

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise ConfigError("this is not a function", step="callback", value=self.function)
        if inspect.iscoroutinefunction(self.function):
            raise ConfigError(
                "an async function would never be awaited",
                step=self.name,
                value=self.function,
                hint="iterate instead: async for changes in stream.changes()",
            )
        self._parameters()

    @property
    def name(self) -> str:
        """Short name for plans and errors."""
        return f"callback {getattr(self.function, '__qualname__', type(self.function).__name__)}"

    @property
    def guarantee(self) -> Guarantee:
        """At least once: nothing records what a function has done."""
        return Guarantee.AT_LEAST_ONCE

    @property
    def accepts(self) -> Accepts:
        """Anything, with weights."""
        return Accepts.CHANGES

    @property
    def key(self) -> tuple[str, ...]:
        """A function has no key."""
        return ()

    @property
    def immediate(self) -> bool:
        """Called every epoch, before the checkpoint."""
        return True

    def validate(self, schema: pl.Schema) -> None:
        """Accept every schema."""

    def open(self) -> CallbackSink:
        """Return the live sink."""
        return CallbackSink(
            self.name, self.function, self._parameters(), every_epoch=self.every_epoch
        )

    def _parameters(self) -> int:
        """Return 1 or 2: how many arguments the function is given."""
        try:
            signature = inspect.signature(self.function)
        except (TypeError, ValueError):
            return 1  # some built-in functions have no signature
        if _required(signature) == 2 and _fits(signature, 2):
            return 2
        if _fits(signature, 1):
            return 1
        raise ConfigError(
            f"{signature} takes neither (frame) nor (epoch, frame)",
            step=self.name,
            value=self.function,
            hint="bind other arguments first, e.g. with functools.partial",
        )


def _fits(signature: inspect.Signature, count: int) -> bool:
    try:
        signature.bind(*range(count))
    except TypeError:
        return False
    return True


def _required(signature: inspect.Signature) -> int:
    """Count positional parameters without a default."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.kind in kinds and p.default is p.empty for p in signature.parameters.values())
