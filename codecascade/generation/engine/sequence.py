"""One sample in the making: its tokens, its blocks of the cache, and the rules that its text obeys."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import partial

from codecascade.generation.editor_stops import EditorStopper
from codecascade.generation.engine.blocks import BlockKey
from codecascade.generation.engine.detokenizer import TextBuilder
from codecascade.generation.engine.request_state import RequestState
from codecascade.generation.engine.sampling.sampler import NO_TOKEN, SamplingRow, Top
from codecascade.generation.engine.sampling.token_counts import TokenCounts
from codecascade.generation.logprob_table import TokenLogprobs
from codecascade.generation.requests import Completion, FinishReason, Request
from codecascade.generation.streaming import Delta, Usage
from codecascade.ground.seeds import uniform
from codecascade.tokens.healing import HealingConstraint
from codecascade.tokens.tokenizer import Tokenizer


class Sequence:
    """One sample of a request.

    Attributes:
        ids: the tokens of prompt and completion.
        computed: how many of them have their keys and values in the cache.
        blocks: of the cache, for the computed tokens and those of the pass that is being made.
        keys: what the full blocks among them hold, as far as that was registered.
        draft: tokens that are guessed to come next, for the pass that is being made.
    """

    def __init__(self, state: RequestState, sample: int, tokenizer: Tokenizer) -> None:
        request = state.request
        self.state, self.sample = state, sample
        self.ids = list(request.ids)
        self.computed = 0
        self.blocks: list[int] = []
        self.keys: list[BlockKey] = []
        self.draft: list[int] = []
        self.finish_reason: FinishReason | None = None
        self.stopped_by: str | int | None = None
        self.log_probability = 0.0
        self.counts = TokenCounts.of(request.sampling, request.ids)
        self.grammar = None if state.grammar is None else state.grammar.copy()
        self._editor = None if request.editor is None else EditorStopper(request.editor)
        stop_ids = tokenizer.stop_ids if request.stop_ids is None else request.stop_ids
        self.stop_ids = _tokens(stop_ids, tokenizer)
        self._never = frozenset(_tokens(request.forbidden, tokenizer))
        # how many other tokens are passed before one of them is taken; 0: none is
        self._others = sample if request.alternatives and request.sampling.temperature == 0 else 0
        self._only = None if request.allowed is None else _tokens(request.allowed, tokenizer)
        self._first: float | None = None
        self._last = 0.0
        # what :class:`Usage` calls the tokens of a completion
        self._counted = 0
        # pieces of text whose tokens nobody told
        self._untold = 0
        self._text_so_far: list[str] = []
        self._constraint = HealingConstraint(tokenizer, request.required) if request.required else None
        self._text = TextBuilder(
            tokenizer,
            required=request.required,
            stop=request.stop,
            stop_after_text=request.stop_after_text,
            # a grammar is told every byte, so that a space before the text is part of its instance
            continuation=request.continuation or request.grammar is not None,
        )

    @property
    def order(self) -> tuple[int, int]:
        """Who comes first."""
        return (self.state.id, self.sample)

    @property
    def request(self) -> Request:
        return self.state.request

    @property
    def left(self) -> int:
        """Tokens that are not in the cache."""
        return len(self.ids) - self.computed

    @property
    def generated(self) -> int:
        """Tokens after the prompt, those that only give required bytes again included."""
        return len(self.ids) - len(self.request.ids)

    @property
    def counted(self) -> int:
        """Tokens of the completion, as :class:`~codecascade.generation.streaming.Usage` counts them."""
        return self._counted

    @property
    def room(self) -> int:
        """Tokens that may still come."""
        return self.state.room - self.generated - self._untold

    # ---------------------------------------------------------------- what may come next

    @property
    def constrained(self) -> bool:
        """Whether required bytes are still missing."""
        return self._text.constrained

    @property
    def empty(self) -> bool:
        """Whether no text has come yet beyond the required bytes."""
        return self._text.empty

    @property
    def has_untold_text(self) -> bool:
        """Whether text came whose tokens nobody told."""
        return self._untold > 0

    @property
    def owed(self) -> bytes:
        """The required bytes that are missing."""
        return self.request.required[len(self._text.generated) :] if self.constrained else b""

    def agrees(self, data: bytes) -> bool:
        """Whether a piece of text may come next, as far as the required bytes go."""
        owed = self.owed
        return not owed or (bool(data) and (owed.startswith(data) or data.startswith(owed)))

    @property
    def can_be_drafted(self) -> bool:
        """Whether the choice of a token depends on the tokens before it through the model alone."""
        return (
            self.counts is None
            and not self._others
            and self.request.grammar is None
            and not self._text.constrained
            and not (self.request.nonempty and self._text.empty)
            and self._counted >= self.request.min_tokens
        )

    @property
    def looks_ahead(self) -> bool:
        """Whether a token may be tried that does not become part of the text; see :mod:`selection`."""
        return self.request.nonempty and self._text.constrained

    def sampling_row(self, ahead: int = 0) -> SamplingRow:
        """What decides the token that comes ``ahead`` tokens after the next.

        Each token's draw is a function of the request's seed, the sample and the token's number, so that nothing
        else that is in a batch, and no recomputation, can change it.
        """
        params = self.request.sampling
        draw = 0.0
        if params.temperature > 0:
            draw = uniform(params.seed, self.sample, self.generated + ahead)
        mask = None if self.grammar is None else self.grammar.mask(self.stop_ids)
        row = SamplingRow(params, draw, self.counts, self.allowed(), self._forbidden(), grammar_mask=mask)
        # another spelling of bytes that are required, or an end, is no other text
        if self._others and not self._text.constrained:
            row.others, row.no_others = self._others, self.stop_ids
        return row

    def pass_others(self, count: int) -> None:
        """So many tokens were nearly as likely as the one before which they were passed, or were tried in vain."""
        self._others -= count

    def allowed(self) -> list[int] | None:
        """The tokens that the request allows and that agree with the required bytes; None for all."""
        if self._constraint is None or not self._text.constrained:
            return self._only
        agreeing = self._constraint.allowed(self._text.generated)
        if agreeing is None or self._only is None:
            return self._only if agreeing is None else agreeing
        return sorted(set(agreeing).intersection(self._only))

    def _forbidden(self) -> frozenset[int]:
        """The tokens that the request forbids, and those that would end a text which must not be empty."""
        # a grammar alone says where its text may end
        too_short = self._counted < self.request.min_tokens and self.grammar is None
        if too_short or (self.request.nonempty and self._text.empty):
            return self._never.union(self.stop_ids)
        return self._never

    def may_leave_empty(self) -> list[int]:
        """The tokens that complete the required bytes and no more, if the text must not be empty."""
        if self._constraint is None or not self.looks_ahead:
            return []
        return self._constraint.completing(self._text.generated)

    # ---------------------------------------------------------------- what came

    def push(self, token: int, log_probability: float, top: Top = ()) -> Delta:
        """Add the token that was chosen; what became certain by it."""
        self._last = time.perf_counter()
        if self._first is None:
            self._first = self._last
        if self.grammar is not None and self.grammar.is_broken:
            # The text stays unfinished, as at any other limit; its last mask let it only end.
            return self.end("length", None)
        if token == NO_TOKEN:
            # what was asked for contradicts itself: a bias rules out what a grammar wants, for example
            return self.end("length", None)
        self.log_probability += log_probability
        # what only gives required bytes again is the prompt's, even where a model ends on an ordinary token
        if token in self.stop_ids and not self._text.constrained:
            return self.end("stop", token, tokens=1)
        tokens = int(not self._text.constrained)
        self.ids.append(token)
        if self.counts is not None:
            self.counts.add(token)
        logprobs: tuple[TokenLogprobs, ...] = ()
        if self.request.sampling.logprobs is not None:
            logprobs = (TokenLogprobs(token, log_probability, top),)
        if self.grammar is not None:
            self.grammar.push(token)
        return self._grow(self._text.push(token), (token,), logprobs, tokens)

    def push_text(self, text: str) -> Delta:
        """The same for a piece of text whose tokens nobody tells; it counts as one token."""
        self._last = time.perf_counter()
        if self._first is None:
            self._first = self._last
        self._untold += 1
        tokens = int(not self._text.constrained)
        return self._grow(self._text.push_bytes(text.encode()), (), (), tokens)

    def _grow(
        self, text: str, ids: tuple[int, ...], logprobs: tuple[TokenLogprobs, ...], tokens: int
    ) -> Delta:
        """More text is certain: cut it where it ends."""
        end = partial(self.end, ids=ids, logprobs=logprobs, tokens=tokens)
        if self._editor is not None:
            text = self._editor.push(text)
            if self._editor.stopped_by is not None:
                return end("stop", self._editor.stopped_by, text)
        if self._text.stopped_by is not None:
            return end("stop", self._text.stopped_by, text)
        if self.grammar is not None:
            if self.grammar.is_broken:
                # Beyond what the grammar's library works on: the text stays unfinished, as at any other limit.
                return end("length", None, text)
            if self.grammar.is_finished:
                return end("stop", None, text)
        if self._counted + tokens >= self.request.sampling.max_new_tokens or self.room <= 0:
            return end("length", None, text)
        self._counted += tokens
        self._text_so_far.append(text)
        prompt = self.state.take_prompt_logprobs()
        return Delta(self.sample, text, ids, logprobs, prompt_logprobs=prompt, tokens=tokens)

    def end_without_text(self) -> Delta:
        """Where no token is wanted, only the prompt read."""
        return self.end("length", None)

    def end(
        self,
        reason: FinishReason,
        stopped_by: str | int | None,
        text: str = "",
        ids: tuple[int, ...] = (),
        logprobs: tuple[TokenLogprobs, ...] = (),
        tokens: int = 0,
    ) -> Delta:
        """The last delta, with the text that was held back.

        Args:
            tokens: that came with it and count, such as the one that ends the text.
        """
        self._counted += tokens
        rest = self._text.finish()
        if self._editor is not None:
            rest = self._editor.push(rest) + self._editor.finish()
            if reason == "length" and self._editor.stopped_by is not None:
                reason, stopped_by = "stop", self._editor.stopped_by
        self.finish_reason, self.stopped_by = reason, stopped_by
        text += rest
        self._text_so_far.append(text)
        prompt = self.state.take_prompt_logprobs()
        return Delta(self.sample, text, ids, logprobs, reason, stopped_by, self._usage(), prompt, tokens)

    def _usage(self) -> Usage:
        state = self.state
        started = state.started if state.started is not None else state.arrival
        first = self._first if self._first is not None else time.perf_counter()
        return Usage(
            prompt_tokens=len(self.request.ids),
            cached_tokens=state.cached_tokens,
            completion_tokens=self._counted,
            queue_seconds=started - state.arrival,
            prefill_seconds=first - started,
            decode_seconds=self._last - first if self._first is not None else 0.0,
        )

    def completion(self) -> Completion:
        """The whole sample, once it has ended."""
        assert self.finish_reason is not None
        return Completion(
            self.state.id,
            self.sample,
            "".join(self._text_so_far),
            tuple(self.ids[len(self.request.ids) :]),
            self.finish_reason,
            self.stopped_by,
            self.log_probability,
        )


def _tokens(ids: Iterable[int], tokenizer: Tokenizer) -> list[int]:
    """Those of ``ids`` that are tokens: a request may name others, which no model chooses."""
    return sorted({token for token in ids if 0 <= token < tokenizer.vocab_size})
