"""One forward pass over what the scheduler chose: packed tokens in, the logits that are wanted out."""

from __future__ import annotations

from collections.abc import Sequence as SequenceOf
from itertools import accumulate

import torch
from torch import Tensor

from codecascade.generation.engine.scheduler import Scheduled
from codecascade.generation.engine.sequence import Sequence
from codecascade.model.attention import Documents
from codecascade.model.cache import KeyValueCache
from codecascade.model.llama import Llama


class ModelRunner:
    """A model and the memory of its cache."""

    def __init__(self, model: Llama, blocks: int) -> None:
        self.model = model
        weight = next(model.parameters())
        self.device = weight.device
        self.cache = KeyValueCache.allocate_blocks(model.config, blocks, weight.dtype, weight.device)

    @torch.inference_mode()
    def run(self, batch: SequenceOf[Scheduled]) -> Tensor:
        """Logits (rows, vocabulary) of the tokens at which something is chosen, in the order of the batch."""
        tokens: list[int] = []
        for entry in batch:
            sequence, start = entry.sequence, entry.sequence.computed
            tokens += sequence.ids[start : start + entry.count]
            tokens += sequence.draft
        cache = self.cache.rows(
            [entry.sequence.blocks for entry in batch], [entry.sequence.computed for entry in batch]
        )
        hidden = self._forward(tokens, cache, tuple(entry.count for entry in batch))
        ends = accumulate(entry.count for entry in batch)
        wanted = [
            index for entry, end in zip(batch, ends, strict=True) for index in range(end - entry.chooses, end)
        ]
        if not wanted:
            return hidden.new_empty(0, self.model.config.vocab_size)
        if len(wanted) < len(tokens):
            hidden = hidden[torch.tensor(wanted, dtype=torch.int64, device=self.device)]
        return self.model.logits(hidden)

    @torch.inference_mode()
    def look_ahead(self, sequences: SequenceOf[Sequence], tokens: SequenceOf[int]) -> Tensor:
        """Logits (rows, vocabulary) after one more token of each sequence, which does not become part of it."""
        cache = self.cache.rows(
            [sequence.blocks for sequence in sequences], [sequence.computed for sequence in sequences]
        )
        return self.model.logits(self._forward(tokens, cache, (1,) * len(sequences)))

    def _forward(self, tokens: SequenceOf[int], cache: KeyValueCache, lengths: tuple[int, ...]) -> Tensor:
        """Hidden states (tokens, hidden_size)."""
        packed = torch.tensor([list(tokens)], dtype=torch.int64, device=self.device)
        hidden: Tensor = self.model(packed, cache=cache, mask=Documents(lengths))
        return hidden[0]
