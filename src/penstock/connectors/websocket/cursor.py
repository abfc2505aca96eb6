"""Where to go on in a stream that can be replayed from a cursor: Jetstream's ``time_us``, and the like.

    messages 5 6 6' 7   handed over up to 6; connect with cursor=6   server: 6 6' 7
                        6 was seen, 6' and 7 are new

A cursor may stand for several messages, and a server may be asked for some more than was lost
(``rewind``): what was seen of that is left out, by cursor and checksum.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

_SEEN = 100_000
"""Messages behind the newest cursor less ``rewind`` that are remembered, at most."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """A number in each message, and the parameter of the URL that asks for those from there on.

    ``rewind`` is in the unit of the number.
    """

    field: str = "time_us"
    parameter: str = "cursor"
    rewind: int = 0


Mark = tuple[int, int]
"""Cursor and checksum of a message."""


class Held(msgspec.Struct):
    """What a position holds: the newest cursor, and the messages around it that were handed over."""

    cursor: int
    seen: list[Mark] = []


def reader(cursor: Cursor) -> msgspec.json.Decoder[object]:
    """Return what reads the cursor of a message, without looking at the rest."""
    kind = msgspec.defstruct(
        "Cursored", [("found", int | None, None)], rename={"found": cursor.field}
    )
    return msgspec.json.Decoder(kind)


def mark_of(read: msgspec.json.Decoder[object], message: bytes) -> Mark | None:
    """Return the mark of a message; None if it has no cursor."""
    try:
        found = getattr(read.decode(message), "found", None)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return None if found is None else (found, zlib.crc32(message))


@dataclass(slots=True)
class Window:
    """The marks of the newest messages, from ``rewind`` behind the newest cursor on."""

    rewind: int
    newest: int | None = None
    _marks: deque[Mark] = field(default_factory=deque)
    _known: set[Mark] = field(default_factory=set)

    def restore(self, held: Held) -> None:
        """Take what ``held`` gave."""
        self.newest = held.cursor
        self._marks = deque(held.seen)
        self._known = set(held.seen)

    def __contains__(self, mark: Mark) -> bool:
        return mark in self._known

    def add(self, marks: Iterable[Mark | None]) -> None:
        """Remember marks, and forget those that no server will be asked for again."""
        for mark in marks:
            if mark is not None and mark not in self._known:
                self._marks.append(mark)
                self._known.add(mark)
                self.newest = mark[0] if self.newest is None else max(self.newest, mark[0])
        if self.newest is None:
            return
        oldest = self.newest - self.rewind
        while self._marks and (self._marks[0][0] < oldest or len(self._marks) > _SEEN):
            self._known.discard(self._marks.popleft())

    @property
    def start(self) -> int | None:
        """The cursor to ask for."""
        return None if self.newest is None else self.newest - self.rewind

    def held(self) -> Held | None:
        """Return what a position holds."""
        return None if self.newest is None else Held(self.newest, list(self._marks))
