"""The guarantee of each sink, end to end: the weakest of what its sources and it promise."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import penstock as ps
from penstock.connectors.contract import Guarantee
from penstock.plan.guarantees import end_to_end
from penstock.query import Query
from penstock.stream import Stream

ROWS = ps.scan_batches([pl.DataFrame({"a": [1]})])


def socket(**options: bool) -> Stream:
    return ps.scan_tcp("127.0.0.1:0", "json", {"a": pl.Int64}, **options)


def topic(stream: Stream, folder: Path, *, immediate: bool = False) -> Query:
    return stream.sink_topic(folder / "out", immediate=immediate)


@pytest.mark.parametrize(
    ("durable", "immediate", "wanted", "because"),
    [
        (True, False, Guarantee.EXACTLY_ONCE, 0),
        (True, True, Guarantee.AT_LEAST_ONCE, 1),
        (False, False, Guarantee.AT_MOST_ONCE, 1),
        (False, True, Guarantee.AT_MOST_ONCE, 2),
    ],
)
def test_the_weakest_counts(
    durable: bool, immediate: bool, wanted: Guarantee, because: int, tmp_path: Path
) -> None:
    source = socket() if durable else socket(durable=False)
    (root,) = topic(source, tmp_path, immediate=immediate).roots
    found = end_to_end(root)
    assert found.guarantee is wanted
    assert len(found.weakened_by) == because


def test_explain_says_it_of_every_sink(tmp_path: Path) -> None:
    both = Query(
        *topic(ROWS, tmp_path).roots, *topic(socket(durable=False).select("a"), tmp_path).roots
    )
    said = both.explain()
    assert "exactly once, end to end, when run with a checkpoint" in said
    assert "at most once, end to end" in said
    assert "because of Scan" in said
