from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from codecascade.evaluation.benchmarks.long_context import perplexity
from codecascade.evaluation.evaluate_settings import EvaluateSettings
from codecascade.evaluation.task import EvaluatedModel, EvaluationContext
from codecascade.ground.errors import UserError


@dataclass
class Halving:
    """Gives the token at position i the probability 1/2 before position 1024 and 1/4 from there on."""

    seen: list[int] = field(default_factory=list)

    def log_probabilities(self, sequences: Sequence[Sequence[int]]) -> Iterator[tuple[int, list[float]]]:
        for place, ids in enumerate(sequences):
            self.seen.append(len(ids))
            yield place, [-math.log(2 if i < 1024 else 4) for i in range(len(ids) - 1)]


def context(
    tokenizer: Any, scorer: Any, data: Path | None = None, corpus: Any = None, **settings: Any
) -> EvaluationContext:
    model = EvaluatedModel(context_length=1500, tokenizer=tokenizer, scorer=scorer)
    return EvaluationContext(EvaluateSettings(perplexity=settings), model, data, corpus)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/long.py").write_text("a = b\n" * 2000)
    (tmp_path / "longer.py").write_text("a = b\n" * 6000)
    (tmp_path / "short.py").write_text("a = b\n")
    (tmp_path / "notes.md").write_text("a = b\n" * 3000)
    return tmp_path


def test_stretches_double() -> None:
    assert perplexity.edges(100_000) == [1024, 2048, 4096, 8192, 16384, 32768, 65536, 100_000]
    assert perplexity.edges(600) == [600] and perplexity.edges(2048) == [1024, 2048]


def test_by_position(tokenizer: Any, folder: Path) -> None:
    scorer = Halving()
    scored = perplexity.score(context(tokenizer, scorer, folder, min_bytes=10_000, tokens=1800))
    # One by one, each with the token before the text.
    assert scorer.seen == [1801, 1801]
    assert [row["task_id"] for row in scored.rows] == ["longer.py", "sub/long.py"]
    assert (
        scored.metrics["perplexity@1024"].value == pytest.approx(2)
        and scored.metrics["perplexity@1024"].n == 2
    )
    assert scored.metrics["perplexity@1800"].value == pytest.approx(4)
    assert scored.metrics["perplexity"].value == pytest.approx(2 ** ((1024 + 2 * 776) / 1800))
    assert scored.rows[0]["tokens"] == 1800 and scored.rows[0]["loss"]["1024"] == pytest.approx(
        math.log(2), abs=1e-4
    )
    (note,) = scored.notes
    assert note.startswith("2 of 2 files are longer than the model's context of 1,500 tokens")


def test_files_that_end_before_a_stretch_are_not_in_it(tokenizer: Any, folder: Path) -> None:
    shorter = len(tokenizer.encode((folder / "sub/long.py").read_text()))
    scored = perplexity.score(context(tokenizer, Halving(), folder, min_bytes=10_000, tokens=10 * shorter))
    ends = perplexity.edges(10 * shorter)
    both = [end for start, end in zip([0, *ends], ends, strict=False) if start < shorter]
    one = [end for start, end in itertools.pairwise(ends) if shorter <= start < 3 * shorter]
    assert [scored.metrics[f"perplexity@{end}"].n for end in both + one] == [2] * len(both) + [1] * len(one)
    assert one and f"perplexity@{ends[-1]}" not in scored.metrics


def test_from_a_corpus(tokenizer: Any, corpus: Any) -> None:
    corpus.texts.append(corpus.texts[0] * 9)
    scored = perplexity.score(context(tokenizer, Halving(), corpus=corpus, min_bytes=4000))
    assert [row["task_id"] for row in scored.rows] == ["r/6.py"]


def test_without_long_files_or_a_scorer_the_sentence_says_what_to_do(
    tokenizer: Any, folder: Path, corpus: Any
) -> None:
    with pytest.raises(UserError, match=r"has no source file of 50,000 bytes or more; name a folder"):
        perplexity.score(context(tokenizer, Halving(), folder))
    with pytest.raises(UserError, match="the corpus has no source file"):
        perplexity.score(context(tokenizer, Halving(), corpus=corpus))
    with pytest.raises(UserError, match="name a corpus"):
        perplexity.score(context(tokenizer, Halving()))
    with pytest.raises(UserError, match="which only a model in memory gives"):
        perplexity.score(context(tokenizer, None, folder))
    with pytest.raises(UserError, match="no such file or folder"):
        perplexity.score(context(tokenizer, Halving(), folder / "nowhere"))
