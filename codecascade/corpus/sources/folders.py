"""Lists folders of source code, and divides them into repositories."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from codecascade.corpus.output.dropped import Dropped
from codecascade.corpus.reading.licenses import OWN, UNKNOWN, combined_license, license_from_text
from codecascade.corpus.sources.archives.members import is_license_file
from codecascade.corpus.sources.candidates import (
    DEEPEST,
    FIND,
    Candidate,
    Origin,
    file_candidate,
    is_ignored_folder,
    list_folder,
)
from codecascade.corpus.sources.git.ignored import GitIgnored

METADATA_FILES = frozenset(
    [
        "pyproject.toml",
        "setup.py",
        "setup.cfg",
        "PKG-INFO",
        "package.json",
        "Cargo.toml",
        "go.mod",
        "pom.xml",
        "build.gradle",
        "build.gradle.kts",
        "composer.json",
        "Gemfile",
        "Package.swift",
        "mix.exs",
        "pubspec.yaml",
        "CMakeLists.txt",
    ]
)
"""A folder that contains one of these, or ``.git``, is a repository."""

_CORPUS = {"manifest.json", "dropped.parquet", "train"}
"""Files of a corpus folder. A build of the folder above must not read its own earlier result."""


def folder_candidates(
    root: Path, dropped: Dropped, name: str | None = None, asked: GitIgnored | None = None
) -> Iterator[Candidate]:
    """The source files below a folder.

    The repository of a file is the nearest folder above it with ``.git`` or package metadata, else the first-level
    folder, else the source itself. Its licence is that of the repository's licence file, else of the nearest one
    above. Links are not followed: one inside the tree leads to a file that is listed anyway, and one out of the
    tree must not be read. What git ignores is left out; each repository is asked when its folder is reached.

    Args:
        asked: who asks git; None: a new one.
    """
    root = root.resolve()
    name = name or root.name
    asked = asked or GitIgnored()
    ignored: set[str] = set()

    def walk(here: Path, origin: Origin, in_repository: bool, depth: int) -> Iterator[Candidate]:
        if depth > DEEPEST:
            dropped.add(FIND, "folders too deep", here.name, origin.repository)
            return
        entries = list_folder(here, dropped)
        names = {entry.name for entry in entries}
        if names >= _CORPUS:
            dropped.add(FIND, "a corpus, not its source", here.name, origin.repository)
            return
        if here == root or ".git" in names:
            ignored.update(asked.below(here))
        spdx = license_from_folder(here, entries) or origin.license
        if ".git" in names or names & METADATA_FILES:
            in_repository = True
            origin = Origin(Path(name, here.relative_to(root)).as_posix(), str(here), spdx, own=True)
        elif not in_repository and (here == root or here.parent == root):
            origin = Origin(Path(name, here.relative_to(root)).as_posix(), str(here), spdx, own=True)
        else:
            origin = origin._replace(license=spdx)
        for entry in entries:
            path = entry.path.removeprefix(origin.base + os.sep)
            if entry.is_symlink():
                dropped.add(FIND, "link", path, origin.repository)
            elif entry.is_dir():
                if is_ignored_folder(entry):
                    continue
                if entry.path in ignored:
                    dropped.add(FIND, "folder ignored by git", path, origin.repository, license=spdx)
                else:
                    yield from walk(Path(entry.path), origin, in_repository, depth + 1)
            elif not entry.name.startswith("."):
                if entry.path in ignored:
                    dropped.add(FIND, "ignored by git", path, origin.repository, license=spdx)
                else:
                    yield from file_candidate(entry.path, origin, dropped)

    return walk(root, Origin(name, str(root), OWN, own=True), in_repository=False, depth=0)


def license_from_folder(folder: Path, entries: list[os.DirEntry[str]]) -> str | None:
    """The licence that the licence files of a folder state; None if there is none."""
    found = []
    for entry in entries:
        if is_license_file(entry.name) and entry.is_file(follow_symlinks=False):
            try:
                with open(folder / entry.name, encoding="utf-8", errors="replace") as file:
                    found.append(license_from_text(file.read(100_000)))
            except OSError:
                found.append(UNKNOWN)
    return combined_license(found) if found else None
