"""Count the crashes of the session, so that its end tells how much was simulated."""

from __future__ import annotations

from collections import Counter

import pytest

from penstock.testing import CrashPoints
from penstock.testing.crashing import Point

_SEEN: Counter[str] = Counter()


@pytest.fixture(autouse=True)
def counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Note each point at which a run dies, or is overtaken by another one."""
    die, dies = CrashPoints.die, CrashPoints._dies

    def counting_die(self: CrashPoints, point: Point) -> None:
        _SEEN["crashes"] += 1
        die(self, point)

    def counting_dies(self: CrashPoints, point: Point) -> bool:
        before = self.then
        died = dies(self, point)
        _SEEN["overtaken"] += before is not None and self.then is None
        return died

    monkeypatch.setattr(CrashPoints, "die", counting_die)
    monkeypatch.setattr(CrashPoints, "_dies", counting_dies)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell it beside the number of tests."""
    terminalreporter.write_line(
        f"simulated: {_SEEN['crashes']:,} crashes, {_SEEN['overtaken']:,} takeovers"
    )
