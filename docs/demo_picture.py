# ruff: noqa: INP001 - a script
"""Draw the picture of the README: run the demo for a while, and export its screen.

python docs/demo_picture.py docs/demo.svg
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from rich.console import Console

from penstock.cli.demo.command import run_demo
from penstock.cli.demo.figures import Figures, Pulse
from penstock.cli.demo.view import Screen, draw

SECONDS = 15


def main(target: str) -> None:
    """Keep the last screen before the end, and draw it."""
    kept: list[Pulse] = []
    show = Screen.show

    def keep(screen: Screen, figures: Figures, pulse: Pulse) -> None:
        if pulse.watermark is not None:
            kept[:] = [pulse]
        show(screen, figures, pulse)

    Screen.show = keep  # type: ignore[assignment, method-assign]
    terminal = Console(file=io.StringIO(), force_terminal=True, width=118, height=40)
    summary = run_demo(terminal, log=None, seconds=SECONDS, folder=None)
    picture = Console(file=io.StringIO(), record=True, width=118)
    picture.print(draw(summary.figures, kept[0], "made-up traffic, 600 times as fast as real"))
    Path(target).write_text(picture.export_svg(title="penstock demo"), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
