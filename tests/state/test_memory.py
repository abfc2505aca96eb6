from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from penstock.errors import StateLimitError
from penstock.state import memory
from penstock.state.memory import MemoryBudget
from penstock.state.rows import RowStore
from penstock.state.table import KeyedTable

KEYS = pl.Schema({"k": pl.Int64, "name": pl.String})
VALUES = pl.Schema({"total": pl.Float64, "text": pl.String, "many": pl.List(pl.Int64)})
MIB = 1 << 20


def keys(numbers: np.ndarray) -> pl.DataFrame:
    return pl.DataFrame({"k": numbers}).with_columns(name="the key " + pl.col("k").cast(pl.String))


def values(numbers: np.ndarray, turn: int) -> pl.DataFrame:
    return pl.DataFrame({"total": numbers + turn / 2}).with_columns(
        text="a text of some length, number " + pl.col("total").cast(pl.String),
        many=pl.concat_list(pl.col("total").cast(pl.Int64), pl.lit(turn, pl.Int64)),
    )


def different(rows: int) -> pl.DataFrame:
    """Texts that do not repeat, so that they are kept as texts."""
    return pl.DataFrame({"s": [f"a long enough text {n}" for n in range(rows)]})


def test_a_table_of_three_times_the_budget_stays_correct_and_within_it(tmp_path: Path) -> None:
    budget = MemoryBudget(7 * MIB, tmp_path)
    table = KeyedTable(KEYS, VALUES, budget=budget)
    count, rng = 160_000, np.random.default_rng(2)
    turns = np.zeros(count, np.int64)
    for begin in range(0, count, 10_000):
        numbers = np.arange(begin, begin + 10_000)
        table.set(table.assign(keys(numbers)), values(numbers, 0))
        assert budget.used <= 7 * MIB
    assert table.nbytes > 21 * MIB
    for turn in range(1, 12):
        numbers = rng.choice(count, 20_000 if turn % 2 else 10, replace=False)
        slots = table.lookup(keys(numbers))
        got = table.get(slots)
        for each in np.unique(turns[numbers]).tolist():
            same = turns[numbers] == each
            assert got.filter(same).equals(values(numbers[same], each))
        table.set(slots, values(numbers, turn))
        turns[numbers] = turn
        assert budget.used <= 7 * MIB
    gone = rng.choice(count, 100_000, replace=False)
    table.delete(table.lookup(keys(gone)))
    rest = np.setdiff1d(np.arange(count), gone)
    assert (table.lookup(keys(gone)) == -1).all()
    assert table.get(table.lookup(keys(rest))).get_column("total").to_list() == (
        (rest + turns[rest] / 2).tolist()
    )
    assert budget.used <= 7 * MIB
    budget.close()
    assert list(tmp_path.iterdir()) == []


def test_a_row_store_of_three_times_the_budget(tmp_path: Path) -> None:
    budget = MemoryBudget(4 * MIB, tmp_path)
    store = RowStore(pl.Schema({"t": pl.Int64, "s": pl.String}), budget=budget)
    count = 200_000
    for begin in range(0, count, 10_000):
        times = np.arange(begin, begin + 10_000)
        frame = pl.DataFrame({"t": times}).with_columns(s=pl.format("text of the row {}", "t"))
        store.append(times % 1000, frame)
        assert budget.used <= 4 * MIB
    positions, frame = store.lookup(np.array([7, 3]))
    expected = [*range(7, count, 1000), *range(3, count, 1000)]
    assert positions.tolist() == [0] * 200 + [1] * 200
    assert frame.get_column("t").to_list() == expected
    assert frame.get_column("s").to_list() == [f"text of the row {n}" for n in expected]
    slots, frame = store.expire("t", 150_000)
    assert (slots == np.arange(150_000) % 1000).all()
    store.append(np.array([3]), pl.DataFrame({"t": [count], "s": ["last"]}))
    assert store.must_rewrite
    assert store.lookup(np.array([3]))[1].get_column("t").to_list() == [
        *range(150_003, count, 1000),
        count,
    ]
    assert budget.used <= 4 * MIB
    copy = RowStore(store.schema, budget=budget)
    copy.load([store.delta()])
    assert copy.lookup(np.array([3]))[1].equals(store.lookup(np.array([3]))[1])


def test_scratch_of_dead_stores_and_runs_is_deleted(tmp_path: Path) -> None:
    stale = tmp_path / "scratch-old"
    stale.mkdir()
    (stale / "1.arrow").write_bytes(b"left behind")
    (tmp_path / "not ours").write_text("stays")
    budget = MemoryBudget(MIB, tmp_path)
    assert not stale.exists()
    store = RowStore(pl.Schema({"s": pl.String}), budget=budget)
    store.append(np.zeros(100_000, np.int64), different(100_000))
    assert list(budget.scratch.glob("*.arrow"))
    del store
    assert list(budget.scratch.iterdir()) == []
    budget.close()
    assert [path.name for path in tmp_path.iterdir()] == ["not ours"]


def test_scratch_of_a_run_that_is_alive_stays(tmp_path: Path) -> None:
    """A second run on the same folder, which is then refused, must not harm the first."""
    first = MemoryBudget(MIB, tmp_path)
    path = first.new_path()
    path.write_bytes(b"in use")
    second = MemoryBudget(MIB, tmp_path)
    assert path.read_bytes() == b"in use"
    assert second.scratch != first.scratch
    first.close()
    second.close()


def test_without_a_limit_nothing_goes_to_disk(tmp_path: Path) -> None:
    budget = MemoryBudget(None, tmp_path)
    store = RowStore(pl.Schema({"s": pl.String}), budget=budget)
    store.append(np.zeros(100_000, np.int64), different(100_000))
    assert list(tmp_path.iterdir()) == []
    assert budget.used > MIB


def test_a_full_disk_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(memory.os, "posix_fallocate", full, raising=False)
    store = RowStore(pl.Schema({"t": pl.Int64}), budget=MemoryBudget(MIB // 8, tmp_path))
    with pytest.raises(StateLimitError, match="no room to move state to disk"):
        store.append(np.zeros(100_000, np.int64), pl.DataFrame({"t": np.arange(100_000)}))


RSS = """
import sys
from pathlib import Path
import numpy as np
import polars as pl
from penstock.state.memory import MemoryBudget
from penstock.state.table import KeyedTable

def anonymous():
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) // 1024

table = KeyedTable(
    pl.Schema({"k": pl.Int64}),
    pl.Schema({"a": pl.Float64, "b": pl.Int64, "s": pl.String}),
    budget=MemoryBudget(64 << 20, Path(sys.argv[1])),
)
before = None
for begin in range(0, 5_000_000, 50_000):
    numbers = np.arange(begin, begin + 50_000)
    frame = pl.DataFrame({"a": numbers / 2, "b": numbers})
    frame = frame.with_columns(s=pl.format("a text for {}", "b"))
    before = before or anonymous()
    table.set(table.assign(pl.DataFrame({"k": numbers})), frame)
print(anonymous() - before, table.nbytes >> 20)
"""

RETAINED = """
import sys
from pathlib import Path
import numpy as np
import polars as pl
from penstock.state.columns import ColumnStore

def anonymous():
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) // 1024

schema = pl.Schema({"s": pl.String, "l": pl.List(pl.String)})
stores = [ColumnStore(schema) for _ in range(40)]
for turn in range(40):
    batch = pl.DataFrame({"i": np.arange(100_000)})
    batch = batch.select(s=pl.format("a text longer than {}", "i"))
    if turn == 3:
        before = anonymous()
    rows = batch[turn * 10 : turn * 10 + 10].with_columns(l=pl.concat_list("s"))
    stores[turn].set(np.arange(10), rows)
print(anonymous() - before)
"""


def in_a_process_of_its_own(script: str, folder: Path) -> list[int]:
    command = [sys.executable, "-c", script, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return [int(number) for number in done.stdout.split()]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_a_few_rows_do_not_keep_the_batch_they_came_with(tmp_path: Path) -> None:
    (grown,) = in_a_process_of_its_own(RETAINED, tmp_path)
    assert grown < 40  # 37 batches of 3 MB would be 100


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_the_process_itself_stays_near_the_limit(tmp_path: Path) -> None:
    grown, held = in_a_process_of_its_own(RSS, tmp_path)
    assert held > 280
    assert grown < 230  # the limit is 64; the rest is what the allocator keeps
