"""The shell: statements, commands, what Enter does, completion and history."""

from __future__ import annotations

import io
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

import penstock as ps
from penstock.cli.main import main
from penstock.cli.shell import Shell, is_whole, names_of, prompting

MADE = """
CREATE TABLE clicks (page TEXT PRIMARY KEY, n INT);
CREATE MATERIALIZED VIEW total AS SELECT sum(n) AS clicks FROM clicks;
INSERT INTO clicks VALUES ('/a', 1), ('/b', 2);
"""


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ps.Session]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with ps.Session() as made:
        made.sql(MADE)
        yield made


def typed(session: ps.Session, keys: str) -> None:
    """Talk to a shell whose keyboard brings ``keys``."""
    with create_pipe_input() as keyboard, create_app_session(keyboard, DummyOutput()):
        keyboard.send_text(keys)
        Shell(session).talk(prompting(session))


def test_statements_over_lines_errors_and_leaving(
    session: ps.Session, capsys: pytest.CaptureFixture[str]
) -> None:
    typed(session, "SELECT clicks\r FROM total;\rSELEC nothing;\r\\q\r")
    found = capsys.readouterr()
    assert "3" in found.out
    assert "(1 row)" in found.out
    assert "PlanError" in found.err
    assert "Traceback" not in found.err


def test_ctrl_c_drops_what_was_typed_and_ctrl_d_leaves(
    session: ps.Session, capsys: pytest.CaptureFixture[str]
) -> None:
    typed(session, "SELECT 1\x03SELECT 41 + 1 AS sum;\r\x04")
    assert "42" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "whole"),
    [("", True), ("SELECT 1", False), ("SELECT 1;  ", True), ("\\d", True), ("quit", True)],
)
def test_enter_waits_for_the_semicolon(text: str, *, whole: bool) -> None:
    assert is_whole(text) is whole


def test_commands(session: ps.Session, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shell = Shell(session)
    (tmp_path / "more.sql").write_text("SELECT 'from a file' AS x;")
    for text in ("\\d", "\\d clicks", "\\timing", f"\\i {tmp_path / 'more.sql'}", "\\?", ""):
        assert shell.take(text), text
    shown = capsys.readouterr().out
    for part in ("total", "view", "INTEGER", "timing is on", " ms", "from a file", "Ctrl-D"):
        assert part in shown
    for text in ("\\nothing", f"\\i {tmp_path / 'missing'}", "\\d nowhere", "\\watch"):
        assert not shell.take(text), text
    assert "there is no command" in capsys.readouterr().err


def test_a_watched_query_is_shown_until_it_is_over(
    session: ps.Session, capsys: pytest.CaptureFixture[str]
) -> None:
    ended: list[bool] = []
    watching = threading.Thread(
        target=lambda: ended.append(
            Shell(session).take("\\watch SELECT clicks * 7 AS x FROM total;")
        )
    )
    watching.start()
    shown = ""
    for _ in range(6000):
        shown += capsys.readouterr().out
        if "21" in shown:
            break
        time.sleep(0.01)
    session.sql("DROP MATERIALIZED VIEW total CASCADE")
    watching.join(60)
    assert "21" in shown
    assert ended == [True]


def test_completes_keywords_tables_and_columns(session: ps.Session) -> None:
    assert {"SELECT", "clicks", "page", "total"} <= set(names_of(session))
    with create_pipe_input() as keyboard, create_app_session(keyboard, DummyOutput()):
        completer = prompting(session).completer
        found = completer.get_completions(Document("SELECT pa"), CompleteEvent())
        assert [each.text for each in found] == ["page", "PARTITION"]


def test_history_is_private_and_holds_no_secrets(session: ps.Session, tmp_path: Path) -> None:
    typed(session, "SELECT 5;\rSELECT 'postgres://me:hunter2@db/x';\r\\q\r")
    history = tmp_path / "penstock" / "history"
    assert "SELECT 5" in history.read_text()
    assert "hunter2" not in history.read_text()
    assert stat.S_IMODE(history.stat().st_mode) == 0o600


def test_from_a_pipe_it_runs_what_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "made.sql").write_text(MADE)
    monkeypatch.setattr("sys.stdin", io.StringIO("SELECT clicks FROM total;"))
    assert main(["shell", str(tmp_path / "made.sql")]) == 0
    assert "(1 row)" in capsys.readouterr().out
    monkeypatch.setattr("sys.stdin", io.StringIO("SELECT nothing;"))
    assert main(["shell"]) == 1
