"""Producers of a topic that append epochs: which epoch each has appended, and which run of it may."""

from __future__ import annotations

from penstock.deferred import sqlite3
from penstock.errors import Fault, FencedError


def take_over(
    connection: sqlite3.Connection, producer_id: str, token: int, step: str
) -> int | None:
    """Shut out runs of the producer with a lower token; return its last epoch, if any.

    ``FencedError`` if one with a higher token has done so already.
    """
    row = connection.execute(
        "SELECT epoch, token FROM producers WHERE producer_id = ?", (producer_id,)
    ).fetchone()
    if row is not None and row[1] > token:
        raise FencedError(
            f"producer {producer_id!r} has been taken over: token {token} is below {row[1]}",
            step=step,
            value=token,
            fault=Fault.USER,
        )
    connection.execute(
        "INSERT INTO producers VALUES(?, NULL, ?)"
        " ON CONFLICT(producer_id) DO UPDATE SET token = excluded.token",
        (producer_id, token),
    )
    epoch: int | None = None if row is None else row[0]
    return epoch


def record(connection: sqlite3.Connection, producer_id: str, epoch: int) -> None:
    """Note the last epoch of a producer that has begun."""
    connection.execute("UPDATE producers SET epoch = ? WHERE producer_id = ?", (epoch, producer_id))
