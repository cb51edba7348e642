"""``like = "STAGE"``: a stage has the settings of an earlier one but for those that it gives itself.

A study has many stages that differ in one setting. ``like`` copies what the earlier stage's table says, before
defaults are filled in, so that a change by ``--set`` reaches the copies too. A recipe that is written again has every
value of every stage, and no ``like``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from codecascade.ground.errors import UserError
from codecascade.ground.nearest import nearest
from codecascade.recipe.settings import LENGTH_KEYS, replaced_by

KEY = "like"


def with_copied_settings(stages: Sequence[Any]) -> list[Any]:
    """The tables of the stages without ``like``. What is no table is left for validation.

    A stage that says itself how long it is has not the length of the other.

    Raises:
        UserError: no earlier stage has this name.
    """
    found: list[Any] = []
    by_name: dict[str, Mapping[str, Any]] = {}
    for index, stage in enumerate(stages):
        if isinstance(stage, dict):
            if KEY in stage:
                stage = _merged(_original(stage[KEY], by_name, index), stage)
            by_name[str(stage.get("name"))] = stage
        found.append(stage)
    return found


def _original(name: Any, by_name: Mapping[str, Mapping[str, Any]], index: int) -> Mapping[str, Any]:
    if not isinstance(name, str) or name not in by_name:
        raise UserError(
            f"no stage before this one is called {name!r}; "
            f"{nearest(str(name), by_name) if by_name else 'it is the first'}",
            key=f"stage[{index}].{KEY}",
        )
    return by_name[name]


def _merged(original: Mapping[str, Any], stage: Mapping[str, Any]) -> dict[str, Any]:
    left_out = {"name"}.union(*(replaced_by(key) for key in LENGTH_KEYS if key in stage))
    copied = {key: value for key, value in original.items() if key not in left_out}
    return {key: value for key, value in _tables(copied, stage).items() if key != KEY}


def _tables(copied: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """``own`` over ``copied``, in nested tables too; a list replaces a list."""
    both = {
        key: _tables(copied[key], value)
        if isinstance(copied.get(key), dict) and isinstance(value, dict)
        else value
        for key, value in own.items()
    }
    return {**copied, **both}
