"""The weights of a trained model, out of the slices that the ranks have, into an ordinary model's files."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from codecascade.ground.errors import UserError
from codecascade.ground.files.atomic import disk_errors
from codecascade.model.stored.writing import WeightsFile, WeightsPlan
from codecascade.training.lora_weights import FinishedTensor, Merge, finished_tensors
from codecascade.training.parallel.ranks import World
from codecascade.training.parallel.weights_in import LocalSlice, row_pieces
from codecascade.training.settings import TrainingSettings


@torch.no_grad()
def final_state_dict(model: nn.Module, settings: TrainingSettings) -> dict[str, Tensor]:
    """The trained weights as an ordinary model's, whole, on the CPU of rank 0. Elsewhere empty.

    For small models: :func:`write_model` needs no rank that has all weights. Tensors may share the model's memory.
    All ranks must call this, because each tensor is gathered.
    """
    first = not dist.is_initialized() or dist.get_rank() == 0
    state = {}
    for tensor in finished_tensors(model.state_dict(), settings.merge_scale):
        own, merge = tensor.stored, tensor.merge()
        full = own.full_tensor() if isinstance(own, DTensor) else own
        if first:
            whole = tuple(slice(0, length) for length in full.shape)
            state[tensor.name] = merge(full, whole).detach().cpu()
    return state


@torch.no_grad()
def write_model(
    folder: Path,
    model: nn.Module,
    settings: TrainingSettings,
    world: World,
    *,
    dtype: torch.dtype,
    shard_bytes: float = 5e9,
) -> None:
    """Write the trained weights as an ordinary model's safetensors files and index. All ranks do it together.

    No rank ever has a whole tensor. Each file is written by one rank: ranks on different machines that write to one
    file would overwrite each other's bytes on some network file systems. The others send it their slices, merged and
    in ``dtype``, a piece at a time; it writes each at its place. So a rank needs the memory of one piece beside its
    slices, and the files are byte for byte those that one process writes.

    Args:
        folder: which all ranks see.
        shard_bytes: the most bytes of a weights file.

    Raises:
        UserError: a rank can't write (every rank raises it).
    """
    finished = finished_tensors(model.state_dict(), settings.merge_scale)
    tensors = {tensor.name: tensor for tensor in finished}
    shapes = {name: tuple(tensor.stored.shape) for name, tensor in tensors.items()}
    plan = WeightsPlan.of(shapes, dtype, shard_bytes)
    slices = _slices_of_ranks(tensors, world)
    # One tensor of each file after the other, so that a rank that still writes keeps no other waiting.
    order = sorted(
        (number, index, name)
        for index, file in enumerate(plan.files)
        for number, name in enumerate(file.starts)
    )
    with ExitStack() as stack:
        own = {index: file for index, file in enumerate(plan.files) if index % world.size == world.rank}
        files = world.on_all(
            lambda: {i: stack.enter_context(WeightsFile(folder, plan, file)) for i, file in own.items()}
        )
        problem: UserError | OSError | None = None
        for _, index, name in order:
            merge = tensors[name].merge()
            stored = LocalSlice.of(tensors[name].stored)
            for piece in slices[name]:
                for start, stop in row_pieces(piece.shape):
                    values = _piece(piece, stored, start, stop, merge, dtype, world, index % world.size)
                    if values is not None and problem is None:
                        try:
                            with disk_errors(folder):
                                files[index].write(name, (piece.offset[0] + start, *piece.offset[1:]), values)
                        except (UserError, OSError) as error:
                            # what the others still send must be received, or they would wait for ever
                            problem = error
        world.on_all(lambda: _raise(problem))
        # flushes the files to the disk
        world.on_all(lambda: _close(stack, folder))
    world.on_all(lambda: plan.write_index(folder) if world.first else None)


@dataclass(frozen=True)
class _SliceOfRank:
    """A slice of a tensor, and the rank that sends it: the first of those that have it."""

    rank: int
    offset: tuple[int, ...]
    shape: tuple[int, ...]


def _slices_of_ranks(tensors: Mapping[str, FinishedTensor], world: World) -> dict[str, list[_SliceOfRank]]:
    """The slices that make up each tensor, each once."""
    own = []
    for tensor in tensors.values():
        local = LocalSlice.of(tensor.stored)
        own.append((local.offset, tuple(local.values.shape)))
    found: dict[str, list[_SliceOfRank]] = {}
    of_ranks = world.gather(own)
    for number, name in enumerate(tensors):
        slices: dict[tuple[int, ...], _SliceOfRank] = {}
        for rank, all_slices in enumerate(of_ranks):
            offset, shape = all_slices[number]
            if math.prod(shape):
                slices.setdefault(offset, _SliceOfRank(rank, offset, shape))
        found[name] = list(slices.values())
    return found


def _piece(
    piece: _SliceOfRank,
    stored: LocalSlice,
    start: int,
    stop: int,
    merge: Merge,
    dtype: torch.dtype,
    world: World,
    writer: int,
) -> Tensor | None:
    """Some rows of a slice, as they are written, on the rank that writes them; None on the others."""
    if world.rank == piece.rank:
        rows = LocalSlice(stored.values[start:stop], (piece.offset[0] + start, *piece.offset[1:]))
        values = merge(rows.values, rows.part).to(device="cpu", dtype=dtype).contiguous()
        if writer == world.rank:
            return values
        dist.send(values.view(torch.uint8), writer)
    elif world.rank == writer:
        values = torch.empty(stop - start, *piece.shape[1:], dtype=dtype)
        dist.recv(values.view(torch.uint8), piece.rank)
        return values
    return None


def _raise(problem: UserError | OSError | None) -> None:
    if problem is not None:
        raise problem


def _close(files: ExitStack, folder: Path) -> None:
    with disk_errors(folder):
        files.pop_all().close()
