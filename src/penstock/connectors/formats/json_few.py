"""A few JSON objects of plain values, read one by one.

Each call into Polars costs as much as a hundred messages, and more while all cores are busy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from operator import attrgetter
from typing import Annotated, Any

import msgspec
import polars as pl

FEW = 64
"""Messages up to which they are read one by one."""

FAULTS = (msgspec.DecodeError, RecursionError)

_PLAIN: dict[type[pl.DataType], Any] = {
    pl.Int64: Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)],
    pl.Float64: Annotated[float, msgspec.Meta(ge=-(2**53), le=2**53)],
    pl.Boolean: bool,
    pl.String: str,
}
"""What the values of a type are, where one by one they read as in the fast reader."""

_HUGE = re.compile(rb"[0-9](?:[eE]|[0-9]{38})")
"""Some number may be beyond 2**128 or any float: the fast reader refuses it under any key."""


class FewObjects:
    """Reads blocks of few lines into the columns of ``wire``."""

    def __init__(self, wire: Mapping[str, pl.DataType]) -> None:
        self._wire = dict(wire)
        self._plain = all(dtype.base_type() in _PLAIN for dtype in wire.values())
        self._spelled = [msgspec.json.encode(name) for name in wire]

    def read(self, block: bytes) -> pl.DataFrame | None:
        """Read one object on each line; None if anything about them is unusual.

        What is refused here although it may be good: escapes, numbers that another key could hold
        but the fast reader not, and a key that seems to be there twice (of which the last would
        count).
        """
        if not self._plain or b"\\" in block or _HUGE.search(block):
            return None
        decode = self._decoder.decode
        try:
            rows = [decode(line) for line in block.removesuffix(b"\n").split(b"\n")]
        except FAULTS:
            return None
        columns = []
        for i, (name, dtype) in enumerate(self._wire.items()):
            values = list(map(attrgetter(f"f{i}"), rows))
            missing = values.count(msgspec.UNSET)
            if block.count(self._spelled[i]) != len(values) - missing:
                return None
            if missing:
                values = [None if value is msgspec.UNSET else value for value in values]
            columns.append(pl.Series(name, values, dtype=dtype, strict=True))
        return pl.DataFrame(columns)

    @cached_property
    def _decoder(self) -> msgspec.json.Decoder[Any]:
        fields = [
            (f"f{i}", _PLAIN[dtype.base_type()] | None | msgspec.UnsetType, field)
            for i, (name, dtype) in enumerate(self._wire.items())
            for field in [msgspec.field(name=name, default=msgspec.UNSET)]
        ]
        return msgspec.json.Decoder(msgspec.defstruct("Few", fields))
