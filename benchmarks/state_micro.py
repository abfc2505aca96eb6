"""Time the state primitives: microseconds per call for tiny and large batches on large state.

python benchmarks/state_micro.py [--quick]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np
import polars as pl

from penstock.state.rows import RowStore
from penstock.state.table import KeyedTable

BATCH = 65_536
VALUES = pl.Schema({"total": pl.Int64, "mean": pl.Float64, "count": pl.UInt32})


def median_us(call: Callable[[int], object], repeats: int) -> float:
    """Return the median time of ``call(0), call(1), ...`` in microseconds."""
    times = []
    for turn in range(repeats):
        begin = time.perf_counter()
        call(turn)
        times.append(time.perf_counter() - begin)
    return float(np.median(times)) * 1e6


def ints(numbers: np.ndarray) -> pl.DataFrame:
    scrambled = numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return pl.DataFrame({"key": scrambled.view(np.int64)})


def strings(numbers: np.ndarray) -> pl.DataFrame:
    return pl.DataFrame({"key": numbers}).select(key="customer-" + pl.col("key").cast(pl.String))


def values(height: int) -> pl.DataFrame:
    return pl.DataFrame(
        {"total": np.arange(height), "mean": np.ones(height), "count": np.ones(height, np.uint32)}
    )


def keyed(name: str, make: Callable[[np.ndarray], pl.DataFrame], count: int) -> None:
    rng = np.random.default_rng(7)
    schema = make(np.arange(1)).schema
    table = KeyedTable(schema, VALUES)
    worst = 0.0
    for begin in range(0, count, BATCH):
        numbers = np.arange(begin, min(count, begin + BATCH))
        keys, frame = make(numbers), values(len(numbers))
        start = time.perf_counter()
        table.set(table.assign(keys), frame)
        worst = max(worst, time.perf_counter() - start)
    print(f"{name}: filled, slowest batch {worst * 1e3:.0f} ms, {table.nbytes / count:.0f} B/key")
    for size, repeats in ((10, 300), (BATCH, 20)):
        frame = values(size)
        known = [make(rng.integers(0, count, size)) for _ in range(repeats)]
        fresh = [
            make(np.arange(count + size * turn, count + size * (turn + 1)))
            for turn in range(repeats)
        ]
        slots = [table.lookup(keys) for keys in known]
        count += size * repeats

        def cycle(
            turn: int, known: list[pl.DataFrame] = known, frame: pl.DataFrame = frame
        ) -> None:
            found = table.lookup(known[turn])
            table.get(found)
            table.set(found, frame)

        rows = {
            "lookup": lambda turn, known=known: table.lookup(known[turn]),
            "get": lambda turn, slots=slots: table.get(slots[turn]),
            "set": lambda turn, slots=slots, frame=frame: table.set(slots[turn], frame),
            "lookup+get+set": cycle,
            "assign new": lambda turn, fresh=fresh: table.assign(fresh[turn]),
            "assign known": lambda turn, known=known: table.assign(known[turn]),
        }
        for label, call in rows.items():
            print(f"  {size:6d} rows  {label:16s} {median_us(call, repeats):10.1f} us")


def many_rows(count: int) -> None:
    rng = np.random.default_rng(7)
    store = RowStore(pl.Schema({"time": pl.Int64, "name": pl.String}))
    slots_high = count // 4
    worst = 0.0

    def frame(begin: int, size: int) -> pl.DataFrame:
        return pl.DataFrame({"time": np.arange(begin, begin + size), "name": ["some name"] * size})

    for begin in range(0, count, BATCH):
        rows, slots = frame(begin, BATCH), rng.integers(0, slots_high, BATCH)
        start = time.perf_counter()
        store.append(slots, rows)
        worst = max(worst, time.perf_counter() - start)
    print(
        f"RowStore of {count} rows: slowest batch {worst * 1e3:.0f} ms, "
        f"{store.nbytes / count:.0f} B/row"
    )
    end, oldest = count, 0

    def expired(size: int) -> int:
        nonlocal oldest
        oldest += size
        return oldest

    for size, repeats in ((10, 300), (BATCH, 10)):
        probes = [np.unique(rng.integers(0, slots_high, size)) for _ in range(repeats)]
        added = [rng.integers(0, slots_high, size) for _ in range(repeats)]
        rows = frame(end, size)
        end += size
        calls = {
            "append": lambda turn, added=added, rows=rows: store.append(added[turn], rows),
            "lookup": lambda turn, probes=probes: store.lookup(probes[turn]),
            "expire nothing": lambda _: store.expire("time", 0),
            "expire": lambda _, size=size: store.expire("time", expired(size)),
        }
        for label, call in calls.items():
            print(f"  {size:6d} rows  {label:16s} {median_us(call, repeats):10.1f} us")


def main() -> None:
    quick = "--quick" in sys.argv
    print(f"polars {pl.__version__}, numpy {np.__version__}")
    keyed("1 M int keys", ints, 1_000_000)
    keyed("1 M string keys", strings, 1_000_000)
    if not quick:
        keyed("10 M int keys", ints, 10_000_000)
    many_rows(1_000_000 if quick else 4_000_000)


if __name__ == "__main__":
    main()
