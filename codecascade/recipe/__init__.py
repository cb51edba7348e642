"""Recipes: what a cascade is made of. They are read from TOML, and written back with every value explicit."""

from codecascade.recipe.named import recipe_names
from codecascade.recipe.reading import make_recipe, read_recipe, write_recipe
from codecascade.recipe.settings import BASE, Recipe, Stage

__all__ = ["BASE", "Recipe", "Stage", "make_recipe", "read_recipe", "recipe_names", "write_recipe"]
