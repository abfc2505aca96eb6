"""Internal consistency: money moves between accounts and never appears or vanishes.

The balance of an account is the sum of its credits less the sum of its debits, each an aggregate of
its own, put together by a join; the total of all balances is zero after every epoch, never only in
the end. See "Internal consistency in streaming systems", scattered-thoughts.net, 2021.
"""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import penstock as ps
from penstock.columns import WEIGHT
from penstock.stream import Stream
from penstock.testing import Epoch, drive, integrate, scripted

SCHEMA = {
    "id": pl.Int64(),
    "from": pl.Int64(),
    "to": pl.Int64(),
    "amount": pl.Int64(),
    "alive": pl.Boolean(),
}
transfer = st.fixed_dictionaries(
    {
        "id": st.integers(0, 9),
        "from": st.integers(0, 3),
        "to": st.integers(0, 3),
        "amount": st.integers(0, 5),
        "alive": st.sampled_from([True, True, True, False]),
    }
)
Transfers = list[list[dict[str, Any]]]


def balances(transfers: Stream) -> Stream:
    """Return the balance of every account that ever took part."""
    gained = transfers.group_by(account="to").agg(credit=pl.col("amount").sum())
    spent = transfers.group_by(account="from").agg(debit=pl.col("amount").sum())
    both = gained.join(spent, on="account", how="full", coalesce=True)
    balance = pl.col("credit").fill_null(0) - pl.col("debit").fill_null(0)
    return both.select("account", balance=balance)


def expected(rows: list[dict[str, Any]]) -> dict[int, int]:
    """Compute the balances in plain Python."""
    found: dict[int, int] = {}
    for row in rows:
        found[row["to"]] = found.get(row["to"], 0) + row["amount"]
        found[row["from"]] = found.get(row["from"], 0) - row["amount"]
    return found


def driven(batches: Transfers) -> list[Epoch]:
    return [Epoch({"transfers": pl.DataFrame(batch, schema=SCHEMA)}) for batch in batches]


@pytest.mark.parametrize("revised", [False, True])
@settings(max_examples=settings().max_examples // 2)
@given(
    batches=st.lists(st.lists(transfer, max_size=8), min_size=1, max_size=8),
    restarts=st.sets(st.integers(0, 7), max_size=2),
)
def test_no_money_appears_or_vanishes(
    revised: bool, batches: Transfers, restarts: set[int]
) -> None:
    transfers = scripted("transfers", SCHEMA)
    if revised:  # a transfer may be corrected or called off later, which retracts
        transfers = transfers.unique("id", keep="last").filter("alive")
    accounts = balances(transfers)
    total = accounts.select(pl.col("balance").sum())
    deltas: dict[str, list[pl.DataFrame | None]] = {"accounts": [], "total": []}
    rows: list[dict[str, Any]] = []
    for batch, found in zip(
        batches, drive([accounts, total], driven(batches), restart_after=restarts), strict=True
    ):
        for kept, delta in zip(deltas.values(), found, strict=True):
            kept.append(delta)
        rows += batch
        last = {row["id"]: row for row in rows}
        living = [row for row in last.values() if row["alive"]] if revised else rows
        table = integrate(accounts, deltas["accounts"])
        assert set(table[WEIGHT].to_list()) <= {1}
        assert dict(table.select("account", "balance").rows()) == expected(living)
        assert integrate(total, deltas["total"]).rows() == [(0, 1)]


def test_no_reader_of_a_running_query_sees_money_appear() -> None:
    batches = [
        [
            {"id": n * 9 + i, "from": (n + i) % 5, "to": i % 4, "amount": i, "alive": True}
            for i in range(9)
        ]
        for n in range(20)
    ]
    frames = [pl.DataFrame(batch, schema=SCHEMA) for batch in batches]
    table: dict[int, int] = {}
    seen = 0
    for delta in balances(ps.scan_batches(frames)).changes():
        for account, balance, weight in delta.rows():
            if weight < 0:
                assert table.pop(account) == balance
            else:
                table[account] = balance
        assert sum(table.values()) == 0
        seen += 1
    assert seen == len(frames)
    assert table == expected([row for batch in batches for row in batch])
