"""How long a run will take, and budgets in minutes turned into steps: known before the first stage starts."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from codecascade.cascade.display import RunDisplay
from codecascade.cascade.stage_models import stage_model
from codecascade.evaluation.cost import evaluation_seconds
from codecascade.ground.format import show_seconds
from codecascade.model.precision import choose_precision
from codecascade.model.sources import open_model
from codecascade.plan.devices import this_device_flops
from codecascade.plan.plan import RecipePlan
from codecascade.plan.traffic import UTILISATION
from codecascade.recipe.reading import with_steps
from codecascade.recipe.settings import Recipe, Stage, to_data
from codecascade.training.learner import measure_step_seconds
from codecascade.training.parallel.ranks import join_world
from codecascade.training.stream.stream import Batch

DOCUMENTS_PER_ROW = 4
SHORT_STEP = 1.0
"""Seconds. A step that is estimated to be shorter is timed instead: small models use a device badly."""
_STEP_KEYS = (
    "sequence_length",
    "batch_tokens",
    "micro_batch_rows",
    "document_masks",
    "precision",
    "compile",
    "activation_checkpointing",
    "loss_chunk_tokens",
    "parallel",
    "train",
    "lora_rank",
)
"""The settings that decide how long a step takes."""


class RandomStream:
    """Batches of random tokens in a stage's shape. The time of a step depends on nothing else."""

    def __init__(self, stage: Stage, vocabulary: int) -> None:
        self._stage, self._vocabulary = stage, vocabulary

    def batch(self, rows: range) -> Batch:
        length = self._stage.sequence_length
        generator = torch.Generator().manual_seed(0)
        tokens = torch.randint(self._vocabulary, (len(rows), length + 1), generator=generator)
        ids = torch.arange(length, dtype=torch.int32) * DOCUMENTS_PER_ROW // length
        return Batch(
            tokens, torch.ones(len(rows), length), ids.expand(len(rows), length), [["random"]] * len(rows), {}
        )

    def state_dict(self, rows: range) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        pass


class StepTimer:
    """Times steps of stages that are still to be trained, once for each shape of a step.

    Args:
        base_of: what the model is loaded from that a stage is made of. The stage is timed in its shape.
    """

    def __init__(self, base_of: Callable[[Stage], str]) -> None:
        self._base_of = base_of
        self._seconds: dict[str, float] = {}

    def step_seconds(self, stage: Stage) -> float:
        """Seconds of one step of the stage: the median of two on random tokens. All ranks must call this."""
        data, base = to_data(stage), self._base_of(stage)
        shape = json.dumps([base, *(data.get(key) for key in _STEP_KEYS)])
        if shape not in self._seconds:
            world = join_world()
            prepared = world.on_all(lambda: stage_model(open_model(base), stage))
            stream = RandomStream(stage, prepared.tokenizer.vocab_size)
            short = stage.model_copy(update={"steps": 3, "tokens": None, "minutes": None, "warmup_steps": 0})
            self._seconds[shape] = measure_step_seconds(prepared.config, stream, short)
        return self._seconds[shape]


def resolve_minutes(recipe: Recipe, stages: Sequence[Stage], timer: StepTimer, display: RunDisplay) -> Recipe:
    """``recipe`` with the budgets in minutes of ``stages`` turned into steps, for which a step is timed."""
    for stage in stages:
        if stage.minutes is not None:
            seconds = timer.step_seconds(stage)
            minutes = budget_minutes(stage, stage.minutes)
            steps = stage.model_copy(update={"minutes": minutes}).with_step_seconds(seconds).steps
            assert steps is not None
            display.say(f"{stage.name}: {minutes:g} min at {seconds:.2f} s a step are {steps:,} steps")
            recipe = with_steps(recipe, stage.name, steps)
    return recipe


def budget_minutes(stage: Stage, minutes: float) -> float:
    """``minutes``, or on a machine without bf16 instructions the stage's own budget for it, if it has one."""
    precision = choose_precision(join_world().device, stage.precision)
    return stage.minutes_fp32 or minutes if precision.dtype == torch.float32 else minutes


def say_how_long(stages: Sequence[Stage], plan: RecipePlan, timer: StepTimer, display: RunDisplay) -> None:
    """Say how long the training of ``stages`` will take, and the measuring of all models of ``plan``.

    Print nothing if the shape of the models is unknown, or if no stage is left to be trained.
    """
    # one that is written as it is before training takes no time
    stages = [stage for stage in stages if stage.total_steps != 0]
    step_flops = {stage.name: plan[stage.name].step_flops for stage in stages}
    known = {name: flops for name, flops in step_flops.items() if flops is not None}
    if not stages or len(known) < len(stages):
        return
    speed = _speed(stages, known, timer)
    training = 0.0
    for stage in stages:
        if stage.timed_minutes is not None:
            training += 60 * budget_minutes(stage, stage.timed_minutes)
        else:
            training += (stage.total_steps or 0) * known[stage.name] / speed
    parameters = {stage.name: stage.parameters for stage in plan.stages} | dict(plan.base_parameters)
    measuring = sum(
        evaluation_seconds(parameters[model.name] or 0, model.read, model.written, speed)
        for model in plan.evaluations
    )
    display.say(
        f"ahead: about {_at_least_a_minute(training)} of training ({', '.join(stage.name for stage in stages)}) "
        f"{_making(stages, plan, parameters, speed)}and {_at_least_a_minute(measuring)} of measuring; stop at any "
        "time, the same command continues"
    )


def _making(
    stages: Sequence[Stage], plan: RecipePlan, parameters: Mapping[str, int | None], speed: float
) -> str:
    """How long these stages' self-instruct takes, as a part of a sentence; a time that is unknown is named so."""
    ahead = [cost for cost in plan.dialogues if cost.stage in {stage.name for stage in stages}]
    if not ahead:
        return ""
    seconds = [cost.seconds_at(parameters, speed) for cost in ahead]
    known = [each for each in seconds if each is not None]
    if len(known) < len(seconds):
        return "and a time that is not known of self-instruct "
    return f"and {_at_least_a_minute(sum(known))} of self-instruct "


def _speed(stages: Sequence[Stage], step_flops: Mapping[str, float], timer: StepTimer) -> float:
    """FLOP/s of all ranks in training: usually an estimate, and where steps are short by it, a measurement."""
    ranks = join_world()
    # all ranks must decide alike, and each would time another speed
    estimate = ranks.from_first(this_device_flops) * ranks.size * UTILISATION
    shortest = min(stages, key=lambda stage: step_flops[stage.name])
    if step_flops[shortest.name] / estimate >= SHORT_STEP:
        return estimate
    return min(estimate, step_flops[shortest.name] / timer.step_seconds(shortest))


def _at_least_a_minute(seconds: float) -> str:
    """An estimated time. Below a minute, what is not counted (loading, starting, writing) is the larger part."""
    return "a minute or less" if seconds < 60 else show_seconds(seconds)
