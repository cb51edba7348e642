"""Layers of a model whose weights are quantised.

Few rows, as where tokens are decoded, are multiplied by a kernel that reads the small weights. Many rows, as where a
prompt is read, are multiplied by the same weights in the model's own type: from a copy that is kept, or made anew.
Both give the same products but for rounding, so a text does not depend on what else is in its pass.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codecascade.generation.engine.weights.kernels import Int8Weight, QuantisedWeight
from codecascade.generation.engine.weights.packed import PackedLinear, can_pack


class QuantisedLinear(nn.Module):
    """``F.linear`` with a quantised weight (out, in).

    Attributes:
        few_rows: most rows that the kernel for quantised weights multiplies.
        copy: the same weight in the model's type, for more rows; None: made for each product, and not kept.
    """

    def __init__(self, weight: QuantisedWeight, bias: Tensor | None, dtype: torch.dtype) -> None:
        super().__init__()
        self.weight = weight
        self.bias = None if bias is None else bias.detach()
        self.dtype = dtype
        self.few_rows = 1
        self.copy: nn.Module | None = None

    def keep_copy(self) -> None:
        """Spend the memory of the weight in the model's type, so that many rows are multiplied fastest."""
        self.copy = as_linear(self.weight.dequantise(self.dtype), self.bias)

    @property
    def copy_bytes(self) -> int:
        """Memory of the copy."""
        return 0 if self.copy is None else linear_bytes(self.copy)

    def forward(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        if len(rows) > self.few_rows:
            return self.multiply_many(x)
        return self.multiply_few(rows).view(*x.shape[:-1], -1)

    def multiply_few(self, rows: Tensor) -> Tensor:
        """(B, in) to (B, out) by the kernel for quantised weights."""
        out = self.weight.product(rows.bfloat16()).to(self.dtype)
        return out if self.bias is None else out + self.bias

    def multiply_many(self, x: Tensor) -> Tensor:
        """(..., in) to (..., out) by the weight in the model's type."""
        if self.copy is not None:
            out: Tensor = self.copy(x)
            return out
        return F.linear(x, self.weight.dequantise(self.dtype), self.bias)


class QuantisedEmbedding(nn.Module):
    """``nn.Embedding`` with a table (tokens, hidden) in int8, which a tied head shares."""

    def __init__(self, table: Int8Weight, dtype: torch.dtype) -> None:
        super().__init__()
        self.table = table
        self.dtype = dtype

    def forward(self, tokens: Tensor) -> Tensor:
        return self.table.rows(tokens, self.dtype)


def as_linear(weight: Tensor, bias: Tensor | None) -> nn.Module:
    """A layer with the weight (out, in) in the layout that is fastest on its device."""
    if can_pack(weight.device, weight.dtype):
        return PackedLinear(weight, bias)
    return PlainLinear(weight, bias)


class PlainLinear(nn.Module):
    """``F.linear`` with a weight that is not trained."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.weight, self.bias = weight, bias

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


def linear_bytes(layer: nn.Module) -> int:
    """Memory of a layer's weight."""
    weight: Any = layer.weight
    size: int = weight.numel() * weight.element_size()
    return size
