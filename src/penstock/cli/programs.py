"""Files as programs: the queries and streams a Python file defines, or its ``main()``; SQL pipelines."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import penstock as ps
from penstock.errors import ConfigError
from penstock.plan.explain import explain
from penstock.plan.identity import PROGRAM
from penstock.plan.node import Node


@dataclass(frozen=True)
class Program:
    """What a file defines at its top level."""

    file: Path
    queries: tuple[ps.Query, ...]
    streams: tuple[ps.Stream, ...]
    main: Callable[..., Any] | None
    names: Mapping[str, ps.Stream] = field(default_factory=dict)
    """The streams by the variables that hold them."""

    def call_main(self, **options: object) -> None:
        """Call ``main()`` with those of the options that were given; it has to take them."""
        if self.main is None:
            raise ConfigError(
                "the file defines neither a query nor main()",
                step="run",
                value=str(self.file),
                hint="end a stream in a sink and give it a name: counts = stream.sink_sqlite(...)",
                line=str(self.file),
            )
        given = {name: value for name, value in options.items() if value}
        taken = inspect.signature(self.main).parameters
        for name, value in given.items():
            if name not in taken:
                raise ConfigError(
                    f"main() takes no {name}",
                    step="run",
                    value=str(value),
                    hint=f"let it be main({name}=None) and hand it to ps.run(...)",
                    line=str(self.file),
                )
        self.main(**given)

    def nodes(self) -> tuple[Node, ...]:
        """Return what queries, or else streams, end in; ``ConfigError`` if there is neither."""
        roots: tuple[Node, ...] = tuple(root for each in self.queries for root in each.roots)
        found = roots or tuple(stream.node for stream in self.streams)
        if not found:
            raise ConfigError(
                "the file defines neither a query nor a stream at its top level",
                step="explain",
                value=str(self.file),
                line=str(self.file),
            )
        return found

    def plans(self) -> Iterator[str]:
        """Return the plans of the queries together, or of the streams if there is no query."""
        nodes = self.nodes()
        if self.queries:
            yield explain(*nodes)
            return
        for stream in self.streams:
            yield stream.explain()


def load(file: Path) -> Program:
    """Import a Python file under another name than ``__main__`` and gather what it defines.

    A ``.sql`` file is a pipeline of CREATE SOURCE, VIEW and SINK statements.
    """
    if not file.is_file():
        raise ConfigError("no such file", step="run", value=str(file), line=str(file))
    if file.suffix.lower() == ".sql":
        return Program(file, tuple(ps.sql_script(file)), (), None)
    spec = importlib.util.spec_from_file_location(f"{PROGRAM}{file.stem}", file)
    if spec is None or spec.loader is None:
        raise ConfigError("this is no Python file", step="run", value=str(file), line=str(file))
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pickle look a class's module up by its name
    sys.path.insert(0, str(file.parent.resolve()))  # as Python does for the file it runs
    spec.loader.exec_module(module)
    found = list(_flat(vars(module).values()))
    main = getattr(module, "main", None)
    return Program(
        file,
        tuple(_distinct(item for item in found if isinstance(item, ps.Query))),
        tuple(_distinct(item for item in found if isinstance(item, ps.Stream))),
        main if callable(main) else None,
        {name: item for name, item in vars(module).items() if isinstance(item, ps.Stream)},
    )


def _flat(values: Iterable[Any]) -> Iterator[Any]:
    for value in values:
        if isinstance(value, (list, tuple)):
            yield from value
        else:
            yield value


def _distinct(items: Iterable[Any]) -> Iterator[Any]:
    return iter({id(item): item for item in items}.values())
