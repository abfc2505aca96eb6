"""Load a third-party driver when its connector is first used, and say how to install it."""

from __future__ import annotations

import importlib
import types

from penstock.errors import ConfigError


def load_driver(module: str, extra: str, step: str) -> types.ModuleType:
    """Import ``module``, or raise ``ConfigError`` naming the extra that brings it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the Python package {module!r} is not installed",
            step=step,
            value=module,
            hint=f"pip install 'penstock[{extra}]'",
        ) from error
