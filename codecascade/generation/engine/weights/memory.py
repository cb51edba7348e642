"""How much memory a model's weights take."""

from __future__ import annotations

from torch import nn

from codecascade.generation.engine.weights.layers import (
    PlainLinear,
    QuantisedEmbedding,
    QuantisedLinear,
    linear_bytes,
)
from codecascade.generation.engine.weights.packed import PackedLinear


def weight_bytes(model: nn.Module) -> tuple[int, int]:
    """Memory of a model's weights on a CPU, and that of copies for other numbers of rows.

    What several layers share is counted once.
    """
    copies = {
        id(module.copy) for module in model.modules() if isinstance(module, QuantisedLinear) and module.copy
    }
    own, copied = {id(parameter): parameter.nbytes for parameter in model.parameters()}, 0
    tables = {parameter.data_ptr() for parameter in model.parameters()}
    for module in model.modules():
        if isinstance(module, QuantisedLinear):
            own[id(module.weight)] = module.weight.nbytes
        elif isinstance(module, QuantisedEmbedding):
            own[id(module.table)] = module.table.nbytes
        elif isinstance(module, (PackedLinear, PlainLinear)):
            if id(module) in copies:
                copied += linear_bytes(module)
                continue
            own[id(module.weight)] = linear_bytes(module)
            # A tied head's plain weight is the embedding.
            plain = module.plain if isinstance(module, PackedLinear) else None
            if plain is not None and plain.data_ptr() not in tables:
                copied += plain.nbytes
        else:
            continue
        if (bias := getattr(module, "bias", None)) is not None:
            own[id(bias)] = bias.nbytes
    return sum(own.values()), copied
