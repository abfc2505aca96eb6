"""Noticing that the file of a program, or a module beside it that it imports, has changed."""

from __future__ import annotations

import sys
import time
import traceback
from pathlib import Path

import typer

from penstock.cli.programs import Program, load

LOOK_EVERY_S = 0.2


class Changes:
    """Watches the files of a program, and loads it again when one of them has changed."""

    def __init__(self, program: Program) -> None:
        self._file = program.file
        self._stamps = self._seen()

    def poll(self) -> Program | None:
        """Return the new program if there is one that can be loaded; show why one cannot."""
        stamps = self._seen()
        if stamps == self._stamps:
            return None
        self._stamps = stamps
        for name in self._modules():
            del sys.modules[name]
        try:
            program = load(self._file)
        except Exception as error:  # noqa: BLE001 - whatever the user's file raises
            typer.echo("".join(traceback.format_exception_only(error)).rstrip(), err=True)
            return None
        self._stamps = self._seen()
        if not program.queries:
            typer.echo(f"{self._file} defines no query now", err=True)
            return None
        return program

    def wait(self) -> Program:
        """Wait for a program that can be loaded."""
        while (program := self.poll()) is None:
            time.sleep(LOOK_EVERY_S)
        return program

    def _modules(self) -> dict[str, Path]:
        """Return the modules that were loaded from the folder of the program."""
        folder = self._file.parent.resolve()
        found = {}
        for name, module in list(sys.modules.items()):
            path = getattr(module, "__file__", None)
            if path and folder in Path(path).resolve().parents and "site-packages" not in path:
                found[name] = Path(path)
        return found

    def _seen(self) -> dict[Path, tuple[int, int]]:
        """Return when each file was last written, and its size."""
        return {path: _stamp(path) for path in [self._file, *self._modules().values()]}


def _stamp(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:  # an editor that replaces the file has it away for a moment
        return (0, 0)
    return (found.st_mtime_ns, found.st_size)
