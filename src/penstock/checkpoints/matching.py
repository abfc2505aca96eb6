"""Which step of a changed pipeline takes over from which step of the one that wrote a checkpoint.

    written:  source -> filter a > 1 -> sums -> sink
    changed:  source -> filter a > 2 -> unique -> sums -> sink
    match()   source, sums and sink; the filter is another one, unique is new

A name that the user gave wins. Every other step is found by what it does (kind and identity) and by
where it stands, in rounds from the strictest to the loosest idea of "the same place"; a pair that a
round has found is a landmark for the next. What two steps could claim with equal right, nobody gets.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence

from penstock.checkpoints.manifest import StepRecord

UNORDERED = "union-all"
"""The kind whose inputs have no order."""

OWN_STATE = frozenset({"remembered-function"})
"""Kinds whose state means the same whatever their options: the stored answers of a function."""

Pairs = dict[str, str]
"""New name -> old name."""


def match(old: Sequence[StepRecord], new: Sequence[StepRecord]) -> Pairs:
    """Return for the steps of the new pipeline the step of the old one whose place they take.

    Two steps of one name that the user gave are a pair even if their options differ; all other
    pairs do the same thing.
    """
    given = {step.name for step in new if step.named}
    names = {step.name for step in old}
    pairs = {name: name for name in given & names}
    while True:
        was, now = _Places(old, {o: (o,) for o in pairs.values()}), _Places(new, _marks(pairs))
        if not any(_round(was, now, pairs, place) for place in _ROUNDS):
            return pairs


def _marks(pairs: Pairs) -> dict[str, Hashable]:
    return {name: (taken,) for name, taken in pairs.items()}


class _Places:
    """Where each step of one pipeline stands, in terms that the other one shares."""

    def __init__(self, steps: Sequence[StepRecord], marks: dict[str, Hashable]) -> None:
        self.steps = {step.name: step for step in steps}
        self.readers: dict[str, list[tuple[str, int]]] = {step.name: [] for step in steps}
        for step in steps:
            for position, name in enumerate(step.inputs):
                place = 0 if step.kind == UNORDERED else position
                self.readers[name].append((step.name, place))
        self.own: dict[str, Hashable] = {
            step.name: marks.get(step.name, _does(step)) for step in steps
        }
        self.above: dict[str, Hashable] = {}
        self.origin: dict[str, Hashable] = {}
        self.sources: dict[str, frozenset[Hashable]] = {}
        for step in steps:
            self._look_up(step)
        self.below: dict[str, Hashable] = {}
        self.result: dict[str, Hashable] = {}
        self.ends: dict[str, frozenset[Hashable]] = {}
        for step in reversed(steps):
            self._look_down(step)

    def _look_up(self, step: StepRecord) -> None:
        """Note all that is above, the same without the stateless steps, and the sources."""
        own, inputs = self.own[step.name], step.inputs
        above = [self.above[name] for name in inputs]
        parts = frozenset(Counter(above).items()) if step.kind == UNORDERED else tuple(above)
        self.above[step.name] = hash((own, parts))
        origins = tuple(self.origin[name] for name in inputs)
        passes = len(inputs) == 1 and _is_stateless(step)
        self.origin[step.name] = origins[0] if passes else hash((own, *origins))
        found = frozenset[Hashable]().union(*(self.sources[name] for name in inputs))
        self.sources[step.name] = found or frozenset({own})

    def _look_down(self, step: StepRecord) -> None:
        """Note all that is below, the same without the stateless steps, and the ends."""
        own, readers = self.own[step.name], self.readers[step.name]
        below = frozenset(Counter((self.below[name], at) for name, at in readers).items())
        self.below[step.name] = hash((own, below))
        results = frozenset(Counter((self.result[name], at) for name, at in readers).items())
        passes = len(readers) == 1 and _is_stateless(step)
        self.result[step.name] = self.result[readers[0][0]] if passes else hash((own, results))
        found = frozenset[Hashable]().union(*(self.ends[name] for name, _ in readers))
        self.ends[step.name] = found or frozenset({own})


def _does(step: StepRecord) -> Hashable:
    return (step.kind,) if step.kind in OWN_STATE else (step.kind, step.identity)


def _is_stateless(step: StepRecord) -> bool:
    return not step.layout and step.kind not in ("source", "sink")


Place = Callable[[_Places, str], Hashable]

_ROUNDS: tuple[Place, ...] = (
    lambda places, name: (places.own[name], places.above[name], places.below[name]),
    lambda places, name: (places.own[name], places.above[name]),
    lambda places, name: (places.own[name], places.below[name]),
    lambda places, name: (places.own[name], _origins(places, name), _results(places, name)),
    lambda places, name: (places.own[name], _results(places, name)),
    lambda places, name: (places.own[name], _origins(places, name), "ends"),
    lambda places, name: (places.own[name], "ends"),
)
"""From the same steps above and below to the same step somewhere between the same ends.

The last two ask that the pair has a sink in common, the very last a source too: a step that reads
through other steps and serves another sink is another step that happens to be written alike.
"""

_ALIKE = 2
"""In this many first rounds all that is above is the same, so that equals are interchangeable."""


def _origins(places: _Places, name: str) -> Hashable:
    return tuple(places.origin[above] for above in places.steps[name].inputs)


def _results(places: _Places, name: str) -> Hashable:
    return frozenset((places.result[below], at) for below, at in places.readers[name])


def _round(was: _Places, now: _Places, pairs: Pairs, place: Place) -> bool:
    """Pair the steps that one round finds; tell whether there were any."""
    taken, number = set(pairs.values()), _ROUNDS.index(place)
    free: dict[Hashable, list[str]] = {}
    for name in was.steps:
        if name not in taken:
            free.setdefault(place(was, name), []).append(name)
    wanting: dict[Hashable, list[str]] = {}
    for name in now.steps:
        if name not in pairs:
            wanting.setdefault(place(now, name), []).append(name)
    found: Pairs = {}
    for where, names in wanting.items():
        candidates = [name for name in free.get(where, ()) if not _renamed(was, name, now, names)]
        if number < _ALIKE:
            found |= _interchangeable(names, candidates)
        else:
            found |= _only_ones(
                {n: [c for c in candidates if _near(was, c, now, n, number)] for n in names}
            )
    pairs |= found
    return bool(found)


def _interchangeable(names: list[str], candidates: list[str]) -> Pairs:
    """Pair steps that hold the same: under their own name if that is there, else in order."""
    same = {name: name for name in names if name in candidates}
    rest = (name for name in names if name not in same)
    left = (name for name in candidates if name not in same)
    return same | dict(zip(rest, left, strict=False))


def _only_ones(candidates: Mapping[str, list[str]]) -> Pairs:
    """Pair those that have one candidate, which is nobody else's."""
    wanted = Counter(name for names in candidates.values() for name in names)
    return {
        name: found[0]
        for name, found in candidates.items()
        if len(found) == 1 and wanted[found[0]] == 1
    }


def _renamed(was: _Places, name: str, now: _Places, names: list[str]) -> bool:
    """A step whose given name is gone was taken out, unless the one that is there has no name."""
    return was.steps[name].named and any(now.steps[other].named for other in names)


def _near(was: _Places, old: str, now: _Places, new: str, number: int) -> bool:
    """Tell whether two steps serve a sink in common, in the last round from a source in common."""
    last = len(_ROUNDS) - 1
    if number < last - 1:
        return True
    ends = bool(was.ends[old] & now.ends[new])
    return ends and (number < last or bool(was.sources[old] & now.sources[new]))
