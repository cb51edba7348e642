"""A metric taken apart again: what each problem contributed to it, from the samples' rows.

A figure is compared between two models problem by problem, so the score of each is needed, and a metric's name says
which: ``pass@10`` is the estimator over a problem's samples, ``exact_match_java_spm`` the mean of the field
``exact_match`` of the rows whose other fields say ``java`` and ``spm``. What comes out is checked against the figure.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codecascade.evaluation.analysis.folder import Key, Measured, Row, key
from codecascade.evaluation.metrics import pass_at_k

_TEXTS = frozenset({"completion", "detail", "stderr", "stdout"})
_YES = ("passed", "exact_match")
_ALIASES = {"accuracy": "passed", "solve_rate": "passed", "solved": "passed"}
# Sums over sums: what is added up, what divides it, and the unit.
_RATIOS = {
    "loss": ("nats", "tokens", 1.0),
    "bits_per_byte": ("nats", "bytes", 1 / math.log(2)),
    "infilling_loss": ("middle_nats", "middle_tokens", 1.0),
}


@dataclass(frozen=True)
class Scores:
    """``values[i]`` is the score of ``keys[i]``; with ``weights`` the figure is ``sum(values) / sum(weights)``, or
    with ``exponential`` (a perplexity) the exponential of that. ``texts[i]`` is how many bytes were scored, where two
    tokenizers may have cut the text at the same number of tokens."""

    keys: tuple[Key, ...]
    values: NDArray[np.float64]
    weights: NDArray[np.float64] | None = None
    exponential: bool = False
    texts: NDArray[np.float64] | None = None

    @property
    def figure(self) -> float:
        if self.weights is None:
            return float(self.values.mean())
        ratio = float(self.values.sum() / self.weights.sum())
        return math.exp(ratio) if self.exponential else ratio


def slim(rows: Iterable[Row]) -> list[Row]:
    """The rows without their long texts: what scores are made of."""
    return [{name: value for name, value in row.items() if name not in _TEXTS} for row in rows]


def scores(measured: Measured, metric: str, rows: Sequence[Row]) -> Scores | None:
    """What each problem contributed to ``metric``; None where the figure isn't a mean over problems."""
    wanted = measured.metrics[metric].value
    return next(
        (
            found
            for found in _candidates(metric, rows)
            if len(found.keys) and math.isclose(found.figure, wanted, rel_tol=1e-6, abs_tol=1e-9)
        ),
        None,
    )


def _candidates(metric: str, rows: Sequence[Row]) -> Iterator[Scores]:
    if metric in _RATIOS:
        above, below, unit = _RATIOS[metric]
        scored = [row for row in rows if row.get(below)]
        if all(above in row for row in scored):
            yield Scores(
                tuple(key(row) for row in scored),
                np.array([unit * row[above] for row in scored], np.float64),
                np.array([row[below] for row in scored], np.float64),
            )
        return
    if metric.partition("@")[0] == "perplexity":
        yield from _perplexity(metric.partition("@")[2], rows)
        return
    for name, chosen in _readings(metric, rows):
        if match := re.fullmatch(r"pass@(\d+)", name):
            yield from _pass_at(int(match[1]), chosen)
        elif (field := _ALIASES.get(name, name)) and all(
            isinstance(row.get(field), int | float) for row in chosen
        ):
            yield _means([(key(row), float(row[field])) for row in chosen])


def _perplexity(end: str, rows: Sequence[Row]) -> Iterator[Scores]:
    """Of the stretch of positions up to ``end``, or of the whole files; their rows have ``nats`` by stretch."""
    keys, nats, tokens, texts = [], [], [], []
    for row in rows:
        by_end = row.get("nats")
        if not isinstance(by_end, dict):
            return
        ends = [0, *sorted(map(int, by_end))]
        first, last = (ends[ends.index(int(end)) - 1], int(end)) if end else (0, ends[-1])
        if row["tokens"] > first:
            keys.append(key(row))
            nats.append(by_end[end] if end else math.fsum(by_end.values()))
            tokens.append(min(row["tokens"], last) - first)
            texts.append(row["scored_bytes"])
    weights, of = np.array(tokens, np.float64), np.array(texts, np.float64)
    yield Scores(tuple(keys), np.array(nats, np.float64), weights, exponential=True, texts=of)


def _readings(metric: str, rows: Sequence[Row]) -> Iterator[tuple[str, list[Row]]]:
    """The metric without its qualifiers, with the rows that these leave: all, or those of the first layout."""
    name = metric
    chosen = list(rows)
    values = {
        str(value): field
        for row in rows
        for field, value in row.items()
        if isinstance(value, str) and field not in ("task_id", "outcome", "finish_reason")
    }
    while True:
        yield name, chosen
        if len({row.get("format") for row in chosen}) > 1:
            first = chosen[0]["format"]
            yield name, [row for row in chosen if row.get("format") == first]
        ending = next(
            (value for value in sorted(values, key=len, reverse=True) if name.endswith(f"_{value}")), None
        )
        if ending is None:
            return
        name = name.removesuffix(f"_{ending}")
        chosen = [row for row in chosen if row.get(values[ending]) == ending]


def _pass_at(k: int, rows: Sequence[Row]) -> Iterator[Scores]:
    tested = [row for row in rows if isinstance(row.get("passed"), bool)]
    counts: dict[Key, list[int]] = {}
    for row in tested:
        count = counts.setdefault(key(row), [0, 0])
        count[0] += 1
        count[1] += row["passed"]
    if counts and all(n >= k for n, _ in counts.values()):
        yield _means([(place, pass_at_k(n, passed, k)) for place, (n, passed) in counts.items()])


def _means(pairs: Sequence[tuple[Key, float]]) -> Scores:
    """One score a problem: the mean of its samples'."""
    of: dict[Key, list[float]] = {}
    for place, value in pairs:
        of.setdefault(place, []).append(value)
    return Scores(
        tuple(of), np.array([math.fsum(values) / len(values) for values in of.values()], np.float64)
    )
