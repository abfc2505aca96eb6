from __future__ import annotations

import csv
import io
from itertools import pairwise
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.connectors.files.rows import row_ends
from penstock.connectors.formats.csv import Csv, infer
from penstock.errors import ConfigError, ConnectorError

SCHEMA = {"a": pl.Int64(), "b": pl.String(), "t": pl.Datetime("us")}


def decode(csv_format: Csv, *records: bytes) -> tuple[list[Any], list[Any]]:
    decoded = csv_format.decode(pl.Series(records, dtype=pl.Binary))
    return decoded.frame.rows(), decoded.errors.rows()


def test_fields_nulls_and_quotes() -> None:
    rows, errors = decode(
        Csv(SCHEMA, null_values="NA"),
        b'1,"x, ""y""",',
        b'"2",NA,""',
        b' 3 ,"",\r',
        b'4,"a\nb",',
    )
    assert rows == [(1, 'x, "y"', None), (2, None, None), (3, "", None), (4, "a\nb", None)]
    assert errors == []


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (b"1,x", "2 fields where 3 are expected"),
        (b"1,x,,", "4 fields where 3 are expected"),
        (b"", "1 fields where 3 are expected"),
        (b"q,x,", "column a: cannot read 'q' as Int64"),
        (b"99999999999999999999,x,", "column a: cannot read"),
        (b"1,x,soon", "column t: cannot read 'soon' as Datetime"),
        (b'1,x"y,', "stray or missing quote"),
        (b'1,"x"y,', "stray or missing quote"),
        (b'1,"x,', "stray or missing quote"),
        (b"1,x\n,", "newline outside quotes"),
        (b"1,\xff,", "not valid UTF-8"),
    ],
)
def test_bad_records_are_errors_and_neighbours_live(record: bytes, reason: str) -> None:
    rows, errors = decode(Csv(SCHEMA), b"1,x,", record, b"3,z,")
    assert rows == [(1, "x", None), (3, "z", None)]
    assert [index for index, _ in errors] == [1]
    assert reason in errors[0][1]
    assert Csv(SCHEMA).decode_block(b"1,x,\n" + record + b"\n") is None


def test_one_column_keeps_its_empty_records() -> None:
    rows, errors = decode(Csv({"a": str}), b"", b"x", b'""', b'"p,q"', b"\r")
    assert rows == [(None,), ("x",), ("",), ("p,q",), (None,)]
    assert errors == []


def test_other_marks() -> None:
    assert decode(Csv(SCHEMA, separator=";", quote="'"), b"1;'x;''y';")[0] == [(1, "x;'y", None)]
    assert decode(Csv(SCHEMA, separator="|", quote=None), b'1|"x|')[0] == [(1, '"x', None)]
    wrong: list[dict[str, Any]] = [
        {"separator": ",,"},
        {"separator": "\n"},
        {"separator": '"'},
        {"quote": "é"},
    ]
    for marks in wrong:
        with pytest.raises(ConfigError):
            Csv(SCHEMA, **marks)


def test_header() -> None:
    assert decode(Csv(SCHEMA).with_header(b'x,t,"b",a\r\n'), b"?,,B,7")[0] == [(7, "B", None)]
    with pytest.raises(ConnectorError, match="no column 't'"):
        Csv(SCHEMA).with_header(b"a,b")


def test_infer() -> None:
    sample = b'i,f,b,t,s,e\n1,1.5,true,2024-01-01T00:00:00Z,"x, y",\n2,2,FALSE,2024-01-02,,\n'
    assert infer(sample).schema == {
        "i": pl.Int64,
        "f": pl.Float64,
        "b": pl.Boolean,
        "t": pl.Datetime("us", "UTC"),
        "s": pl.String,
        "e": pl.String,
    }
    assert list(infer(b"1;2\n", header=False, separator=";").schema) == ["column_1", "column_2"]
    for bad in (b"", b"a,a\n1,2\n"):
        with pytest.raises(ConfigError):
            infer(bad)


FIELD = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\r\0"), max_size=5)


@given(st.lists(st.tuples(FIELD, FIELD), min_size=1, max_size=8), st.booleans())
@settings(max_examples=150, deadline=None)
def test_equals_the_standard_library(rows: list[tuple[str, str]], everywhere: bool) -> None:
    messages = []
    for row in rows:
        out = io.StringIO(newline="")
        if everywhere:
            csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n").writerow(row)
        else:
            csv.writer(out, lineterminator="\n").writerow(row)
        messages.append(out.getvalue().removesuffix("\n").encode())
    found, errors = decode(Csv({"a": str, "b": str}), *messages)
    assert errors == []
    assert [tuple(value or "" for value in row) for row in found] == rows
    if everywhere:
        assert found == rows


PIECES = st.sampled_from(
    [b'"', b",", b"1", b"x", b"\r", b"\n", b" ", b"\xff", b"\0", b'""', "é".encode()]
)


@given(st.lists(st.lists(PIECES, max_size=6).map(b"".join), min_size=1, max_size=5))
@settings(max_examples=200, deadline=None)
def test_hostile_records_never_raise_and_neighbours_do_not_matter(records: list[bytes]) -> None:
    csv_format = Csv({"a": pl.Int64(), "b": pl.String()})
    rows, errors = decode(csv_format, *records)
    alone = [decode(csv_format, record) for record in records]
    assert rows == [row for good, _ in alone for row in good]
    assert [index for index, _ in errors] == [i for i, (_, bad) in enumerate(alone) if bad]
    block = b"".join(record + b"\n" for record in records)
    frame = csv_format.decode_block(block)
    if frame is not None:
        ends = row_ends(block, csv_format.framing).tolist()
        lines = [block[start : end - 1] for start, end in pairwise([0, *ends])]
        assert frame.rows() == decode(csv_format, *lines)[0]
