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
    names = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    # One at a time, so that memory is never needed for all weights twice.
    for name in names:
        layer: Any = model.get_submodule(name)
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
        rows = x.shape[-2]
        missing = padded_rows(rows) - rows
        if missing:
            x = functional.pad(x, (0, 0, 0, missing))
        out: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")
        return out[..., :rows, :] if missing else out


def padded_rows(rows: int) -> int:
    """The number of rows that a product of ``rows`` gets, at most an eighth more.

    oneDNN writes machine code for each shape that it meets, which takes milliseconds and half a megabyte, and keeps
    it for the last 1,024 shapes. The passes of a busy server have all numbers of tokens.
    """
    step = 1 << max(0, rows.bit_length() - 4)
    return -(-rows // step) * step
