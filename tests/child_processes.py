"""The environment of processes that tests start: this source tree, installed or not."""

from __future__ import annotations

import os
import signal
from pathlib import Path

ROOT = Path(__file__).parent.parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}


def interruptible() -> None:
    """For ``preexec_fn``: a shell that runs the tests in the background has them ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
