# ruff: noqa: INP001 - a script
"""Take the picture of the dashboard: run the demo for a while, and look at its first screen.

python docs/dashboard_picture.py docs/dashboard.png
"""

from __future__ import annotations

import io
import shutil
import sys
import threading

from playwright.sync_api import sync_playwright
from rich.console import Console

import penstock as ps
from penstock.cli.demo.command import run_demo

SECONDS, LOOKED_AT = 45, 35
SIZE = {"width": 1600, "height": 1240}


def look(address: str, target: str) -> None:
    """Keep the page open until its curves are long, then take the picture."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport=SIZE, color_scheme="dark")  # type: ignore[arg-type]
        page.goto(address)
        page.wait_for_timeout(1000 * LOOKED_AT)
        page.screenshot(path=target)
        browser.close()


def main(target: str) -> None:
    """Run the demo, watched by a browser."""
    with ps.Dashboard(port=0, title="demo") as dashboard:
        looking = threading.Thread(target=look, args=(dashboard.address, target))
        looking.start()
        silent = Console(file=io.StringIO())
        run_demo(silent, log=None, seconds=SECONDS, folder=None, dashboard=dashboard)
        looking.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
