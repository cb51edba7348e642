"""Was the benchmark in the training corpus? N-grams of its problems, looked for in the corpus's documents.

A problem counts as contained if a document holds a set share of the n-grams of its text or of its solution, in the
measure by which a corpus is kept clean (:mod:`codecascade.corpus.steps.decontamination`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from codecascade.corpus.corpus import Corpus
from codecascade.corpus.settings import CorpusSettings
from codecascade.corpus.steps.decontamination import LENGTH, BenchmarkIndex
from codecascade.evaluation.rows import TaskRow


def contamination(
    tasks: Iterable[TaskRow], corpus: Corpus, progress: Callable[[int, int], None] = lambda done, of: None
) -> TaskRow:
    """What of a benchmark a corpus's training documents hold.

    Args:
        tasks: rows of ``tasks/<benchmark>.jsonl``.

    Returns:
        ``corpus`` (its name), ``n`` (characters of an n-gram), ``overlap`` (the share from which a problem counts),
        ``of`` (problems that are long enough to be looked for) and ``tasks`` (the ids of those that are contained).
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
    """``{task_id#part: text}``: what is asked, without what is the same in all prompts, and the solution."""
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
    if "suffix" in row:  # a gap, with the text that is missing
        return f"{row.get('prompt', '')}{row.get('expected', '')}{row['suffix']}"
    return str(row.get("prompt", ""))
