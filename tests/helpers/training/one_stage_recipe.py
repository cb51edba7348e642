"""A recipe of one stage, for plans."""

from __future__ import annotations

from typing import Any

from codecascade.recipe import Recipe, make_recipe


def one_stage(*, parallel: dict[str, Any] | None = None, **stage: Any) -> Recipe:
    """Of SmolLM2-135M, unless the settings name another base."""
    top = {"name": "x", "base": stage.pop("base", "smollm2-135m"), "corpus": "stdlib"}
    if parallel is not None:
        top["parallel"] = parallel
    return make_recipe({**top, "stage": [{"name": "code", "kind": "code", "parent": "base", **stage}]})
