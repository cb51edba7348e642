"""A request in the engine, and what its samples share."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from codecascade.generation.engine.blocks import BlockKey
from codecascade.generation.engine.sampling.grammar_matcher import GrammarMatcher
from codecascade.generation.logprob_table import LogprobTable, TokenLogprobs
from codecascade.generation.requests import Request


@dataclass(eq=False)
class RequestState:
    """A request, and what its samples share.

    Attributes:
        id: requests count up as they arrive, so the smaller one is served first.
        unfinished: samples that have not ended.
        read: whether the prompt has been read once.
        room: tokens of each sample at most; those that only give required bytes again come on top.
        healthy: whether the model gave numbers for all that was computed.
        pending: numbers of the samples that wait for the first one to read the prompt.
        logits: (vocabulary) after the prompt, as long as samples are pending.
        grammar: what the text of each sample must be an instance of.
        blocks, keys: the prompt's, as long as samples are pending.
        prompt_logprobs: of the prompt's tokens from ``scored_from`` on, as far as it was read, where they are asked
            for.
    """

    id: int
    request: Request
    room: int
    arrival: float
    unfinished: int = 0
    read: bool = False
    started: float | None = None
    cached_tokens: int = 0
    healthy: bool = True
    pending: deque[int] = field(default_factory=deque)
    logits: Tensor | None = None
    grammar: GrammarMatcher | None = None
    blocks: list[int] = field(default_factory=list)
    keys: list[BlockKey] = field(default_factory=list)
    prompt_logprobs: LogprobTable = field(default_factory=LogprobTable)

    @property
    def wants_prompt_logprobs(self) -> bool:
        """Whether the log-probabilities of the prompt's tokens are still to be computed."""
        return self.request.sampling.prompt_logprobs is not None and not self.read

    def take_prompt_logprobs(self) -> Sequence[TokenLogprobs]:
        """The log-probabilities of the prompt's tokens, once."""
        if not self.prompt_logprobs:
            return ()
        taken, self.prompt_logprobs = self.prompt_logprobs, LogprobTable()
        return taken
