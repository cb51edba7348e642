"""The backend of a model in memory: prompts that are text become token ids here, and only here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from codecascade.generation.backend import (
    ChatPrompt,
    InfillingPrompt,
    Prompt,
    TextCompletion,
    TextPrompt,
    TextRequest,
)
from codecascade.generation.requests import (
    Generator,
    Request,
    SamplingParams,
    chat_request,
    completion_request,
    infilling_request,
)
from codecascade.tokens.tokenizer import Tokenizer

_REQUESTS = 512
"""Prompts held as ids at a time, so that the number of a benchmark's problems bounds nothing."""


class LocalBackend:
    """Completes text with a generator; see :class:`~codecascade.generation.backend.Backend`.

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

    def complete(self, requests: Sequence[TextRequest]) -> Iterator[TextCompletion]:
        """Samples as they end; prompts of like length are batched together, the longest first."""
        order = sorted(range(len(requests)), key=lambda index: -_size(requests[index].prompt))
        for start in range(0, len(order), _REQUESTS):
            indices = order[start : start + _REQUESTS]
            encoded = [encode_request(self.generator.tokenizer, requests[index]) for index in indices]
            for completion in self.generator.generate(encoded):
                yield TextCompletion(
                    indices[completion.request],
                    completion.sample,
                    completion.text,
                    completion.finish_reason,
                    ended=isinstance(completion.stopped_by, int),
                    tokens=len(completion.ids),
                )


def encode_request(tokenizer: Tokenizer, request: TextRequest) -> Request:
    """A request that is text, in token ids.

    Raises:
        UserError: the model can't infill, or not in this layout, or has no chat format.
    """
    made = _encode_prompt(tokenizer, request.prompt, request.sampling)
    return replace(made, samples=len(request.numbers), numbers=request.numbers)


def _encode_prompt(tokenizer: Tokenizer, prompt: Prompt, sampling: SamplingParams) -> Request:
    if isinstance(prompt, TextPrompt):
        made = completion_request(
            tokenizer,
            prompt.prompt,
            sampling,
            stop=prompt.stop,
            heal=prompt.heal,
            stop_after_text=prompt.stop_after_text,
        )
        return replace(made, beyond_context=prompt.beyond_context, editor=prompt.editor_stops)
    if isinstance(prompt, InfillingPrompt):
        return infilling_request(
            tokenizer,
            prompt.prefix,
            prompt.suffix,
            sampling,
            format=prompt.format,
            stop=prompt.stop,
            heal=prompt.heal,
            editor=prompt.editor_stops,
        )
    return chat_request(tokenizer, prompt.messages, sampling, prefill=prompt.prefill, stop=prompt.stop)


def _size(prompt: Prompt) -> int:
    """Characters, for an order."""
    if isinstance(prompt, TextPrompt):
        return len(prompt.prompt)
    if isinstance(prompt, InfillingPrompt):
        return len(prompt.prefix) + len(prompt.suffix)
    if isinstance(prompt, ChatPrompt):
        return sum(len(message.content) for message in prompt.messages)
    raise AssertionError(prompt)
