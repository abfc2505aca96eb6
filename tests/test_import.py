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
    "prometheus_client",
    "psycopg",
    "pyarrow",
    "rich",
    "starlette",
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
    """Neither the import nor writing a pipeline does."""
    code = "import sys, penstock; penstock.scan_csv, penstock.Query, penstock.tumbling; "
    loaded = set(python(code + "print(*sys.modules)").split())
    assert {"penstock.query", "penstock.stream.stream"} <= loaded
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


def test_every_public_name_is_there() -> None:
    code = "import penstock; print(*(n for n in penstock.__all__ if not hasattr(penstock, n)), '.')"
    assert python(code).split() == ["."]
    shown = python("import penstock; print(set(penstock.__all__) <= set(dir(penstock)))")
    assert shown.strip() == "True"


def test_the_version_is_that_of_the_package() -> None:
    shown = python("import penstock; print(penstock.__version__, hasattr(penstock, 'nothing'))")
    version, nothing = shown.split()
    assert version[0].isdigit()
    assert nothing == "False"
