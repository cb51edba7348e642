"""Known shapes, and models made from a shape alone."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from codecascade.model.config import LlamaConfig
from codecascade.model.llama import Llama, RMSNorm


def _llama_2(hidden: int, ffn: int, layers: int, heads: int, key_value_heads: int) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=32_000,
        hidden_size=hidden,
        intermediate_size=ffn,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=key_value_heads,
        head_dim=128,
        max_position_embeddings=4096,
    )


_LLAMA_2 = {
    "7b": _llama_2(4096, 11_008, 32, 32, 32),
    "13b": _llama_2(5120, 13_824, 40, 40, 40),
    "34b": _llama_2(8192, 22_016, 48, 64, 8),
    "70b": _llama_2(8192, 28_672, 80, 64, 8),
}


def _code_llama(size: str, variant: str) -> LlamaConfig:
    """As released: infilling tokens have rows in all but 34B and the small Python models (paper, section 2)."""
    rows = 32_000 if size == "34b" or (variant == "python" and size != "70b") else 32_016
    config = replace(_LLAMA_2[size], vocab_size=rows)
    if size == "70b" and variant:
        # only the base went through long-context fine-tuning
        return config
    return replace(config, rope_theta=1e6, max_position_embeddings=16_384)


_SMOLLM2_135M = LlamaConfig(
    vocab_size=49_152,
    hidden_size=576,
    intermediate_size=1536,
    num_hidden_layers=30,
    num_attention_heads=9,
    num_key_value_heads=3,
    head_dim=64,
    max_position_embeddings=8192,
    rope_theta=100_000.0,
    tie_word_embeddings=True,
)

_LLAMA_30M = LlamaConfig(
    vocab_size=8192,
    hidden_size=512,
    intermediate_size=1376,
    num_hidden_layers=8,
    num_attention_heads=8,
    num_key_value_heads=8,
    head_dim=64,
    max_position_embeddings=2048,
    tie_word_embeddings=True,
)
"""Ours: for trials from scratch on a few cores."""

_LLAMA_5M = LlamaConfig(
    vocab_size=4096,
    hidden_size=192,
    intermediate_size=512,
    num_hidden_layers=10,
    num_attention_heads=3,
    num_key_value_heads=3,
    head_dim=64,
    max_position_embeddings=2048,
    tie_word_embeddings=True,
)
"""Ours: for trials from scratch within hours, where a core has no bf16 instructions."""

_TINY = LlamaConfig(
    vocab_size=512,
    hidden_size=64,
    intermediate_size=176,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=16,
    max_position_embeddings=512,
    tie_word_embeddings=True,
)

PRESETS: dict[str, LlamaConfig] = {
    **{f"llama-2-{size}": config for size, config in _LLAMA_2.items()},
    **{
        "-".join(filter(None, ("code-llama", size, variant))): _code_llama(size, variant)
        for size in _LLAMA_2
        for variant in ("", "python", "instruct")
    },
    "smollm2-135m": _SMOLLM2_135M,
    "llama-30m": _LLAMA_30M,
    "llama-5m": _LLAMA_5M,
    "tiny": _TINY,
}


def build(config: LlamaConfig, device: torch.device | str = "cpu") -> Llama:
    """A model with uninitialised weights. On the device ``meta`` they take no memory."""
    with torch.device("meta"), _NoInitialisation():
        model = Llama(config)
    return model if torch.device(device).type == "meta" else model.to_empty(device=device)


class _NoInitialisation(TorchFunctionMode):
    """A context in which modules do not initialise their weights: on ``meta`` that would import half of torch."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if getattr(func, "__module__", None) == "torch.nn.init":
            return None
        return func(*args, **(kwargs or {}))


@torch.no_grad()
def initialise(model: Llama, seed: int) -> None:
    """Draw all weights anew, in place; see :func:`initial_weights`."""
    parameters = dict(model.named_parameters())
    for name, values in initial_weights(model.config, seed):
        parameters[name].copy_(values)


def initial_weights(config: LlamaConfig, seed: int) -> Iterator[tuple[str, Tensor]]:
    """Random weights (fp32), one tensor after the other: normal of deviation 0.02, biases 0, norms 1.

    The two projections that add to the residual stream get 0.02 / sqrt(2 layers), so that its variance does not grow
    with the depth (Radford et al. 2019, section 2.3).
    """
    generator = torch.Generator().manual_seed(seed)
    residual = 0.02 / math.sqrt(2 * config.num_hidden_layers)
    for name, module in build(config, "meta").named_modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            deviation = residual if name.endswith(("o_proj", "down_proj")) else 0.02
            values = torch.empty(module.weight.shape)
            yield f"{name}.weight", values.normal_(0.0, deviation, generator=generator)
            if isinstance(module, nn.Linear) and module.bias is not None:
                yield f"{name}.bias", torch.zeros(module.bias.shape)
        elif isinstance(module, RMSNorm):
            yield f"{name}.weight", torch.ones(module.weight.shape)
