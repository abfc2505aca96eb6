"""A durable source over a source whose every poll the test decides."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.columns import DEAD_LETTER_SCHEMA
from penstock.connectors.contract import Polled, Position, Source, SourceSpec
from penstock.connectors.durable.config import DurableSpec
from penstock.connectors.durable.shelf import Mark, Shelf
from penstock.connectors.durable.source import DurableSource
from penstock.deferred import sqlite3
from penstock.errors import ConnectorError, Fault
from penstock.testing import check_source
from penstock.topics import Durability, Topic, journal
from penstock.topics.journal import Kind
from penstock.topics.store import Store

from .scripted import SCHEMA, Scripted, ScriptedSpec, rows

LIMIT = 30.0


def dead(*names: str) -> pl.DataFrame:
    letters = [{"step": "s", "position": name, "bytes": b"x", "reason": "r"} for name in names]
    return pl.DataFrame(letters, schema=DEAD_LETTER_SCHEMA)


def spec_of(folder: Path, *sources: Scripted, **options: object) -> DurableSpec:
    inner = {k: v for k, v in options.items() if k in ScriptedSpec.__dataclass_fields__}
    own = {k: v for k, v in options.items() if k not in inner}
    within = ScriptedSpec(list(sources), **inner)  # type: ignore[arg-type]
    return DurableSpec(within, str(folder), **own)  # type: ignore[arg-type]


@contextmanager
def running(spec: DurableSpec, position: Position | None = None) -> Iterator[DurableSource]:
    source = spec.open()
    assert isinstance(source, DurableSource)
    with closing(source):
        source.seek(position)
        yield source


def poll_until(source: DurableSource, done: Callable[[list[Polled]], bool]) -> list[Polled]:
    polls: list[Polled] = []
    deadline = time.monotonic() + LIMIT
    while not done(polls):
        assert time.monotonic() < deadline, polls
        polls.append(source.poll(1000, 0.05))
    return polls


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline
        os.sched_yield()


def numbers(polls: list[Polled]) -> list[int]:
    return [n for polled in polls for n in polled.frame["n"]]


def letters(polls: list[Polled]) -> list[str]:
    return [p for polled in polls if polled.dead is not None for p in polled.dead["position"]]


def test_the_spec_is_that_of_the_source_within_but_replayable(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, bounded=True, partitioned=True)
    assert isinstance(spec, SourceSpec)
    assert (spec.name, spec.schema, spec.bounded) == ("scripted", SCHEMA, True)
    assert (spec.partitioned, spec.replayable, spec.changelog) == (True, True, False)


def test_rows_and_dead_letters_come_in_order_and_are_acknowledged_once_kept(tmp_path: Path) -> None:
    within = Scripted()
    with running(spec_of(tmp_path, within)) as source:
        for n in range(50):
            within.bring(Polled(rows(2 * n, 2 * n + 1), {"at": n}, dead=dead(f"d{n}")))
        polls = poll_until(source, lambda p: len(numbers(p)) + len(letters(p)) == 150)
        until(lambda: {"at": 49} in within.acknowledged)
    assert numbers(polls) == list(range(100))
    assert letters(polls) == [f"d{n}" for n in range(50)]


def test_what_was_kept_comes_again_from_any_position_of_any_run(tmp_path: Path) -> None:
    within = Scripted()
    with running(spec_of(tmp_path, within)) as source:
        for n in range(20):
            within.bring(Polled(rows(*range(5 * n, 5 * n + 5)), n, dead=dead(f"d{n}")))
        polls = poll_until(source, lambda p: len(numbers(p)) + len(letters(p)) == 120)
    for count in range(len(polls) + 1):
        position = polls[count - 1].position if count else None
        with running(spec_of(tmp_path, Scripted()), position) as again:
            rest_n, rest_d = numbers(polls[count:]), letters(polls[count:])
            rest: list[Polled] = []
            while len(numbers(rest)) + len(letters(rest)) < len(rest_n) + len(rest_d):
                rest.append(again.poll(1000, LIMIT))
            assert (numbers(rest), letters(rest)) == (rest_n, rest_d)
            assert again.poll(10, 0).frame.is_empty()


def test_the_source_within_goes_on_where_the_rows_end(tmp_path: Path) -> None:
    first, second = Scripted(), Scripted()
    with running(spec_of(tmp_path, first)):
        first.bring(Polled(rows(1), {"at": 7}))
        until(lambda: first.acknowledged == [{"at": 7}])
    with running(spec_of(tmp_path, second)):
        assert (first.sought, second.sought) == ([None], [{"at": 7}])


def test_an_end_is_kept_and_the_source_within_not_opened_again(tmp_path: Path) -> None:
    within = Scripted()
    with running(spec_of(tmp_path, within, bounded=True)):
        within.bring(Polled(rows(1, 2), 1))
        within.bring(Polled(rows(3), 2, ended=True))
        until(lambda: 2 in within.acknowledged)
    with running(spec_of(tmp_path, bounded=True)) as again:  # opening it would fail: there is none
        polls = poll_until(again, lambda p: bool(p) and p[-1].ended)
        assert numbers(polls) == [1, 2, 3]
        assert again.partitions() == ()
    with running(spec_of(tmp_path, bounded=True), polls[-1].position) as done:
        assert done.poll(10, 1.0).ended


def test_caught_up_and_ended_only_after_the_last_row(tmp_path: Path) -> None:
    within = Scripted()
    with running(spec_of(tmp_path, within)) as source:
        within.bring(Polled(rows(*range(10)), 1, caught_up=True))
        until(lambda: source.lag() == 10)
        polls = [source.poll(3, 1.0) for _ in range(4)]
        assert [len(p.frame) for p in polls] == [3, 3, 3, 1]
        assert [p.caught_up for p in polls[:3]] == [False] * 3
        poll_until(source, lambda p: bool(p) and p[-1].caught_up)


def test_partitions_stay_until_their_last_row_was_handed_over(tmp_path: Path) -> None:
    within = Scripted(live=(0, 1))
    with running(spec_of(tmp_path, within, partitioned=True)) as source:
        within.bring(Polled(rows(1, 2), 1, partition=1))
        within.bring(Polled(rows(3), 2, partition=0))
        until(lambda: source.lag() == 3)
        within.live = (0,)
        within.bring(Polled(rows(4), 3, partition=0))
        until(lambda: source.lag() == 4)
        seen = []
        while source.lag():
            polled = source.poll(1000, 1.0)
            seen.append((polled.partition, polled.frame["n"].to_list(), set(source.partitions())))
    assert [n for _, part, _ in seen for n in part] == [1, 2, 3, 4]
    assert [p for p, part, _ in seen for _ in part] == [1, 1, 0, 0]
    assert seen[0][2] == {0, 1}
    assert seen[-1][2] == {0}


def test_partitions_survive_too(tmp_path: Path) -> None:
    within = Scripted(live=(0, 3))
    with running(spec_of(tmp_path, within, partitioned=True)):
        within.bring(Polled(rows(1), 1, partition=3))
        until(lambda: within.acknowledged == [1])
    with running(spec_of(tmp_path, Scripted(live=()), partitioned=True)) as again:
        assert 3 in again.partitions()
        assert again.poll(10, 1.0).partition == 3
        assert again.partitions() == ()


def test_an_error_of_the_source_within_is_raised_by_poll(tmp_path: Path) -> None:
    within = Scripted()
    with running(spec_of(tmp_path, within)) as source:
        within.bring(ConnectorError("gone", retry=True))
        with pytest.raises(ConnectorError, match="gone"):
            poll_until(source, lambda p: False)


def spied(target: object, method: str) -> list[object]:
    """Remember what a method returns."""
    seen: list[object] = []
    called = getattr(target, method)

    def spy(*args: object) -> object:
        seen.append(called(*args))
        return seen[-1]

    setattr(target, method, spy)
    return seen


def test_pressure_stops_the_source_within_until_rows_are_read(tmp_path: Path) -> None:
    within = Scripted()
    with running(spec_of(tmp_path, within, max_bytes=1)) as source:
        within.bring(Polled(rows(1), 1))
        until(lambda: within.acknowledged == [1])
        within.bring(Polled(rows(2), 2))
        waited = spied(source._shelf, "wait_for_room")
        before = within.polls
        until(lambda: waited.count(False) == 2)
        assert (within.polls, source.lag()) == (before, 1)
        polls = poll_until(source, lambda p: len(numbers(p)) == 2)
        assert numbers(polls) == [1, 2]


def forgotten(folder: Path) -> int:
    with Topic.open(folder) as topic:
        return topic.start_offsets()[0]


def test_the_topic_forgets_what_all_kept_checkpoints_cover(tmp_path: Path) -> None:
    within = Scripted()
    with running(spec_of(tmp_path, within, kept_checkpoints=2)) as source:
        positions: list[Position] = []
        for n in range(6):
            within.bring(Polled(rows(n), n))
            positions.append(poll_until(source, lambda p: len(numbers(p)) == 1)[-1].position)
        source.acknowledge(positions[2])
        source.acknowledge(positions[4])
        until(lambda: forgotten(tmp_path) == 3)
    with running(spec_of(tmp_path, Scripted()), positions[2]) as again:
        assert numbers(poll_until(again, lambda p: len(numbers(p)) == 3)) == [3, 4, 5]
    with pytest.raises(ConnectorError, match="forgotten"):
        spec_of(tmp_path, Scripted()).open().seek(positions[0])


def refusal(folder: Path, position: Position, **options: object) -> str:
    with (
        pytest.raises(ConnectorError) as caught,
        closing(spec_of(folder, Scripted(), **options).open()) as source,
    ):
        source.seek(position)
    assert caught.value.fault is Fault.USER
    return str(caught.value)


def test_positions_of_something_else_are_refused(tmp_path: Path) -> None:
    within = Scripted()
    with running(spec_of(tmp_path, within)) as source:
        within.bring(Polled(rows(1, 2), 1))
        position = poll_until(source, lambda p: len(numbers(p)) == 2)[-1].position
    assert isinstance(position, dict)
    assert "not the one" in refusal(tmp_path, {**position, "topic": "another"})
    assert "ends before" in refusal(tmp_path, {**position, "offsets": {"0": 9, "1": 0}})
    assert "taken without this topic" in refusal(tmp_path, {"received": 3})
    assert "columns" in refusal(tmp_path, None, schema=pl.Schema({"n": pl.String()}))


def test_a_checkpoint_from_before_there_was_a_topic_goes_on(tmp_path: Path) -> None:
    within = Scripted()
    with running(spec_of(tmp_path, within), {"received": 3}) as source:
        within.bring(Polled(rows(4), 1))
        assert numbers(poll_until(source, lambda p: len(numbers(p)) == 1)) == [4]


def test_other_columns_are_welcome_once_all_rows_were_read(tmp_path: Path) -> None:
    within = Scripted()
    with running(spec_of(tmp_path, within)) as source:
        within.bring(Polled(rows(1), 1))
        position = poll_until(source, lambda p: len(numbers(p)) == 1)[-1].position
    schema = pl.Schema({"m": pl.String()})
    fresh = Scripted(schema=schema)
    with running(spec_of(tmp_path, fresh, schema=schema), position) as source:
        fresh.bring(Polled(pl.DataFrame({"m": ["a"]}), 2))
        polls = poll_until(source, lambda p: any(len(polled.frame) for polled in p))
        assert polls[-1].frame.to_dict(as_series=False) == {"m": ["a"]}


def test_a_folder_is_held_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "HOLDER_LEAVES_S", 0.0)
    with (
        running(spec_of(tmp_path, Scripted())),
        pytest.raises(ConnectorError, match="another run holds this folder") as caught,
    ):
        spec_of(tmp_path, Scripted()).open()
    assert not caught.value.retry
    with running(spec_of(tmp_path, Scripted())):
        pass  # it was let go


def test_a_folder_of_another_topic_is_refused(tmp_path: Path) -> None:
    Topic.create(tmp_path, partitions=4).close()
    with pytest.raises(Exception, match="somebody else's"):
        spec_of(tmp_path, Scripted()).open()


def test_a_full_disk_is_worth_another_try_and_loses_nothing_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite is told that its file may not grow; what it says is what it says of a full disk."""
    connect = Store._connect

    def bounded(store: Store, *, creating: bool = False) -> sqlite3.Connection:
        connection = connect(store, creating=creating)
        connection.execute("PRAGMA max_page_count = 40")
        return connection

    within = Scripted()
    monkeypatch.setattr(Store, "_connect", bounded)
    with running(spec_of(tmp_path, within)) as source:
        for n in range(40):
            noise = pl.int_range(5000, eager=True).hash(n).reinterpret(signed=True)
            within.bring(Polled(pl.DataFrame({"n": noise}), n))
        with pytest.raises(ConnectorError) as caught:
            poll_until(source, lambda p: False)
    assert caught.value.retry
    assert "full" in str(caught.value)
    monkeypatch.undo()
    with running(spec_of(tmp_path, Scripted())) as again:
        wanted = 5000 * len(within.acknowledged)
        assert wanted > 0
        assert len(numbers(poll_until(again, lambda p: len(numbers(p)) >= wanted))) == wanted


def test_what_was_read_when_it_closes_is_kept(tmp_path: Path) -> None:
    class Greedy(Scripted):
        """Holds rows it has read already, and gives them after the close, as sockets do."""

        def poll(self, max_rows: int, timeout_s: float) -> Polled:
            if self.closed and not self.arrivals.empty():
                polled = self.arrivals.get_nowait()
                assert isinstance(polled, Polled)
                return polled
            return Polled(rows(), 0)

    within = Greedy()
    with running(spec_of(tmp_path, within)):
        within.bring(Polled(rows(1), 1))
        within.bring(Polled(rows(2), 2))
    with running(spec_of(tmp_path, Scripted())) as again:
        assert numbers(poll_until(again, lambda p: len(numbers(p)) == 2)) == [1, 2]


step = st.one_of(
    st.tuples(st.just("bring"), st.integers(0, 40), st.integers(0, 3)),
    st.tuples(st.just("poll"), st.integers(1, 30), st.just(0)),
    st.tuples(st.just("checkpoint"), st.just(0), st.just(0)),
    st.tuples(st.just("crash"), st.integers(0, 1), st.just(0)),
)


@settings(max_examples=30)
@given(steps=st.lists(step, max_size=25), memory=st.sampled_from([1, 25, 1 << 19]))
def test_any_course_brings_every_row_once_in_order(
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[tuple[str, int, int]],
    memory: int,
) -> None:
    """The oracle: two lists of what was brought, and how far the last checkpoint had come."""
    folder = tmp_path_factory.mktemp("durable")
    patch = pytest.MonkeyPatch()
    patch.setattr("penstock.connectors.durable.backlog._RECENT_ROWS", memory)
    brought: list[int] = []
    refused: list[str] = []
    n_committed, d_committed, n_read, d_read = 0, 0, 0, 0
    committed: Position | None = None
    position: Position | None = None
    within = Scripted()
    source = spec_of(folder, within).open()
    source.seek(None)
    polls = 0
    for kind, size, bad in [*steps, ("end", 0, 0)]:
        if kind == "bring":
            new = list(range(len(brought), len(brought) + size))
            names = [f"d{len(refused) + i}" for i in range(bad)]
            polls += 1
            within.bring(Polled(rows(*new), polls, dead=dead(*names)))
            if new or names:
                until(lambda: within.acknowledged[-1:] == [polls])  # noqa: B023
            brought += new
            refused += names
        elif kind == "checkpoint" and position is not None:
            committed, n_committed, d_committed = position, n_read, d_read
            source.acknowledge(committed)
        elif kind == "crash":
            source.close()
            within = Scripted()
            source = spec_of(folder, within).open()
            source.seek(committed)
            position, n_read, d_read = committed, n_committed, d_committed
        while kind == "end" or kind == "poll":
            polled = source.poll(size or 1000, 0)
            found = letters([polled])
            assert polled.frame["n"].to_list() == brought[n_read : n_read + polled.frame.height]
            assert found == refused[d_read : d_read + len(found)]
            assert polled.frame.height + len(found) <= (size or 1000)
            n_read, d_read = n_read + polled.frame.height, d_read + len(found)
            position = polled.position
            if kind == "poll" or not (polled.frame.height or found):
                break
    source.close()
    patch.undo()
    assert (n_read, d_read) == (len(brought), len(refused))


def test_a_new_checkpoint_goes_on_behind_what_an_earlier_one_covered(tmp_path: Path) -> None:
    """The earlier one was thrown away: it had delivered those rows."""
    within = Scripted()
    with running(spec_of(tmp_path, within)) as source:
        for n in range(3):
            within.bring(Polled(rows(n), n))
            polled = poll_until(source, lambda p: len(numbers(p)) == 1)[-1]
            if n == 1:
                source.acknowledge(polled.position)
                until(lambda: b'"acknowledged":{"0":2' in (source._journal.note() or b""))
    with running(spec_of(tmp_path, Scripted())) as again:
        assert numbers(poll_until(again, lambda p: len(numbers(p)) == 1)) == [2]


@dataclass(frozen=True)
class Copied(DurableSpec):
    """Opens a copy of its folder, so that any number can be open at once."""

    def open(self) -> Source:
        copy = Path(tempfile.mkdtemp(dir=Path(str(self.folder)).parent))
        shutil.copytree(str(self.folder), copy, dirs_exist_ok=True)
        return DurableSpec(self.inner, str(copy)).open()


def test_what_was_kept_is_read_as_the_contract_of_sources_says(tmp_path: Path) -> None:
    within, folder = Scripted(), tmp_path / "kept"
    with running(spec_of(folder, within, bounded=True)):
        for n in range(4):
            within.bring(Polled(rows(*range(10 * n, 10 * n + 10)), n, dead=dead(f"d{n}")))
        within.bring(Polled(rows(), 4, ended=True))
        until(lambda: 4 in within.acknowledged)
    never_opened = ScriptedSpec([], bounded=True)
    check_source(lambda: Copied(never_opened, str(folder)), rows=44, expected=rows(*range(40)))


def test_a_reader_far_behind_costs_little_memory(tmp_path: Path) -> None:
    """Ten thousand appends of a row each: few marks, and not every frame, are kept in memory."""
    kept = journal.Journal(tmp_path, SCHEMA)
    shelf = Shelf(kept, max_bytes=999_999)
    one, alone = frozenset({0}), Mark(0, 0, 0, frozenset(), frozenset())
    shelf.begin(kept.ends(), kept.ends(), alone)
    kept.append(rows(*range(10_000)), None, b"", {}, Durability.OS)
    for n in range(10_000):
        shelf.put(rows(n), None, Mark(0, 0, 100, one, one))
    assert len(shelf._marks) <= 2 * 256
    assert len(shelf._backlogs[Kind.ROWS]._recent) <= 4096
    assert not shelf.wait_for_room(0)
    found: list[int] = []
    while shelf.unread:
        found += [n for frame in shelf.take(Kind.ROWS, 700) for n in frame["n"]]
        shelf.pass_marks()
    assert found == list(range(10_000))
    assert shelf.wait_for_room(0)
    assert not shelf._marks
    kept.close()
