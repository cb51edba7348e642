"""The recipes that come with codecascade, and are called by their names."""

from __future__ import annotations

import difflib
from pathlib import Path

import codecascade
from codecascade.ground.errors import UserError

FOLDER = Path(codecascade.__file__).parent / "recipes"
"""Inside the package, so that an installed codecascade has them too."""


def recipe_names() -> list[str]:
    """The names of the recipes that come with codecascade, sorted. Those of a folder begin with its name."""
    return sorted(path.relative_to(FOLDER).with_suffix("").as_posix() for path in FOLDER.rglob("*.toml"))


def recipe_file(recipe: str | Path) -> Path:
    """The file of a recipe that is given by its path, or by its name if it comes with codecascade.

    A file that exists comes before a recipe of the same name. A path to a file that is not there is returned as it
    is, and raises the error when it is read.

    Raises:
        UserError: ``recipe`` is a plain word that names neither a file nor a recipe. The error lists the names of all
            recipes, the most similar first.
    """
    path, names = Path(recipe), recipe_names()
    name = path.as_posix()
    folders = {each.rpartition("/")[0] for each in names}
    if path.is_file() or path.suffix == ".toml" or str(path) != str(recipe):
        return path
    if name in names:
        return FOLDER / f"{name}.toml"
    if name.rpartition("/")[0] not in folders:
        return path
    ordered = difflib.get_close_matches(name, names, n=len(names), cutoff=0.0)
    raise UserError(
        f"there is neither such a file nor a recipe of this name; recipes are {', '.join(ordered)}",
        file=recipe,
    )
