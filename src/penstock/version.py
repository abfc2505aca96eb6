"""The version of this installation."""

from __future__ import annotations

import functools

from penstock.deferred import metadata


@functools.cache
def version() -> str:
    """Look the version up when it is asked for: that reads files, and takes 20 ms."""
    try:
        return metadata.version("penstock")
    except metadata.PackageNotFoundError:  # run from a source tree that is not installed
        return "0.0.0"
