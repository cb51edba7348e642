"""A process of Python that tells by its first line that it is ready."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def python_process(script: str, *arguments: str, **pipes: Any) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process, and the first line that it writes; it is killed at the end.

    Args:
        pipes: ``stdin`` and ``stderr``, as :class:`subprocess.Popen` takes them.
    """
    with subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        **pipes,
    ) as child:
        try:
            assert child.stdout is not None
            yield child, child.stdout.readline().strip()
        finally:
            child.kill()
