"""When ranks add up their gradients: after each micro-batch, or once a step."""

from __future__ import annotations

import os

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor

from codecascade.ground.memory import whole_memory
from codecascade.training.parallel.settings import ParallelSettings

MOST = 0.2
"""The unsharded gradient may take this part of a device's memory."""
_BYTES = 4


def reduces_once(model: nn.Module, mesh: DeviceMesh | None, settings: ParallelSettings) -> bool:
    """Whether a step's gradients are reduced after its last micro-batch alone.

    This sends a gradient once instead of once for each micro-batch, but until then every rank has the gradient of all
    weights that it computes with, in fp32. All ranks decide alike, where their devices are.
    """
    if mesh is None or settings.reduce_gradients != "auto":
        return settings.reduce_gradients != "micro_batch"
    needed = (
        sum(_unsharded(parameter) for parameter in model.parameters() if parameter.requires_grad) * _BYTES
    )
    return needed <= MOST * _memory(mesh.device_type)


def reduce_gradients_of(model: nn.Module, *, last: bool, once: bool) -> None:
    """Say before a micro-batch whether its backward pass reduces gradients.

    Where replicas exist and memory is short, gradients are still added up over the replicas once a step alone: what
    each rank keeps until then is its shard.

    Args:
        last: it is the step's last one.
        once: of :func:`reduces_once`.
    """
    if isinstance(model, FSDPModule):
        model.set_requires_gradient_sync(last or not once)
        model.set_requires_all_reduce(last)


def _unsharded(parameter: nn.Parameter) -> int:
    """Numbers of a parameter that a rank computes with: all but what tensor parallelism gives to other ranks."""
    if not isinstance(parameter, DTensor):
        return parameter.numel()
    names = parameter.device_mesh.mesh_dim_names or ()
    ranks = 1
    for name, placement in zip(names, parameter.placements, strict=True):
        if name == "tensor" and placement.is_shard():
            ranks = parameter.device_mesh[name].size()
    return -(-parameter.numel() // ranks)


def _memory(kind: str) -> float:
    """Bytes of a rank's device."""
    if kind == "cuda" and torch.cuda.is_available():
        return float(torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory)
    # the ranks of a machine share its memory
    return whole_memory() / int(os.environ.get("LOCAL_WORLD_SIZE", 1))
