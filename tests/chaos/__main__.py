"""Run the lanes and print what was lost and doubled; see the package's docstring."""

from __future__ import annotations

import os
import random
import shutil
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from tests.chaos.counting import CHECKS
from tests.chaos.lane import Budget, Lane, fork_server
from tests.servers.postgres import running_postgres


def _run(lane: Lane, budget: Budget, failures: list[str]) -> None:
    try:
        lane.run(budget)
    except BaseException:  # noqa: BLE001 - reported by the main thread
        failures.append(traceback.format_exc())
        budget.cancel()


def _report(lanes: list[Lane], seconds: float) -> None:
    kills: Counter[str] = Counter()
    for lane in lanes:
        kills.update(lane.kills)
        sinks = ", ".join(
            f"{each.sink} lost={each.lost} doubled={each.doubled}" for each in lane.missed
        )
        print(f"{lane.name:8} {lane.kills.total():5} kills {lane.written:9,} rows: {sinks}")
    fenced = sum(lane.fenced for lane in lanes)
    ways = ", ".join(f"{how}: {number}" for how, number in sorted(kills.items()))
    print(f"{ways}; woke up and were fenced: {fenced}; {seconds:.0f} s")


def main() -> int:
    """Return 0 if nothing was lost and nothing doubled."""
    wanted = int(os.environ.get("KILLS", "1000"))
    seed = os.environ.get("SEED") or str(random.SystemRandom().randrange(1 << 32))
    print(f"seed={seed}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="penstock-chaos-"))
    budget, failures, context = Budget(wanted), list[str](), fork_server()
    began = time.monotonic()
    with ExitStack() as closing:
        server = closing.enter_context(running_postgres())
        lanes = [
            Lane(
                name,
                folder / name,
                closing.enter_context(server.empty_schema()),
                random.Random(f"{seed} {name}"),
                context,
            )
            for name in CHECKS
        ]
        threads = [threading.Thread(target=_run, args=(x, budget, failures)) for x in lanes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    _report(lanes, time.monotonic() - began)
    missed = [each for lane in lanes for each in lane.missed]
    lost, doubled = sum(each.lost for each in missed), sum(each.doubled for each in missed)
    kills = sum(lane.kills.total() for lane in lanes)
    good = not (lost or doubled or failures) and kills >= wanted
    if good:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        print(*failures, f"kept for a look: {folder}", sep="\n")
    print(f"kills={kills} lost={lost} doubled={doubled}", flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
