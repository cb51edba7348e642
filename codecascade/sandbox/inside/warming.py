"""Warms up a worker's process before its first program, so that the forks need not repeat the work."""

from __future__ import annotations

import atexit
import builtins
import sys

# See candidate.py.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Job = dict[str, Any]

_WARM_UP = """
def add(numbers: list[int], more: int = 1) -> list[int]:
    return sorted([number + more for number in numbers if number > 0], reverse=True)
class Box:
    def __init__(self, x): self.x = x
assert add([1, 2, -3]) == [3, 2] and str(Box(1.5).x) == "1.5" and {1: 2}.get(1) == 2, "no"
try:
    int("x")
except ValueError as error:
    message = f"{error}"
def check(candidate):
    assert candidate([1], 2) == [3]
check(add)
"""
TRIAL: Job = {
    "restores": True,
    "by_status": False,
    "source": _WARM_UP,
    "tests": "",
    "name": "__main__",
    "stdin": None,
    "files": {},
    "outputs": [],
    "limits": {
        "cpu_seconds": 10.0,
        "wall_seconds": 30.0,
        "longest_seconds": 300.0,
        "memory_mb": 2048,
        "processes": 64,
        "file_mb": 64,
        "scratch_mb": 256,
        "output_bytes": 1_000_000,
        "address_space": True,
    },
}
"""A job that passes in every working worker."""


def rehearse_programs() -> None:
    """Run typical program code, so that forks inherit the interpreter's caches."""
    for _ in range(3):
        exec(compile(_WARM_UP, "warm-up", "exec"), {"__name__": "warm-up"})


def preload(modules: list[str]) -> None:
    """Import what programs are likely to need, and add the builtins that ``site`` would have added."""
    from _sitebuiltins import Quitter

    for name in ("exit", "quit"):
        setattr(builtins, name, Quitter(name, "Ctrl-D"))
    for name in modules:
        try:
            __import__(name)
        except ImportError:
            continue


def forget_ourselves(path: list[str]) -> None:
    """Remove the traces of this package, so that programs find an ordinary interpreter."""
    for name in [name for name in sys.modules if name.split(".")[0] == "codecascade"]:
        del sys.modules[name]
    sys.path[:] = path
    sys.argv[:] = [""]
    sys.orig_argv[:] = ["python"]
    sys.dont_write_bytecode = True
    atexit._clear()
