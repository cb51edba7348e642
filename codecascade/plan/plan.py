"""What a recipe will cost, and whether it can run at all. Neither weights nor corpus are needed.

Shapes come from a preset or a ``config.json``. Parameters, tokens, steps and FLOPs are exact. Memory, traffic and
time are estimates, and are shown as such.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from codecascade.evaluation.cost import EvaluationCost, evaluation_cost
from codecascade.ground.errors import UserError
from codecascade.model.config import LlamaConfig
from codecascade.plan.choosing import Choice, choose_mesh
from codecascade.plan.device_counts import numbers_near
from codecascade.plan.devices import Device, unknown_device
from codecascade.plan.memory.phases import StageMemory, stage_memory
from codecascade.plan.mesh import fixed_mesh
from codecascade.plan.misfits import MEASURING, measuring_misfit, misfit_sentences, stage_misfit
from codecascade.plan.passes import KeptTokens, Passes, kept_tokens, passes_of_a_step, read_too_little
from codecascade.plan.self_instruct import SelfInstructCost, context_warnings, self_instruct_costs
from codecascade.plan.sizes import parse_bytes
from codecascade.plan.traffic import UTILISATION, Traffic, step_seconds, traffic
from codecascade.recipe.compare import unmeasured
from codecascade.recipe.settings import Recipe, Stage
from codecascade.recipe.shapes import look_at_bases, missing_texts, model_shapes
from codecascade.training.parallel.settings import MeshShape


@dataclass(frozen=True)
class StagePlan:
    """A stage's cost. A figure is None where the base's shape or the number of steps is not known yet.

    Attributes:
        parameters: of the stage's model, with the embedding rows of its new tokens.
        config: the shape of the stage's model.
        step_flops: of one step's tokens, forward and backward.
        step_seconds: of one step on the given devices (estimate).
        choice: the mesh, why this one, and whether a step fits.
        memory: of each device, in each phase of the stage (estimate).
        sent: bytes that a device sends in a step (estimate).
        minutes: its budget on these devices, where it has one in place of a number of steps.
        most_passes: over its documents, which may end it earlier; how early is known where the corpus is here.
    """

    name: str
    kind: str
    parent: str
    batch_tokens: int
    parameters: int | None = None
    steps: int | None = None
    choice: Choice | None = None
    memory: StageMemory | None = None
    sent: Traffic | None = None
    minutes: float | None = None
    most_passes: float | None = None
    step_flops: float | None = None
    step_seconds: float | None = None
    config: LlamaConfig | None = None

    @property
    def tokens(self) -> int | None:
        return None if self.steps is None else self.steps * self.batch_tokens

    @property
    def flops(self) -> float | None:
        """Of all steps."""
        return None if self.steps is None or self.step_flops is None else self.steps * self.step_flops

    @property
    def seconds(self) -> float | None:
        """Of all steps, on the given devices (estimate)."""
        return None if self.steps is None or self.step_seconds is None else self.steps * self.step_seconds

    @property
    def memory_per_device(self) -> int | None:
        """Bytes at the peak of a step."""
        return None if self.memory is None else self.memory.step.total

    @property
    def mesh(self) -> MeshShape | None:
        return None if self.choice is None else self.choice.mesh


@dataclass(frozen=True)
class RecipePlan:
    """All stages, in order, and what a reader should know before starting.

    Attributes:
        device: what each of ``devices`` is. Without its speed there are no times.
        misfits: why a stage, or the measuring, does not fit into the devices' memory, and what would make it fit, by
            the name of the stage, or :data:`codecascade.plan.misfits.MEASURING`.
        evaluations: the cost of measuring each model, the base first.
        dialogues: the cost of each stage's self-instruct.
        base_parameters: of each model that comes in, by its name; None where its shape is unknown.
        passes: what each stage reads of each source.
        kept_tokens: what the recipe's ``token_cache`` keeps, if it has one.
    """

    name: str
    devices: int
    stages: tuple[StagePlan, ...]
    warnings: tuple[str, ...]
    device: Device
    misfits: Mapping[str, str] = field(default_factory=dict)
    evaluations: tuple[EvaluationCost, ...] = ()
    dialogues: tuple[SelfInstructCost, ...] = ()
    base_parameters: Mapping[str, int | None] = field(default_factory=dict)
    passes: tuple[Passes, ...] = ()
    kept_tokens: KeptTokens | None = None

    def __getitem__(self, stage: str) -> StagePlan:
        return next(planned for planned in self.stages if planned.name == stage)


def make_plan(
    recipe: Recipe,
    *,
    devices: int = 1,
    device: Device | None = None,
    memory: str | None = None,
    device_flops: float | None = None,
    chooses: bool = True,
    file: str | Path | None = None,
) -> RecipePlan:
    """The plan of ``recipe`` on ``devices`` equal devices.

    Args:
        device: what each of them is; None: not known but for ``memory`` and ``device_flops``.
        memory: of one device, such as ``80GB``, in the place of that of ``device``. A stage that needs more gets a
            warning.
        device_flops: FLOP/s of one device in matrix products, in the place of that of ``device``. Without either no
            times are given.
        chooses: whether meshes that the recipe leaves open are chosen; else all devices shard, as ranks on CPUs do.
        file: the recipe's, for messages.

    Raises:
        UserError: the recipe can't run. A sequence is longer than its model allows, a batch can't be shared out
            evenly, or the base has another architecture.
    """
    device = device or unknown_device()
    if memory is not None:
        device = replace(device, memory=parse_bytes(memory))
    if device_flops is not None:
        device = replace(device, flops=device_flops)
    warnings: list[str] = []
    bases = look_at_bases(recipe, warnings)
    warnings.extend(missing_texts(recipe))
    warnings.extend(unmeasured(recipe.compare, recipe.measured))
    shapes = model_shapes(recipe, bases, file)
    positions = {name: config.max_position_embeddings for name, config in shapes.items()}
    positions |= {name: base.config.max_position_embeddings for name, base in bases.items()}
    warnings.extend(context_warnings(recipe, positions))
    stages, misfits = [], {}
    for index, stage in enumerate(recipe.stage):
        config = shapes.get(stage.name)
        fixed = fixed_mesh(config, stage, devices, file, f"stage[{index}]", always=not chooses)
        planned = _plan_stage(stage, config, devices, device, fixed)
        if planned is None:
            enough = numbers_near(recipe, shapes, stage.rows, devices, device)
            raise _cannot_share(stage, devices, enough, file, f"stage[{index}]")
        stages.append(planned)
        if planned.choice is not None and not planned.choice.fits:
            assert planned.memory is not None
            misfits[stage.name] = stage_misfit(
                recipe, stage, planned.choice, planned.memory, shapes, devices, device
            )
    configs = {name: base.config for name, base in bases.items()} | shapes
    if too_large := measuring_misfit(recipe, configs, device):
        misfits[MEASURING] = too_large
    of_a_step = passes_of_a_step(recipe)
    stages = _limited(stages, of_a_step)
    steps = {planned.name: planned.steps for planned in stages}
    read = tuple(each.of_steps(count) for each in of_a_step if (count := steps[each.stage]))
    kept = kept_tokens(recipe, {name: config.vocab_size for name, config in shapes.items()})
    if kept is not None:
        warnings.extend(read_too_little(read))
    speed = None if device.flops is None else device.flops * devices * UTILISATION
    parameters = {
        name: configs[name].num_parameters() if name in configs else None for name in recipe.measured
    }
    evaluations = [
        evaluation_cost(name, settings, parameters[name], speed) for name, settings in recipe.measured.items()
    ]
    return RecipePlan(
        recipe.name,
        devices,
        tuple(stages),
        (*warnings, *misfit_sentences(misfits)),
        device,
        misfits,
        tuple(evaluations),
        self_instruct_costs(recipe, parameters, speed),
        {name: parameters[name] for name in recipe.roots},
        read,
        kept,
    )


def _plan_stage(
    stage: Stage, config: LlamaConfig | None, devices: int, device: Device, fixed: MeshShape | None
) -> StagePlan | None:
    """The cost of ``stage``; None if its work can't be divided over so many devices."""
    steps = stage.total_steps
    minutes = stage.budget_minutes(fp32=device.fp32 or stage.precision == "fp32") if steps is None else None
    if config is None:
        if stage.rows % devices and fixed is None:
            return None
        return StagePlan(
            stage.name,
            stage.kind,
            stage.parent,
            stage.batch_tokens,
            steps=steps,
            minutes=minutes,
            most_passes=stage.most_passes,
        )
    choice = choose_mesh(config, stage, devices, device, fixed)
    if choice is None:
        return None
    seconds = None
    if device.flops is not None:
        seconds = step_seconds(config, stage, choice.mesh, device, device.flops)
        if minutes is not None:
            steps = max(1, int(minutes * 60 / seconds))
    return StagePlan(
        stage.name,
        stage.kind,
        stage.parent,
        stage.batch_tokens,
        parameters=config.num_parameters(),
        steps=steps,
        choice=choice,
        memory=stage_memory(config, stage, choice.mesh, choice.memory, per_machine=device.per_machine),
        sent=traffic(config, stage, choice.mesh, device.memory),
        minutes=minutes,
        most_passes=stage.most_passes,
        step_flops=stage.batch_tokens * stage.flops_per_token(config),
        step_seconds=seconds,
        config=config,
    )


def _limited(stages: Sequence[StagePlan], of_a_step: Sequence[Passes]) -> list[StagePlan]:
    """The stages with the steps of as many passes as they may make, where their minutes have more of them.

    Stages alike get the same steps, as a run gives them.
    """

    def alike(planned: StagePlan) -> tuple[float | None, float | None, int | None]:
        return planned.minutes, planned.most_passes, planned.steps

    least: dict[tuple[float | None, float | None, int | None], int] = {}
    for planned in stages:
        most_read = max((each.passes or 0.0 for each in of_a_step if each.stage == planned.name), default=0.0)
        if planned.minutes and planned.most_passes and planned.steps and most_read:
            most = max(1, int(planned.most_passes / most_read))
            least[alike(planned)] = min(most, least.get(alike(planned), planned.steps))
    return [replace(each, steps=least.get(alike(each), each.steps)) for each in stages]


def _cannot_share(
    stage: Stage, devices: int, enough: Sequence[int], file: str | Path | None, key: str
) -> UserError:
    use = f"use {' or '.join(f'{number:,}' for number in enough)} devices, or " if enough else ""
    return UserError(
        f"{stage.batch_tokens:,} tokens are {stage.rows:,} rows of {stage.sequence_length:,}, which {devices:,} "
        f"devices can't share evenly: {use}make it a multiple of {stage.sequence_length * devices:,}",
        file=file,
        key=f"{key}.batch_tokens",
    )
