"""One optimiser step: gradients of a batch over micro-batches and ranks, then the update."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from codecascade.ground.allocator import kept_memory
from codecascade.ground.errors import RunFailed
from codecascade.model.attention import Documents, PassAttention
from codecascade.model.config import LlamaConfig
from codecascade.model.llama import Llama
from codecascade.model.loss import next_token_loss
from codecascade.model.precision import choose_precision
from codecascade.model.presets import build
from codecascade.model.stored.weights import RandomWeights, StoredWeights, TensorWeights, Weights
from codecascade.training.lora import add_lora, note_trained_rows
from codecascade.training.lora_weights import LoRAWeights
from codecascade.training.optimizer import Optimizer
from codecascade.training.parallel.apply import parallelize
from codecascade.training.parallel.device_memory import memory_errors
from codecascade.training.parallel.mesh import check_mesh, check_rows, make_mesh
from codecascade.training.parallel.methods.context import row_part
from codecascade.training.parallel.methods.reduction import reduce_gradients_of, reduces_once
from codecascade.training.parallel.methods.vocabulary_loss import split_next_token_loss
from codecascade.training.parallel.ranks import World, join_world, release_memory
from codecascade.training.parallel.weights_in import fill
from codecascade.training.pass_attention import pass_attention
from codecascade.training.settings import TrainingSettings
from codecascade.training.stream.stream import Batch

_REMEDY = "set a smaller micro_batch_rows or activation_checkpointing = 'full', or use more ranks"


class BatchStream(Protocol):
    """What training uses of a :class:`codecascade.training.stream.stream.TokenStream`."""

    def batch(self, rows: range) -> Batch: ...
    def state_dict(self, rows: range) -> dict[Any, Any]: ...
    def load_state_dict(self, state: dict[Any, Any]) -> None: ...


@dataclass(frozen=True)
class StepResult:
    """What an optimiser step did.

    Attributes:
        loss: of the global batch, in nats.
        grad_norm: L2 norm of its gradient, before clipping.
        lr: the learning rate; 0 if the step was left out.
        skipped: why it was left out; None if it was taken.
    """

    loss: float
    grad_norm: float
    lr: float
    skipped: str | None = None


class Learner:
    """A model, its optimiser and its precision. The given ``model`` is changed: given LoRA, sharded, filled.

    Args:
        model: on the meta device; or in memory, if it is small enough for each rank to have all of it.
        weights: the first values of a model that is on the meta device. Each rank reads its own slices only.

    Raises:
        UserError: the weights can't be read, or a device has no memory for them; every rank raises it.
    """

    def __init__(
        self,
        model: Llama,
        settings: TrainingSettings,
        steps: int,
        world: World,
        new_token_ids: Sequence[int] = (),
        weights: StoredWeights | None = None,
    ) -> None:
        self.settings, self.world = settings, world
        check_mesh(model.config, settings, world.size)
        self.mesh = make_mesh(world, settings)
        self.precision = choose_precision(world.device, settings.precision)
        stored = weights or TensorWeights(model.config, model.state_dict())
        first_values: Weights = stored
        self.model = model.to(device="meta", dtype=torch.float32).train()
        if settings.train == "lora":
            first_values = LoRAWeights(
                stored, rank=settings.lora_rank, seed=settings.seed, new_token_ids=new_token_ids
            )
            add_lora(
                self.model,
                rank=settings.lora_rank,
                alpha=settings.lora_alpha,
                dtype=self.precision.dtype,
                new_token_ids=new_token_ids,
            )
        parallelize(self.model, self.mesh, settings, self.precision)
        fill(self.model, first_values, world)
        note_trained_rows(self.model)
        self._reduces_once = world.from_first(
            lambda: reduces_once(self.model, self.mesh.weights, settings.sharing)
        )
        self.optimizer = Optimizer(self.model, settings, steps, new_token_ids)

    def step(
        self, batch: Batch, step: int, leave_out: Callable[[float, float], str | None] | None = None
    ) -> StepResult:
        """Take step ``step`` of 1 to ``steps`` on this rank's rows of the global batch.

        Args:
            leave_out: given the loss and the norm of the gradient, says why the weights shall not change; None: they
                shall. It must say the same on all ranks.

        Raises:
            RunFailed: the loss or the gradient is not finite. The weights are unchanged.
            UserError: the device has no memory for it.
        """
        what = f"step {step}, with {self.settings.micro_batch_rows} rows of {self.settings.sequence_length:,} tokens,"
        with memory_errors(self.world.device, what, _REMEDY):
            loss = self._accumulate_gradients(batch)
            norm = self.optimizer.clip()
        reason = None if leave_out is None else leave_out(loss, norm)
        if reason is not None:
            self.optimizer.discard_gradient()
            return StepResult(loss, norm, 0.0, reason)
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise RunFailed(
                f"step {step}: the loss is {loss} and the norm of its gradient {norm}, so the step was not taken; "
                f"{documents_in(batch, self.world)}. Lower the learning rate, or look at these documents"
            )
        with memory_errors(self.world.device, what, _REMEDY):
            return StepResult(loss, norm, self.optimizer.step(step))

    def _accumulate_gradients(self, batch: Batch) -> float:
        """Add up the gradient of the global batch's mean loss; returns that loss (nats per unit of weight).

        Each loss is divided by the total weight of the batch of all ranks, so that neither the size of a micro-batch
        nor the number of ranks changes the gradient.
        """
        shape = self.mesh.shape
        # ranks with the same rows count them once
        total = self.world.sum(float(batch.weights.sum()))[0] / shape.rows_shared_by
        # FSDP averages gradients over the ranks with other tokens, but they are to be summed
        scale = shape.data * shape.context / max(total, 1e-8)
        loss = torch.zeros((), device=self.world.device)
        micro_batches = range(0, len(batch.tokens), self.settings.micro_batch_rows)
        with self._kept_casts():
            for first in micro_batches:
                reduce_gradients_of(self.model, last=first == micro_batches[-1], once=self._reduces_once)
                rows = slice(first, first + self.settings.micro_batch_rows)
                part = self._loss(batch.tokens[rows], batch.weights[rows], batch.document_ids[rows])
                (part * scale).backward()  # type: ignore[no-untyped-call]
                loss += part.detach()
        # ranks that share matrices have the loss of the same tokens
        return self.world.sum(float(loss))[0] / shape.tensor / max(total, 1e-8)

    def _kept_casts(self) -> AbstractContextManager[object]:
        """A context around all micro-batches of a step, in which autocast casts each weight only once.

        Autocast keeps the cast weights until its outermost context ends. Several ranks can't use that: FSDP gathers
        the weights again for each micro-batch, and a cast that is kept would be one of old weights.
        """
        if self.world.mesh is not None:
            return nullcontext()
        return torch.autocast(self.world.device.type, enabled=False)

    def _loss(self, tokens: Tensor, weights: Tensor, document_ids: Tensor) -> Tensor:
        """Sum of weight times cross entropy over a micro-batch; of this rank's tokens, where ranks share rows."""
        device, chunk = self.world.device, self.settings.loss_chunk_tokens
        inputs, targets = tokens[:, :-1], tokens[:, 1:]
        documents = document_ids if self.settings.document_masks else None
        part = row_part(self.mesh, len(inputs), inputs.shape[1], documents)
        mask: PassAttention | Documents | Tensor | None
        if part is None:
            positions, mask = None, pass_attention(documents, device, self.precision, self.settings.compile)
        else:
            inputs, targets, weights = (tensor[:, part.positions] for tensor in (inputs, targets, weights))
            positions, mask = part.positions.to(device), part.attention
        inputs, targets, weights = (
            tensor.to(device, non_blocking=True) for tensor in (inputs, targets, weights)
        )
        with self.precision.autocast(device):
            hidden = self.model(inputs, positions=positions, mask=mask)
            if isinstance(hidden, DTensor):
                return split_next_token_loss(self.model, hidden, targets, weights, chunk_tokens=chunk)
            return next_token_loss(self.model, hidden, targets, weights, chunk_tokens=chunk)


def documents_in(batch: Batch, world: World) -> str:
    """A phrase that names the documents of the global batch. All ranks must call this."""
    return f"the batch's documents: {', '.join(document_names(batch, world))}"


def document_names(batch: Batch, world: World) -> tuple[str, ...]:
    """The documents of the global batch, each once. All ranks must call this."""
    names = [name for rows in world.gather(batch.documents) for row in rows for name in row]
    return tuple(dict.fromkeys(names))


def rows_of_rank(world: World, settings: TrainingSettings) -> range:
    """The logical streams (rows of every step) that this rank trains on.

    Raises:
        UserError: the rows of a step can't be shared out evenly, or the mesh has another number of ranks.
    """
    shape = settings.sharing.shape(world.size)
    check_rows(settings, shape)
    share, group = settings.rows // shape.data, shape.data_rank(world.rank)
    return range(group * share, (group + 1) * share)


def measure_step_seconds(
    config: LlamaConfig, stream: BatchStream, settings: TrainingSettings, *, steps: int = 2
) -> float:
    """Median seconds of ``steps`` optimiser steps of the slowest rank, after one step to warm up.

    The time of a step does not depend on the weights, so a model of random ones is made for it, as large as that
    which is to be trained, and no other is in memory. The stream does not change: its state is restored.
    """
    world = join_world()
    rows = rows_of_rank(world, settings)
    state = stream.state_dict(rows)
    batch = stream.batch(rows)
    stream.load_state_dict(state)
    learner = Learner(build(config, "meta"), settings, steps + 1, world, weights=RandomWeights(config))
    seconds = []
    # Random weights may not bear the stage's rates, and no spike is left out here.
    for group in learner.optimizer.adamw.param_groups:
        group["peak"] = 0.0
    with kept_memory():
        for step in range(1, steps + 2):
            start = time.perf_counter()
            learner.step(batch, step)
            seconds.append(time.perf_counter() - start)
    slowest: float = max(world.gather(statistics.median(seconds[1:])))
    del learner
    # a sharded model is part of circles, which would stay beside the model that is trained next
    release_memory()
    return slowest
