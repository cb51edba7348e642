"""How long a run will take, and budgets in minutes turned into steps, before anything starts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from codecascade.cascade.display import Display
from codecascade.cascade.models import prepare
from codecascade.evaluation.cost import evaluation_seconds, evaluation_tokens
from codecascade.evaluation.evaluate_settings import EvaluateSettings
from codecascade.ground.format import show_seconds
from codecascade.model.config import LlamaConfig
from codecascade.model.precision import choose_precision
from codecascade.model.sources import load
from codecascade.plan.plan import UTILISATION, this_device_flops
from codecascade.recipe.reading import with_steps
from codecascade.recipe.settings import Recipe, Stage, to_data
from codecascade.training.learner import measure_step_seconds
from codecascade.training.parallel import join_world
from codecascade.training.stream.stream import Batch

DOCUMENTS_PER_ROW = 4
_OF_A_STEP = (
    "sequence_length",
    "batch_tokens",
    "micro_batch_rows",
    "document_masks",
    "precision",
    "compile",
    "activation_checkpointing",
    "loss_chunk_tokens",
    "train",
    "lora_rank",
)


class RandomStream:
    """Batches of random tokens with a stage's shape: the time of a step depends on nothing else."""

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


class Clock:
    """Times steps of stages that are still to be trained, once for each shape of a step."""

    def __init__(self, base: str) -> None:
        self._base = base
        self._seconds: dict[str, float] = {}

    def step_seconds(self, stage: Stage) -> float:
        """Seconds of a step: two of them on random tokens, in the base's shape with the stage's vocabulary."""
        data = to_data(stage)
        shape = json.dumps([data.get(key) for key in _OF_A_STEP])
        if shape not in self._seconds:
            prepared = prepare(load(self._base, dtype=torch.float32), stage)
            stream = RandomStream(stage, prepared.tokenizer.vocab_size)
            one_step = stage.model_copy(
                update={"steps": 3, "tokens": None, "minutes": None, "warmup_steps": 0}
            )
            self._seconds[shape] = measure_step_seconds(prepared.model, stream, one_step)
        return self._seconds[shape]


def resolve_minutes(recipe: Recipe, stages: Sequence[Stage], base: str, display: Display) -> Recipe:
    """``recipe`` with the budgets in minutes of ``stages`` turned into steps, which are timed for it."""
    clock = Clock(base)
    for stage in stages:
        if stage.minutes is not None:
            seconds = clock.step_seconds(stage)
            minutes = budget_minutes(stage, stage.minutes)
            steps = stage.model_copy(update={"minutes": minutes}).with_step_seconds(seconds).steps
            assert steps is not None
            display.say(f"{stage.name}: {minutes:g} min at {seconds:.2f} s a step are {steps:,} steps")
            recipe = with_steps(recipe, stage.name, steps)
    return recipe


def budget_minutes(stage: Stage, minutes: float) -> float:
    """The stage's budget on this machine: ``minutes``, or its own for machines where products are slow."""
    precision = choose_precision(join_world().device, stage.precision)
    return stage.minutes_fp32 or minutes if precision.dtype == torch.float32 else minutes


def say_how_long(
    stages: Sequence[Stage],
    shapes: Mapping[str, LlamaConfig],
    evaluations: Sequence[EvaluateSettings],
    display: Display,
) -> None:
    """Tell what is ahead: training of ``stages``, and measuring by ``evaluations``."""
    if not stages or any(stage.name not in shapes for stage in stages):
        return
    speed = this_device_flops() * join_world().size * UTILISATION
    training = 0.0
    for stage in stages:
        of_token = stage.flops_per_token(shapes[stage.name])
        if stage.timed_minutes is not None:
            training += 60 * budget_minutes(stage, stage.timed_minutes)
        else:
            training += (stage.total_steps or 0) * stage.batch_tokens * of_token / speed
    parameters = shapes[stages[0].name].num_parameters()
    read, written = (sum(counts) for counts in zip(*map(evaluation_tokens, evaluations), strict=True))
    measuring = evaluation_seconds(parameters, read, written, speed)
    display.say(
        f"ahead: about {show_seconds(training)} of training ({', '.join(stage.name for stage in stages)}) and "
        f"{show_seconds(measuring)} of measuring; stop at any time, the same command goes on"
    )
