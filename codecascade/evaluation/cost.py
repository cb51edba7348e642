"""An estimate of the tokens that an evaluation reads and writes. It needs the settings only, no model and no data."""

from __future__ import annotations

from dataclasses import dataclass

from codecascade.evaluation.benchmark_settings import CommonSettings
from codecascade.evaluation.benchmarks.table import BENCHMARKS
from codecascade.evaluation.running.work import sampling_for
from codecascade.evaluation.size import TokenEstimate

DECODING = 0.3
"""The speed of generation as a share of that of training, in FLOP/s (an estimate: its matrix products are narrow)."""


@dataclass(frozen=True)
class EvaluationCost:
    """What the evaluation of a model costs, in tokens; in ``seconds`` too, if its size and the speed are known."""

    name: str
    read: int
    written: int
    seconds: float | None = None


def evaluation_tokens(settings: CommonSettings) -> tuple[int, int]:
    """The tokens that an evaluation reads and writes, estimated. All samples of a prompt share its reading."""
    read = written = 0
    for name in settings.benchmarks:
        tokens = _tokens(name, settings)
        read, written = read + tokens.read, written + tokens.written
    return read, written


def evaluation_cost(
    name: str, settings: CommonSettings, parameters: int | None, speed: float | None
) -> EvaluationCost:
    """The estimate for the model ``name`` with this number of parameters, at ``speed`` FLOP/s in training."""
    read, written = evaluation_tokens(settings)
    if parameters is None or speed is None:
        return EvaluationCost(name, read, written)
    return EvaluationCost(name, read, written, evaluation_seconds(parameters, read, written, speed))


def evaluation_seconds(parameters: int, read: int, written: int, speed: float) -> float:
    """Seconds that a model takes to read and write tokens, at ``speed`` FLOP/s in training."""
    return 2 * parameters * (read + written / DECODING) / speed


def _tokens(name: str, settings: CommonSettings) -> TokenEstimate:
    benchmark = BENCHMARKS[name]
    size = TokenEstimate(0) if benchmark.size is None else benchmark.size(settings)
    if isinstance(size, TokenEstimate):
        return size
    samples, _, _ = sampling_for(benchmark, settings)
    return size.tokens(settings.limit, samples)
