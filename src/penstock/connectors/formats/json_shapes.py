"""How programs write JSON lines: the same text again and again around the values.

    {"id":7,"by":{"name":"Ann"}}   ->   texts   {"id":   ,"by":{"name":"   "}}
                                        values       7 (id)             Ann (by.name)

A shape is learnt from one line. Lines of that shape are then told by comparing the texts, and their
values are what lies between.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from penstock.connectors.formats.json_types import as_instance

Path = tuple[str, ...]

LONGEST_TEXT = 2048
"""Bytes between two values; the readers leave that much room behind a block."""

_LONGEST_LINE = 1 << 16
_DEEPEST = 32
_STRING = re.compile(rb'"([^"\\\x00-\x1f]*)"')
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_WORD = re.compile(rb"true|false|null")
_BLANKS = re.compile(rb" *")


class Kind(enum.Enum):
    """What lies between two texts."""

    TEXT = "the inside of a string without escapes"
    INTEGER = "a whole number of up to 16 digits"
    NUMBER = "a number without an exponent, of up to 15 digits"
    BOOLEAN = "true or false"


@dataclass(frozen=True, slots=True)
class Value:
    """What a line holds at ``path``; None: under a key that is not in the schema."""

    path: Path | None
    kind: Kind


@dataclass(frozen=True, slots=True)
class Shape:
    """``texts[0] value texts[1] value ... texts[-1]``; ``objects`` are there and not null."""

    texts: tuple[bytes, ...]
    values: tuple[Value, ...]
    objects: frozenset[Path]
    quotes: int


class _Unusual(Exception):  # noqa: N818 - never leaves this module
    """The line is no example of a shape."""


def learnt(line: bytes, schema: Mapping[str, pl.DataType]) -> Shape | None:
    """Return the shape of which ``line`` is an example; None if it has values that no shape holds."""
    if len(line) > _LONGEST_LINE:
        return None
    reading = _Reading(line)
    try:
        reading.object((), dict(schema), 0)
        reading.end()
    except _Unusual:
        return None
    return Shape(
        tuple(reading.texts),
        tuple(reading.values),
        frozenset(reading.objects),
        sum(text.count(b'"') for text in reading.texts),
    )


@dataclass(slots=True)
class _Reading:
    """Reads one line from left to right."""

    line: bytes
    at: int = 0
    _from: int = 0
    texts: list[bytes] = field(default_factory=list)
    values: list[Value] = field(default_factory=list)
    objects: set[Path] = field(default_factory=set)

    def object(self, path: Path | None, fields: dict[str, pl.DataType], depth: int) -> None:
        if depth > _DEEPEST:
            raise _Unusual
        self._expect(b"{")
        if path is not None:
            self.objects.add(path)
        seen: set[str] = set()
        while not self._found(b"}"):
            if seen:
                self._expect(b",")
            key = self._key()
            if key in seen:
                raise _Unusual
            seen.add(key)
            known = path is not None and key in fields
            below = (*path, key) if known and path is not None else None
            self._value(below, fields.get(key) if known else None, depth)

    def end(self) -> None:
        self._blanks()
        if self.at != len(self.line):
            raise _Unusual
        self._text(len(self.line))

    def _key(self) -> str:
        self._blanks()
        match = _STRING.match(self.line, self.at)
        if match is None:
            raise _Unusual
        self.at = match.end()
        self._expect(b":")
        try:
            return match[1].decode()
        except UnicodeDecodeError:
            raise _Unusual from None

    def _value(self, path: Path | None, dtype: pl.DataType | None, depth: int) -> None:
        self._blanks()
        if self.line.startswith(b"{", self.at):
            known = dtype.fields if isinstance(dtype, pl.Struct) else []
            if dtype is not None and not known:
                raise _Unusual
            self.object(path, {f.name: as_instance(f.dtype) for f in known}, depth + 1)
        elif match := _STRING.match(self.line, self.at):
            self._take(match.start(1), match.end(1), path, dtype, Kind.TEXT)
            self.at = match.end()
        elif match := _NUMBER.match(self.line, self.at):
            self._number(match, path, dtype)
        elif match := _WORD.match(self.line, self.at):
            if match[0] != b"null":  # that is part of the text
                self._take(match.start(), match.end(), path, dtype, Kind.BOOLEAN)
            self.at = match.end()
        else:
            raise _Unusual

    def _number(self, match: re.Match[bytes], path: Path | None, dtype: pl.DataType | None) -> None:
        if match[2]:
            raise _Unusual
        whole = dtype is not None and dtype.is_integer()
        kind = Kind.INTEGER if whole else Kind.NUMBER
        self._take(match.start(), match.end(), path, dtype, kind)
        self.at = match.end()

    def _take(
        self, start: int, end: int, path: Path | None, dtype: pl.DataType | None, kind: Kind
    ) -> None:
        if dtype is not None and not _fits(kind, dtype):
            raise _Unusual
        self._text(start)
        self.values.append(Value(path, kind))
        self._from = end

    def _text(self, end: int) -> None:
        if end - self._from > LONGEST_TEXT:
            raise _Unusual
        self.texts.append(self.line[self._from : end])

    def _blanks(self) -> None:
        match = _BLANKS.match(self.line, self.at)
        assert match is not None
        self.at = match.end()

    def _found(self, token: bytes) -> bool:
        self._blanks()
        there = self.line.startswith(token, self.at)
        self.at += there
        return there

    def _expect(self, token: bytes) -> None:
        if not self._found(token):
            raise _Unusual


def _fits(kind: Kind, dtype: pl.DataType) -> bool:
    """Tell whether values of that kind are read as ``dtype`` without being spelled anew."""
    if dtype.is_nested():
        return False
    if kind is Kind.INTEGER:
        return dtype.is_integer()
    if kind is Kind.NUMBER:
        return dtype.is_float()
    if kind is Kind.BOOLEAN:
        return dtype == pl.Boolean
    return not (dtype.is_integer() or dtype.is_float() or dtype == pl.Boolean)
