"""What ``import penstock`` costs: no driver, no engine, and less than the time of Polars again."""

from __future__ import annotations

import subprocess
import sys

from tests.child_processes import ENVIRONMENT

FOREIGN = (
    "cloudpickle",
    "duckdb",
    "httptools",
    "httpx2",
    "numpy",
    "pandas",
    "psycopg",
    "pyarrow",
    "rich",
    "typer",
    "uvicorn",
    "websockets",
    "zstandard",
)
ENGINE = ("penstock.lowering", "penstock.operators", "penstock.runtime.engine")
RUNS = 3


def python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout


def test_loads_no_driver_and_no_engine() -> None:
    loaded = set(python("import sys, penstock; print(*sys.modules)").split())
    assert "penstock.query" in loaded
    assert loaded.isdisjoint(FOREIGN)
    assert not [name for name in loaded if name.startswith(ENGINE)]


def test_takes_less_than_twice_the_time_of_polars() -> None:
    code = (
        "import time; t = time.process_time(); import polars; m = time.process_time(); "
        "import penstock; print(m - t, time.process_time() - t)"
    )
    times = [tuple(map(float, python(code).split())) for _ in range(RUNS)]
    polars, both = min(a for a, _ in times), min(b for _, b in times)
    assert both < 2 * polars, f"polars {polars:.3f} s of processor time, penstock {both:.3f} s"


def test_the_version_is_that_of_the_package() -> None:
    shown = python("import penstock; print(penstock.__version__, hasattr(penstock, 'nothing'))")
    version, nothing = shown.split()
    assert version[0].isdigit()
    assert nothing == "False"
