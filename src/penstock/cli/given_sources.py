"""Sources as the commands take them: a URL, its options as KEY=VALUE, and columns as SQL writes them."""

from __future__ import annotations

from typing import Annotated

import typer

from penstock.cli.storages import pairs_of
from penstock.sql_session.sources import stream_at
from penstock.stream import Stream

Form = Annotated[str | None, typer.Option("--format", help="The format: json, combined_log ...")]
Columns = Annotated[
    str | None, typer.Option(help='Its columns, if it does not know them: "id INT, name TEXT".')
]
Options = Annotated[
    list[str] | None,
    typer.Option("--option", "-o", help="KEY=VALUE of the connector or format, repeatable."),
]


def given_stream(
    url: str, form: str | None, columns: str | None, options: list[str] | None
) -> Stream:
    """Return the stream of a URL."""
    named = {"format": form} if form is not None else {}
    return stream_at(url, {**pairs_of(options), **named}, columns)
