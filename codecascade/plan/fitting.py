"""Whether what is planned fits into the devices of a run: asked before anything starts."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from codecascade.ground.errors import UserError
from codecascade.ground.format import show_bytes
from codecascade.ground.memory import whole_memory
from codecascade.plan.mesh import is_fixed, with_mesh
from codecascade.plan.misfits import MEASURING, misfit_sentences
from codecascade.plan.plan import RecipePlan, StagePlan
from codecascade.recipe.settings import Recipe, Stage
from codecascade.training.parallel.settings import MeshShape


def refuse_misfits(plan: RecipePlan, stages: Collection[str], file: str | Path | None = None) -> None:
    """Refuse a plan that does not fit into the memory of the devices.

    On GPUs everything that a step takes is compared. On CPUs it is what is exact alone: weights, gradients and
    moments of all ranks of this machine. What a step takes besides depends on too much there.

    Args:
        stages: names of those that are still to be trained.
        file: the recipe's, for messages.

    Raises:
        UserError: it does not fit. The message names the smallest changes that make it fit.
    """
    misfits = {name: words for name, words in plan.misfits.items() if name in {*stages, MEASURING}}
    if plan.device.memory is None:
        misfits |= {stage.name: _in_host_memory(stage, plan) for stage in plan.stages if stage.name in stages}
    found = misfit_sentences({name: words for name, words in misfits.items() if words})
    if found:
        raise UserError(f"does not fit into the devices' memory. {'. '.join(found)}", file=file)


def with_meshes(recipe: Recipe, plan: RecipePlan) -> Recipe:
    """``recipe`` with the planned mesh of each stage in its settings.

    The number of shards is left to the devices that are there, so that the recipe, which a run keeps, is not bound to
    their number.
    """
    meshes = {stage.name: stage.mesh for stage in plan.stages}
    stages = tuple(_with_mesh(stage, meshes.get(stage.name)) for stage in recipe.stage)
    return recipe.model_copy(update={"stage": stages})


def _with_mesh(stage: Stage, mesh: MeshShape | None) -> Stage:
    if mesh is None:
        return stage
    meshed = with_mesh(stage, replace(mesh, data_shard=-1))
    # sharding alone is what happens without settings, too
    return meshed if is_fixed(meshed) else stage


def _in_host_memory(stage: StagePlan, plan: RecipePlan) -> str:
    if stage.memory is None:
        return ""
    ranks = min(plan.devices, int(os.environ.get("LOCAL_WORLD_SIZE", 1)))
    step = stage.memory.step
    needed = ranks * (step.weights + step.gradients + step.moments)
    there = whole_memory()
    if needed <= there:
        return ""
    return (
        f"weights, gradients and optimizer take {show_bytes(needed)} of this machine's "
        f"{show_bytes(there)}; set train = 'lora', take a smaller base, or use more machines"
    )
