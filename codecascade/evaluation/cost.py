"""About how many tokens an evaluation reads and writes, known from its settings before anything is loaded."""

from __future__ import annotations

from dataclasses import dataclass

from codecascade.evaluation.benchmarks.code.humaneval import HumanEvalSettings
from codecascade.evaluation.benchmarks.infilling.problems import InfillingTaskSettings
from codecascade.evaluation.benchmarks.language_modelling.validation import ValidationSettings
from codecascade.evaluation.benchmarks.long_context.key_retrieval import KeyRetrievalSettings
from codecascade.evaluation.benchmarks.long_context.perplexity import PerplexitySettings
from codecascade.evaluation.benchmarks.table import BENCHMARKS
from codecascade.evaluation.running.work import sampling_of
from codecascade.evaluation.settings import CommonSettings

DECODING = 0.3
"""Speed of generation, whose products are thin, beside that of training (estimate)."""


@dataclass(frozen=True)
class Measuring:
    """What measuring a model costs: tokens ``read`` and ``written``; ``seconds`` where size and speed are known."""

    name: str
    read: int
    written: int
    seconds: float | None = None


@dataclass(frozen=True)
class _Size:
    """A benchmark's ``problems``; tokens that a prompt has and that an answer of the usual length has; and how many
    layouts a problem is asked in."""

    problems: int
    prompt: int
    answer: int
    layouts: int = 1


_SIZES = {
    "mbpp": _Size(500, 700, 350),
    "mbpp_zero_shot": _Size(500, 180, 150),
    "apps": _Size(5_000, 1_500, 350),
    "infilling_multi_line": _Size(5_815, 250, 80, 2),
    "infilling_random_span": _Size(1_640, 250, 80, 2),
    "infilling_random_span_light": _Size(164, 250, 80, 2),
    "multilingual_infilling": _Size(4_792, 300, 20, 2),
    "docstrings": _Size(14_918, 250, 60),
    "lcc": _Size(1_472, 8_000, 20),
    "gsm8k": _Size(1_319, 1_000, 150),
}
_MULTIPL_E = _Size(159, 250, 250)


def evaluation_tokens(settings: CommonSettings) -> tuple[int, int]:
    """About how many tokens an evaluation reads and writes. All samples of a prompt share its reading."""
    read = written = 0
    for name in settings.benchmarks:
        of_benchmark = _tokens(name, settings)
        read, written = read + of_benchmark[0], written + of_benchmark[1]
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


def _tokens(name: str, settings: CommonSettings) -> tuple[int, int]:
    if name == "validation":  # left to right, and split for infilling
        validation = settings.of(ValidationSettings)
        return 2 * (validation.documents or 1000) * validation.characters // 4, 0
    if name == "perplexity":
        perplexity = settings.of(PerplexitySettings)
        return (perplexity.files or 200) * perplexity.tokens // 2, 0
    if name == "key_retrieval":
        keys = settings.of(KeyRetrievalSettings)
        cells = len(keys.positions) * keys.examples
        return sum(keys.lengths) * cells, 8 * len(keys.lengths) * cells
    size = _size(name, settings)
    problems = size.problems * size.layouts
    if settings.limit is not None:
        problems = min(size.problems, settings.limit) * size.layouts
    samples, _, _ = sampling_of(BENCHMARKS[name], settings)
    return size.prompt * problems, size.answer * problems * samples


def _size(name: str, settings: CommonSettings) -> _Size:
    plain = name.removesuffix("_sampled")
    if plain.startswith("humaneval"):
        humaneval = settings.of(HumanEvalSettings)
        problems = humaneval.problems or 164
        return _Size(problems, 150, round(0.7 * humaneval.max_new_tokens))
    infilling = settings.of(InfillingTaskSettings)
    if plain in ("infilling_heldout", "infilling_single_line"):
        whole = 1033 if plain == "infilling_single_line" else 500
        return _Size(infilling.problems or whole, 200, infilling.max_new_tokens // 4, 2)
    if plain.startswith("multipl_e_"):
        return _MULTIPL_E
    size = _SIZES[plain]
    if plain.startswith("infilling_") and infilling.problems is not None:
        return _Size(min(size.problems, infilling.problems), size.prompt, size.answer, size.layouts)
    return size
