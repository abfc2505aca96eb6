"""Random queries and statements give what DuckDB gives: whole, and while their tables change."""

from __future__ import annotations

import os
import random
import time

import pytest

from tests.sql_plan import random_changes
from tests.sql_plan.differential import drawn, run

CASES = 300
SECONDS = 45.0
"""After which CI goes on; ``make sql-fuzz`` takes hours if it is asked to."""


def test_random_queries_answer_as_duckdb() -> None:
    nightly = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
    first = random.randrange(1 << 40) if nightly else 0
    until, ran, answered = time.monotonic() + SECONDS, 0, 0
    while ran < CASES and time.monotonic() < until:
        case = drawn(first + ran)
        outcome = run(case)
        assert not outcome.wrong, f"seed {first + ran}: {outcome.why}\n{case.query}"
        ran += 1
        answered += outcome.verdict == "same"
    assert answered > ran * 0.8, f"only {answered} of {ran} were answered from seed {first}"


@pytest.mark.parametrize("seed", range(8))
def test_random_statements_leave_what_duckdb_has(seed: int) -> None:
    script = random_changes.drawn(seed)
    verdict = random_changes.run(script)
    assert verdict.partition(":")[0] in ("same", "refused", "skipped"), script


def test_a_seed_draws_the_same_case_again() -> None:
    one, two = drawn(1), drawn(1)
    assert one.query == two.query
    assert all(
        frame.equals(other[name])
        for epoch, other in zip(one.epochs, two.epochs, strict=True)
        for name, frame in epoch.items()
    )
