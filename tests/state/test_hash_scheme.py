"""The hash of keys: its values are written down, and another scheme is no obstacle to a restore."""

from __future__ import annotations

import logging
import sqlite3
from collections import Counter
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import penstock as ps
from penstock.checkpoints.opening import open_storage
from penstock.checkpoints.store import manifests
from penstock.query import Query
from penstock.runtime import capture, checkpointer
from penstock.state import hashing
from penstock.state import keys as keys_of

GOLDEN = {
    "int": [
        0,
        14555800124870461561,
        11307352287106012775,
        6548882138799039191,
        16025789695656648149,
    ],
    "small": [0, 7145241646666111851, 16025789695656648149],
    "float": [0, 0, 11998738768297756652, 4816347063391248694, 16025789695656648149],
    "two": [15597396215296790568, 18010063567052910229, 4544378367334939676],
    "date": [9806811594050800036, 0],
    "text": [
        0,
        165745584449729512,
        6383621665082669810,
        4390189371566464351,
        1365959856074233583,
        8483526295483528399,
        16025789695656648149,
    ],
    "binary": [0, 165745584449729512, 10482746573120702322],
    "text and int": [16993794746047488024, 18330497529837033681],
    "decimal": [12299603700564363161, 2928772947588637917],
    "wide": [11552068668214255920, 16471403388790901262, 16025789695656648149],
    "enum": [165745584449729512, 4600893733908584809],
    "list": [
        0,
        16025789695656648149,
        7120908846951159844,
        3571949916991586742,
        14805879439277554932,
        14805879439277554932,
    ],
    "array": [4669459551188274269, 16025789695656648149],
    "struct": [4508773226064126002, 393287405233629868, 16025789695656648149],
}


def hashes(frame: pl.DataFrame) -> list[int]:
    return keys_of.read(frame, frame.schema).hashes.tolist()


FRAMES = {
    "int": pl.DataFrame({"k": [0, 1, -1, 2**63 - 1, None]}),
    "small": pl.DataFrame({"k": [0, 7, None]}, schema={"k": pl.UInt8}),
    "float": pl.DataFrame({"k": [0.0, -0.0, 1.5, float("nan"), None]}),
    "two": pl.DataFrame({"a": [1, 1, None], "b": [True, False, True]}),
    "date": pl.DataFrame({"d": [19_000, 0]}).select(pl.col("d").cast(pl.Date)),
    "text": pl.DataFrame(
        {"k": ["", "a", "twelve bytes", "thirteen byte", "é" * 60, "x" * 700, None]}
    ),
    "binary": pl.DataFrame({"k": [b"", b"a", b"\xff" * 40]}),
    "text and int": pl.DataFrame({"k": ["a", None], "n": [1, 2]}),
    "decimal": pl.DataFrame({"k": [Decimal("1.50"), Decimal("-1.5")]}).cast(pl.Decimal(20, 2)),
    "wide": pl.DataFrame({"k": [1, -1, None]}, schema={"k": pl.Int128}),
    "enum": pl.DataFrame({"k": ["a", "b"]}, schema={"k": pl.Enum(["b", "a"])}),
    "list": pl.DataFrame({"k": [[], None, [1], [1, None], [0.0], [-0.0]]}, strict=False),
    "array": pl.DataFrame({"k": [["a", "b"], None]}, schema={"k": pl.Array(pl.String, 2)}),
    "struct": pl.DataFrame({"k": [{"a": 1, "b": ["x"]}, {"a": None, "b": None}, None]}),
}


@pytest.mark.parametrize("name", FRAMES)
def test_values_are_hashed_as_ever(name: str) -> None:
    """Scheme ``penstock-2``; whoever changes these values gives the scheme another name."""
    assert hashing.HASH_SCHEME == "penstock-2"
    assert hashes(FRAMES[name]) == GOLDEN[name]


def pipeline(folder: Path) -> Query:
    rows = ps.scan_tail(
        folder / "in.ndjson",
        "json",
        schema={"n": pl.Int64(), "s": pl.String()},
        start="beginning",
    )
    by_number = rows.group_by("n").agg(count=pl.len().cast(pl.Int64))
    by_text = rows.group_by("s").agg(count=pl.len().cast(pl.Int64))
    return Query(
        *by_number.sink_sqlite(folder / "out.db", "by_number", key="n").roots,
        *by_text.sink_sqlite(folder / "out.db", "by_text", key="s").roots,
    )


def stored_counts(folder: Path, table: str) -> Counter[int]:
    with closing(sqlite3.connect(folder / "out.db")) as connection:
        return Counter(n for (n,) in connection.execute(f"select count from {table}"))


def run_once(folder: Path, rows_in: int) -> None:
    query = pipeline(folder).start(checkpoint=folder / "checkpoint")
    while query.progress().state == "created" or query.progress().rows_in < rows_in:
        assert not query.wait(0.01)
    query.stop()


def test_a_checkpoint_of_another_scheme_is_indexed_afresh(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lines = "".join(f'{{"n": {n % 50}, "s": "text {n % 30}"}}\n' for n in range(600))
    (tmp_path / "in.ndjson").write_text(lines)
    run_once(tmp_path, 600)
    monkeypatch.setattr(hashing, "_MULTIPLIER", np.uint64(0xD6E8FEB86659FD93))
    for module in (checkpointer, capture):
        monkeypatch.setattr(module, "HASH_SCHEME", "another")
    assert hashes(FRAMES["int"]) != GOLDEN["int"]
    assert hashes(FRAMES["text"])[1:] != GOLDEN["text"][1:]
    with (tmp_path / "in.ndjson").open("a") as file:
        file.write(lines)
    with caplog.at_level(logging.INFO, "penstock"):
        run_once(tmp_path, 600)
    assert "indexed afresh" in caplog.text
    for table, groups in (("by_number", 50), ("by_text", 30)):
        assert stored_counts(tmp_path, table) == {1200 // groups: groups}
    newest = manifests(open_storage(tmp_path / "checkpoint", {}))[0]
    assert newest is not None
    assert newest.hash_scheme == "another"
