"""Penalties for tokens that a prompt or a text already has."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codecascade.generation.requests import SamplingParams


class TokenCounts:
    """How often a text has each token; kept up to date as it grows.

    Only tokens that occur are held, so that the number of rows times the vocabulary bounds nothing.

    Args:
        prompt: tokens that the repetition penalty meets, too, and the others do not.
    """

    def __init__(self, prompt: Sequence[int] = ()) -> None:
        ids = np.unique(np.asarray(prompt, dtype=np.int64))
        self._slots = {token: slot for slot, token in enumerate(ids.tolist())}
        self._ids = ids
        self._counts = np.zeros(len(ids), dtype=np.float32)

    @classmethod
    def of(cls, params: SamplingParams, prompt: Sequence[int]) -> TokenCounts | None:
        """What the settings need of a new text; None if they penalise nothing."""
        if not params.counts_tokens:
            return None
        return cls(prompt if params.repetition_penalty != 1 else ())

    def add(self, token: int) -> None:
        """The text has one more ``token``."""
        slot = self._slots.setdefault(token, len(self._slots))
        if slot == len(self._ids):
            room = max(64, slot)
            self._ids = np.concatenate([self._ids, np.zeros(room, dtype=np.int64)])
            self._counts = np.concatenate([self._counts, np.zeros(room, dtype=np.float32)])
        self._ids[slot] = token
        self._counts[slot] += 1

    @property
    def ids(self) -> NDArray[np.int64]:
        """The tokens of prompt and text, each once."""
        return self._ids[: len(self._slots)]

    @property
    def counts(self) -> NDArray[np.float32]:
        """How often the text has each of :attr:`ids`; 0 for those that only the prompt has."""
        return self._counts[: len(self._slots)]


def penalise(logits: Tensor, rows: Sequence[tuple[int, SamplingParams, TokenCounts]]) -> None:
    """Change ``logits`` (rows, vocabulary) in place: see :class:`~codecascade.generation.requests.SamplingParams`.

    Args:
        rows: ``(index of the row, its settings, its tokens)``.
    """
    sizes = [len(counts.ids) for _, _, counts in rows]
    columns = np.concatenate([counts.ids for _, _, counts in rows])
    known = columns < logits.shape[-1]

    def tensor(array: NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(array[known]).to(logits.device)

    def repeated(values: Sequence[float]) -> Tensor:
        return tensor(np.repeat(np.asarray(values, dtype=np.float64), sizes))

    where = (tensor(np.repeat([index for index, _, _ in rows], sizes)), tensor(columns))
    times = tensor(np.concatenate([counts.counts for _, _, counts in rows]))
    repetition = repeated([params.repetition_penalty for _, params, _ in rows])
    before = logits[where]
    # In float64 no product or sum of float32's overflows: infinities of both signs would make no number together.
    values = before.double()
    values = torch.where(values > 0, values / repetition, values * repetition)
    values -= repeated([params.presence_penalty for _, params, _ in rows]) * (times > 0)
    values -= repeated([params.frequency_penalty for _, params, _ in rows]) * times
    most = torch.finfo(logits.dtype).max
    logits[where] = torch.where(before.isinf(), before, values.clamp(-most, most).to(logits.dtype))
