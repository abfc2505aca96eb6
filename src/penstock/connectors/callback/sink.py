"""Call a Python function with what arrives."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import polars as pl

from penstock.connectors.contract import SinkIdentity
from penstock.errors import ConnectorError, Fault, PenstockError


class CallbackSink:
    """A live callback sink; state: the columns last seen, for an epoch without frames."""

    def __init__(
        self, step: str, function: Callable[..., Any], parameters: int, *, every_epoch: bool
    ) -> None:
        self._step = step
        self._function = function
        self._with_epoch = parameters > 1
        self._every_epoch = every_epoch
        self._nothing = pl.DataFrame()

    def begin(
        self,
        identity: SinkIdentity | None,  # noqa: ARG002 - the contract
        schema: pl.Schema | None = None,
    ) -> int | None:
        """Note the columns; what a function has seen is not recorded."""
        if schema is not None:
            self._nothing = schema.to_frame()
        return None

    def apply(self, epoch: int, frames: Iterable[pl.DataFrame]) -> None:
        """Call the function with each frame that has rows, or once with all of them."""
        if self._every_epoch:
            given = pl.concat([self._nothing, *frames], how="diagonal")
            self._nothing = given.clear()
            self._call(epoch, given)
            return
        for frame in frames:
            if frame.height:
                self._call(epoch, frame)

    def close(self) -> None:
        """Nothing to release."""

    def _call(self, epoch: int, frame: pl.DataFrame) -> None:
        try:
            if self._with_epoch:
                self._function(epoch, frame)
            else:
                self._function(frame)
        except PenstockError:
            raise
        except Exception as error:
            raise ConnectorError(
                f"the function raised {type(error).__name__}: {error}",
                step=self._step,
                fault=Fault.USER,
            ) from error
