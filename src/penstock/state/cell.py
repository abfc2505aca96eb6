"""One small value, such as a watermark or a counter."""

from __future__ import annotations

import json
from typing import Any

import polars as pl

from penstock.state.contract import FULL, FULL_MARK, Part


class Cell:
    """Hold one value that JSON can hold in ``value``; assign a new one rather than mutate it."""

    def __init__(self, value: Any = None) -> None:
        self.value = value
        self._saved: str | None = None

    rows = 1
    must_rewrite = False

    def __len__(self) -> int:
        return 1

    @property
    def nbytes(self) -> int:
        """Bytes of the value as JSON."""
        return len(json.dumps(self.value))

    def delta(self) -> Part:
        """Return the value if it changed."""
        text = json.dumps(self.value)
        if text == self._saved:
            return {}
        self._saved = text
        return {"cell": pl.DataFrame({"value": [text]})}

    def full(self) -> Part:
        """Return the value."""
        self._saved = None
        return {FULL: FULL_MARK, **self.delta()}

    def load(self, parts: list[Part]) -> None:
        """Take the newest value."""
        for part in parts:
            if "cell" in part:
                self._saved = part["cell"].item()
                self.value = json.loads(self._saved)
