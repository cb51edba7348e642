"""Git repositories for tests, with objects that git itself would refuse to write."""

from __future__ import annotations

import hashlib
import os
import subprocess
import zlib
from pathlib import Path

PEOPLE = {f"GIT_{who}_{what}": "a@b.c" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


def run(folder: Path, *arguments: str, data: bytes | None = None) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        check=True, capture_output=True, input=data, env={**os.environ, **PEOPLE},
    )  # fmt: skip
    return done.stdout.decode().strip()


def loose(repository: Path, name: str) -> Path:
    return repository / ".git/objects" / name[:2] / name[2:]


def store(repository: Path, kind: str, data: bytes) -> str:
    """An object that git itself may refuse to write."""
    whole = f"{kind} {len(data)}\0".encode() + data
    name = hashlib.sha1(whole, usedforsecurity=False).hexdigest()
    path = loose(repository, name)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(zlib.compress(whole))
    return name


def commit_of(repository: Path, tree: str) -> str:
    return run(repository, "commit-tree", tree, "-m", "made")
