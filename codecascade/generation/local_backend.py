"""The backend of a model in memory: prompts that are text become token ids here, and only here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from codecascade.generation.backend import (
    ChatPrompt,
    InfillingPrompt,
    Prompt,
    ReferenceScores,
    RepositoryContext,
    TextCompletion,
    TextPrompt,
    TextRequest,
)
from codecascade.generation.editing.request import continuation_request, editor_request
from codecascade.generation.requests import (
    Generator,
    Request,
    SamplingParams,
    chat_request,
    completion_request,
    infilling_request,
)
from codecascade.tokens.tokenizer import Tokenizer

_CHARACTERS = 4
"""Of a token of code, about."""
_BEGINNING = 256
"""Characters by which prompts that begin alike are told."""
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
        """Samples as they end.

        Prompts that begin alike come one after the other, so that the prefix cache still has what they share. Of
        these groups, and within them, the longest come first, so that prompts of like length are batched together.
        """
        order = _order([request.prompt for request in requests])
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
                    references=None
                    if completion.references is None
                    else tuple(
                        ReferenceScores(scores, reference.ends)
                        for scores, reference in zip(
                            completion.references, encoded[completion.request].references, strict=True
                        )
                    ),
                )


def encode_request(tokenizer: Tokenizer, request: TextRequest) -> Request:
    """A request that is text, in token ids.

    Raises:
        UserError: the model can't infill, or not in this layout, or has no chat format.
    """
    made = _encode_prompt(tokenizer, request.prompt, request.sampling)
    references = () if request.references is None else tuple(request.references(tokenizer))
    return replace(made, samples=len(request.numbers), numbers=request.numbers, references=references)


def _encode_prompt(tokenizer: Tokenizer, prompt: Prompt, sampling: SamplingParams) -> Request:
    if isinstance(prompt, ChatPrompt):
        return chat_request(tokenizer, prompt.messages, sampling, prefill=prompt.prefill, stop=prompt.stop)
    if prompt.repository is not None:
        return _encode_with_repository(tokenizer, prompt, prompt.repository, sampling)
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


def _encode_with_repository(
    tokenizer: Tokenizer,
    prompt: TextPrompt | InfillingPrompt,
    repository: RepositoryContext,
    sampling: SamplingParams,
) -> Request:
    """As an editor's server makes it: cut to fit, behind the parts of other files."""
    if isinstance(prompt, TextPrompt):
        made = continuation_request(
            tokenizer,
            repository.prompt(prompt.prompt),
            sampling,
            context=repository.most_tokens,
            stop=prompt.stop,
            stop_after_text=prompt.stop_after_text,
            heal=prompt.heal,
        )
        return replace(made, editor=prompt.editor_stops)
    return editor_request(
        tokenizer,
        repository.prompt(prompt.prefix, prompt.suffix),
        sampling,
        context=repository.most_tokens,
        format=prompt.format,
        stop=prompt.stop,
        heal=prompt.heal,
        editor=prompt.editor_stops,
    )


def _order(prompts: Sequence[Prompt]) -> list[int]:
    sizes, begins = [_size(prompt) for prompt in prompts], [_beginning(prompt) for prompt in prompts]
    longest: dict[str, int] = {}
    for size, begin in zip(sizes, begins, strict=True):
        longest[begin] = max(size, longest.get(begin, 0))
    return sorted(
        range(len(prompts)), key=lambda index: (-longest[begins[index]], begins[index], -sizes[index])
    )


def _beginning(prompt: Prompt) -> str:
    """The first characters of what the model reads."""
    if isinstance(prompt, ChatPrompt):
        return prompt.messages[0].content[:_BEGINNING] if prompt.messages else ""
    if prompt.repository is not None and prompt.repository.chunks:
        return prompt.repository.chunks[0].text[:_BEGINNING]
    if isinstance(prompt, TextPrompt):
        return prompt.prompt[:_BEGINNING]
    return (prompt.suffix if prompt.format == "spm" else prompt.prefix)[:_BEGINNING]


def _size(prompt: Prompt) -> int:
    """Characters, for an order."""
    if isinstance(prompt, ChatPrompt):
        return sum(len(message.content) for message in prompt.messages)
    own = len(prompt.prompt) if isinstance(prompt, TextPrompt) else len(prompt.prefix) + len(prompt.suffix)
    if prompt.repository is None:
        return own
    of_others = sum(len(chunk.text) for chunk in prompt.repository.chunks)
    # More than fits is left out.
    return min(own + of_others, _CHARACTERS * prompt.repository.most_tokens)
