from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import polars as pl
import pytest

from penstock.connectors import registry
from penstock.connectors.contract import SourceSpec
from penstock.connectors.files.config import FilesSpec, FolderSpec, TailSpec, files
from penstock.errors import ConfigError


def test_schemes_and_bare_paths(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a;b\n1;2\n")
    for url in (str(path), f"file:{path}", f"file://{path}", f"FILE:{path}"):
        spec = registry.source(url, separator=";")
        assert isinstance(spec, FilesSpec)
        assert spec == files(path, separator=";")
    assert isinstance(registry.source(f"tail:{tmp_path}/x.log"), TailSpec)
    assert isinstance(registry.source(f"folder:{tmp_path}", format="text", settle="2s"), FolderSpec)


def test_unknown_schemes_and_options_name_the_alternatives(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        registry.source("tial:x.log")
    assert "did you mean 'tail'" in str(error.value)
    with pytest.raises(ConfigError, match="no sink"):
        registry.sink("nowhere://x")
    with pytest.raises(ConfigError, match="option 'from_start'"):
        registry.source(f"tail:{tmp_path}/x.log", from_start=True)


def test_every_scheme_names_a_function() -> None:
    for kind, table in (("source", registry.SOURCES), ("sink", registry.SINKS)):
        for scheme in table:
            assert callable(registry._builder(kind, table, scheme, scheme))


def third_party(url: str, *, schema: dict[str, type]) -> SourceSpec:
    assert url == "other://host/x"
    return registry.source(__file__, format="regex", pattern="(?P<a>x)", schema=schema)


def test_entry_points_add_schemes(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(group: str) -> EntryPoints:
        value = f"{third_party.__module__}:third_party"
        entry = EntryPoint(name="other", value=value, group="penstock.sources")
        return EntryPoints([entry] if group == "penstock.sources" else [])

    monkeypatch.setitem(sys.modules, third_party.__module__, sys.modules[__name__])
    monkeypatch.setattr(registry.metadata, "entry_points", found)
    assert registry.source("other://host/x", schema={"a": str}).schema == {"a": pl.String}
    with pytest.raises(ConfigError, match="other"):
        registry.source("nothing:x")
