"""What reaches the linear layers of a model while it reads some code: what int4 weights are fitted to.

The text is codecascade's own source, so that it is at hand wherever the package is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from codecascade.generation.engine.weights.fused import fuse_layer
from codecascade.generation.engine.weights.gptq import block_size
from codecascade.model.llama import ForwardContext, Llama
from codecascade.model.rope import rotation
from codecascade.tokens.tokenizer import Tokenizer

_ROW, _ROWS = 256, 16
_ENOUGH_LETTERS = 1 << 17


def calibration_tokens(tokenizer: Tokenizer) -> Tensor:
    """(16, 256) int64, from 16 places of the text."""
    package = Path(__file__).parents[3]
    text = ""
    for path in sorted(package.rglob("*.py")):
        text += path.read_text("utf-8")
        if len(text) > _ENOUGH_LETTERS:
            break
    ids = tokenizer.encode(text)
    step = max(1, (len(ids) - _ROW) // _ROWS)
    rows = [ids[start : start + _ROW] for start in range(0, step * _ROWS, step)]
    return torch.tensor([row for row in rows if len(row) == _ROW], dtype=torch.int64)


@torch.no_grad()
def layers_and_moments(model: Llama, tokens: Tensor) -> Iterator[tuple[str, nn.Linear, Tensor]]:
    """Each linear layer of the decoder with its name and the second moments of its inputs, (N, B, B) fp32.

    Whoever iterates may replace the layer before the next one is asked for. The layers behind it then see what it is
    replaced by. The decoder's layers are replaced by fused ones on the way.

    Args:
        tokens: (rows, T) int64, texts that have nothing to do with each other.
    """
    config = model.config
    x = model.model.embed_tokens(tokens)
    if config.embedding_multiplier != 1:
        x = x * config.embedding_multiplier
    context = ForwardContext(*rotation(config, torch.arange(tokens.shape[1])), None)
    for index in range(len(model.model.layers)):
        layer = fuse_layer(model, index)
        for name, moments in _moments_of_inputs(layer, x, context).items():
            linear = layer.get_submodule(name)
            assert isinstance(linear, nn.Linear)
            yield f"model.layers.{index}.{name}", linear, moments
        x = layer(x, context)


def _moments_of_inputs(layer: nn.Module, x: Tensor, context: ForwardContext) -> dict[str, Tensor]:
    """Of each linear layer within a layer, by name."""
    found: dict[str, Tensor] = {}
    last: list[Tensor] = []

    def watch(name: str) -> Callable[[nn.Module, tuple[Tensor]], None]:
        def look(_: nn.Module, given: tuple[Tensor]) -> None:
            # queries, keys and values multiply the same tensor
            if not last or last[0] is not given[0]:
                last[:] = [given[0], _moments(given[0])]
            found[name] = last[1]

        return look

    modules = [(name, module) for name, module in layer.named_modules() if isinstance(module, nn.Linear)]
    hooks = [module.register_forward_pre_hook(watch(name)) for name, module in modules]
    try:
        layer(x, context)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _moments(x: Tensor) -> Tensor:
    """(..., I) to (N, B, B)."""
    size = block_size(x.shape[-1])
    blocks = x.detach().float().reshape(-1, x.shape[-1] // size, size).transpose(0, 1)
    return (blocks.transpose(1, 2) @ blocks) / blocks.shape[1]
