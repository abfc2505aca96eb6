"""A sink that fails when it is told to, around a real one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import polars as pl

from penstock.connectors.contract import Accepts, Guarantee, Sink, SinkIdentity, SinkSpec

Fail = Callable[[str], None]
"""Called with ``begin``, ``before`` and ``after`` (each apply); raises to fail there."""


@dataclass(frozen=True)
class FailingSinkSpec:
    """Calls ``fail`` at each step of the life of ``inner``."""

    inner: SinkSpec
    fail: Fail = field(compare=False)

    @property
    def name(self) -> str:
        return f"failing {self.inner.name}"

    @property
    def guarantee(self) -> Guarantee:
        return self.inner.guarantee

    @property
    def accepts(self) -> Accepts:
        return self.inner.accepts

    @property
    def key(self) -> tuple[str, ...]:
        return self.inner.key

    @property
    def immediate(self) -> bool:
        return self.inner.immediate

    def validate(self, schema: pl.Schema) -> None:
        self.inner.validate(schema)

    def open(self) -> Sink:
        return FailingSink(self.inner.open(), self.fail)


class FailingSink:
    """The live sink."""

    def __init__(self, inner: Sink, fail: Fail) -> None:
        self._inner, self._fail = inner, fail

    def begin(self, identity: SinkIdentity | None, schema: pl.Schema | None = None) -> int | None:
        self._fail("begin")
        return self._inner.begin(identity, schema)

    def apply(self, epoch: int, frames: Iterable[pl.DataFrame]) -> None:
        frames = list(frames)
        if not frames:
            return
        self._fail("before")
        self._inner.apply(epoch, frames)
        self._fail("after")

    def close(self) -> None:
        self._inner.close()


class Script:
    """Raises the errors of a list, one at each call of the steps it names."""

    def __init__(self, *errors: tuple[str, BaseException]) -> None:
        self._errors = list(errors)
        self.calls: list[str] = []

    def __call__(self, step: str) -> None:
        self.calls.append(step)
        if self._errors and self._errors[0][0] == step:
            raise self._errors.pop(0)[1]
