"""Runs a recipe: its corpus, its stages in order, what is measured after each, and the report."""
