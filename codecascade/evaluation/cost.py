"""About how many tokens an evaluation reads and writes, known from its settings before anything is loaded."""

from __future__ import annotations

from dataclasses import dataclass

from codecascade.evaluation.benchmarks.table import BENCHMARKS
from codecascade.evaluation.running.work import sampling_of
from codecascade.evaluation.settings import CommonSettings
from codecascade.evaluation.size import Tokens

DECODING = 0.3
"""Speed of generation, whose products are thin, beside that of training (estimate)."""


@dataclass(frozen=True)
class Measuring:
    """What measuring a model costs: tokens ``read`` and ``written``; ``seconds`` where size and speed are known."""

    name: str
    read: int
    written: int
    seconds: float | None = None


def evaluation_tokens(settings: CommonSettings) -> tuple[int, int]:
    """About how many tokens an evaluation reads and writes. All samples of a prompt share its reading."""
    read = written = 0
    for name in settings.benchmarks:
        tokens = _tokens(name, settings)
        read, written = read + tokens.read, written + tokens.written
    return read, written


def measuring(name: str, settings: CommonSettings, parameters: int | None, speed: float | None) -> Measuring:
    """The estimate for the model ``name`` of so many parameters, at ``speed`` FLOP/s in training."""
    read, written = evaluation_tokens(settings)
    if parameters is None or speed is None:
        return Measuring(name, read, written)
    return Measuring(name, read, written, seconds_of(parameters, read, written, speed))


def seconds_of(parameters: int, read: int, written: int, speed: float) -> float:
    """Seconds in which a model reads and writes tokens, at ``speed`` FLOP/s in training."""
    return 2 * parameters * (read + written / DECODING) / speed


def _tokens(name: str, settings: CommonSettings) -> Tokens:
    benchmark = BENCHMARKS[name]
    size = Tokens(0) if benchmark.size is None else benchmark.size(settings)
    if isinstance(size, Tokens):
        return size
    samples, _, _ = sampling_of(benchmark, settings)
    return size.tokens(settings.limit, samples)
