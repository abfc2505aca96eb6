"""Run one case in a process of its own: ``run_case kafka read-json HOST TOPIC ROWS``.

Prints one JSON object: rows, seconds, and the processor time of this process in seconds.
"""

from __future__ import annotations

import json
import sys
import time

from benchmarks.connectors import kafka

CASES = {"kafka": kafka.CASES}


def main() -> None:
    system, case, *words, rows = sys.argv[1:]
    work = CASES[system][case](*words, int(rows))
    began, used = time.perf_counter(), time.process_time()
    done = work()
    seconds, processor = time.perf_counter() - began, time.process_time() - used
    print(json.dumps({"rows": done, "seconds": seconds, "processor": processor}))


if __name__ == "__main__":
    main()
