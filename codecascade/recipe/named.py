"""The recipes that come with codecascade, called by their names."""

from __future__ import annotations

import difflib
from pathlib import Path

import codecascade
from codecascade.ground.errors import UserError

FOLDER = Path(codecascade.__file__).parent / "recipes"
"""Inside the package, so that an installed codecascade has them too."""


def recipe_names() -> list[str]:
    """The names of the recipes that come with codecascade, in the order of the alphabet."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def recipe_file(recipe: str | Path) -> Path:
    """The file of a recipe that is given by its path or, if it comes with codecascade, by its name.

    A file that exists always wins, so a name can't hide one of the user's. A path that leads to a file that isn't
    there comes back as it is: whoever reads it has the words for that.

    Raises:
        UserError: ``recipe`` is a plain word that names neither a file nor a recipe. Says which names there are,
            the nearest first.
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
