"""Folders of source code, told apart into repositories."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from codecascade.corpus.candidates import Candidate, Origin, file_candidate, ignored, list_folder
from codecascade.corpus.dropped import Dropped
from codecascade.corpus.licenses import OWN, UNKNOWN, license_of_text

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

LICENSE_FILES = ("license", "licence", "copying", "unlicense")


def folder(root: Path, dropped: Dropped) -> Iterator[Candidate]:
    """Source files below a folder.

    A file's repository is the nearest folder above it that holds ``.git`` or package metadata, else the
    first-level folder, else the source itself; its licence is that of the repository's licence file, else
    of the one above. Links are not followed: one that stays in the tree leads to a file that is met anyway,
    and one that leaves the tree must not be read.
    """
    root = root.resolve()

    def walk(here: Path, origin: Origin, in_repository: bool) -> Iterator[Candidate]:
        entries = list_folder(here, dropped)
        names = {entry.name for entry in entries}
        spdx = license_of_folder(here, entries) or origin.license
        if ".git" in names or names & METADATA_FILES:
            in_repository = True
            origin = Origin(Path(root.name, here.relative_to(root)).as_posix(), str(here), spdx)
        elif not in_repository and (here == root or here.parent == root):
            origin = Origin(Path(root.name, here.relative_to(root)).as_posix(), str(here), spdx)
        for entry in entries:
            if entry.is_symlink():
                dropped.add("find", "link")
            elif entry.is_dir():
                if not ignored(entry):
                    yield from walk(Path(entry.path), origin, in_repository)
            elif not entry.name.startswith("."):
                yield from file_candidate(entry.path, origin, dropped)

    return walk(root, Origin(root.name, str(root), OWN), in_repository=False)


def license_of_folder(folder: Path, entries: list[os.DirEntry[str]]) -> str | None:
    """What the folder's licence file says; none if there is no such file."""
    for entry in entries:
        if entry.name.lower().startswith(LICENSE_FILES) and entry.is_file(follow_symlinks=False):
            try:
                with open(folder / entry.name, encoding="utf-8", errors="replace") as file:
                    return license_of_text(file.read(4000))
            except OSError:
                return UNKNOWN
    return None
