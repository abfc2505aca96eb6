"""A run that is shown, for the tests that only look."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

import penstock as ps
from tests.child_processes import ROOT

from .asking import eventually, told
from .runs import counting


@pytest.fixture(scope="session", autouse=True)
def _page() -> None:
    """Build the page where it is not up to date, as ``make test`` has done."""
    subprocess.run([sys.executable, ROOT / "page" / "build.py"], check=True, timeout=600)


@pytest.fixture(scope="session")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the address of the dashboard of a run that has done everything once."""
    folder = tmp_path_factory.mktemp("shown")
    with ps.Dashboard(port=0) as dashboard:
        query = counting(folder).start(checkpoint=folder / "checkpoint", ui=dashboard)
        address = dashboard.address
        eventually(lambda: _complete(address))
        yield address
        query.stop()


def _complete(address: str) -> bool:
    (run,) = told(address, "/api/snapshot")["runs"]
    return bool(run["dead_letters"] and run["checkpoints"] and run["latency_p50"])
