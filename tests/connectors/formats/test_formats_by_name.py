from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pytest

from penstock.connectors.formats.csv import Csv
from penstock.connectors.formats.json import Json
from penstock.connectors.formats.registry import FORMATS, SYNONYMS, build, infer
from penstock.errors import ConfigError

SAMPLES = {
    "json": {"schema": {"a": int}},
    "avro": {"schema": {"a": int}},
    "protobuf": {"schema": 'syntax = "proto3"; message A { int64 a = 1; }'},
    "msgpack": {"schema": {"a": int}},
    "csv": {"schema": {"a": int}},
    "logfmt": {"schema": {"a": int}},
    "regex": {"pattern": "(?P<a>x)"},
}


@pytest.mark.parametrize("name", [*FORMATS, *SYNONYMS])
def test_every_format_is_built_by_name(name: str) -> None:
    options = SAMPLES.get(SYNONYMS.get(name, name), {})
    form = build(name, **options)  # type: ignore[arg-type]
    assert form == build(name, **options)  # type: ignore[arg-type]
    assert form.name == SYNONYMS.get(name, name)
    decoded = form.decode(pl.Series([], dtype=pl.Binary))
    assert decoded.frame.schema == form.schema


def test_options() -> None:
    schema = {"a": pl.Int64()}
    assert build("tsv", schema, header=False) == Csv(schema, separator="\t", header=False)
    assert infer("json", b'{"a":1,"b":null,"c":[{"d":null}]}\n{"a":2}\n') == Json(
        {"a": int, "b": str, "c": pl.List(pl.Struct({"d": pl.String()}))}
    )
    assert infer("logfmt", b"a=1\n").schema == {"a": pl.Int64}
    assert infer("text", b"").schema == {"text": pl.String}


def test_mistakes_name_the_alternatives() -> None:
    with pytest.raises(ConfigError) as error:
        build("combined")
    assert "combined_log" in str(error.value)
    mistakes: list[tuple[Callable[[], object], str]] = [
        (lambda: build("json", {"a": int}, separator=";"), "no option 'separator'"),
        (lambda: build("json"), "needs schema="),
        (lambda: build("combined_log", {"a": int}), "no option 'schema'"),
        (lambda: build("regex"), "needs pattern="),
        (lambda: infer("csv", b"a\n1\n", sep=";"), "no option 'sep'"),
        (lambda: infer("json", b"nonsense"), "cannot guess"),
    ]
    for call, told in mistakes:
        with pytest.raises(ConfigError, match=told):
            call()
