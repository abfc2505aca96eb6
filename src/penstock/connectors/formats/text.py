"""Raw text: each message is one String."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import polars as pl

from penstock.connectors.formats.contract import Block, Decoded, Framing, verdict
from penstock.connectors.formats.messages import as_text

_LARGE_BYTES = 16 << 10
"""Block size from which on Polars cuts faster than Python."""


@dataclass(frozen=True, slots=True)
class Text:
    """Each message is a row of one String column; what is not UTF-8 is a dead letter.

    ``b"hello"`` -> ``text="hello"``
    """

    column: str = "text"

    @property
    def name(self) -> str:
        """The format's name."""
        return "text"

    @property
    def schema(self) -> pl.Schema:
        """One String column."""
        return pl.Schema({self.column: pl.String})

    @property
    def framing(self) -> Framing:
        """One row a line, empty ones too."""
        return Framing(blank_is_row=True)

    def with_header(self, line: bytes) -> Self:  # noqa: ARG002 - there are no headers
        """Return itself."""
        return self

    def decode(self, messages: pl.Series) -> Decoded:
        """Take each message as it is."""
        text, errors = as_text(messages)
        return verdict(text.alias(self.column).to_frame(), [errors], len(messages))

    def decode_block(self, block: Block) -> pl.DataFrame | None:
        """Cut the block into lines."""
        if len(block) < _LARGE_BYTES:
            return None
        try:
            return pl.read_lines(bytes(block), name=self.column)
        except pl.exceptions.ComputeError:
            return None
