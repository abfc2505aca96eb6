"""The environment of processes that tests start: this source tree, installed or not."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).parent.parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
