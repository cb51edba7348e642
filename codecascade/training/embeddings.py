"""Where the rows of new tokens start.

What matters, and what follows from it:

- An untrained row of small random numbers has logits near 0, where a trained table's are far below: the model would
  give the new tokens most of the probability. A mean of trained rows bounds the harm: the old model's distribution
  changes by at most log(1 + new / old) (Hewitt 2021).
- Equal rows are a trap: with the same input and (tied) the same output, prefix, suffix and middle could only be told
  apart after their gradients have drifted apart. So each gets its own noise.
- The end of an infilling means what the end of a document means: its row is copied, and the model knows from
  the first step where such a token goes. This is the fastest start there is; it has no noise, since nothing
  has to be told apart but by its use.
- The other three open a part of a structured input, as a model's own control tokens do. Where the vocabulary has
  enough of those, their mean is the start; else (Llama 2 has but two) the mean of all rows.
- Rows that only pad the table to a multiple of 64 get the mean of all rows and are never seen.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from codecascade.model.llama import Llama
from codecascade.tokens.tokenizer import Tokenizer

NOISE = 0.05  # of the standard deviation of the table's values
ENOUGH_CONTROL_TOKENS = 4


@torch.no_grad()
def initialise_new_rows(model: Llama, tokenizer: Tokenizer, new_ids: Sequence[int], seed: int) -> None:
    """Fill rows ``new_ids`` of the embedding, and of the head if it is untied, in place.

    Args:
        tokenizer: with its infilling tokens.
        new_ids: rows that have not been trained: the added tokens and what pads the table.
        seed: of the noise.
    """
    infilling = tokenizer.infilling
    new = set(new_ids)
    openers = set() if infilling is None else {infilling.prefix, infilling.suffix, infilling.middle} & new
    controls = sorted(tokenizer.special_ids - new)
    generator = torch.Generator().manual_seed(seed)
    tables: list[Tensor] = [model.model.embed_tokens.weight]
    if not model.config.tie_word_embeddings:
        tables.append(model.lm_head.weight)
    for table in tables:
        trained = torch.ones(len(table), dtype=torch.bool)
        trained[list(new)] = False
        known = table[trained.to(table.device)].float()
        mean, deviation = known.mean(0), known.std()
        start = table[controls].float().mean(0) if len(controls) >= ENOUGH_CONTROL_TOKENS else mean
        for row in sorted(new):
            noise = torch.randn(table.shape[1], generator=generator).to(table.device) * deviation * NOISE
            if infilling is not None and row == infilling.end:
                table[row] = table[tokenizer.end_of_document_id]
            else:
                table[row] = (start + noise if row in openers else mean).to(table.dtype)
