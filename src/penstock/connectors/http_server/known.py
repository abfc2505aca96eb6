"""Idempotency keys: which requests were taken before, so that a repetition adds nothing.

    key k1 (body b1, 3 rows) taken      position {"received": 7, "keys": [["k1", "b1", 3, 0, 3]]}
    key k1 (body b1) again              the same answer; no row
    key k1 (body b2)                    422

Keys are in the source's position, which is stored in one transaction with the rows. Of a body so
large that it was stored in pieces, the last number says how much of it is there.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

_DIGEST_BYTES = 12

Written = tuple[str, str, int, int, int]
"""A key as JSON holds it: of the body a digest, rows, dead letters, how much was handed over."""


@dataclass(slots=True)
class Known:
    """A request that was taken: what it held, and how many of its rows and letters were handed over."""

    body: str
    rows: int
    dead: int
    handed: int
    received: int = 0
    """Its number in this run; 0 from an earlier one, whose rows are durable."""

    @property
    def whole(self) -> bool:
        """Whether all of it was handed over."""
        return self.handed >= self.rows + self.dead


class KnownKeys:
    """The newest ``most`` keys."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._found: OrderedDict[str, Known] = OrderedDict()
        self._written: list[list[str | int]] | None = []

    def restore(self, written: Sequence[Written]) -> None:
        """Take what ``written`` gave."""
        for key, body, rows, dead, handed in written:
            self._found[key] = Known(body, rows, dead, handed)
        self._written = None

    def get(self, key: str) -> Known | None:
        """Return what is known of a key."""
        return self._found.get(key)

    def put(self, key: str, known: Known) -> None:
        """Know a key, and forget the oldest beyond ``most``."""
        self._found[key] = known
        self._found.move_to_end(key)
        while len(self._found) > self._most:
            self._found.popitem(last=False)
        self._written = None

    def written(self) -> list[list[str | int]]:
        """Return all of them as JSON can hold them; never changed afterwards."""
        if self._written is None:
            self._written = [
                [key, each.body, each.rows, each.dead, each.handed]
                for key, each in self._found.items()
            ]
        return self._written


def digest(*parts: bytes) -> str:
    """Return a short text for bytes: equal for equal ones, and nothing of them can be read from it."""
    found = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for part in parts:
        found.update(len(part).to_bytes(8, "big"))
        found.update(part)
    return found.hexdigest()
