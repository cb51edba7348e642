"""Repositories at a commit: bare ones, revisions, and what is none."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from found_candidates import MIT, found
from source_trees import MakeTree

from codecascade.corpus.reading.containers import CandidateContents
from codecascade.corpus.reading.encoding import UnreadableError
from codecascade.ground.errors import UserError


def git(folder: Path, *arguments: str) -> str:
    names = {
        "GIT_AUTHOR_NAME": "a",
        "GIT_AUTHOR_EMAIL": "a@b.c",
        "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a@b.c",
    }
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, **names},
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tree: MakeTree) -> Path:
    root = tree(
        {"LICENSE": MIT, "src/a.py": "old = 1", "src/b.py": "b = 1", "run": "#!/usr/bin/env python3\nx"}
    )
    (root / "src/link.py").symlink_to("/etc/passwd")
    git(root, "init", "-q", "-b", "main")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "one")
    git(root, "tag", "v1")
    (root / "src/a.py").write_text("new = 2")
    git(root, "commit", "-qam", "two")
    (root / "src/a.py").write_text("uncommitted = 3")
    return root


def test_a_commit_and_a_bare_repository(repository: Path, tmp_path: Path) -> None:
    contents = CandidateContents()
    candidates, dropped = found(f"{repository}@v1")
    assert {name: contents.text(c, 100) for name, c in candidates.items()} == {
        "code:src/a.py": "old = 1",
        "code:src/b.py": "b = 1",
        "code:run": "#!/usr/bin/env python3\nx",
    }
    assert dropped == {"link": 1}
    one = candidates["code:src/a.py"]
    assert (one.license, one.revision, one.own) == ("MIT", git(repository, "rev-parse", "v1"), True)
    git(repository, "clone", "-q", "--bare", str(repository), str(tmp_path / "project.git"))
    candidates, _ = found(tmp_path / "project.git")
    assert contents.text(candidates["project:src/a.py"], 100) == "new = 2"
    with pytest.raises(UnreadableError):
        contents.text(one._replace(locator="0" * 40), 100)
    with pytest.raises(UnreadableError):
        contents.text(one, 3)
    assert contents.text(one, 100) == "old = 1", "the pipe is still in step"


@pytest.mark.parametrize("revision", ["nothing", "--help", "v1:src/a.py"])
def test_revisions_that_are_none(repository: Path, revision: str) -> None:
    with pytest.raises(UserError, match="no revision"):
        found(f"{repository}@{revision}")


def test_a_folder_that_is_no_repository(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"not a git repository|no revision"):
        found(f"{tmp_path}@main")
