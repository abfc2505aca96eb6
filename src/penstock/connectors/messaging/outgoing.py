"""From rows to messages for brokers: where each goes, its value, key and headers.

user  n                        target      key   value
ann   3   target totals/{user} totals/ann  ann   {"user":"ann","n":3}
bob  -1 (deleted)              totals/bob  bob   null
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import polars as pl

from penstock.columns import WEIGHT
from penstock.connectors.changes import keyed_changes
from penstock.connectors.contract import Accepts
from penstock.connectors.kafka.encoding import KEY, VALUE, Encoding, KeyFormat, ValueFormat
from penstock.connectors.options import choice, names
from penstock.errors import ConfigError

TARGET = "_penstock_target"
"""String; where a message goes. Not a name that a user's column can have."""

_PLACE = re.compile(r"\{([^{}]+)\}")


@dataclass(frozen=True, slots=True)
class Target:
    """Where messages go: a name, in which ``{column}`` stands for a value.

    In values ``%`` is written ``%25``, and so is what the broker takes for something else
    (``forbidden``), so that different values never meet. Null is ``%``; an empty text is ``empty``.
    """

    text: str
    forbidden: str = ""
    empty: str = ""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are named, each once."""
        return tuple(dict.fromkeys(_PLACE.findall(self.text)))

    def pattern(self, wildcard: str) -> str:
        """Return the name with a wildcard for each value."""
        return _PLACE.sub(wildcard, self.text)

    @property
    def expression(self) -> pl.Expr:
        """The name for each row."""
        if not self.columns:
            return pl.lit(self.text).alias(TARGET)
        parts = [
            pl.lit(part) if number % 2 == 0 else self._value(part)
            for number, part in enumerate(_PLACE.split(self.text))
        ]
        return pl.concat_str(parts).alias(TARGET)

    def _value(self, column: str) -> pl.Expr:
        letters = ["%", *self.forbidden]
        codes = [f"%{ord(letter):02X}" for letter in letters]
        value = pl.col(column).cast(pl.String).str.replace_many(letters, codes)
        if self.empty:
            value = pl.when(value == "").then(pl.lit(self.empty)).otherwise(value)
        return value.fill_null("%")


@dataclass(frozen=True, slots=True)
class Outgoing:
    """How the rows of one stream become messages.

    ``encode`` gives frames with ``TARGET`` (String), ``value`` (Binary; null: what has this key is
    deleted), and ``key`` and ``headers`` where there are any.
    """

    encoding: Encoding
    target: Target

    @property
    def accepts(self) -> Accepts:
        """Changes by key, any changes as Debezium, otherwise rows."""
        if self.encoding.value is ValueFormat.DEBEZIUM:
            return Accepts.CHANGES
        return Accepts.UPSERT if self.encoding.key else Accepts.APPEND

    def check(self, schema: pl.Schema) -> None:
        """Raise ``ConfigError`` for columns that are not there, or that cannot be written."""
        step, encoding = self.encoding.step, self.encoding
        columns = self.target.columns
        if columns and encoding.value is ValueFormat.DEBEZIUM:
            raise ConfigError(
                "Debezium's envelopes all go to one place",
                step=step,
                value=self.target.text,
                hint="name it without {...}",
            )
        for name in columns:
            if name not in schema:
                raise ConfigError(
                    f"there is no column {name!r}, which {self.target.text!r} names",
                    step=step,
                    value=name,
                    alternatives=schema.names(),
                )
            if encoding.key and name not in encoding.key:
                raise ConfigError(
                    f"{name!r} is not part of the key, so a deletion would not know where to go",
                    step=step,
                    value=name,
                    alternatives=encoding.key,
                )
            if schema[name].is_nested() or schema[name] == pl.Binary:
                raise ConfigError(
                    f"column {name!r} is {schema[name]}, which is no part of a name",
                    step=step,
                    value=name,
                )
        if encoding.value is ValueFormat.RAW:
            schema = pl.Schema({n: d for n, d in schema.items() if n not in columns})
        encoding.check(schema)

    def encode(self, frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        """Return the messages of an epoch, in order."""
        encoding = self.encoding
        for frame in frames:
            if encoding.key and WEIGHT in frame.columns and encoding.value is ValueFormat.JSON:
                changes = keyed_changes([frame], encoding.key, encoding.step)
                yield self._deletions(changes.deletes)
                yield self._messages(changes.upserts)
            else:
                yield self._messages(frame)

    def _deletions(self, keys: pl.DataFrame) -> pl.DataFrame:
        """Encode the keys as if they were rows, and take the value away."""
        found = self._messages(keys, replace(self.encoding, headers=None, timestamp=None))
        return found.with_columns(pl.lit(None, pl.Binary()).alias(VALUE))

    def _messages(self, frame: pl.DataFrame, encoding: Encoding | None = None) -> pl.DataFrame:
        encoding = encoding or self.encoding
        columns = self.target.columns
        rows = frame.drop(columns) if encoding.value is ValueFormat.RAW else frame
        found = pl.concat(part.messages for part in encoding.encode([rows]))
        if not columns:
            return found.with_columns(self.target.expression)
        return found.hstack(frame.select(self.target.expression))


def outgoing(
    step: str,
    target: Target,
    format: ValueFormat | str,  # noqa: A002 - the word that users know
    key: str | Iterable[str],
    headers: str | None = None,
) -> Outgoing:
    """Return how messages are made, of options as users give them."""
    keys = names(key)
    value = choice(ValueFormat, format, step=step, option="format")
    if value is ValueFormat.RAW and (keys or headers):
        raise ConfigError(
            "raw messages take key and headers from columns of these names",
            step=step,
            value=keys or headers,
            hint="leave the options out",
        )
    key_format = KeyFormat.JSON if len(keys) > 1 else KeyFormat.TEXT
    return Outgoing(Encoding(step, value, keys, key_format, None, headers), target)


def keys_of(messages: pl.DataFrame) -> list[bytes | None]:
    """Return the keys of encoded messages; None where there are none."""
    return messages[KEY].to_list() if KEY in messages.columns else [None] * messages.height
