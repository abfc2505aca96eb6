"""``penstock connectors``: what can be read and written, and with which options."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from penstock.cli.exits import EXITS
from penstock.connectors import registry
from penstock.errors import ConfigError

app = typer.Typer(add_completion=False)

AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]


@dataclass(frozen=True)
class Option:
    """One option of a connector; ``default`` is None where it has to be given."""

    name: str
    takes: str
    default: str | None


@dataclass(frozen=True)
class Described:
    """A connector as source or sink."""

    name: str
    kind: str
    about: str
    options: tuple[Option, ...]


@app.command(epilog=EXITS)
def connectors(
    name: Annotated[
        str | None, typer.Argument(help="Show the options of this one: kafka, tail ...")
    ] = None,
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """List what can be read and written, or the options of one connector."""
    found = described(name)
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in found], indent=2))
    elif name is None:
        _print_all(found)
    else:
        _print_one(found)


def described(name: str | None = None) -> list[Described]:
    """Return the connectors, or one as source and sink; ``ConfigError`` if there is none."""
    found = [
        _described(scheme, kind, find(scheme))
        for kind, table, find in (
            ("source", registry.SOURCES, registry.source_function),
            ("sink", registry.SINKS, registry.sink_function),
        )
        for scheme in sorted(table)
        if name is None or scheme == name.lower()
    ]
    if not found:
        raise ConfigError(
            f"there is no connector {name!r}",
            step="connectors",
            value=name,
            alternatives=sorted({*registry.SOURCES, *registry.SINKS}),
            line="",
        )
    return found


def _described(scheme: str, kind: str, function: Callable[..., object]) -> Described:
    about = (inspect.getdoc(function) or "").partition("\n")[0].removeprefix("Describe ")
    parameters = inspect.signature(function).parameters.values()
    options = [_option(p) for p in parameters if p.kind is not inspect.Parameter.VAR_KEYWORD]
    return Described(scheme, kind, about.replace("``", ""), tuple(options))


def _option(parameter: inspect.Parameter) -> Option:
    missing = parameter.default is inspect.Parameter.empty
    default = None if missing else getattr(parameter.default, "value", parameter.default)
    takes = str(parameter.annotation)
    return Option(parameter.name, takes, None if missing else repr(default))


def _print_all(found: list[Described]) -> None:
    table = Table("connector", "as", "what it is")
    for each in found:
        table.add_row(each.name, each.kind, each.about)
    Console(markup=False).print(table)
    typer.echo("options of one: penstock connectors NAME")


def _print_one(found: list[Described]) -> None:
    for each in found:
        typer.echo(f"{each.kind} {each.name}: {each.about}")
        table = Table("option", "takes", "default")
        for option in each.options:
            table.add_row(
                option.name, option.takes, "(needed)" if option.default is None else option.default
            )
        Console(markup=False).print(table)
