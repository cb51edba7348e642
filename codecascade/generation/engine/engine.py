"""The local engine: static batches of prompts of like length, on one device.

Prompts are packed for the prefill and rows of the cache have lengths of their own, so nothing is ever padded. The
samples of a prompt share its prefill. Rows that ended cost nothing, and are dropped from the cache.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

import torch
import torch.nn.functional as F
from torch import Tensor

from codecascade.generation.engine.detokenizer import TextBuilder
from codecascade.generation.engine.packed import can_pack, pack_weights
from codecascade.generation.engine.sampler import SamplingRow, choose
from codecascade.generation.engine.token_counts import TokenCounts
from codecascade.generation.requests import Completion, FinishReason, Request
from codecascade.ground.choices import Precision
from codecascade.ground.errors import UserError
from codecascade.ground.seeds import uniform
from codecascade.model.attention import Documents
from codecascade.model.cache import KeyValueCache
from codecascade.model.llama import Llama
from codecascade.model.precision import choose_precision
from codecascade.model.sources import load
from codecascade.tokens.healing import HealingConstraint
from codecascade.tokens.tokenizer import Tokenizer

_LOGIT_ROWS = 64  # positions whose logits exist at a time when texts are scored: few stay in the CPU's caches
_CACHE_BYTES, _LEAST_PLACES = 2**30, 16_384
# Tokens of a chunk of a long text times those before it: bounds the attention's memory.
_SCORED_PAIRS = 1 << 23
_COMPACT_AT = 0.75  # the share of living rows at which the cache is copied without the dead ones


def load_generator(
    name: str,
    *,
    device: str | None = None,
    precision: Precision = "auto",
    batch_tokens: int | None = None,
) -> LocalGenerator:
    """A generator for a folder, a GGUF file, a hub name or a preset.

    Args:
        device: ``cpu`` or ``cuda``; None takes CUDA where it is there.
        precision: of weights and cache; ``auto`` takes bf16 where the hardware has instructions for it, else fp32.

    Raises:
        UserError: there is no such model, or it can't be used.
    """
    target = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    loaded = load(name, dtype=choose_precision(target, precision).dtype, device=target)
    if can_pack(target, loaded.model.head_weight.dtype):
        pack_weights(loaded.model)
    return LocalGenerator(loaded.model, loaded.tokenizer, batch_tokens=batch_tokens)


class LocalGenerator:
    """Generates with a model in memory, in the model's own dtype and on its device.

    Results depend on the batch only as far as rounding does: a kernel for another number of rows may round
    differently, which can turn a near tie (seldom in fp32, now and then in bf16).

    Args:
        batch_tokens: places in the cache of a batch, rows times prompt and completion: bounds the memory, whatever
            is asked for. One prompt with more samples than fit is prefilled once and sampled in several waves.
            None: 1 GiB, but at least 16,384 places.
        prefill_tokens: tokens in one forward pass; longer prompts are prefilled in chunks.
    """

    def __init__(
        self,
        model: Llama,
        tokenizer: Tokenizer,
        *,
        batch_tokens: int | None = None,
        prefill_tokens: int = 2_048,
    ) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.prefill_tokens = prefill_tokens
        weight = next(model.parameters())
        self._device, self._dtype = weight.device, weight.dtype
        config = model.config
        of_token = (
            2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim * weight.itemsize
        )
        self.batch_tokens = batch_tokens or max(_LEAST_PLACES, _CACHE_BYTES // of_token)

    @property
    def context_length(self) -> int:
        """Most tokens of prompt and completion together."""
        return self.model.config.max_position_embeddings

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """Completions as they end; see :class:`~codecascade.generation.requests.Generator`."""
        waiting: list[tuple[int, Request]] = []
        for index, request in enumerate(requests):
            if request.beyond_context or len(request.ids) < self.context_length:
                waiting.append((index, request))
            else:
                yield from (Completion(index, sample, "", (), "context") for sample in request.sample_numbers)
        waiting.sort(key=lambda item: -len(item[1].ids))  # the largest first: what does not fit fails at once
        for batch in self._batches(waiting):
            for row, _ in self._decode(batch):
                if row.finish_reason is not None:
                    yield row.completion()

    def stream(self, request: Request) -> Iterator[str]:
        """The text of one completion in pieces, each as soon as it is certain.

        Raises:
            UserError: the prompt leaves no room in the context.
        """
        if len(request.ids) >= self.context_length:
            raise UserError(
                f"the prompt has {len(request.ids):,} tokens, the model's context {self.context_length:,}; shorten it"
            )
        if request.samples != 1:
            raise ValueError("one sample can be streamed")
        for _, piece in self._decode([(0, request)]):
            if piece:
                yield piece

    def log_probabilities(self, sequences: Sequence[Sequence[int]]) -> Iterator[tuple[int, list[float]]]:
        """See :class:`~codecascade.generation.requests.Scorer`."""
        places: list[int] = []
        tokens = 0
        for place, sequence in enumerate(sequences):
            if len(sequence) > self.prefill_tokens:
                yield place, self._score_long(sequence)
                continue
            if places and tokens + len(sequence) > self.prefill_tokens:
                yield from zip(places, self._score([sequences[place] for place in places]), strict=True)
                places, tokens = [], 0
            places.append(place)
            tokens += len(sequence)
        if places:
            yield from zip(places, self._score([sequences[place] for place in places]), strict=True)

    # ---------------------------------------------------------------- batches

    def _room(self, request: Request) -> int:
        """Tokens that may be generated: those that only give required bytes again come on top."""
        most = request.sampling.max_new_tokens + len(request.required)
        return most if request.beyond_context else min(most, self.context_length - len(request.ids))

    def _batches(self, waiting: Sequence[tuple[int, Request]]) -> Iterator[list[tuple[int, Request]]]:
        batch: list[tuple[int, Request]] = []
        rows = 0
        for index, request in waiting:
            rows += request.samples
            if batch and rows * self._capacity([*batch, (index, request)]) > self.batch_tokens:
                yield batch
                batch, rows = [], request.samples
            batch.append((index, request))
        if batch:
            yield batch

    def _capacity(self, batch: Sequence[tuple[int, Request]]) -> int:
        """Columns for the longest prompt and, beside each other after it, the longest completion."""
        return max(len(request.ids) for _, request in batch) + max(
            self._room(request) for _, request in batch
        )

    def _decode(self, batch: Sequence[tuple[int, Request]]) -> Iterator[tuple[_Row, str]]:
        """Each row after each of its tokens, with the text that became certain."""
        rows: list[_Row] = []
        prompts: list[int] = []
        for place, (index, request) in enumerate(batch):
            for sample in request.sample_numbers:
                rows.append(_Row(self.tokenizer, index, sample, request, self._room(request)))
                prompts.append(place)
        capacity = self._capacity(batch)
        cache, logits = self._prefill([request.ids for _, request in batch], capacity)
        wave = max(1, self.batch_tokens // capacity)
        if len(rows) == len(batch) <= wave:  # nothing is shared
            yield from self._decode_wave(rows, cache, logits)
            return
        for start in range(0, len(rows), wave):
            of = prompts[start : start + wave]
            yield from self._decode_wave(rows[start : start + wave], cache.expand(of), logits[of])

    def _decode_wave(
        self, rows: list[_Row], cache: KeyValueCache, logits: Tensor
    ) -> Iterator[tuple[_Row, str]]:
        places = list(range(len(rows)))  # in the cache, of the rows that go on
        while True:
            endings = self._endings(rows, logits, places, cache)
            tokens, log_probabilities = self._choose(rows, logits, endings)
            for row, token, value in zip(rows, tokens.tolist(), log_probabilities.tolist(), strict=True):
                yield row, row.push(token, value)
            living = [number for number, row in enumerate(rows) if row.finish_reason is None]
            if not living:
                return
            rows, tokens = [rows[number] for number in living], tokens[living]
            places = [places[number] for number in living]
            if len(places) <= _COMPACT_AT * len(cache.lengths):
                cache, places = cache.expand(places), list(range(len(places)))
            logits = self._step(tokens, places, cache)

    # ---------------------------------------------------------------- the model

    @torch.inference_mode()
    def _prefill(self, prompts: Sequence[Sequence[int]], capacity: int) -> tuple[KeyValueCache, Tensor]:
        """The cache of all prompts and the logits (prompts, vocabulary) after the last token of each."""
        cache = KeyValueCache.allocate(self.model.config, len(prompts), capacity, self._dtype, self._device)
        ends = torch.empty(
            len(prompts), self.model.config.hidden_size, dtype=self._dtype, device=self._device
        )
        for lengths in _passes([len(prompt) for prompt in prompts], self.prefill_tokens):
            parts = [
                prompt[done : done + new]
                for prompt, done, new in zip(prompts, cache.lengths, lengths, strict=True)
            ]
            hidden = self.model(self._packed(parts), cache=cache, mask=Documents(tuple(lengths)))[0]
            last = torch.tensor(lengths, device=self._device).cumsum(0) - 1
            there = [
                row for row, new in enumerate(lengths) if new
            ]  # a prompt that goes on is filled in again
            ends[there] = hidden[last[there]]
        return cache, self.model.logits(ends)

    @torch.inference_mode()
    def _step(self, tokens: Tensor, places: Sequence[int], cache: KeyValueCache) -> Tensor:
        """The logits (rows, vocabulary) after one more token of each row, which are at ``places`` in the cache."""
        new = [0] * len(cache.lengths)
        for place in places:
            new[place] = 1
        return self.model.logits(self.model(tokens[None], cache=cache, mask=Documents(tuple(new)))[0])

    def _packed(self, sequences: Sequence[Sequence[int]]) -> Tensor:
        return torch.tensor([[*chain.from_iterable(sequences)]], dtype=torch.int64, device=self._device)

    @torch.inference_mode()
    def _endings(
        self, rows: Sequence[_Row], logits: Tensor, places: Sequence[int], cache: KeyValueCache
    ) -> list[tuple[int, int, float]]:
        """``(row, token, log-probability)`` that the text would not end right after the token, leaving it empty.

        For texts that must not be empty. A healed prompt's last bytes, as a token of their own, may well be how the
        model ends: in SPM nothing marks where the prefix ends, so the line break that is owed can be the one that
        ends a middle. What the model thinks of such a token is then mostly of the empty text, which is ruled out:
        one step ahead tells how much.
        """
        found = [(number, ids) for number, row in enumerate(rows) if (ids := row.may_leave_empty())]
        if not found:
            return []
        tokens = [max(ids, key=lambda token: float(logits[number, token])) for number, ids in found]
        ahead = [places[number] for number, _ in found]
        after = self._step(torch.tensor(tokens, device=self._device), ahead, cache).float()
        cache.retract(ahead)
        endings = []
        for (number, _), token, following in zip(found, tokens, after.log_softmax(-1), strict=True):
            following[rows[number].stop_ids] = -torch.inf
            endings.append((number, token, float(following.logsumexp(-1))))
        return endings

    @torch.inference_mode()
    def _choose(
        self, rows: Sequence[_Row], logits: Tensor, endings: Sequence[tuple[int, int, float]]
    ) -> tuple[Tensor, Tensor]:
        """The next token of each row, and the model's own log-probability of it; each (rows,).

        Args:
            endings: see :meth:`_endings`.
        """
        added: list[list[tuple[int, float]]] = [[] for _ in rows]
        for number, token, going_on in endings:
            added[number].append((token, going_on))
        sampling = [
            SamplingRow(
                row.request.sampling,
                row.draw(),
                allowed=row.allowed(),
                forbidden=row.forbidden(),
                added=added[number],
                counts=row.counts,
            )
            for number, row in enumerate(rows)
        ]
        choice = choose(logits, sampling, self.tokenizer.vocab_size)
        return choice.tokens, choice.logprobs

    @torch.inference_mode()
    def _score(self, sequences: Sequence[Sequence[int]]) -> list[list[float]]:
        """Of packed sequences, each by itself."""
        sizes = [len(sequence) for sequence in sequences]
        tokens = self._packed(sequences)
        positions = torch.cat([torch.arange(size, device=self._device) for size in sizes])
        hidden = self.model(tokens, positions=positions[None], mask=Documents(tuple(sizes)))[0]
        predicted = (positions > 0).nonzero()[:, 0]
        scores = self._scores(hidden[predicted - 1], tokens[0, predicted])
        return [part.tolist() for part in torch.split(scores, [size - 1 for size in sizes])]

    @torch.inference_mode()
    def _score_long(self, sequence: Sequence[int]) -> list[float]:
        """In chunks, so that memory grows with the text by its keys and values only."""
        tokens = torch.tensor(sequence, device=self._device)
        last = len(sequence) - 1
        cache = KeyValueCache.allocate(self.model.config, 1, last, self._dtype, self._device)
        scores: list[float] = []
        while (start := len(scores)) < last:
            end = min(last, start + self.prefill_tokens, start + max(1, _SCORED_PAIRS // (start + 1)))
            hidden = self.model(tokens[None, start:end], cache=cache, mask=Documents((end - start,)))[0]
            scores += self._scores(hidden, tokens[start + 1 : end + 1]).tolist()
        return scores

    def _scores(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """(tokens, hidden_size) and the tokens that follow, to the log-probability of each."""
        return torch.cat(
            [
                -F.cross_entropy(self.model.logits(part).float(), those, reduction="none")
                for part, those in zip(
                    torch.split(hidden, _LOGIT_ROWS), torch.split(targets, _LOGIT_ROWS), strict=True
                )
            ]
        )


class _Row:
    """A completion in the making; ``room`` bounds its tokens."""

    def __init__(self, tokenizer: Tokenizer, index: int, sample: int, request: Request, room: int) -> None:
        self.request = request
        self.finish_reason: FinishReason | None = None
        self._index, self._sample, self._room = index, sample, room
        self.counts = TokenCounts.of(request.sampling, request.ids)
        self._ids: list[int] = []
        self._counted = 0  # tokens of new text; those that only give required bytes again are not
        self._log_probability = 0.0
        self._stopped_by: str | int | None = None
        stop_ids = tokenizer.stop_ids if request.stop_ids is None else request.stop_ids
        self.stop_ids = sorted(set(stop_ids))
        self._constraint = HealingConstraint(tokenizer, request.required) if request.required else None
        self._text = TextBuilder(
            tokenizer,
            required=request.required,
            stop=request.stop,
            stop_after_text=request.stop_after_text,
            continuation=request.continuation,
        )

    def draw(self) -> float:
        sampling = self.request.sampling
        return uniform(sampling.seed, self._sample, len(self._ids)) if sampling.temperature > 0 else 0.0

    def allowed(self) -> list[int] | None:
        """The tokens that agree with the required bytes; None for all."""
        if self._constraint is None or not self._text.constrained:
            return None
        return self._constraint.allowed(self._text.generated)

    def forbidden(self) -> frozenset[int]:
        """The tokens that the request forbids, and those that would end a text which must not be empty."""
        if self.request.nonempty and self._text.empty:
            return self.request.forbidden.union(self.stop_ids)
        return self.request.forbidden

    def may_leave_empty(self) -> list[int]:
        """The tokens that complete the required bytes and no more, if the text must not be empty."""
        if not self.request.nonempty or self._constraint is None or not self._text.constrained:
            return []
        return self._constraint.completing(self._text.generated)

    def push(self, token: int, log_probability: float) -> str:
        """Add a token; the text that became certain by it."""
        self._log_probability += log_probability
        # what only gives required bytes again is the prompt's, even where a model ends on an ordinary token
        if token in self.stop_ids and not self._text.constrained:
            self.finish_reason, self._stopped_by = "stop", token
            return self._text.finish()
        self._counted += not self._text.constrained
        self._ids.append(token)
        if self.counts is not None:
            self.counts.add(token)
        piece = self._text.push(token)
        if self._text.stopped_by is not None:
            self.finish_reason, self._stopped_by = "stop", self._text.stopped_by
        elif self._counted == self.request.sampling.max_new_tokens or len(self._ids) == self._room:
            self.finish_reason = "length"
            piece += self._text.finish()
        return piece

    def completion(self) -> Completion:
        assert self.finish_reason is not None
        ids = tuple(self._ids)
        how = (self.finish_reason, self._stopped_by, self._log_probability)
        return Completion(self._index, self._sample, self._text.text, ids, *how)


def _passes(lengths: Sequence[int], most: int) -> Iterator[list[int]]:
    """Passes of at most ``most`` tokens through rows of ``lengths``: how many of each row are in it."""
    left = list(lengths)
    while any(left):
        room, taken = most, []
        for row, tokens in enumerate(left):
            taken.append(min(tokens, room))
            room -= taken[row]
            left[row] -= taken[row]
        yield taken
