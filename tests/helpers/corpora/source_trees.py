"""What the tests of corpora share."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

from codecascade.corpus.corpus import Corpus
from codecascade.corpus.manifest import Manifest

MakeTree = Callable[[Mapping[str, str | bytes]], Path]
Build = Callable[..., tuple[Manifest, Corpus]]

PROBLEM = '''def count_planted_things(basket, colour):
    """ Count the things in a basket which have got the given colour and that were planted before the summer. """
'''
"""A benchmark's text."""


def module(name: str, lines: int = 12) -> str:
    """A Python file that no filter drops, unlike that of any other name."""
    body = "\n".join(f"    total_{name} += value_{name} * {number}" for number in range(lines))
    return f"def work_{name}(value_{name}):\n    total_{name} = 0\n{body}\n    return total_{name}\n"


def many(repositories: int = 4, files: int = 5) -> dict[str, str]:
    return {f"r{r}/src/m{n}.py": module(f"r{r}m{n}") for r in range(repositories) for n in range(files)}


FILES = {
    "README.md",
    "corpus.html",
    "dropped.parquet",
    "heldout/00000.parquet",
    "manifest.json",
    "train/00000.parquet",
}
"""Of a small corpus."""


def hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
