"""Lines that are alike, read by columns: each as if it were alone, or left to the general way."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.connectors.formats.json import Json
from penstock.connectors.formats.json_uniform import UniformLines

INNER = pl.Struct({"n": pl.Int32(), "t": pl.Datetime("ms"), "s": pl.String()})
SCHEMA: dict[str, Any] = {
    "i": pl.Int64(),
    "u": pl.UInt64(),
    "f": pl.Float64(),
    "g": pl.Float32(),
    "b": pl.Boolean(),
    "s": pl.String(),
    "é": pl.String(),
    "t": pl.Datetime("us", "UTC"),
    "ns": pl.Datetime("ns"),
    "d": pl.Date(),
    "m": pl.Decimal(20, 4),
    "o": INNER,
    "p": pl.Struct({"o": INNER, "l": pl.List(pl.Int64())}),
}
FORM = Json(SCHEMA)
INSTANTS = [
    "2024-02-29T23:59:59",
    "2023-02-29T00:00:00",
    "0000-01-01T00:00:00",
    "9999-12-31 23:59:59.999999999",
    "1677-12-31T00:00:00.5Z",
    "2262-01-01T00:00:00Z",
    "1969-12-31T23:59:59.123Z",
    "2024-01-31T24:00:00",
    "2024-01-31T23:59:60",
    "2024-13-01T00:00:00",
    "2024-00-10T00:00:00",
    "2024-04-31T00:00:00.000",
    "2024-01-31T10:00:00+02:00",
    "2024-01-31",
    "2024-01-31T10:0:00.0Z",
    "\uff124-01-31T10:00:00",
]
WHOLE = st.integers(-(2**70), 2**70) | st.integers(-(10**17), 10**17) | st.integers(-100, 100)
SPELT = st.sampled_from(
    ["0", "-0", "-0.0", "0.0", "01", "1.0", "1.50", "-", "+1", "1e3", "1E400", "1.", ".5", "1_0"]
    + ["0.1", "123456789.1234567", "99999999", "100000000", "9999999999999999", "-1", "16777217"]
    + ["3.5e38", "300", "4294967296", "true", "false", "null", "True", "nul", "NaN", "1 ", " 1"]
    + [
        '""',
        '"1"',
        "[]",
        "[1]",
        "{}",
        '{"n":1}',
        '{"n":1,"n":2}',
        '"\\n"',
        '"\\u00e9"',
        '"\\ud800"',
    ]
    + ['"\x7f"', '"\t"', '"é…"', '"1.2345"', '"2024-01-31"', '"}"', '","i":2,"x":"', "1,2"]
)
TEXT = st.text(st.sampled_from("ab019 :,{}[]é\x7f"), max_size=12)


def written(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


VALUES = (
    WHOLE.map(str)
    | SPELT
    | TEXT.map(written)
    | st.sampled_from(INSTANTS).map(written)
    | st.datetimes().map(lambda at: written(at.isoformat()))
    | st.floats(allow_nan=False, allow_infinity=False).map(written)
)
FITTING: dict[str, st.SearchStrategy[str]] = {
    "i": WHOLE.map(str),
    "u": st.integers(-5, 2**64).map(str),
    "f": st.decimals(-(10**9), 10**9, places=3).map(str),
    "b": st.sampled_from(["true", "false", "null"]),
    "t": st.sampled_from(INSTANTS).map(written)
    | st.datetimes().map(lambda at: written(at.isoformat())),
    "d": st.dates().map(lambda day: written(day.isoformat())),
    "m": st.decimals(-(10**9), 10**9, places=4).map(lambda number: written(str(number))),
    "n": st.integers(-(2**31) - 1, 2**31).map(str),
    "x": SPELT,
}
FITTING |= {"g": FITTING["f"], "ns": FITTING["t"]}


def joined(pairs: list[tuple[str, str]]) -> str:
    return "{" + ",".join(f'"{key}":{value}' for key, value in pairs) + "}"


def objects(keys: list[str], depth: int = 0) -> st.SearchStrategy[list[tuple[str, str]]]:
    """Keys, as a rule each once, with values that as a rule fit."""
    some = st.lists(st.sampled_from(keys), max_size=5, unique=True)
    some |= some.map(lambda found: [*found, *found[:1]]) if depth else some
    return some.flatmap(
        lambda found: st.tuples(*[st.tuples(st.just(key), value(key, depth)) for key in found])
    ).map(list)


def value(key: str, depth: int) -> st.SearchStrategy[str]:
    if depth < 3 and key in ("o", "p"):
        inside = ["n", "t", "s", "x"] if key == "o" else ["o", "l", "x"]
        return objects(inside, depth + 1).map(joined) | st.just("null")
    fitting = FITTING.get(key, TEXT.map(written))
    return st.integers(0, 9).flatmap(lambda chance: VALUES if chance == 0 else fitting)


@st.composite
def alike(draw: st.DrawFn) -> list[str]:
    """Lines of a few shapes with values of all kinds, and one spoilt."""
    lines = []
    for _ in range(draw(st.integers(1, 3))):
        example = draw(objects([*SCHEMA, "x"]))
        for _ in range(draw(st.integers(1, 5))):
            lines.append(joined(example))
            if example:
                place = draw(st.integers(0, len(example) - 1))
                key = example[place][0]
                example = [*example[:place], (key, draw(value(key, 0))), *example[place + 1 :]]
    at = draw(st.integers(0, len(lines) - 1))
    cut = draw(st.integers(0, len(lines[at])))
    piece = draw(st.sampled_from(['"', "}", "{", "0", " ", ",", "\\", "\r", "\t", "é"]))
    return [*lines, lines[at][:cut] + piece + lines[at][cut:]]


def check(lines: list[str], form: Json, reader: UniformLines) -> int:
    """Compare what is taken with each line decoded alone; return how many were taken."""
    block = "\n".join(lines).encode()
    taken = reader.read(block)
    alone = [form.decode(pl.Series([line.encode()], dtype=pl.Binary)) for line in lines]
    if taken is None:
        return 0
    rows = sorted(int(row) for part in taken.parts for row in part.rows)
    assert sorted([*rows, *taken.left.tolist()]) == list(range(len(lines)))
    assert taken.left_block == b"\n".join(lines[row].encode() for row in taken.left)
    assert [row for row in rows if alone[row].errors.height] == []
    rest = form.decode(pl.Series([lines[row].encode() for row in taken.left], dtype=pl.Binary))
    whole = taken.completed(rest)
    assert whole.frame.schema == form.schema
    assert whole.frame.equals(pl.concat([one.frame for one in alone]))
    bad = [row for row, one in enumerate(alone) if one.errors.height]
    assert whole.errors["index"].to_list() == bad
    if bad:
        assert whole.kept is not None
        assert whole.kept.to_list() == [row for row in range(len(lines)) if row not in bad]
    return len(rows)


@given(alike())
@settings(max_examples=20, deadline=None)
def test_lines_that_are_taken_read_as_they_do_alone(lines: list[str]) -> None:
    check(lines, FORM, UniformLines(FORM.schema, FORM.schema, least=0))


@pytest.mark.nightly
@given(alike())
@settings(max_examples=2000, deadline=None)
def test_many_lines_that_are_taken_read_as_they_do_alone(lines: list[str]) -> None:
    check(lines, FORM, UniformLines(FORM.schema, FORM.schema, least=0))


TIMES = st.datetimes().map(lambda at: at.isoformat(sep="T"))


@given(
    st.lists(
        st.tuples(WHOLE, TEXT, st.sampled_from(INSTANTS) | TIMES, TIMES), min_size=1, max_size=20
    )
)
@settings(max_examples=20, deadline=None)
def test_nested_rows_read_as_they_do_alone(rows: list[tuple[int, str, str, str]]) -> None:
    lines = [
        written({"i": n, "o": {"n": n % 2**31, "t": late, "x": text}, "t": early, "s": text})
        for n, text, early, late in rows
    ]
    check(lines, FORM, UniformLines(FORM.schema, FORM.schema, least=0))


KIND = pl.Struct({"n": pl.Int64(), "t": pl.Datetime("us")})
EVENTS = Json({"k": pl.Int64, "a": KIND, "b": INNER})


def events(count: int) -> list[str]:
    made = []
    for n in range(count):
        at = f"2024-01-{n % 28 + 1:02}T10:00:00.{n % 1000:03}"
        inside = {"n": n, "t": at, "s": f"é{n}"} if n % 3 else {"n": -n, "t": at}
        made.append(written({"k": n % 3, "b" if n % 3 else "a": inside}))
    return made


def test_events_of_several_kinds_are_taken_by_shape() -> None:
    lines = events(100)
    reader = UniformLines(EVENTS.schema, EVENTS.schema)
    assert check(lines, EVENTS, reader) == 100
    taken = reader.read("\n".join(lines).encode())
    assert taken is not None
    assert len(taken.parts) == 2
    assert check([*lines, "", "x", lines[0][:-1], lines[1] + " "], EVENTS, reader) == 100


@pytest.mark.parametrize(
    "line",
    [
        '{"k":0,"a":{"n":01,"t":"2024-01-01T10:00:00.000"}}',
        '{"k":0,"a":{"n":-,"t":"2024-01-01T10:00:00.000"}}',
        '{"k":0,"a":{"n":-0,"t":"2024-01-01T10:00:00.000"}}',
        '{"k":0,"a":{"n":,"t":"2024-01-01T10:00:00.000"}}',
        '{"k":0,"a":{"n":12345678901234567,"t":"2024-01-01T10:00:00.000"}}',
        '{"k":0,"a":{"n":1e3,"t":"2024-01-01T10:00:00.000"}}',
        '{"k":0,"a":{"n":1/2,"t":"2024-01-01T10:00:00.000"}}',
        '{"k":0,"a":{"n":1:2,"t":"2024-01-01T10:00:00.000"}}',
        '{"k":0,"a":{"n":1,"t":"2024-02-30T10:00:00.000"}}',
        '{"k":0,"a":{"n":1,"t":"2024-01-01T10:00:60.000"}}',
        '{"k":0,"a":{"n":1,"t":"2024-01-01 10:00:00.000"}}',
        '{"k":0,"a":{"n":1,"t":"2024-01-01T10:00:00,000"}}',
        '{"k":0,"a":{"n":1,"t":"2024-01-01T10:00:00.00\\u0030"}}',
        '{"k":0,"a":{"n":1,"t":"2024-01-01T10:00:00.000"},}',
        '{"k":0,"a":{"n":1,"t":"2024-01-01T10:00:00.000"}',
        '{"k":0, "a":{"n":1,"t":"2024-01-01T10:00:00.000"}}',
        '{"k":0,"a":{"n":1,"t":"2024-01-01T10:00:00.000"}}\t',
        '{"k":1,"b":{"n":2147483648,"t":"2024-01-01T10:00:00.000","s":""}}',
        '{"k":1,"b":{"n":1,"t":"2024-01-01T10:00:00.000","s":"\x01"}}',
        '{"k":1,"b":{"n":1,"t":"2024-01-01T10:00:00.000","s":""}}}',
        '{"k":1,"b":{"n":1,"t":"2024-01-01T10:00:00.000","s":"","s":""}}',
        '{"k":true,"b":{"n":1,"t":"2024-01-01T10:00:00.000","s":""}}',
    ],
)
def test_a_line_that_only_seems_alike_is_left(line: str) -> None:
    lines = events(60)
    reader = UniformLines(EVENTS.schema, EVENTS.schema)
    assert check([*lines[:30], line, *lines[30:]], EVENTS, reader) == 60


def test_instants_of_several_lengths_are_taken_too() -> None:
    line = '{"k":0,"a":{"n":1,"t":"2024-01-01T10:00:00.0000"}}'
    assert check([*events(60), line], EVENTS, UniformLines(EVENTS.schema, EVENTS.schema)) == 61


def test_blocks_of_other_lines_are_passed_over_for_a_while() -> None:
    reader = UniformLines(EVENTS.schema, EVENTS.schema)
    lists = b"\n".join(b'{"k":%d,"l":[%d]}' % (n, n) for n in range(50))
    good = "\n".join(events(50)).encode()
    assert reader.read(lists) is None
    assert reader.read(good) is None  # not looked at
    assert reader.read(good) is not None


def test_bad_rows_among_many_are_named() -> None:
    lines = [line.encode() for line in events(2000)]
    lines[700], lines[1400], lines[1999] = b"{", b'{"k":0,"a":{"n":"1"}}', b"\xff"
    decoded = EVENTS.decode(pl.Series(lines, dtype=pl.Binary))
    assert decoded.errors["index"].to_list() == [700, 1400, 1999]
    assert decoded.errors["reason"][1] == 'column a.n: cannot read "1" as Int64'
    assert decoded.kept is not None
    assert decoded.kept.to_list() == [n for n in range(2000) if n not in (700, 1400, 1999)]
    good = b"\n".join(lines[:700])
    frame = EVENTS.decode_block(good)
    assert frame is not None
    assert frame.equals(decoded.frame.head(700))
    assert EVENTS.decode_block(b"\n".join(lines)) is None


@given(alike(), st.sets(st.sampled_from([("i",), ("t",), ("o", "s"), ("p", "o", "n"), ("p", "l")])))
@settings(max_examples=20, deadline=None)
def test_what_is_left_out_is_checked_all_the_same(
    lines: list[str], wanted: set[tuple[str, ...]]
) -> None:
    form = FORM.narrowed({("i",), *wanted})
    raw = pl.Series([line.encode() for line in lines], dtype=pl.Binary)
    whole, part = FORM.decode(raw), form.decode(raw)
    assert part.errors.equals(whole.errors)
    assert part.frame.schema == form.schema
    for name, dtype in form.schema.items():
        assert part.frame[name].to_list() == [only(v, dtype) for v in whole.frame[name].to_list()]
    reader = UniformLines(FORM.schema, form.schema, least=0)
    check(lines, form, reader)


def only(value: Any, dtype: pl.DataType) -> Any:
    if value is None or not isinstance(dtype, pl.Struct):
        return value
    return {f.name: only(value[f.name], f.dtype) for f in dtype.fields}  # type: ignore[arg-type]
