"""The generator behind a model's name: an engine in a thread of its own."""

from __future__ import annotations

from pathlib import Path

import torch

from codecascade.generation.engine.engine import Engine
from codecascade.generation.engine.packed import can_pack, pack_weights
from codecascade.generation.engine.service import EngineService
from codecascade.ground.choices import Precision
from codecascade.model.precision import choose_precision
from codecascade.model.sources import load, resolve


def served_names(model: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """What a model is called in requests: ``names``, else the folder's or file's own name, or the hub's.

    Raises:
        UserError: there is no such model.
    """
    if names:
        return names
    source = resolve(model)
    if source.path is None or source.kind not in ("folder", "gguf"):
        return tuple(dict.fromkeys((model, model.rsplit("/", 1)[-1])))
    return (Path(source.path).resolve().name.removesuffix(".gguf"),)


def load_service(
    model: str, name: str, *, context: int | None = None, precision: Precision = "auto"
) -> EngineService:
    """Load a folder, a GGUF file or a hub's model.

    Args:
        name: what clients call it.
        context: tokens of prompt and completion together; None: the model's own limit.
        precision: of weights and cache.

    Raises:
        UserError: there is no such model, or it can't be used.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    loaded = load(model, dtype=choose_precision(device, precision).dtype, device=device)
    if can_pack(device, loaded.model.head_weight.dtype):
        pack_weights(loaded.model)
    return EngineService(Engine(loaded.model, loaded.tokenizer, context=context, speculate=True), name)
