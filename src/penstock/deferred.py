"""Modules that are loaded when they are first used, not when ``import penstock`` runs.

    numpy = Deferred("numpy")      # nothing is loaded
    numpy.arange(3)                # now it is

``import penstock`` has to stay near the time of ``import polars``. Two things would double it: NumPy
(0.2 s), and the engine, which only a starting query needs. Type checkers and import-linter see
ordinary imports, behind ``TYPE_CHECKING``.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any


class Deferred(ModuleType):
    """A module that is imported at the first look at one of its attributes, which is then kept."""

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__"):  # inspect and pickle ask any module for these
            raise AttributeError(attribute)
        found = getattr(importlib.import_module(self.__name__), attribute)
        setattr(self, attribute, found)
        return found


if TYPE_CHECKING:
    import asyncio as asyncio
    import sqlite3 as sqlite3
    from importlib import metadata as metadata

    import numpy as numpy
else:
    asyncio = Deferred("asyncio")
    metadata = Deferred("importlib.metadata")
    numpy = Deferred("numpy")
    sqlite3 = Deferred("sqlite3")
