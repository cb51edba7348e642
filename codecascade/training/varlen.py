"""Attention of packed documents by PyTorch's flash kernels for sequences of different lengths, on GPUs.

The memory is that of the inputs, the work that of the documents, and the lengths are a tensor: another batch of
documents needs no other kernel and no new compilation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

_CAUSAL = (-1, 0)
# Lists of lengths are filled up with empty documents to a multiple of this, because compiled code is for one number.
_STEP = 64


@dataclass(frozen=True)
class VariableLengths:
    """Packed documents, of which each attends to itself alone, causally. Queries may be the last tokens of them.

    Attributes:
        query_starts, key_starts: (n + 1,) int32, on the device: where each document begins, and the end of the last.
        longest: tokens, at least as many as in any document. It is a bound of loops, so it need not be exact, and is
            the same for all batches.
    """

    query_starts: Tensor
    key_starts: Tensor
    longest: int

    @classmethod
    def of(
        cls, queries: Sequence[int], keys: Sequence[int], *, longest: int, device: torch.device
    ) -> VariableLengths:
        """From the lengths of documents, in queries and in keys."""
        query_starts, key_starts = (
            _starts(lengths).to(device, non_blocking=True) for lengths in (queries, keys)
        )
        return cls(query_starts, key_starts, longest)

    def attend(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Of (N, heads, D) queries and (M, G, D) keys and values, packed, make (N, heads, D)."""
        # imported here, because it looks for GPUs
        from torch.nn.attention.varlen import varlen_attn

        out = varlen_attn(
            queries,
            keys,
            values,
            self.query_starts,
            self.key_starts,
            self.longest,
            self.longest,
            window_size=_CAUSAL,
            enable_gqa=queries.shape[1] != keys.shape[1],
        )
        assert isinstance(out, Tensor)
        return out


def has_varlen_kernel(tensor: Tensor) -> bool:
    """Whether the kernels take a tensor: on GPUs with 16 bits."""
    return tensor.device.type == "cuda" and tensor.dtype in (torch.bfloat16, torch.float16)


def _starts(lengths: Sequence[int]) -> Tensor:
    starts = [0, *accumulate(lengths)]
    missing = -len(starts) % _STEP
    return torch.tensor(starts + [starts[-1]] * missing, dtype=torch.int32)
