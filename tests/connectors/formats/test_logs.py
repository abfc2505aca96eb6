from __future__ import annotations

import datetime as dt
import gzip
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.connectors.formats.access_log import AccessLog, usual_lines
from penstock.connectors.formats.contract import Format
from penstock.connectors.formats.logfmt import Logfmt, infer
from penstock.connectors.formats.regex import Regex
from penstock.connectors.formats.syslog import Syslog
from penstock.connectors.formats.text import Text
from penstock.errors import ConfigError

UTC = dt.UTC


def decode(form: Format, *messages: str | bytes) -> tuple[list[Any], list[Any]]:
    raw = [m.encode() if isinstance(m, str) else m for m in messages]
    decoded = form.decode(pl.Series(raw, dtype=pl.Binary))
    assert decoded.frame.schema == form.schema
    return decoded.frame.rows(), decoded.errors.rows()


AT = dt.datetime(2015, 5, 17, 8, 5, 3, tzinfo=UTC)
START = "::1 - - [17/May/2015:10:05:03 +0200] "


@pytest.mark.parametrize(
    ("line", "row"),
    [
        (
            START + '"GET /a?b=1 HTTP/1.1" 200 512 "http://x/" "Mozilla (X; Y)"',
            (
                "::1",
                None,
                None,
                AT,
                "GET",
                "/a?b=1",
                "HTTP/1.1",
                200,
                512,
                "http://x/",
                "Mozilla (X; Y)",
            ),
        ),
        (
            START.replace("- -", "id john doe")
            + r'"\x16\x03 \"hi\"" 400 - "-" "a\"b\x22c\xe2\x82\xac\\"',
            ("::1", "id", "john doe", AT, None, '\x16\x03 "hi"', None, 400, None, None, 'a"b"c€\\'),
        ),
        (START + '"-" 408 - "-" "-"', ("::1", None, None, AT, None, None, None, 408, *[None] * 3)),
        (
            START + '"GET /a b HTTP/1.1" 200 0 "" ""',
            ("::1", None, None, AT, None, "GET /a b HTTP/1.1", None, 200, 0, "", ""),
        ),
        (
            START + r'"GET /\x22q\" HTTP/1.1" - 1 "-" "\xff"',
            ("::1", None, None, AT, "GET", '/"q"', "HTTP/1.1", None, 1, None, "\\xff"),
        ),
        (START + '"" 200 1 "-" "-"\r', ("::1", None, None, AT, None, "", None, 200, 1, None, None)),
    ],
)
def test_combined_log(line: str, row: tuple[Any, ...]) -> None:
    assert decode(AccessLog(), line) == ([row], [])
    common = re.sub(r' "[^"]*(\\.[^"]*)*" "[^"]*(\\.[^"]*)*"\r?$', "", line)
    assert decode(AccessLog(combined=False), common) == ([row[:-2]], [])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("", "not a line of the combined log format"),
        (START + '"GET / HTTP/1.1" 200 5 "-" "cut', "not a line"),
        (START.replace("May", "Mai") + '"GET / HTTP/1.1" 200 5 "-" "-"', "17/Mai/2015"),
        (START + f'"GET / HTTP/1.1" 200 {"9" * 30} "-" "-"', "column bytes"),
        (b"\xff", "not valid UTF-8"),
    ],
)
def test_bad_log_lines(line: str | bytes, reason: str) -> None:
    good = START + '"GET / HTTP/1.1" 200 5 "-" "-"'
    rows, errors = decode(AccessLog(), good, line, good)
    assert len(rows) == 2
    assert errors[0][0] == 1
    assert reason in errors[0][1]


def test_many_lines_are_matched_on_several_threads() -> None:
    lines = [START + f'"GET /{i} HTTP/1.1" 200 {i} "-" "-"' for i in range(9000)]
    rows, errors = decode(AccessLog(), *lines)
    assert [row[8] for row in rows] == list(range(9000))
    assert errors == []
    lines[0] = lines[8999] = "nonsense"
    rows, errors = decode(AccessLog(), *lines)
    assert [row[8] for row in rows] == list(range(1, 8999))
    assert [index for index, _ in errors] == [0, 8999]


DATA = Path(__file__).parents[3].parent / "shared" / "data" / "access.log.gz"


@pytest.mark.skipif(not DATA.exists(), reason="the sample of real traffic is not on this machine")
def test_a_real_log_against_plain_python() -> None:
    line = re.compile(
        r'(\S+) (\S+) (\S+) \[([^\]]+)\] "([A-Z]+) (\S+) (HTTP/[\d.]+)" (\d+|-) '
        r'(\d+|-) "(.*?)" "(.*)"$'
    )
    lines = gzip.decompress(DATA.read_bytes()).decode().splitlines()
    rows, errors = decode(AccessLog(), *lines)
    assert [index for index, _ in errors] == [
        i for i, text in enumerate(lines) if not line.match(text)
    ]
    expected = [match.groups() for match in map(line.match, lines) if match]
    for row, want in zip(rows, expected, strict=True):
        at = dt.datetime.strptime(want[3], "%d/%b/%Y:%H:%M:%S %z")
        text = [None if v == "-" else v for v in want]
        assert row[:3] == tuple(text[:3])
        assert row[3] == at
        assert row[4:7] == tuple(text[4:7])
        assert row[7:9] == tuple(None if v is None else int(v) for v in text[7:9])
        assert row[9] == text[9]


def test_logfmt() -> None:
    form = Logfmt({"level": str, "msg": str, "took": float, "cached": bool})
    rows, errors = decode(
        form,
        r'level=info msg="not \"found\" level=5" took=1.5 cached x=y',
        'a b="x"',
        "took=soon",
        "",
        'took= msg=""',
        "level=a level=b",
        'msg="open',
        "=x",
    )
    assert rows == [
        ("info", 'not "found" level=5', 1.5, True),
        (None, None, None, None),
        (None, "", None, None),
        ("a", None, None, None),
    ]
    assert [index for index, _ in errors] == [2, 3, 6, 7]
    assert "column took: cannot read 'soon'" in errors[0][1]
    assert infer(b"level=info n=5 at=2024-01-01T00:00:00Z\nok=true\n").schema == {
        "level": pl.String,
        "n": pl.Int64,
        "at": pl.Datetime("us", "UTC"),
        "ok": pl.Boolean,
    }
    with pytest.raises(ConfigError, match="no key=value"):
        infer(b"")


def test_syslog() -> None:
    rows, errors = decode(
        Syslog(2026),
        '<34>1 2026-10-11T22:14:15.003Z web1 su 42 ID47 [x@9 a="b]"][y] failed: x',
        "<34>1 - - - - - -",
        "<0>1 - - - - - - \ufeffhi",
        "<34>Oct  1 22:14:15 web1 su[42]: failed",
        "Oct 11 22:14:15 web1 just text",
    )
    at = dt.datetime(2026, 10, 11, 22, 14, 15, tzinfo=UTC)
    assert rows == [
        (
            4,
            2,
            at.replace(microsecond=3000),
            "web1",
            "su",
            "42",
            "ID47",
            '[x@9 a="b]"][y]',
            "failed: x",
        ),
        (4, 2, None, None, None, None, None, None, None),
        (0, 0, None, None, None, None, None, None, "hi"),
        (4, 2, at.replace(day=1), "web1", "su", "42", None, None, "failed"),
        (None, None, at, "web1", None, None, None, None, "just text"),
    ]
    assert errors == []
    bad = ["<999>1 - - - - - - x", "<34>1 bad h - - - - x", "Feb 30 22:14:15 h x", "junk"]
    rows, errors = decode(Syslog(2026), *bad)
    assert rows == []
    assert [reason.split(":")[0] for _, reason in errors] == [
        "column priority",
        "column timestamp",
        "column timestamp",
        "not a syslog message",
    ]


def test_regex() -> None:
    form = Regex(r"(?P<level>\w+) took (?P<ms>\d+)(?: x(?P<x>\d))?", {"ms": int})
    assert form.schema == {"level": pl.String, "ms": pl.Int64, "x": pl.String}
    rows, errors = decode(
        form, "a INFO took 15 ms", "nope", "A took 99999999999999999999", "B took 1 x2"
    )
    assert rows == [("INFO", 15, None), ("B", 1, "2")]
    assert [index for index, _ in errors] == [1, 2]
    assert decode(Regex("(?P<a>x)?"), "y") == ([(None,)], [])
    with pytest.raises(ConfigError, match="no named group"):
        Regex("(x)")
    with pytest.raises(ConfigError, match="not a valid pattern"):
        Regex("(?P<a>x")
    with pytest.raises(ConfigError, match="no group 'b'"):
        Regex("(?P<a>x)", {"b": int})
    with pytest.raises(ConfigError, match="cannot become"):
        Regex("(?P<a>x)", {"a": pl.List(pl.Int64)})


def test_text() -> None:
    assert decode(Text("t"), "x", "", b"\xff", "\0") == (
        [("x",), ("",), ("\0",)],
        [(2, "not valid UTF-8")],
    )


FORMS: list[Format] = [
    AccessLog(),
    AccessLog(combined=False),
    Logfmt({"a": int, "b": str}),
    Syslog(2026),
    Regex(r"^(?P<a>\w+)=(?P<b>.*)$"),
    Text(),
]
LETTERS = [b'"', b"\\", b"=", b" ", b"-", b"[", b"]", b"1", b"\xff", b"\x00", b"\n", b"\r"]
WORDS = [b"<1>", b"a=1", b"b=", START.encode(), b'"GET / HTTP/1.1" 200 5', b' "-" "-"']
HEADS = [b"<1>1 - - - - - -", b"Oct  1 10:10:10 h"]
PIECES = st.sampled_from([*LETTERS, *WORDS, *HEADS])


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
@given(messages=st.lists(st.lists(PIECES, max_size=6).map(b"".join), min_size=1, max_size=5))
@settings(max_examples=60, deadline=None)
def test_hostile_messages_never_raise_and_neighbours_do_not_matter(
    form: Format, messages: list[bytes]
) -> None:
    rows, errors = decode(form, *messages)
    alone = [decode(form, message) for message in messages]
    assert rows == [row for good, _ in alone for row in good]
    assert [index for index, _ in errors] == [i for i, (_, bad) in enumerate(alone) if bad]
    assert len(rows) + len(errors) == len(messages)


REAL = (
    '83.149.9.216 - - [17/May/2015:10:05:03 +0000] "GET /a/?x=1 HTTP/1.1" 200 512 "-" "Moz (X)"',
    '::1 id ann [01/Jan/2024:23:59:59 +0000] "POST / HTTP/2" 404 - "http://x/y" "curl/8"',
    '10.0.0.1 - - [29/Feb/2024:00:00:00 +0200] "-" 408 0 "-" "-"',
    '10.0.0.1 - - [9/Feb/2024:00:00:00 +0000] "\\x16\\x03" 400 226 "-" "a\\"b"',
)
ODD = (
    ' "[]\\-+09/:\t\u00e9A',
    '"',
    " ",
    "]",
    "] ",
    '] "',
    '""',
    "\\",
    "- ",
    "+",
    "99999999999999999999",
)


@st.composite
def mutated(draw: st.DrawFn) -> str:
    line = draw(st.sampled_from(REAL))
    if draw(st.booleans()):
        line = line[: line.rindex(' "', 0, line.rindex(' "'))]  # the common format
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(line)))
        end = draw(st.integers(start, min(len(line), start + 3)))
        line = line[:start] + draw(st.sampled_from((*ODD, *ODD[0], ""))) + line[end:]
    return line


@given(st.lists(mutated(), max_size=30), st.booleans())
@settings(max_examples=300)
def test_cutting_usual_lines_gives_what_the_pattern_gives(lines: list[str], combined: bool) -> None:
    form = AccessLog(combined=combined)
    text = pl.Series(lines, dtype=pl.String).str.strip_chars_end()
    expected, errors = form._by_pattern(text)
    frame, fits = usual_lines(text, combined=combined)
    assert frame.filter(fits).equals(expected.filter(fits))
    refused = pl.concat(errors)["index"]
    assert not fits.gather(refused).any()
    decoded = form.decode(pl.Series(lines, dtype=pl.String).cast(pl.Binary))
    assert decoded.errors["index"].to_list() == sorted(set(refused))
    kept = pl.Series(range(len(lines)), dtype=pl.UInt32) if decoded.kept is None else decoded.kept
    assert decoded.frame.equals(expected[kept])


@pytest.mark.parametrize("line", REAL[:2])
def test_usual_lines_are_cut(line: str) -> None:
    assert usual_lines(pl.Series([line]), combined=True)[1].all()
    assert usual_lines(pl.Series([line[: line.index(' "', 60)]]), combined=False)[1].all()
