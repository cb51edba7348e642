"""Perplexity by position (paper, Fig. 4): does a model still gain from its context far into a long file?

Source files of at least 50 kB are scored from their beginning, up to 100,000 tokens, also beyond the model's own
context: how it extrapolates is what the figure shows. The files are those of the folder that ``--data`` names, or
held-out documents of the corpus.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from codecascade.corpus.reading.languages import document_kind, language_by_name
from codecascade.evaluation.benchmark_settings import BenchmarkSettings, CommonSettings, PositiveInt
from codecascade.evaluation.scores import Scores, metrics_of, problem_key
from codecascade.evaluation.size import TokenEstimate
from codecascade.evaluation.subsets import subset
from codecascade.evaluation.task import Benchmark, EvaluationContext, SampleRow, ScoredTexts
from codecascade.generation.requests import start_id
from codecascade.ground.errors import UserError

_FIRST_EDGE = 1024


class PerplexitySettings(BenchmarkSettings):
    """``[evaluate.perplexity]``."""

    key = "perplexity"

    files: PositiveInt | None = Field(50, description="files that are scored, at most; none: all")
    tokens: PositiveInt = Field(100_000, description="longer files are cut after this many tokens")
    min_bytes: PositiveInt = Field(50_000, description="shorter files are left out")


class LongFile(NamedTuple):
    """A file: its name and its text."""

    name: str
    text: str


def edges(tokens: int) -> list[int]:
    """The ends of the ranges of positions that are averaged, each twice the one before: 1024, 2048, ...
    ``tokens``.
    """
    found = []
    edge = _FIRST_EDGE
    while edge < tokens:
        found.append(edge)
        edge *= 2
    return [*found, tokens]


def score(context: EvaluationContext) -> ScoredTexts:
    """``perplexity`` over all tokens, and ``perplexity@<end>`` over those of one range of positions.

    Each is the exponential of the mean loss over tokens. Intervals are bootstraps over files.
    """
    settings = context.own(PerplexitySettings)
    scorer, tokenizer = context.needs_scorer("perplexity")
    files = long_files(context)
    ends = edges(settings.tokens)
    nats, counts = np.zeros((2, len(files), len(ends)))
    rows: list[SampleRow] = []
    for index, file in enumerate(files):
        ids = tokenizer.encode(file.text)[: settings.tokens]
        # One file at a time, because the keys and values of a long file need much memory.
        [(_, found)] = scorer.log_probabilities([[start_id(tokenizer), *ids]])
        start = 0
        for range_index, end in enumerate(ends):
            nats[index, range_index] = -math.fsum(found[start:end])
            counts[index, range_index] = len(found[start:end])
            start = end
        rows.append(
            {
                "task_id": file.name,
                "bytes": len(file.text.encode()),
                "scored_bytes": len(tokenizer.decode(ids).encode()),
                "tokens": len(ids),
                "nats": {str(end): nats[index, range_index] for range_index, end in enumerate(ends)},
                "loss": {
                    str(end): _ratio(nats[index, range_index], counts[index, range_index])
                    for range_index, end in enumerate(ends)
                },
            }
        )
        context.progress(index + 1, len(files))
    return ScoredTexts(metrics_of(scores(rows), context.seed), rows, _notes(context, rows))


def scores(rows: Sequence[SampleRow]) -> dict[str, Scores]:
    """The scores of each file, over all positions and over each range."""
    ends = sorted({int(end) for row in rows for end in row["nats"]})
    nats = np.array([[row["nats"].get(str(end), 0.0) for end in ends] for row in rows], np.float64)
    tokens = np.array([row["tokens"] for row in rows])
    counts = np.diff(np.minimum(tokens[:, None], [0, *ends]), axis=1).astype(np.float64)
    scored_bytes = np.array([row["scored_bytes"] for row in rows], np.float64)
    keys = [problem_key(row) for row in rows]

    def perplexity(nats: NDArray[np.float64], counts: NDArray[np.float64]) -> Scores:
        scored = counts > 0
        scored_keys = tuple(each for each, is_scored in zip(keys, scored, strict=True) if is_scored)
        return Scores(
            scored_keys,
            nats[scored],
            counts[scored],
            exponential=True,
            scored_bytes=scored_bytes[scored],
            bounds=None,
        )

    found = {"perplexity": perplexity(nats.sum(1), counts.sum(1))}
    for index, end in enumerate(ends):
        if counts[:, index].any():
            found[f"perplexity@{end}"] = perplexity(nats[:, index], counts[:, index])
    return found


def long_files(context: EvaluationContext) -> list[LongFile]:
    """Up to ``settings.files`` files of at least ``settings.min_bytes`` bytes, chosen by the seed, in their order.

    Raises:
        UserError: there is neither a folder nor a corpus, or no file is long enough.
    """
    settings = context.own(PerplexitySettings)
    if context.data is not None:
        paths = _source_files(context.data, settings.min_bytes)
        chosen = subset(paths, settings.files, context.seed)
        root = context.data if context.data.is_dir() else context.data.parent
        files = [LongFile(str(path.relative_to(root)), _text(path)) for path in chosen]
        where: str | Path = context.data
    else:
        corpus = context.needs_corpus("perplexity")
        table = corpus.documents("heldout", "code")
        indices = [
            index for index, document in enumerate(table) if len(document.text.encode()) >= settings.min_bytes
        ]
        documents = (table[index] for index in subset(indices, settings.files, context.seed))
        files = [LongFile(f"{document.repository}/{document.path}", document.text) for document in documents]
        where = "the corpus"
    if not files:
        raise UserError(
            f"{where} has no source file of {settings.min_bytes:,} bytes or more; name a folder with "
            "some (--data perplexity=FOLDER) or lower perplexity.min_bytes",
            key="perplexity",
        )
    return files


def _source_files(root: Path, least: int) -> list[Path]:
    if root.is_file():
        return [root] if root.stat().st_size >= least else []
    if not root.is_dir():
        raise UserError("there is no such file or folder", file=root, key="--data perplexity")
    return sorted(_long_source_files(root, least))


def _long_source_files(root: Path, least: int) -> Iterator[Path]:
    for path in root.rglob("*"):
        language = language_by_name(path.name)
        is_code = language is not None and document_kind(language) == "code"
        if is_code and path.is_file() and not path.is_symlink() and path.stat().st_size >= least:
            yield path


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def _ratio(nats: float, count: float) -> float | None:
    return round(nats / count, 4) if count else None


def _notes(context: EvaluationContext, rows: Sequence[SampleRow]) -> list[str]:
    length = context.model.context_length
    beyond = sum(row["tokens"] > length for row in rows) if length else 0
    if not beyond:
        return []
    return [
        f"{beyond} of {len(rows)} files are longer than the model's context of {length:,} tokens; positions beyond "
        "it are extrapolated."
    ]


def _size(settings: CommonSettings) -> TokenEstimate:
    """A file is estimated to be half as long as it may be."""
    own = settings.own(PerplexitySettings)
    return TokenEstimate((own.files or 200) * own.tokens // 2)


BENCHMARKS = (
    Benchmark(
        "perplexity",
        "Perplexity by position in long files",
        "perplexity",
        needs=frozenset({"scores", "files"}),
        higher_is_better=False,
        settings=PerplexitySettings,
        size=_size,
        plain_metrics=("perplexity",),
        picture="curve",
        score=score,
        scores=scores,
    ),
)
