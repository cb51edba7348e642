"""Why a stage, or the measuring, does not fit into the memory of the devices, in words."""

from __future__ import annotations

from collections.abc import Mapping

from codecascade.evaluation.evaluate_settings import EvaluateSettings
from codecascade.generation.served.settings import OWN
from codecascade.ground.format import show_bytes
from codecascade.model.config import LlamaConfig
from codecascade.plan.choosing import Choice
from codecascade.plan.device_counts import can_share
from codecascade.plan.devices import Device
from codecascade.plan.memory.phases import StageMemory, measuring_bytes
from codecascade.plan.mesh import is_fixed
from codecascade.plan.remedies import remedies
from codecascade.recipe.settings import Recipe, Stage

MEASURING = "measuring"
"""The name, among what does not fit, of the measuring of models."""


def misfit_sentences(misfits: Mapping[str, str]) -> list[str]:
    """A sentence for each reason, which names all stages that it holds for.

    Args:
        misfits: the reasons by the names of stages, or :data:`MEASURING`.

    >>> misfit_sentences({"code": "use 16 devices", "measuring": "measuring x", "python": "use 16 devices"})
    ['code, python: use 16 devices', 'measuring x']
    """
    stages: dict[str, list[str]] = {}
    for name, words in misfits.items():
        stages.setdefault(words, []).append(name)
    return [
        words if names == [MEASURING] else f"{', '.join(names)}: {words}" for words, names in stages.items()
    ]


def stage_misfit(
    recipe: Recipe,
    stage: Stage,
    choice: Choice,
    memory: StageMemory,
    shapes: dict[str, LlamaConfig],
    devices: int,
    device: Device,
) -> str:
    """Why ``stage`` does not fit into the devices, and what would make it fit.

    Args:
        choice, memory: what is planned for it.
        shapes: of the stages' models, by the stages' names.
    """
    assert device.memory is not None
    found = remedies(
        shapes[stage.name],
        stage,
        devices,
        device,
        fixed=choice.mesh if is_fixed(stage) else None,
        possible=lambda number: can_share(recipe, shapes, number, device),
    )
    remedy = " or ".join(map(str, found)) or (
        "fewer micro_batch_rows, activation_checkpointing = 'full', train = 'lora' and more devices, even together, "
        "are not enough"
    )
    of_device = f"a device, of {show_bytes(device.memory)}; {remedy}"
    if memory.step.state > device.memory:
        what = "weights and optimizer" if stage.train == "lora" else "weights, gradients and optimizer"
        return f"does not fit: {what} take {show_bytes(memory.step.state)} {of_device}"
    return f"about {show_bytes(memory.step.total)} {of_device}"


def measuring_misfit(recipe: Recipe, configs: Mapping[str, LlamaConfig], device: Device) -> str:
    """Why models do not fit into the devices that measure them, of which each has a whole one; nothing if all do."""
    if device.memory is None:
        return ""
    stages = {stage.name: stage for stage in recipe.stage}
    needed = {
        name: measuring_bytes(configs[name], stages.get(name))
        for name, settings in recipe.measured.items()
        if name in configs and _measured_here(settings)
    }
    too_large = {name: count for name, count in needed.items() if count > device.memory}
    if not too_large:
        return ""
    largest = max(too_large.values())
    return (
        f"measuring {', '.join(too_large)} takes {show_bytes(largest)} of each device, of "
        f"{show_bytes(device.memory)}; set evaluate.engine = 'vllm', which divides a model between devices"
    )


def _measured_here(settings: EvaluateSettings) -> bool:
    """Whether the model is measured by our own engine, which has the whole model on each device."""
    return bool(settings.benchmarks) and settings.engine == OWN
