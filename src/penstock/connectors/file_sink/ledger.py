"""What the hidden folder of a file sink says: the last epoch, the open parts, the moves to repeat.

One small JSON file, replaced as a whole. Replacing it is the moment at which an epoch happens:
before, everything the epoch wrote is rubbish; after, its moves are repeated until they are done.
"""

from __future__ import annotations

import msgspec

from penstock.connectors.epochs import NO_EPOCH, Recorded

FORMAT = 1
"""Of the ledger itself; raise it when an older Penstock would misread what is written."""


class Slice(msgspec.Struct, frozen=True):
    """Rows ``start .. start + rows`` of a piece in the hidden folder."""

    piece: str
    start: int
    rows: int


class OpenPart(msgspec.Struct, frozen=True):
    """Rows of one partition folder that are not enough for a file yet."""

    folder: str
    rows: int
    bytes: int
    opened: float  # seconds since 1970, by the wall clock, since it must outlive the process
    slices: tuple[Slice, ...]

    def grown(self, rows: int, size: int) -> OpenPart:
        """Return the part with so many more rows and bytes, whose slice is added by the writer."""
        return msgspec.structs.replace(self, rows=self.rows + rows, bytes=self.bytes + size)

    def emptied(self) -> OpenPart:
        """Return the part as it is to be written anew, in one slice."""
        return msgspec.structs.replace(self, slices=())


class Move(msgspec.Struct, frozen=True):
    """A complete file in the hidden folder, and where in the output it belongs."""

    staged: str
    folder: str
    epoch: int
    sequence: int
    extension: str

    def name(self, sequence: int) -> str:
        """Return the final file name."""
        return f"part-{self.epoch:010d}-{sequence:04d}.{self.extension}"


class Ledger(msgspec.Struct, frozen=True):
    """The state of the sink after ``epoch``; ``version`` counts the commits."""

    version: int
    token: int
    epoch: int
    next_sequence: int
    parts: tuple[OpenPart, ...] = ()
    moves: tuple[Move, ...] = ()
    format: int = FORMAT

    @property
    def recorded(self) -> Recorded:
        """Return what decisions about epochs and tokens need."""
        return Recorded(self.epoch, self.token)

    @property
    def pieces(self) -> set[str]:
        """Return the pieces that hold rows still to be filed."""
        return {piece.piece for part in self.parts for piece in part.slices}


def first_ledger(token: int) -> Ledger:
    """Return the ledger of a sink that has written nothing."""
    return Ledger(version=0, token=token, epoch=NO_EPOCH, next_sequence=0)


def encode(ledger: Ledger) -> bytes:
    """Return the ledger as JSON."""
    return msgspec.json.encode(ledger)


def decode(text: bytes) -> Ledger:
    """Read a ledger; raises ``msgspec.MsgspecError`` if it is none, or of a newer format."""
    ledger = msgspec.json.decode(text, type=Ledger)
    if ledger.format > FORMAT:
        raise msgspec.ValidationError(f"its format is {ledger.format}, known is up to {FORMAT}")
    return ledger
