"""Recipes: what a cascade is made of, read from TOML and written back with every value explicit."""
