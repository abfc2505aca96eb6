"""The manifest: one checkpoint as a value, and as bytes that carry their own checksum.

penstock-checkpoint 2 8c7dd922
{"format":2,"sequence":41,"epoch":1207, ...}
"""

from __future__ import annotations

import zlib

import msgspec

from penstock.checkpoints.offsets import Ranges
from penstock.errors import CheckpointError

FORMAT = 2
"""Version of everything that a checkpoint holds; another one is refused."""

_MAGIC = b"penstock-checkpoint"


class StepRecord(msgspec.Struct, frozen=True):
    """A step of the pipeline that wrote a checkpoint; ``inputs`` are names of steps before it.

    ``identity`` is equal while the step and all its options, expressions and functions included,
    are the same; ``text`` is how the plan shows it. ``named``: the user gave the name.
    ``changelog``: what leaves it may be taken back. ``layout``: primitive -> digest of the columns
    and types of its state. ``partition_base``: the first number of a source's partitions.
    """

    name: str
    kind: str
    text: str
    identity: str
    inputs: list[str]
    named: bool = False
    changelog: bool = False
    layout: dict[str, str] = {}
    partition_base: int = 0


class FileRecord(msgspec.Struct, frozen=True):
    """A piece of a file: ``bytes`` from ``offset`` on, whose CRC-32 is ``checksum``."""

    path: str
    bytes: int
    checksum: int
    offset: int = 0


class PartFiles(msgspec.Struct, frozen=True):
    """One part of a primitive's state: frame name -> piece; ``rows`` in all of them."""

    frames: dict[str, FileRecord]
    rows: int


State = dict[str, dict[str, list[PartFiles]]]
"""Step -> primitive -> parts, oldest first (state/contract.py)."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a run resumes from.

    ``sequence`` is its place in the chain, ``origin`` the sequence of the checkpoint that it is or,
    for a claim, repeats (0: a claim before the first checkpoint). ``token`` is the sequence of the
    claim of the run that wrote it; ``identity`` stays for the life of the checkpoint. ``sinks``:
    step -> the id under which the sink records its epochs.
    """

    format: int = FORMAT
    sequence: int
    origin: int
    epoch: int
    token: int
    identity: str
    created_at: int
    """Microseconds since 1970-01-01 UTC."""
    penstock: str
    hash_scheme: str
    steps: list[StepRecord]
    positions: dict[str, object]
    state: State
    outbox: dict[str, list[FileRecord]]
    sinks: dict[str, str]
    replaced: list[str] = []
    """Sinks whose staged output is all that they are to hold: a view was rebuilt."""
    rows: dict[str, int] = {}
    """Rows that each source has handed over, dead ones too, since its beginning."""
    numbered: int = 0
    """How many sources have been given numbers for their partitions, gone ones too."""
    replayed: Ranges = []
    """Offsets of the dead letters that this checkpoint holds the replay of."""
    ended: list[str] = []
    """Sources that had ended: what depends on their time alone was complete."""

    @property
    def pieces(self) -> list[FileRecord]:
        """Every piece of a file that it needs."""
        parts = [p for primitives in self.state.values() for ps in primitives.values() for p in ps]
        staged = [piece for pieces in self.outbox.values() for piece in pieces]
        return [piece for part in parts for piece in part.frames.values()] + staged

    @property
    def files(self) -> frozenset[str]:
        """Every file that it needs."""
        return frozenset(piece.path for piece in self.pieces)


def path_of(sequence: int) -> str:
    """Return the path of a link of the chain."""
    return f"manifest-{sequence:010d}"


def sequence_of(path: str) -> int | None:
    """Return the place in the chain that a path stands for; None if it is no manifest's."""
    digits = path.removeprefix("manifest-")
    return int(digits) if digits != path and digits.isdecimal() else None


def encode(manifest: Manifest) -> bytes:
    """Return the bytes of a manifest."""
    body = msgspec.json.encode(manifest)
    return b"%s %d %08x\n%s\n" % (_MAGIC, manifest.format, zlib.crc32(body), body)


def decode(data: bytes, where: str) -> Manifest | None:
    """Return the manifest in ``data``; None if it is damaged."""
    head, _, rest = data.partition(b"\n")
    words, body = head.split(b" "), rest[:-1]
    if len(words) != 3 or words[0] != _MAGIC or not words[1].isdigit():
        return None
    if words[1] != b"%d" % FORMAT:
        raise CheckpointError(
            f"checkpoint format {words[1].decode()} is not {FORMAT}",
            step="checkpoint",
            value=where,
            hint="use the version of Penstock that wrote it, or a new folder",
        )
    if words[2] != b"%08x" % zlib.crc32(body):
        return None
    try:
        return msgspec.json.decode(body, type=Manifest)
    except msgspec.DecodeError:
        return None
