"""docs/sql-functions.md is held against the code: every example gives what it says, none is missing."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from sqlglot import exp

import penstock as ps
from penstock.sql_plan import aggregates, functions
from penstock.sql_plan.dialect import parse
from tests.child_processes import ROOT

PAGE = ROOT / "docs" / "sql-functions.md"
ROWS = "(VALUES (1, 'a', 2.0), (2, 'b', 4.5), (3, 'c', 5.0)) AS t(x, y, z)"
_LINE = re.compile(r"^\| `(.*)` \| `(.*)` \|$")
_GIVES_ROWS = ("unnest", "generate_series")

WRITTEN_OTHERWISE = {
    # kinds of nodes that are no functions, or come from another spelling of one that is listed
    "Literal", "Column", "Boolean", "Null", "Paren", "Tuple", "Dot", "Bracket", "Not", "Neg", "Interval",
    "ByteString", "RawString", "Escape", "TsOrDsToDate", "StrToDate", "StrToTime", "TimeToStr",
    "DateTrunc", "UnixToTime", "IntDiv", "RegexpLike", "JSONBExtract", "JSONBExtractScalar",
    "GenerateSeries", "AnyValue",
    # the clock, which only sessions have: docs/sql.md
    "CurrentTimestamp", "CurrentDate", "CurrentTime", "Localtime", "Localtimestamp", "NOW", "MZ_NOW",
    "CLOCK_TIMESTAMP", "STATEMENT_TIMESTAMP", "TRANSACTION_TIMESTAMP",
}  # fmt: skip
OTHER_NAMES = {
    # keys by which older spellings of the parser are known
    "ENDS_WITH", "BITLENGTH", "BYTELENGTH", "DATE_BIN", "ARRAY_CAT", "ARRAY_POSITION", "ARRAY_TO_STRING",
    "STRING_TO_ARRAY", "STRINGTOARRAY", "REGEXPSPLIT", "REGEXP_SPLIT_TO_ARRAY", "SHA2DIGEST", "UNICODE",
    "RAND", "UUID", "ENDSWITH", "JUSTIFYINTERVAL", "CHAR_LENGTH", "OCTET_LENGTH", "BIT_LENGTH", "DATEBIN",
    "ARRAYCONCAT", "ARRAYTOSTRING", "BTRIM", "SHA256", "SHA384", "SHA512", "VAR_SAMP",
}  # fmt: skip


def examples() -> Iterator[tuple[str, str]]:
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        found = _LINE.match(line)
        if found:
            yield found[1].replace("\\|", "|"), found[2].replace("\\|", "|")


EXAMPLES = dict(examples())


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_gives_what_it_says(example: str) -> None:
    cells = [row[0] for row in ps.sql(f"SELECT {example} AS v FROM {ROWS}").collect().rows()]
    rows = example.startswith(_GIVES_ROWS)
    assert repr(cells[: len(cells) // 3] if rows else cells[0]) == EXAMPLES[example]


def used() -> set[str]:
    """Return the names of the kinds of nodes, and of functions, that stand in the examples."""
    found: set[str] = set()
    for example in EXAMPLES:
        for node in parse(f"SELECT {example}")[0].walk():
            found |= {kind.__name__ for kind in type(node).__mro__}
            found.add((node.name if isinstance(node, exp.Anonymous) else node.key).upper())
    return found


def test_no_function_is_missing() -> None:
    known = {kind.__name__ for kind in [*functions._NODES, *aggregates._AGGREGATES]}
    known |= {*functions._FUNCTIONS, *aggregates._NAMED}
    missing = known - used() - WRITTEN_OTHERWISE - OTHER_NAMES
    assert not missing, f"give examples in {PAGE.name} of {sorted(missing)}"


def test_a_missing_one_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(functions._FUNCTIONS, "NOBODY_KNOWS", functions._FUNCTIONS["ROW"])
    with pytest.raises(AssertionError, match="NOBODY_KNOWS"):
        test_no_function_is_missing()
