"""MessagePack maps, one per message."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

import msgspec
import polars as pl

from penstock.connectors.formats.contract import Decoded, LineByLine
from penstock.connectors.formats.schemas import checked_schema
from penstock.connectors.formats.wire import one_by_one, unwrapped
from penstock.errors import ConfigError

_STEP = "msgpack"


@dataclass(frozen=True)
class MsgPack(LineByLine):
    """Maps, typed by a schema: ``{"id": 7, "at": timestamp}`` -> ``id=7, at=...``.

    A key that is missing, or null, gives null; others are passed over. Instants come as
    MessagePack's timestamps or as ISO texts; without a zone they are UTC. A value of another type,
    or one that does not fit its column, is an error.
    """

    columns: tuple[tuple[str, pl.DataType], ...]

    def __init__(self, schema: Mapping[str, Any]) -> None:
        object.__setattr__(self, "columns", tuple(checked_schema(_STEP, schema).items()))
        assert self._decoder  # refuses types that MessagePack cannot hold

    @property
    def name(self) -> str:
        """The format's name."""
        return _STEP

    @cached_property
    def schema(self) -> pl.Schema:
        """The columns declared."""
        return pl.Schema(self.columns)

    @cached_property
    def _decoder(self) -> msgspec.msgpack.Decoder[Any]:
        return msgspec.msgpack.Decoder(_struct(self.schema))

    def decode(self, messages: pl.Series) -> Decoded:
        """Decode one map per message."""
        found = unwrapped(messages, wrapped=False)
        frame = self._together(found.messages)
        if frame is not None:
            return found.completed(Decoded(frame))
        return found.completed(one_by_one(found.messages, self.schema, self._alone))

    def _together(self, messages: pl.Series) -> pl.DataFrame | None:
        decode = self._decoder.decode
        try:
            rows = [decode(message) for message in messages.to_list()]
            columns = [
                pl.Series(name, [_value(getattr(row, f"f{n}"), dtype) for row in rows], dtype)
                for n, (name, dtype) in enumerate(self.columns)
            ]
        except (msgspec.MsgspecError, pl.exceptions.PolarsError, TypeError, OverflowError):
            return None
        return pl.DataFrame(columns)

    def _alone(self, message: bytes) -> dict[str, Any] | str:
        frame = self._together(pl.Series([message], dtype=pl.Binary))
        if frame is not None:
            return frame.row(0, named=True)
        try:
            self._decoder.decode(message)
        except msgspec.MsgspecError as error:
            return str(error)
        return "a value does not fit the type of its column"


_PYTHON: dict[type[pl.DataType], Any] = {
    pl.Boolean: bool,
    pl.String: str,
    pl.Categorical: str,
    pl.Enum: str,
    pl.Binary: bytes,
    pl.Date: dt.date,
    pl.Time: dt.time,
    pl.Datetime: dt.datetime,
    pl.Decimal: Decimal,
    pl.Float32: float,
    pl.Float64: float,
}


def _struct(schema: Mapping[str, Any]) -> Any:
    fields = [
        (f"f{n}", _python(dtype) | None, msgspec.field(name=name, default=None))
        for n, (name, dtype) in enumerate(schema.items())
    ]
    return msgspec.defstruct("Row", fields, gc=False)


def _python(dtype: Any) -> Any:
    dtype = dtype() if isinstance(dtype, type) else dtype  # fields may be given as classes
    if isinstance(dtype, pl.Struct):
        return _struct({each.name: each.dtype for each in dtype.fields})
    if isinstance(dtype, pl.List):
        inner: Any = _python(dtype.inner) | None
        return list[inner]
    if dtype.is_integer():
        return int
    found = _PYTHON.get(type(dtype))
    if found is None:
        raise ConfigError(f"MessagePack has no {dtype}", step=_STEP, value=str(dtype))
    return found


def _value(value: Any, dtype: Any) -> Any:
    """Return a value as its column takes it."""
    if value is None:
        return None
    dtype = dtype() if isinstance(dtype, type) else dtype
    if isinstance(dtype, pl.Struct):
        return {
            f.name: _value(getattr(value, f"f{n}"), f.dtype) for n, f in enumerate(dtype.fields)
        }
    if isinstance(dtype, pl.List):
        return [_value(each, dtype.inner) for each in value]
    if isinstance(dtype, pl.Datetime):
        zoned = value if value.tzinfo else value.replace(tzinfo=dt.UTC)
        return zoned if dtype.time_zone else zoned.astimezone(dt.UTC).replace(tzinfo=None)
    return value
