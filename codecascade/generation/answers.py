"""A model in memory answers questions that are text: prompts become ids here, and only here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from codecascade.generation.backend import Answer, Continuation, Dialogue, Gap, Prompt, Question
from codecascade.generation.requests import (
    Generator,
    Request,
    SamplingParams,
    chat_request,
    completion_request,
    infilling_request,
)
from codecascade.tokens.tokenizer import Tokenizer

_QUESTIONS = 512
"""Prompts held as ids at a time, so that the number of a benchmark's problems bounds nothing."""


class LocalBackend:
    """Answers with a generator; see :class:`~codecascade.generation.backend.Backend`.

    Args:
        about: what :meth:`describe` tells.
    """

    def __init__(self, generator: Generator, name: str, about: dict[str, str] | None = None) -> None:
        self.generator = generator
        self.name = name
        self._about = about or {}

    @property
    def context_length(self) -> int:
        return self.generator.context_length

    @property
    def infilling_formats(self) -> tuple[str, ...]:
        tokens = self.generator.tokenizer.infilling
        return tokens.formats if tokens is not None else ()

    @property
    def is_chat(self) -> bool:
        return self.generator.tokenizer.chat_format is not None

    def count_tokens(self, text: str) -> int:
        return len(self.generator.tokenizer.encode(text))

    def describe(self) -> dict[str, str]:
        return dict(self._about)

    def answer(self, questions: Sequence[Question]) -> Iterator[Answer]:
        """Samples as they end; prompts of like length are asked together, the longest first."""
        order = sorted(range(len(questions)), key=lambda place: -_size(questions[place].prompt))
        for start in range(0, len(order), _QUESTIONS):
            places = order[start : start + _QUESTIONS]
            requests = [request(self.generator.tokenizer, questions[place]) for place in places]
            for completion in self.generator.generate(requests):
                yield Answer(
                    places[completion.request],
                    completion.sample,
                    completion.text,
                    completion.finish_reason,
                    ended=isinstance(completion.stopped_by, int),
                    tokens=len(completion.ids),
                )


def request(tokenizer: Tokenizer, question: Question) -> Request:
    """A question in ids.

    Raises:
        UserError: the model can't infill, or not in this layout, or has no chat format.
    """
    made = _request(tokenizer, question.prompt, question.sampling)
    return replace(made, samples=len(question.numbers), numbers=question.numbers)


def _request(tokenizer: Tokenizer, prompt: Prompt, sampling: SamplingParams) -> Request:
    if isinstance(prompt, Continuation):
        made = completion_request(
            tokenizer,
            prompt.prompt,
            sampling,
            stop=prompt.stop,
            heal=prompt.heal,
            stop_after_text=prompt.stop_after_text,
        )
        return replace(made, beyond_context=prompt.beyond_context)
    if isinstance(prompt, Gap):
        return infilling_request(
            tokenizer,
            prompt.prefix,
            prompt.suffix,
            sampling,
            format=prompt.format,
            stop=prompt.stop,
            heal=prompt.heal,
        )
    return chat_request(tokenizer, prompt.messages, sampling, prefill=prompt.prefill, stop=prompt.stop)


def _size(prompt: Prompt) -> int:
    """Characters, for an order."""
    if isinstance(prompt, Continuation):
        return len(prompt.prompt)
    if isinstance(prompt, Gap):
        return len(prompt.prefix) + len(prompt.suffix)
    if isinstance(prompt, Dialogue):
        return sum(len(message.content) for message in prompt.messages)
    raise AssertionError(prompt)
