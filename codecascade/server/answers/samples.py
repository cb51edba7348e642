"""What came of a request: deltas put together, sample by sample."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from codecascade.generation.logprob_table import LogprobTable, TokenLogprobs
from codecascade.generation.requests import FinishReason
from codecascade.generation.streaming import Delta, Usage


@dataclass
class Sample:
    """One completion of one prompt.

    Attributes:
        prompt: the index of its prompt in the request.
        number: its own number among the prompt's samples.
        tokens: those that have come, as ``usage`` counts them in the end.
    """

    prompt: int
    number: int
    text: str = ""
    ids: list[int] = field(default_factory=list)
    logprobs: LogprobTable = field(default_factory=LogprobTable)
    prompt_logprobs: Sequence[TokenLogprobs] = ()
    finish_reason: FinishReason = "stop"
    stopped_by: str | int | None = None
    usage: Usage = field(default_factory=Usage)
    tokens: int = 0

    def add(self, delta: Delta) -> None:
        """Append what came."""
        self.text += delta.text
        self.ids += delta.ids
        self.tokens += delta.tokens
        self.logprobs.extend(delta.logprobs)
        self.prompt_logprobs = delta.prompt_logprobs or self.prompt_logprobs
        if delta.finish_reason is not None:
            self.finish_reason, self.stopped_by = delta.finish_reason, delta.stopped_by
        if delta.usage is not None:
            self.usage = delta.usage

    @property
    def finish(self) -> str:
        """OpenAI's word: ``stop`` or ``length``."""
        return "stop" if self.finish_reason == "stop" else "length"

    @property
    def mean_logprob(self) -> float:
        """By which the best of several samples are chosen; an empty one is the worst."""
        if not self.logprobs:
            return float("-inf")
        return sum(token.logprob for token in self.logprobs) / len(self.logprobs)


def best_first(samples: Iterable[Sample], count: int) -> list[Sample]:
    """The ``count`` likeliest samples of each prompt, prompts in order."""
    by_prompt: dict[int, list[Sample]] = {}
    for sample in samples:
        by_prompt.setdefault(sample.prompt, []).append(sample)
    chosen = []
    for prompt in sorted(by_prompt):
        # sorted() is stable: of equals, the earlier one
        chosen += sorted(by_prompt[prompt], key=lambda sample: -sample.mean_logprob)[:count]
    return chosen


@dataclass(frozen=True)
class Total:
    """The tokens of a whole request: each prompt counts once, whatever the number of its samples."""

    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int

    @property
    def openai(self) -> dict[str, object]:
        """OpenAI's ``usage``."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
            "prompt_tokens_details": {"cached_tokens": self.cached_tokens},
        }


def total(samples: Sequence[Sample]) -> Total:
    """Of all samples, those that are not returned included."""
    prompts: dict[int, Usage] = {}
    for sample in samples:
        before = prompts.get(sample.prompt)
        # The first sample reads the prompt; the others find it.
        if before is None or sample.usage.cached_tokens < before.cached_tokens:
            prompts[sample.prompt] = sample.usage
    return Total(
        sum(usage.prompt_tokens for usage in prompts.values()),
        sum(usage.cached_tokens for usage in prompts.values()),
        sum(sample.usage.completion_tokens for sample in samples),
    )
