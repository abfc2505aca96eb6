"""WITH (connector = 'tail', ...) to the same specifications that URLs and named functions give."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import polars as pl
from sqlglot import exp

from penstock.connectors import registry
from penstock.connectors.contract import SinkSpec, SourceSpec
from penstock.connectors.files.config import EXTENSIONS
from penstock.connectors.files.opening import uncompressed_suffix
from penstock.connectors.formats import registry as formats
from penstock.connectors.options import check_options
from penstock.errors import ConfigError
from penstock.hiding import url_has_password
from penstock.scans import from_source
from penstock.secrets import WAY_OUT, refuse_literals
from penstock.sql_plan.clauses import Clauses, OptionValue
from penstock.sql_plan.dialect import Marked
from penstock.stream import Stream

_CONNECTOR = "connector"
_FIRST = ("path", "url", "address")
"""What users call the first parameter of a connector, whose own name may be another."""

_ALIASES = {"primary_key": "key"}
_SCAN = ("epoch_rows", "durable", "durable_max_bytes")
_FILES = ("file", "folder", "tail")
_TABLES = ("parquet", "pq", "ipc", "arrow", "feather")
"""Formats of files that know their own types."""


def source_stream(clauses: Clauses, columns: Mapping[str, pl.DataType]) -> Stream:
    """Return the stream of a CREATE SOURCE; ``columns`` are those it declares, if any.

    A format that needs to be told its columns is told these; from others they are taken and cast.
    """
    options = _encoded(clauses)
    scanning = {name: options.pop(name) for name in _SCAN if name in options}
    connector, function, given = _called("source", clauses, options)
    passed = bool(columns) and _takes_schema(connector, function, given, clauses.url)
    if passed:
        given["schema"] = dict(columns)
    spec = _built(connector, function, clauses, given)
    assert isinstance(spec, SourceSpec)
    stream = from_source(spec, **_converted(from_source, scanning))
    if not columns or passed:
        return stream
    return stream.select(
        pl.col(_known(stream, name, connector)).cast(dtype).alias(name)
        for name, dtype in columns.items()
    )


def sink_spec(clauses: Clauses) -> SinkSpec:
    """Return the specification of a CREATE SINK."""
    connector, function, given = _called("sink", clauses, _encoded(clauses))
    spec = _built(connector, function, clauses, given)
    assert isinstance(spec, SinkSpec)
    return spec


def refuse_secrets(marked: Marked) -> None:
    """Raise ``ConfigError`` for a definition whose text holds a secret: it would be written down."""
    clauses = marked.clauses
    if clauses.kind:
        given = {"url": clauses.url} if clauses.url else {}
        everything = {**given, **clauses.options, **clauses.encoding_options}
        refuse_literals(everything, step=f"CREATE {clauses.kind}")
    elif isinstance(marked.node, exp.Create) and url_has_password(marked.text):
        raise ConfigError(
            "a URL in this statement holds a password, which would be kept on disk as it is",
            step="sql",
            hint=WAY_OUT,
        )


def _encoded(clauses: Clauses) -> dict[str, Any]:
    """Return the options, with ``FORMAT PLAIN ENCODE JSON`` as ``format = 'json'``."""
    options: dict[str, Any] = dict(clauses.options)
    if clauses.encoding is None:
        return options
    if "format" in options:
        raise ConfigError(
            "the format is given twice", step="sql", hint="leave out ENCODE, or the option"
        )
    return {**options, "format": clauses.encoding, **clauses.encoding_options}


def _called(
    kind: str, clauses: Clauses, options: dict[str, Any]
) -> tuple[str, Callable[..., object], dict[str, Any]]:
    """Return the connector's scheme, its function, and the options under its parameters' names."""
    known = registry.SOURCES if kind == "source" else registry.SINKS
    connector = options.pop(_CONNECTOR, None)
    if clauses.url is not None:
        if connector is not None:
            raise ConfigError("a connector and a URL are given", step="sql", hint="leave one out")
        connector = registry.scheme_of(clauses.url, "file" if kind == "source" else "files")
    if not isinstance(connector, str):
        raise ConfigError(
            f"WITH (connector = '...') does not name a {kind}",
            step="sql",
            alternatives=sorted(known),
        )
    find = registry.source_function if kind == "source" else registry.sink_function
    function = find(connector)
    return connector.lower(), function, _converted(function, _renamed(function, options))


def _renamed(function: Callable[..., object], options: Mapping[str, Any]) -> dict[str, Any]:
    names = list(inspect.signature(function).parameters)
    found = {}
    for option, value in options.items():
        name = option.lower()
        if name not in names:
            name = _ALIASES.get(name, name)
            if name in _FIRST and names:
                name = names[0]
        if name in found:
            raise ConfigError(f"option {option!r} is given twice", step="sql", value=option)
        found[name] = value
    return found


def _converted(function: Callable[..., object], options: Mapping[str, Any]) -> dict[str, Any]:
    """Read texts as what a parameter takes: SQL users quote numbers, and separate names by commas."""
    parameters = inspect.signature(function).parameters
    found = {}
    for name, value in options.items():
        parameter = parameters.get(name)
        takes = "" if parameter is None else str(parameter.annotation)
        found[name] = _as(name, value, takes) if isinstance(value, str) else value
    return found


def _as(name: str, text: str, takes: str) -> OptionValue | datetime:
    if text.lower() in ("true", "false") and ("bool" in takes or not takes):
        return text.lower() == "true"
    if "Iterable[str]" in takes:
        return tuple(part.strip() for part in text.split(","))
    if "str" in takes or not takes:
        return text
    kinds: dict[str, Callable[[str], OptionValue | datetime]] = {
        "int": int,
        "float": float,
        "datetime": datetime.fromisoformat,
    }
    for kind, read in kinds.items():
        if kind in takes and "Duration" not in takes:
            try:
                return read(text)
            except ValueError:
                raise ConfigError(
                    f"option {name!r} is not the {kind} that it should be", step="sql", value=name
                ) from None
    return text


def _takes_schema(
    connector: str, function: Callable[..., object], given: Mapping[str, Any], url: str | None
) -> bool:
    if "schema" not in inspect.signature(function).parameters:
        return False
    form = given.get("format") or _format_of(connector, function, given, url)
    if form in _TABLES:
        return connector == "folder"  # whose files may still be to come
    builder = formats.FORMATS.get(formats.SYNONYMS.get(form, form)) if form else None
    return builder is not None and "schema" in inspect.signature(builder).parameters


def _format_of(
    connector: str, function: Callable[..., object], given: Mapping[str, Any], url: str | None
) -> str | None:
    """Return the format that is meant where none is named: by the extension, or the default."""
    parameters = inspect.signature(function).parameters
    default = parameters["format"].default if "format" in parameters else None
    path = str(url or given.get(next(iter(parameters)), ""))
    if connector in _FILES and uncompressed_suffix(path) in EXTENSIONS:
        return EXTENSIONS[uncompressed_suffix(path)]
    return default if isinstance(default, str) else None


def _built(
    connector: str, function: Callable[..., object], clauses: Clauses, given: dict[str, Any]
) -> object:
    if clauses.url is None:
        check_options(connector, function, given, given=0)
        return function(**given)
    build = registry.source if clauses.kind == "SOURCE" else registry.sink
    return build(clauses.url, **given)


def _known(stream: Stream, name: str, connector: str) -> str:
    same = [c for c in stream.columns if c == name]
    same = same or [c for c in stream.columns if c.lower() == name.lower()]
    if not same:
        raise ConfigError(
            f"the source has no column {name!r}",
            step=connector,
            value=name,
            alternatives=stream.columns,
        )
    return same[0]
