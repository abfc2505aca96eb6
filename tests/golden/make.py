"""Write the checkpoints of this version: ``python -m tests.golden.make``, from the root.

One archive for each pipeline: its checkpoint after half of the rows, its input and output as they
were then, and what the whole run gives. Archives that are there are left alone.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
from pathlib import Path

from penstock.checkpoints.manifest import FORMAT
from tests.golden.pipelines import HALF, KINDS, append, output, run

FOLDER = Path(__file__).parent / f"format-{FORMAT}"
EXPECTED = "expected.json"
_LEFT_OUT = ("lock", "lock-next", "dead-letters")
_SAME_DATE = (2026, 1, 1, 0, 0, 0)


def make(kind: str, archive: Path) -> None:
    """Run one pipeline half way and archive what it leaves, with what the whole would have been."""
    with tempfile.TemporaryDirectory() as name:
        half, whole = Path(name) / "half", Path(name) / "whole"
        half.mkdir()
        append(half, 0, HALF)
        shutil.copytree(half, whole)
        run(half, kind, checkpoint="checkpoint", until=HALF, drain=False)
        append(whole, HALF, 2 * HALF)
        run(whole, kind, checkpoint=None, until=2 * HALF, drain=True)
        (half / EXPECTED).write_text(json.dumps(output(whole)))
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
            for path in sorted(path for path in half.rglob("*") if path.is_file()):
                inside = path.relative_to(half)
                if not set(inside.parts) & set(_LEFT_OUT):
                    info = zipfile.ZipInfo(inside.as_posix(), _SAME_DATE)
                    info.compress_type = zipfile.ZIP_DEFLATED
                    file.writestr(info, path.read_bytes())


def main() -> None:
    """Write what is missing."""
    FOLDER.mkdir(exist_ok=True)
    for kind in KINDS:
        archive = FOLDER / f"{kind}.zip"
        if not archive.exists():
            make(kind, archive)
            print(f"{archive.name}: {archive.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
