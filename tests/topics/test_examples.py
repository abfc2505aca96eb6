"""The examples in docstrings do what they show."""

from __future__ import annotations

import doctest
import types

import pytest

from penstock.connectors.generators import config as generators
from penstock.topics import topic


@pytest.mark.parametrize("module", [topic, generators])
def test_examples(module: types.ModuleType) -> None:
    result = doctest.testmod(module, extraglobs=vars(module))
    assert result.attempted > 0
    assert result.failed == 0
