"""The recipe of a corpus: a TOML file with its sources and settings.

A cascade's recipe can be used too; only its ``corpus``, ``decontaminate`` and ``[corpus_build]`` are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from codecascade.corpus.settings import CorpusSettings
from codecascade.ground.settings import Settings
from codecascade.recipe.named import recipe_file
from codecascade.recipe.reading import apply_override, read_toml, validated


def _as_tuple(value: Any) -> Any:
    """A single source, or a list of sources, as the tuple that strict validation requires."""
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


class CorpusRecipe(Settings):
    """``codecascade corpus build --recipe FILE``."""

    corpus: Annotated[tuple[str, ...], BeforeValidator(_as_tuple)] = Field(
        (), description="sources, where the command names none"
    )
    decontaminate: tuple[str, ...] = Field(
        (), description="files of benchmark texts, besides --decontaminate"
    )
    corpus_build: CorpusSettings = Field(default_factory=CorpusSettings)


def read_corpus_recipe(file: Path | None, overrides: Sequence[str] = ()) -> CorpusRecipe:
    """The recipe in a file, after ``overrides`` such as ``near_threshold=0.8``.

    Args:
        file: its path, or the name of a recipe that comes with codecascade. None gives all defaults.

    Raises:
        UserError: with the file, the key and what is wrong with it.
    """
    file = None if file is None else recipe_file(file)
    data = read_toml(file) if file is not None else {}
    is_cascade = "stage" in data
    if is_cascade:
        data = {key: data[key] for key in CorpusRecipe.model_fields if key in data}
    for override in overrides:
        apply_override(data, f"corpus_build.{override}")
    return validated(CorpusRecipe, data, file)
