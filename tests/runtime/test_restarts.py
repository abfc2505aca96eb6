"""A query that fails is started again where that can be right, and stops where it cannot."""

from __future__ import annotations

import errno
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest

import penstock as ps
from penstock.checkpoints import store
from penstock.connectors.sqlite.config import SqliteSinkSpec
from penstock.errors import (
    CheckpointError,
    ConfigError,
    ConnectorError,
    FencedError,
    PlanError,
    QueryFailed,
)
from penstock.failures import may_pass
from penstock.testing.clock import ManualClock

from .failing import FailingSinkSpec, Script

LIMIT = 60.0
FAST = ps.Restart(initial_backoff="1ms", max_backoff="2ms")
NEVER_SOON = ps.Restart(initial_backoff="1h", max_backoff="1h")


def away() -> ConnectorError:
    return ConnectorError("the database is away", retry=True, line="")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.csv"
    path.write_text("n\n" + "".join(f"{n}\n" for n in range(100)))
    return path


def query(source: Path, folder: Path, script: Script) -> ps.Query:
    rows = ps.scan_csv(source, schema={"n": pl.Int64}, epoch_rows=10)
    return rows.sink(FailingSinkSpec(SqliteSinkSpec(folder / "out.db", "t"), script))


def written(folder: Path) -> list[int]:
    connection = sqlite3.connect(folder / "out.db")
    rows = connection.execute("select n from t order by n").fetchall()
    connection.close()
    return [n for (n,) in rows]


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_run_goes_on_from_its_checkpoint_after_failures_that_pass(
    source: Path, tmp_path: Path
) -> None:
    script = Script(
        ("before", away()),
        ("begin", away()),
        ("after", OSError(errno.ENOSPC, "No space left on device")),
        ("before", away()),
    )
    running = query(source, tmp_path, script).start(
        checkpoint=tmp_path / "checkpoint", checkpoint_interval=0, restart=FAST
    )
    assert running.wait(LIMIT)
    assert written(tmp_path) == list(range(100))
    progress = running.progress()
    assert (progress.state, progress.restarts) == ("finished", 4)
    assert progress.last_error == "the database is away"
    assert script.calls.count("begin") == 5


@pytest.mark.parametrize(
    "error",
    [
        ConnectorError("no such column"),
        FencedError("taken over", retry=True),
        OSError(errno.EACCES, "Permission denied"),
        ValueError("a mistake"),
    ],
)
def test_any_other_failure_ends_the_query_at_once(
    source: Path, tmp_path: Path, error: Exception
) -> None:
    script = Script(("before", error))
    running = query(source, tmp_path, script).start(checkpoint=tmp_path / "checkpoint")
    with pytest.raises(QueryFailed) as caught:
        running.wait(LIMIT)
    cause = caught.value.__cause__
    assert cause is not None
    assert error in (cause, cause.__cause__)
    assert running.progress().state == "failed"
    assert running.progress().restarts == 0
    assert "not restarted" not in str(caught.value)


def test_attempts_in_a_row_are_limited(source: Path, tmp_path: Path) -> None:
    script = Script(*[("begin", away())] * 10)
    running = query(source, tmp_path, script).start(
        checkpoint=tmp_path / "checkpoint",
        restart=ps.Restart(attempts=3, initial_backoff="1ms"),
    )
    with pytest.raises(QueryFailed, match="not restarted: it was restarted 3 times already"):
        running.wait(LIMIT)
    assert script.calls == ["begin"] * 4
    assert running.progress().restarts == 3


def test_a_long_good_run_counts_as_recovered(source: Path, tmp_path: Path) -> None:
    clock = ManualClock()
    script = Script(*[("before", away())] * 4)

    class Lasting(Script):
        def __call__(self, step: str) -> None:
            if step == "before":
                clock.advance(601)
            script(step)

    running = query(source, tmp_path, Lasting()).start(
        checkpoint=tmp_path / "checkpoint",
        restart=ps.Restart(attempts=1, initial_backoff="1ms"),
        clock=clock,
    )
    assert running.wait(LIMIT)
    assert written(tmp_path) == list(range(100))
    assert running.progress().restarts == 4


def test_stop_ends_the_wait_for_a_restart_at_once(source: Path, tmp_path: Path) -> None:
    script = Script(("before", away()))
    running = query(source, tmp_path, script).start(
        checkpoint=tmp_path / "checkpoint", restart=NEVER_SOON
    )
    until(lambda: running.progress().state == "restarting")
    assert running.progress().last_error == "the database is away"
    running.stop()
    assert running.progress().state == "stopped"
    assert running.start(checkpoint=tmp_path / "checkpoint").wait(LIMIT)
    assert written(tmp_path) == list(range(100))


def test_without_a_checkpoint_nothing_is_restarted_by_itself(source: Path, tmp_path: Path) -> None:
    with pytest.raises(QueryFailed):
        query(source, tmp_path, Script(("begin", away()))).start().wait(LIMIT)


def test_without_a_checkpoint_a_start_that_failed_may_be_repeated(
    source: Path, tmp_path: Path
) -> None:
    script = Script(("begin", away()), ("begin", away()))
    running = query(source, tmp_path, script).start(restart=FAST)
    assert running.wait(LIMIT)
    assert written(tmp_path) == list(range(100))
    assert running.progress().restarts == 2


def test_without_a_checkpoint_nothing_is_written_twice(source: Path, tmp_path: Path) -> None:
    running = query(source, tmp_path, Script(("after", away()))).start(restart=FAST)
    with pytest.raises(QueryFailed, match="not restarted: without a checkpoint"):
        running.wait(LIMIT)
    assert running.progress().restarts == 0


@pytest.mark.parametrize("kept", ["memory://restarts-{}", "{}/checkpoint"])
def test_a_restart_does_not_push_aside_a_run_that_has_taken_over(
    source: Path, tmp_path: Path, kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "LET_GO_S", 0.0)  # the first one waits for the second within a sink
    checkpoint = kept.format(tmp_path)

    class Overtaken(Script):
        def __call__(self, step: str) -> None:
            if step == "before" and "before" not in self.calls:
                second = query(source, tmp_path, Script())
                assert second.start(checkpoint=checkpoint, takeover=True).wait(LIMIT)
                super().__call__(step)
                raise away()
            super().__call__(step)

    script = Overtaken()
    first = query(source, tmp_path, script).start(checkpoint=checkpoint, restart=FAST)
    with pytest.raises(QueryFailed) as caught:
        first.wait(LIMIT)
    assert isinstance(caught.value.__cause__, FencedError)
    assert script.calls == ["begin", "before"]
    assert written(tmp_path) == list(range(100))


def test_a_run_that_took_over_may_be_restarted(source: Path, tmp_path: Path) -> None:
    script = Script(("before", away()), ("before", away()))
    running = query(source, tmp_path, script).start(
        checkpoint=tmp_path / "checkpoint", takeover=True, restart=FAST
    )
    assert running.wait(LIMIT)
    assert running.progress().restarts == 2
    assert written(tmp_path) == list(range(100))


def test_restart_none_is_never(source: Path, tmp_path: Path) -> None:
    script = Script(("begin", away()))
    running = query(source, tmp_path, script)
    with pytest.raises(QueryFailed, match="the database is away"):
        running.start(checkpoint=tmp_path / "checkpoint", restart=None).wait(LIMIT)
    assert script.calls == ["begin"]


def test_an_iterator_cannot_be_opened_again(tmp_path: Path) -> None:
    def frames() -> Iterator[pl.DataFrame]:
        yield pl.DataFrame({"n": [1]})
        yield pl.DataFrame({"n": [2]})

    spec = FailingSinkSpec(SqliteSinkSpec(tmp_path / "out.db", "t"), Script(("before", away())))
    running = ps.scan_batches(frames(), {"n": pl.Int64}).sink(spec)
    with pytest.raises(QueryFailed, match="an iterator, which can be read only once"):
        running.start(checkpoint=tmp_path / "checkpoint", restart=FAST).wait(LIMIT)


def test_drain_asked_for_while_it_waits_holds_after_the_restart(
    tmp_path: Path,
) -> None:
    log = tmp_path / "in.ndjson"
    log.write_text("".join(f'{{"n": {n}}}\n' for n in range(100)))
    rows = ps.scan_tail(log, "json", schema={"n": pl.Int64()}, start="beginning")
    script = Script(("before", away()))
    running = rows.sink(FailingSinkSpec(SqliteSinkSpec(tmp_path / "out.db", "t"), script)).start(
        checkpoint=tmp_path / "checkpoint",
        checkpoint_interval=0,
        restart=ps.Restart(initial_backoff="100ms"),
    )
    until(lambda: running.progress().last_error is not None)
    assert running.drain(LIMIT)
    assert written(tmp_path) == list(range(100))


def test_the_waits_grow_to_a_limit_and_are_unequal() -> None:
    policy = ps.Restart(initial_backoff="1s", max_backoff="1m", jitter=0.25)
    assert policy.waits() == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]
    assert policy.wait_s(5000) == 60
    drawn = {policy.jittered_s(3) for _ in range(200)}
    assert len(drawn) > 100
    assert 3 <= min(drawn) < 3.5
    assert 4.5 < max(drawn) <= 5


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"attempts": 0}, "attempts"),
        ({"attempts": True}, "attempts"),
        ({"multiplier": 0.5}, "multiplier"),
        ({"jitter": 1}, "jitter"),
        ({"initial_backoff": "2m"}, "max_backoff"),
        ({"reset_after": "soon"}, "reset_after"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], says: str) -> None:
    with pytest.raises((PlanError, ConfigError), match=says):
        ps.Restart(**options)  # type: ignore[arg-type]


def test_something_else_than_a_restart_is_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"ps\.Restart"):
        query(source, tmp_path, Script()).start(restart=5)  # type: ignore[arg-type]


def raised(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (raised(CheckpointError("cannot write"), OSError(errno.ENOSPC, "full")), True),
        (raised(CheckpointError("cannot write"), OSError(errno.EIO, "I/O error")), True),
        (raised(CheckpointError("cannot write"), OSError(errno.EROFS, "read-only")), False),
        (raised(CheckpointError("held"), BlockingIOError(errno.EAGAIN, "locked")), False),
        (raised(ConnectorError("wrong"), away()), True),
        (raised(FencedError("taken over"), away()), False),
        (OSError("No space left on device (os error 28)"), True),
        (pl.exceptions.ComputeError("parquet: ... (os error 28)"), True),
        (pl.exceptions.ComputeError("parquet: ... (os error 13)"), False),
        (TimeoutError(), True),
        (ConnectionError("the object store answers 503"), True),
        (ConnectionResetError(errno.ECONNRESET, "reset"), True),
        (FileNotFoundError(errno.ENOENT, "gone"), False),
        (KeyboardInterrupt(), False),
    ],
)
def test_which_failures_pass(error: BaseException, passes: bool) -> None:
    assert may_pass(error) is passes
