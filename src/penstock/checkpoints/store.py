"""The chain of manifests: who may write the next one, and which are kept.

    manifest-41   checkpoint          origin 41   token 38
    manifest-42   claim, repeats 41   origin 41   token 42     a run began: 42 is its token
    manifest-43   checkpoint          origin 43   token 42

Each link is made by a conditional create, so of two runs only one gets the next, and the other one
is fenced: it finds its link taken. A run that slept for so long that its next link was made and
deleted again finds a newer one after it made its own, before anything else was done.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
import polars as pl

from penstock.checkpoints.guarded import Guarded
from penstock.checkpoints.manifest import FileRecord, Manifest, decode, encode, path_of, sequence_of
from penstock.checkpoints.opening import RETAIN
from penstock.checkpoints.pieces import FOLDER, PieceReader, PieceWriter, encoded
from penstock.checkpoints.storage import PARTIAL, Storage
from penstock.errors import CheckpointError, Fault, FencedError

_FIRST = 1
"""The first link is a claim on an empty storage. Torn, with none after it, it has lost nothing."""

LET_GO_S = 10.0
"""How long a run that takes over waits for the other, which looks each second: it finishes the epoch
and the checkpoint it is at, and closes its sources. Beyond that it hangs."""

_LOOK_S = 0.02

_WHOLE = b"ARROW1"
"""How an Arrow file ends."""

_log = logging.getLogger("penstock")


@dataclass(frozen=True, slots=True)
class _Link:
    sequence: int
    origin: int
    files: frozenset[str]


class CheckpointStore:
    """Reads and writes the checkpoints in a storage, for one run."""

    def __init__(self, storage: Storage, *, retain: int = RETAIN) -> None:
        self.storage: Storage = Guarded(storage)
        self.reader = PieceReader(self.storage)
        self.token = 0
        self.identity = ""
        self._retain = retain
        self._sequence = 0
        self._links: list[_Link] = []
        self._written = 0

    def open(
        self, *, created_at: int, takeover: bool = False, after: int | None = None
    ) -> Manifest | None:
        """Become the run that writes here; return the checkpoint to resume from, if there is one.

        Anybody else who was writing is fenced from now on. A storage that can tell refuses it
        while another run is alive, unless to ``takeover``. ``after``: only if nobody has come after
        the run with this token, else ``FencedError``.
        """
        self.storage.hold(takeover=takeover)
        claim, sound = None, set[FileRecord]()
        while claim is None:
            present = links(self.storage)
            read = (read_manifest(self.storage, sequence) for sequence in present)
            found = [manifest for manifest in read if manifest is not None]
            if after is not None and any(m.token > after for m in found):
                raise self._fenced(present[0], after)
            claim = self._claim(present, found, created_at, sound)
        self._sequence = self.token = claim.sequence
        self.identity = claim.identity
        self._links = [_Link(m.sequence, m.origin, m.files) for m in [*found, claim]]
        self._drop_links()
        oldest = min(link.sequence for link in self._links)
        for sequence in set(present) - {m.sequence for m in found}:
            if sequence < oldest:
                self.storage.delete(path_of(sequence))
        if len(found) == len(present):  # else what a damaged one needs is not known
            self._drop_orphans()
        if takeover and after is None:
            self._await_the_other()
        return claim if claim.origin else None

    def _await_the_other(self) -> None:
        """Wait until the run that was taken over has let go of the folder, and so of its sources."""
        deadline = time.monotonic() + LET_GO_S
        while not self.storage.hold(takeover=True):
            if time.monotonic() >= deadline:
                _log.warning(
                    "checkpoint %s: the run that was taken over has not let go within %.0f s; it can "
                    "write nothing any more, but may still hold a socket or a folder of its sources. "
                    "If it hangs, end its process",
                    self.storage.name,
                    LET_GO_S,
                )
                return
            time.sleep(_LOOK_S)

    def refuse_overtaken(self) -> None:
        """Raise ``FencedError`` if another run has taken over. Any thread may call it.

        A storage that does not answer is no reason to stop: the next checkpoint will tell.
        """
        try:
            newest = max(links(self.storage), default=0)
            if newest <= self._sequence:
                return
            manifest = read_manifest(self.storage, newest)
        except CheckpointError:
            return
        if manifest is not None and manifest.token > self.token:
            raise self._fenced(newest)

    def peek(self) -> Manifest | None:
        """Return the newest readable checkpoint without becoming the run that writes here."""
        found = [m for m in manifests(self.storage) if m is not None and m.origin]
        return newest(found) if found else None

    def close(self) -> None:
        """Let other runs have the storage."""
        self.reader.forget()
        self.storage.release()

    def writer(self) -> PieceWriter:
        """Return what writes the pieces of one checkpoint."""
        self._written += 1
        return PieceWriter(self.storage, f"{self.token:08d}-{self._written:08d}")

    def keep_frame(self, path: str, frame: pl.DataFrame) -> None:
        """Make a file that is no part of a checkpoint; one that is there stays, if it is whole.

        A run that sleeps and is taken over may try it late, when it does not know all of it any more.
        """
        data = encoded(frame)
        if not self.storage.create(path, data) and not self.storage.read(path).endswith(_WHOLE):
            self.storage.write(path, data)

    def commit(self, manifest: Manifest) -> Manifest:
        """Make a manifest the next link; returns it as it was written.

        ``sequence`` and ``origin`` are filled in. ``FencedError`` if another run has taken over.
        """
        self.storage.hold(takeover=True)
        sequence = self._sequence + 1
        manifest = msgspec.structs.replace(manifest, sequence=sequence, origin=sequence)
        data = encode(manifest)
        if not self.storage.create(path_of(sequence), data) and not self._is_mine(sequence, data):
            raise self._fenced(sequence)
        newest = links(self.storage)[0]
        if newest > sequence:
            raise self._fenced(newest)
        self._sequence = sequence
        self._links.append(_Link(sequence, sequence, manifest.files))
        self._drop_links()
        return manifest

    def _is_mine(self, sequence: int, data: bytes) -> bool:
        """A request that was repeated after its answer was lost finds what it made itself."""
        try:
            return self.storage.read(path_of(sequence)) == data
        except FileNotFoundError:
            return False

    def _fenced(self, sequence: int, token: int | None = None) -> FencedError:
        return FencedError(
            f"another run has taken over this checkpoint (manifest {sequence} is not of run "
            f"{self.token if token is None else token})",
            step="checkpoint",
            value=self.storage.name,
            fault=Fault.USER,
            hint="run one pipeline per checkpoint",
        )

    def _claim(
        self, present: list[int], found: list[Manifest], created_at: int, sound: set[FileRecord]
    ) -> Manifest | None:
        """Commit the best checkpoint again under a token of this run; None if another was faster.

        Pieces in ``sound`` are not read again, so that this comes to an end while another run goes on.
        """
        try:
            base = self._best(found, sound)
        except CheckpointError:
            if max(links(self.storage), default=0) > max(present, default=0):
                return None  # the other run has let go of what was being read
            raise
        if base is None and set(present) - {_FIRST}:
            raise self._unusable("no manifest is readable")
        unread = set(present) - {m.sequence for m in found}
        if base is not None and (
            base is not newest(found) or max(unread, default=0) > base.sequence
        ):
            _log.warning(
                "checkpoint %s: the newest one is damaged; going on from that of epoch %d",
                self.storage.name,
                base.epoch,
            )
        sequence = max(present, default=0) + 1
        claim = (
            msgspec.structs.replace(base, sequence=sequence, token=sequence)
            if base is not None
            else _blank(sequence, created_at)
        )
        if not self.storage.create(path_of(sequence), encode(claim)):
            return None
        if max(links(self.storage)) > sequence:  # the link was made and deleted again meanwhile
            self.storage.delete(path_of(sequence))
            return None
        return claim

    def _best(self, found: list[Manifest], sound: set[FileRecord]) -> Manifest | None:
        """Return the newest checkpoint whose files are all there and sound."""
        bad = None
        for manifest in by_age(found):
            if not manifest.origin and bad is not None:
                break  # starting over is for the user to decide
            damaged = self.reader.damaged(set(manifest.pieces) - sound)
            if damaged is None:
                sound.update(manifest.pieces)
                return manifest
            bad = f"file {damaged} of epoch {manifest.epoch} is missing or damaged"
            _log.warning("checkpoint %s: %s", self.storage.name, bad)
        if bad is not None:
            raise self._unusable(f"none is complete: {bad}")
        return None

    def _unusable(self, why: str) -> CheckpointError:
        return CheckpointError(
            why,
            step="checkpoint",
            value=self.storage.name,
            hint="restore it from a copy, or start over with a new folder and new sinks",
        )

    def _drop_links(self) -> None:
        """Delete the manifests that are not kept, then what only they needed."""
        kept: dict[int, _Link] = {}
        for link in sorted(self._links, key=lambda link: (link.origin, link.sequence)):
            kept[link.origin] = link
        last = self._links[-1]
        chosen = {*list(kept.values())[-self._retain :], last}
        dropped = [link for link in self._links if link not in chosen]
        self._links = [link for link in self._links if link in chosen]
        for link in dropped:
            self.storage.delete(path_of(link.sequence))
        needed = frozenset[str]().union(*(link.files for link in self._links))
        for path in sorted(frozenset[str]().union(*(link.files for link in dropped)) - needed):
            self.storage.delete(path)

    def _drop_orphans(self) -> None:
        """Delete what a crash left behind."""
        needed = frozenset[str]().union(*(link.files for link in self._links))
        for path in self.storage.list(FOLDER):
            if path not in needed:
                self.storage.delete(path)
        for path in self.storage.list("manifest-"):
            if path.endswith(PARTIAL):
                self.storage.delete(path)


def links(storage: Storage) -> list[int]:
    """Return the links of the chain that are there, newest first."""
    found = (sequence_of(path) for path in storage.list("manifest-"))
    return sorted((number for number in found if number is not None), reverse=True)


def manifests(storage: Storage) -> list[Manifest | None]:
    """Return the manifests that are there, newest link first; None for one that is damaged."""
    return [read_manifest(storage, sequence) for sequence in links(storage)]


def read_manifest(storage: Storage, sequence: int) -> Manifest | None:
    """Return a link of the chain; None if it is missing or damaged."""
    try:
        data = storage.read(path_of(sequence))
    except FileNotFoundError:
        return None
    return decode(data, f"{storage.name}/{path_of(sequence)}")


def by_age(manifests: list[Manifest]) -> Iterator[Manifest]:
    """Yield each checkpoint once, the newest first: a claim in place of what it repeats.

    By origin, not by sequence: after a run on an older checkpoint came to nothing, one that was
    damaged and has been repaired since is still the newest.
    """
    seen: set[int] = set()
    for manifest in sorted(manifests, key=lambda m: (m.origin, m.sequence), reverse=True):
        if manifest.origin not in seen:
            seen.add(manifest.origin)
            yield manifest


def newest(manifests: list[Manifest]) -> Manifest:
    """Return the newest checkpoint."""
    return next(by_age(manifests))


def _blank(sequence: int, created_at: int) -> Manifest:
    """Return the claim of the first run of all."""
    return Manifest(
        sequence=sequence,
        origin=0,
        epoch=0,
        token=sequence,
        identity=uuid.uuid4().hex,
        created_at=created_at,
        penstock="",
        hash_scheme="",
        steps=[],
        positions={},
        state={},
        outbox={},
        sinks={},
    )
