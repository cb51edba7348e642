"""The first values of new tokens' rows in the vocabulary tables.

- New rows are means of trained rows. A row of small random numbers would have logits near 0, far above those of
  trained rows, so the model would give the new tokens most of the probability. With a mean of trained rows the old
  model's distribution changes by at most log(1 + new / old) (Hewitt 2021).
- The rows of prefix, suffix and middle start from the mean of the model's own control tokens, because these too begin
  parts of a structured input. Where there are too few of them (Llama 2 has two), the mean is of all rows.
- Each of the three gets its own noise. Equal rows would have equal gradients at first, so the model would need long
  to
  distinguish the tokens.
- The row of the end of an infilling is a copy of the row of the end of a document, because both tokens mean the same.
  So the model predicts it from the first step. It needs no noise.
- Rows that only pad the table to a multiple of 64 are the mean of all rows. No token has them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from codecascade.model.llama import Llama
from codecascade.tokens.tokenizer import Tokenizer

NOISE = 0.05
"""As a part of the standard deviation of the table's values."""
ENOUGH_CONTROL_TOKENS = 4


@torch.no_grad()
def initialise_new_rows(model: Llama, tokenizer: Tokenizer, new_ids: Sequence[int], seed: int) -> None:
    """Fill the rows ``new_ids`` of the embedding, and of the head if it is untied, in place.

    Args:
        tokenizer: with the new infilling tokens.
        new_ids: the rows that are not trained: of added tokens, and those that pad the table.
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
