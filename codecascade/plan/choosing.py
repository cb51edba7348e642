"""Which mesh a stage gets where the recipe does not fix it: the fastest that fits, and why not a simpler one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from codecascade.ground.format import show_bytes
from codecascade.model.config import LlamaConfig
from codecascade.plan.devices import DEVICES, Device
from codecascade.plan.memory.kinds import Memory
from codecascade.plan.memory.step import step_memory
from codecascade.plan.mesh import meshes
from codecascade.plan.traffic import step_seconds
from codecascade.recipe.settings import Stage
from codecascade.training.parallel.settings import MeshShape

_WORTH = 0.95
"""A more complex mesh is taken if a step takes less than this part of the time."""


@dataclass(frozen=True)
class Choice:
    """The mesh of a stage.

    Attributes:
        reasons: sentences without a full stop; none for the plain mesh, whose only dimension shards.
        fits: whether the step's memory is within the device's, where that is known.
    """

    mesh: MeshShape
    memory: Memory
    reasons: tuple[str, ...] = ()
    fits: bool = True


@dataclass(frozen=True)
class _Candidate:
    mesh: MeshShape
    memory: Memory
    seconds: float

    @property
    def complexity(self) -> int:
        """The kinds of parallelism besides sharding; replicas count least, tensor parallelism most."""
        mesh = self.mesh
        return (mesh.data_replicate > 1) + 2 * (mesh.context > 1) + 3 * (mesh.tensor > 1)


def choose_mesh(
    config: LlamaConfig, stage: Stage, devices: int, device: Device, fixed: MeshShape | None = None
) -> Choice | None:
    """The mesh for ``stage``: the fastest that fits, or the one that needs the least memory if none does.

    Where the device's memory is not known, any fits; where its speed is not known, an H100's counts.

    Args:
        fixed: the recipe's; nothing is chosen then.

    Returns:
        None if the work can't be divided over so many devices at all.
    """
    if fixed is not None:
        memory = step_memory(config, stage, fixed, device.memory)
        return Choice(fixed, memory, ("fixed by the recipe",), _fits(memory, device))
    flops = device.flops or DEVICES["h100"].flops or 1.0
    candidates = [
        _Candidate(
            mesh,
            step_memory(config, stage, mesh, device.memory),
            step_seconds(config, stage, mesh, device, flops),
        )
        for mesh in meshes(config, stage, devices, device.per_machine)
    ]
    if not candidates:
        return None
    fitting = [candidate for candidate in candidates if _fits(candidate.memory, device)]
    if not fitting:
        least = min(candidates, key=lambda candidate: candidate.memory.total)
        return Choice(least.mesh, least.memory, ("no mesh fits; this one needs the least memory",), False)
    best = _simplest_of_the_fast(fitting, known=device.flops is not None)
    return Choice(best.mesh, best.memory, tuple(_reasons(best, candidates, stage, device)))


def _fits(memory: Memory, device: Device) -> bool:
    return device.memory is None or memory.total <= device.memory


def _simplest_of_the_fast(candidates: Sequence[_Candidate], *, known: bool) -> _Candidate:
    """The fastest, unless a simpler one is nearly as fast. Of unknown devices the simplest is taken.

    Of equally simple ones that are nearly as fast as the fastest, it is the one that needs the least memory.
    """
    best: _Candidate | None = None
    ordered = sorted(candidates, key=lambda each: each.complexity)
    for _, group in groupby(ordered, key=lambda each: each.complexity):
        alike = list(group)
        fastest = min(each.seconds for each in alike)
        if best is None or (known and fastest < _WORTH * best.seconds):
            near = [each for each in alike if each.seconds * _WORTH <= fastest]
            best = min(near, key=lambda each: each.memory.total)
    assert best is not None
    return best


def _reasons(chosen: _Candidate, candidates: Sequence[_Candidate], stage: Stage, device: Device) -> list[str]:
    mesh, reasons = chosen.mesh, []
    plain = [each for each in candidates if each.mesh.context == each.mesh.tensor == 1]
    if mesh.context > 1 or mesh.tensor > 1:
        if not plain:
            reasons.append(
                f"{stage.rows} rows of {stage.sequence_length:,} can't be shared by {mesh.devices} devices, so "
                f"{mesh.context * mesh.tensor} devices work on one row"
            )
        elif not any(_fits(each.memory, device) for each in plain):
            least = min(each.memory.total for each in plain)
            reasons.append(f"with whole rows on a device {show_bytes(least)} would be needed")
        else:
            reasons.append("faster than with whole rows on a device, whose weights take longer to gather")
        reasons += _rather_than_the_other(chosen, candidates, device)
    if mesh.data_replicate > 1:
        reasons.append(
            f"everything fits into groups of {mesh.shards * mesh.tensor} devices, so that only sums of gradients go "
            "between them"
        )
    elif mesh.shards > 1 and mesh.devices > device.per_machine:
        replicated = [
            each for each in candidates if each.mesh.data_replicate > 1 and each.mesh.tensor == mesh.tensor
        ]
        if replicated and not any(_fits(each.memory, device) for each in replicated):
            least = min(each.memory.total for each in replicated)
            reasons.append(
                f"sharded over all devices; with replicas at least {show_bytes(least)} would be needed"
            )
    return reasons


def _rather_than_the_other(
    chosen: _Candidate, candidates: Sequence[_Candidate], device: Device
) -> Iterator[str]:
    """Why context and not tensor parallelism, or the other way round; nothing if it is both, or only one can be."""
    mesh = chosen.mesh
    if mesh.context > 1 and mesh.tensor > 1:
        return
    own, other = ("context", "tensor") if mesh.context > 1 else ("tensor", "context")
    others = [each for each in candidates if getattr(each.mesh, other) > 1 and getattr(each.mesh, own) == 1]
    fitting = [each for each in others if _fits(each.memory, device)]
    if others and not fitting:
        least = min(each.memory.total for each in others)
        yield f"with {other} in the place of {own} {show_bytes(least)} would be needed"
    elif fitting and device.flops is not None and min(each.seconds for each in fitting) > chosen.seconds:
        yield f"a step is faster with {own} than with {other}"
