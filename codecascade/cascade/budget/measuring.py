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
FIRST_PROMPT_TOKENS, FIRST_ANSWER_TOKENS = 16, 4
"""The text that is timed first, and says how many of the others are a matter of seconds."""
FEWEST_PROMPTS = 4
"""Of a model for which that many would take long there are fewer; where less than these are a matter of seconds, the
first text is all that is timed."""
TIMED_TOKENS = PROMPTS * (2 * PROMPT_TOKENS + ANSWER_TOKENS)
"""About as many tokens as a timing reads and writes."""
SHORT_TIMING = 30.0
"""Seconds that the first text may take by an estimate, and the others by what the first one took."""


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

    def is_short(self, parameters: int, flops: float) -> bool:
        """Whether at least the first text of a model of this size is a matter of seconds, at an estimated speed of
        all ranks.

        The estimate of a machine that is busy with other work may be many times too slow, so it decides on no more
        than that.
        """
        first = evaluation_seconds(parameters, 2 * FIRST_PROMPT_TOKENS, FIRST_ANSWER_TOKENS, flops)
        return first * join_world().size <= SHORT_TIMING

    def speed(self) -> MeasuringSpeed:
        """Timed on the first rank; each has the whole model when it measures. All ranks must call this."""
        return join_world().from_first(self._time)

    def _time(self) -> MeasuringSpeed:
        start = time.perf_counter()
        generator = self._load(self._base, self._precision)
        # Once for what a first pass has to prepare.
        length = _fitting(FIRST_PROMPT_TOKENS, FIRST_ANSWER_TOKENS, generator)
        _answer(generator, range(1), length, FIRST_ANSWER_TOKENS)
        loading = time.perf_counter() - start
        read, written = _read_and_written(generator, range(1, 2), FIRST_PROMPT_TOKENS, FIRST_ANSWER_TOKENS)
        each = 2 * PROMPT_TOKENS * read + ANSWER_TOKENS * written
        prompts = PROMPTS if PROMPTS * each <= SHORT_TIMING else int(SHORT_TIMING / each)
        if prompts >= FEWEST_PROMPTS:
            read, written = _read_and_written(generator, range(3, prompts + 3), PROMPT_TOKENS, ANSWER_TOKENS)
        return MeasuringSpeed(loading, read, written, join_world().size)


def measuring_timer(recipe: Recipe, base: str) -> MeasuringTimer | None:
    """A timer for what the recipe measures with; None if that is another engine than the own one.

    Args:
        base: what the base model is loaded from.
    """
    if recipe.evaluate.engine != OWN:
        return None
    return MeasuringTimer(base, measuring_precision(recipe, BASE))


def _fitting(prompt: int, answer: int, generator: Generator) -> int:
    """The tokens of a prompt, as many of these as fit into the model's context with an answer."""
    return max(1, min(prompt, generator.context_length - answer - 1))


def _read_and_written(generator: Generator, prompts: range, prompt: int, answer: int) -> tuple[float, float]:
    """Seconds of a token that is read, and of one that is written, from prompts of these numbers and as many more."""
    length, count = _fitting(prompt, answer, generator), len(prompts)
    more = range(prompts.stop, prompts.stop + count)
    reading = _answer(generator, prompts, length, 1)
    both = _answer(generator, more, length, 1 + answer)
    return reading / (count * length), max(both - reading, 0.0) / (count * answer)


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
