"""Where compiled code is kept, so that it is compiled once on a machine."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

# Files with compiled functions.
_SOURCES = ("intrinsics.py", "kernels.py", "attention.py", "layers.py")


def cache_folder() -> Path:
    """A folder of the user's, named after the sources.

    numba itself would take old code again if a function has changed that the one it kept calls.
    """
    digest = hashlib.sha256()
    for name in _SOURCES:
        digest.update(Path(__file__).with_name(name).read_bytes())
    base = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return base / "codecascade" / f"compiled-{digest.hexdigest()[:16]}"
