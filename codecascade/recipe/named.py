"""The recipes that come with codecascade, and are called by their names."""

from __future__ import annotations

import difflib
from pathlib import Path

import codecascade
from codecascade.ground.errors import UserError

FOLDER = Path(codecascade.__file__).parent / "recipes"
"""Inside the package, so that an installed codecascade has them too."""


def recipe_names() -> list[str]:
    """The names of the recipes that come with codecascade, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def recipe_file(recipe: str | Path) -> Path:
    """The file of a recipe that is given by its path, or by its name if it comes with codecascade.

    A file that exists comes before a recipe of the same name. A path to a file that is not there is returned as it
    is, and raises the error when it is read.

    Raises:
        UserError: ``recipe`` is a plain word that names neither a file nor a recipe. The error lists the names of all
            recipes, the most similar first.
    """
    path = Path(recipe)
    if path.is_file() or path.name != str(recipe) or path.suffix == ".toml":
        return path
    names = recipe_names()
    if path.name in names:
        return FOLDER / f"{path.name}.toml"
    ordered = difflib.get_close_matches(path.name, names, n=len(names), cutoff=0.0)
    raise UserError(
        f"there is neither such a file nor a recipe of this name; recipes are {', '.join(ordered)}",
        file=recipe,
    )
