"""The layers of a model that only generates: few products, each with what follows it in the same kernel.

Where a few rows are decoded, starting a kernel takes about as long as its arithmetic. So queries, keys and values
come from one product and are rotated together, and activations, gates and residuals are computed within the products.
What is computed is what :class:`~codecascade.model.llama.Layer` computes, rounded less often.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codecascade.model.llama import ForwardContext, Layer, Llama, RMSNorm, attend_by
from codecascade.model.rope import rotate

# Rows of a norm for which its kernels take longer to start than to run.
_FEW = 64


class FusedLayer(nn.Module):
    """A :class:`~codecascade.model.llama.Layer` that can't be trained or saved.

    Its linear layers may be replaced by others. Those that have ``silu``, ``times`` and ``plus`` (see
    :class:`~codecascade.generation.engine.weights.packed.PackedLinear`) do more in one kernel.
    """

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        attention, mlp = layer.self_attn, layer.mlp
        self.index = attention.index
        self.head_dim = attention.head_dim
        self.rotates, self.query_scale = attention.rotates, attention.query_scale
        self.residual_multiplier = layer.residual_multiplier
        self.query_heads = attention.q_proj.out_features // attention.head_dim
        self.key_heads = attention.k_proj.out_features // attention.head_dim
        self.input_layernorm = FusedNorm(layer.input_layernorm)
        self.post_attention_layernorm = FusedNorm(layer.post_attention_layernorm)
        self.q_norm: RMSNorm | None = getattr(attention, "q_norm", None)
        self.k_norm: RMSNorm | None = getattr(attention, "k_norm", None)
        self.qkv_proj = _joined(attention.q_proj, attention.k_proj, attention.v_proj)
        self.o_proj: nn.Module = attention.o_proj
        self.gate_proj: nn.Module = mlp.gate_proj
        self.up_proj: nn.Module = mlp.up_proj
        self.down_proj: nn.Module = mlp.down_proj

    def forward(self, x: Tensor, context: ForwardContext) -> Tensor:
        """(B, T, H) to (B, T, H)."""
        queries, keys, values = self._project(self.input_layernorm(x), context)
        attended = attend_by(context.mask, self.index, queries, keys, values).flatten(2)
        x = self._plus(self.o_proj, attended, x)
        normed = self.post_attention_layernorm(x)
        return self._plus(self.down_proj, _times(self.up_proj, normed, _silu(self.gate_proj, normed)), x)

    def _project(self, x: Tensor, context: ForwardContext) -> tuple[Tensor, Tensor, Tensor]:
        """See :meth:`~codecascade.model.llama.Attention._project`."""
        heads = self.qkv_proj(x).unflatten(-1, (-1, self.head_dim))
        values = heads[:, :, self.query_heads + self.key_heads :]
        if self.rotates and self.q_norm is None and self.query_scale == 1:
            turned = rotate(heads[:, :, : self.query_heads + self.key_heads], context.cos, context.sin)
            return turned[:, :, : self.query_heads], turned[:, :, self.query_heads :], values
        queries, keys, _ = heads.split((self.query_heads, self.key_heads, self.key_heads), 2)
        if self.q_norm is not None and self.k_norm is not None:
            queries, keys = self.q_norm(queries), self.k_norm(keys)
        cos, sin, scale = context.cos, context.sin, self.query_scale
        if self.rotates:
            return rotate(queries, cos * scale, sin * scale), rotate(keys, cos, sin), values
        return queries if scale == 1 else queries * scale, keys, values

    def _plus(self, layer: Any, x: Tensor, residual: Tensor) -> Tensor:
        """The residual, and a layer's product with ``x``."""
        if self.residual_multiplier == 1 and hasattr(layer, "plus"):
            out: Tensor = layer.plus(x, residual)
            return out
        return torch.add(residual, layer(x), alpha=self.residual_multiplier)


class FusedNorm(nn.Module):
    """A root-mean-square norm, for few rows in three kernels instead of nine.

    PyTorch has one kernel for the norm of layers that takes the mean off first. Of numbers and the same numbers with
    the other sign the mean is 0, and the variance is the mean square.
    """

    def __init__(self, norm: RMSNorm) -> None:
        super().__init__()
        self.weight, self.eps = norm.weight, norm.eps
        self._twice = torch.cat((norm.weight, norm.weight)).detach()

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[-1]
        if x.numel() > _FEW * size:
            return F.rms_norm(x, self.weight.shape, self.weight, self.eps)
        both = F.layer_norm(torch.cat((x, -x), -1), self._twice.shape, self._twice, None, self.eps)
        return both[..., :size].contiguous()


def fuse(model: Llama) -> Iterator[tuple[str, nn.Linear]]:
    """The linear layers of ``model`` with their names, for a caller that replaces them as they come.

    The decoder's layers are replaced by fused ones on the way, one at a time, so that memory is never needed for all
    weights twice.
    """
    for index in range(len(model.model.layers)):
        for name, module in list(fuse_layer(model, index).named_modules()):
            if isinstance(module, nn.Linear):
                yield f"model.layers.{index}.{name}", module
    if isinstance(head := model._modules.get("lm_head"), nn.Linear):
        yield "lm_head", head


def fuse_layer(model: Llama, index: int) -> nn.Module:
    """The fused form of one of the decoder's layers, which takes its place in ``model``."""
    if isinstance(layer := model.model.layers[index], Layer):
        model.model.layers[index] = FusedLayer(layer)
    return model.model.layers[index]


def _joined(*layers: nn.Linear) -> nn.Linear:
    """One layer whose outputs are those of all, one after another."""
    first = layers[0]
    # without memory, which the weights bring
    joined = nn.Linear(
        first.in_features,
        sum(layer.out_features for layer in layers),
        bias=first.bias is not None,
        device="meta",
    )
    joined.weight = nn.Parameter(torch.cat([layer.weight for layer in layers]), requires_grad=False)
    if first.bias is not None:
        joined.bias = nn.Parameter(torch.cat([layer.bias for layer in layers]), requires_grad=False)
    return joined


def _silu(layer: Any, x: Tensor) -> Tensor:
    out: Tensor = layer.silu(x) if hasattr(layer, "silu") else F.silu(layer(x))
    return out


def _times(layer: Any, x: Tensor, other: Tensor) -> Tensor:
    out: Tensor = layer.times(x, other) if hasattr(layer, "times") else layer(x) * other
    return out
