"""Numbers of devices that all stages of a recipe can share their work over."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import islice

from codecascade.ground.errors import UserError
from codecascade.model.config import LlamaConfig
from codecascade.plan.devices import Device
from codecascade.plan.mesh import fixed_mesh, is_fixed, meshes
from codecascade.recipe.settings import Recipe, Stage

_ON_ONE_ROW = (1, 2, 4, 8)
"""Devices that may share a row, in the numbers that are tried."""


def can_share(recipe: Recipe, shapes: Mapping[str, LlamaConfig], number: int, device: Device) -> bool:
    """Whether every stage of ``recipe`` can be divided over so many devices.

    Args:
        shapes: of the stages' models, as far as they are known.
        device: what each of the devices is.
    """
    return all(_can_share(stage, shapes.get(stage.name), number, device) for stage in recipe.stage)


def _can_share(stage: Stage, config: LlamaConfig | None, number: int, device: Device) -> bool:
    if is_fixed(stage):
        try:
            fixed_mesh(config, stage, number, None, "")
        except UserError:
            return False
        return True
    if config is None:
        return stage.rows % number == 0
    return next(meshes(config, stage, number, device.per_machine), None) is not None


def numbers_near(
    recipe: Recipe, shapes: Mapping[str, LlamaConfig], rows: int, devices: int, device: Device
) -> list[int]:
    """The next smaller and the next larger number of devices that all stages can share their work over.

    Those that divide ``rows`` are tried, and some multiples, for devices that share a row.

    Args:
        rows: of a step of the stage that can't be shared over ``devices``.
    """
    small = [count for count in range(1, math.isqrt(rows) + 1) if rows % count == 0]
    tried = sorted({count * times for one in small for count in (one, rows // one) for times in _ON_ONE_ROW})

    def first(numbers: list[int]) -> list[int]:
        shared = (number for number in numbers if can_share(recipe, shapes, number, device))
        return list(islice(shared, 1))

    smaller = [number for number in reversed(tried) if number < devices]
    return first(smaller) + first([number for number in tried if number > devices])
