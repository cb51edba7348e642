"""Products in float8 by torchao.

Tried with torchao's emulation on a CPU alone. On GPUs with float8 tensor cores and on several ranks it was not run.
"""

from __future__ import annotations

import torch
from torch import nn

from codecascade.ground.errors import UserError
from codecascade.model.llama import Llama
from codecascade.training.parallel.mesh import Mesh

KEY = "parallel.float8"
_MULTIPLE = 16
"""The kernels take matrices whose sides are multiples of it."""
_CAPABILITY = (8, 9)
"""The first GPUs with float8 tensor cores."""


def use_float8(model: Llama, mesh: Mesh) -> None:
    """Make the linear layers of ``model``, except the head, compute in float8 with a scale for each row, in place.

    Weights, gradients and moments stay as they are: both sides of a product are cast just before it. Scales for each
    row are computed by each rank for its part of a matrix, so tensor parallelism needs nothing more.

    Raises:
        UserError: torchao is missing, there is no GPU with float8 tensor cores, or the kernels can't take the
            matrices' sides.
    """
    try:
        from torchao.float8 import Float8LinearConfig, convert_to_float8_training
    except ImportError:
        raise UserError("needs the package torchao: pip install 'codecascade[torchao]'", key=KEY) from None
    if not torch.cuda.is_available() or torch.cuda.get_device_capability() < _CAPABILITY:
        raise UserError("needs a GPU with float8 tensor cores, such as H100, L40 or later", key=KEY)
    check_sides(model, mesh.shape.tensor)
    convert_to_float8_training(
        model,
        config=Float8LinearConfig.from_recipe_name("rowwise"),
        module_filter_fn=lambda module, name: isinstance(module, nn.Linear) and name != "lm_head",
    )


def check_sides(model: Llama, ranks: int) -> None:
    """Raise UserError if a matrix, split over ``ranks`` ranks, has a side that float8 kernels can't take."""
    config = model.config
    heads, keys = (
        count * config.head_dim // ranks for count in (config.num_attention_heads, config.num_key_value_heads)
    )
    for name, side in (
        ("hidden_size", config.hidden_size),
        ("intermediate_size", config.intermediate_size // ranks),
        ("heads x head_dim", heads),
        ("key-value heads x head_dim", keys),
    ):
        if side % _MULTIPLE:
            raise UserError(
                f"needs matrices whose sides are multiples of {_MULTIPLE}, but a rank's {name} is {side}",
                key=KEY,
            )
