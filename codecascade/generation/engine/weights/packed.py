"""Weights in the layout that a CPU's matrix kernels read fastest, for a model that will not be trained.

oneDNN otherwise lays a weight out anew in each product. That costs nothing beside a prefill's products in bf16, but
as much as the product itself where few rows are decoded. (In fp32 PyTorch does not ask oneDNN at all, which on CPUs
with AVX-512 that are not Intel's costs a factor of about three in every product.)

One to three rows in fp32 are the exception on some CPUs: from the plain weight they come at the speed of the memory,
and oneDNN's kernels reach two thirds of it. So the plain weight may be kept beside the other one.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from codecascade.generation.engine.weights.fused import fuse
from codecascade.generation.engine.weights.timing import SAMPLE_BYTES, layers_to_try, most_rows
from codecascade.model.cpu.attention import recurring
from codecascade.model.llama import Llama

_ROWS = 16  # of a product that the layout should suit; it holds for any number
# By the shape, type and threads that were timed.
_rows_for_plain: dict[tuple[object, ...], int] = {}


def can_pack(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether this machine's PyTorch has the kernels."""
    if device.type != "cpu" or not torch._C._has_mkldnn:
        return False
    return dtype == torch.float32 or (
        dtype == torch.bfloat16 and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    )


@torch.no_grad()
def pack_weights(model: Llama, plain_rows: int = 0) -> None:
    """Replace the linear layers and the head of ``model``, in place; it can't be trained or saved after that.

    A head that is tied to the embedding becomes a copy of it.

    Args:
        plain_rows: most rows of a product that is computed from the plain weight, which is kept if there are any.
    """
    for name, layer in fuse(model):
        model.set_submodule(name, PackedLinear(layer.weight, layer.bias, plain_rows))
    if model.config.tie_word_embeddings:
        model.add_module("lm_head", PackedLinear(model.head_weight, None, plain_rows))


@torch.no_grad()
def rows_for_plain(model: Llama) -> int:
    """The most rows that are multiplied faster from a plain weight than from a packed one here; 0 if none are.

    Timed once in a process, on the model's largest layers. Only in fp32, where the two differ by so little that no
    text and no figure depends on what a timing finds on a busy day.
    """
    weights = [module.weight for module in model.model.modules() if isinstance(module, nn.Linear)]
    if model.head_weight.dtype != torch.float32:
        return 0
    # What stays in the processor's caches is fast enough, and a timing of it would be chance.
    if sum(weight.nbytes for weight in weights) < SAMPLE_BYTES:
        return 0
    tried = layers_to_try(weights, lambda weight: weight.shape)
    key = (tried[0].shape, tried[0].dtype, torch.get_num_threads())
    if key not in _rows_for_plain:
        packed = [PackedLinear(weight, None) for weight in tried]
        plain = [partial(functional.linear, weight=weight) for weight in tried]
        _rows_for_plain[key] = most_rows(plain, packed, tried[0].shape[1], tried[0].dtype)
    return _rows_for_plain[key]


class PackedLinear(nn.Module):
    """``F.linear`` with a ``weight`` (out, in) that only this layer's own kernel can read.

    Attributes:
        plain_rows: products of at most so many rows are computed from ``plain``.
        plain: the same weight as it was given; None if ``plain_rows`` is 0.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, plain_rows: int = 0) -> None:
        super().__init__()
        weight = weight.detach().contiguous()
        self.weight: Any = torch.ops.mkldnn._reorder_linear_weight(weight, _ROWS)
        self.bias = None if bias is None else bias.detach()
        self.plain_rows = plain_rows
        self.plain = weight if plain_rows else None

    def forward(self, x: Tensor) -> Tensor:
        return self._product(x, "none") if (few := self._of_few(x)) is None else few

    def silu(self, x: Tensor) -> Tensor:
        """The layer's SiLU."""
        return self._product(x, "swish") if (few := self._of_few(x)) is None else functional.silu(few)

    def plus(self, x: Tensor, other: Tensor) -> Tensor:
        """The layer, and ``other`` (..., out) added."""
        return self._with(x, other, "add") if (few := self._of_few(x)) is None else few + other

    def times(self, x: Tensor, other: Tensor) -> Tensor:
        """The layer, times ``other`` (..., out)."""
        return self._with(x, other, "mul") if (few := self._of_few(x)) is None else few * other

    def _of_few(self, x: Tensor) -> Tensor | None:
        """The product from the plain weight, if ``x`` has so few rows."""
        if self.plain is None or x.numel() > self.plain_rows * x.shape[-1]:
            return None
        return functional.linear(x, self.plain, self.bias)

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
