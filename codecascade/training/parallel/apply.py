"""How a model is sharded over the ranks, and what else is applied to it before training."""

from __future__ import annotations

import torch
from torch import nn
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

from codecascade.model.precision import Precision
from codecascade.training.parallel.ranks import World
from codecascade.training.settings import TrainingSettings


def parallelize(model: nn.Module, world: World, settings: TrainingSettings, precision: Precision) -> None:
    """Apply activation checkpointing, compilation and FSDP2, in this order, to a plain model on ``world.device``.

    The order matters: checkpointing recomputes a compiled layer as one piece, and FSDP gathers its weights before it
    starts. Every layer is an FSDP unit, so that the weights of one layer are gathered at a time. The root unit has
    the vocabulary table. It stays gathered between the forward and the backward pass, because the loss uses it there.
    """
    layers = list(model.model.layers)  # type: ignore[union-attr, arg-type]
    model.gradient_checkpointing = settings.activation_checkpointing  # type: ignore[assignment]
    if settings.compile:
        for layer in layers:
            layer.compile()
    if world.mesh is not None:
        # On GPUs weights are sent in the format of the products, to load the network less. The residual stream then
        # has that format too. On CPUs they are sent in fp32 and cast by autocast, so that any number of ranks
        # computes the same numbers.
        sent = precision.dtype if world.device.type == "cuda" else None
        policy = MixedPrecisionPolicy(param_dtype=sent, reduce_dtype=torch.float32, cast_forward_inputs=False)
        for layer in layers:
            fully_shard(layer, mesh=world.mesh, mp_policy=policy)
        fully_shard(model, mesh=world.mesh, mp_policy=policy)
