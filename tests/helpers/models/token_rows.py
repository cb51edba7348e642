"""Rows of random tokens, and empty caches for them."""

from __future__ import annotations

import torch

from codecascade.model.cache import KeyValueCache
from codecascade.model.llama import Llama


def random_tokens(model: Llama, rows: int, length: int, seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(model.config.vocab_size, (rows, length), generator=generator)


def empty_cache(model: Llama, rows: int, capacity: int = 96) -> KeyValueCache:
    weight = model.head_weight
    return KeyValueCache.allocate(model.config, rows, capacity, weight.dtype, weight.device)
