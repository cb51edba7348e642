"""Was the benchmark in the training corpus? The n-grams of its problems are looked up in the corpus's documents.

A problem counts as contained if one document has a set share of the n-grams of its text, or of those of its solution.
The decontamination of a corpus uses the same measure (:mod:`codecascade.corpus.steps.decontamination`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

from codecascade.corpus.corpus import Corpus
from codecascade.corpus.settings import CorpusSettings
from codecascade.corpus.steps.decontamination import LENGTH, BenchmarkIndex
from codecascade.evaluation.rows import TaskRow


def contamination(
    tasks: Iterable[TaskRow], corpus: Corpus, progress: Callable[[int, int], None] = lambda done, of: None
) -> dict[str, Any]:
    """Which problems of a benchmark a corpus's training documents contain.

    Returns:
        ``corpus`` (its name), ``n`` (characters of an n-gram), ``overlap`` (the share from which a problem counts as
        contained), ``of`` (the number of problems that are long enough to be looked for) and ``tasks`` (the ids of
        those that are contained).
    """
    texts = _texts(list(tasks))
    settings = CorpusSettings()
    index = BenchmarkIndex(texts, settings.benchmark_overlap)
    table = corpus.documents("train", "code")
    found = set()
    for number, document in enumerate(table, 1):
        for name, share in index.shares(document.text).items():
            if share >= index.overlap:
                found.add(name.rpartition("#")[0])
        progress(number, len(table))
    searched = {name.rpartition("#")[0] for name in texts.keys() - set(index.too_short)}
    return {
        "corpus": corpus.path.resolve().name,
        "n": LENGTH,
        "overlap": index.overlap,
        "of": len(searched),
        "tasks": [name for name in dict.fromkeys(name.rpartition("#")[0] for name in texts) if name in found],
    }


def _texts(tasks: list[TaskRow]) -> dict[str, str]:
    """``{task_id#problem: text, task_id#solution: text}``. What all prompts begin with is left out of the
    problems.
    """
    asked = [_asked(row) for row in tasks]
    shared = len(os.path.commonprefix(asked)) if len(asked) > 1 else 0  # noqa: RUF071  (of any texts)
    texts = {}
    for row, text in zip(tasks, asked, strict=True):
        texts[f"{row['task_id']}#problem"] = text[shared:]
        texts[f"{row['task_id']}#solution"] = str(row.get("expected", ""))
    return texts


def _asked(row: TaskRow) -> str:
    if "messages" in row:
        return str(row["messages"][-1]["content"])
    # An infilling: the text that was masked goes between prefix and suffix.
    if "suffix" in row:
        return f"{row.get('prompt', '')}{row.get('expected', '')}{row['suffix']}"
    return str(row.get("prompt", ""))
