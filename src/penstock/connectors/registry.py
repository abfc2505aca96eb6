"""Connectors by URL: ``source("tail:access.log", format="combined_log")``.

A URL begins with a scheme of ``SOURCES`` or ``SINKS``, or is a plain path, which means ``file:``.
To add a connector, add its line: the scheme, and ``module:function`` of the function that takes
what follows the scheme (for ``scheme://...`` the whole URL) and the options, and returns a spec.
Packages of others add theirs as entry points: groups ``penstock.sources``, ``penstock.sinks``.
A module is imported when its scheme is first used.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping
from typing import Any

from penstock.connectors.contract import SinkSpec, SourceSpec
from penstock.deferred import metadata
from penstock.errors import ConfigError

SOURCES: dict[str, str] = {
    "file": "penstock.connectors.files.config:files",
    "folder": "penstock.connectors.files.config:folder",
    "tail": "penstock.connectors.files.config:tail",
}

SINKS: dict[str, str] = {}

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+):", re.IGNORECASE)  # two letters: "C:\\x" is a path


def source(url: str, **options: Any) -> SourceSpec:
    """Describe the source that a URL names.

    ``source("orders/*.csv", separator=";")``, ``source("tail:access.log", format="combined_log")``.
    Raises ``ConfigError`` for an unknown scheme or option.
    """
    spec = _build("source", SOURCES, url, options)
    assert isinstance(spec, SourceSpec)
    return spec


def sink(url: str, **options: Any) -> SinkSpec:
    """Describe the sink that a URL names, as ``source`` does."""
    spec = _build("sink", SINKS, url, options)
    assert isinstance(spec, SinkSpec)
    return spec


def _build(kind: str, table: Mapping[str, str], url: str, options: dict[str, Any]) -> object:
    match = _SCHEME.match(url)
    scheme, rest = (match[1].lower(), url[match.end() :]) if match else ("file", url)
    builder = _builder(kind, table, scheme, url)
    target = url if rest.startswith("//") and scheme != "file" else rest.removeprefix("//")
    try:
        return builder(target, **options)
    except TypeError as error:
        if "unexpected keyword" not in str(error):
            raise
        raise ConfigError(str(error).split(") ", 1)[-1], step=scheme, value=url) from error


def _builder(kind: str, table: Mapping[str, str], scheme: str, url: str) -> Callable[..., object]:
    if scheme in table:
        module, function = table[scheme].split(":")
        found: Callable[..., object] = getattr(importlib.import_module(module), function)
        return found
    others = metadata.entry_points(group=f"penstock.{kind}s")
    for entry in others.select(name=scheme):
        loaded: Callable[..., object] = entry.load()
        return loaded
    raise ConfigError(
        f"there is no {kind} {scheme!r} for {url!r}",
        step=kind,
        value=scheme,
        alternatives=sorted({*table, *others.names}),
    )
