"""web_traffic: a web server's log, collected while it grows, analysed as it comes, stored.

    access.log -> topic -> clean -> per minute and page, sessions, top pages, alerts -> SQLite, Parquet

Two queries with a durable topic between them: ``collect`` only reads and carries, so that nothing is
lost while ``analyse`` is changed or restarted. Run it on a log of your own, in the combined format::

    python examples/web_traffic.py /var/log/nginx/access.log results

``penstock demo`` runs the same two queries and shows them live.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import polars as pl

import penstock as ps
from penstock.topics import Topic

LATENESS = "2m"
"""How late a line may be: a server writes it when the answer is sent, not when the request came."""

SESSION_GAP = "30m"
"""A visitor who is away for longer begins a new session; the usual choice of web analytics."""

ALERT_REQUESTS = 20
ALERT_RATE = 0.1
"""A minute with at least this many requests and this share of server errors is an alert."""


@dataclass(frozen=True)
class Results:
    """Where the results are: one folder."""

    folder: Path

    @property
    def topic(self) -> Path:
        """The requests, as they were collected."""
        return self.folder / "requests.topic"

    @property
    def database(self) -> Path:
        """The tables that are kept up to date."""
        return self.folder / "traffic.db"

    @property
    def parquet(self) -> Path:
        """Requests per minute and page, for later."""
        return self.folder / "minutes"


@dataclass(frozen=True)
class Traffic:
    """The answers, as streams; none runs before it has a sink."""

    visits: ps.Stream
    totals: ps.Stream
    statuses: ps.Stream
    pages: ps.Stream
    top_pages: ps.Stream
    hours: ps.Stream
    pages_per_minute: ps.Stream
    minutes: ps.Stream
    sessions: ps.Stream
    alerts: ps.Stream


def collect(log: str | Path, results: Results) -> list[ps.Query]:
    """Follow the log into the topic; lines that are no log lines go to a table of their own."""
    requests = ps.scan_tail(log, format="combined_log")
    Topic.ensure(results.topic, schema=requests.schema, key="client").close()
    return [
        requests.sink_topic(results.topic),
        requests.dead_letters.sink_sqlite(results.database, "dead_letters"),
    ]


def clean(requests: ps.Stream) -> ps.Stream:
    """Drop what is no request, fill what is missing, and tell pages apart by path alone."""
    return requests.filter(pl.col("method").is_not_null()).with_columns(
        page=pl.col("path").str.replace(r"[?#].*$", ""),
        bytes=pl.col("bytes").fill_null(0),
        error=pl.col("status") >= 500,
    )


def analyse(requests: ps.Stream) -> Traffic:
    """Everything that is to be known about the traffic."""
    visits = clean(requests).with_watermark("timestamp", lateness=LATENESS)
    counts = [
        pl.len().alias("requests"),
        pl.col("error").sum().alias("errors"),
        pl.col("bytes").sum(),
    ]
    visitors = pl.col("client").n_unique().alias("visitors")
    pages = visits.group_by("page").agg(*counts)
    minutes = visits.group_by(ps.tumbling("1m")).agg(*counts)
    rate = pl.col("errors") / pl.col("requests")
    return Traffic(
        visits=visits,
        totals=visits.select(*counts, visitors),
        statuses=visits.group_by("status").agg(pl.len().alias("requests")),
        pages=pages,
        top_pages=pages.top_k(10, by="requests"),
        hours=visits.group_by(ps.tumbling("1h")).agg(*counts, visitors).emit("changes"),
        pages_per_minute=visits.group_by("page", ps.tumbling("1m")).agg(*counts),
        minutes=minutes,
        sessions=visits.group_by("client", ps.session(SESSION_GAP)).agg(
            pl.len().alias("requests"),
            pl.col("page").first().alias("entry"),
            pl.col("page").last().alias("exit"),
            (pl.col("timestamp").max() - pl.col("timestamp").min()).alias("duration"),
        ),
        alerts=minutes.filter(pl.col("requests") >= ALERT_REQUESTS, rate >= ALERT_RATE).select(
            "window_start", "requests", "errors", rate=rate.round(3)
        ),
    )


def store(traffic: Traffic, results: Results) -> list[ps.Query]:
    """Keep the answers: current ones in SQLite, the history of every minute in Parquet."""
    database = results.database
    return [
        traffic.statuses.sink_sqlite(database, "statuses", key="status"),
        traffic.pages.sink_sqlite(database, "pages", key="page"),
        traffic.top_pages.sink_sqlite(database, "top_pages", key="page"),
        traffic.hours.sink_sqlite(database, "hours", key="window_start"),
        traffic.sessions.sink_sqlite(database, "sessions"),
        traffic.alerts.sink_sqlite(database, "alerts"),
        traffic.pages_per_minute.sink_files(results.parquet, format="parquet"),
    ]


def main(log: str, folder: str = "web_traffic") -> None:
    """Run until Ctrl-C, with the alerts on the terminal; a second run goes on where this one ended."""
    results = Results(Path(folder))
    collecting = ps.start(*collect(log, results), checkpoint=results.folder / "collect.checkpoint")
    traffic = analyse(ps.scan_topic(results.topic))
    alerts = traffic.alerts.sink_console(title="alerts")
    try:
        ps.run(*store(traffic, results), alerts, checkpoint=results.folder / "analyse.checkpoint")
    finally:
        collecting.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
