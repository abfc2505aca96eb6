"""Hive-style folders, ``country=DE/day=2026-11-20``: rows in, one frame per folder out.

Values are escaped as Hive and Spark do (``%`` and two hexadecimal digits), so no value can name
another folder, and readers that know Hive get the value back. Null is
``__HIVE_DEFAULT_PARTITION__``.
"""

from __future__ import annotations

import polars as pl

from penstock.errors import ConnectorError, Fault

NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"

_LONGEST_NAME = 255
"""Bytes of one file name on every common file system."""

_ESCAPED = frozenset("\"#%'*/:=?\\{}[]^<>|&+ \x7f") | {chr(code) for code in range(32)}

_PLAIN: tuple[type[pl.DataType], ...] = (
    pl.Boolean, pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.Int128,
    pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64, pl.UInt128,
    pl.String, pl.Categorical, pl.Enum, pl.Date, pl.Datetime,
)  # fmt: skip


def can_partition(dtype: pl.DataType) -> bool:
    """Tell whether values of this type can be folder names."""
    return isinstance(dtype, _PLAIN)


def by_folder(
    frame: pl.DataFrame, columns: tuple[str, ...], step: str
) -> list[tuple[str, pl.DataFrame]]:
    """Return ``(relative folder, rows without the partition columns)`` in order of appearance."""
    if not columns:
        return [("", frame)]
    parts = frame.partition_by(*columns, maintain_order=True, include_key=True)
    return [(_folder(part, columns, step), part.drop(columns)) for part in parts]


def escaped(value: str) -> str:
    """Return ``value`` as (a piece of) a file name: ``a/b`` -> ``a%2Fb``."""
    return "".join(f"%{ord(c):02X}" if c in _ESCAPED else c for c in value)


def _folder(part: pl.DataFrame, columns: tuple[str, ...], step: str) -> str:
    texts = part.select(pl.col(columns).head(1).cast(pl.String)).row(0)
    names = [f"{escaped(c)}={_value(text)}" for c, text in zip(columns, texts, strict=True)]
    for name in names:
        if len(name.encode()) > _LONGEST_NAME:
            raise ConnectorError(
                f"the partition folder {name[:60]!r}... is longer than {_LONGEST_NAME} bytes",
                step=step,
                value=name,
                fault=Fault.USER,
                hint="partition by something shorter, e.g. a hash or a prefix of the column",
            )
    return "/".join(names)


def _value(text: str | None) -> str:
    if text is None:
        return NULL_PARTITION
    if text == NULL_PARTITION:
        return text.replace("_", "%5F", 1)  # a string that only looks like a null
    return escaped(text)
