"""A stand-in for llama.cpp's runtime, which checks how it is used; a tiny model of ours gives the logits."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from codecascade.generation.llama_cpp.runtime import CellsFull, Entry
from codecascade.model.llama import Llama


class StandIn:
    """Holds the tokens of each slot, and reads them from the beginning in each pass.

    Attributes:
        passes: of each, how many tokens it had.
        fails: raised by the next pass.
        whole: whether tokens can be forgotten only all at once, as in a recurrent model.
    """

    def __init__(
        self, model: Llama, *, context: int = 128, cells: int = 1024, slots: int = 4, batch_tokens: int = 16
    ) -> None:
        self.model = model
        self.context_length, self.cells, self.slots, self.batch_tokens = context, cells, slots, batch_tokens
        self.held: list[list[int]] = [[] for _ in range(slots)]
        # which memory each token has: copies share it
        self.memory: list[list[object]] = [[] for _ in range(slots)]
        self.passes: list[int] = []
        self.fails: Exception | None = None
        self.whole = False
        self.closed = False

    def decode(self, entries: Sequence[Entry]) -> Tensor:
        count = sum(len(entry.tokens) for entry in entries)
        assert 0 < count <= self.batch_tokens and len({entry.slot for entry in entries}) == len(entries)
        if self.fails is not None:
            error, self.fails = self.fails, None
            raise error
        used = {id(cell) for slot in self.memory for cell in slot}
        if len(used) + count > self.cells:
            raise CellsFull
        self.passes.append(count)
        rows = []
        for entry in entries:
            held = self.held[entry.slot]
            assert len(held) == entry.start and entry.tokens
            held += entry.tokens
            self.memory[entry.slot] += [object() for _ in entry.tokens]
            assert len(held) <= self.context_length
            if entry.chooses:
                with torch.inference_mode():
                    hidden = self.model(torch.tensor([held]))
                    rows.append(self.model.logits(hidden)[0, -1].float())
        return torch.stack(rows) if rows else torch.empty(0, self.model.config.vocab_size)

    def copy(self, source: int, target: int, length: int) -> None:
        assert not self.held[target] and length <= len(self.held[source])
        self.held[target] = self.held[source][:length]
        self.memory[target] = self.memory[source][:length]

    def truncate(self, slot: int, length: int) -> int:
        kept = 0 if self.whole and length < len(self.held[slot]) else length
        del self.held[slot][kept:], self.memory[slot][kept:]
        return kept

    def close(self) -> None:
        self.closed = True
