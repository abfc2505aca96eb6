"""Confluent's wire format, and how messages are read that name their schema.

00 | 00 00 00 07 | ...     a zero, the number of the schema (big-endian), the message itself
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from penstock.connectors.formats.contract import Decoded, errors_table, no_errors, within
from penstock.connectors.formats.messages import NO_MESSAGE

HEAD_BYTES = 5
MAGIC = pl.Series([b"\0"])
_GROUP = 256
"""Messages tried together where one of a larger group is at fault."""


@dataclass(frozen=True, slots=True)
class Unwrapped:
    """The messages that have what they must have in front; ``kept`` is where each stood."""

    messages: pl.Series
    kinds: pl.Series | None
    kept: pl.Series
    errors: pl.DataFrame
    whole: bool

    def completed(self, decoded: Decoded) -> Decoded:
        """Say of all messages what was decoded of these."""
        return decoded if self.whole else within(decoded, self.kept, self.errors)


def head(number: int) -> bytes:
    """Return what stands in front of a message of the schema with this number."""
    return b"\0" + number.to_bytes(4, "big")


def unwrapped(messages: pl.Series, *, wrapped: bool) -> Unwrapped:
    """Take the number of the schema off each message, if it has one."""
    given = messages if messages.dtype == pl.Binary else messages.cast(pl.Binary)
    everything = pl.int_range(len(given), dtype=pl.UInt32, eager=True)
    missing = given.is_null()
    bad = missing
    if wrapped:
        short = (given.bin.size() < HEAD_BYTES).fill_null(value=False)
        magic = given.bin.slice(0, 1) == MAGIC
        bad = missing | short | ~magic.fill_null(value=False)
    errors = no_errors()
    kept = everything
    if bad.any():
        kept = (~bad).arg_true().cast(pl.UInt32)
        index = bad.arg_true().cast(pl.UInt32)
        reasons = [NO_MESSAGE if gone else _NOT_WRAPPED for gone in missing[index]]
        errors, given = errors_table(index, reasons), given[kept]
    if not wrapped:
        return Unwrapped(given, None, kept, errors, not errors.height)
    kinds = given.bin.slice(1, 4).bin.reinterpret(dtype=pl.UInt32, endianness="big")
    return Unwrapped(given.bin.slice(HEAD_BYTES), kinds, kept, errors, not errors.height)


_NOT_WRAPPED = "it does not begin with the number of a schema (magic byte 0)"


def each_kind(
    found: Unwrapped, decode: Callable[[int, Unwrapped], Decoded], schema: pl.Schema
) -> Decoded:
    """Decode the messages of each schema together, and put the rows in order again."""
    assert found.kinds is not None
    kinds = found.kinds.unique(maintain_order=True).to_list()
    if not kinds:
        return Decoded(schema.to_frame())
    if len(kinds) == 1:
        return decode(kinds[0], found)
    frames, kept, errors = [], [], []
    for kind in kinds:
        places = (found.kinds == kind).arg_true().cast(pl.UInt32)
        some = decode(kind, replace(found, messages=found.messages[places]))
        frames.append(some.frame)
        kept.append(places if some.kept is None else places[some.kept])
        errors.append(some.errors.with_columns(places[some.errors["index"]].alias("index")))
    order = pl.concat([each.alias("kept") for each in kept])
    table = pl.concat(errors).sort("index")
    frame = pl.concat(frames)[order.arg_sort()]
    return Decoded(frame, order.sort() if table.height else None, table)


Alone = Callable[[bytes], "dict[str, Any] | str"]
"""Reads one message as a row, or says why it cannot be."""


def sliced(
    messages: pl.Series,
    together: Callable[[pl.Series], pl.DataFrame | None],
    alone: Alone,
    schema: pl.Schema,
) -> Decoded:
    """Read all messages at once, else by groups, and those of a group with a fault one by one."""
    whole = together(messages)
    if whole is not None:
        return Decoded(whole)
    if len(messages) <= _GROUP:
        return one_by_one(messages, schema, alone)
    frames, kept, errors = [], [], []
    for start in range(0, len(messages), _GROUP):
        group = messages.slice(start, _GROUP)
        frame = together(group)
        part = Decoded(frame) if frame is not None else one_by_one(group, schema, alone)
        shift = pl.lit(start, pl.UInt32)
        frames.append(part.frame)
        rows = pl.int_range(len(group), dtype=pl.UInt32, eager=True)
        kept.append((rows if part.kept is None else part.kept).alias("kept") + start)
        errors.append(part.errors.with_columns(pl.col("index") + shift))
    table = pl.concat(errors)
    return Decoded(
        pl.concat(frames), pl.concat(kept).cast(pl.UInt32) if table.height else None, table
    )


def one_by_one(messages: pl.Series, schema: pl.Schema, alone: Alone) -> Decoded:
    """Read each message for itself."""
    rows: list[dict[str, Any]] = []
    kept, index, reasons = list[int](), list[int](), list[str]()
    for number, message in enumerate(messages.to_list()):
        row = alone(message)
        if isinstance(row, str):
            index.append(number)
            reasons.append(row)
        else:
            rows.append(row)
            kept.append(number)
    frame = pl.DataFrame(rows, schema=schema) if rows else schema.to_frame()
    errors = errors_table(index, reasons)
    return Decoded(frame, pl.Series(kept, dtype=pl.UInt32) if index else None, errors)
