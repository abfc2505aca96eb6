"""The same answers by the batch engines: what DuckDB is asked, and what Polars is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import polars as pl

FOLDER = Path(__file__).parent / "queries"
NAMES = tuple(f"q{number}" for number in range(23))
WINDOWED = ("q5", "q7", "q8", "q11", "q12")
"""Queries over windows of time: with a watermark each row of theirs can leave once."""

_HOPS = """(SELECT auction, w, count(*) AS num FROM (
    SELECT auction, time_bucket(INTERVAL 2 SECOND, dateTime) - INTERVAL 2 SECOND * k AS w
    FROM bid, range(5) r(k)) GROUP BY auction, w)"""
_TEN = "time_bucket(INTERVAL 10 SECOND, {})"
_OWN = {
    "q5": f"""SELECT auction, num FROM (
        SELECT auction, num, max(num) OVER (PARTITION BY w) AS most FROM {_HOPS}) WHERE num = most""",
    "q7": f"""SELECT auction, price, bidder, dateTime, extra FROM bid JOIN (
        SELECT max(price) AS most, {_TEN.format("dateTime")} + INTERVAL 10 SECOND AS endtime
        FROM bid GROUP BY endtime) ON price = most
        WHERE dateTime BETWEEN endtime - INTERVAL 10 SECOND AND endtime""",
    "q8": f"""SELECT p.id, p.name, p.w AS starttime FROM (
        SELECT DISTINCT id, name, {_TEN.format("dateTime")} AS w FROM person) p JOIN (
        SELECT DISTINCT seller, {_TEN.format("dateTime")} AS w FROM auction) a
        ON p.id = a.seller AND p.w = a.w""",
    "q11": """SELECT bidder, count(*) AS bid_count, min(dateTime) AS starttime,
        max(dateTime) + INTERVAL 10 SECOND AS endtime FROM (
            SELECT bidder, dateTime, count(*) FILTER (gap) OVER (
                PARTITION BY bidder ORDER BY dateTime ROWS UNBOUNDED PRECEDING) AS session FROM (
                SELECT bidder, dateTime, dateTime - lag(dateTime) OVER (
                    PARTITION BY bidder ORDER BY dateTime) > INTERVAL 10 SECOND AS gap FROM bid))
        GROUP BY bidder, session""",
    "q12": f"""SELECT bidder, count(*) AS bid_count, {_TEN.format("p_time")} AS starttime,
        starttime + INTERVAL 10 SECOND AS endtime FROM bid GROUP BY bidder, starttime""",
}
_FORMATS = {
    "to_char(": "strftime(",
    "'YYYY-MM-DD'": "'%Y-%m-%d'",
    "'HH24:MI'": "'%H:%M'",
    "count_char(extra, 'c')": "length(extra) - length(replace(extra, 'c', ''))",
}


def streaming(name: str) -> str:
    """Return a query as it is written for streams."""
    return (FOLDER / f"{name}.sql").read_text()


def duckdb(name: str) -> str:
    """Return a query as DuckDB understands it; ``p_time`` of a bid stands for processing time."""
    if name in _OWN:
        return _OWN[name]
    text = streaming(name).rpartition(";")[2]
    for ours, theirs in _FORMATS.items():
        text = text.replace(ours, theirs)
    return text


Frames = Mapping[str, pl.LazyFrame]
_C = pl.col
_W = _C("dateTime").dt.truncate("10s")
_DAY = _C("dateTime").dt.to_string("%Y-%m-%d").alias("day")
_HOT = {"apple": "0", "google": "1", "facebook": "2", "baidu": "3"}
_ID = _C("url").str.extract("(&|^)channel_id=([^&]*)", 2)
_RANKS = (_C("price") < 10_000, _C("price").is_between(10_000, 999_999), _C("price") >= 1_000_000)


def _valid(frames: Frames) -> pl.LazyFrame:
    joined = frames["bid"].join(frames["auction"], left_on="auction", right_on="id", suffix="_a")
    return joined.filter(_C("dateTime").is_between(_C("dateTime_a"), _C("expires")))


def _winning(frames: Frames) -> pl.LazyFrame:
    order = _valid(frames).sort("price", "dateTime", descending=[True, False])
    return order.unique("auction", keep="first", maintain_order=True)


def _counts(*columns: str) -> list[pl.Expr]:
    found = [pl.len().alias("n"), *(r.sum().alias(f"n{i}") for i, r in enumerate(_RANKS))]
    for column in columns:
        found.append(_C(column).n_unique().alias(f"{column}s"))
        found += [
            _C(column).filter(r).n_unique().alias(f"{column}{i}") for i, r in enumerate(_RANKS)
        ]
    return found


def _q5(frames: Frames) -> pl.LazyFrame:
    pane = _C("dateTime").dt.truncate("2s").alias("pane")
    panes = frames["bid"].group_by(pane, "auction").agg(pl.len().alias("num"))
    hops = [panes.with_columns(w=_C("pane") - pl.duration(seconds=2 * k)) for k in range(5)]
    counts = pl.concat(hops).group_by("w", "auction").agg(_C("num").sum())
    return counts.filter(_C("num") == _C("num").max().over("w")).select("auction", "num")


def _q8(frames: Frames) -> pl.LazyFrame:
    people = frames["person"].select("id", "name", _W.alias("w")).unique()
    sellers = frames["auction"].select("seller", _W.alias("w")).unique()
    return people.join(sellers, left_on=["id", "w"], right_on=["seller", "w"])


def _q11(frames: Frames) -> pl.LazyFrame:
    rows = frames["bid"].select("bidder", "dateTime").sort("bidder", "dateTime")
    new = (_C("bidder") != _C("bidder").shift()) | (_C("dateTime").diff() > pl.duration(seconds=10))
    numbered = rows.with_columns(session=new.fill_null(value=True).cum_sum())
    first, last = _C("dateTime").min().alias("first"), _C("dateTime").max().alias("last")
    return numbered.group_by("bidder", "session").agg(pl.len(), first, last)


POLARS: Mapping[str, Callable[[Frames], pl.LazyFrame]] = {
    "q0": lambda f: f["bid"].select("auction", "bidder", "price", "dateTime", "extra"),
    "q1": lambda f: f["bid"].select(
        "auction",
        "bidder",
        _C("price").cast(pl.Decimal(20, 3)) * pl.lit("0.908").cast(pl.Decimal(4, 3)),
        "dateTime",
        "extra",
    ),
    "q2": lambda f: f["bid"].filter(_C("auction") % 123 == 0).select("auction", "price"),
    "q3": lambda f: (
        f["auction"]
        .filter(_C("category") == 10)
        .join(
            f["person"].filter(_C("state").is_in(["OR", "ID", "CA"])),
            left_on="seller",
            right_on="id",
        )
        .select("name", "city", "state", "id")
    ),
    "q4": lambda f: (
        _valid(f)
        .group_by("auction", "category")
        .agg(_C("price").max())
        .group_by("category")
        .agg(_C("price").mean())
    ),
    "q5": _q5,
    "q6": lambda f: (
        _winning(f)
        .sort("dateTime")
        .select("seller", _C("price").rolling_mean(10, min_samples=1).over("seller"))
    ),
    "q7": lambda f: (
        f["bid"]
        .with_columns(w=_W)
        .join(f["bid"].group_by(_W.alias("w")).agg(_C("price").max()), on=["w", "price"])
        .select("auction", "price", "bidder", "dateTime", "extra")
    ),
    "q8": _q8,
    "q9": _winning,
    "q10": lambda f: f["bid"].select(
        "auction",
        "bidder",
        "price",
        "dateTime",
        "extra",
        _DAY,
        _C("dateTime").dt.to_string("%H:%M").alias("hm"),
    ),
    "q11": _q11,
    "q12": lambda f: f["bid"].group_by("bidder", _W.alias("w")).agg(pl.len()),
    "q13": lambda f: (
        f["bid"]
        .with_columns(key=_C("auction") % 10_000)
        .join(f["side_input"], on="key")
        .select("auction", "bidder", "price", "dateTime", "value")
    ),
    "q14": lambda f: (
        f["bid"]
        .filter((_C("price") * 0.908).is_between(1_000_000, 50_000_000, closed="none"))
        .select(
            "auction",
            "bidder",
            _C("price") * 0.908,
            pl.when(_C("dateTime").dt.hour().is_between(8, 18))
            .then(pl.lit("dayTime"))
            .when((_C("dateTime").dt.hour() <= 6) | (_C("dateTime").dt.hour() >= 20))
            .then(pl.lit("nightTime"))
            .otherwise(pl.lit("otherTime"))
            .alias("bidTimeType"),
            "dateTime",
            "extra",
            _C("extra").str.count_matches("c", literal=True).alias("c_counts"),
        )
    ),
    "q15": lambda f: f["bid"].group_by(_DAY).agg(_counts("bidder", "auction")),
    "q16": lambda f: (
        f["bid"]
        .group_by("channel", _DAY)
        .agg(
            _C("dateTime").dt.to_string("%H:%M").max().alias("minute"),
            *_counts("bidder", "auction"),
        )
    ),
    "q17": lambda f: (
        f["bid"]
        .group_by("auction", _DAY)
        .agg(
            *_counts(),
            _C("price").min().alias("min"),
            _C("price").max().alias("max"),
            _C("price").mean().alias("avg"),
            _C("price").sum().alias("sum"),
        )
    ),
    "q18": lambda f: f["bid"].sort("dateTime").unique(["bidder", "auction"], keep="last"),
    "q19": lambda f: (
        f["bid"]
        .with_columns(rank=_C("price").rank("ordinal", descending=True).over("auction"))
        .filter(_C("rank") <= 10)
    ),
    "q20": lambda f: f["bid"].join(
        f["auction"].filter(_C("category") == 10), left_on="auction", right_on="id", suffix="_a"
    ),
    "q21": lambda f: (
        f["bid"]
        .with_columns(channel_id=_C("channel").str.to_lowercase().replace_strict(_HOT, default=_ID))
        .filter(_C("channel_id").is_not_null())
        .select("auction", "bidder", "price", "channel", "channel_id")
    ),
    "q22": lambda f: f["bid"].select(
        "auction",
        "bidder",
        "price",
        "channel",
        *(
            _C("url").str.split("/").list.get(i, null_on_oob=True).alias(f"dir{i - 2}")
            for i in (3, 4, 5)
        ),
    ),
}
