"""Quantised weights on CUDA, by torchao. Written by its documentation and not run: there was no such device."""

from __future__ import annotations

from torch import nn

from codecascade.generation.engine.weights.kernels import QuantisedType
from codecascade.generation.engine.weights.quantise import GROUP_SIZE
from codecascade.ground.errors import UserError
from codecascade.model.llama import Llama


def quantise_model(model: Llama, kind: QuantisedType) -> int:
    """Quantise the linear layers of ``model``, in place, and its head to int8, and return the bytes of its weights.

    The embedding stays as it is; a head that is tied to it becomes a copy.

    Raises:
        UserError: torchao is not installed.
    """
    try:
        from torchao.quantization import Int4WeightOnlyConfig, Int8WeightOnlyConfig, quantize_
        from torchao.utils import get_model_size_in_bytes
    except ImportError:
        raise UserError(
            "int8 and int4 on cuda need torchao: pip install 'codecascade[torchao]'", key="weights"
        ) from None
    if model.config.tie_word_embeddings:
        rows, hidden = model.head_weight.shape
        head = nn.Linear(hidden, rows, bias=False, device="meta")
        head.weight = nn.Parameter(model.head_weight.detach(), requires_grad=False)
        model.add_module("lm_head", head)
    if kind == "int4":
        for name, layer in model.model.named_modules():
            if isinstance(layer, nn.Linear) and layer.in_features % GROUP_SIZE:
                raise UserError(
                    f"model.{name}.weight has {layer.in_features:,} columns, which groups of {GROUP_SIZE} do not "
                    "divide, so it can't be held in int4; take int8 or bf16",
                    key="weights",
                )
        # torch's own kernels; the other layouts need libraries beside torchao
        config = Int4WeightOnlyConfig(group_size=GROUP_SIZE, int4_packing_format="tile_packed_to_4d")
        quantize_(model.model, config)
    else:
        quantize_(model.model, Int8WeightOnlyConfig())
    quantize_(
        model,
        Int8WeightOnlyConfig(),
        filter_fn=lambda layer, name: isinstance(layer, nn.Linear) and name == "lm_head",
    )
    size: int = get_model_size_in_bytes(model)
    return size
