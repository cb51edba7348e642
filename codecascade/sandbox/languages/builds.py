"""Builds what a toolchain needs once (a precompiled header, our own compilers), and keeps it in the user's cache.

The folder is ``$XDG_CACHE_HOME/codecascade/toolchains/<language>-<key>``; the key depends on the toolchain's
version and on the build command. Programs see these folders read-only.
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

from codecascade.ground.files.atomic import atomic_folder
from codecascade.ground.files.paths import expanded
from codecascade.sandbox.outcome import Outcome
from codecascade.sandbox.program import Command

# Only within this process; two processes that build the same thing produce the same result.
_lock = threading.Lock()


def build_once(
    name: str, version: str, command: Command, run: Callable[[Command], Outcome]
) -> tuple[str, str | None]:
    """``(folder, None)`` with the outputs of ``command``, or ``("", why it could not be built)``."""
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
    """The user's cache folder; if it is not writable, a temporary one that is removed with this process."""
    base = expanded(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "codecascade" / "toolchains"
    try:
        base.mkdir(parents=True, exist_ok=True)
        if os.access(base, os.W_OK):
            return base
    except OSError:
        pass
    # Never a fixed name in a shared folder: somebody could have prepared a folder of that name.
    temporary = tempfile.mkdtemp(prefix="codecascade-toolchains-")
    atexit.register(shutil.rmtree, temporary, ignore_errors=True)
    return Path(temporary)
