"""What a run can know before it writes anything: which work is left, what is missing, and what it will cost."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from codecascade.cascade.bases import check_bases
from codecascade.cascade.dialogues.self_instruct import check_self_instruct
from codecascade.cascade.run_corpus import needs_sources
from codecascade.cascade.run_folder import RunFolder
from codecascade.ground.errors import UserError
from codecascade.ground.nearest import nearest
from codecascade.plan.devices import Device
from codecascade.plan.fitting import refuse_misfits, with_meshes
from codecascade.plan.plan import RecipePlan, make_plan
from codecascade.recipe.self_instruct import KIND
from codecascade.recipe.settings import Recipe, Stage
from codecascade.recipe.shapes import missing_texts
from codecascade.training.trackers.table import check_trackers


@dataclass(frozen=True)
class WorkAhead:
    """What one call of ``codecascade run`` has to do.

    Attributes:
        recipe: with the steps that an earlier call has timed, and the planned mesh of each stage.
        stages: names of the stages that the report shows: those asked for, and those that are trained already.
        untrained: the names among them that are still to be trained.
        plan: what the stages cost; None where nothing is left to do.
    """

    recipe: Recipe
    stages: tuple[str, ...]
    untrained: tuple[str, ...]
    plan: RecipePlan | None


def look_ahead(
    recipe: Recipe,
    run: RunFolder,
    *,
    until: str | None,
    devices: int,
    device: Device | None = None,
    file: Path | None,
) -> WorkAhead:
    """Look at the recipe, the run's folder and the base. Nothing is written, and no weights are loaded.

    Args:
        until: the last stage to run, in the order of the recipe; None runs all.
        devices: the number of ranks.
        device: what each rank has; None: a CPU.
        file: the recipe's, for messages.

    Raises:
        UserError: something is missing or wrong that would stop a stage later.
    """
    wanted = _stages_until(recipe, until)
    recipe = run.adopt(recipe)
    trained = {stage.name for stage in recipe.stage if run.cost(stage) is not None}
    stages = [stage for stage in recipe.stage if stage.name in wanted or stage.name in trained]
    untrained = [stage for stage in stages if stage.name not in trained]
    plan = None
    if untrained or not run.is_reported(recipe, stages):
        part = recipe.model_copy(update={"stage": tuple(stages)})
        plan = _check(recipe, part, untrained, run, devices, device, file)
        recipe = with_meshes(recipe, plan)
    return WorkAhead(recipe, _names(stages), _names(untrained), plan)


def _stages_until(recipe: Recipe, until: str | None) -> list[str]:
    names = [stage.name for stage in recipe.stage]
    if until is None:
        return names
    if until not in names:
        raise UserError(f"there is no stage {until!r}; {nearest(until, names)}", key="--until")
    return names[: names.index(until) + 1]


def _names(stages: list[Stage]) -> tuple[str, ...]:
    return tuple(stage.name for stage in stages)


def _check(
    whole: Recipe,
    recipe: Recipe,
    untrained: list[Stage],
    run: RunFolder,
    devices: int,
    device: Device | None,
    file: Path | None,
) -> RecipePlan:
    try:
        check_bases(recipe)
        check_trackers(recipe.log)
        # What a run has made itself is in its folder, whatever became of the files that it was made from.
        made = {stage.name for stage in untrained if run.has_dialogues(stage.name, KIND)}
        missing = missing_texts(recipe, untrained, sources=needs_sources(recipe, run), made=made)
        if missing:
            key, _, problem = missing[0].partition(": ")
            raise UserError(problem, key=key)
        # a stage that comes later may be measured by other benchmarks
        check_self_instruct(whole, [stage for stage in untrained if stage.name not in made])
        # ranks on CPUs, which are for trying things out, all shard unless the recipe says otherwise
        chooses = device is not None and device.memory is not None
        plan = make_plan(recipe, devices=devices, device=device, chooses=chooses, file=file)
        refuse_misfits(plan, _names(untrained), file)
        return plan
    except UserError as error:
        raise UserError(error.message, file=error.file or file, key=error.key) from None
