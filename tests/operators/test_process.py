"""Processors against plain Python: state, timers, errors, restarts."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.errors import PlanError
from penstock.lowering.table import lower
from penstock.operators.contract import Operator, Tick
from penstock.processors import BatchProcessor, Processor, State, Timers
from penstock.stream import Stream
from penstock.testing import Epoch, drive, integrate, outputs, scripted

SCHEMA: Any = {"k": pl.String, "ts": pl.Datetime("us"), "v": pl.Int64}
START = datetime(2024, 1, 1, tzinfo=UTC).replace(tzinfo=None)
SECOND = 1_000_000_000


def at(second: int) -> datetime:
    return START + timedelta(seconds=second)


def frame(rows: list[tuple[Any, int, Any]]) -> pl.DataFrame:
    return pl.DataFrame([(k, at(s), v) for k, s, v in rows], schema=SCHEMA, orient="row")


def source() -> Stream:
    return scripted("s", SCHEMA)


def timed() -> Stream:
    return source().with_watermark("ts", max_ahead=None)


def epochs_of(batches: list[list[Any]], *, end: bool = True, now: int = 0) -> list[Epoch]:
    last = len(batches) - 1
    ended = frozenset({"s"})
    return [
        Epoch({"s": frame(b)}, ended if end and i == last else frozenset(), now)
        for i, b in enumerate(batches)
    ]


KEY = st.one_of(st.none(), st.sampled_from(["a", "b", "c"]))
EPOCHS = st.lists(
    st.lists(st.tuples(KEY, st.integers(0, 4), st.integers(-2, 3)), max_size=5),
    min_size=1,
    max_size=6,
).map(lambda batches: _ascending(batches))
RESTARTS = st.sets(st.integers(0, 5))


def _ascending(batches: list[list[Any]]) -> list[list[Any]]:
    """Turn steps of time into times that never go back, so that no row is late."""
    now, found = 0, []
    for batch in batches:
        rows = []
        for k, step, v in batch:
            now += step
            rows.append((k, now, v))
        found.append(rows)
    return found


class Sums(Processor):
    state: ClassVar = {"total": pl.Int64, "rows": pl.Int64}
    output: ClassVar = {"k": pl.String, "total": pl.Int64}

    def process(self, key: Any, rows: Any, state: State, timers: Timers) -> Any:
        """Frees the key whenever its total is zero."""
        assert set(rows["k"]) == {key["k"]}
        state["total"] = state.get("total", 0) + rows["v"].sum()
        state["rows"] = state.get("rows", 0) + rows.height
        total = state["total"]
        if total == 0:
            state.clear()
            assert not state
        return rows.select("k", total=pl.lit(total, pl.Int64)).head(1)


class FastSums(BatchProcessor):
    state: ClassVar = {"total": pl.Int64}
    output: ClassVar = {"k": pl.String, "total": pl.Int64}

    def process(self, rows: Any, state: pl.DataFrame) -> Any:
        fresh = rows.group_by("k").agg(pl.col("v").sum())
        both = state.join(fresh, on="k", nulls_equal=True, maintain_order="left")
        new = both.select("k", total=pl.col("total").fill_null(0) + pl.col("v"))
        return new, new.filter(pl.col("total") != 0)


@pytest.mark.parametrize("processor", [Sums, FastSums, Sums()])
@given(batches=EPOCHS, restarts=RESTARTS)
@settings(max_examples=40)
def test_state_lives_on(processor: Any, batches: list[list[Any]], restarts: set[int]) -> None:
    stream = source().process(processor, by="k")
    totals: dict[Any, int] = defaultdict(int)
    found = outputs(stream, epochs_of(batches), restart_after=restarts)
    for batch, delta in zip(batches, found, strict=True):
        for k, _, v in batch:
            totals[k] += v
        wanted = [(k, totals[k]) for k in dict.fromkeys(k for k, _, _ in batch)]
        assert ([] if delta is None else delta.rows()) == wanted


class EachRow(Processor):
    per_row: ClassVar = True
    state: ClassVar = {"seen": pl.List(pl.Int64)}
    output: ClassVar = {"k": pl.String, "seen": pl.List(pl.Int64)}

    def process(self, key: Any, rows: Any, state: State, timers: Timers) -> Any:
        """Changes the stored list in place, and fails after that for negative values."""
        if state["seen"] is None:
            state["seen"] = []
        state["seen"].append(rows["v"].item())
        if rows["v"].item() < 0:
            raise ValueError("negative")
        return [{"k": key["k"], "seen": list(state["seen"])}]


@given(batches=EPOCHS, restarts=RESTARTS)
@settings(max_examples=40)
def test_per_row_does_not_depend_on_epochs(batches: list[list[Any]], restarts: set[int]) -> None:
    stream = source().process(EachRow, by="k")
    results = list(drive([stream, stream.dead_letters], epochs_of(batches), restart_after=restarts))
    seen: dict[Any, list[int]] = defaultdict(list)
    wanted = []
    for k, _, v in (row for batch in batches for row in batch):
        if v >= 0:
            seen[k].append(v)
            wanted.append((k, list(seen[k])))
    assert [row for good, _ in results if good is not None for row in good.rows()] == wanted
    bad = sum(v < 0 for batch in batches for _, _, v in batch)
    assert sum(dead.height for _, dead in results if dead is not None) == bad


class Visits(Processor):
    """A session ends when its key was quiet for three seconds."""

    state: ClassVar = {"rows": pl.Int64, "due": pl.Datetime("us")}
    output: ClassVar = {"k": pl.String, "rows": pl.Int64, "end": pl.Datetime("us")}

    def process(self, key: Any, rows: Any, state: State, timers: Timers) -> Any:
        if state["due"] is not None:
            timers.cancel(state["due"])
        state["rows"] = state.get("rows", 0) + rows.height
        state["due"] = rows["ts"].max() + timedelta(seconds=3)
        timers.at(state["due"])
        timers.at(state["due"])
        assert timers.pending == [state["due"]]

    def on_timer(self, key: Any, at: datetime, state: State, timers: Timers) -> Any:
        assert at == state["due"]
        rows = state["rows"]
        state.clear()
        return {"k": key["k"], "rows": rows, "end": at}


@given(batches=EPOCHS, restarts=RESTARTS)
@settings(max_examples=60)
def test_event_timers(batches: list[list[Any]], restarts: set[int]) -> None:
    """The oracle: rows of the epoch first, then what the watermark has reached, by time and key."""
    stream = timed().process(Visits, by="k")
    found = outputs(stream, epochs_of(batches, end=True), restart_after=restarts)
    open_: dict[Any, list[int]] = {}
    latest = -1
    for number, (batch, delta) in enumerate(zip(batches, found, strict=True)):
        for k, second, _ in batch:
            rows = open_.get(k, [0, 0])[0]
            open_[k] = [rows + 1, second + 3]
            latest = max(latest, second)
        limit = 10**6 if number == len(batches) - 1 else latest
        due = sorted((end, k or "", k) for k, (_, end) in open_.items() if end <= limit)
        wanted = [(k, open_.pop(k)[0], at(end)) for end, _, k in due]
        assert ([] if delta is None else delta.rows()) == wanted


class Heartbeat(Processor):
    """Sets itself again, in event time, every two seconds."""

    output: ClassVar = {"k": pl.String, "at": pl.Datetime("us")}

    def process(self, key: Any, rows: Any, state: State, timers: Timers) -> None:
        timers.at(rows["ts"].min() + timedelta(seconds=2))

    def on_timer(self, key: Any, at: datetime, state: State, timers: Timers) -> Any:
        timers.at(at + timedelta(seconds=2))
        timers.at(at)
        return [{"k": key["k"], "at": at}]


def test_timers_that_set_themselves_again() -> None:
    """They fire in order of time among all keys, and come to an end with the input."""
    stream = timed().process(Heartbeat, by="k")
    batches = [[("b", 0, 0), ("a", 1, 0)], [("c", 5, 0)]]
    first, second = outputs(stream, [*epochs_of(batches, end=False)])
    assert first is None
    assert second is not None
    assert [(k, (t - START).seconds) for k, t in second.rows()] == [
        ("b", 2),
        ("a", 3),
        ("b", 4),
        ("a", 5),
    ]
    ended = outputs(stream, epochs_of(batches))
    assert ended[1] is not None
    assert Counter(k for k, _ in ended[1].rows()) == {"a": 1, "b": 1, "c": 1}


class Alarm(Processor):
    """Emits a key a while after its last row, by the clock; v < 0 cancels."""

    state: ClassVar = {"alarm": pl.Datetime("us", "UTC")}
    output: ClassVar = {"k": pl.String, "at": pl.Datetime("us", "UTC")}

    def process(self, key: Any, rows: Any, state: State, timers: Timers) -> None:
        if state["alarm"] is not None:
            timers.cancel(state["alarm"])
            state.clear()
        if rows["v"].min() >= 0:
            state["alarm"] = timers.after("5s")

    def on_timer(self, key: Any, at: datetime, state: State, timers: Timers) -> Any:
        assert state["alarm"] == at
        assert timers.now >= at
        state.clear()
        return {"k": key["k"], "at": at}


@given(
    plan=st.lists(
        st.tuples(
            st.integers(0, 4), st.lists(st.tuples(KEY, st.just(0), st.integers(-1, 3)), max_size=3)
        ),
        min_size=1,
        max_size=8,
    ),
    restarts=st.sets(st.integers(0, 7)),
)
@settings(max_examples=60)
def test_processing_timers(plan: list[Any], restarts: set[int]) -> None:
    stream = source().process(Alarm, by="k")
    epochs, now = [], 0
    for wait, rows in plan:
        now += wait
        epochs.append(Epoch({"s": frame(rows)} if rows else {}, frozenset(), now * SECOND))
    found = outputs(stream, epochs, restart_after=restarts)
    alarms: dict[Any, int] = {}
    for epoch, (_, rows), delta in zip(epochs, plan, found, strict=True):
        for k in dict.fromkeys(k for k, _, _ in rows):
            alarms.pop(k, None)
            if min(v for other, _, v in rows if other == k) >= 0:
                alarms[k] = epoch.now + 5 * SECOND
        due = sorted((t, k or "", k) for k, t in alarms.items() if t <= epoch.now)
        wanted = [(k, datetime.fromtimestamp(alarms.pop(k) / SECOND, UTC)) for t, _, k in due]
        assert ([] if delta is None else delta.rows()) == wanted


class Careful(Processor):
    """Fails on v < 0, after it has changed state and timers."""

    state: ClassVar = {"total": pl.Int64}
    output: ClassVar = {"k": pl.String, "total": pl.Int64}

    def process(self, key: Any, rows: Any, state: State, timers: Timers) -> Any:
        state["total"] = state.get("total", 0) + rows["v"].sum()
        timers.at(at(1000) if rows["v"].min() >= 0 else at(500))
        if rows["v"].min() < 0:
            raise ValueError(f"negative in {key['k']}\nsecond line")
        return {"k": key["k"], "total": state["total"]}

    def on_timer(self, key: Any, at: datetime, state: State, timers: Timers) -> Any:
        assert (at - START).seconds == 1000
        total = state["total"]
        state.clear()
        if total == 13:
            raise RuntimeError("thirteen")
        return {"k": key["k"], "total": -total}


class FastCareful(BatchProcessor):
    state: ClassVar = {"total": pl.Int64}
    output: ClassVar = {"k": pl.String, "total": pl.Int64}

    def process(self, rows: Any, state: pl.DataFrame) -> Any:
        if (rows["v"] < 0).any():
            raise ValueError("negative")
        return FastSums().process(rows, state)


def test_errors_leave_the_state_as_it_was() -> None:
    stream = timed().process(Careful, by="k")
    batches = [[("a", 0, 8), ("b", 0, 2)], [("a", 1, 5), ("b", 1, 1), ("a", 1, -1)], [("b", 2, 1)]]
    results = list(drive([stream, stream.dead_letters], epochs_of(batches), restart_after={1}))
    good = [None if g is None else g.rows() for g, _ in results]
    assert good == [[("a", 8), ("b", 2)], [("a", 13), ("b", 3)], [("b", 4), ("b", -4)]]
    dead = pl.concat([d for _, d in results if d is not None])
    assert dead["step"].to_list() == ["Careful"] * 2
    assert dead["reason"].to_list() == ["negative in a", "thirteen"]
    assert b'"v":-1' in dead["bytes"][0]
    assert b'"timer":"2024-01-01T00:16:40' in dead["bytes"][1]


def test_batch_errors_are_pinned_to_rows() -> None:
    stream = source().process(FastCareful, by="k")
    batches = [
        [("a", 0, 1), ("b", 0, 2), ("c", 0, 3)],
        [("a", 1, 5), ("b", 1, -1), ("b", 1, 4), ("d", 1, -1)],
    ]
    results = list(drive([stream, stream.dead_letters], epochs_of([*batches, [("b", 2, 1)]])))
    assert [sorted(g.rows()) for g, _ in results if g is not None] == [
        [("a", 1), ("b", 2), ("c", 3)],
        [("a", 6), ("b", 6)],
        [("b", 7)],
    ]
    assert [d.height for _, d in results if d is not None] == [2]


class Balance(Processor):
    changes: ClassVar = True
    state: ClassVar = {"total": pl.Int64}
    output: ClassVar = {"k": pl.String, "total": pl.Int64}

    def process(self, key: Any, rows: Any, state: State, timers: Timers) -> Any:
        state["total"] = state.get("total", 0) + (rows["v"] * rows["_weight"]).sum()
        return {"k": key["k"], "total": state["total"]}


def test_changes_are_taken_by_those_who_ask() -> None:
    maxima = source().group_by("k").agg(v=pl.col("v").max())
    with pytest.raises(PlanError, match="changes = True"):
        maxima.process(Sums, by="k")
    stream = maxima.process(Balance, by="k")
    assert not stream.is_changelog
    found = outputs(stream, epochs_of([[("a", 0, 1)], [("a", 0, 3)]]))
    assert [f.rows() for f in found if f is not None] == [[("a", 1)], [("a", 3)]]


class Wrong(Processor):
    state: ClassVar = {"n": pl.Int64}
    output: ClassVar = {"n": pl.Int64}

    def __init__(self, code: Any) -> None:
        self.code = code

    def process(self, key: Any, rows: Any, state: State, timers: Timers) -> Any:
        return self.code(state, timers)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (lambda s, t: s.update({"n": "x"}), "column 'n' is declared Int64, got str 'x'"),
        (lambda s, t: s.update({"n": 2**63}), "column 'n' is declared Int64, got int"),
        (lambda s, t: s.update({"n": True}), "column 'n' is declared Int64, got bool"),
        (lambda s, t: {"n": "x"}, "column 'n' is declared Int64, got str 'x'"),
        (lambda s, t: {"m": 1}, "column 'm' is not declared"),
        (lambda s, t: 7, "the function returned int"),
        (lambda s, t: t.at(5), "timers.at() takes a datetime, not int"),
    ],
)
def test_values_are_held_to_the_declaration(code: Any, reason: str) -> None:
    stream = timed().process(Wrong(code), by="k")
    results = list(drive([stream, stream.dead_letters], epochs_of([[("a", 0, 1)]])))
    good, dead = results[0]
    assert good is None
    assert dead is not None
    assert reason in dead["reason"].item()


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (lambda s, t: s["m"], "state has no column 'm'"),
        (lambda s, t: t.at(START), "needs a watermark"),
        (lambda s, t: pl.DataFrame({"n": ["x"]}), "declared Int64, the function returned String"),
    ],
)
def test_mistakes_of_the_class_stop_the_query(code: Any, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        outputs(source().process(Wrong(code), by="k"), epochs_of([[("a", 0, 1)]]))


def test_a_state_for_a_key_without_rows_is_refused() -> None:
    class Elsewhere(FastSums):
        def process(self, rows: Any, state: pl.DataFrame) -> Any:
            return rows.select("k", total="v"), state.with_columns(k=pl.lit("z"))

    with pytest.raises(PlanError, match="a key twice, or one that has no rows"):
        outputs(source().process(Elsewhere, by="k"), epochs_of([[("a", 0, 1)]]))


class NoOutput(Processor):
    pass


class KeyAsState(Sums):
    state: ClassVar = {"k": pl.Int64}


def test_declarations_are_checked() -> None:
    with pytest.raises(PlanError, match="NoOutput declares no output"):
        source().process(NoOutput, by="k")
    with pytest.raises(PlanError, match="state column 'k' of KeyAsState is a key"):
        source().process(KeyAsState, by="k")
    with pytest.raises(PlanError, match="not a processor"):
        source().process(dict, by="k")  # type: ignore[arg-type]


def test_ttl_frees_what_is_not_touched() -> None:
    stream = timed().process(Sums, by="k", ttl="10s")
    batches = [[("a", 0, 1)], [("b", 8, 1)], [("b", 30, 1)], [("a", 31, 1)]]
    found = outputs(stream, epochs_of(batches), restart_after={1})
    assert [f.rows() for f in found if f is not None] == [
        [("a", 1)],
        [("b", 1)],
        [("b", 2)],
        [("a", 1)],
    ]


def test_zones_are_kept() -> None:
    zoned: Any = {"k": pl.String, "ts": pl.Datetime("ms", "Europe/Paris")}
    fired: list[datetime] = []

    class Zoned(Processor):
        output: ClassVar = {"k": pl.String}

        def process(self, key: Any, rows: Any, state: State, timers: Timers) -> None:
            timers.at(rows["ts"].max() + timedelta(seconds=1))

        def on_timer(self, key: Any, at: datetime, state: State, timers: Timers) -> None:
            fired.append(at)

    stream = scripted("s", zoned).with_watermark("ts", max_ahead=None).process(Zoned, by="k")
    rows = pl.DataFrame({"k": ["a"], "ts": [datetime(2024, 7, 1, tzinfo=UTC)]})
    rows = rows.with_columns(pl.col("ts").dt.convert_time_zone("Europe/Paris")).cast(zoned)
    outputs(stream, [Epoch({"s": rows}, frozenset({"s"}))])
    assert [f.isoformat() for f in fired] == ["2024-07-01T02:00:01+02:00"]


def test_an_object_keeps_its_settings() -> None:
    class Times(Sums):
        def __init__(self, factor: int) -> None:
            self.factor = factor
            self.opened = 0

        def open(self) -> None:
            self.opened += 1

        def process(self, key: Any, rows: Any, state: State, timers: Timers) -> Any:
            return {"k": key["k"], "total": self.factor * rows["v"].sum()}

    times = Times(3)
    stream = source().process(times, by="k")
    found = outputs(stream, epochs_of([[("a", 0, 2)], [("a", 0, 3)]]))
    assert integrate(stream, found)["total"].to_list() == [6, 9]
    assert times.opened == 1


def test_the_next_timer_is_the_deadline() -> None:
    """What the runtime waits for: the earliest processing-time timer, also after a restart."""

    def operator() -> Operator:
        stream = source().process(Alarm, by="k")
        found = lower([stream.node]).vertices[-1].operator
        assert found is not None
        return found

    alarm = operator()
    assert alarm.deadline() is None
    for now, rows in ((1, [("a", 0, 0), ("b", 0, 0)]), (3, [("a", 0, -1), ("c", 0, 0)])):
        alarm.step([frame(rows)], Tick(now, now * SECOND, (0,)))
    assert (alarm.deadline() or 0) <= 6 * SECOND
    fired = alarm.step([None], Tick(4, 6 * SECOND, (0,)))
    assert fired is not None
    assert fired["k"].to_list() == ["b"]
    again = operator()
    for name, primitive in alarm.state.items():
        again.state[name].load([primitive.full()])
    assert alarm.deadline() == again.deadline() == 8 * SECOND
    assert again.step([None], Tick(5, 8 * SECOND, (0,))) is not None
    assert again.deadline() is None
    assert all(not len(primitive) for primitive in again.state.values())


def test_values_are_kept_as_the_column_gives_them_back() -> None:
    """Each alone fits its column; together they would not make one."""

    class Mixed(Processor):
        state: ClassVar = {"at": pl.Datetime("us"), "part": pl.Float64}
        output: ClassVar = {"at": pl.Datetime("us"), "part": pl.Float64}

        def process(self, key: Any, rows: Any, state: State, timers: Timers) -> Any:
            odd = rows["v"].item() % 2 == 1
            state.update({"at": START.date() if odd else START, "part": 1 if odd else 0.5})
            return {"at": START if odd else START.date(), "part": state["part"]}

    stream = source().process(Mixed, by="k")
    found = outputs(stream, epochs_of([[("a", 0, 1), ("b", 0, 2)]]))
    assert found[0] is not None
    assert found[0].rows() == [(START, 1.0), (START, 0.5)]
