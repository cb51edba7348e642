"""The first values of new tokens' rows in the vocabulary tables.

- New rows are means of trained rows. A row of small random numbers would have logits near 0, far above those of
  trained rows, so the model would give the new tokens most of the probability. With a mean of trained rows the old
  model's distribution changes by at most log(1 + new / old) (Hewitt 2021).
- The rows of the infilling tokens start as copies of the row of the end of a document. All four stand where one text
  ends and another begins, and the model knows what that looks like. So before any training, SPM is left to right with
  another text in front, and what the base can write it writes there too (docs/quickstart-study.md has the comparison
  with the mean of the control tokens).
- Prefix, suffix and middle each get a little noise of their own. Equal rows would have equal gradients at first, so
  the model would need long to distinguish the tokens. The end of an infilling means what the end of a document does,
  so its copy needs no noise: the model predicts it from the first step.
- Rows that only pad the table to a multiple of 64 are the mean of all rows. No token has them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from codecascade.model.config import LlamaConfig
from codecascade.model.stored.weights import Part, StoredWeights
from codecascade.model.weights import HEAD, TABLE
from codecascade.tokens.tokenizer import Tokenizer

NOISE = 0.05
"""As a part of the standard deviation of the table's values."""
_ROWS_AT_A_TIME = 1024


@dataclass(frozen=True)
class NewRowValues:
    """The first values of new rows.

    Attributes:
        ids: the rows, in order.
        tables: by the name of a vocabulary table, (len(ids), H) fp32.
    """

    ids: tuple[int, ...]
    tables: dict[str, Tensor]


def new_row_values(
    weights: StoredWeights, config: LlamaConfig, tokenizer: Tokenizer, new_ids: Collection[int], seed: int
) -> NewRowValues:
    """The first values of the rows ``new_ids`` of the embedding, and of the head if it is untied.

    The tables are read some rows at a time.

    Args:
        weights: of the model before; its tables may have fewer or more rows than ``config`` says.
        tokenizer: with the new infilling tokens.
        new_ids: the rows that are not trained: of added tokens, and those that pad the table.
        seed: of the noise.
    """
    infilling = tokenizer.infilling
    new = set(new_ids)
    openers, ends = set[int | None](), set[int]()
    if infilling is not None:
        openers, ends = {infilling.prefix, infilling.suffix, infilling.middle}, {infilling.end}
    generator = torch.Generator().manual_seed(seed)
    tables = {}
    for name in (TABLE,) if config.tie_word_embeddings else (TABLE, HEAD):
        mean, deviation = _moments(weights, name, config.vocab_size, new)
        end = tokenizer.end_of_document_id
        border = mean if end in new else _row(weights, name, end)
        rows = []
        for row in sorted(new):
            noise = torch.randn(len(mean), generator=generator) * deviation * NOISE
            if row in openers:
                rows.append(border + noise)
            else:
                rows.append(border if row in ends else mean)
        tables[name] = torch.stack(rows)
    return NewRowValues(tuple(sorted(new)), tables)


def _row(weights: StoredWeights, name: str, row: int) -> Tensor:
    return weights.read(name, (slice(row, row + 1),))[0].float()


def _moments(weights: StoredWeights, name: str, rows: int, new: set[int]) -> tuple[Tensor, Tensor]:
    """The mean (H,) of a table's first ``rows`` rows without the ``new`` ones, and the deviation of all their values.

    The sums are fp64, so that they do not depend on how many rows are read at a time.
    """
    stored, width = weights.shapes[name]
    sums, squares = torch.zeros(width, dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    count = 0
    for first in range(0, min(rows, stored), _ROWS_AT_A_TIME):
        last = min(first + _ROWS_AT_A_TIME, rows, stored)
        known = [row - first for row in range(first, last) if row not in new]
        values = weights.read(name, (slice(first, last),))[known].double()
        sums += values.sum(0)
        squares += values.square().sum()
        count += len(known)
    numbers = count * width
    variance = (squares - sums.sum() ** 2 / numbers) / (numbers - 1)
    return (sums / count).float(), variance.clamp(min=0).sqrt().float()


class GrownWeights:
    """Weights whose vocabulary tables have ``rows`` rows: the first of the old ones, and new ones in their places.

    They are read part by part, as the old ones are. Where tables become shorter, the last rows are left out.
    """

    def __init__(self, weights: StoredWeights, rows: int, new: NewRowValues) -> None:
        self._weights, self._new = weights, new
        self.shapes: Mapping[str, tuple[int, ...]] = {
            name: (rows, *shape[1:]) if name in (TABLE, HEAD) else shape
            for name, shape in weights.shapes.items()
        }

    def read(self, name: str, part: Part = ()) -> Tensor:
        if name not in (TABLE, HEAD):
            return self._weights.read(name, part)
        rows, columns = self.shapes[name]
        first, last, _ = part[0].indices(rows) if part else (0, rows, 1)
        others = part[1:] or (slice(0, columns),)
        old = self._weights.read(name, (slice(first, last), *others))
        here = [number for number, row in enumerate(self._new.ids) if first <= row < last]
        if not here:
            return old
        values = torch.empty(last - first, old.shape[1])
        values[: len(old)] = old
        values[[self._new.ids[number] - first for number in here]] = self._new.tables[name][here][
            :, others[0]
        ]
        return values

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        return ((name, self.read(name)) for name in self.shapes)
