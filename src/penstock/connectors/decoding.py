"""From messages to rows with a format: what sources that carry messages share.

    messages b'1' b'x' b'3'  ->  frame n=1, n=3; kept [0, 2]; one dead letter for b'x'

A format is any object with ``name``, ``schema`` and ``decode``, as those of ``connectors.formats``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import polars as pl

from penstock.columns import dead_letters


class DecodedRows(Protocol):
    """What a format makes of a batch of messages."""

    @property
    def frame(self) -> pl.DataFrame:
        """The rows of the good messages."""

    @property
    def kept(self) -> pl.Series | None:
        """The index of the message behind each row; None if each message gave one."""

    @property
    def errors(self) -> pl.DataFrame:
        """The refused messages: ``index`` and ``reason``."""


class Decoder(Protocol):
    """How one message becomes one row."""

    @property
    def name(self) -> str:
        """Name in plans and dead letters."""

    @property
    def schema(self) -> pl.Schema:
        """Columns of every decoded frame."""

    def decode(self, messages: pl.Series) -> DecodedRows:
        """Decode one message per element (Binary). Never raises for bad messages."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Decoded rows, the message behind each (None: all in order), and the refused messages."""

    frame: pl.DataFrame
    kept: pl.Series | None
    dead: pl.DataFrame | None


def decode_messages(
    decoder: Decoder, messages: pl.Series, step: str, positions: Callable[[pl.Series], pl.Series]
) -> Rows:
    """Decode ``messages``; ``positions`` gives the places of the refused, by their index."""
    if not len(messages):
        return Rows(pl.DataFrame(schema=decoder.schema), None, None)
    decoded = decoder.decode(messages)
    errors = decoded.errors
    if not errors.height:
        return Rows(decoded.frame, decoded.kept, None)
    index = errors["index"]
    dead = dead_letters(step, positions(index), messages.gather(index), errors["reason"].to_list())
    return Rows(decoded.frame, decoded.kept, dead)


def blank_is_row(decoder: Decoder) -> bool:
    """Tell whether an empty line is a message of this format; if it does not say, it is not."""
    return bool(getattr(getattr(decoder, "framing", None), "blank_is_row", False))


def wants_header(decoder: Decoder) -> bool:
    """Tell whether the format needs the first line of a file, which a socket does not have."""
    return bool(getattr(getattr(decoder, "framing", None), "header", False))


def join_dead(*frames: pl.DataFrame | None) -> pl.DataFrame | None:
    """Put tables of dead letters together; None if there are none."""
    found = [frame for frame in frames if frame is not None and frame.height]
    return pl.concat(found) if found else None
