"""Requests in token ids, how their tokens are sampled, and completions: the interface of a generator.

Prompts are ids, never text: infilling and chat prompts hold control tokens that no text can spell. The
builders below make them; everything behind the :class:`Generator` interface is free to batch as it likes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

from codecascade.generation.editing.stops import EditorStops
from codecascade.generation.grammar import Grammar
from codecascade.ground.errors import UserError
from codecascade.tokens.chat import Message, chat_stop_ids, encode_chat, encode_reply_start
from codecascade.tokens.healing import heal as heal_prompt
from codecascade.tokens.healing import heal_infilling
from codecascade.tokens.infilling import forbidden_tokens, infilling_prompt
from codecascade.tokens.reference import ReferenceTokens
from codecascade.tokens.tokenizer import Tokenizer

FinishReason = Literal["stop", "length", "context"]
# The most that float32 holds, in which logits are changed, and the most of a number of tokens.
_MOST, _MOST_TOKENS = (2 - 2**-23) * 2.0**127, 2**31 - 1


@dataclass(frozen=True)
class SamplingParams:
    """How tokens are chosen: ``temperature`` 0 takes the likeliest, else one is drawn.

    Equal ``seed`` and sample number give equal draws, whatever else is in the batch. In this order: the bias is added
    to the logits, then come the penalties, the temperature, ``top_k``, ``top_p`` and ``min_p``, each of the
    probabilities that the one before left over (as in transformers).

    Attributes:
        max_new_tokens: 0 reads the prompt only, so that it is in the prefix cache.
        top_p: draw among the likeliest tokens whose probabilities add up to this.
        logprobs: with each token, the log-probabilities of so many of the likeliest; None for none at all.
        prompt_logprobs: the same of each token of the prompt from ``Request.scored_from`` on, which then are read
            anew, whatever the prefix cache holds.
        top_k: draw among so many of the likeliest tokens; 0 for all.
        min_p: draw among the tokens that are at least so many times as likely as the likeliest.
        repetition_penalty: divides the positive logits of tokens that the prompt or the text has, and multiplies
            the negative ones (Keskar et al. 2019).
        presence_penalty: subtracted from the logits of tokens that the text has.
        frequency_penalty: subtracted once for each time that the text has the token.
        logit_bias: ``(token id, what is added to its logit)``; minus infinity rules a token out.
    """

    max_new_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    logprobs: int | None = None
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: tuple[tuple[int, float], ...] = ()
    prompt_logprobs: int | None = None

    def __post_init__(self) -> None:
        for key, least in (("max_new_tokens", 0), ("logprobs", 0), ("prompt_logprobs", 0), ("top_k", 0)):
            if (getattr(self, key) or 0) < least:
                raise UserError(f"must be at least {least} (got {getattr(self, key)})", key=key)
        object.__setattr__(self, "top_k", min(self.top_k, _MOST_TOKENS))  # more than any vocabulary has
        # Each condition says what is right, so that NaN is wrong.
        for key, low in (("temperature", 0), ("presence_penalty", -_MOST), ("frequency_penalty", -_MOST)):
            if not low <= getattr(self, key) <= _MOST:
                raise UserError(f"must be from {low:.2g} to {_MOST:.2g} (got {getattr(self, key)})", key=key)
        if not 0 < self.top_p <= 1:
            raise UserError(f"must be over 0 and at most 1 (got {self.top_p})", key="top_p")
        if not 0 <= self.min_p <= 1:
            raise UserError(f"must be from 0 to 1 (got {self.min_p})", key="min_p")
        if not 0 < self.repetition_penalty <= _MOST:
            what = f"must be over 0 and at most {_MOST:.2g} (got {self.repetition_penalty})"
            raise UserError(what, key="repetition_penalty")
        for token, bias in self.logit_bias:
            if token < 0:
                raise UserError(f"no token has the id {token}", key="logit_bias")
            if not (bias == -math.inf or abs(bias) <= _MOST):
                raise UserError(f"must be a number for token {token} (got {bias})", key="logit_bias")

    @property
    def counts_tokens(self) -> bool:
        """Whether the tokens so far change what comes next, beyond what the model makes of them."""
        return (self.repetition_penalty, self.presence_penalty, self.frequency_penalty) != (1.0, 0.0, 0.0)


@dataclass(frozen=True)
class Request:
    """One prompt.

    Attributes:
        ids: the prompt, control tokens included; at least one.
        stop: strings that end the text; the text returned ends before them.
        samples: how many completions; they share the prompt's prefill.
        numbers: which of the prompt's samples are wanted, as many as ``samples``; empty for the first ones. A
            sample's draws depend on its number.
        required: bytes that the completion must begin with and that are left out of its text (token healing: the
            end of the prompt, or of the prefix of an infilling prompt, whose tokens were taken back).
        continuation: the text continues the prompt letter by letter; False for a text of its own, which loses
            the space that some families put before every text (with a ``grammar`` the space is part of the text).
        stop_ids: tokens that end the text; None for all that the tokenizer names.
        stop_after_text: stop strings count only behind something other than white space.
        beyond_context: positions beyond those of the model's config are no end (a context that was asked for is, and
            so are they where the model has a sliding window).
        editor: what an editor wants of the text at its cursor; it ends where they say.
        grammar: what the text must be an instance of; it can't be healed then, as it begins anew.
        nonempty: the text may not end before it began.
        alternatives: at temperature 0 samples are no copies of the first: each takes, once, another token that was
            nearly as likely as the likeliest, as far as there are such.
        forbidden: tokens that are never chosen. The builders name those that mark the parts of an infilling: a
            model that learnt little but infilling puts them where no infilling was asked for.
        allowed: the only tokens that are ever chosen; None for all.
        min_tokens: no token ends the text before it has so many.
        scored_from: the first token of the prompt of which ``prompt_logprobs`` tells, from 1 on: nothing is before
            token 0.
        any_last: tokens any of which may be the last of the prompt, its own among them: what ``prompt_logprobs``
            tells of it is their probability together. Empty: of it alone. Servers of another kind pass it over.
        references: what else is to be scored. A generator that can do it beside the prompt, without reading twice
            what all begin with, tells ``Completion.references``; others pass them over.
    """

    ids: tuple[int, ...]
    sampling: SamplingParams = field(default_factory=SamplingParams)
    stop: tuple[str, ...] = ()
    samples: int = 1
    required: bytes = b""
    continuation: bool = True
    stop_ids: frozenset[int] | None = None
    nonempty: bool = False
    alternatives: bool = False
    numbers: tuple[int, ...] = ()
    forbidden: frozenset[int] = frozenset()
    stop_after_text: bool = False
    beyond_context: bool = False
    editor: EditorStops | None = None
    grammar: Grammar | None = None
    allowed: frozenset[int] | None = None
    min_tokens: int = 0
    scored_from: int = 1
    any_last: tuple[int, ...] = ()
    references: tuple[ReferenceTokens, ...] = ()

    def __post_init__(self) -> None:
        if not self.ids:
            raise ValueError("a prompt needs at least one token")
        if not 1 <= self.scored_from <= len(self.ids):
            raise ValueError(f"scored_from must be from 1 to {len(self.ids)} (got {self.scored_from})")
        if self.grammar is not None and self.required:
            raise ValueError("a text under a grammar can't begin with the end of the prompt")
        if self.samples < 1:
            raise UserError(f"must be at least 1 (got {self.samples})", key="samples")
        if "" in self.stop:
            raise UserError("a stop string must not be empty", key="stop")
        if self.numbers and len(self.numbers) != self.samples:
            raise ValueError(f"{self.samples} samples with {len(self.numbers)} numbers")

    @property
    def sample_numbers(self) -> Sequence[int]:
        return self.numbers or range(self.samples)


@dataclass(frozen=True)
class Completion:
    """One sample; ``request`` is the index of its request in the list that was given.

    Attributes:
        text: what follows the prompt, without stop string, special tokens and ``required``.
        ids: the tokens chosen, without a stop token; with a stop string, up to the token that completed it.
        finish_reason: ``stop`` (by a token or a string, see ``stopped_by``), ``length`` (``max_new_tokens`` or the
            end of the context), or ``context``: the prompt leaves no room, nothing was generated.
        log_probability: natural logarithm of the model's own probability (temperature 1, no nucleus) of the
            tokens chosen, the stop token included.
        references: of each of ``Request.references`` the natural logarithms of the probabilities of its tokens from
            its first on (the last one's is of ``any_last`` together, where there are some); None where they were
            passed over.
    """

    request: int
    sample: int
    text: str
    ids: tuple[int, ...]
    finish_reason: FinishReason
    stopped_by: str | int | None = None
    log_probability: float = 0.0
    references: tuple[tuple[float, ...], ...] | None = None


class Generator(Protocol):
    """A model that completes requests in token ids, such as the local engine."""

    @property
    def tokenizer(self) -> Tokenizer: ...

    @property
    def context_length(self) -> int: ...

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """``samples`` completions of each request, each as soon as it is there (so in any order).

        A prompt that fills the context is answered with ``finish_reason="context"``, never cut.
        """
        ...


@runtime_checkable
class Scorer(Protocol):
    """A generator that can also say how likely given texts are."""

    def log_probabilities(self, sequences: Sequence[Sequence[int]]) -> Iterator[tuple[int, list[float]]]:
        """``(index, scores)`` of each sequence, in any order; ``scores[i]`` is the natural logarithm of the
        probability of ``sequence[i + 1]`` after the tokens before it."""
        ...

    def reference_scores(self, references: Sequence[ReferenceTokens]) -> Iterator[tuple[int, list[float]]]:
        """``(index, scores)`` of each, in any order, as ``Completion.references`` has them. A server that tells of no
        other tokens than a prompt's own passes ``any_last`` over."""
        ...


def start_id(tokenizer: Tokenizer) -> int:
    """The token before the first of a text: BOS, or the end of another document where the family has no BOS."""
    return next(iter(tokenizer.bos()), tokenizer.end_of_document_id)


def completion_request(
    tokenizer: Tokenizer,
    prompt: str,
    sampling: SamplingParams,
    *,
    stop: Sequence[str] = (),
    stop_after_text: bool = False,
    samples: int = 1,
    heal: bool = True,
    grammar: Grammar | None = None,
) -> Request:
    """Continue ``prompt``; with ``heal``, also where it ends inside a token.

    A text of a ``grammar`` begins anew, so that nothing is healed.
    """
    ids, required = tokenizer.encode(prompt, bos=True), b""
    if heal and grammar is None:
        ids, required = heal_prompt(tokenizer, ids)
    ids = ids or [start_id(tokenizer)]
    return Request(
        tuple(ids),
        sampling,
        tuple(stop),
        samples,
        required,
        continuation=bool(prompt),
        forbidden=forbidden_tokens(tokenizer, end=True),
        stop_after_text=stop_after_text,
        grammar=grammar,
    )


def infilling_request(
    tokenizer: Tokenizer,
    prefix: str,
    suffix: str,
    sampling: SamplingParams,
    *,
    format: str = "psm",  # noqa: A002  (the command line's name)
    stop: Sequence[str] = (),
    samples: int = 1,
    heal: bool = True,
    editor: EditorStops | None = None,
) -> Request:
    """Fill the gap between ``prefix`` and ``suffix``; see :func:`middle_request`.

    Raises:
        UserError: the tokenizer has no infilling tokens, or its family does not know ``format``.
    """
    ids = infilling_prompt(tokenizer, prefix, suffix, format=format)
    return middle_request(
        tokenizer, ids, sampling, format=format, stop=stop, samples=samples, heal=heal, editor=editor
    )


def middle_request(
    tokenizer: Tokenizer,
    ids: Sequence[int],
    sampling: SamplingParams,
    *,
    format: str,  # noqa: A002
    stop: Sequence[str] = (),
    samples: int = 1,
    heal: bool = True,
    editor: EditorStops | None = None,
) -> Request:
    """Write the middle after an infilling prompt in the layout ``format``; ``editor`` says where it ends.

    With ``heal`` the prefix may end inside a token (the paper has no healing). In SPM a healed middle must not be
    empty: nothing marks where the prefix ends, so where the required bytes are a line break, the model can't tell the
    one before the gap from the one that ends a middle, and would stop at once.
    """
    required = b""
    if heal:
        ids, required = heal_infilling(tokenizer, ids, format)
    return Request(
        tuple(ids),
        sampling,
        tuple(stop),
        samples,
        required,
        nonempty=bool(required) and format == "spm",
        forbidden=forbidden_tokens(tokenizer, end=False),
        editor=editor,
    )


def chat_request(
    tokenizer: Tokenizer,
    messages: Sequence[Message],
    sampling: SamplingParams,
    *,
    prefill: str = "",
    stop: Sequence[str] = (),
    samples: int = 1,
    grammar: Grammar | None = None,
) -> Request:
    """Reply to a dialogue in the tokenizer's chat format; the reply begins with ``prefill``, healed at its end.

    With a ``grammar`` what follows ``prefill`` is an instance of it, and nothing is healed.

    Raises:
        UserError: the model has no chat format, or it does not allow the messages in this order.
    """
    ids = encode_chat(tokenizer, messages)
    begun = encode_reply_start(tokenizer, messages, prefill) if prefill else []
    required = b""
    if prefill and grammar is None:
        begun, required = heal_prompt(tokenizer, begun)
    return Request(
        (*ids, *begun),
        sampling,
        tuple(stop),
        samples,
        required,
        continuation=bool(prefill),
        stop_ids=chat_stop_ids(tokenizer),
        forbidden=forbidden_tokens(tokenizer, end=True),
        grammar=grammar,
    )
