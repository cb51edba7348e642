"""AdamW with the groups this project needs: matrices, vectors, vocabulary tables, and the rows of new tokens.

The rows of new tokens have a learning rate of their own. They are a part of the vocabulary table, so they can't be a
parameter group. To scale their gradient would have no effect, because Adam divides by its size. But AdamW updates
each element for itself, in proportion to the learning rate, and tables have no weight decay. So :class:`ScaledRows`
multiplies the update of these rows by the ratio of the two rates after the step, which is exact. It needs neither
Adam's state nor a change of the model, and works on a table that is sharded over ranks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from codecascade.training.parallel.slices import local_rows
from codecascade.training.schedule import default_warmup, learning_rate_factor
from codecascade.training.settings import OptimizerSettings

TABLES = ("embed_tokens.weight", "lm_head.weight")
NEW_ROWS = "new_rows"
"""The name of LoRA's parameter for the rows of new tokens, see lora.py."""


class Optimizer:
    """AdamW over ``model``'s trainable parameters, its schedule, clipping, and the new rows' own rate."""

    def __init__(
        self, model: nn.Module, settings: OptimizerSettings, steps: int, new_token_ids: Sequence[int] = ()
    ) -> None:
        table_rate = settings.embedding_learning_rate or settings.learning_rate
        row_rate = settings.new_token_learning_rate or table_rate
        matrices: list[nn.Parameter] = []
        vectors: list[nn.Parameter] = []
        tables: list[nn.Parameter] = []
        rows: list[nn.Parameter] = []
        for name, parameter in model.named_parameters():
            if not parameter.requires_grad:
                continue
            if name.endswith(NEW_ROWS):
                rows.append(parameter)
            elif name.endswith(TABLES):
                tables.append(parameter)
            else:
                (matrices if parameter.ndim > 1 else vectors).append(parameter)
        groups = [
            (matrices, settings.learning_rate, settings.weight_decay),
            (vectors, settings.learning_rate, 0.0),
            (tables, table_rate, 0.0),
            (rows, row_rate, 0.0),
        ]
        self.adamw = torch.optim.AdamW(
            [
                {"params": parameters, "lr": rate, "peak": rate, "weight_decay": decay}
                for parameters, rate, decay in groups
                if parameters
            ],
            betas=(settings.beta1, settings.beta2),
            fused=True,
        )
        self.settings, self.steps = settings, steps
        self.warmup = default_warmup(steps) if settings.warmup_steps is None else settings.warmup_steps
        ratio = row_rate / table_rate
        self.new_rows = [
            ScaledRows(table, new_token_ids, ratio) for table in tables if new_token_ids and ratio != 1
        ]

    @property
    def parameters(self) -> Iterable[nn.Parameter]:
        return (parameter for group in self.adamw.param_groups for parameter in group["params"])

    def clip(self) -> float:
        """Scale the gradient down to the largest allowed L2 norm. Returns its norm before, maybe inf or nan."""
        norm = nn.utils.clip_grad_norm_(self.parameters, self.settings.gradient_clip)
        return float(norm.full_tensor() if isinstance(norm, DTensor) else norm)

    def step(self, step: int) -> float:
        """Update with the rates of step ``step`` of 1 to ``steps``; returns the rate of the matrices."""
        factor = learning_rate_factor(step, self.steps, self.warmup, self.settings.min_ratio)
        for group in self.adamw.param_groups:
            group["lr"] = factor * group["peak"]
        before = [rows.read() for rows in self.new_rows]
        self.adamw.step()
        for rows, old in zip(self.new_rows, before, strict=True):
            rows.scale_update(old)
        self.discard_gradient()
        return factor * self.settings.learning_rate

    def discard_gradient(self) -> None:
        self.adamw.zero_grad(set_to_none=True)


class ScaledRows:
    """Rows ``ids`` of a table (V, H), whose learning rate is ``ratio`` times that of the other rows."""

    def __init__(self, table: nn.Parameter, ids: Sequence[int], ratio: float) -> None:
        self.table, self.ratio = table, ratio
        own = local_rows(table) if isinstance(table, DTensor) else range(len(table))
        self.index = torch.tensor(
            [row - own.start for row in ids if row in own], dtype=torch.long, device=table.device
        )

    def _local(self) -> Tensor:
        table = self.table.detach()
        return table.to_local() if isinstance(table, DTensor) else table

    def read(self) -> Tensor:
        return self._local()[self.index]

    def scale_update(self, old: Tensor) -> None:
        local = self._local()
        local[self.index] = torch.lerp(old, local[self.index], self.ratio)
