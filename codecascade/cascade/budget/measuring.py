"""How fast this machine measures a model: the base reads and writes a few texts, like those of benchmarks."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from codecascade.cascade.measure import measuring_precision
from codecascade.evaluation.cost import evaluation_seconds
from codecascade.generation.engine.generator import load_generator
from codecascade.generation.requests import Generator, Request, SamplingParams
from codecascade.generation.served.settings import OWN
from codecascade.ground.choices import Precision
from codecascade.recipe.settings import BASE, Recipe
from codecascade.training.parallel.ranks import join_world

PROMPTS, PROMPT_TOKENS, ANSWER_TOKENS = 24, 128, 24
"""The texts that are timed: about as long as those of the infilling benchmarks, and enough of them to be decoded
together as those are."""
FEWEST_PROMPTS = 4
"""Of a model for which that many would take long there are fewer; with less than these nothing is timed."""
TIMED_TOKENS = PROMPTS * (2 * PROMPT_TOKENS + ANSWER_TOKENS)
"""About as many tokens as a timing reads and writes."""
SHORT_TIMING = 30.0
"""Seconds that the texts may take, by an estimate."""


@dataclass(frozen=True)
class MeasuringSpeed:
    """What a timing of a model says of others.

    Attributes:
        loading: seconds until a model can be asked.
        read, written: seconds of a token of a prompt, and of an answer.
        ranks: that share the texts.
    """

    loading: float
    read: float
    written: float
    ranks: int = 1

    def seconds(self, read: int, written: int, size: float = 1.0) -> float:
        """Seconds that a model takes that is ``size`` times as large as the one that was timed."""
        return size * (self.loading + (read * self.read + written * self.written) / self.ranks)


class MeasuringTimer:
    """Times the base model behind the engine that measures.

    Args:
        base: what it is loaded from.
        precision: in which it is measured.
        load: makes the generator, for tests.
    """

    def __init__(
        self,
        base: str,
        precision: Precision,
        load: Callable[[str, Precision], Generator] = lambda name, precision: load_generator(
            name, precision=precision
        ),
    ) -> None:
        self._base, self._precision, self._load = base, precision, load

    def prompts(self, parameters: int, flops: float) -> int:
        """How many texts to time of a model of this size, so that it is a matter of seconds at an estimated speed of
        all ranks; 0 if it can't be."""
        each = evaluation_seconds(parameters, 2 * PROMPT_TOKENS, ANSWER_TOKENS, flops) * join_world().size
        fitting = min(PROMPTS, int(SHORT_TIMING / each))
        return fitting if fitting >= FEWEST_PROMPTS else 0

    def speed(self, prompts: int) -> MeasuringSpeed:
        """Timed on the first rank; each has the whole model when it measures. All ranks must call this."""
        return join_world().from_first(lambda: self._time(prompts))

    def _time(self, prompts: int) -> MeasuringSpeed:
        start = time.perf_counter()
        generator = self._load(self._base, self._precision)
        # Once for what a first pass has to prepare.
        length = max(1, min(PROMPT_TOKENS, generator.context_length - ANSWER_TOKENS - 1))
        _answer(generator, range(1), length, ANSWER_TOKENS)
        loading = time.perf_counter() - start
        reading = _answer(generator, range(1, prompts + 1), length, 1)
        both = _answer(generator, range(prompts + 1, 2 * prompts + 1), length, 1 + ANSWER_TOKENS)
        return MeasuringSpeed(
            loading,
            reading / (prompts * length),
            max(both - reading, 0.0) / (prompts * ANSWER_TOKENS),
            join_world().size,
        )


def measuring_timer(recipe: Recipe, base: str) -> MeasuringTimer | None:
    """A timer for what the recipe measures with; None if that is another engine than the own one.

    Args:
        base: what the base model is loaded from.
    """
    if recipe.evaluate.engine != OWN:
        return None
    return MeasuringTimer(base, measuring_precision(recipe, BASE))


def _answer(generator: Generator, prompts: range, length: int, tokens: int) -> float:
    """Seconds of an answer of so many tokens to each of some prompts of a length. The engine keeps what it has read,
    so no number should be asked twice.
    """
    size = generator.tokenizer.vocab_size
    requests = [
        Request(
            tuple((number * 7919 + position * 31) % size for position in range(length)),
            SamplingParams(max_new_tokens=tokens),
            stop_ids=frozenset(),
        )
        for number in prompts
    ]
    start = time.perf_counter()
    for _ in generator.generate(requests):
        pass
    return time.perf_counter() - start
