"""What a recipe will cost, and whether it can run at all. Neither weights nor corpus are needed.

Shapes come from a preset or a ``config.json``. Parameters, tokens, steps and FLOPs are exact. Memory and time are
estimates, and are shown as such.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from codecascade.evaluation.cost import EvaluationCost, evaluation_cost
from codecascade.ground.errors import UserError
from codecascade.ground.format import show_bytes
from codecascade.model.config import LlamaConfig
from codecascade.model.precision import choose_precision, matmul_peak
from codecascade.plan.memory import activation_bytes, memory_bytes, remedies, state_bytes
from codecascade.plan.self_instruct import SelfInstructCost, context_warnings, self_instruct_costs
from codecascade.plan.sizes import parse_bytes
from codecascade.recipe.settings import BASE, Recipe, Stage
from codecascade.recipe.shapes import look_at_base, missing_texts, model_shapes

UTILISATION = 0.4
"""The part of a device's speed in matrix products that training reaches (estimate). A run's log has the real one, as
MFU."""


@dataclass(frozen=True)
class StagePlan:
    """A stage's cost. A figure is None where the base's shape or the number of steps is not known yet.

    Attributes:
        parameters: of the stage's model, with the embedding rows of its new tokens.
        step_flops: of one step's tokens, forward and backward.
        flops: of all steps.
        memory_per_device: bytes of weights, gradients, AdamW's moments and activations (estimate).
        state_per_device: the part of it that smaller micro-batches and activation checkpointing don't reduce.
        seconds: at the given speed of a device (estimate).
    """

    name: str
    kind: str
    parent: str
    parameters: int | None
    tokens: int | None
    steps: int | None
    flops: float | None
    memory_per_device: int | None
    state_per_device: int | None = None
    seconds: float | None = None
    step_flops: float | None = None


@dataclass(frozen=True)
class RecipePlan:
    """All stages, in order, and what a reader should know before starting.

    Attributes:
        device_flops: FLOP/s of one device in matrix products. Times are estimated from it; without it there are none.
        evaluations: the cost of measuring each model, the base first.
        dialogues: the cost of each stage's self-instruct.
        base_parameters: of the base model; None where its shape is unknown.
    """

    name: str
    devices: int
    stages: tuple[StagePlan, ...]
    warnings: tuple[str, ...]
    device_flops: float | None = None
    evaluations: tuple[EvaluationCost, ...] = ()
    dialogues: tuple[SelfInstructCost, ...] = ()
    base_parameters: int | None = None

    def __getitem__(self, stage: str) -> StagePlan:
        return next(planned for planned in self.stages if planned.name == stage)


def make_plan(
    recipe: Recipe,
    *,
    devices: int = 1,
    memory: str | None = None,
    device_flops: float | None = None,
    file: str | Path | None = None,
) -> RecipePlan:
    """The plan of ``recipe`` on ``devices`` equal devices.

    Args:
        memory: of one device, such as ``80GB``. A stage that needs more gets a warning.
        device_flops: FLOP/s of one device in matrix products. Without it no times are given.
        file: the recipe's, for messages.

    Raises:
        UserError: the recipe can't run. A sequence is longer than its model allows, a batch can't be shared out
            evenly, or the base has another architecture.
    """
    available = None if memory is None else parse_bytes(memory)
    warnings: list[str] = []
    base = look_at_base(recipe, warnings)
    warnings.extend(missing_texts(recipe))
    shapes = {} if base is None else model_shapes(recipe, base, file)
    positions = {name: config.max_position_embeddings for name, config in shapes.items()}
    if base is not None:
        positions[BASE] = base.config.max_position_embeddings
    warnings.extend(context_warnings(recipe, positions))
    common_divisor = math.gcd(*(stage.rows for stage in recipe.stage))
    stages = []
    for index, stage in enumerate(recipe.stage):
        if stage.rows % devices:
            raise UserError(
                f"{stage.batch_tokens:,} tokens are {stage.rows} rows of {stage.sequence_length:,}, which {devices} "
                f"devices can't share evenly: make it a multiple of {stage.sequence_length * devices:,}",
                file=file,
                key=f"stage[{index}].batch_tokens",
            )
        planned = _plan_stage(stage, shapes.get(stage.name), devices, device_flops)
        stages.append(planned)
        if stage.minutes is not None:
            steps = (
                "unknown until two of them are timed" if planned.steps is None else f"about {planned.steps:,}"
            )
            warnings.append(f"{stage.name}: {stage.minutes:g} minutes; the number of steps is {steps}")
        if available is not None and stage.name in shapes:
            warnings.extend(_memory_warnings(stage, shapes[stage.name], devices, available, common_divisor))
    speed = None if device_flops is None else device_flops * devices * UTILISATION
    base_parameters = None if base is None else base.config.num_parameters()
    evaluations = [evaluation_cost(BASE, recipe.evaluate, base_parameters, speed)]
    for stage, planned in zip(recipe.stage, stages, strict=True):
        evaluations.append(evaluation_cost(stage.name, stage.evaluate, planned.parameters, speed))
    parameters = {BASE: base_parameters, **{planned.name: planned.parameters for planned in stages}}
    return RecipePlan(
        recipe.name,
        devices,
        tuple(stages),
        tuple(warnings),
        device_flops,
        tuple(evaluations),
        self_instruct_costs(recipe, parameters, speed),
        base_parameters,
    )


def _plan_stage(
    stage: Stage, config: LlamaConfig | None, devices: int, device_flops: float | None
) -> StagePlan:
    steps = stage.total_steps
    if config is None:
        tokens = None if steps is None else steps * stage.batch_tokens
        return StagePlan(stage.name, stage.kind, stage.parent, None, tokens, steps, None, None)
    step_flops = stage.batch_tokens * stage.flops_per_token(config)
    speed = None if device_flops is None else device_flops * devices * UTILISATION
    if steps is None and speed is not None and stage.minutes is not None:
        steps = max(1, int(stage.minutes * 60 * speed / step_flops))
    state = state_bytes(config, stage, devices)
    return StagePlan(
        stage.name,
        stage.kind,
        stage.parent,
        parameters=config.num_parameters(),
        tokens=None if steps is None else steps * stage.batch_tokens,
        steps=steps,
        flops=None if steps is None else steps * step_flops,
        memory_per_device=state + activation_bytes(config, stage, devices),
        state_per_device=state,
        seconds=None if speed is None or steps is None else steps * step_flops / speed,
        step_flops=step_flops,
    )


def this_device_flops() -> float:
    """FLOP/s of this machine's device in matrix products, timed for a fraction of a second."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return matmul_peak(device, choose_precision(device).dtype)


def _memory_warnings(
    stage: Stage, config: LlamaConfig, devices: int, available: int, common_divisor: int
) -> Iterable[str]:
    """A warning if the stage needs more than ``available`` bytes of a device, with what would make it fit.

    Args:
        common_divisor: the rows of every stage can be divided over any number of devices that divides this number.
    """
    state, needed = state_bytes(config, stage, devices), memory_bytes(config, stage, devices)
    if needed <= available:
        return
    found = remedies(config, stage, devices, available, common_divisor)
    remedy = " or ".join(map(str, found)) or (
        "fewer micro_batch_rows, activation_checkpointing, train = 'lora' and more devices, even together, are not "
        "enough"
    )
    of_device = f"a device, of {show_bytes(available)}; {remedy}"
    if state > available:
        what = "weights and optimizer" if stage.train == "lora" else "weights, gradients and optimizer"
        yield f"{stage.name}: does not fit: {what} take {show_bytes(state)} {of_device}"
    else:
        yield f"{stage.name}: about {show_bytes(needed)} {of_device}"
