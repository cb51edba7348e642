"""A small repository."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from git_repositories import run


@pytest.fixture(scope="session")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once; each test gets a copy."""
    root: Path = tmp_path_factory.mktemp("git") / "code"
    for name, text in {"a/x.py": "x = 1", "b/y.py": "y = 2", "z.py": "z = 3"}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    run(root, "init", "-q", "-b", "main")
    run(root, "add", "-A")
    run(root, "commit", "-qm", "one")
    return root


@pytest.fixture
def repository(committed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(committed, tmp_path / "code"))
