"""An INSERT that has returned is there after SIGKILL."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import penstock as ps
from tests.child_processes import ENVIRONMENT

WRITER = """
import sys, penstock as ps
session = ps.Session(sys.argv[1])
session.sql("CREATE TABLE IF NOT EXISTS t (n INT PRIMARY KEY)")
session.sql("CREATE MATERIALIZED VIEW IF NOT EXISTS v AS SELECT count(*) c, sum(n) s FROM t")
first = session.sql("SELECT coalesce(max(n), -1) FROM t").item() + 1
for n in range(first, first + 100_000):
    session.sql(f"INSERT INTO t VALUES ({n})")
    print(n, flush=True)
"""


def test_what_was_inserted_survives(tmp_path: Path) -> None:
    seed = random.randrange(1 << 30)
    chance = random.Random(seed)
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / "session")],
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        said = process.stdout.readline()
        assert said, f"the writer ended (seed {seed})"
        time.sleep(chance.random())
        process.kill()
        said += process.stdout.read()
        process.stdout.close()
        process.wait()
        last = int(said.rpartition("\n")[0].splitlines()[-1])
        with ps.Session(tmp_path / "session") as session:
            found = session.sql("SELECT c, s FROM v")
            assert found is not None
            count, total = found.row(0)
        assert count in (last + 1, last + 2), f"seed {seed}: {count} rows, {last + 1} acknowledged"
        assert total == count * (count - 1) // 2, f"seed {seed}"
