"""The named instants are there: a function that is renamed must not drop out of the kills unseen."""

from __future__ import annotations

import pkgutil
import random

import pytest

from tests.chaos.points import AT_THE_END, FILES_AND_TOPICS, OFTEN, ONCE, draw


@pytest.mark.parametrize("name", [*ONCE, *OFTEN, *FILES_AND_TOPICS, *AT_THE_END])
def test_is_a_function_that_exists(name: str) -> None:
    assert callable(pkgutil.resolve_name(name))


def test_every_point_is_drawn() -> None:
    rng = random.Random(1)
    drawn = {draw(rng, files_and_topics=True).name for _ in range(3000)}
    assert drawn == {*ONCE, *OFTEN, *FILES_AND_TOPICS, *AT_THE_END}
    without = {draw(rng, files_and_topics=False).name for _ in range(3000)}
    assert without == {*ONCE, *OFTEN, *AT_THE_END}
