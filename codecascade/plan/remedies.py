"""Which changes of its settings, its mesh or its devices make a stage fit into the memory of the devices."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from codecascade.model.config import LlamaConfig
from codecascade.plan.choosing import choose_mesh
from codecascade.plan.devices import Device
from codecascade.recipe.settings import Stage
from codecascade.training.parallel.settings import Checkpointing, MeshShape

MOST_DEVICES = 4096
Changes = dict[str, Any]
"""New values of a stage's settings, by key."""


@dataclass(frozen=True)
class Remedy:
    """What makes a stage fit.

    Attributes:
        settings: new values of its settings.
        devices: their new number; None: the same.
        free_mesh: whether the recipe must not fix the mesh.
    """

    settings: Mapping[str, Any]
    devices: int | None = None
    free_mesh: bool = False

    def __str__(self) -> str:
        values = [f"{key} = {value!r}" for key, value in self.settings.items()]
        changes = [f"use {self.devices} devices"] if self.devices is not None else []
        changes += ["leave out [parallel]"] if self.free_mesh else []
        changes += [f"set {' and '.join(values)}"] if values else []
        return " and ".join(changes)


def remedies(
    config: LlamaConfig,
    stage: Stage,
    devices: int,
    device: Device,
    *,
    fixed: MeshShape | None = None,
    possible: Callable[[int], bool] = lambda number: True,
) -> list[Remedy]:
    """What makes ``stage`` fit, the smallest change first.

    The order is: another mesh of the same devices, settings that change neither the devices nor what is trained, the
    fewest devices, and LoRA. Settings that have the value already, and remedies that would not be enough, are left
    out.

    Args:
        fixed: the recipe's mesh.
        possible: whether all stages can be divided over so many devices.
    """

    def fits(changes: Mapping[str, Any], number: int = devices, mesh: MeshShape | None = fixed) -> bool:
        changed = stage.model_copy(update=dict(changes))
        if mesh is not None and number != mesh.devices:
            mesh = _on(mesh, number)
            if mesh is None:
                return False
        choice = choose_mesh(config, changed, number, device, mesh)
        return choice is not None and choice.fits

    if fixed is not None and fits({}, mesh=None):
        return [Remedy({}, free_mesh=True)]
    found = [Remedy(changes) for changes in _sparing(stage, stage.rows // devices or 1, fits)]
    most_sparing = _most_sparing(stage)
    for changes in ({}, most_sparing):
        enough = next(
            (number for number in _more(devices) if possible(number) and fits(changes, number)),
            None,
        )
        if enough is not None:
            found.append(Remedy(changes, enough))
            break
    if stage.train == "all":
        lora = ({"train": "lora", **changes} for changes in ({}, most_sparing))
        found += [Remedy(changes) for changes in lora if fits(changes)][:1]
    return found


def _checkpointing(stage: Stage) -> list[Changes]:
    """The settings that have more activations computed again than are already; that of the least work first."""
    kinds: tuple[Checkpointing, ...] = ("selective", "full")
    if stage.activation_checkpointing in kinds:
        kinds = kinds[kinds.index(stage.activation_checkpointing) + 1 :]
    return [{"activation_checkpointing": kind} for kind in kinds]


def _sparing(stage: Stage, rows: int, fits: Callable[[Mapping[str, Any]], bool]) -> Iterator[Changes]:
    """Settings that need less memory for the same training: checkpointing, fewer rows at a time, or both."""
    again = _checkpointing(stage)
    fewer = [{"micro_batch_rows": count} for count in range(min(rows, stage.micro_batch_rows) - 1, 0, -1)]
    enough = next((changes for changes in again if fits(changes)), None)
    if enough:
        yield enough
    elif again:
        # with checkpointing more rows fit than without
        yield from [both for both in ({**again[-1], **one} for one in fewer) if fits(both)][:1]
    yield from [one for one in fewer if fits(one)][:1]


def _most_sparing(stage: Stage) -> Changes:
    most = next(reversed(_checkpointing(stage)), {})
    return {**most, **({"micro_batch_rows": 1} if stage.micro_batch_rows > 1 else {})}


def _more(devices: int) -> Iterator[int]:
    """Larger numbers of devices: twice as many, and so on."""
    while devices < MOST_DEVICES:
        devices *= 2
        yield devices


def _on(mesh: MeshShape, devices: int) -> MeshShape | None:
    """``mesh`` with as many shards as ``devices`` have room for."""
    inner = mesh.data_replicate * mesh.rows_shared_by
    return replace(mesh, data_shard=devices // inner) if devices % inner == 0 else None
