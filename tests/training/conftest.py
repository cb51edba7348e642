"""Makes ``tiny_run`` importable: it is also started as a process, so it is a script beside the tests."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
