"""What the tests of corpora share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from codecascade.corpus.manifest import Manifest
from codecascade.corpus.table import Corpus

MakeTree = Callable[[Mapping[str, str | bytes]], Path]
Build = Callable[..., tuple[Manifest, Corpus]]


def module(name: str, lines: int = 12) -> str:
    """A Python file that no filter drops, unlike that of any other name."""
    body = "\n".join(f"    total_{name} += value_{name} * {number}" for number in range(lines))
    return f"def work_{name}(value_{name}):\n    total_{name} = 0\n{body}\n    return total_{name}\n"
