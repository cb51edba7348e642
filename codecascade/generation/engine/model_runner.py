"""One forward pass over what the scheduler chose: packed tokens in, the logits that are wanted out."""

from __future__ import annotations

from collections.abc import Sequence as SequenceOf
from itertools import accumulate

import torch
from torch import Tensor

from codecascade.generation.engine.memory import free_bytes
from codecascade.generation.engine.scheduler import Scheduled
from codecascade.generation.engine.scoring import note_prompt_logprobs
from codecascade.generation.engine.sequence import Sequence
from codecascade.generation.engine.weights.packed import PackedLinear, padded_rows
from codecascade.ground.errors import UserError
from codecascade.model.attention import Documents
from codecascade.model.cache import BLOCK_SIZE, KeyValueCache
from codecascade.model.llama import Llama

_CACHE_BYTES, _LEAST_TOKENS = 2**30, 16_384


def default_cache_tokens(model: Llama, context: int, *, asked: bool = False) -> int:
    """Tokens of a cache of 1 GiB, but at least 16,384 and what one request of the whole context needs.

    Args:
        asked: whether somebody asked for this context. Of the model's own, only so much counts as there is memory
            for: a configuration may promise any length.
    """
    whole, each = context + BLOCK_SIZE, token_bytes(model)
    free = None if asked else free_bytes(next(model.parameters()).device)
    fitting = whole if free is None else min(whole, free // each)
    return max(_LEAST_TOKENS, _CACHE_BYTES // each, fitting)


def token_bytes(model: Llama) -> int:
    """Memory of a token's keys and values in the cache."""
    config, weight = model.config, next(model.parameters())
    return 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim * weight.itemsize


class ModelRunner:
    """A model and the memory of its cache.

    Raises:
        UserError: there is no memory for so many blocks.
    """

    def __init__(self, model: Llama, blocks: int) -> None:
        self.model = model
        weight = next(model.parameters())
        self.device = weight.device
        # once for a pass, rather than in each product
        self._pads = any(isinstance(module, PackedLinear) for module in model.modules())
        try:
            self.cache = KeyValueCache.allocate_blocks(model.config, blocks, weight.dtype, weight.device)
        except (MemoryError, ValueError, OverflowError, torch.OutOfMemoryError):
            raise UserError(
                f"there is no memory for a cache of {blocks * BLOCK_SIZE:,} tokens; "
                "name a shorter context (--context), or ask for fewer new tokens"
            ) from None

    @torch.inference_mode()
    def run(self, batch: SequenceOf[Scheduled]) -> tuple[SequenceOf[Scheduled], Tensor]:
        """The pass over a batch.

        Returns:
            What was computed, which is the batch, but without the drafts that gave no numbers; and logits
            (rows, vocabulary) of the tokens at which something is chosen, in its order.
        """
        hidden = self._read(batch)
        if any(entry.sequence.draft for entry in batch) and not _is_finite(hidden):
            # a wrong guess is no part of a text, which must not end because of it
            batch = self._without_drafts(batch)
            hidden = self._read(batch)
        parts = [(entry.sequence, entry.count) for entry in batch]
        _note_health(parts, hidden)
        note_prompt_logprobs(self.model, parts, hidden)
        ends = accumulate(entry.count for entry in batch)
        wanted = [
            index for entry, end in zip(batch, ends, strict=True) for index in range(end - entry.chooses, end)
        ]
        if not wanted:
            return batch, hidden.new_empty(0, self.model.config.vocab_size)
        if len(wanted) < len(hidden):
            hidden = hidden[torch.tensor(wanted, dtype=torch.int64, device=self.device)]
        return batch, self.model.logits(hidden)

    def _read(self, batch: SequenceOf[Scheduled]) -> Tensor:
        """Hidden states (tokens, hidden_size) of a batch, drafts included."""
        tokens: list[int] = []
        for entry in batch:
            sequence, start = entry.sequence, entry.sequence.computed
            tokens += sequence.ids[start : start + entry.count]
            tokens += sequence.draft
        cache = self.cache.rows(
            [entry.sequence.blocks for entry in batch], [entry.sequence.computed for entry in batch]
        )
        return self._forward(tokens, cache, tuple(entry.count for entry in batch))

    def _without_drafts(self, batch: SequenceOf[Scheduled]) -> list[Scheduled]:
        """A batch that was computed, once its sequences have lost their drafts and the cache what they left in it."""
        kept = []
        for entry in batch:
            sequence = entry.sequence
            if sequence.draft:
                # hidden by a weight of 0 it would still turn the row's text into nothing
                cache = self.cache.rows([sequence.blocks], [sequence.computed])
                cache.clear_tokens(0, range(sequence.computed + 1, sequence.computed + entry.count))
                sequence.draft = []
                entry = entry.without_draft()
            kept.append(entry)
        return kept

    @torch.inference_mode()
    def look_ahead(self, sequences: SequenceOf[Sequence], tokens: SequenceOf[int]) -> Tensor:
        """Logits (rows, vocabulary) after one more token of each sequence, which does not become part of it."""
        cache = self.cache.rows(
            [sequence.blocks for sequence in sequences], [sequence.computed for sequence in sequences]
        )
        hidden = self._forward(tokens, cache, (1,) * len(sequences))
        _note_health([(sequence, 1) for sequence in sequences], hidden)
        return self.model.logits(hidden)

    def _forward(self, tokens: SequenceOf[int], cache: KeyValueCache, lengths: tuple[int, ...]) -> Tensor:
        """Hidden states (tokens, hidden_size)."""
        padding = padded_rows(len(tokens)) - len(tokens) if self._pads else 0
        packed = torch.tensor([[*tokens, *[0] * padding]], dtype=torch.int64, device=self.device)
        hidden: Tensor = self.model(packed, cache=cache, mask=Documents(lengths))
        return hidden[0, : len(tokens)]


def _note_health(parts: SequenceOf[tuple[Sequence, int]], hidden: Tensor) -> None:
    """Whose keys and values may be no numbers: a token attends to itself, so its hidden state is none either.

    Args:
        parts: sequences, each with its tokens in ``hidden`` (tokens, hidden_size).
    """
    if _is_finite(hidden):
        return
    finite = torch.split(hidden.isfinite().all(-1), [count for _, count in parts])
    for (sequence, _), well in zip(parts, finite, strict=True):
        if not bool(well.all()):
            sequence.state.healthy = False


def _is_finite(hidden: Tensor) -> bool:
    """Whether all are numbers, told by one number. False, too, for numbers whose sum is too large."""
    return bool(hidden.sum(dtype=torch.float32).isfinite())
