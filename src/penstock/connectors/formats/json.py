"""JSON objects, one per message.

How each value is read (tests/connectors/formats/test_json.py holds every line of this)

* A key that is missing, or null, gives null. Keys beyond the schema are ignored.
* Of a key that appears twice the first counts.
* Numbers, booleans, lists and objects under a String column become their JSON text, numbers in
  their shortest spelling (``1.50`` gives ``"1.5"``).
* An integer column refuses ``1.0``, ``"1"`` and what does not fit; a float column takes integers
  and refuses strings and what would be infinite. ``NaN`` and ``Infinity`` are not JSON.
* Datetime, Date, Time, Decimal, Enum: from strings, as ``casting`` says; Decimal from numbers too,
  exactly (inside lists and structs: as a 64-bit float).
* An empty message, text that is not UTF-8, half a surrogate pair, or a raw control character in a
  string is an error.

How (``ignore_errors`` and ``str.json_decode`` of Polars 2.1 shift or truncate rows): every message
is validated by msgspec, the bad are dropped, and ``read_ndjson`` reads the rest with the
schema. If it refuses the batch, a typed decoder finds the rows at fault. Short lines that begin with
a brace and hold no escape are not validated first: of these the reader takes none that is bad.
Where there are structs, lines that are alike do not come to the reader at all (``json_uniform``).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import msgspec
import polars as pl

from penstock.connectors.formats.casting import refused
from penstock.connectors.formats.contract import (
    LINES,
    Block,
    Decoded,
    Framing,
    errors_table,
    kept_without,
    verdict,
    within,
)
from penstock.connectors.formats.json_exact import exact_decimals, loads_first, long_number
from penstock.connectors.formats.json_few import FEW, FewObjects
from penstock.connectors.formats.json_types import convert, fault, python_type, wire_type
from penstock.connectors.formats.json_uniform import UniformLines
from penstock.connectors.formats.json_validity import (
    CAREFUL_SLICE,
    faulty,
    invalid,
    one_line_each,
    reader_is_strict,
    valid,
    why_refused,
)
from penstock.connectors.formats.json_wanted import Path, cut, narrowed
from penstock.connectors.formats.messages import as_text, is_utf8, join_lines, newlines
from penstock.connectors.formats.schemas import checked_schema
from penstock.connectors.formats.slices import in_slices, joined

_MANY, _MANY_BYTES = 512, 1 << 16
"""Lines, and bytes of a block, from which on it is worth while to look for lines that are alike."""

_PARALLEL_BYTES = 1 << 20
"""Block size from which on a second thread saves more than it costs."""

_NEAR = 1 << 16
"""Bytes behind the middle of a block in which it can be cut; where lines are longer it is not."""


@dataclass(frozen=True)
class Json:
    """JSON objects, typed by a schema.

    ``b'{"id": 7, "at": "2024-01-31T10:00:00Z"}'`` -> ``id=7, at=2024-01-31 10:00 UTC``
    """

    columns: tuple[tuple[str, pl.DataType], ...]
    wanted: tuple[tuple[str, pl.DataType], ...]

    def __init__(self, schema: Mapping[str, Any]) -> None:
        object.__setattr__(self, "columns", tuple(checked_schema("json", schema).items()))
        object.__setattr__(self, "wanted", self.columns)
        assert self._wire  # refuses types that JSON cannot hold, where the user wrote them

    def narrowed(self, wanted: Collection[Path]) -> Json:
        """Return the same format giving some columns, and fields of structs; all are still checked.

        ``{("a",), ("b", "c")}``: all of the column ``a``, and of ``b`` the field ``c``.
        """
        form = Json(dict(self.columns))
        object.__setattr__(form, "wanted", tuple(narrowed(self.schema, wanted).items()))
        return form

    @property
    def name(self) -> str:
        """The format's name."""
        return "json"

    @cached_property
    def schema(self) -> pl.Schema:
        """The columns that are given: those declared, if it is not narrowed."""
        return pl.Schema(self.wanted)

    @cached_property
    def _declared(self) -> pl.Schema:
        return pl.Schema(self.columns)

    @property
    def framing(self) -> Framing:
        """One object a line."""
        return LINES

    @cached_property
    def _wire(self) -> dict[str, pl.DataType]:
        return {name: wire_type(dtype) for name, dtype in self.columns}

    @cached_property
    def _as_read(self) -> bool:
        """Whether no column needs another type than the reader gives it."""
        return self._wire == dict(self.columns)

    @cached_property
    def _typed(self) -> msgspec.json.Decoder[Any]:
        fields = [
            (f"f{i}", python_type(wire) | None, msgspec.field(name=name, default=None))
            for i, (name, wire) in enumerate(self._wire.items())
        ]
        return msgspec.json.Decoder(msgspec.defstruct("Row", fields))

    @cached_property
    def _decimals(self) -> list[str]:
        return [name for name, dtype in self.columns if isinstance(dtype, pl.Decimal)]

    def with_header(self, line: bytes) -> Self:  # noqa: ARG002 - there are no headers
        """Return itself."""
        return self

    def decode(self, messages: pl.Series) -> Decoded:
        """Decode one JSON object per message."""
        decoded = self._decode(messages)
        return replace(decoded, frame=cut(decoded.frame, self.schema))

    def _decode(self, messages: pl.Series) -> Decoded:
        if len(messages) < _MANY or not self._nested:
            return self._generally(messages)
        text, errors = as_text(messages)
        if not errors.height:
            return in_slices(self._uniformly, text)
        kept = kept_without(errors["index"], len(text))
        return within(self._decode(text[kept]), kept, errors)

    @cached_property
    def _nested(self) -> bool:
        """Whether there are structs, which the reader takes long for; flat rows it reads as fast."""
        return any(isinstance(dtype, pl.Struct) for dtype in self._declared.values())

    @cached_property
    def _uniform(self) -> UniformLines:
        return UniformLines(self._declared, self.schema)

    def _uniformly(self, text: pl.Series) -> Decoded:
        """Read the lines that are alike by columns, and the others in the general way."""
        block = join_lines(text)
        taken = self._uniform.read(block) if newlines(block) == len(text) else None
        if taken is None:
            return self._generally(text)
        rest = self._generally(text[taken.left])
        return taken.completed(replace(rest, frame=cut(rest.frame, self.schema)))

    def _generally(self, messages: pl.Series) -> Decoded:
        """Decode messages of any kind."""
        clean = self._all_clean(messages)
        if clean is not None:
            return Decoded(clean)
        rest = self._without_invalid(messages)
        if rest is not None:
            return rest
        starts = list(range(0, len(messages), CAREFUL_SLICE))
        parts = [self._decode_slice(messages.slice(start, CAREFUL_SLICE)) for start in starts]
        return joined(parts, starts, len(messages))

    def _all_clean(self, messages: pl.Series) -> pl.DataFrame | None:
        """Read all messages at once; None if anything about them is unusual."""
        if 0 < len(messages) <= FEW and messages.dtype == pl.Binary:
            raw = messages.to_list()
            if all(message and b"\n" not in message for message in raw):
                return self.decode_block(b"\n".join(raw))
        text, errors = as_text(messages)
        if errors.height or not len(text):
            return None if len(text) else self._declared.to_frame()
        block = join_lines(text)
        one_line_each = newlines(block) == len(text)  # else "{}\n{}" and "" pass as two
        return self._clean(block, len(text)) if one_line_each else None

    def _without_invalid(self, messages: pl.Series) -> Decoded | None:
        """Drop what is no JSON object and read the others at once; None if they are unusual."""
        text, errors = as_text(messages)
        bad = pl.concat([errors, invalid(text)]).sort("index")
        if not 0 < bad.height < len(text):
            return None
        kept = kept_without(bad["index"], len(text))
        clean = self._all_clean(text[kept])
        return None if clean is None else within(Decoded(clean), kept, bad)

    def _decode_slice(self, messages: pl.Series) -> Decoded:
        """Decode a few messages, of which some may be bad."""
        clean = self._all_clean(messages)
        if clean is not None:
            return Decoded(clean)
        text, errors = as_text(messages)
        bad = pl.concat([errors, invalid(text)])
        if not bad.height:
            return self._read(one_line_each(text))
        bad = bad.unique("index", keep="first").sort("index")
        kept = kept_without(bad["index"], len(text))
        inner = self._read(one_line_each(text[kept]))
        return within(inner, kept, bad)

    def decode_block(self, block: Block) -> pl.DataFrame | None:
        """Decode lines at once; None if one of them is blank, bad or unusual."""
        if not is_utf8(block):
            return None
        middle = _middle(block)
        if not middle:
            return self._some_lines(block)
        whole = memoryview(block)
        halves = (whole[:middle], whole[middle:])
        with ThreadPoolExecutor(len(halves)) as pool:  # the reader leaves the other cores idle
            parts = list(pool.map(self._some_lines, halves))
        clean = [part for part in parts if part is not None]
        return pl.concat(clean) if len(clean) == len(parts) else None

    def _some_lines(self, block: Block) -> pl.DataFrame | None:
        """Read lines of valid UTF-8: those that are alike by columns, the others all at once."""
        many = self._nested and len(block) >= _MANY_BYTES
        taken = self._uniform.read(block) if many else None
        if taken is None:
            lines = bytes(block)
            whole = self._clean(lines, _lines(lines))
            return None if whole is None else cut(whole, self.schema)
        if not len(taken.left):
            return taken.completed(self._nothing).frame
        rest = self._clean(taken.left_block, len(taken.left))
        return None if rest is None else taken.completed(Decoded(cut(rest, self.schema))).frame

    @cached_property
    def _nothing(self) -> Decoded:
        return Decoded(self.schema.to_frame())

    @cached_property
    def _few(self) -> FewObjects:
        return FewObjects(self._wire)

    def _clean(self, block: bytes, lines: int) -> pl.DataFrame | None:
        """Read ``lines`` objects, one on each line; None if anything about them is unusual."""
        if self._decimals and long_number(block):
            return None
        wire = self._few.read(block) if lines <= FEW else None
        if wire is None:
            if not (lines > FEW and reader_is_strict(block)) and not valid(block, lines):
                return None
            wire = self._ndjson(block, lines)
        if wire is None:
            return None
        frame, errors = self._convert(wire)
        return None if errors else frame

    def _read(self, text: pl.Series) -> Decoded:
        """Read valid objects, each on one line."""
        wire = self._ndjson(join_lines(text), len(text)) if len(text) else self._empty()
        if wire is not None:
            frame, errors = self._convert(exact_decimals(wire, self._decimals, text))
            return verdict(frame, errors, len(text))
        bad = self._refused(text)
        kept = kept_without(bad["index"], len(text))
        return within(self._read(text[kept]), kept, bad)

    def _empty(self) -> pl.DataFrame:
        return pl.DataFrame(schema=self._wire)

    def _ndjson(self, block: bytes, height: int) -> pl.DataFrame | None:
        """Read the block with the wire schema; None if Polars refuses it or miscounts."""
        try:
            frame = pl.read_ndjson(block, schema=self._wire)
        except pl.exceptions.PolarsError:
            return None
        except BaseException as error:
            if type(error).__name__ != "PanicException":  # Polars' panics are BaseExceptions
                raise
            return None
        return frame if frame.height == height else None

    def _convert(self, wire: pl.DataFrame) -> tuple[pl.DataFrame, list[pl.DataFrame]]:
        """Give the columns their declared types, and say which rows that fails for."""
        columns, errors = [], []
        if self._as_read:
            return wire, []
        for name, dtype in self.columns:
            if wire[name].dtype == dtype:
                columns.append(wire[name])
                continue
            values, bad = convert(wire[name], dtype)
            columns.append(values.alias(name))
            if bad.any():
                errors.append(refused(name, dtype, wire[name], bad))
        return pl.DataFrame(columns), errors

    def _refused(self, text: pl.Series) -> pl.DataFrame:
        """Find the rows that the reader refuses: the likely ones, else any, else by halves."""
        fault = self._fault_of_types
        likely = faulty(text, lambda m: fault(m) if why_refused(self._typed.decode, m) else None)
        if likely.height:
            return likely
        any_one = faulty(text, fault)
        return any_one if any_one.height else self._bisected(text)

    def _fault_of_types(self, message: str) -> str | None:
        """Say which value has the wrong type, if one has."""
        try:
            row = loads_first(message)
        except (OverflowError, RecursionError) as error:
            return str(error)
        found = (fault(row.get(name), wire, name) for name, wire in self._wire.items())
        return next((reason for reason in found if reason), None)

    def _bisected(self, text: pl.Series) -> pl.DataFrame:
        """Find the rows that Polars refuses, by halves."""
        index: list[int] = []
        spans = [(0, len(text))]
        while spans:
            start, end = spans.pop()
            if self._ndjson(join_lines(text[start:end]), end - start) is not None:
                continue
            if end - start == 1:
                index.append(start)
            else:
                middle = (start + end) // 2
                spans += [(middle, end), (start, middle)]
        return errors_table(index, ["a value does not fit the type of its column"] * len(index))


def _lines(block: bytes) -> int:
    return newlines(block) + (not block.endswith(b"\n"))


def _middle(block: Block) -> int:
    """Return the place behind a newline near the middle of a large block; 0: leave it whole."""
    if len(block) < _PARALLEL_BYTES or pl.thread_pool_size() < 2:
        return 0
    begin = len(block) // 2
    behind = bytes(block[begin : begin + _NEAR]).find(b"\n") + 1
    return begin + behind if behind and begin + behind < len(block) else 0
