"""A plan as people and programs read it: tables for a terminal, and JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from codecascade.evaluation.cost import EvaluationCost
from codecascade.ground.format import show_bytes, show_count, show_seconds
from codecascade.plan.devices import DEVICES
from codecascade.plan.memory.phases import StageMemory
from codecascade.plan.passes import Passes
from codecascade.plan.plan import RecipePlan, StagePlan
from codecascade.plan.self_instruct import SelfInstructCost
from codecascade.plan.simulation.simulated import SimulatedStep
from codecascade.plan.traffic import UTILISATION

_ROOMY = 0.95
"""The part of a device's memory above which a plan says that little is left for fragmentation."""
_UNBUILT = " (the corpus is not built yet, so the number of passes is not known)"
Simulated = Mapping[str, SimulatedStep]
"""The simulated steps, by the stage's name."""


def plan_json(plan: RecipePlan, simulated: Simulated | None = None) -> str:
    """The plan as one JSON object with ``stages`` and ``warnings``; among these is what self-instruct will cost."""
    stages = [*map(_stage_json, plan.stages)]
    for stage in stages:
        if simulated is not None and stage["name"] in simulated:
            stage["simulated"] = vars(simulated[stage["name"]])
    warnings = [*plan.warnings, *map(_making, plan.dialogues)]
    data: dict[str, Any] = {"stages": stages, "warnings": warnings}
    if plan.kept_tokens is not None:
        data["token_cache"] = vars(plan.kept_tokens)
    return json.dumps(data, indent=2)


def _stage_json(stage: StagePlan) -> dict[str, Any]:
    keys = (
        "name",
        "kind",
        "parent",
        "parameters",
        "tokens",
        "steps",
        "flops",
        "memory_per_device",
        "seconds",
        "minutes",
        "most_passes",
    )
    data: dict[str, Any] = {key: getattr(stage, key) for key in keys}
    data |= {"mesh": None, "reasons": [], "memory": None, "bytes_sent": None}
    if stage.choice is not None and stage.memory is not None and stage.sent is not None:
        data["mesh"] = vars(stage.choice.mesh)
        data["reasons"] = list(stage.choice.reasons)
        phases = {key: value for key, value in vars(stage.memory).items() if key != "step"}
        data["memory"] = {"step": stage.memory.step.by_kind, **phases}
        data["bytes_sent"] = vars(stage.sent)
    return data


def plan_tables(plan: RecipePlan, simulated: Simulated | None = None) -> Group:
    """The tree of stages with each one's figures; memory by kind; the meshes with reasons; notes and warnings."""
    parts = [_stages(plan)]
    if any(stage.memory for stage in plan.stages):
        parts.append(_memory(plan))
    if simulated:
        parts.append(_simulated(plan, simulated))
    return Group(*parts, Text("\n".join(_notes(plan))))


def _table(title: str, *columns: str) -> Table:
    table = Table(
        title=Text(title),
        title_justify="left",
        box=None,
        header_style="bold",
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    table.add_column("stage", no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _stages(plan: RecipePlan) -> Table:
    devices = "1 device" if plan.devices == 1 else f"{plan.devices:,} devices"
    columns = ("weights", "tokens", "steps", "FLOPs", "memory", "time")
    table = _table(f"{plan.name} on {devices}", *columns)
    for name, parameters in plan.base_parameters.items():
        # of a single base only its stages are shown
        inset = len(plan.base_parameters) > 1
        if inset:
            table.add_row(Text(name), _figure(parameters, show_count))
        _add_stages(table, plan.stages, name, inset)
    return table


def _add_stages(table: Table, stages: Sequence[StagePlan], base: str, inset: bool) -> None:
    for depth, stage in _depth_first(stages, base):
        table.add_row(
            Text("  " * (depth + inset) + f"└ {stage.name}"),
            _figure(stage.parameters, show_count),
            _figure(stage.tokens, show_count),
            _figure(stage.steps, "{:,}".format),
            _figure(stage.flops, "{:.2g}".format),
            _figure(stage.memory_per_device, show_bytes),
            _figure(stage.seconds, show_estimate),
        )


def _memory(plan: RecipePlan) -> Table:
    kinds = ("weights", "gradients", "moments", "activations", "communication", "logits")
    table = _table(
        "GB of each device at the peak of a step, and GB that it sends in a step", *map(_short, kinds), "sent"
    )
    for stage in plan.stages:
        if stage.memory is None or stage.sent is None:
            continue
        by_kind = stage.memory.step.by_kind
        table.add_row(
            Text(stage.name), *(_gigabytes(by_kind[kind]) for kind in kinds), _gigabytes(stage.sent.total)
        )
    return table


def _simulated(plan: RecipePlan, simulated: Simulated) -> Table:
    """What the simulation counted, and how far the estimate is from it."""
    kinds = ("weights", "gradients", "moments", "activations", "communication")
    table = _table(
        "the same, counted in a simulated step (logits are activations there)",
        *map(_short, kinds),
        "all",
        "estimate",
        "sent",
    )
    for name, step in simulated.items():
        estimate = plan[name].memory_per_device or 0
        table.add_row(
            Text(name),
            *(_gigabytes(step.peak.get(kind, 0)) for kind in kinds),
            _gigabytes(step.total),
            f"{estimate / step.total - 1:+.0%}",
            _gigabytes(sum(step.sent.values())),
        )
    return table


def _short(kind: str) -> str:
    return "comm." if kind == "communication" else kind


def _gigabytes(count: float) -> str:
    """In 10^9 bytes, with three digits.

    >>> [_gigabytes(count) for count in (0, 52_340_000, 16.87e9, 1.911e12)]
    ['-', '0.0523', '16.9', '1,911']
    """
    gigabytes = count / 1e9
    return "-" if not count else f"{gigabytes:,.0f}" if gigabytes >= 100 else f"{gigabytes:.3g}"


def _notes(plan: RecipePlan) -> Iterator[str]:
    yield "memory is of each device; it, what is sent and time are estimates"
    yield from _tight(plan)
    yield from _phases(plan)
    yield from _devices(plan)
    yield from _budgets(plan.stages)
    if plan.devices > 1:
        yield from _meshes(plan)
    yield from _passes(plan.passes)
    if plan.kept_tokens is not None:
        yield str(plan.kept_tokens)
    if measured := [_measuring(model) for model in plan.evaluations if model.read or model.written]:
        yield f"measuring takes, in tokens (estimates): {'; '.join(measured)}"
    yield from map(_making, plan.dialogues)
    yield from (f"warning: {warning}" for warning in plan.warnings)


def _tight(plan: RecipePlan) -> Iterator[str]:
    """Which stages fit with little room."""
    memory = plan.device.memory
    if memory is None:
        return
    full = {
        stage.name: stage.memory_per_device or 0
        for stage in plan.stages
        if stage.name not in plan.misfits and (stage.memory_per_device or 0) > _ROOMY * memory
    }
    if full:
        yield (
            f"little room: {', '.join(full)} take up to {show_bytes(max(full.values()))} of {show_bytes(memory)}, "
            f"and fragmentation comes on top. --memory {_ROOMY * memory / 1e9:.3g}GB plans with more room, and "
            "[parallel] fixes the mesh that it shows"
        )


def _phases(plan: RecipePlan) -> Iterator[str]:
    """What the other phases of a stage take, at most over all stages."""
    planned = [stage.memory for stage in plan.stages if stage.memory is not None]
    if not planned:
        return
    yield (
        f"at most, besides steps: to load {show_bytes(max(each.load for each in planned))}, to write a model "
        f"{show_bytes(max(each.save for each in planned))} of each device; to measure "
        f"{show_bytes(max(each.measuring for each in planned))} of each device that measures"
    )
    copies = max(each.checkpoint_host for each in planned)
    if copies:
        yield (
            f"while a checkpoint is written beside the steps, its copy takes at most {show_bytes(copies)} of a "
            f"machine's own memory{_no_room_for_copies(plan, planned)}"
        )


def _no_room_for_copies(plan: RecipePlan, planned: Sequence[StageMemory]) -> str:
    """What happens where this machine has too little memory for the copies of a stage's checkpoint."""
    host = plan.device.host_memory
    if host is None:
        return ""
    # a CPU's ranks have their weights and activations there, too
    ranks = min(plan.devices, plan.device.per_machine) if plan.device.memory is None else 0
    if all(each.checkpoint_host + ranks * each.step.total <= host for each in planned):
        return ""
    return f", of which it has {show_bytes(host)}: where there is no room, training waits for the checkpoint"


def _devices(plan: RecipePlan) -> Iterator[str]:
    device = plan.device
    if device.flops is not None:
        yield (
            f"time: at {UTILISATION:.0%} of {device.flops / 1e12:,.3g} TFLOP/s a device, {device.name} "
            "(--device names another, --tflops another speed)"
        )
        if device.memory is None:
            yield f"memory is not compared with that of {device.name}; --memory gives what one has"
        return
    known = "" if device.memory is None else ", and memory is compared with --memory alone"
    yield (
        f"no times are given, because the devices are not named{known}; assumed are {device.per_machine} in a "
        f"machine. Name them with --device: {', '.join(DEVICES)}, or here for this machine's own"
    )


def _budgets(stages: Sequence[StagePlan]) -> Iterator[str]:
    """Which stages have minutes, so that their steps are timed when they begin."""
    timed = [stage for stage in stages if stage.minutes is not None]
    if timed:
        listed = ", ".join(f"{stage.name} {stage.minutes:g}{_at_most(stage)}" for stage in timed)
        known = "are estimates" if all(stage.steps for stage in timed) else "are not known"
        yield f"budgets in minutes: {listed}; their steps {known} until a run has timed one"


def _at_most(stage: StagePlan) -> str:
    """The other end of its budget, which is counted where the corpus is here."""
    return "" if stage.most_passes is None else f" (or {stage.most_passes:g} passes, if they take less)"


def _meshes(plan: RecipePlan) -> Iterator[str]:
    """The meshes with their reasons; stages that have the same ones together."""

    def said(stage: StagePlan) -> str:
        assert stage.choice is not None
        reasons = "; ".join(stage.choice.reasons)
        return f"{stage.choice.mesh}{f': {reasons}' if reasons else ''}"

    planned = sorted((stage for stage in plan.stages if stage.choice is not None), key=said)
    for words, stages in groupby(planned, key=said):
        yield f"mesh of {', '.join(stage.name for stage in stages)}: {words}"


def _passes(found: Sequence[Passes]) -> Iterator[str]:
    for stage, sources in groupby(found, key=lambda each: each.stage):
        read = tuple(sources)
        unbuilt = "" if all(each.built for each in read) else _UNBUILT
        yield f"{stage} reads (estimates): {'; '.join(map(str, read))}{unbuilt}"


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
