r"""Access logs of web servers, in the common and the combined format.

    203.0.113.9 - ann [17/May/2015:10:05:03 +0000] "GET /a HTTP/1.1" 200 512 "http://x/" "Mozilla"
    client identity user  timestamp (UTC)          method path protocol status bytes referer user_agent

``-`` is null. A request that is not ``METHOD path PROTOCOL`` has its whole text in ``path`` and nulls
beside it. ``\"`` and ``\x22`` inside quotes are resolved.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import polars as pl

from penstock.connectors.formats.contract import LINES, Decoded, Framing, errors_table, verdict
from penstock.connectors.formats.escapes import unescape
from penstock.connectors.formats.messages import as_text, split_lines

_COMMON = {
    "client": pl.String(),
    "identity": pl.String(),
    "user": pl.String(),
    "timestamp": pl.Datetime("us", "UTC"),
    "method": pl.String(),
    "path": pl.String(),
    "protocol": pl.String(),
    "status": pl.Int64(),
    "bytes": pl.Int64(),
}
_COMBINED = {**_COMMON, "referer": pl.String(), "user_agent": pl.String()}

_WORD = r"(?:[^\s\"\\]|\\.)+"
_TEXT = r"(?:[^\"\\]|\\.)*"
_REQUEST = rf'"(?:(?P<method>[A-Z]+) (?P<path>{_WORD}) (?P<protocol>[A-Z]+/[0-9.]+)|(?P<raw>{_TEXT}))"'
_LINE = (
    r"^(?P<client>\S+) (?P<identity>\S+) (?P<user>\S+|\S.*?\S) \[(?P<timestamp>[^\]]*)\] "
    rf"{_REQUEST} (?P<status>\d{{1,9}}|-) (?P<bytes>\d{{1,18}}|-)"
)
_AGENT = rf' "(?P<referer>{_TEXT})" "(?P<user_agent>{_TEXT})"'
_END = r"\s*$"
_TIME = "%d/%b/%Y:%H:%M:%S %z"
_ESCAPABLE = ("user", "path", "referer", "user_agent")


@dataclass(frozen=True, slots=True)
class AccessLog:
    """Lines of an access log; ``combined`` with referer and user agent, else the common format."""

    combined: bool = True

    @property
    def name(self) -> str:
        """The format's name."""
        return "combined_log" if self.combined else "common_log"

    @property
    def schema(self) -> pl.Schema:
        """The columns of the format."""
        return pl.Schema(_COMBINED if self.combined else _COMMON)

    @property
    def framing(self) -> Framing:
        """One request a line."""
        return LINES

    def with_header(self, line: bytes) -> Self:  # noqa: ARG002 - there are no headers
        """Return itself."""
        return self

    @property
    def _pattern(self) -> str:
        return _LINE + (_AGENT if self.combined else "") + _END

    def decode(self, messages: pl.Series) -> Decoded:
        """Decode one request per message."""
        text, errors = as_text(messages)
        parts = text.str.extract_groups(self._pattern).struct.unnest()
        shapeless = (parts["client"].is_null() & text.is_not_null()).arg_true()
        reason = f"not a line of the {'combined' if self.combined else 'common'} log format"
        frame, undated = self._typed(parts)
        shape = errors_table(shapeless.cast(pl.UInt32), [reason] * len(shapeless))
        return verdict(frame, [errors, shape, undated], len(text))

    def decode_block(self, block: bytes) -> pl.DataFrame | None:
        """Decode lines at once; None if one of them is blank or bad."""
        decoded = self.decode(split_lines(block))
        return None if decoded.errors.height else decoded.frame

    def _typed(self, parts: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        written = parts["timestamp"]
        at = written.str.to_datetime(_TIME, time_unit="us", strict=False)
        undated = (at.is_null() & written.is_not_null()).arg_true().cast(pl.UInt32)
        reasons = [f"timestamp: cannot read {value!r:.80}" for value in written.gather(undated)]
        frame = parts.with_columns(at, pl.coalesce("path", "raw").alias("path"))
        escaped = [unescape(frame[name]) for name in _ESCAPABLE if name in self.schema]
        return (
            frame.with_columns(escaped).select(_columns(self.schema)),
            errors_table(undated, reasons),
        )


def _columns(schema: pl.Schema) -> list[pl.Expr]:
    return [_column(name, dtype) for name, dtype in schema.items()]


def _column(name: str, dtype: pl.DataType) -> pl.Expr:
    if name == "timestamp":
        return pl.col(name)
    return pl.when(pl.col(name) != "-").then(name).cast(dtype)  # type: ignore[no-any-return]
