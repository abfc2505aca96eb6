"""Numbers for texts that come again and again.

encode(["a", "b", None, "a"])  ->  [1, 2, 0, 1]        decode([2, 0])  ->  ["b", None]
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from penstock.state.owned import owned

Numbers = npt.NDArray[np.uint32]


class Lexicon:
    """Gives each text a number above 0, in order of arrival; null is 0.

    The numbers are those of a categorical type of its own, which Polars forgets with the last
    column of that type; they are the same nowhere else, and never stored.
    """

    def __init__(self, name: str) -> None:
        self._type = pl.Categorical(pl.Categories.random())
        self._kept = pl.Series([], dtype=self._type)
        self._texts = pl.Series(name, [None], dtype=pl.String)

    def __len__(self) -> int:
        return len(self._texts) - 1

    def encode(self, texts: pl.Series) -> Numbers:
        """Return the number of each text; unknown ones get new numbers."""
        coded = texts.cast(self._type)
        if not len(self._kept):
            self._kept = coded.drop_nulls()[:1]
        numbers: Numbers = (coded.to_physical() + 1).fill_null(0).to_numpy()
        highest = int(numbers.max(initial=0))
        if highest > len(self):
            self._learn(texts, numbers, highest)
        return numbers

    def _learn(self, texts: pl.Series, numbers: Numbers, highest: int) -> None:
        known = len(self)
        fresh = np.flatnonzero(numbers > known)
        places = np.full(highest - known, -1)
        places[numbers[fresh].astype(np.int64) - known - 1] = fresh
        if places.min() < 0:
            raise AssertionError("Polars has left out a number of a categorical type")
        new = owned(texts[places].alias(self._texts.name))
        self._texts = pl.concat([self._texts, new], rechunk=True)

    def decode(self, numbers: npt.NDArray[Any]) -> pl.Series:
        """Return the texts of numbers."""
        return self._texts[numbers]

    @property
    def nbytes(self) -> int:
        """Bytes held: each text once here and once by Polars."""
        return 2 * int(self._texts.estimated_size())
