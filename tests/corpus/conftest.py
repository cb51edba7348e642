"""Small trees of source code."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

# For source_trees and near_oracle.
sys.path.insert(0, str(Path(__file__).parent))

from source_trees import Build, MakeTree

from codecascade.corpus.build import build_corpus
from codecascade.corpus.corpus import Corpus
from codecascade.corpus.manifest import Manifest
from codecascade.corpus.settings import CorpusSettings
from codecascade.corpus.steps.decontamination import NO_BENCHMARKS, BenchmarkTexts


@pytest.fixture
def tree(tmp_path: Path) -> MakeTree:
    """Writes ``{path: content}`` below ``tmp_path/code`` and returns that folder."""

    def write(files: Mapping[str, str | bytes]) -> Path:
        root = tmp_path / "code"
        root.mkdir(exist_ok=True)
        for name, content in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return root

    return write


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Builds ``tmp_path/corpus`` from sources with settings given by keyword."""

    def run(
        *sources: Path | str, benchmarks: BenchmarkTexts = NO_BENCHMARKS, **settings: object
    ) -> tuple[Manifest, Corpus]:
        out = tmp_path / "corpus"
        manifest = build_corpus(
            [str(source) for source in sources],
            out,
            CorpusSettings.model_validate(settings),
            benchmarks=benchmarks,
        )
        return manifest, Corpus.open(out)

    return run
