"""A pipeline that is killed: rows from any source into any sink, as one JSON argument describes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl

import penstock as ps
from tests.child_processes import ENVIRONMENT, ROOT

SCHEMA = {"id": pl.Int64, "key": pl.String}


def copying(folder: Path, source: dict[str, Any], sink: dict[str, Any]) -> subprocess.Popen[bytes]:
    """Start it: ``{"url": ..., option: ...}`` of each end; what it says is in ``folder/log``."""
    told = json.dumps({"source": source, "sink": sink, "folder": str(folder / "kept")})
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.systems.copying", told],
            cwd=ROOT, env=ENVIRONMENT, stdout=log, stderr=log,
        )  # fmt: skip


def main() -> None:
    """Run until killed, or to the end of a source that has one."""
    told = json.loads(sys.argv[1])
    rows = ps.scan(told["source"].pop("url"), format="json", schema=SCHEMA, **told["source"])
    ps.run(
        rows.sink(told["sink"].pop("url"), **told["sink"]),
        checkpoint=told["folder"],
        checkpoint_interval="100ms",
        restart=ps.Restart(initial_backoff="50ms", max_backoff="500ms"),
    )


if __name__ == "__main__":
    main()
