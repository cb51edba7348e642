"""Folders of source code, told apart into repositories."""

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
"""A folder with one of these, or with ``.git``, is a repository."""

_CORPUS = {"manifest.json", "dropped.parquet", "train"}
"""What a folder that was made by a build holds; the next build of the folder above must not read it."""


def folder_candidates(root: Path, dropped: Dropped) -> Iterator[Candidate]:
    """Source files below a folder.

    A file's repository is the nearest folder above it that holds ``.git`` or package metadata, else the
    first-level folder, else the source itself; its licence is that of the repository's licence file, else
    of the one above. Links are not followed: one that stays in the tree leads to a file that is met anyway,
    and one that leaves the tree must not be read.
    """
    root = root.resolve()

    def walk(here: Path, origin: Origin, in_repository: bool, depth: int) -> Iterator[Candidate]:
        if depth > DEEPEST:
            dropped.add(FIND, "folders too deep", here.name, origin.repository)
            return
        entries = list_folder(here, dropped)
        names = {entry.name for entry in entries}
        if names >= _CORPUS:
            dropped.add(FIND, "a corpus, not its source", here.name, origin.repository)
            return
        spdx = license_from_folder(here, entries) or origin.license
        if ".git" in names or names & METADATA_FILES:
            in_repository = True
            origin = Origin(Path(root.name, here.relative_to(root)).as_posix(), str(here), spdx, own=True)
        elif not in_repository and (here == root or here.parent == root):
            origin = Origin(Path(root.name, here.relative_to(root)).as_posix(), str(here), spdx, own=True)
        else:
            origin = origin._replace(license=spdx)
        for entry in entries:
            if entry.is_symlink():
                dropped.add(FIND, "link", entry.path.removeprefix(origin.base + os.sep), origin.repository)
            elif entry.is_dir():
                if not is_ignored_folder(entry):
                    yield from walk(Path(entry.path), origin, in_repository, depth + 1)
            elif not entry.name.startswith("."):
                yield from file_candidate(entry.path, origin, dropped)

    return walk(root, Origin(root.name, str(root), OWN, own=True), in_repository=False, depth=0)


def license_from_folder(folder: Path, entries: list[os.DirEntry[str]]) -> str | None:
    """What the folder's licence files say; none if there is no such file."""
    found = []
    for entry in entries:
        if is_license_file(entry.name) and entry.is_file(follow_symlinks=False):
            try:
                with open(folder / entry.name, encoding="utf-8", errors="replace") as file:
                    found.append(license_from_text(file.read(100_000)))
            except OSError:
                found.append(UNKNOWN)
    return combined_license(found) if found else None
