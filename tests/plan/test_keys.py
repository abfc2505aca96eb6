"""What is proven unique stays so under the names of copies."""

from __future__ import annotations

import polars as pl
import pytest

import penstock as ps


@pytest.mark.parametrize(
    ("columns", "keys"),
    [
        ({"copy": pl.col("k")}, {("k",), ("copy",)}),
        ({"k": pl.col("n"), "n": pl.col("k")}, {("n",)}),
        ({"k": pl.col("n")}, set()),
        ({"other": pl.col("k") + 1}, {("k",)}),
    ],
)
def test_a_copy_of_a_key_is_a_key(columns: dict[str, pl.Expr], keys: set[tuple[str, ...]]) -> None:
    rows = ps.scan_batches([pl.DataFrame({"k": [1, 1, 2], "v": [1, 2, 3]})])
    found = rows.group_by("k").agg(n=pl.col("v").sum()).with_columns(**columns)
    assert set(found.node.properties.keys) == keys


def test_the_first_row_of_each_group_is_the_only_one() -> None:
    rows = ps.scan_batches([pl.DataFrame({"k": [1, 1, 2], "v": [1, 2, 3]})])
    assert rows.top_k(1, by="v", group_by="k").node.properties.keys == (("k",),)
    assert rows.top_k(2, by="v", group_by="k").node.properties.keys == ()
