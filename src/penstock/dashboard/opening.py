"""One dashboard for all runs of a process, its address said, a browser opened where there is one."""

from __future__ import annotations

import os
import sys
import threading
import webbrowser

from penstock.dashboard.contract import Watched
from penstock.dashboard.server import Dashboard

_lock = threading.Lock()
_shared: Dashboard | None = None


def show(run: Watched, ui: bool | Dashboard, name: str = "pipeline") -> Dashboard:  # noqa: FBT001
    """Show a run in the dashboard given, or in the one of this process, which is opened if need be."""
    global _shared
    if isinstance(ui, Dashboard):
        ui.add(run, name)
        return ui
    with _lock:
        first = _shared is None
        if _shared is None:
            _shared = Dashboard()
        found = _shared
    found.add(run, name)
    if first:
        sys.stderr.write(f"dashboard: {found.address}\n")
        open_browser(found.address)
    return found


def open_browser(address: str) -> bool:
    """Open a browser in the background where there is a display; tell whether it was tried."""
    if not has_display():
        return False
    threading.Thread(target=webbrowser.open, args=(address,), name="browser", daemon=True).start()
    return True


def has_display() -> bool:
    """Tell whether a browser could be shown: not on servers, over SSH, in CI or in tests."""
    if any(name in os.environ for name in ("CI", "SSH_CONNECTION", "PYTEST_CURRENT_TEST")):
        return False
    if sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
