"""How a model is made parallel, and what else is applied to it before training."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import torch
from torch import nn
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard

from codecascade.model.llama import Llama
from codecascade.model.precision import Precision
from codecascade.training.parallel.mesh import Mesh
from codecascade.training.parallel.methods.checkpointing import keep_some_activations
from codecascade.training.parallel.methods.float8 import use_float8
from codecascade.training.parallel.methods.tensor import apply_tensor_parallel
from codecascade.training.parallel.settings import Checkpointing
from codecascade.training.settings import TrainingSettings


def parallelize(model: Llama, mesh: Mesh, settings: TrainingSettings, precision: Precision) -> None:
    """Apply all that ``settings`` ask for to a plain model, in place, on any device, the meta device too.

    In this order, each with its reason:

    1. float8 replaces linear layers, and what follows works on the new ones.
    2. Tensor parallelism makes parameters DTensors on the ranks that share matrices. FSDP shards what is left of
       them, so it must find them split.
    3. Activation checkpointing recomputes a layer with the collectives that are in it.
    4. Compilation of each layer sees all of this. Layers are alike, so that the first one's code is used for all.
    5. FSDP2 gathers a layer's weights before the layer starts and drops them when it ends; code that is compiled sees
       plain weights.

    Context parallelism changes no module: the batch and the attention of a pass are made for it (context.py).
    """
    if settings.sharing.float8:
        use_float8(model, mesh)
    if mesh.tensor is not None:
        apply_tensor_parallel(model, mesh.tensor)
    _checkpoint(model, settings.activation_checkpointing)
    if settings.compile:
        for layer in model.model.layers:
            layer.compile()
    if mesh.weights is not None:
        _shard(model, mesh, precision)


def _checkpoint(model: Llama, kind: Checkpointing) -> None:
    # A layer that is computed again as a whole is called again, compiled or not. What a layer keeps of its own
    # results must be decided inside of it, where the compiler sees it too.
    model.gradient_checkpointing = kind == "full"
    if kind == "selective":
        for layer in model.model.layers:
            layer.forward = partial(keep_some_activations, layer.forward)


def _shard(model: Llama, mesh: Mesh, precision: Precision) -> None:
    """FSDP2 over all ranks with other tokens, a layer a unit, so that the weights of one are gathered at a time.

    The root unit has the vocabulary tables. It stays gathered between the forward and the backward pass, because the
    loss uses it there. Where weights are replicated, gradients are reduced over the ranks that shard them, then over
    the replicas (HSDP). It is applied on one rank, too, where only other kinds of parallelism are used: what it makes
    of DTensors' gradients and of formats is then the same in all cases.
    """
    data = mesh.data
    assert data is not None
    policy = MixedPrecisionPolicy(
        param_dtype=sent_format(data.device_type, precision),
        reduce_dtype=torch.float32,
        cast_forward_inputs=False,
    )
    layers = list(model.model.layers)
    for layer in layers:
        fully_shard(layer, mesh=data, mp_policy=policy)
    fully_shard(model, mesh=data, mp_policy=policy)
    _prefetch(layers)


def sent_format(device_type: str, precision: Precision) -> torch.dtype | None:
    """The format that gathered weights are sent in; None for their own, fp32.

    On GPUs it is that of the products, to load the network less. The residual stream then has that format too. On
    CPUs weights are sent in fp32 and cast by autocast, so that any number of ranks computes the same numbers.
    """
    return precision.dtype if device_type == "cuda" else None


def _prefetch(layers: list[nn.Module]) -> None:
    """The next layer's weights are on their way while a layer computes, in both directions.

    FSDP2 does so by itself as far as the CPU runs ahead of the GPU, which it does not where something waits for a
    result.
    """
    for before, after in pairwise(layers):
        assert isinstance(before, FSDPModule) and isinstance(after, FSDPModule)
        before.set_modules_to_forward_prefetch([after])
        after.set_modules_to_backward_prefetch([before])
