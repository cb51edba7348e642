"""Low-rank adaptation (Hu et al. 2021, arXiv:2106.09685): ``W + alpha / rank * B A`` with ``W`` frozen.

A frozen matrix needs no gradient (a third of the work of a training step), no optimiser state and no fp32 master
copy, and it is not in the checkpoints. New tokens can't learn through low-rank updates of other matrices alone. So
their rows of the vocabulary tables are trained fully, as small parameters beside the frozen table.

lora_weights.py has the first values, and makes of the trained ones an ordinary model's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch.distributed.tensor import DTensor, Partial
from torch.nn.utils import parametrize

from codecascade.model.llama import Llama
from codecascade.training.parallel.slices import local_rows

_ORIGINAL, _ROWS = "parametrizations.weight.original", "parametrizations.weight.0"


class LoRALinear(nn.Module):
    """A linear layer (out, in) with a frozen weight, plus an update of rank ``rank`` that is zero at first."""

    def __init__(self, linear: nn.Linear, rank: int, scale: float) -> None:
        super().__init__()
        self.weight, self.bias, self.scale = linear.weight, linear.bias, scale
        self.lora_a = nn.Parameter(torch.empty(rank, linear.in_features, device="meta"))
        self.lora_b = nn.Parameter(torch.empty(linear.out_features, rank, device="meta"))

    def forward(self, x: Tensor) -> Tensor:
        if isinstance(self.lora_a, DTensor) or torch.compiler.is_compiling():
            update = F.linear(F.linear(x, self.lora_a) * self.scale, self.lora_b)
            return F.linear(x, self.weight, self.bias) + update
        x = x.to(self.weight.dtype)
        out: Tensor = _UpdatedLinear.apply(  # type: ignore[no-untyped-call]
            x, self.weight, self.bias, self.lora_a, self.lora_b, self.scale
        )
        return out


class _UpdatedLinear(Function):
    """``x (W + scale B A)^T + bias`` with ``W`` and ``bias`` frozen, in the format of ``x`` and ``W``.

    The update is added by the product that makes it, to the output and to the gradient by ``x``. It is then rounded
    once and not twice, and two tensors of that size less are made in each direction.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, scale: float
    ) -> Tensor:
        flat, dtype = x.flatten(0, -2), x.dtype
        with torch.autocast(x.device.type, enabled=False):
            down, up = a.to(dtype), b.to(dtype)
            inner = torch.mm(flat, down.T).mul_(scale)
            # Frozen vectors are in fp32, whatever the matrices are in.
            added = None if bias is None else bias.to(dtype)
            out = F.linear(flat, weight, added).addmm_(inner, up.T)
        ctx.save_for_backward(x, weight, a, b, inner)
        ctx.scale = scale
        return out.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, a, b, inner = ctx.saved_tensors
        outer, dtype = gradient.flatten(0, -2), x.dtype
        by_inner = torch.mm(outer, b.to(dtype)).mul_(ctx.scale)
        by_x = None
        if ctx.needs_input_grad[0]:
            by_x = torch.mm(outer, weight).addmm_(by_inner, a.to(dtype)).view(x.shape)
        by_a = torch.mm(by_inner.T, x.flatten(0, -2)).to(a.dtype)
        by_b = torch.mm(outer.T, inner).to(b.dtype)
        return by_x, None, None, by_a, by_b, None


class NewRows(nn.Module):
    """A parametrization of a frozen table: its rows ``ids`` are replaced by a trainable parameter (n, H)."""

    def __init__(self, table: Tensor, ids: Sequence[int]) -> None:
        super().__init__()
        self.rows = tuple(ids)
        self.ids: Tensor
        self.register_buffer("ids", torch.empty(len(ids), dtype=torch.long, device="meta"))
        self.new_rows = nn.Parameter(torch.empty(len(ids), table.shape[1], device="meta"))

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
    dtype: torch.dtype,
    new_token_ids: Sequence[int] = (),
) -> None:
    """Freeze ``model``, which is on the meta device, and give each linear layer except the head an update, in place.

    :class:`~codecascade.training.lora_weights.LoRAWeights` has the values of what is added.

    Frozen matrices are stored in ``dtype``, the format of the products, so that no step casts them. The weights that
    the updates are merged into are then exactly those that they were trained with.

    Args:
        new_token_ids: rows of the vocabulary tables (both, if untied) that train fully.
    """
    for parameter in model.parameters():
        parameter.requires_grad_(False)
        if parameter.ndim > 1:
            parameter.data = parameter.data.to(dtype)
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear) and name != "lm_head":
                setattr(parent, name, LoRALinear(child, rank, alpha / rank))
            elif new_token_ids and (isinstance(child, nn.Embedding) or name == "lm_head"):
                rows = NewRows(cast(Tensor, child.weight), new_token_ids)
                parametrize.register_parametrization(child, "weight", rows, unsafe=True)


def note_trained_rows(model: Llama) -> None:
    """Tell the model which rows of its head learn, once it has memory: the gradient of the others is not made."""
    for module in model.modules():
        if isinstance(module, NewRows):
            model.trained_rows = module.ids
