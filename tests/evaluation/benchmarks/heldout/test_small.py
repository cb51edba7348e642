"""What is said about a small corpus, and that no held-out file has a twin."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from codecascade.corpus.build import build_corpus
from codecascade.corpus.corpus import Corpus
from codecascade.corpus.settings import CorpusSettings
from codecascade.evaluation.benchmarks.heldout.small import (
    SMALL_BYTES,
    interval,
    least_gain,
    small_corpus_warning,
)

WORDS = [
    f"{one}{two}"
    for one in ("ba", "ce", "di", "fo", "gu", "ha")
    for two in ("lo", "mir", "nas", "pot", "ret")
]


def module(seed: int, functions: int = 6) -> str:
    rng = random.Random(seed)
    parts = []
    for _ in range(functions):
        name, first, second, third = (rng.choice(WORDS) for _ in range(4))
        parts.append(f"def {name}({first}, {second}):\n    {third} = {first} * {rng.randint(2, 99)}\n")
        parts.append(f"    return {third} - {second} + {rng.choice(WORDS)}({rng.randint(2, 99)})\n\n\n")
    return "".join(parts)


def corpus(folder: Path, files: dict[str, str], share: float = 0.1) -> Corpus:
    for name, text in files.items():
        path = folder / "one" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "one" / ".git").mkdir(exist_ok=True)
    build_corpus([str(folder / "one")], folder / "corpus", CorpusSettings(heldout_share=share))
    return Corpus.open(folder / "corpus")


def test_one_repository_is_split_by_file_and_no_file_has_a_twin(tmp_path: Path) -> None:
    files = {f"part{n}.py": module(n) for n in range(12)}
    twins = {f"copy{n}.py": f"{files[f'part{n}.py']}\nEXTRA = {n}\n" for n in range(12)}
    built = corpus(tmp_path, {**files, **twins}, share=0.3)
    assert built.manifest.heldout_by == "path"
    heldout, trained = built.documents("heldout", "code"), built.documents("train", "code")
    assert len(heldout) >= 2 and len(heldout) + len(trained) == 12
    numbers = [document.path.removesuffix(".py")[4:] for table in (heldout, trained) for document in table]
    assert len(set(numbers)) == 12


def test_a_small_corpus_is_told_what_it_can_show(tmp_path: Path) -> None:
    said = small_corpus_warning(corpus(tmp_path, {f"part{n}.py": module(n) for n in range(20)}))
    assert said is not None and "of which 2 files" in said and "36 lines of code) are held out" in said
    assert "36 gaps" in said and "25% is known to ±14 points" in said and "a gain of about 21 points" in said
    assert "heldout_share=0.2" in said


@pytest.mark.parametrize(
    ("share", "wanted"),
    [(0.2, "; heldout_share=0.4 holds out more"), (0.4, "; add more files"), (0.0, r"\(heldout_share=0\)")],
)
def test_nobody_is_told_to_hold_out_what_is_held_out(share: float, wanted: str, tmp_path: Path) -> None:
    said = small_corpus_warning(corpus(tmp_path, {f"part{n}.py": module(n) for n in range(10)}, share))
    assert said is not None and re.search(wanted, said)


def test_of_a_single_file_nothing_can_be_measured(tmp_path: Path) -> None:
    said = small_corpus_warning(corpus(tmp_path, {"only.py": module(0)}))
    assert said is not None and "none could be held out" in said


def test_a_large_corpus_is_told_nothing(tmp_path: Path) -> None:
    large = corpus(tmp_path, {f"part{n}.py": module(n, 60) for n in range(SMALL_BYTES // 4_000)})
    assert small_corpus_warning(large) is None
    assert interval(500) < interval(100) and least_gain(500) < least_gain(100)
