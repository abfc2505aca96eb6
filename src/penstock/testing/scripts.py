"""Sources whose every step the test writes down: rows, refused rows, pauses, faults, the end.

>>> import polars as pl
>>> from penstock.testing import end, rows, scripted
>>> orders = scripted("orders", {"n": pl.Int64}, script=[rows({"n": [1, 2]}), end()])
>>> orders.collect()["n"].to_list()
[1, 2]
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict, Unpack

import msgspec
import polars as pl

from penstock.columns import dead_letters
from penstock.connectors.contract import Polled, Position
from penstock.errors import ConfigError
from penstock.plan.sources import Scan
from penstock.stream import Stream


class Action:
    """One thing that a partition does."""


@dataclass(frozen=True, eq=False)
class Rows(Action):
    """Bring these rows; with ``refused``, dead letters: ``(bytes, reason)`` each."""

    frame: pl.DataFrame | Mapping[str, Any] | None = None
    refused: Sequence[tuple[bytes, str]] = ()


@dataclass(frozen=True)
class End(Action):
    """Nothing will come from this partition any more."""


@dataclass(eq=False)
class Abort(Action):
    """Raise ``error`` from the poll, ``times`` times over all opened sources, then be passed over."""

    error: BaseException
    times: int = 1


class Pause(Action):
    """Bring nothing from this partition until the test calls ``release``."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self._released = threading.Event()
        self._waiting: set[threading.Condition] = set()

    @property
    def released(self) -> bool:
        """Whether the script goes on."""
        return self._released.is_set()

    def release(self) -> None:
        """Let the script go on, in every source that reads it, for good."""
        self._released.set()
        for condition in list(self._waiting):
            with condition:
                condition.notify_all()

    def watched_by(self, condition: threading.Condition) -> None:
        """Notify this condition when it is released."""
        self._waiting.add(condition)


Script = Sequence[Action] | Mapping[int, Sequence[Action]]
"""What one partition does, or each partition by its number."""


def rows(frame: pl.DataFrame | Mapping[str, Any]) -> Rows:
    """Bring these rows; a mapping of columns takes its types from the schema of the source."""
    return Rows(frame)


def refused(*letters: tuple[bytes, str]) -> Rows:
    """Bring dead letters: ``refused((b"{", "not JSON"))``."""
    return Rows(None, letters)


def end() -> End:
    """End the partition; a source whose partitions all end is bounded."""
    return End()


def abort(error: BaseException, *, times: int = 1) -> Abort:
    """Fail with ``error``, once: a run that is started again gets past it."""
    return Abort(error, times)


def pause() -> Pause:
    """Wait. Keep what it returns, to wait until it is ``reached``, and to ``release`` it.

    >>> gate = pause()
    >>> script = [rows({"n": [1]}), gate, rows({"n": [2]}), end()]
    >>> query = scripted("s", {"n": pl.Int64}, script=script).sink_callback(lambda frame: None)
    >>> _ = query.start()
    >>> gate.reached.wait(10)
    True
    >>> gate.release()
    >>> query.wait(10)
    True
    """
    return Pause()


@dataclass(frozen=True, eq=False)
class ScriptedSpec:
    """A source that does what its script says, or that ``drive`` feeds if it has none.

    A poll brings one action of one partition, the partitions in turn, and never more rows than
    asked for, unless ``frame_is_epoch``. A script that does not end brings nothing more and stays.
    ``acknowledged`` collects the positions that the engine has acknowledged, over all runs.
    """

    name: str
    schema: pl.Schema
    bounded: bool = True
    replayable: bool = True
    partitioned: bool = False
    frame_is_epoch: bool = True
    changelog: bool = False
    script: Mapping[int, Sequence[Action]] | None = field(default=None, repr=False)
    acknowledged: list[Position] = field(default_factory=list, init=False, repr=False)

    def open(self) -> ScriptedSource:
        """Return a source at the beginning of the script."""
        if self.script is None:
            raise ConfigError(
                "this source has no script, so no engine can run it",
                step=self.name,
                hint="give it script=[rows(...), end()], or feed it with drive()",
            )
        return ScriptedSource(self, self.script)


class _Place(msgspec.Struct):
    """Where a partition stands: the action, and rows of it already handed over."""

    action: int = 0
    row: int = 0


class _Position(msgspec.Struct):
    places: dict[str, _Place]
    turn: int = -1


class ScriptedSource:
    """A live scripted source; state: the place in the script of each partition."""

    def __init__(self, spec: ScriptedSpec, script: Mapping[int, Sequence[Action]]) -> None:
        self._spec = spec
        self._script = script
        self._moved = threading.Condition()
        self._closed = False
        self._places = {number: _Place() for number in script}
        self._turn = -1
        for actions in script.values():
            for action in actions:
                if isinstance(action, Pause):
                    action.watched_by(self._moved)

    def seek(self, position: Position | None) -> None:
        """Go to a position, or to the beginning."""
        held = _Position({}) if position is None else msgspec.convert(position, _Position)
        self._places = {n: held.places.get(str(n), _Place()) for n in self._script}
        self._turn = held.turn

    def poll(self, max_rows: int, timeout_s: float) -> Polled:
        """Return what the next action of the next partition brings."""
        deadline = time.monotonic() + timeout_s
        with self._moved:
            while True:
                for number in self._in_turn():
                    found = self._advance(number, max_rows)
                    if found is not None:
                        return found
                left = deadline - time.monotonic()
                if self._closed or self._ended() or left <= 0:
                    return self._polled(self._spec.schema.to_frame(), 0, None)
                self._moved.wait(left)

    def partitions(self) -> Sequence[int]:
        """Return the partitions that have not ended."""
        return tuple(n for n in self._places if not isinstance(self._next(n), End))

    def acknowledge(self, position: Position) -> None:
        """Note the position in the spec."""
        self._spec.acknowledged.append(position)

    def close(self) -> None:
        """End a waiting poll."""
        with self._moved:
            self._closed = True
            self._moved.notify_all()

    def _in_turn(self) -> list[int]:
        numbers = sorted(self._places)
        after = [n for n in numbers if n > self._turn]
        return after + [n for n in numbers if n <= self._turn]

    def _next(self, number: int) -> Action | None:
        """Return the action a partition stands before, passing over those that are over."""
        place, actions = self._places[number], self._script[number]
        while place.action < len(actions):
            action = actions[place.action]
            if not _is_over(action):
                return action
            place.action += 1
        return None

    def _ended(self) -> bool:
        return all(isinstance(self._next(n), End) for n in self._places)

    def _advance(self, number: int, max_rows: int) -> Polled | None:
        action = self._next(number)
        if isinstance(action, Pause):
            action.reached.set()
        if isinstance(action, Abort):
            action.times -= 1
            raise action.error
        if not isinstance(action, Rows):
            return None
        self._turn = number
        return self._take(number, action, max_rows)

    def _take(self, number: int, action: Rows, max_rows: int) -> Polled:
        place = self._places[number]
        frame = _frame(action.frame, self._spec)
        count = frame.height + len(action.refused)
        taken = count if self._spec.frame_is_epoch else min(max_rows, count - place.row)
        first, last = place.row, place.row + taken
        letters = action.refused[max(0, first - frame.height) : max(0, last - frame.height)]
        if last < count:
            place.row = last
        else:
            place.action, place.row = place.action + 1, 0
        return self._polled(frame.slice(first, taken), number, _dead(self._spec.name, letters))

    def _polled(self, frame: pl.DataFrame, number: int, dead: pl.DataFrame | None) -> Polled:
        ended = self._ended()
        waiting = all(not isinstance(self._next(n), Rows | Abort) for n in self._places)
        places = {str(n): _Place(p.action, p.row) for n, p in self._places.items()}
        position = msgspec.to_builtins(_Position(places, self._turn))
        return Polled(frame, position, number, dead, caught_up=waiting, ended=ended)


class Facts(TypedDict, total=False):
    """What a scripted source says of itself; see ``SourceSpec`` and ``is_changelog``."""

    bounded: bool
    replayable: bool
    partitioned: bool
    frame_is_epoch: bool
    changelog: bool


def scripted(
    name: str,
    schema: Mapping[str, pl.DataType | type[pl.DataType]],
    *,
    script: Script | None = None,
    **facts: Unpack[Facts],
) -> Stream:
    """Return a stream of a scripted source; ``facts`` are those of ``ScriptedSpec``.

    With a script it runs in an engine and is bounded if every partition ends, partitioned if there
    are several; without one, ``drive`` feeds it.
    """
    return Stream(Scan(spec=scripted_spec(name, schema, script=script, **facts)))


def scripted_spec(
    name: str,
    schema: Mapping[str, pl.DataType | type[pl.DataType]],
    *,
    script: Script | None = None,
    **facts: Unpack[Facts],
) -> ScriptedSpec:
    """Return the spec of a scripted source, to look at what was ``acknowledged``."""
    if script is None:
        return ScriptedSpec(name, pl.Schema(schema), **facts)
    parts = dict(script) if isinstance(script, Mapping) else {0: list(script)}
    facts.setdefault("bounded", all(_ends(actions) for actions in parts.values()))
    facts.setdefault("partitioned", len(parts) > 1)
    return ScriptedSpec(name, pl.Schema(schema), script=parts, **facts)


def _ends(actions: Iterable[Action]) -> bool:
    return any(isinstance(action, End) for action in actions)


def _is_over(action: Action) -> bool:
    if isinstance(action, Pause):
        return action.released
    return isinstance(action, Abort) and action.times <= 0


def _frame(given: pl.DataFrame | Mapping[str, Any] | None, spec: ScriptedSpec) -> pl.DataFrame:
    if given is None:
        return spec.schema.to_frame()
    frame = given if isinstance(given, pl.DataFrame) else pl.DataFrame(given, schema=spec.schema)
    if frame.schema != spec.schema:
        raise ConfigError(
            f"the script brings {dict(frame.schema)}, the schema is {dict(spec.schema)}",
            step=spec.name,
        )
    return frame


def _dead(name: str, letters: Sequence[tuple[bytes, str]]) -> pl.DataFrame | None:
    if not letters:
        return None
    raw, reasons = [raw for raw, _ in letters], [reason for _, reason in letters]
    return dead_letters(name, ["script"] * len(letters), raw, reasons)
