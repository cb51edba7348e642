"""Whether the run of one recipe can be resumed with another."""

from __future__ import annotations

from collections.abc import Collection

from codecascade.ground.diff import changed_values
from codecascade.recipe.reading import with_steps
from codecascade.recipe.settings import BASE, CHANGEABLE_KEYS, Recipe, RecipeData, to_data

MAKE_DIALOGUES = ("kind", "parent", "seed", "dialogues", "mined_dialogues", "self_instruct")
"""What the dialogues depend on that a run makes for a stage before it trains it."""


def difference(
    old: Recipe, new: Recipe, *, unused: Collection[str] = (), only_dialogues: Collection[str] = ()
) -> str | None:
    """The first key, with both values, that keeps a run of ``old`` from being resumed with ``new``; None if it can.

    Stages and bases may be added, a budget in minutes may have been turned into steps, and the keys in
    :data:`CHANGEABLE_KEYS` may change: they don't touch what was trained.

    Args:
        unused: names of stages of ``old`` that are not begun, and of models from scratch that are not made. They may
            change, or be missing in ``new``.
        only_dialogues: names of stages of ``old`` for which dialogues are made, and nothing else. All may change but
            what these depend on.
    """
    before, after = to_data(_timed_as(old, new)), to_data(_timed_as(new, old))
    if BASE in unused:
        for data in (before, after):
            data.pop("tokenizer", None)
    stages = {stage["name"]: stage for stage in after.pop("stage", [])}
    for number, stage in enumerate(before.pop("stage", [])):
        if stage["name"] in unused:
            continue
        if stage["name"] not in stages:
            return f"stage[{number}]: {stage['name']!r} is missing in the recipe"
        key = f"stage.{stage['name']}"
        before[key], after[key] = _renamed(stage), _renamed(stages[stage["name"]])
        if stage["name"] in only_dialogues:
            for data in (before, after):
                data[key] = {name: data[key][name] for name in MAKE_DIALOGUES if name in data[key]}
    bases = after.pop("bases", {})
    for name, base in before.pop("bases", {}).items():
        if name in unused:
            continue
        if name not in bases:
            return f"bases.{name} is missing in the recipe"
        before[f"bases.{name}"], after[f"bases.{name}"] = base, bases[name]
    return next(changed_values(before, after, free=CHANGEABLE_KEYS), None)


def _timed_as(recipe: Recipe, other: Recipe) -> Recipe:
    """``recipe``, in which a stage with minutes has the steps that the same stage of ``other`` was timed to have."""
    ours = {stage.name for stage in recipe.stage if stage.minutes is not None}
    for stage in other.stage:
        if stage.name in ours and stage.timed_minutes is not None and stage.steps is not None:
            recipe = with_steps(recipe, stage.name, stage.steps)
    return recipe


def _renamed(stage: RecipeData) -> RecipeData:
    """With the key of a budget in minutes as people write it, for messages."""
    return {"minutes" if key == "timed_minutes" else key: value for key, value in stage.items()}
