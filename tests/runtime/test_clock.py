"""The engine's clock, when the machine's clock is set."""

from __future__ import annotations

import time

from penstock.runtime.clock import SystemClock

SECOND = 1_000_000_000
HOUR = 3600 * SECOND
START = 1_800_000_000 * SECOND


class Machine:
    """A machine whose time passes, and whose clock is set, by hand."""

    def __init__(self) -> None:
        self.passed = 5 * SECOND
        self.wall = START
        self.clock = SystemClock(lambda: self.wall, lambda: self.passed)

    def run(self, seconds: float, *, looks: int = 10) -> int:
        """Let time pass, looking at the clock now and then."""
        now = self.clock.now()
        for _ in range(looks):
            self.passed += round(seconds * SECOND / looks)
            self.wall += round(seconds * SECOND / looks)
            after = self.clock.now()
            assert after >= now
            now = after
        return now

    def set(self, by: int) -> None:
        self.wall += by


def test_follows_the_machines_clock() -> None:
    machine = Machine()
    assert machine.clock.now() == START
    assert machine.run(90) == machine.wall
    machine.set(SECOND // 2)
    assert machine.run(1) == machine.wall
    machine.set(-SECOND // 2)
    assert machine.run(1) == machine.wall


def test_a_clock_that_is_wrong_for_a_moment_is_not_believed() -> None:
    machine = Machine()
    machine.set(5 * HOUR)
    assert machine.run(30) == START + 30 * SECOND
    machine.set(-5 * HOUR)
    assert machine.run(30) == machine.wall == START + 60 * SECOND


def test_a_step_forward_that_lasts_is_believed() -> None:
    machine = Machine()
    machine.set(5 * HOUR)
    machine.run(59)
    assert machine.clock.now() == START + 59 * SECOND
    machine.run(2)
    assert machine.clock.now() == machine.wall == START + 5 * HOUR + 61 * SECOND


def test_after_a_step_back_time_goes_on_at_half_speed() -> None:
    machine = Machine()
    machine.run(10)
    machine.set(-2 * HOUR)
    assert machine.run(100) == START + 60 * SECOND
    assert machine.run(4 * 3600, looks=1000) == machine.wall


def test_time_in_which_the_machine_slept_has_passed() -> None:
    machine = Machine()
    machine.passed += 60 * HOUR
    machine.wall += 60 * HOUR
    assert machine.clock.now() == machine.wall


def test_the_real_one_tells_the_time_of_day() -> None:
    assert abs(SystemClock().now() - time.time_ns()) < 10 * SECOND
