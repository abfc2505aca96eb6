from __future__ import annotations

import platform
from pathlib import Path

import numpy as np
import pytest

from penstock.runtime.free_memory import FreeMemory


def resident_kb() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a matter of glibc")
def test_what_was_freed_goes_back_to_the_system_when_it_is_time() -> None:
    memory = FreeMemory()
    memory.give_back(0.0)
    arrays = [np.ones(8_000) for _ in range(4_000)]  # 64 KB each: from an arena, not mapped alone
    last = arrays.pop()  # it holds the end of the arena
    arrays.clear()
    before = resident_kb()
    memory.give_back(1.0)
    assert resident_kb() > before - 50_000, "it is not time"
    memory.give_back(10.0)
    assert resident_kb() < before - 100_000
    assert last[0] == 1
