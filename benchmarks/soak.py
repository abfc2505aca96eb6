"""``make soak``: full speed with 1 M keys and a checkpoint each second, for an hour.

    python -m benchmarks.soak [SECONDS [KEYS [FOLDER]]]

Writes a line each ten seconds to ``soak.csv`` in FOLDER (default: ``soak``), draws ``soak.svg``
beside it, and fails (exit code 1) unless memory, open files and checkpoints are **flat**: of the lines
after the first tenth, the median of the last third is not above that of the first third by more than

    anonymous memory              5 % and 32 MB
    open files                    2
    seconds of a checkpoint       25 % and 0.1 s
    size of the checkpoint folder 10 % and 32 MB
    files in it                   10 % and 8
"""

from __future__ import annotations

import csv
import os
import statistics
import sys
import tempfile
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

import penstock as ps
from benchmarks.keyed_counts import Durations, Load, pipeline
from penstock.runtime.checkpointer import Checkpointer
from penstock.runtime.executor import Executor

EVERY_S = 10.0


@dataclass(frozen=True)
class Line:
    """What was measured in one interval."""

    seconds: float
    rows_per_s: float
    anonymous_mb: float
    open_files: int
    checkpoints: int
    checkpoint_s: float
    epoch_p99_ms: float
    folder_mb: float
    folder_files: int


LIMITS = {
    "anonymous_mb": (1.05, 32.0),
    "open_files": (1.0, 2.0),
    "checkpoint_s": (1.25, 0.1),
    "folder_mb": (1.10, 32.0),
    "folder_files": (1.10, 8.0),
}
"""Column -> how much larger, and how much more beyond that, its last third may be."""


def _anonymous_mb() -> float:
    rows = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
    return next(int(row[1]) / 1024 for row in rows if row[0] == "RssAnon:")


def _folder(folder: Path) -> tuple[float, int]:
    sizes = []
    for path in folder.rglob("*"):
        try:
            sizes.append(path.stat().st_size if path.is_file() else 0)
        except FileNotFoundError:  # deleted meanwhile: it was not needed any more
            continue
    return sum(sizes) / 2**20, len(sizes)


def _run(seconds: float, keys: int, folder: Path) -> list[Line]:
    """Run the pipeline and measure."""
    checkpoints, epochs = Durations(), Durations()
    checkpoints.of(Checkpointer, "_make")
    epochs.of(Executor, "run")
    load = Load(keys)
    query = pipeline(load, folder).start(checkpoint=folder / "kept", restart=None)
    while not load.filled.wait(0.1):
        query.wait(0)
    lines: list[Line] = []
    rows = query.progress().rows_in
    checkpoints.taken(), epochs.taken()
    print(" ".join(field.name.rjust(12) for field in fields(Line)), flush=True)
    while len(lines) * EVERY_S < seconds:
        query.wait(EVERY_S)
        lines.append(_line(len(lines), query, rows, checkpoints, epochs, folder / "kept"))
        rows = query.progress().rows_in
        print(" ".join(_shown(value).rjust(12) for value in asdict(lines[-1]).values()), flush=True)
    load.stop()
    query.wait()
    return lines


def _line(
    number: int, query: ps.Query, rows: int, checkpoints: Durations, epochs: Durations, kept: Path
) -> Line:
    made, run = checkpoints.taken(), epochs.taken()
    size, files = _folder(kept)
    return Line(
        seconds=(number + 1) * EVERY_S,
        rows_per_s=(query.progress().rows_in - rows) / EVERY_S,
        anonymous_mb=_anonymous_mb(),
        open_files=len(os.listdir("/proc/self/fd")),  # noqa: PTH208 - a count
        checkpoints=len(made),
        checkpoint_s=statistics.mean(made) if made else float("nan"),
        epoch_p99_ms=float(np.quantile(run, 0.99)) * 1e3 if run else float("nan"),
        folder_mb=size,
        folder_files=files,
    )


def _shown(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3f}"


def not_flat(lines: list[Line]) -> list[str]:
    """Return what has grown."""
    settled = lines[len(lines) // 10 :]
    third = max(1, len(settled) // 3)
    grown = []
    for name, (times, more) in LIMITS.items():
        first = statistics.median(getattr(line, name) for line in settled[:third])
        last = statistics.median(getattr(line, name) for line in settled[-third:])
        if not last <= first * times + more:  # NaN, where no checkpoint was made, is not flat
            grown.append(f"{name}: from {_shown(first)} to {_shown(last)}")
    return grown


def _draw(lines: list[Line], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    names = [field.name for field in fields(Line)][1:]
    figure, axes = plt.subplots(len(names), 1, sharex=True, figsize=(9, 1.7 * len(names)))
    for name, axis in zip(names, axes, strict=True):
        axis.plot([line.seconds / 60 for line in lines], [getattr(line, name) for line in lines])
        axis.set_ylim(bottom=0)
        axis.set_title(name, loc="left", fontsize=9)
        axis.grid(alpha=0.3)
    axes[-1].set_xlabel("minutes")
    figure.tight_layout()
    figure.savefig(path)


def main() -> int:
    """Run, write, draw and judge."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 3600.0
    keys = int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000
    into = Path(sys.argv[3] if len(sys.argv) > 3 else "soak")
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into) as folder:
        lines = _run(seconds, keys, Path(folder))
    with (into / "soak.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Line)])
        writer.writeheader()
        writer.writerows(asdict(line) for line in lines)
    _draw(lines, into / "soak.svg")
    grown = not_flat(lines)
    print("flat" if not grown else "not flat: " + "; ".join(grown))
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main())
