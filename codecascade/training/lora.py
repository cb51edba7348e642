"""Low-rank adaptation (Hu et al. 2021, arXiv:2106.09685): ``W + alpha / rank * B A`` with ``W`` frozen.

A frozen matrix needs no gradient (a third of the work of a training step), no optimiser state and no fp32 master
copy, and it is not in the checkpoints. New tokens can't learn through low-rank updates of other matrices alone. So
their rows of the vocabulary tables are trained fully, as small parameters beside the frozen table.

At the end :func:`merge_lora` makes an ordinary model's state dict.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, Partial
from torch.nn.utils import parametrize

from codecascade.model.llama import Llama
from codecascade.training.parallel.slices import local_rows

_ORIGINAL, _ROWS = "parametrizations.weight.original", "parametrizations.weight.0"


class LoRALinear(nn.Module):
    """A linear layer (out, in) with a frozen weight, plus an update of rank ``rank`` that is zero at first."""

    def __init__(self, linear: nn.Linear, rank: int, scale: float, generator: torch.Generator) -> None:
        super().__init__()
        self.weight, self.bias, self.scale = linear.weight, linear.bias, scale
        bound = 1 / math.sqrt(linear.in_features)
        first = torch.empty(rank, linear.in_features).uniform_(-bound, bound, generator=generator)
        self.lora_a = nn.Parameter(first.to(linear.weight.device))
        self.lora_b = nn.Parameter(torch.zeros(linear.out_features, rank, device=linear.weight.device))

    def forward(self, x: Tensor) -> Tensor:
        update = F.linear(F.linear(x, self.lora_a) * self.scale, self.lora_b)
        return F.linear(x, self.weight, self.bias) + update


class NewRows(nn.Module):
    """A parametrization of a frozen table: its rows ``ids`` are replaced by a trainable parameter (n, H)."""

    def __init__(self, table: Tensor, ids: Sequence[int]) -> None:
        super().__init__()
        self.rows = tuple(ids)
        self.ids: Tensor
        self.register_buffer("ids", torch.tensor(list(ids), device=table.device))
        self.new_rows = nn.Parameter(table.detach()[self.ids].float())

    def forward(self, table: Tensor) -> Tensor:
        if isinstance(table, DTensor):
            return self._on_a_part(table)
        return table.index_copy(0, self.ids, self.new_rows.to(table.dtype))

    def _on_a_part(self, table: DTensor) -> DTensor:
        """Of a table whose rows are split over ranks, each rank replaces its own."""
        assert isinstance(self.new_rows, DTensor)
        own = local_rows(table)
        here = [number for number, row in enumerate(self.rows) if row in own]
        index = torch.tensor(here, dtype=torch.long, device=table.device)
        # each rank has the gradient of its rows, so the gradient of all is a sum
        new_rows = self.new_rows.to_local(grad_placements=[Partial()])[index].to(table.dtype)
        local = table.to_local().index_copy(0, self.ids[index] - own.start, new_rows)
        return DTensor.from_local(
            local,
            table.device_mesh,
            table.placements,
            run_check=False,
            shape=table.shape,
            stride=table.stride(),
        )


def add_lora(
    model: Llama,
    *,
    rank: int,
    alpha: float,
    seed: int,
    dtype: torch.dtype,
    new_token_ids: Sequence[int] = (),
) -> None:
    """Freeze ``model`` and give each linear layer except the head an update, in place.

    Frozen matrices are stored in ``dtype``, the format of the products, so that no step casts them. The weights that
    the updates are merged into are then exactly those that they were trained with.

    Args:
        new_token_ids: rows of the vocabulary tables (both, if untied) that train fully.
    """
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
        if parameter.ndim > 1:
            parameter.data = parameter.data.to(dtype)
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear) and name != "lm_head":
                setattr(parent, name, LoRALinear(child, rank, alpha / rank, generator))
            elif new_token_ids and (isinstance(child, nn.Embedding) or name == "lm_head"):
                rows = NewRows(cast(Tensor, child.weight), new_token_ids)
                parametrize.register_parametrization(child, "weight", rows, unsafe=True)
                model.trained_rows = rows.ids


def merge_lora(state: dict[str, Tensor], scale: float) -> dict[str, Tensor]:
    """The ordinary state dict (fp32) of a model with LoRA. One without LoRA is returned unchanged.

    Args:
        state: unsharded tensors by name, of a model after :func:`add_lora`.
        scale: alpha / rank.
    """
    merged = {}
    for name, tensor in state.items():
        module, _, leaf = name.rpartition(".")
        if leaf == "original":
            table = module.removesuffix(".parametrizations.weight")
            rows = f"{table}.{_ROWS}"
            merged[f"{table}.weight"] = tensor.float().index_copy(
                0, state[f"{rows}.ids"], state[f"{rows}.new_rows"]
            )
        elif leaf == "weight" and f"{module}.lora_a" in state:
            update = state[f"{module}.lora_b"] @ state[f"{module}.lora_a"]
            merged[name] = torch.add(tensor, update, alpha=scale)
        elif leaf not in ("lora_a", "lora_b", "new_rows", "ids"):
            merged[name] = tensor
    return merged
