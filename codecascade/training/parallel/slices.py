"""Which part of a tensor a rank has."""

from __future__ import annotations

from torch.distributed.tensor import DTensor
from torch.distributed.tensor._utils import compute_local_shape_and_global_offset


def local_rows(table: DTensor) -> range:
    """The rows of the whole tensor that this rank has: one range, however many dimensions of the mesh split it."""
    shape, offset = compute_local_shape_and_global_offset(table.shape, table.device_mesh, table.placements)
    return range(offset[0], offset[0] + shape[0])
