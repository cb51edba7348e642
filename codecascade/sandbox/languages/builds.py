"""What is made once for a toolchain (a precompiled header, our own compilers), kept in the user's cache.

``$XDG_CACHE_HOME/codecascade/toolchains/<language>-<key>``; the key is of the toolchain's version and of what is
made. Programs see these folders read-only.
"""

from __future__ import annotations

import atexit
import functools
import hashlib
import os
import shutil
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from codecascade.ground.files import atomic_folder
from codecascade.sandbox.outcome import Outcome
from codecascade.sandbox.program import Command

_lock = threading.Lock()  # of one process; two processes that build the same make the same


def build_once(
    name: str, version: str, command: Command, run: Callable[[Command], Outcome]
) -> tuple[str, str | None]:
    """``(folder, None)`` of what ``command`` makes, or ``("", why it could not be made)``."""
    key = hashlib.sha256(repr((version, command)).encode()).hexdigest()[:16]
    with _lock:
        folder = _cache() / f"{name}-{key}"
        if folder.is_dir():
            return str(folder), None
        outcome = run(command)
        missing = [
            output for output in command.outputs if not any(name.startswith(output) for name in outcome.files)
        ]
        if not outcome.passed or missing:
            lines = (outcome.stderr or outcome.stdout).strip().splitlines()
            return "", lines[0] if lines else outcome.exception or f"{missing} not made"
        with atomic_folder(folder) as temporary:
            for output, content in outcome.files.items():
                path = temporary / output
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        return str(folder), None


@functools.cache
def _cache() -> Path:
    """The user's cache folder; where that can't be written, one that goes away with this process."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "codecascade" / "toolchains"
    try:
        base.mkdir(parents=True, exist_ok=True)
        if os.access(base, os.W_OK):
            return base
    except OSError:
        pass
    # Never a fixed name in a folder that others write to: they could have put something of theirs there.
    temporary = tempfile.mkdtemp(prefix="codecascade-toolchains-")
    atexit.register(shutil.rmtree, temporary, ignore_errors=True)
    return Path(temporary)
