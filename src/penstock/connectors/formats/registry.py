"""Formats by name, as URLs and options say them: ``build("csv", schema={...}, separator=";")``."""

from __future__ import annotations

import inspect
import io
from collections.abc import Callable, Mapping
from typing import Any

import polars as pl

from penstock.connectors.formats import by_schema, csv, logfmt
from penstock.connectors.formats.access_log import AccessLog
from penstock.connectors.formats.contract import Format
from penstock.connectors.formats.csv import Csv
from penstock.connectors.formats.json import Json
from penstock.connectors.formats.logfmt import Logfmt
from penstock.connectors.formats.msgpack import MsgPack
from penstock.connectors.formats.regex import Regex
from penstock.connectors.formats.schemas import SchemaLike
from penstock.connectors.formats.syslog import Syslog
from penstock.connectors.formats.text import Text
from penstock.errors import ConfigError

Schema = Mapping[str, Any]


def _json(schema: Schema) -> Format:
    return Json(schema)


def _csv(
    schema: Schema,
    separator: str = ",",
    quote: str | None = '"',
    null_values: tuple[str, ...] | list[str] | str = (),
    header: bool = True,  # noqa: FBT001, FBT002 - passed by name, from options
) -> Format:
    return Csv(schema, separator=separator, quote=quote, null_values=null_values, header=header)


def _msgpack(schema: Schema) -> Format:
    return MsgPack(schema)


def _logfmt(schema: Schema) -> Format:
    return Logfmt(schema)


def _regex(pattern: str, schema: Schema | None = None) -> Format:
    return Regex(pattern, schema)


def _text(column: str = "text") -> Format:
    return Text(column)


def _syslog(year: int | None = None) -> Format:
    return Syslog() if year is None else Syslog(year)


FORMATS: dict[str, Callable[..., Format]] = {
    "json": _json,
    "avro": by_schema.avro,
    "protobuf": by_schema.protobuf,
    "msgpack": _msgpack,
    "csv": _csv,
    "combined_log": lambda: AccessLog(combined=True),
    "common_log": lambda: AccessLog(combined=False),
    "logfmt": _logfmt,
    "syslog": _syslog,
    "regex": _regex,
    "text": _text,
}
"""Name to builder; the builder's parameters are the format's options."""

SYNONYMS = {
    "messagepack": "msgpack",
    "proto": "protobuf",
    "ndjson": "json",
    "jsonl": "json",
    "tsv": "csv",
    "raw": "text",
    "lines": "text",
}
_DEFAULTS: dict[str, dict[str, Any]] = {"tsv": {"separator": "\t"}}

INFERS = ("json", "csv", "logfmt")
"""Formats that can guess their schema from a sample."""


def build(name: str, schema: SchemaLike | None = None, **options: Any) -> Format:
    """Return the format called ``name``.

    ``build("csv", {"id": int}, separator=";")``. Raises ``ConfigError`` for an unknown name or
    option, and where a schema is missing or makes no sense.
    """
    builder = _builder(name)
    options = {**_DEFAULTS.get(name, {}), **options}
    if schema is not None:
        options["schema"] = schema
    _check_options(name, builder, options)
    return builder(**options)


def of_messages(
    form: str | Format, schema: SchemaLike | None = None, *, step: str, **options: Any
) -> Format:
    """Return the format of messages that come one by one: no header line unless asked for.

    ``form`` is a name or a format, which takes neither schema nor options.
    """
    if not isinstance(form, str):
        if schema is not None or options:
            raise ConfigError(
                "a format that is built already takes no options",
                step=step,
                value=next(iter(options), "schema"),
                hint='give its name, e.g. format="json", or leave the options out',
            )
        return form
    if SYNONYMS.get(form, form) == "csv":
        options = {"header": False, **options}
    return build(form, schema, **options)


def of_value(
    form: str | Format | None, schema: SchemaLike | None = None, *, step: str, **options: Any
) -> Format | None:
    """Return the format of the values of records, None if they are left as they are."""
    if form is not None:
        return of_messages(form, schema, step=step, **options)
    if schema is not None or options:
        raise ConfigError(
            f"{next(iter(options), 'schema')}= is for a format, and none is named",
            step=step,
            hint='give format="json", for example',
        )
    return None


def infer(name: str, sample: bytes, **options: Any) -> Format:
    """Return the format called ``name`` with the schema guessed from whole lines of ``sample``."""
    kind = SYNONYMS.get(name, name)
    options = {**_DEFAULTS.get(name, {}), **options}
    if kind not in INFERS:
        return build(name, **options)
    _check_options(name, _builder(name), {**options, "schema": {}})
    if kind == "csv":
        return csv.infer(sample, **options)
    return logfmt.infer(sample) if kind == "logfmt" else Json(_json_schema(sample))


def _json_schema(sample: bytes) -> Schema:
    """Guess from all lines of the sample; keys that were only ever null become String."""
    try:
        schema = pl.read_ndjson(io.BytesIO(sample), infer_schema_length=None).schema
    except pl.exceptions.PolarsError as error:
        raise ConfigError(
            f"cannot guess the columns: {error}", step="json", hint="give schema={...}"
        ) from error
    return {name: _no_null(dtype) for name, dtype in schema.items()}


def _no_null(dtype: pl.DataType) -> pl.DataType:
    if dtype == pl.Null:
        return pl.String()
    if isinstance(dtype, pl.List):
        return pl.List(_no_null(dtype.inner))  # type: ignore[arg-type]
    if isinstance(dtype, pl.Struct):
        return pl.Struct([pl.Field(f.name, _no_null(f.dtype)) for f in dtype.fields])  # type: ignore[arg-type]
    return dtype


def _builder(name: str) -> Callable[..., Format]:
    try:
        return FORMATS[SYNONYMS.get(name, name)]
    except KeyError:
        raise ConfigError(
            f"there is no format {name!r}", step="format", value=name, alternatives=FORMATS
        ) from None


def _check_options(name: str, builder: Callable[..., Format], options: Mapping[str, Any]) -> None:
    known = inspect.signature(builder).parameters
    for option in options:
        if option not in known:
            raise ConfigError(
                f"the format has no option {option!r}", step=name, value=option, alternatives=known
            )
    for option, parameter in known.items():
        if parameter.default is parameter.empty and option not in options:
            raise ConfigError(
                f"the format needs {option}=", step=name, value=None, hint=f"give {option}=..."
            )
