"""numbers_csv: a CSV file of numbers; count and sum them, and keep those above a threshold.

    numbers.csv -> how many, how many above, their sums -> printed
                -> those above the threshold            -> text files, a number a line

Rows that are no numbers are dead letters, and are counted too. Run it on a file of your own, with a
column ``number`` (a program called numbers.py would hide a module of Python)::

    python examples/numbers_csv.py numbers.csv 100 results
"""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl

import penstock as ps


def read(file: str | Path) -> ps.Stream:
    """The numbers of a file."""
    return ps.scan_csv(file, {"number": pl.Float64})


def above(numbers: ps.Stream, threshold: float) -> ps.Stream:
    """Those that are above the threshold."""
    return numbers.filter(pl.col("number") > threshold)


def summary(numbers: ps.Stream, threshold: float) -> ps.Stream:
    """One row: how many numbers there are, how many are kept, and the sums of both."""
    kept = pl.col("number") > threshold
    return numbers.select(
        pl.len().alias("numbers"),
        kept.sum().alias("kept"),
        pl.col("number").sum().alias("sum"),
        pl.col("number").filter(kept).sum().alias("sum_kept"),
    )


def main(file: str, threshold: str = "0", folder: str = "numbers") -> None:
    """Read the file to its end, write the kept numbers, and print the summary."""
    limit, numbers = float(threshold), read(file)
    found: list[pl.DataFrame] = []
    done = ps.run(
        above(numbers, limit).cast(pl.String).sink_files(folder, format="text"),
        summary(numbers, limit).emit("final").sink_callback(found.append),
    )
    print(found[-1])
    print(f"{done.progress().dead_letters} rows were no numbers")


if __name__ == "__main__":
    main(*sys.argv[1:])
