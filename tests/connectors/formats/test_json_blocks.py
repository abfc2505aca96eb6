"""Long blocks, which are not validated line by line: what passes is what the standard library reads."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.connectors.formats.json import Json

FORM = Json({"i": pl.Int64, "f": pl.Float64, "s": pl.String, "l": pl.List(pl.Int64)})
GOOD = b'{"i":1,"f":2.5,"s":"a","l":[1,2]}'
MANY = 200
"""More lines than are read one by one."""

PIECES = st.sampled_from(
    [
        b'"',
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b" ",
        b"\t",
        b"\r",
        b"\n",
        b"0",
        b"-",
        b"+",
        b".",
        b"e",
    ]
    + [
        b"null",
        b"true",
        b"NaN",
        b"Infinity",
        b"01",
        b"1.",
        b"\x00",
        b"\x1f",
        b"\x7f",
        b"\x80",
        b"\xff",
    ]
    + [b"\\", b"\\u00e9", b"\\ud800", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"//", b"{}", b'"i":', b"'"]
    + ["é".encode(), b"\xe2\x80\xa8", b'{"i":', b'\n{"i":', b"}\n{"]
)
SPOILT = st.tuples(st.integers(0, len(GOOD)), st.integers(0, 4), st.lists(PIECES, max_size=3)).map(
    lambda edit: GOOD[: edit[0]] + b"".join(edit[2]) + GOOD[edit[0] + edit[1] :]
)


def is_object(line: bytes) -> bool:
    def refuse(constant: str) -> Any:
        raise ValueError(constant)

    try:
        found = json.loads(line.decode(), parse_constant=refuse)
        json.dumps(found, ensure_ascii=False).encode()  # refuses half a surrogate pair
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict)


@given(st.lists(SPOILT, min_size=1, max_size=3), st.integers(0, MANY))
@settings(max_examples=500)
def test_a_block_that_passes_holds_one_object_on_each_line(spoilt: list[bytes], at: int) -> None:
    lines = [*[GOOD] * at, *spoilt, *[GOOD] * (MANY - at)]
    block = b"\n".join(lines) + b"\n"
    frame = FORM.decode_block(block)
    if frame is not None:
        cut = block.split(b"\n")[:-1]
        assert all(map(is_object, cut))
        assert frame.equals(pl.concat([FORM.decode(pl.Series([line])).frame for line in cut]))


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"null",
        b"5",
        b"[]",
        b'"a"',
        b"{}{}",
        b'{"s":"\\ud800"}',
        b'{"i":1',
        b"{} x",
        b'{"i":"\xff"}',
    ]
    + [b'{"x":' + b"[" * 2000 + b"]" * 2000 + b"}", b'{"s":"\n"}', b'{"i":\n{"i":2}}'],
)
def test_a_bad_line_of_a_long_block_is_never_lost(line: bytes) -> None:
    lines = [*[GOOD] * MANY, line, *[GOOD] * MANY]
    assert FORM.decode_block(b"\n".join(lines)) is None
    decoded = FORM.decode(pl.Series(lines, dtype=pl.Binary))
    assert decoded.errors["index"].to_list() == [MANY]


@pytest.mark.parametrize(
    "line", [b'{"s":"\\u00e9"}', b' {"i":1}', b'{"x":"' + b"y" * 2000 + b'"}', b'{"i":1}\r']
)
def test_a_good_line_of_another_kind_passes_with_the_block(line: bytes) -> None:
    lines = [*[GOOD] * MANY, line]
    frame = FORM.decode_block(b"\n".join(lines))
    assert frame is not None
    assert frame[MANY:].equals(FORM.decode(pl.Series([line])).frame)


PLAIN = Json({"i": pl.Int64, "f": pl.Float64, "s": pl.String, "b": pl.Boolean, "é": pl.Int64})
NUMBERS = ["1", "-0", "-0.0", "1.0", "1e400", "-1e-400", "9007199254740993", "1" * 19, "1" * 39]
VALUES = [
    *NUMBERS,
    "null",
    "true",
    '"a"',
    '"\\u00e9"',
    '"\\ud800"',
    '"\\"i\\":"',
    '"i"',
    "[1]",
    "{}",
    "01",
]
KEYS = ["i", "f", "s", "b", "é", "\\u0069", "other"]
MESSAGES = st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from(VALUES)), max_size=5).map(
    lambda pairs: ("{" + ",".join(f'"{key}":{value}' for key, value in pairs) + "}").encode()
)


@given(st.lists(MESSAGES | SPOILT.filter(lambda line: b"\n" not in line), min_size=1, max_size=4))
@settings(max_examples=300)
def test_a_few_messages_read_as_they_do_among_many(messages: list[bytes]) -> None:
    few = PLAIN.decode(pl.Series(messages, dtype=pl.Binary))
    many = PLAIN.decode(pl.Series([*messages, *[b'{"i":7}'] * MANY], dtype=pl.Binary))
    assert few.frame.equals(many.frame.head(few.frame.height))
    assert few.errors["index"].to_list() == many.errors["index"].to_list()
    block = b"\n".join(messages)
    frame = PLAIN.decode_block(block)
    assert frame is None or (frame.equals(few.frame) and not few.errors.height)
