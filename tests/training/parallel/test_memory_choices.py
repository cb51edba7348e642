"""What is traded for memory: when gradients are reduced, and which activations are kept."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tiny_run import LENGTH, CountingStream, tiny_model, tiny_settings
from torch.utils._python_dispatch import TorchDispatchMode

from codecascade.ground.errors import UserError
from codecascade.training.learner import Learner, rows_of_rank
from codecascade.training.parallel.mesh import Mesh
from codecascade.training.parallel.methods import float8, reduction
from codecascade.training.parallel.methods.reduction import reduces_once
from codecascade.training.parallel.ranks import World
from codecascade.training.parallel.settings import MeshShape, ParallelSettings

ALONE = World(0, 1, torch.device("cpu"), None)
MESH: Any = SimpleNamespace(device_type="cpu")


def test_gradients_are_reduced_once_a_step_where_memory_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model()
    bytes_of_gradient = 4 * sum(parameter.numel() for parameter in model.parameters())
    for memory, once in ((5.1 * bytes_of_gradient, True), (4.9 * bytes_of_gradient, False)):
        monkeypatch.setattr(reduction, "_memory", lambda kind, memory=memory: memory)
        assert reduces_once(model, MESH, ParallelSettings()) is once
        assert reduces_once(model, MESH, ParallelSettings(reduce_gradients="step"))
        assert not reduces_once(model, MESH, ParallelSettings(reduce_gradients="micro_batch"))
    # what is frozen has no gradient
    model.requires_grad_(False)
    assert reduces_once(model, MESH, ParallelSettings())


class Products(TorchDispatchMode):
    """Counts matrix products."""

    count = 0

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += op in (torch.ops.aten.mm.default, torch.ops.aten.addmm.default)
        return op(*args, **(kwargs or {}))


def step(checkpointing: str) -> tuple[int, float, float]:
    """Matrix products of a step with this kind of checkpointing, its loss, and the norm of its gradient."""
    settings = tiny_settings(activation_checkpointing=checkpointing, batch_tokens=4 * LENGTH)
    learner = Learner(tiny_model(), settings, 2, ALONE)
    batch = CountingStream().batch(rows_of_rank(ALONE, settings))
    with Products() as products:
        taken = learner.step(batch, 1)
    return products.count, taken.loss, taken.grad_norm


def test_checkpointing_computes_products_again_and_changes_nothing() -> None:
    none, selective, full = (step(kind) for kind in ("none", "selective", "full"))
    for found in (selective, full):
        assert found[1:] == pytest.approx(none[1:], rel=1e-5)
    # seven products in each of two layers and two micro-batches; the last one's result is not needed again
    assert none[0] < selective[0] < full[0]
    assert full[0] - none[0] >= 2 * 2 * 6


def test_float8_needs_torchao_and_a_gpu_and_sides_of_16() -> None:
    mesh = Mesh(MeshShape(1, 1, 1, 1), 0, None, None)
    with pytest.raises(UserError, match=r"torchao|GPU with float8 tensor cores"):
        float8.use_float8(tiny_model(), mesh)
    float8.check_sides(tiny_model(), 1)
    with pytest.raises(UserError, match="a rank's key-value heads x head_dim is 8"):
        float8.check_sides(tiny_model(), 2)
