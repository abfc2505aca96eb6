"""Make the strategies beside the tests importable; tests do not depend on wall time."""

import sys
from pathlib import Path

from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parent))
settings.register_profile("unhurried", settings(), deadline=None)  # keeps what a profile chose
settings.load_profile("unhurried")
