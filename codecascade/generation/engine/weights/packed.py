"""Weights in the layout that a CPU's matrix kernels read fastest, for a model that will not be trained.

oneDNN otherwise lays a weight out anew in each product. That costs nothing beside a prefill's products in bf16, but
as much as the product itself where few rows are decoded. (In fp32 PyTorch does not ask oneDNN at all, which on CPUs
with AVX-512 that are not Intel's costs a factor of about three in every product.)
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from codecascade.generation.engine.weights.fused import fuse
from codecascade.model.cpu.attention import recurring
from codecascade.model.llama import Llama

_ROWS = 16  # of a product that the layout should suit; it holds for any number


def can_pack(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether this machine's PyTorch has the kernels."""
    if device.type != "cpu" or not torch._C._has_mkldnn:
        return False
    return dtype == torch.float32 or (
        dtype == torch.bfloat16 and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    )


@torch.no_grad()
def pack_weights(model: Llama) -> None:
    """Replace the linear layers and the head of ``model``, in place; it can't be trained or saved after that.

    A head that is tied to the embedding becomes a copy of it.
    """
    for name, layer in fuse(model):
        model.set_submodule(name, PackedLinear(layer.weight, layer.bias))
    if model.config.tie_word_embeddings:
        model.add_module("lm_head", PackedLinear(model.head_weight, None))


class PackedLinear(nn.Module):
    """``F.linear`` with a ``weight`` (out, in) that only this layer's own kernel can read."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.weight: Any = torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous(), _ROWS)
        self.bias = None if bias is None else bias.detach()

    def forward(self, x: Tensor) -> Tensor:
        return self._product(x, "none")

    def silu(self, x: Tensor) -> Tensor:
        """The layer's SiLU."""
        return self._product(x, "swish")

    def plus(self, x: Tensor, other: Tensor) -> Tensor:
        """The layer, and ``other`` (..., out) added."""
        return self._with(x, other, "add")

    def times(self, x: Tensor, other: Tensor) -> Tensor:
        """The layer, times ``other`` (..., out)."""
        return self._with(x, other, "mul")

    def _product(self, x: Tensor, then: str) -> Tensor:
        rows = x.shape[-2]
        missing = padded_rows(rows) - rows
        if missing:
            x = functional.pad(x, (0, 0, 0, missing))
        out: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, then, [], "")
        return out[..., :rows, :] if missing else out

    def _with(self, x: Tensor, other: Tensor, operation: str) -> Tensor:
        rows = x.shape[-2]
        missing = padded_rows(rows) - rows
        if missing:
            x, other = (functional.pad(tensor, (0, 0, 0, missing)) for tensor in (x, other))
        out: Tensor = torch.ops.mkldnn._linear_pointwise.binary(x, other, self.weight, self.bias, operation)
        return out[..., :rows, :] if missing else out


def padded_rows(rows: int) -> int:
    """The number of rows that a product of ``rows`` gets, at most an eighth more.

    oneDNN writes machine code for each shape that it meets, which takes milliseconds and half a megabyte, and keeps
    it for the last 1,024 shapes. The passes of a busy server have all numbers of tokens.
    """
    return recurring(rows, 8)
