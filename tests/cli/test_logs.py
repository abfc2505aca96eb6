"""The log of the command: JSON and text, levels, and no secrets."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.cli.logs import LogFormat, LogLevel, log_to_stderr
from penstock.cli.main import main


@pytest.fixture(autouse=True)
def _log_as_it_was() -> Iterator[None]:
    logger = logging.getLogger("penstock")
    before = logger.handlers, logger.propagate, logger.level
    yield
    logger.handlers, logger.propagate = before[0], before[1]
    logger.setLevel(before[2])


def test_json_lines_without_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    log_to_stderr(LogFormat.JSON, LogLevel.INFO)
    logger = logging.getLogger("penstock.part")
    logger.info("to %s", "postgres://me:hunter2@db/x")
    logger.debug("not this")
    try:
        int("postgres://me:hunter2@db/x")
    except ValueError:
        logger.exception("it failed")
    said = capsys.readouterr().err
    first, second = map(json.loads, said.splitlines())
    assert (first["level"], first["logger"]) == ("info", "penstock.part")
    assert first["time"].endswith("+00:00")
    assert "ValueError" in second["error"]
    assert "hunter2" not in said


def test_text_lines(capsys: pytest.CaptureFixture[str]) -> None:
    log_to_stderr(LogFormat.TEXT, LogLevel.WARNING)
    logging.getLogger("penstock").warning("to %s", "postgres://me:hunter2@db/x")
    logging.getLogger("penstock").info("not this")
    (line,) = capsys.readouterr().err.splitlines()
    assert "WARNING: to postgres://me" in line
    assert "hunter2" not in line


def test_dead_letters_are_told_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.ndjson").write_text('{"a": 1}\n{"a": x}\n')
    url = str(tmp_path / "a.ndjson")
    assert main(["--log-format", "json", "preview", url, "--columns", "a INT", "--json"]) == 0
    found = capsys.readouterr()
    assert found.out == '{"a":1}\n'
    assert "dead letters" in json.loads(found.err.splitlines()[0])["message"]
