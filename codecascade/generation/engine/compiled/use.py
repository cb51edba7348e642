"""Whether a model's passes over few tokens run in compiled code: it is tried once, and does without where it can't.

A pass in PyTorch starts hundreds of kernels. One over a single token takes four times as long as to read the weights.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn

from codecascade.generation.engine.compiled.kept import cache_folder
from codecascade.generation.engine.weights.fused import FusedLayer
from codecascade.generation.engine.weights.packed import PackedLinear
from codecascade.model.attention import Documents
from codecascade.model.cache import KeyValueCache
from codecascade.model.llama import Llama

if TYPE_CHECKING:
    from codecascade.generation.engine.compiled.decoder import CompiledDecoder

MOST_TOKENS = 16
"""Of a pass that runs in compiled code. With more, PyTorch's products gain more than it loses between them."""

_log = logging.getLogger(__name__)

# Rows of a weight that a kernel multiplies at a time, and halves of a head that it turns.
_STEP = 4
# Most that hidden states of the two ways may differ, as a share of the largest one.
_TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.1}


def can_compile(model: Llama) -> bool:
    """Whether numba is installed, and the kernels suit the model's device, type and sizes."""
    config, weight = model.config, model.head_weight
    sizes = (config.hidden_size, config.intermediate_size, config.head_dim, config.vocab_size)
    return (
        importlib.util.find_spec("numba") is not None
        and weight.device.type == "cpu"
        and weight.dtype in _TOLERANCE
        and not any(size % _STEP for size in sizes)
    )


def keeps_rows(model: nn.Module) -> bool:
    """Whether the weights that compiled code reads are there."""
    linear = [module for module in model.modules() if isinstance(module, PackedLinear)]
    return bool(linear) and all(module.rows is not None for module in linear)


def forget_rows(model: nn.Module) -> None:
    """Give up the weights that compiled code reads: the model does without it from now on."""
    for module in model.modules():
        if isinstance(module, PackedLinear):
            module.rows = None


def decoder_for(model: Llama, cache: KeyValueCache) -> CompiledDecoder | None:
    """What runs a model's passes over few tokens with this cache; None if PyTorch does."""
    if not keeps_rows(model) or not all(isinstance(layer, FusedLayer) for layer in model.model.layers):
        return None
    from codecascade.generation.engine.compiled.decoder import CompiledDecoder

    return CompiledDecoder(model, cache)


@torch.inference_mode()
def compile_and_compare(model: Llama) -> bool:
    """Compile, which takes a while only once on a machine, and compare with PyTorch; whether both say the same.

    The log tells why not.
    """
    if not cache_folder().exists():
        _log.info("compiling kernels for this processor, which is done once and takes some ten seconds")
    try:
        for lengths in ((1,), (3, 1, 1)):
            _compare(model, lengths)
    except Exception as error:
        # whatever it is, the model can do without
        _log.warning(
            "decoding is slower than it could be, because no kernels were compiled: %s", _first_line(error)
        )
        return False
    return True


def _compare(model: Llama, lengths: Sequence[int]) -> None:
    weight = model.head_weight
    tokens = [index * 7 % model.config.vocab_size for index in range(2 * sum(lengths))]
    found = []
    for compiled in (False, True):
        cache = KeyValueCache.allocate_blocks(model.config, len(lengths), weight.dtype, weight.device)
        rows = cache.rows([[row] for row in range(len(lengths))], [0] * len(lengths))
        decoder = decoder_for(model, cache) if compiled else None
        for part in (tokens[: len(tokens) // 2], tokens[len(tokens) // 2 :]):
            if decoder is None:
                hidden = model(torch.tensor([part]), cache=rows, mask=Documents(tuple(lengths)))[0]
                logits = model.logits(hidden)
            else:
                hidden = decoder.hidden(part, rows, lengths)
                logits = decoder.logits(hidden)
        found.append((hidden.float(), logits.float()))
    for meant, is_now in zip(*found, strict=True):
        off = float((meant - is_now).abs().max() / meant.abs().max().clamp(min=1e-30))
        if not off <= _TOLERANCE[weight.dtype]:
            raise ArithmeticError(f"compiled kernels are off by {off:.2g} on this processor")


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
