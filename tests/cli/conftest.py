"""A tiny model that can infill and chat."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tiny_models import save_tiny_model

sys.path.insert(0, str(Path(__file__).parents[1] / "generation"))  # the server for tests


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_tiny_model(tmp_path_factory.mktemp("cli") / "model"))
