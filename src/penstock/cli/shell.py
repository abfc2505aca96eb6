"""``penstock shell``: SQL typed by hand, with completion, history, and results that stay live."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import polars as pl
import typer

import penstock as ps
from penstock.cli.exits import EXITS
from penstock.connectors.drivers import load_driver
from penstock.errors import ConfigError, PenstockError
from penstock.hiding import hidden

if TYPE_CHECKING:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.history import History

app = typer.Typer(add_completion=False)

HELP = """\
Statements end with a semicolon and may go over several lines.
  \\watch QUERY   shows a query and keeps it up to date, until Ctrl-C
  \\d             lists tables, views, sources and sinks; \\d NAME its columns
  \\timing        says how long each statement takes, or no longer does
  \\i FILE        runs the statements of a file
  \\q             leaves, as Ctrl-D does"""

_LISTED = {"name": pl.String, "kind": pl.String}

_KEYWORDS = """
ALTER AND AS ASOF BETWEEN BY CASE CAST CREATE CROSS CUBE DELETE DESC DESCRIBE DISTINCT DROP ELSE
EMIT END EXCEPT EXISTS EXPLAIN FILTER FROM FULL FUNCTION GROUP HAVING HOP IN INNER INSERT
INTERSECT INTERVAL INTO IS JOIN LATERAL LEFT LIKE LIMIT MATERIALIZED NOT NULL OFFSET ON OR ORDER
OUTER OVER PARTITION PRIMARY RIGHT ROLLUP SELECT SESSION SET SHOW SINK SOURCE TABLE TABLES THEN
TUMBLE UNION UPDATE USING VALUES VIEW VIEWS WATERMARK WHEN WHERE WINDOW WITH
""".split()  # noqa: SIM905 - a list of them would be a page


@app.command(epilog=EXITS)
def shell(
    file: Annotated[
        Path | None, typer.Argument(help="Statements to run first: CREATE SOURCE, VIEW ...")
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="The folder of a durable session, with its tables.")
    ] = None,
) -> None:
    """Type SQL over files, streams and tables; from a pipe, run what comes through it."""
    with ps.Session(checkpoint) as session:
        shell = Shell(session)
        if file is not None:
            session.sql(file.read_text(encoding="utf-8"))
        if sys.stdin.isatty():
            shell.talk(prompting(session))
        elif not shell.take(sys.stdin.read()):
            raise typer.Exit(1)


class Shell:
    """Runs what is typed, and shows results and errors; an error ends nothing."""

    def __init__(self, session: ps.Session) -> None:
        self._session = session
        self._timing = False

    def talk(self, prompt: PromptSession[str]) -> None:
        """Ask and answer until Ctrl-D or ``\\q``; Ctrl-C drops what was typed."""
        typer.echo("penstock shell: \\? for help, \\q to leave")
        while True:
            try:
                text = prompt.prompt("penstock> ")
            except KeyboardInterrupt:
                continue
            except EOFError:
                return
            if text.strip() in ("\\q", "exit", "quit", "exit;", "quit;"):
                return
            self.take(text)

    def take(self, text: str) -> bool:
        """Run statements, or a command that begins with a backslash; False if it failed."""
        text, begun = text.strip(), time.perf_counter()
        if not text:
            return True
        try:
            self._command(text) if text.startswith("\\") else self._statement(text)
        except (PenstockError, OSError, UnicodeDecodeError) as error:
            typer.echo(f"{type(error).__name__}: {hidden(str(error))}", err=True)
            return False
        except KeyboardInterrupt:
            typer.echo("interrupted", err=True)
            return False
        if self._timing:
            typer.echo(f"{(time.perf_counter() - begun) * 1e3:,.1f} ms")
        return True

    def _statement(self, text: str) -> None:
        found = self._session.sql(text)
        if found is not None:
            print_rows(found)

    def _command(self, text: str) -> None:
        word, _, rest = text.partition(" ")
        rest = rest.strip().rstrip(";")
        if word == "\\watch" and rest:
            self._watch(rest)
        elif word == "\\d":
            if rest:
                self._statement(f"DESCRIBE {rest}")
            else:
                print_rows(listed(self._session))
        elif word == "\\timing":
            self._timing = not self._timing
            typer.echo(f"timing is {'on' if self._timing else 'off'}")
        elif word == "\\i" and rest:
            self._statement(Path(rest).read_text(encoding="utf-8"))
        elif word == "\\?":
            typer.echo(HELP)
        else:
            raise ConfigError(
                f"there is no command {word}", step="shell", hint="\\? lists them", line=""
            )

    def _watch(self, query: str) -> None:
        """Show a query in place until Ctrl-C, or until what it reads is over."""
        running = self._session.follow(query).sink_console(query)
        ps.run(running)


def listed(session: ps.Session) -> pl.DataFrame:
    """Return the relations of a session: ``name``, ``kind``."""
    found: dict[str, str] = {}
    for kind in ("table", "view", "materialized view", "source", "sink"):
        for name in _names(session.sql(f"SHOW {kind}S")):
            found.setdefault(name, kind)
    return pl.DataFrame({"name": list(found), "kind": list(found.values())}, schema=_LISTED)


def print_rows(frame: pl.DataFrame) -> None:
    """Print a table whole, and how many rows it has."""
    with pl.Config(tbl_rows=-1, tbl_cols=-1, tbl_hide_dataframe_shape=True):
        typer.echo(str(frame))
    typer.echo(f"({frame.height:,} row{'' if frame.height == 1 else 's'})")


def prompting(session: ps.Session) -> PromptSession[str]:
    """Return a prompt with history, completion, colours, and Enter that waits for a semicolon."""
    toolkit = load_driver("prompt_toolkit", "shell", "shell")
    bindings = load_driver("prompt_toolkit.key_binding", "shell", "shell").KeyBindings()
    lexers = load_driver("prompt_toolkit.lexers", "shell", "shell")
    sql = load_driver("pygments.lexers.sql", "shell", "shell")
    completion = load_driver("prompt_toolkit.completion", "shell", "shell")
    words = completion.DynamicCompleter(
        lambda: completion.WordCompleter(list(names_of(session)), ignore_case=True)
    )

    @bindings.add("enter")  # type: ignore[untyped-decorator]
    def _(event: object) -> None:
        buffer = event.current_buffer  # type: ignore[attr-defined]
        if is_whole(buffer.text):
            buffer.validate_and_handle()
        else:
            buffer.insert_text("\n")

    prompt: PromptSession[str] = toolkit.PromptSession(
        history=_remembered(),
        completer=words,
        complete_while_typing=False,
        lexer=lexers.PygmentsLexer(sql.PostgresLexer),
        key_bindings=bindings,
        multiline=True,
        prompt_continuation="       -> ",
    )
    return prompt


def is_whole(text: str) -> bool:
    """Tell whether Enter runs what was typed: a command, a statement with its semicolon, or nothing."""
    text = text.strip()
    return not text or text.startswith("\\") or text.endswith(";") or text in ("exit", "quit")


def names_of(session: ps.Session) -> Iterator[str]:
    """Yield what can be completed: the tables and columns that there are, and keywords."""
    for name, kind in listed(session).rows():
        yield name
        if kind != "sink":
            yield from _names(session.sql(f'DESCRIBE "{name}"'))
    yield from _KEYWORDS


def _names(frame: pl.DataFrame | None) -> Iterable[str]:
    return [] if frame is None or not frame.width else frame.to_series(0).to_list()


def _remembered() -> History:
    """Return what was typed before, in a file that its owner alone can read; no secrets."""
    base = load_driver("prompt_toolkit.history", "shell", "shell").FileHistory

    class WithoutSecrets(base):  # type: ignore[misc, valid-type]
        def store_string(self, string: str) -> None:
            if hidden(string) == string:
                super().store_string(string)

    history: History = WithoutSecrets(str(_history()))
    return history


def _history() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    file = Path(state) / "penstock" / "history"
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    file.touch(mode=0o600)
    return file
