"""``make bench-checkpoints``: what checkpoints cost, and how long a recovery takes.

    python -m benchmarks.checkpoints [SECONDS [KEYS [STATE_MB]]]

1. Rows a second at 1 M keys with a checkpoint each second against none, each for SECONDS in a
   process of its own, three times in turn; medians.
2. A state of STATE_MB (1,000) is built, checkpointed and left; a new process resumes from it.
   Recovery is from ``start()`` to the state ``running``, when the first row can be processed.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.keyed_counts import Load, pipeline

_REPEAT = 3
_BYTES_PER_KEY = 70
"""Of the state of ``keyed_counts``; only to choose how many keys make the state asked for."""


def _run(*words: object) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.checkpoints", *map(str, words)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=3600)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _throughput(kind: str, seconds: float, keys: int) -> dict[str, float]:
    """Rows a second after all keys are there."""
    with tempfile.TemporaryDirectory() as name:
        load, folder = Load(keys), Path(name)
        kept = folder / "kept" if kind == "with" else None
        query = pipeline(load, folder).start(checkpoint=kept, restart=None)
        while not load.filled.wait(0.05):
            query.wait(0)
        query.wait(2.0)  # the first checkpoint of all keys is not one of the steady ones
        rows, began = query.progress().rows_in, time.perf_counter()
        query.wait(seconds)
        rows, taken = query.progress().rows_in - rows, time.perf_counter() - began
        load.stop()
        query.wait()
    return {"rows_per_s": rows / taken}


def _build(folder: Path, megabytes: int) -> dict[str, float]:
    """Leave a checkpoint with so much state."""
    keys = megabytes * 1_000_000 // _BYTES_PER_KEY
    load = Load(keys)
    query = pipeline(load, folder).start(checkpoint=folder / "kept", restart=None)
    while not load.filled.wait(0.1):
        query.wait(0)
    load.stop()
    query.wait()
    return _state(query.progress().steps) | {"keys": keys}


def _recover(folder: Path, keys: int) -> dict[str, float]:
    """Resume from it."""
    load = Load(keys, already_there=True)
    query = pipeline(load, folder)
    began = time.perf_counter()
    query.start(checkpoint=folder / "kept", restart=None)
    while query.progress().state == "created":
        query.wait(0.001)
    seconds = time.perf_counter() - began
    load.stop()
    query.wait()
    return _state(query.progress().steps) | {"seconds": seconds}


def _state(steps: tuple[object, ...]) -> dict[str, float]:
    return {
        "bytes": sum(getattr(step, "state_bytes", 0) for step in steps),
        "rows": max(getattr(step, "state_rows", 0) for step in steps),
    }


def _compare(seconds: float, keys: int) -> None:
    found: dict[str, list[float]] = {"without": [], "with": []}
    for _ in range(_REPEAT):
        for kind, rates in found.items():
            rates.append(_run(kind, seconds, keys)["rows_per_s"])
    for kind, rates in found.items():
        middle = statistics.median(rates)
        print(f"{kind:8} checkpoints {middle:14,.0f} rows/s  {[f'{r:,.0f}' for r in rates]}")
    ratio = statistics.median(found["with"]) / statistics.median(found["without"])
    print(f"ratio {ratio:.3f} at {keys:,} keys, a checkpoint each second", flush=True)


def _time_recovery(megabytes: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        built = _run("build", name, megabytes)
        on_disk = sum(p.stat().st_size for p in Path(name, "kept").rglob("*") if p.is_file())
        recovered = [_run("recover", name, int(built["keys"])) for _ in range(_REPEAT)]
    assert all(each["rows"] == built["rows"] for each in recovered)
    seconds = [each["seconds"] for each in recovered]
    print(
        f"recovery {statistics.median(seconds):.2f} s of {built['bytes'] / 1e6:,.0f} MB state, "
        f"{built['rows']:,} keys, {on_disk / 1e6:,.0f} MB on disk {[f'{s:.2f}' for s in seconds]}"
    )


def main() -> None:
    """Print both, or do one part in this process and print what it took."""
    words = sys.argv[1:]
    match words:
        case ["with" | "without" as kind, seconds, keys]:
            print(json.dumps(_throughput(kind, float(seconds), int(keys))))
        case ["build", folder, megabytes]:
            print(json.dumps(_build(Path(folder), int(megabytes))))
        case ["recover", folder, keys]:
            print(json.dumps(_recover(Path(folder), int(keys))))
        case _:
            _compare(
                float(words[0]) if words else 20.0, int(words[1]) if len(words) > 1 else 1_000_000
            )
            _time_recovery(int(words[2]) if len(words) > 2 else 1000)


if __name__ == "__main__":
    main()
