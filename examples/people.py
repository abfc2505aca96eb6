"""people: rows from a socket and from CSV files, cleaned, described, and a decision about them.

    socket, CSV files -> complete rows, age as a whole number -> running mean of each gender
                                                              -> mean, deviation, trend, decision

All ends in tables of one SQLite database, kept up to date while rows arrive. The rows are text with
commas: name, gender, age, income. Run it, and give it people::

    python examples/people.py 127.0.0.1:9009 'people/*.csv' people.db
    printf 'Ada,f,36,5200\\n' | nc 127.0.0.1 9009
"""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl

import penstock as ps

PERSON = {"name": pl.String, "gender": pl.String, "age": pl.String, "income": pl.Float64}

STEEP = 50.0
"""A change of income by the year that calls for action."""

ENOUGH = 10
"""Nothing is decided on fewer people."""


def clean(people: ps.Stream) -> ps.Stream:
    """Rows without gaps, with the age as a whole number; what is no age is a gap too."""
    age = pl.col("age").str.strip_chars().cast(pl.Float64, strict=False).cast(pl.Int64)
    gender = pl.col("gender").str.strip_chars().str.to_lowercase().replace("", None)
    return people.with_columns(age=age, gender=gender).drop_nulls()


def by_gender(people: ps.Stream) -> ps.Stream:
    """The means of each gender, so far."""
    return people.group_by("gender").agg(
        pl.len().alias("people"), pl.col("age").mean(), pl.col("income").mean()
    )


def described(people: ps.Stream) -> ps.Stream:
    """One row: mean and deviation of the income, its trend with age, and what follows from that.

    The trend is the slope of the least-squares line: covariance over variance.
    """
    slope = pl.cov("age", "income") / pl.col("age").var()
    decision = (
        pl.when(pl.col("people") < ENOUGH, pl.col("slope").is_not_null())
        .then(pl.lit("wait"))
        .when(pl.col("slope").abs() < STEEP)
        .then(pl.lit("leave as it is"))
        .when(pl.col("slope") > 0)
        .then(pl.lit("raise the young"))
        .otherwise(pl.lit("raise the old"))
    )
    return people.select(
        pl.len().alias("people"),
        pl.col("income").mean().alias("mean"),
        pl.col("income").std().alias("deviation"),
        slope.alias("slope"),
    ).select(pl.lit("income").alias("what"), pl.all(), decision=decision)


def queries(arriving: ps.Stream, database: str | Path) -> list[ps.Query]:
    """Keep both tables up to date."""
    people = clean(arriving)
    return [
        by_gender(people).sink_sqlite(database, "by_gender", key="gender"),
        described(people).sink_sqlite(database, "described", key="what"),
        arriving.dead_letters.sink_sqlite(database, "dead_letters"),
    ]


def main(address: str, files: str, database: str = "people.db") -> None:
    """Run until Ctrl-C; a second run goes on where this one ended."""
    socket = ps.scan_tcp(address, "csv", PERSON, header=False)
    folder = ps.scan_folder(files, "csv", PERSON)
    arriving = ps.concat([socket, folder])
    ps.run(*queries(arriving, database), checkpoint=f"{database}.checkpoint")


if __name__ == "__main__":
    main(*sys.argv[1:])
