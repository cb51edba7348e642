"""Runs a recipe: start at run.py."""
