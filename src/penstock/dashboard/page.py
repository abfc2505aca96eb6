"""The files of the page, read once into memory: no path of a request ever reaches the disk."""

from __future__ import annotations

import mimetypes
from dataclasses import dataclass
from functools import cache
from pathlib import Path

BUILT = Path(__file__).parent / "static"

_MISSING = (
    b"<!doctype html><title>Penstock</title><p>The page is not built. In a checkout: "
    b"<code>python page/build.py</code>. The figures are at <a href=/api/snapshot>/api/snapshot</a>."
)


@dataclass(frozen=True, slots=True)
class File:
    """A file as it is sent."""

    content: bytes
    type: str
    cached: str


@cache
def files(folder: Path = BUILT) -> dict[str, File]:
    """Return the files by their path below the root; only a notice where the page was not built."""
    found = {"": File(_MISSING, "text/html; charset=utf-8", "no-store")}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            name = path.relative_to(folder).as_posix()
            kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
            text = "; charset=utf-8" if kind.startswith("text/") else ""
            lasting = "public, max-age=31536000, immutable"  # the name has a hash of the content
            found[name] = File(
                path.read_bytes(),
                f"{kind}{text}",
                lasting if name.startswith("assets/") else "no-store",
            )
    if "index.html" in found:
        found[""] = found["index.html"]
    return found
