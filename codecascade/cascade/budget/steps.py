"""Budgets in minutes turned into steps: a step is timed when a stage begins, and before, to say how long a run takes.

Where a whole step takes long, as on a CPU it does of all but small models, parts of one are timed, and the whole is
what they say of it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import torch

from codecascade.cascade.display import RunDisplay
from codecascade.cascade.stage_models import stage_model
from codecascade.model.config import LlamaConfig
from codecascade.model.precision import choose_precision
from codecascade.model.sources import config_of, open_model
from codecascade.recipe.reading import with_steps
from codecascade.recipe.settings import Recipe, Stage, to_data
from codecascade.training.learner import measure_step_seconds
from codecascade.training.parallel.ranks import join_world
from codecascade.training.stream.stream import Batch

DOCUMENTS_PER_ROW = 4
FEW_TOKENS = 64
"""Of each rank, the first that are timed on a CPU."""
LONG_STEP = 8.0
"""Seconds. A step on a CPU that takes longer is not timed as a whole."""
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
    """Times steps of stages that are still to be trained, and knows the shortest time of each shape of a step.

    Other work on the machine makes a step longer, never shorter. So of two timings the shorter one is the better.

    Args:
        base_of: what the model is loaded from that a stage is made of. The stage is timed in its shape.
        say: tells of a timing before it begins, for it takes up to a minute.
    """

    def __init__(self, base_of: Callable[[Stage], str], say: Callable[[str], None]) -> None:
        self._base_of, self._say = base_of, say
        self._seconds: dict[str, float] = {}
        self._models: dict[str, dict[str, Any] | None] = {}

    def step_seconds(self, stage: Stage, *, again: bool = False) -> float:
        """Seconds of one step of the stage, from the median of two on random tokens. All ranks must call this.

        Args:
            again: time it also where an earlier time of its shape is known.
        """
        shape = self.shape(stage)
        known = self._seconds.get(shape)
        if known is None or again:
            self._say(f"{stage.name}: timing a step{'' if known is None else ' again'}")
            base = self._base_of(stage)
            prepared = join_world().on_all(lambda: stage_model(open_model(base), stage))
            seconds = step_seconds(stage, prepared.config, prepared.tokenizer.vocab_size)
            self._seconds[shape] = seconds if known is None else min(seconds, known)
        return self._seconds[shape]

    def known(self, stage: Stage) -> float | None:
        """The shortest time that was measured of a step of the stage's shape; None if none was."""
        return self._seconds.get(self.shape(stage))

    def shape(self, stage: Stage) -> str:
        """The same for stages of which a step takes the same time."""
        base = self._base_of(stage)
        if base not in self._models:
            config = config_of(base)
            self._models[base] = None if config is None else asdict(config)
        data = to_data(stage)
        return json.dumps([self._models[base], *(data.get(key) for key in _STEP_KEYS)])


def step_seconds(stage: Stage, config: LlamaConfig, vocabulary: int) -> float:
    """Seconds of a step of the stage: of a whole one or, on a CPU where it takes long, by a short and a longer row.

    A step takes a while that does not depend on its tokens, such as the update of the weights, and a time for each.
    """
    world = join_world()

    def timed(part: Stage) -> float:
        short = part.model_copy(update={"steps": 3, "tokens": None, "minutes": None, "warmup_steps": 0})
        return measure_step_seconds(config, RandomStream(part, vocabulary), short)

    def row(tokens: int) -> Stage:
        """A step in which each rank reads one row."""
        shape = {"sequence_length": tokens, "batch_tokens": tokens * world.size, "micro_batch_rows": 1}
        return stage.model_copy(update=shape)

    few = min(FEW_TOKENS, stage.sequence_length)
    own = stage.batch_tokens / world.size
    if world.device.type != "cpu" or own <= few:
        return timed(stage)
    first = timed(row(few))
    if first * own / few <= LONG_STEP:
        return timed(stage)
    longer = min(stage.sequence_length, few << int(math.log2(max(1.0, LONG_STEP / first))))
    second = first if longer == few else timed(row(longer))
    if longer < 4 * few:
        # too near to each other for a line through both
        return second * own / longer
    # Timings are uncertain: a token takes no less than half of what it would take if all of the time were for tokens.
    each = max((second - first) / (longer - few), second / longer / 2)
    fixed = max(0.0, second - each * longer)
    attention = stage.flops_per_token(config) / row(longer).flops_per_token(config)
    return fixed + own * each * attention


def resolve_minutes(
    recipe: Recipe, stage: Stage, timer: StepTimer, display: RunDisplay, most_steps: Mapping[str, int | None]
) -> Recipe:
    """``recipe`` with the budget in minutes of ``stage``, which is about to begin, turned into steps.

    A step is timed for it, though one was timed when the run began: since then other work may have ended or begun.
    All stages of its shape and budget get the same steps, also those of later calls, so that the arms of a study are
    trained alike.

    Args:
        most_steps: that a stage may take, by its name; None: any number. Of stages alike the least holds for all that
            are named here, which are those of this call that are not trained yet.
    """
    budget = budget_minutes(stage)

    def length(each: Stage) -> tuple[float | None, float | None, str]:
        return budget_minutes(each), each.most_passes, timer.shape(each)

    alike = [each for each in recipe.stage if length(each) == length(stage)]
    timed = next((each for each in alike if each.steps is not None), None)
    if timed is not None:
        steps = timed.steps
        display.say(f"{stage.name}: takes {steps:,} steps, as {timed.name} does, which has as many minutes")
    else:
        seconds = timer.step_seconds(stage, again=True)
        steps = stage.model_copy(update={"minutes": budget}).with_step_seconds(seconds).steps
        display.say(f"{stage.name}: {budget:g} min at {seconds:.2f} s a step are {steps:,} steps")
    assert steps is not None
    ahead = [each.name for each in alike if each.minutes is not None and each.name in most_steps]
    limits = {name: limit for name in ahead if (limit := most_steps[name]) is not None}
    least = min(limits, key=lambda name: limits[name], default=None)
    if least is not None and limits[least] < steps:
        steps = limits[least]
        whose = "" if least == stage.name else f" of {least}"
        display.say(
            f"{stage.name}: takes {steps:,} of them, as most_passes = {stage.most_passes:g}{whose} says"
        )
    for name in ahead:
        recipe = with_steps(recipe, name, steps)
    return recipe


def budget_minutes(stage: Stage) -> float | None:
    """The stage's minutes on this machine, also where they have been turned into steps; None if it has none."""
    precision = choose_precision(join_world().device, stage.precision)
    return stage.budget_minutes(fp32=precision.dtype == torch.float32)
