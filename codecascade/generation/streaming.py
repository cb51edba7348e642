"""The interface between the server's protocols and what generates: one request in, its text in pieces out.

The local engine, llama.cpp and a server behind ours all stand behind it, so that a protocol is written once. Requests
are token ids (:mod:`~codecascade.generation.requests`), because infilling and chat prompts hold control tokens that
no text can spell.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from codecascade.generation.logprob_table import TokenLogprobs
from codecascade.generation.requests import FinishReason, Request
from codecascade.tokens.tokenizer import Tokenizer


@dataclass(frozen=True)
class Usage:
    """What a sample cost.

    Attributes:
        prompt_tokens: tokens of the prompt.
        cached_tokens: those of them that did not have to be read, because their keys and values were there.
        completion_tokens: tokens chosen for the text, of which there are never more than ``max_new_tokens``. A token
            that ends the text counts. A token that only gives the end of the prompt again (healing) does not.
        queue_seconds: from the request's arrival to the first pass that read of it.
        prefill_seconds: from there to the first token.
        decode_seconds: from the first token to the last.
    """

    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    queue_seconds: float = 0.0
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0


@dataclass(frozen=True)
class Delta:
    """What came to one sample since its last delta.

    Attributes:
        sample: the sample's number, from 0.
        text: text that is certain: never half a character, never what may yet be part of a stop string.
        ids: the tokens that were chosen since; their text may still be held back.
        logprobs: one for each of ``ids``, where the request asked for them.
        finish_reason: of the sample's last delta; None before.
        stopped_by: the stop string or the id of the stop token, where there was one.
        usage: with the last delta.
        prompt_logprobs: with the first delta of a request that asks for them, one for each token of the prompt from
            ``Request.scored_from`` on.
        tokens: how many tokens came that count (see :class:`Usage`); those of all deltas are ``completion_tokens``.
    """

    sample: int
    text: str = ""
    ids: tuple[int, ...] = ()
    logprobs: tuple[TokenLogprobs, ...] = ()
    finish_reason: FinishReason | None = None
    stopped_by: str | int | None = None
    usage: Usage | None = None
    prompt_logprobs: Sequence[TokenLogprobs] = ()
    tokens: int = 0


@dataclass(frozen=True)
class Load:
    """How busy a generator is, for health checks and metrics. Sums count from the start."""

    running: int = 0
    waiting: int = 0
    cache_used: float = 0.0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    drafted_tokens: int = 0
    accepted_tokens: int = 0
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0
    decode_steps: int = 0

    def plus(self, **counts: float) -> Load:
        """The load with these added to its sums."""
        sums: dict[str, Any] = {key: getattr(self, key) + value for key, value in counts.items()}
        return replace(self, **sums)


class QueueFull(Exception):
    """So many requests wait that another one is refused (HTTP 429 or 503)."""


class StreamingGenerator(Protocol):
    """A model that serves many requests at once to coroutines of one event loop."""

    @property
    def name(self) -> str: ...

    @property
    def tokenizer(self) -> Tokenizer: ...

    @property
    def context_length(self) -> int: ...

    def stream(self, request: Request) -> AsyncIterator[Delta]:
        """The deltas of all samples of a request, as they come; each sample ends with a ``finish_reason``.

        Closing the iterator (``aclose``, or cancelling the task that reads it) cancels the request in whatever state
        it is: what was reserved for it is free within one forward pass.

        Raises:
            QueueFull: too many requests wait.
            UserError: the request can't be answered, such as a prompt longer than the context.
        """
        ...

    def load(self) -> Load:
        """Of this moment; cheap."""
        ...

    async def close(self) -> None:
        """Ends what runs and gives the memory back."""
        ...
