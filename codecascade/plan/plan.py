"""What a recipe will cost, and whether it can run at all: known before anything starts, without weights or corpus.

Shapes come from a preset or a ``config.json``. Parameters, tokens, steps and FLOPs are exact; memory and time are
estimates, and say so where they are shown.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.table import Table
from rich.text import Text

from codecascade.evaluation.cost import EvaluationCost, evaluation_cost
from codecascade.ground.errors import UserError
from codecascade.ground.format import show_bytes, show_count, show_seconds
from codecascade.model.config import LlamaConfig
from codecascade.model.precision import choose_precision, matmul_peak
from codecascade.recipe.memory import activation_bytes, memory_bytes, remedies, state_bytes
from codecascade.recipe.settings import BASE, Recipe, Stage
from codecascade.recipe.shapes import look_at_base, missing_texts, model_shapes

UTILISATION = 0.4
"""Part of a device's matrix-product speed that training reaches (estimate; a run's log has the true one as MFU)."""


@dataclass(frozen=True)
class StagePlan:
    """A stage's cost. ``None`` is what can't be known yet: the base's shape, or a length in minutes.

    Attributes:
        parameters: of the stage's model, new rows included.
        flops: of all its tokens, forward and backward.
        memory_per_device: bytes of weights, gradients, AdamW's moments and activations (estimate).
        state_per_device: bytes of them that neither smaller micro-batches nor checkpointing can spare.
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


@dataclass(frozen=True)
class Plan:
    """All stages, in order, and what a reader should know before starting.

    Attributes:
        device_flops: FLOP/s of a device's matrix products that the times are for; None where none are given.
        measured: what measuring each model costs, the base first.
    """

    name: str
    devices: int
    stages: tuple[StagePlan, ...]
    warnings: tuple[str, ...]
    device_flops: float | None = None
    measured: tuple[EvaluationCost, ...] = ()


def make_plan(
    recipe: Recipe,
    *,
    devices: int = 1,
    memory: str | None = None,
    device_flops: float | None = None,
    file: str | Path | None = None,
) -> Plan:
    """The plan of ``recipe`` on ``devices`` equal devices.

    Args:
        memory: of a device, such as ``80GB``; what exceeds it is warned of.
        device_flops: FLOP/s of a device's matrix products; without it no times are given.
        file: the recipe's, for messages.

    Raises:
        UserError: the recipe can't run: a sequence length over the model's, a batch that can't be shared out, a base
            of another architecture.
    """
    available = None if memory is None else parse_bytes(memory)
    warnings: list[str] = []
    base = look_at_base(recipe, warnings)
    warnings.extend(missing_texts(recipe))
    shapes = {} if base is None else model_shapes(recipe, base, file)
    shared = math.gcd(*(stage.rows for stage in recipe.stage))
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
            warnings.extend(_memory_warnings(stage, shapes[stage.name], devices, available, shared))
    speed = None if device_flops is None else device_flops * devices * UTILISATION
    size = None if base is None else base.config.num_parameters()
    measured = [evaluation_cost(BASE, recipe.evaluate, size, speed)]
    for stage, planned in zip(recipe.stage, stages, strict=True):
        measured.append(evaluation_cost(stage.name, stage.evaluate, planned.parameters, speed))
    return Plan(recipe.name, devices, tuple(stages), tuple(warnings), device_flops, tuple(measured))


def _plan_stage(
    stage: Stage, config: LlamaConfig | None, devices: int, device_flops: float | None
) -> StagePlan:
    steps = stage.total_steps
    if config is None:
        tokens = None if steps is None else steps * stage.batch_tokens
        return StagePlan(stage.name, stage.kind, stage.parent, None, tokens, steps, None, None)
    of_step = stage.batch_tokens * stage.flops_per_token(config)
    speed = None if device_flops is None else device_flops * devices * UTILISATION
    if steps is None and speed is not None and stage.minutes is not None:
        steps = max(1, int(stage.minutes * 60 * speed / of_step))
    state = state_bytes(config, stage, devices)
    return StagePlan(
        stage.name,
        stage.kind,
        stage.parent,
        parameters=config.num_parameters(),
        tokens=None if steps is None else steps * stage.batch_tokens,
        steps=steps,
        flops=None if steps is None else steps * of_step,
        memory_per_device=state + activation_bytes(config, stage, devices),
        state_per_device=state,
        seconds=None if speed is None or steps is None else steps * of_step / speed,
    )


def this_device_flops() -> float:
    """FLOP/s of this machine's device at matrix products, timed for a fraction of a second."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return matmul_peak(device, choose_precision(device).dtype)


# ---- estimates ------------------------------------------------------------------------------------------------


def _memory_warnings(
    stage: Stage, config: LlamaConfig, devices: int, available: int, shared: int
) -> Iterable[str]:
    """What does not fit into ``available`` bytes of a device, and what would make it fit by the same count.

    Args:
        shared: numbers of devices that divide it can share out every stage's rows.
    """
    state, needed = state_bytes(config, stage, devices), memory_bytes(config, stage, devices)
    if needed <= available:
        return
    found = remedies(config, stage, devices, available, shared)
    remedy = " or ".join(map(str, found)) or (
        "fewer micro_batch_rows, activation_checkpointing, train = 'lora' and more devices, even together, are not "
        "enough"
    )
    of = f"a device, of {show_bytes(available)}; {remedy}"
    if state > available:
        what = "weights and optimizer" if stage.train == "lora" else "weights, gradients and optimizer"
        yield f"{stage.name}: does not fit: {what} take {show_bytes(state)} {of}"
    else:
        yield f"{stage.name}: about {show_bytes(needed)} {of}"


# ---- showing --------------------------------------------------------------------------------------------------

_UNITS = {"": 1, "B": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_BINARY = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def parse_bytes(text: str) -> int:
    """``80GB`` (decimal), ``80GiB`` (binary) or a number of bytes.

    Raises:
        UserError: it is neither.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kKMGT]?)(i?)[bB]?\s*", text)
    if found is None or (found[3] and not found[2]):
        raise UserError(f"must be a size such as 80GB (got {text!r})", key="--memory")
    unit = found[2].upper()
    return round(float(found[1]) * (_BINARY if found[3] else _UNITS)[unit])


def plan_json(plan: Plan) -> str:
    """The plan as one JSON object: ``stages`` and ``warnings``."""
    keys = ("name", "kind", "parent", "parameters", "tokens", "steps", "flops", "memory_per_device")
    stages: list[dict[str, Any]] = [{key: getattr(stage, key) for key in keys} for stage in plan.stages]
    return json.dumps({"stages": stages, "warnings": list(plan.warnings)}, indent=2)


def plan_table(plan: Plan) -> Table:
    """The plan for a terminal: the tree with each stage's figures, the warnings below it."""
    devices = "1 device" if plan.devices == 1 else f"{plan.devices:,} devices"
    table = Table(
        title=f"{plan.name} on {devices}",
        title_justify="left",
        caption_justify="left",
        box=None,
        header_style="bold",
        pad_edge=False,
    )
    table.add_column("stage", no_wrap=True)
    for title in ("weights", "tokens", "steps", "FLOPs", "memory", "time"):
        table.add_column(title, justify="right", no_wrap=True)
    for depth, stage in _walk(plan.stages, BASE):
        table.add_row(
            "  " * depth + f"└ {stage.name}",
            _shown(stage.parameters, show_count),
            _shown(stage.tokens, show_count),
            _shown(stage.steps, "{:,}".format),
            _shown(stage.flops, "{:.2g}".format),
            _shown(stage.memory_per_device, show_bytes),
            _shown(stage.seconds, show_seconds),
        )
    notes = ["memory is of each device; it and time are estimates"]
    if found := [_measuring(model) for model in plan.measured if model.read or model.written]:
        notes.append(f"measuring takes, in tokens (estimates): {'; '.join(found)}")
    if plan.device_flops is not None:
        notes.append(
            f"time: at {UTILISATION:.0%} of {plan.device_flops / 1e12:,.3g} TFLOP/s a device "
            "(--tflops names another speed)"
        )
    notes.extend(f"warning: {warning}" for warning in plan.warnings)
    table.caption = Text("\n".join(notes), style="")
    return table


def _measuring(model: EvaluationCost) -> str:
    time = "" if model.seconds is None else f", {show_seconds(model.seconds)}"
    return f"{model.name} {show_count(model.read)} read and {show_count(model.written)} written{time}"


def _walk(stages: Sequence[StagePlan], parent: str, depth: int = 0) -> Iterator[tuple[int, StagePlan]]:
    """Every descendant of ``parent`` with its depth, a child right below its own parent."""
    for stage in stages:
        if stage.parent == parent:
            yield depth, stage
            yield from _walk(stages, stage.name, depth + 1)


def _shown(value: Any, form: Callable[[Any], str]) -> str:
    return "?" if value is None else form(value)
