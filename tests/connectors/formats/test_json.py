from __future__ import annotations

import datetime as dt
import json
import math
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.connectors.formats.contract import Decoded
from penstock.connectors.formats.json import Json
from penstock.errors import ConfigError

UTC = dt.UTC


def decode(schema: dict[str, Any], *messages: bytes | None) -> Decoded:
    return Json(schema).decode(pl.Series(messages, dtype=pl.Binary))


def one(dtype: Any, text: str) -> Any:
    """The value read, or the reason as an exception."""
    decoded = decode({"a": dtype}, f'{{"a":{text}}}'.encode())
    if decoded.errors.height:
        raise ValueError(decoded.errors["reason"][0])
    return decoded.frame["a"][0]


READS = [
    (pl.Int64, "9223372036854775807", 2**63 - 1),
    (pl.Int64, "null", None),
    (pl.UInt64, "18446744073709551615", 2**64 - 1),
    (pl.Int128, str(2**126), 2**126),
    (pl.Int8, "-128", -128),
    (pl.Float64, "1", 1.0),
    (pl.Float64, "0.1", 0.1),
    (pl.Float64, "1e-400", 0.0),
    (pl.Float32, "1.5", 1.5),
    (pl.Boolean, "true", True),
    (pl.String, '""', ""),
    (pl.String, r'"\u0000"', "\0"),
    (pl.String, r'"a\nb"', "a\nb"),
    (pl.String, r'"\ud83d\ude00"', "😀"),
    (pl.String, "1.50", "1.5"),
    (pl.String, "7", "7"),
    (pl.String, "true", "true"),
    (pl.String, '{"x": 1}', '{"x": 1}'),
    (
        pl.Datetime("us"),
        '"2024-01-02T03:04:05.5"',
        dt.datetime.fromisoformat("2024-01-02T03:04:05.5"),
    ),
    (
        pl.Datetime("us"),
        '"2024-01-02T03:04:05+02:00"',
        dt.datetime.fromisoformat("2024-01-02T01:04:05"),
    ),
    (pl.Datetime("us", "UTC"), '"2024-01-02 03:04"', dt.datetime(2024, 1, 2, 3, 4, tzinfo=UTC)),
    (pl.Datetime("ns", "UTC"), '"2024-01-02"', dt.datetime(2024, 1, 2, tzinfo=UTC)),
    (
        pl.Datetime("ms", "Europe/Berlin"),
        '"2024-01-02T03:04:05Z"',
        dt.datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC),
    ),
    (pl.Date, '"2024-02-29"', dt.date(2024, 2, 29)),
    (pl.Time, '"23:59:59.25"', dt.time(23, 59, 59, 250_000)),
    (pl.Decimal(30, 2), "1.25", Decimal("1.25")),
    (pl.Decimal(38, 4), "12345678901234567890.1234", Decimal("12345678901234567890.1234")),
    (pl.Decimal(38, 22), "0.1000000000000000055511", Decimal("0.1000000000000000055511")),
    (pl.Decimal(38, 2), "12345678901234567890", Decimal("12345678901234567890.00")),
    (pl.Decimal(38, 2), "1.2345e3", Decimal("1234.50")),
    (pl.Decimal(38, 4), '"-0.0001"', Decimal("-0.0001")),
    (pl.Enum(["x"]), '"x"', "x"),
    (pl.List(pl.Int8), "[1,null]", [1, None]),
    (pl.List(pl.Date), '["2024-01-01"]', [dt.date(2024, 1, 1)]),
    (pl.Struct({"x": pl.Int8, "y": pl.Date}), '{"x":1,"z":0}', {"x": 1, "y": None}),
    (pl.Struct({"x": pl.Int8}), "null", None),
    (
        pl.List(pl.Struct({"x": pl.List(pl.Time)})),
        '[{"x":["01:00:00"]},null]',
        [{"x": [dt.time(1)]}, None],
    ),
]


@pytest.mark.parametrize(("dtype", "text", "value"), READS)
def test_value_is_read(dtype: Any, text: str, value: Any) -> None:
    found = one(dtype, text)
    assert (found.to_list() if isinstance(found, pl.Series) else found) == value


REFUSES = [
    (pl.Int64, "1.0"),
    (pl.Int64, '"1"'),
    (pl.Int64, "9223372036854775808"),
    (pl.Int64, "true"),
    (pl.Int8, "128"),
    (pl.UInt8, "-1"),
    (pl.UInt64, "18446744073709551616"),
    (pl.Float64, '"1"'),
    (pl.Float64, "1e400"),
    (pl.Float32, "1e300"),
    (pl.Boolean, "1"),
    (pl.Boolean, '"true"'),
    (pl.Datetime("us"), "1704164645"),
    (pl.Datetime("us"), '"yesterday"'),
    (pl.Datetime("us"), '""'),
    (pl.Datetime("ns"), '"0001-01-01T00:00:00Z"'),
    (pl.Date, '"2024-02-30"'),
    (pl.Date, '"2024-1-2"'),
    (pl.Time, '"25:00:00"'),
    (pl.Decimal(5, 2), "123456.5"),
    (pl.Decimal(5, 2), 'true, "b": 12345678901.234567'),
    (pl.Decimal(5, 2), '{"x": 12345678901.234567}'),
    (pl.Decimal(5, 2), "[12345678901.234567]"),
    (pl.Enum(["x"]), '"y"'),
    (pl.List(pl.Int64), "1"),
    (pl.List(pl.Int64), '["1"]'),
    (pl.List(pl.Int8), "[300]"),
    (pl.Struct({"x": pl.Int64}), "[1]"),
    (pl.Struct({"x": pl.Int64}), '{"x":1.5}'),
    (pl.Struct({"x": pl.Date}), '{"x":"no"}'),
]


@pytest.mark.parametrize(("dtype", "text"), REFUSES)
def test_value_is_refused_and_neighbours_live(dtype: Any, text: str) -> None:
    decoded = decode({"a": dtype}, b"{}", f'{{"a":{text}}}'.encode(), b'{"a":null}')
    assert decoded.errors["index"].to_list() == [1]
    assert decoded.kept is not None
    assert decoded.kept.to_list() == [0, 2]
    assert decoded.frame["a"].to_list() == [None, None]
    reason = decoded.errors["reason"][0]
    assert "column a" in reason or "out of range" in reason


INVALID = [
    b"",
    b" ",
    b"{",
    b"[]",
    b"null",
    b"7",
    b'{"a":1}x',
    b'{"a":1}{"a":2}',
    b'{"a":1}\n{"a":2}',
    b'{"a":NaN}',
    b'{"a":Infinity}',
    b'{"a":01}',
    b'{"a":1,}',
    b'{"b":"\xff"}',
    b'{"b":"\x00"}',
    b'{"b":"\n"}',
    b'{"b":"\\ud800"}',
    b'{"b":"\\udc00xxxxxxx"}',
    b'{"b":1e999}',
    b'{"b":' + b"9" * 5000 + b"}",
    b'{"b":' + b"[" * 100_000 + b"}",
    b"\xef\xbb\xbf{}",
    None,
]


@pytest.mark.parametrize("message", INVALID)
def test_what_is_not_one_object_is_an_error(message: bytes | None) -> None:
    decoded = decode({"a": pl.Int64}, b'{"a":1}', message, b'{"a":3}')
    assert decoded.frame["a"].to_list() == [1, 3]
    assert decoded.errors["index"].to_list() == [1]
    assert decoded.errors["reason"][0]


def test_two_objects_in_one_message_do_not_stand_in_for_an_empty_one() -> None:
    decoded = decode({"a": pl.Int64}, b'{"a":1}\n{"a":2}', b"")
    assert decoded.frame.height == 0
    assert decoded.errors["index"].to_list() == [0, 1]


def test_newlines_between_tokens_are_blanks() -> None:
    assert decode({"a": pl.Int64}, b'{\n"a"\n:\n1\n}').frame["a"].to_list() == [1]


def test_the_first_of_a_repeated_key_counts_whatever_the_neighbours() -> None:
    messages = [b'{"a":1,"a":2}', b'{"a":1,"a":"x"}', b'{"a":"x","a":1}']
    alone = [decode({"a": pl.Int64}, message) for message in messages]
    assert [d.frame["a"].to_list() for d in alone] == [[1], [1], []]
    together = decode({"a": pl.Int64}, *messages)
    assert together.frame["a"].to_list() == [1, 1]
    assert together.errors["index"].to_list() == [2]


def test_bad_messages_of_a_long_batch_keep_their_index() -> None:
    messages = [b'{"a":%d}' % i for i in range(10_000)]
    for bad, text in {5: b"", 4095: b'{"a":"x"}', 4096: b"\xff", 9_999: b"[]"}.items():
        messages[bad] = text
    decoded = decode({"a": pl.Int64}, *messages)
    assert decoded.errors["index"].to_list() == [5, 4095, 4096, 9_999]
    assert decoded.kept is not None
    assert decoded.frame["a"].to_list() == decoded.kept.to_list()
    assert decoded.frame.height == 9_996


def test_block_equals_messages_and_is_refused_when_unusual() -> None:
    json_format = Json({"a": pl.Int64, "t": pl.Datetime("us", "UTC")})
    lines = [b'{"a":1,"t":"2024-01-01T00:00:00Z"}', b'{"a":2}', b'{"t":null}']
    for block in (b"\n".join(lines), b"\n".join(lines) + b"\n", b"\r\n".join(lines)):
        frame = json_format.decode_block(block)
        assert frame is not None
        assert frame.equals(json_format.decode(pl.Series(lines)).frame)
    for block in (b"{}\n\n{}\n", b"{}{}\n\n", b'{"a":"x"}\n', b'{"t":"x"}\n', b'{"b":"\xff"}\n'):
        assert json_format.decode_block(block) is None


def test_unsupported_and_missing_types_are_configuration_errors() -> None:
    with pytest.raises(ConfigError, match="JSON cannot hold"):
        Json({"a": pl.Duration("us")})
    with pytest.raises(ConfigError, match="no columns"):
        Json({})
    with pytest.raises(ConfigError, match="not a type"):
        Json({"a": 3})
    with pytest.raises(ConfigError, match="reserved"):
        Json({"_weight": int})


def test_no_messages() -> None:
    decoded = decode({"a": pl.Int64})
    assert decoded.frame.schema == {"a": pl.Int64}
    assert decoded.errors.height == 0


SCHEMA = {
    "i": pl.Int64(),
    "f": pl.Float64(),
    "s": pl.String(),
    "b": pl.Boolean(),
    "l": pl.List(pl.Int64()),
    "o": pl.Struct({"x": pl.Int32(), "y": pl.String()}),
}
TEXT = st.text(st.characters(blacklist_categories=["Cs"]), max_size=8)
ROWS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "i": st.none() | st.integers(-(2**63), 2**63 - 1),
            "f": st.none() | st.floats(allow_nan=False, allow_infinity=False),
            "s": st.none() | TEXT,
            "b": st.none() | st.booleans(),
            "l": st.none() | st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), max_size=3),
            "o": st.none()
            | st.fixed_dictionaries({"x": st.none() | st.integers(-9, 9), "y": st.none() | TEXT}),
            "extra": st.none() | TEXT | st.lists(st.integers(-(2**99), 2**99), max_size=2),
        },
    ),
    max_size=6,
)


def known(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row.get(name) for name in SCHEMA}


@given(ROWS, st.booleans())
@settings(max_examples=150, deadline=None)
def test_rows_come_back_as_the_standard_library_wrote_them(
    rows: list[dict[str, Any]], ascii_only: bool
) -> None:
    messages = [json.dumps(row, ensure_ascii=ascii_only).encode() for row in rows]
    decoded = Json(SCHEMA).decode(pl.Series(messages, dtype=pl.Binary))
    expected = [known(row) for row in rows]
    found = decoded.frame.to_dicts()
    assert len(found) == len(expected)
    for got, want in zip(found, expected, strict=True):
        assert got == want
        if want["f"] == 0:
            assert math.copysign(1, got["f"]) == math.copysign(1, want["f"])


PIECES = st.sampled_from(
    [
        b"{",
        b"}",
        b'"i":',
        b'"f":',
        b'"s":',
        b"1",
        b"1.5",
        b'"x"',
        b",",
        b"null",
        b"\n",
        b"\xff",
        b"[",
        b"]",
    ]
)
HOSTILE = st.binary(max_size=12) | st.lists(PIECES, max_size=8).map(b"".join)


@given(st.lists(HOSTILE | st.just(b'{"i":1}'), max_size=6))
@settings(max_examples=150, deadline=None)
def test_hostile_messages_never_raise_and_neighbours_do_not_matter(messages: list[bytes]) -> None:
    json_format = Json(SCHEMA)
    together = json_format.decode(pl.Series(messages, dtype=pl.Binary))
    alone = [json_format.decode(pl.Series([message], dtype=pl.Binary)) for message in messages]
    assert together.frame.equals(
        pl.concat([json_format.schema.to_frame(), *(d.frame for d in alone)])
    )
    bad = [i for i, d in enumerate(alone) if d.errors.height]
    assert together.errors["index"].to_list() == bad
    assert together.frame.height + len(bad) == len(messages)
