"""A small repository."""

from __future__ import annotations

from pathlib import Path

import pytest
from git_repositories import run
from source_trees import MakeTree


@pytest.fixture
def repository(tree: MakeTree) -> Path:
    root = tree({"a/x.py": "x = 1", "b/y.py": "y = 2", "z.py": "z = 3"})
    run(root, "init", "-q", "-b", "main")
    run(root, "add", "-A")
    run(root, "commit", "-qm", "one")
    return root
