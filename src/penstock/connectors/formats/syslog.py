"""Syslog, by RFC 5424 and by the older RFC 3164, told apart line by line.

    <34>1 2026-10-11T22:14:15.003Z web1 su 42 ID47 [x@9 a="b"] failed     RFC 5424
    <34>Oct 11 22:14:15 web1 su[42]: failed                               RFC 3164

| column | type | from |
|---|---|---|
| facility, severity | Int64 | the number in front: facility * 8 + severity; null if there is none |
| timestamp | Datetime us UTC | RFC 3164 writes no year and no zone: ``year``, and UTC |
| host, app, process_id, message_id, structured_data, message | String | ``-`` is null |
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field

import polars as pl

from penstock.connectors.formats.casting import refused, text_to
from penstock.connectors.formats.contract import Decoded, LineByLine, errors_table, verdict
from penstock.connectors.formats.messages import as_text
from penstock.connectors.formats.slices import in_slices

_NEW = (
    r"^<(?P<priority>\d{1,3})>1 (?P<timestamp>\S+) (?P<host>\S+) (?P<app>\S+) (?P<process_id>\S+) "
    r'(?P<message_id>\S+) (?P<structured_data>-|(?:\[(?:[^\]"]|"(?:[^"\\]|\\.)*")*\])+)'
    r"(?: \x{feff}?(?P<message>(?s:.*)))?$"
)
_OLD = (
    r"^(?:<(?P<priority>\d{1,3})>)?(?P<timestamp>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d) "
    r"(?P<host>\S+) (?:(?P<app>[^\s:\[\]]+)(?:\[(?P<process_id>[^\]]*)\])?: ?)?"
    r"(?P<message>(?s:.*))$"
)
_TEXTS = ("host", "app", "process_id", "message_id", "structured_data", "message")
_UTC_DATETIME = pl.Datetime("us", "UTC")
LARGEST_PRIORITY = 191
"""RFC 5424, section 6.2.1: facility 23, severity 7."""


def _this_year() -> int:
    return dt.datetime.now(dt.UTC).year


@dataclass(frozen=True, slots=True)
class Syslog(LineByLine):
    """Syslog messages; ``year`` is that of RFC 3164 timestamps (default: when this is built)."""

    year: int = field(default_factory=_this_year)

    @property
    def name(self) -> str:
        """The format's name."""
        return "syslog"

    @property
    def schema(self) -> pl.Schema:
        """The columns of the format."""
        numbers = {"facility": pl.Int64(), "severity": pl.Int64(), "timestamp": _UTC_DATETIME}
        return pl.Schema({**numbers, **dict.fromkeys(_TEXTS, pl.String())})

    def decode(self, messages: pl.Series) -> Decoded:
        """Decode one syslog message per message."""
        return in_slices(self._decode, messages)

    def _decode(self, messages: pl.Series) -> Decoded:
        text, errors = as_text(messages)
        new = text.str.extract_groups(_NEW).struct.unnest()
        old = text.str.extract_groups(_OLD).struct.unnest()
        at = old["timestamp"].str.replace("  ", " 0", literal=True)
        dated = (f"{self.year} " + at).str.to_datetime(
            "%Y %b %d %H:%M:%S", time_unit="us", time_zone="UTC", strict=False
        )
        instant, unread = text_to(
            new["timestamp"].set(new["timestamp"] == "-", None), _UTC_DATETIME
        )
        unread |= dated.is_null() & old["timestamp"].is_not_null()
        both = pl.DataFrame(
            [_merged(new, old, name) for name in ("priority", "timestamp", *_TEXTS)]
        )
        return self._judged(
            both, instant.zip_with(instant.is_not_null(), dated), unread, errors, text
        )

    def _judged(
        self,
        parts: pl.DataFrame,
        instant: pl.Series,
        unread: pl.Series,
        errors: pl.DataFrame,
        text: pl.Series,
    ) -> Decoded:
        priority = parts["priority"].cast(pl.Int64)
        frame = parts.select(
            (priority // 8).alias("facility"),
            (priority % 8).alias("severity"),
            instant.alias("timestamp"),
            *(pl.when(pl.col(name) != "-").then(name) for name in _TEXTS[:-1]),
            pl.when(pl.col("message") != "").then("message"),
        )
        shapeless = (parts["timestamp"].is_null() & text.is_not_null()).arg_true().cast(pl.UInt32)
        found = [
            errors,
            errors_table(shapeless, ["not a syslog message"] * len(shapeless)),
            refused("timestamp", _UTC_DATETIME, parts["timestamp"], unread),
            refused("priority", pl.Int64(), priority, priority > LARGEST_PRIORITY),
        ]
        return verdict(frame, found, len(text))


def _merged(new: pl.DataFrame, old: pl.DataFrame, name: str) -> pl.Series:
    """Take a part from whichever pattern matched."""
    if name not in old.columns:
        return new[name]
    return new[name].zip_with(new["host"].is_not_null(), old[name]).alias(name)
