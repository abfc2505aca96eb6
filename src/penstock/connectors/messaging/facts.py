"""Columns of a source of messages: those that a format decodes, and those beside the value."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import polars as pl

from penstock.connectors.decoding import Decoder
from penstock.connectors.formats import registry
from penstock.connectors.formats.contract import Format
from penstock.connectors.formats.schemas import SchemaLike
from penstock.connectors.options import names
from penstock.connectors.record_rows import VALUE, RecordRows
from penstock.errors import ConfigError

INSTANT = pl.Datetime("us", "UTC")
HEADERS = pl.List(pl.Struct({"name": pl.String(), "value": pl.Binary()}))


@dataclass(frozen=True)
class MessageRows:
    """How messages become rows; base of the specs of sources of messages.

    ``format`` decodes the value, beside it are the columns of ``metadata``. Without a format there are
    ``value`` and the columns of ``metadata``, if none are named those of ``raw_metadata``.
    """

    format: Decoder | None = None
    metadata: tuple[str, ...] | None = None

    columns: ClassVar[pl.Schema]
    """All that a message can have, with ``value``."""
    raw_metadata: ClassVar[tuple[str, ...]]

    @property
    def name(self) -> str:
        """Short name, without secrets."""
        raise NotImplementedError

    @cached_property
    def extra_columns(self) -> tuple[str, ...]:
        """The columns beside the value, in order."""
        wanted = self.metadata
        if wanted is None:
            wanted = self.raw_metadata if self.format is None else ()
        known = [name for name in self.columns if name != VALUE]
        for name in wanted:
            if name not in known:
                raise ConfigError(
                    f"messages have no {name!r}", step=self.name, value=name, alternatives=known
                )
        return tuple(name for name in known if name in wanted)

    @cached_property
    def schema(self) -> pl.Schema:
        """Columns of every frame."""
        extra = self.extra_columns
        if self.format is None:
            return pl.Schema({n: d for n, d in self.columns.items() if n == VALUE or n in extra})
        for name in extra:
            if name in self.format.schema:
                raise ConfigError(
                    f"the rows have a column {name!r} already; it cannot be metadata too",
                    step=self.name,
                    value=name,
                )
        return pl.Schema({**self.format.schema, **{name: self.columns[name] for name in extra}})

    @property
    def bounded(self) -> bool:
        """Not, unless the spec says otherwise."""
        return False

    @property
    def partitioned(self) -> bool:
        """Never: the messages are one sequence."""
        return False

    @property
    def frame_is_epoch(self) -> bool:
        """Never."""
        return False

    def record_rows(self, places: Callable[[pl.DataFrame], pl.Series]) -> RecordRows | None:
        """Return what decodes messages, None where the value is taken as it is."""
        if self.format is None:
            return None
        return RecordRows(self.name, self.format, self.extra_columns, tuple(self.schema), places)


def rows_options(
    format: str | Format | None,  # noqa: A002 - the word that users know
    schema: SchemaLike | None,
    metadata: str | Iterable[str] | None,
    options: Mapping[str, Any],
    step: str,
) -> dict[str, Any]:
    """Return ``format`` and ``metadata`` of a spec, as users give them."""
    decoder = registry.of_value(format, schema, step=step, **options)
    return {"format": decoder, "metadata": None if metadata is None else names(metadata)}
