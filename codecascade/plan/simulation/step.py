"""One training step of the real model on fake tensors: what a rank's memory holds at the peak, and what it sends.

Model, parallelisation, loss and optimiser are those that train. The tensors have shapes and no data, and the process
group (torch's own ``fake``) has as many ranks as the cluster and sends nothing. So a step of 70B on 512 devices takes
minutes and less than a gigabyte on one CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor
from torch.distributed.tensor import _utils as places
from torch.overrides import TorchFunctionMode
from torch.testing._internal.distributed.fake_pg import FakeStore

from codecascade.model.config import LlamaConfig
from codecascade.model.llama import Llama
from codecascade.model.loss import next_token_loss
from codecascade.model.precision import Precision
from codecascade.model.rope import frequencies
from codecascade.plan.simulation.as_on_a_gpu import as_on_a_gpu, replaced
from codecascade.plan.simulation.simulated import SimulatedStep
from codecascade.plan.simulation.tracker import tracker_of
from codecascade.training.lora import add_lora
from codecascade.training.optimizer import Optimizer
from codecascade.training.parallel import ranks
from codecascade.training.parallel.apply import parallelize
from codecascade.training.parallel.mesh import Mesh, make_mesh
from codecascade.training.parallel.methods.context import row_part
from codecascade.training.parallel.methods.reduction import reduce_gradients_of, reduces_once
from codecascade.training.parallel.methods.vocabulary_loss import split_next_token_loss
from codecascade.training.parallel.ranks import World
from codecascade.training.settings import TrainingSettings

_CPU = torch.device("cpu")
_PLACE = "_compute_local_shape_and_global_offset"
_MOST_PASSES = 2
"""Micro-batches of a step that are simulated: the last one, and one of those before it, which are alike."""


def simulate_step(
    config: LlamaConfig,
    settings: TrainingSettings,
    devices: int,
    *,
    memory: int | None = None,
    as_gpu: bool = True,
    progress: Callable[[int, int], None] = lambda layers, total: None,
) -> SimulatedStep:
    """One optimiser step of rank 0 of ``devices``, after a first one.

    Args:
        settings: with the mesh.
        memory: of a device, by which it is decided how often gradients are reduced; None: there is not enough.
        as_gpu: whether the devices are GPUs; else ranks on CPUs, in fp32.
        progress: gets the number of layers that were passed, and of all.

    Raises:
        UserError: model and rows can't be divided over the mesh.
    """
    bf16 = as_gpu and settings.precision != "fp32"
    precision = Precision(torch.bfloat16 if bf16 else torch.float32, "simulated")
    with ExitStack() as stack:
        world = stack.enter_context(_fake_ranks(devices))
        if as_gpu:
            stack.enter_context(as_on_a_gpu(memory))
        mesh = make_mesh(world, settings)
        stack.enter_context(_real_meshes())
        stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        model = _model(config, settings, precision)
        parallelize(model, mesh, settings, precision)
        step = _Step(model, Optimizer(model, settings, steps=10), mesh, settings, precision)
        step.report(progress)
        with step.tracker:
            # the first step makes the moments, and what is made once
            step.take(passes=1)
            step.tracker.start_again()
            step.take(step.passes)
            return SimulatedStep(step.tracker.peak(), step.tracker.now(), step.sent())


def _model(config: LlamaConfig, settings: TrainingSettings, precision: Precision) -> Llama:
    model = Llama(config).train()
    if settings.train == "lora":
        add_lora(model, rank=settings.lora_rank, alpha=settings.lora_alpha, dtype=precision.dtype)
    return model


class _Step:
    """The step of :class:`codecascade.training.learner.Learner`, without what needs values."""

    def __init__(
        self, model: Llama, optimizer: Optimizer, mesh: Mesh, settings: TrainingSettings, precision: Precision
    ) -> None:
        self.model, self.optimizer, self.mesh = model, optimizer, mesh
        self.settings, self.precision = settings, precision
        self.tracker = tracker_of(model, optimizer.adamw)
        self._once = reduces_once(model, mesh.weights, settings.sharing)
        rows = max(1, settings.rows // mesh.shape.data)
        self._rows = min(rows, settings.micro_batch_rows)
        self._all_passes = -(-rows // self._rows)
        self.passes = min(self._all_passes, _MOST_PASSES)
        self._sent_by_one: dict[str, float] = {}

    def report(self, progress: Callable[[int, int], None]) -> None:
        """Call ``progress`` before each layer of both steps."""
        layers = self.model.model.layers
        again = 2 if self.model.gradient_checkpointing else 1
        passed, total = 0, (1 + self.passes) * again * len(layers)

        def before(*_: object) -> None:
            nonlocal passed
            passed += 1
            progress(passed, total)

        for layer in layers:
            layer.register_forward_pre_hook(before)

    def take(self, passes: int) -> None:
        """So many micro-batches, and the update."""
        # autocast keeps the weights that it casts where none are gathered, as in training
        kept = nullcontext() if self.mesh.weights is not None else torch.autocast("cpu", enabled=False)
        with kept:
            for number in range(passes):
                last = number == passes - 1
                reduce_gradients_of(self.model, last=last, once=self._once)
                self._loss().backward()  # type: ignore[no-untyped-call]
                # what was tracked of the modules is of one pass
                self.tracker.reset_mod_stats()
                if not last:
                    self._sent_by_one = dict(self.tracker.sent)
        # the optimiser's own clipping returns a number, which fake tensors do not have
        nn.utils.clip_grad_norm_(self.optimizer.parameters, self.settings.gradient_clip)
        self.optimizer.step(1)

    def _loss(self) -> Tensor:
        length, chunk = self.settings.sequence_length, self.settings.loss_chunk_tokens
        tokens = torch.zeros(self._rows, length, dtype=torch.int64)
        weights = torch.ones(self._rows, length)
        part, positions, attention = row_part(self.mesh, self._rows, length, None), None, None
        if part is not None:
            tokens, weights = tokens[:, part.positions], weights[:, part.positions]
            positions, attention = part.positions, part.attention
        with self.precision.autocast(_CPU), _EveryPositionCounts():
            hidden = self.model(tokens, positions=positions, mask=attention)
            if isinstance(hidden, DTensor):
                return split_next_token_loss(self.model, hidden, tokens, weights, chunk_tokens=chunk)
            return next_token_loss(self.model, hidden, tokens, weights, chunk_tokens=chunk)

    def sent(self) -> dict[str, float]:
        """Bytes that a rank sends in a step, by the dimension; of micro-batches that were not simulated, too."""
        groups: dict[str, str] = {}
        for device_mesh in (self.mesh.weights, self.mesh.contexts):
            if device_mesh is not None:
                for name in device_mesh.mesh_dim_names or ():
                    groups[device_mesh.get_group(name).group_name] = name
        found: dict[str, float] = {}
        for group, count in self.tracker.sent.items():
            name = groups.get(group, "all")
            more = (self._all_passes - self.passes) * self._sent_by_one.get(group, 0.0)
            found[name] = found.get(name, 0.0) + count + more
        return found


class _EveryPositionCounts(TorchFunctionMode):
    """Makes an index by a mask take all elements: which ones are True is a value, and fake tensors have none."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is Tensor.__getitem__ and isinstance(args[1], Tensor) and args[1].dtype == torch.bool:
            return args[0].flatten(0, args[1].ndim - 1)
        return func(*args, **(kwargs or {}))


@contextmanager
def _real_meshes() -> Iterator[None]:
    """While it lasts, meshes that FSDP makes, and the places of shards, are made of real tensors, which are read."""

    def real(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            with unset_fake_temporarily():
                return function(*args, **kwargs)

        return call

    with ExitStack() as stack:
        for place, name, value in (
            (DeviceMesh, "__init__", real(DeviceMesh.__init__)),
            (DeviceMesh, "mesh", property(real(vars(DeviceMesh)["mesh"].fget))),
            (places, _PLACE, real(getattr(places, _PLACE))),
        ):
            stack.enter_context(replaced(place, name, value))
        yield


@contextmanager
def _fake_ranks(size: int) -> Iterator[World]:
    if dist.is_initialized():
        raise RuntimeError("a simulation needs a process without a process group")
    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=size)
    # kept between calls, and would be fake for whoever comes afterwards
    frequencies.cache_clear()
    try:
        with replaced(ranks, "_meshes", {}):
            yield World(0, size, _CPU, None if size == 1 else init_device_mesh("cpu", (size,)))
    finally:
        frequencies.cache_clear()
        dist.destroy_process_group()
