"""A plan as people and programs read it: a table for a terminal, and JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from codecascade.evaluation.cost import EvaluationCost
from codecascade.ground.format import show_bytes, show_count, show_seconds
from codecascade.plan.plan import UTILISATION, RecipePlan, StagePlan
from codecascade.plan.self_instruct import SelfInstructCost
from codecascade.recipe.settings import BASE


def plan_json(plan: RecipePlan) -> str:
    """The plan as one JSON object with ``stages`` and ``warnings``; among these is what self-instruct will cost."""
    keys = ("name", "kind", "parent", "parameters", "tokens", "steps", "flops", "memory_per_device")
    stages: list[dict[str, Any]] = [{key: getattr(stage, key) for key in keys} for stage in plan.stages]
    warnings = [*plan.warnings, *map(_making, plan.dialogues)]
    return json.dumps({"stages": stages, "warnings": warnings}, indent=2)


def plan_table(plan: RecipePlan) -> Table:
    """The tree of stages with each one's figures, and the warnings below it."""
    devices = "1 device" if plan.devices == 1 else f"{plan.devices:,} devices"
    table = Table(
        title=Text(f"{plan.name} on {devices}"),
        title_justify="left",
        caption_justify="left",
        box=None,
        header_style="bold",
        pad_edge=False,
    )
    table.add_column("stage", no_wrap=True)
    for title in ("weights", "tokens", "steps", "FLOPs", "memory", "time"):
        table.add_column(title, justify="right", no_wrap=True)
    for depth, stage in _depth_first(plan.stages, BASE):
        table.add_row(
            Text("  " * depth + f"└ {stage.name}"),
            _figure(stage.parameters, show_count),
            _figure(stage.tokens, show_count),
            _figure(stage.steps, "{:,}".format),
            _figure(stage.flops, "{:.2g}".format),
            _figure(stage.memory_per_device, show_bytes),
            _figure(stage.seconds, show_estimate),
        )
    notes = ["memory is of each device; it and time are estimates"]
    if measured := [_measuring(model) for model in plan.evaluations if model.read or model.written]:
        notes.append(f"measuring takes, in tokens (estimates): {'; '.join(measured)}")
    notes.extend(map(_making, plan.dialogues))
    if plan.device_flops is not None:
        notes.append(
            f"time: at {UTILISATION:.0%} of {plan.device_flops / 1e12:,.3g} TFLOP/s a device "
            "(--tflops names another speed)"
        )
    notes.extend(f"warning: {warning}" for warning in plan.warnings)
    table.caption = Text("\n".join(notes), style="")
    return table


def show_estimate(seconds: float) -> str:
    """An estimated time, which is never shown as nothing.

    >>> show_estimate(0.02), show_estimate(200)
    ('< 1 s', '3 min 20 s')
    """
    return "< 1 s" if seconds < 1 else show_seconds(seconds)


def _measuring(model: EvaluationCost) -> str:
    time = "" if model.seconds is None else f", {show_estimate(model.seconds)}"
    return f"{model.name} {show_count(model.read)} read and {show_count(model.written)} written{time}"


def _making(cost: SelfInstructCost) -> str:
    time = "" if cost.seconds is None else f", {show_estimate(cost.seconds)}"
    names = " and ".join(dict.fromkeys(each.teacher for each in cost.teachers))
    return (
        f"self-instruct for {cost.stage}, estimates: {cost.questions:,} questions by {names}; "
        f"{show_count(cost.read)} tokens read and {show_count(cost.written)} written{time}; "
        f"{cost.programs:,} programs run"
    )


def _depth_first(stages: Sequence[StagePlan], parent: str, depth: int = 0) -> Iterator[tuple[int, StagePlan]]:
    """Every descendant of ``parent`` with its depth, each right below its own parent."""
    for stage in stages:
        if stage.parent == parent:
            yield depth, stage
            yield from _depth_first(stages, stage.name, depth + 1)


def _figure(value: Any, form: Callable[[Any], str]) -> str:
    return "?" if value is None else form(value)
