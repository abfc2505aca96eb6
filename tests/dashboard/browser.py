"""Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Page, expect, sync_playwright

PATIENCE_MS = 60_000

expect.set_options(timeout=PATIENCE_MS)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the browser; tests/servers/install.sh has installed it."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    assert path is not None, "tests/servers/install.sh installs Chromium"
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(
            executable_path=path,
            timeout=2 * PATIENCE_MS,
            args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"],
        )
        try:
            yield found
        finally:
            found.close()


@contextmanager
def opened(browser: Browser, address: str, **options: object) -> Iterator[Page]:
    """Open a page and go there; whatever goes wrong on it is an error at the end."""
    context = browser.new_context(**options)  # type: ignore[arg-type]
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    page.on("request", lambda asked: wrong.append(asked.url) if _elsewhere(asked.url) else None)
    page.goto(address)
    try:
        yield page
    finally:
        context.close()
    lost = "ERR_CONNECTION"  # a server that a test has ended
    assert [said for said in wrong if lost not in said and "Failed to load" not in said] == []


def _elsewhere(url: str) -> bool:
    return not url.startswith(("http://127.0.0.1", "data:", "blob:"))
