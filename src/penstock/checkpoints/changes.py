"""What a changed pipeline keeps of a checkpoint, what is new, and what would be lost.

State is kept where a step does the same as before, holds the same columns, and was not given
anything that can no longer be taken back. Append-only rows never are, so what lies above them may
change freely. Along a changelog every step refers to what those above it have emitted: a chain of
them keeps its state as a whole, or starts empty as a whole.

    rows -> filter -> sums -> top_k -> sink          filter changed: sums and top_k are kept
    rows -> sums -> filter -> top_k -> sink          filter changed: sums and top_k are lost
"""

from __future__ import annotations

import enum
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from penstock.checkpoints.manifest import Manifest, StepRecord
from penstock.checkpoints.matching import OWN_STATE, UNORDERED, Pairs, match

_OPTIONAL = frozenset({"touched"})
"""Primitives that a step may gain or lose and keep the rest: when keys with a ttl were used last."""


class Fate(enum.Enum):
    """What becomes of a step."""

    KEPT = "kept"  # as it was, where it was
    MOVED = "moved"  # as it was, at another place or under another name
    NEW = "new"  # begins with nothing
    REMOVED = "removed"  # is not needed any more, and held nothing
    LOST = "lost"  # state, a position or staged output that nothing takes over


@dataclass(frozen=True, slots=True)
class StepChange:
    """What becomes of one step: of the new pipeline, or of the old one if it is gone or lost.

    ``name`` is that in the checkpoint (of a new step its own), ``bytes`` and ``rows`` the size of
    its state there (rows of lost state only), ``reason`` why it is lost, ``notes`` what follows.
    """

    name: str
    kind: str
    text: str
    fate: Fate
    bytes: int = 0
    rows: int = 0
    reason: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """``changes`` in order; ``names``: name of a new step -> the one it gets in the checkpoint.

    ``pairs``: new name -> name in the checkpoint of the step whose place it takes; ``taken``: of
    these, the ones whose state, position, staged output and sink id go over.
    """

    changes: tuple[StepChange, ...]
    names: dict[str, str]
    pairs: Pairs
    taken: Pairs


def compare(manifest: Manifest, steps: Sequence[StepRecord]) -> Comparison:
    """Compare a checkpoint with the steps of a pipeline that is to go on from it."""
    return _Comparer(manifest, steps).compare()


class _Comparer:
    def __init__(self, manifest: Manifest, steps: Sequence[StepRecord]) -> None:
        self._manifest = manifest
        self._old = {step.name: step for step in manifest.steps}
        self._new = {step.name: step for step in steps}
        self._pairs = match(manifest.steps, steps)
        self._partners = {old: new for new, old in self._pairs.items()}
        self._readers: dict[str, list[str]] = {name: [] for name in self._new}
        for step in steps:
            for name in step.inputs:
                self._readers[name].append(step.name)
        self._bound = self._bound_edges()
        self._misfits = {n: why for n in self._pairs if (why := self._misfit(n))}
        self._lost = dict(self._losses())
        self._names = dict(self._final_names())

    def compare(self) -> Comparison:
        there = [self._of_new(step) for step in self._new.values()]
        gone = [self._of_gone(step) for step in self._old.values() if self._is_gone(step)]
        taken = {n: o for n, o in self._pairs.items() if n not in self._lost}
        return Comparison((*there, *gone), self._names, self._pairs, taken)

    def _final_names(self) -> Iterator[tuple[str, str]]:
        """Yield the name of each new step and its own, its partner's, or one that is free."""
        given = {step.name for step in self._new.values() if step.named}
        used = given | self._old.keys()
        for step in self._new.values():
            old = self._pairs.get(step.name)
            if step.named or (old is not None and old not in given):
                yield step.name, step.name if step.named else str(old)
                continue
            numbered = (f"{step.kind}-{number}" for number in itertools.count(1))
            name = next(name for name in numbered if name not in used)
            used.add(name)
            yield step.name, name

    # What a pair of steps may hand over

    def _misfit(self, name: str) -> str:
        """Return why a step cannot take what its partner holds; empty if it can."""
        new, old = self._new[name], self._old[self._pairs[name]]
        if new.kind != old.kind:
            return f"{name} is another kind of step now: {new.text}"
        if new.kind not in OWN_STATE and new.identity != old.identity:
            return f"its own options changed; now: {new.text}"
        names = (new.layout.keys() | old.layout.keys()) - _OPTIONAL
        differing = sorted(n for n in names if new.layout.get(n) != old.layout.get(n))
        if differing:
            return f"the columns or types that it holds are others now ({', '.join(differing)})"
        return ""

    def _bound_edges(self) -> set[tuple[str, str]]:
        """Return the changelog edges below which something refers to what came along them."""
        holding: set[str] = set()
        edges = set()
        for step in reversed(self._new.values()):
            below = any(reader in holding for reader in self._readers[step.name])
            if step.layout or (step.changelog and below):
                holding.add(step.name)
        for step in self._new.values():
            for name in step.inputs:
                if self._new[name].changelog and step.name in holding:
                    edges.add((name, step.name))
        return edges

    def _losses(self) -> Iterator[tuple[str, str]]:
        """Yield the steps that have to start empty, with the reason."""
        for chain in self._chains():
            broken = next((why for name in chain if (why := self._broken(name))), "")
            for name in chain:
                own = self._misfits.get(name) or self._settled(name)
                why = own or broken
                if why and name in self._pairs:
                    yield name, why

    def _chains(self) -> Iterator[list[str]]:
        """Yield the steps in groups that are connected by bound edges."""
        group = {name: name for name in self._new}

        def root(name: str) -> str:
            while group[name] != name:
                name = group[name]
            return name

        for above, below in self._bound:
            group[root(below)] = root(above)
        members: dict[str, list[str]] = {}
        for name in self._new:
            members.setdefault(root(name), []).append(name)
        yield from members.values()

    def _broken(self, name: str) -> str:
        """Return how a step breaks its chain: it cannot go on referring to what it was given."""
        step = self._new[name]
        bound = [n for n in step.inputs if (n, name) in self._bound]
        above = any((name, reader) in self._bound for reader in self._readers[name])
        if not bound and not above:
            return ""
        if name not in self._pairs:
            return (
                f"{name} ({step.text}) is new and would get changes of rows that it has never seen"
                if bound
                else f"{name} ({step.text}) is new"
            )
        if name in self._misfits:
            return f"{name} changed: {self._misfits[name]}"
        old = self._old[self._pairs[name]]
        was = [n for n in old.inputs if self._old[n].changelog]
        now = [self._pairs.get(n, "") for n in bound]
        same = sorted(was) == sorted(now) if step.kind == UNORDERED else was == now
        if bound and not same:
            return f"{name} ({step.text}) reads changes of another step now"
        return ""

    def _settled(self, name: str) -> str:
        """Return why what a step was given as changes could never be taken back."""
        step = self._new[name]
        old = self._old.get(self._pairs.get(name, ""))
        if old is None or not step.layout:
            return ""
        for was, now in zip(old.inputs, step.inputs, strict=False):
            if self._old[was].changelog and not self._new[now].changelog:
                return f"it held changes, and reads append-only rows of {now} now"
        return ""

    # What is said of each step

    def _of_new(self, step: StepRecord) -> StepChange:
        old = self._old.get(self._pairs.get(step.name, ""))
        if old is None:
            notes = self._beginning(step)
            return StepChange(self._names[step.name], step.kind, step.text, Fate.NEW, notes=notes)
        if step.name in self._lost:
            reason = self._lost[step.name]
            if self._holds(old):
                return self._loss(old, reason)
            begins = step.layout or step.kind in ("source", "sink")
            fate = Fate.NEW if begins else Fate.KEPT
            return StepChange(self._names[step.name], step.kind, step.text, fate)
        inputs = [self._pairs.get(name) for name in step.inputs]
        moved = old.name != step.name if step.named else inputs != old.inputs
        return StepChange(
            old.name,
            step.kind,
            step.text,
            Fate.MOVED if moved else Fate.KEPT,
            bytes=self._bytes(old.name),
            notes=tuple(self._consequences(step, old)),
        )

    def _is_gone(self, step: StepRecord) -> bool:
        return step.name not in self._partners

    def _of_gone(self, old: StepRecord) -> StepChange:
        if not self._holds(old):
            return StepChange(old.name, old.kind, old.text, Fate.REMOVED)
        return self._loss(old, self._why_gone(old))

    def _loss(self, old: StepRecord, reason: str) -> StepChange:
        return StepChange(
            old.name, old.kind, old.text, Fate.LOST, bytes=self._bytes(old.name), reason=reason
        )

    def _holds(self, old: StepRecord) -> bool:
        """Tell whether the checkpoint has anything of a step that would be missed."""
        if old.kind == "source":
            return old.name in self._manifest.positions
        if old.kind == "sink":
            return old.name in self._manifest.outbox
        return any(self._manifest.state.get(old.name, {}).values())

    def _why_gone(self, old: StepRecord) -> str:
        if old.kind == "source":
            return "its position: nothing reads it any more, and if it comes back it begins anew"
        if old.kind == "sink":
            return "output staged for it that it may not have got; stop the old pipeline first"
        free = [s for s in self._new.values() if s.name not in self._pairs and s.kind == old.kind]
        if any(step.identity == old.identity for step in free):
            return (
                "several steps are alike, and which is which is not clear; name them: .named(...)"
            )
        heirs = [step for step in free if self._stands_for(step, old)]
        if len(heirs) == 1:
            return f"its own options changed; now: {heirs[0].text}"
        return "the pipeline has no such step any more"

    def _stands_for(self, new: StepRecord, old: StepRecord) -> bool:
        """Tell whether an old step has the readers of a new one, or its inputs if none is known."""
        readers = {self._pairs.get(name) for name in self._readers[new.name]} - {None}
        if readers:
            return any(old.name in self._old[str(name)].inputs for name in readers)
        return [self._pairs.get(name) for name in new.inputs] == old.inputs

    def _bytes(self, name: str) -> int:
        parts = (p for ps in self._manifest.state.get(name, {}).values() for p in ps)
        return sum(piece.bytes for part in parts for piece in part.frames.values())

    def _beginning(self, step: StepRecord) -> tuple[str, ...]:
        """Return what a new step begins with."""
        if step.kind == "source":
            return ("is read from its beginning",)
        if step.kind != "sink":
            return ()
        above = step.inputs[0]
        if not self._goes_on(above):
            return ()
        if self._new[above].changelog:
            return (
                f'gets only what changes from now on; rebuild=["{self._names[step.name]}"] gives it the rest',
            )
        return (
            f'starts with the rows from now on; rebuild=["{self._names[step.name]}"] gives it the rest',
        )

    def _goes_on(self, name: str) -> bool:
        """Tell whether something at or above a step goes on from the checkpoint."""
        step = self._new[name]
        own = name in self._pairs and name not in self._lost and bool(step.layout)
        source = step.kind == "source" and name in self._pairs and name not in self._lost
        return own or source or any(self._goes_on(n) for n in step.inputs)

    def _consequences(self, step: StepRecord, old: StepRecord) -> Iterator[str]:
        if step.kind == "sink":
            above = step.inputs[0]
            if self._new[above].changelog and not self._faithful(above, old.inputs[0]):
                yield "rows written before stay as they are until a change replaces them"
        elif step.layout:
            dropped = _fresh_above(self._old, old, lambda s: s.name not in self._partners)
            added = _fresh_above(self._new, step, lambda s: s.name not in self._pairs)
            if dropped:
                yield f"what it holds came through {', '.join(dropped)}"
            if added:
                yield f"rows from now on come through {', '.join(added)}"
            elif dropped:
                yield "rows from now on come without"

    def _faithful(self, name: str, was: str) -> bool:
        """Tell whether what leaves a step takes back exactly what its partner gave."""
        step = self._new[name]
        if self._pairs.get(name) != was or name in self._lost or name in self._misfits:
            return False
        if step.layout or not step.changelog:
            return True
        pairs = zip(step.inputs, self._old[was].inputs, strict=False)
        return all(self._faithful(n, o) for n, o in pairs)


def _fresh_above(
    steps: dict[str, StepRecord], step: StepRecord, is_fresh: Callable[[StepRecord], bool]
) -> list[str]:
    """Return the steps without a partner between a step and what holds state above it."""
    found: dict[str, str] = {}
    waiting = list(step.inputs)
    while waiting:
        above = steps[waiting.pop()]
        fresh = is_fresh(above)
        if above.kind != "source" and (fresh or not above.layout):
            waiting.extend(above.inputs)
            if fresh:
                found[above.name] = above.text
    return list(reversed(found.values()))
