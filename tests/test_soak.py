"""When the soak says that something has grown."""

from __future__ import annotations

from dataclasses import replace

import pytest
from benchmarks.soak import Line, not_flat

STEADY = Line(
    seconds=0.0,
    rows_per_s=1e6,
    anonymous_mb=500.0,
    open_files=20,
    checkpoints=10,
    checkpoint_s=0.3,
    epoch_p99_ms=50.0,
    folder_mb=100.0,
    folder_files=15,
)
MINUTES = 60


def lines(**grown_by: float) -> list[Line]:
    """Return an hour of lines in which some figures grow by so much, steadily."""
    steps = range(6 * MINUTES)
    return [
        replace(
            STEADY,
            seconds=10.0 * (step + 1),
            **{n: getattr(STEADY, n) + by * step / len(steps) for n, by in grown_by.items()},  # type: ignore[arg-type]
        )
        for step in steps
    ]


def test_what_stays_is_flat() -> None:
    assert not_flat(lines()) == []
    assert not_flat(lines(rows_per_s=-5e5, epoch_p99_ms=100.0)) == []
    assert not_flat(lines(anonymous_mb=20.0, checkpoint_s=0.05, open_files=1)) == []


@pytest.mark.parametrize(
    ("name", "by"),
    [
        ("anonymous_mb", 150.0),
        ("open_files", 10.0),
        ("checkpoint_s", 0.6),
        ("folder_mb", 120.0),
        ("folder_files", 40.0),
    ],
)
def test_what_grows_is_named(name: str, by: float) -> None:
    (grown,) = not_flat(lines(**{name: by}))
    assert grown.startswith(name)


def test_no_checkpoint_at_all_is_not_flat() -> None:
    never = [replace(line, checkpoint_s=float("nan")) for line in lines()]
    assert not_flat(never) != []


def test_the_beginning_does_not_count() -> None:
    first, rest = lines()[:30], lines()[30:]
    grown = [replace(line, anonymous_mb=100.0) for line in first]
    assert not_flat([*grown, *rest]) == []
